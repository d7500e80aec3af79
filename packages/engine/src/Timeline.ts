/**
 * One drive's time. UTC is read once, at the start, and carried on by the monotonic clock, so that a stepped wall clock
 * moves neither the hold nor the samples. Everything that is stored is in this UTC.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Instant, Millis } from "@inquorate/core/Time"

/** One drive's time. */
export interface Timeline {
  /** The moment in UTC, from the anchor and the monotonic clock. */
  readonly now: () => Instant
  /** Milliseconds on the worker's monotonic clock. */
  readonly monotonic: () => Millis
  /** Sleeps to a moment, never short of it. */
  readonly sleepUntil: (instant: Instant) => Effect.Effect<void>
  /** The same moment by the wall clock as it stands now, for those who count remaining time from it. */
  readonly toWall: (instant: Instant) => Instant
}

/** Anchors a drive's time now. */
export const make: Effect.Effect<Timeline> = Clock.clockWith((clock) =>
  Effect.sync(() => {
    const monotonic = (): Millis => monotonicMillis(clock)
    const offset = Math.floor(clock.currentTimeMillisUnsafe()) - monotonic()
    const now = (): Instant => offset + monotonic()
    const sleepUntil = (instant: Instant): Effect.Effect<void> =>
      Effect.suspend(() => {
        const remaining = instant - now()
        return remaining <= 0 ? Effect.void : Effect.andThen(Effect.sleep(remaining), sleepUntil(instant))
      })
    const toWall = (instant: Instant): Instant => instant - now() + Math.floor(clock.currentTimeMillisUnsafe())
    return { now, monotonic, sleepUntil, toWall }
  })
)

/** Milliseconds on a clock's monotonic hand. */
export const monotonicMillis = (clock: Clock.Clock): Millis => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
