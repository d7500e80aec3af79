/**
 * Lifts the fences of an operation that are to go at one moment by one message. Whoever holds several members lets go of all
 * of them at once then, instead of being asked for one after the other.
 */
import type { FenceId } from "@inquorate/core/Injector"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** What a host said, line by line; null where its program is gone, frozen or busy. */
export type Answers = ReadonlyArray<string> | null

/** Says words to the program that stands by for an operation. */
export type Say = (host: string, operationId: string, words: ReadonlyArray<string>) => Effect.Effect<Answers>

/**
 * Lifts a fence, whose member is one word here, together with those that are lifted at the same moment. Null where nobody
 * answered.
 */
export const make = (
  say: Say
): ((host: string, fence: FenceId, member: string, epoch: string) => Effect.Effect<Answers>) => {
  const open = new Map<string, Batch>()
  return Effect.fnUntraced(function* (host, { attempt, operationId }, member, epoch) {
    const key = JSON.stringify([host, operationId, attempt, epoch])
    const under = open.get(key)
    if (under !== undefined) {
      under.members.push(member)
      return wordOf(yield* Deferred.await(under.answers), member)
    }
    const batch: Batch = { members: [member], answers: yield* Deferred.make<Answers>() }
    const { answers, members } = batch
    open.set(key, batch)
    // Whoever wants one lifted at this moment has said so once it is this fiber's turn again.
    const said = Effect.andThen(
      Effect.yieldNow,
      Effect.suspend(() => {
        open.delete(key)
        const of = [operationId, String(attempt)]
        return say(
          host,
          operationId,
          members.length === 1 ? ["lift", ...of, member, epoch] : ["lift_all", ...of, epoch, ...members]
        )
      })
    )
    const lines = yield* Effect.onExit(said, (exit) => {
      if (open.get(key) === batch) open.delete(key)
      return Deferred.succeed(answers, Exit.isSuccess(exit) ? exit.value : null)
    })
    return members.length === 1 ? lines : wordOf(lines, member)
  })
}

/** The answer among these lines that begins with a member's word; empty where none does. */
export const answerFor = (lines: ReadonlyArray<string>, member: string): string =>
  lines.findLast((line) => line.startsWith(`${member} `))?.slice(member.length + 1) ?? ""

// --- internal ---

interface Batch {
  readonly members: Array<string>
  readonly answers: Deferred.Deferred<Answers>
}

const wordOf = (lines: Answers, member: string): Answers => {
  const answer = lines === null ? "" : answerFor(lines, member)
  return answer === "" ? null : [answer]
}
