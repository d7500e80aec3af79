/**
 * Time for lengths: the monotonic hand of a clock, which no step of the wall clock moves. Every room may read it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Millis } from "@inquorate/core/Time"

/** Milliseconds on a clock's monotonic hand. */
export const monotonicMillis = (clock: Clock.Clock): Millis => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** Milliseconds on the monotonic hand of the clock that is current when this runs. */
export const monotonicNow: Effect.Effect<Millis> = Clock.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))
