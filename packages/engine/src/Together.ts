/**
 * Several things at once. Mostly there is but one of them: one group, one endpoint. That one needs no fiber of its own.
 */
import * as Effect from "effect/Effect"

/** Does it for all of them at once. The answers are in their order. */
export const together = <A, B, E, R>(
  all: ReadonlyArray<A>,
  ask: (one: A, index: number) => Effect.Effect<B, E, R>
): Effect.Effect<ReadonlyArray<B>, E, R> =>
  all.length === 1
    ? Effect.map(ask(all[0]!, 0), (answer) => [answer])
    : Effect.forEach(all, ask, { concurrency: "unbounded" })
