/**
 * A question that is asked of one server again and again, at most once at a time. An asker waits for a server that
 * stands still only as long as the asker wants to. The question stays open without him, and the next asker waits for
 * the same answer. So a long stop does not pile up requests in front of the server.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "./Monotonic.ts"

/** Asks, and waits for `patience` milliseconds. Then it fails with the error that `late` makes. */
export type Ask<A, E> = (patience: number) => Effect.Effect<A, E>

/** How a question is kept open and given up. */
export interface OpenQuestionOptions<E> {
  /** After how many milliseconds the next asker interrupts a question that is open. */
  readonly giveUp: () => number
  /** The error for an asker that has waited for so many whole milliseconds. */
  readonly late: (after: number) => E
  /** Is told how long each answer took, and when it came. */
  readonly took?: (millis: number, now: number) => void
}

/** Makes a question, which `exchange` puts to the server. */
export const make = Effect.fnUntraced(function* <A, E>(
  exchange: Effect.Effect<A, E>,
  { giveUp, late, took }: OpenQuestionOptions<E>
): Effect.fn.Return<Ask<A, E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let open: Open<A, E> | undefined

  const begin = Effect.gen(function* () {
    const begun: Open<A, E> = {
      answer: yield* Deferred.make<A, E>(),
      abandoned: yield* Deferred.make<never, E>(),
      since: yield* monotonicMillis
    }
    open = begun
    yield* exchange.pipe(
      Effect.raceFirst(Deferred.await(begun.abandoned)),
      Effect.onExit((exit) =>
        Effect.map(monotonicMillis, (now) => {
          if (exit._tag === "Success") took?.(now - begun.since, now)
          if (open === begun) open = undefined
          Deferred.doneUnsafe(begun.answer, exit)
        })
      ),
      Effect.forkIn(scope)
    )
    return begun
  })
  return (patience) =>
    Effect.gen(function* () {
      if (open !== undefined && (yield* monotonicMillis) - open.since > giveUp()) {
        Deferred.doneUnsafe(open.abandoned, Effect.fail(late(Math.round(giveUp()))))
        open = undefined
      }
      const asked = open ?? (yield* Effect.uninterruptible(begin))
      return yield* Deferred.await(asked.answer).pipe(
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(late(Math.round(patience))) })
      )
    })
})

// --- internal ---

interface Open<A, E> {
  readonly answer: Deferred.Deferred<A, E>
  readonly abandoned: Deferred.Deferred<never, E>
  readonly since: number
}
