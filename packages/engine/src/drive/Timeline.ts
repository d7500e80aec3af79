/**
 * One drive's time. UTC is read once, at the start, and the monotonic clock carries it on. So a stepped wall clock
 * moves neither the hold nor the samples. A drive reads UTC from the store, by whose clock all workers agree. So a
 * takeover by a worker whose own clock is wrong moves them neither. Everything that is stored is in this UTC.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Instant, Millis } from "@inquorate/core/Time"
import { monotonicMillis } from "../Monotonic.ts"

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

/**
 * Anchors a time now, by our own wall clock as far as `utc` bears it out; for a drive that is the store's clock. Its
 * answer was true at some moment between question and answer. Where the two were far apart it is asked again, so that
 * neither a slow answer nor a freeze of ours lets a wrong clock pass.
 */
export const make = <E>(utc: Effect.Effect<Instant, E>): Effect.Effect<Timeline, E> =>
  Clock.clockWith((clock) =>
    Effect.gen(function* () {
      let least = -Infinity
      let most = Infinity
      for (let asked = 0; asked < askedMost && most - least > nearEnough; asked++) {
        const before = monotonicMillis(clock)
        const told = Math.floor(yield* utc)
        least = Math.max(least, told - monotonicMillis(clock))
        most = Math.min(most, told - before)
      }
      return between(clock, least, most)
    })
  )

/**
 * A time that is ahead of the monotonic clock by something between these. Where our wall clock lies between them, by
 * what it says.
 */
export const between = (clock: Clock.Clock, least: Millis, most: Millis): Timeline => {
  const own = Math.floor(clock.currentTimeMillisUnsafe()) - monotonicMillis(clock)
  return anchored(clock, Math.max(least, Math.min(most, own)))
}

// --- internal ---

const askedMost = 3
/** How far question and answer may be apart. */
const nearEnough: Millis = 50

const anchored = (clock: Clock.Clock, offset: number): Timeline => {
  const monotonic = (): Millis => monotonicMillis(clock)
  const now = (): Instant => offset + monotonic()
  const sleepUntil = (instant: Instant): Effect.Effect<void> =>
    Effect.suspend(() => {
      const remaining = instant - now()
      return remaining <= 0 ? Effect.void : Effect.andThen(Effect.sleep(remaining), sleepUntil(instant))
    })
  const toWall = (instant: Instant): Instant => instant - now() + Math.floor(clock.currentTimeMillisUnsafe())
  return { now, monotonic, sleepUntil, toWall }
}
