/**
 * Time for lengths: the monotonic clock, which no step of the wall clock moves. A length that is reckoned by the wall clock
 * lasts for hours, or for nothing, once that is stepped.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds from a moment of the platform's own choosing. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos / 1_000n) / 1_000
)
