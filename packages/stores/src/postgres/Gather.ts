/**
 * Questions that share a message. What is asked while an answer is on its way goes with the next question, all of it in
 * one message. No answer is older than its question.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { StoreError } from "@inquorate/core/OperationStore"

/** Asks many at once. The answers are in the order of the questions. */
export type AskAll<Question, Answer> = (
  questions: ReadonlyArray<Question>
) => Effect.Effect<ReadonlyArray<Result.Result<Answer, StoreError>>, StoreError>

/** Makes a way to ask one, of which so many go in one message. When the scope closes, what waits is interrupted. */
export const make = <Question, Answer>(
  askAll: AskAll<Question, Answer>,
  atOnce = 256
): Effect.Effect<(question: Question) => Effect.Effect<Answer, StoreError>, never, Scope.Scope> =>
  Effect.gen(function* () {
    interface Pending {
      readonly question: Question
      readonly answer: Deferred.Deferred<Answer, StoreError>
    }
    const scope = yield* Effect.scope
    let waiting: Array<Pending> = []
    let asking = false

    const askSome = (some: ReadonlyArray<Pending>): Effect.Effect<void> =>
      askAll(some.map(({ question }) => question)).pipe(
        Effect.map((answers) =>
          some.forEach(({ answer }, index) => Deferred.doneUnsafe(answer, Effect.fromResult(answers[index]!)))
        ),
        Effect.catchCause((cause) =>
          Effect.sync(() => some.forEach(({ answer }) => Deferred.doneUnsafe(answer, Effect.failCause(cause))))
        )
      )
    const askOn: Effect.Effect<void> = Effect.gen(function* () {
      // A question that is asked in the same turn comes along.
      yield* Effect.yieldNow
      while (waiting.length > 0) {
        const some = waiting.slice(0, atOnce)
        waiting = waiting.slice(atOnce)
        yield* askSome(some)
      }
    }).pipe(Effect.ensuring(Effect.sync(() => void (asking = false))))

    return (question) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<Answer, StoreError>()
        waiting.push({ question, answer })
        if (asking) return Deferred.await(answer)
        asking = true
        return Effect.andThen(Effect.forkIn(askOn, scope), Deferred.await(answer))
      })
  })
