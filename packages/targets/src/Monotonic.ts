/**
 * Time for lengths: the monotonic clock, which no step of the wall clock moves. A length that is measured by the wall
 * clock can seem to last for hours, or no time at all, once that clock is stepped.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds since a moment that the platform chooses. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos / 1_000n) / 1_000
)
