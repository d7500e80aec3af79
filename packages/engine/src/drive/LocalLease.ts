/**
 * What this process may assume of its own lease, by its own monotonic clock alone. The epoch protects rows; this
 * protects the world. A worker that was frozen past its lease does nothing outside until it has renewed the lease and
 * read its operations again.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { Millis } from "@inquorate/core/Time"
import { monotonicMillis } from "../Monotonic.ts"

/** What this process may assume of its own lease. */
export interface LocalLease {
  /**
   * Waits until the lease is live, and gives the last moment, on the monotonic clock, at which something may begin that
   * the lease allows: the end of the lease. Both come from one reading, so that a freeze in between only makes the
   * order late.
   */
  readonly permit: Effect.Effect<Millis>
  /** True while the lease is live. */
  readonly isLive: Effect.Effect<boolean>
  /**
   * Extends the lease. It is called only after the store has named what this worker still owns, and the rest was let
   * go.
   */
  readonly renew: (expires: Millis) => void
}

/** A lease that has yet to be taken. */
export const make: Effect.Effect<LocalLease> = Clock.clockWith((clock) =>
  Effect.sync(() => {
    let expires: Millis = 0
    const renewed = Latch.makeUnsafe(false)
    const permit: Effect.Effect<Millis> = Effect.suspend(() => {
      if (monotonicMillis(clock) < expires) return Effect.succeed(expires)
      renewed.closeUnsafe()
      return Effect.andThen(renewed.await, permit)
    })
    return {
      permit,
      isLive: Effect.sync(() => monotonicMillis(clock) < expires),
      renew: (until) => {
        expires = until
        renewed.openUnsafe()
      }
    }
  })
)
