/**
 * Several things at once, and one thing that several need at once.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

/**
 * Does it for all of them at once. The answers are in their order. Mostly there is but one of them: one group, one
 * endpoint. That one needs no fiber of its own.
 */
export const together = <A, B, E, R>(
  all: ReadonlyArray<A>,
  ask: (one: A, index: number) => Effect.Effect<B, E, R>
): Effect.Effect<ReadonlyArray<B>, E, R> =>
  all.length === 1
    ? Effect.map(ask(all[0]!, 0), (answer) => [answer])
    : Effect.forEach(all, ask, { concurrency: "unbounded" })

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
