/** What many may need at one moment and one of them asks for. */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

/**
 * Gives what is known, or asks for it. Of all who need it at one moment one asks, and the others look again once it has
 * its answer. Where it is known, nobody waits for anybody.
 */
export const oneAsks = <A, E, R>(known: () => A | null, ask: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const orKnown = (otherwise: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const value = known()
      return value === null ? otherwise : Effect.succeed(value)
    })
  return orKnown(Semaphore.makeUnsafe(1).withPermits(1)(orKnown(ask)))
}
