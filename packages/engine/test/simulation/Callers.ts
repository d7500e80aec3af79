/**
 * The callers of a life: they start operations and ask for their end at random moments through random workers. One that
 * hears nothing, or that the store is away, asks again through another worker, as a client does.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Guid } from "@inquorate/core/Guid"
import type { QuorumLossRequest } from "@inquorate/core/Request"
import type { RequestRefused } from "@inquorate/core/Operations"
import type { Millis } from "@inquorate/core/Time"
import type { Seed } from "@inquorate/testkit/Seed"
import type { Life, Worker } from "./Life.ts"

/** The id of the n-th operation of a life. */
export const operationId = (n: number): Guid => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`

/**
 * Sends so many callers on their way, each at a moment of its own within `span`. The first comes at once; with a
 * `firstHold` it asks for that, on the first cluster.
 */
export const send = (life: Life, operations: number, span: Millis, firstHold: Millis | null): void => {
  const seed = life.seed.fork("callers")
  for (let n = 1; n <= operations; n++) {
    const begins = n === 1 ? 100 : seed.below(span)
    life.time.after(begins, life.fate, () => start(life, seed, n, n === 1 ? firstHold : null, tries))
    if (seed.percent(40) && operations > 1) {
      const asks = begins + seed.below(seed.pick([400, 1500, 8000]))
      life.time.after(asks, life.fate, () => cancel(life, seed, n, false, tries))
      if (seed.percent(50)) {
        life.time.after(asks + seed.pick([10, 40, 200, 2500]), life.fate, () => cancel(life, seed, n, true, tries))
      }
    }
  }
}

/** Sends one caller now, who asks for a hold of one length on the first cluster. */
export const startOne = (life: Life, n: number, hold: Millis): void =>
  start(life, life.seed.fork(`caller ${n}`), n, hold, tries)

// --- internal ---

const tries = 6
/** How long a caller waits for an answer before it asks another worker. */
const patience: Millis = 3000

const start = (life: Life, seed: Seed, n: number, hold: Millis | null, left: number): void => {
  const group = hold === null ? seed.pick(life.groups) : life.groups[0]!
  const request: QuorumLossRequest = {
    kind: "PartitionQuorumLoss",
    serviceName: group.serviceName,
    partitionId: group.partitionId,
    mode: seed.percent(20) ? "AllReplicas" : "QuorumReplicas",
    hold: hold ?? seed.pick([0, 300, 1000, 2500, 5000])
  }
  const guard = hold === null && seed.percent(20)
  ask(
    life,
    seed,
    left,
    (worker) => worker.operations!.start(operationId(n), request, { guard, maxHold: "configured" }),
    {
      yes: () => {
        life.invariants.accepted(operationId(n))
        life.count("operation accepted")
      },
      no: ({ code }) => {
        // The caller's own request of before, whose answer it never heard.
        if (code === "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS") life.invariants.accepted(operationId(n))
        life.count(`start answered ${code}`)
        return code === "E_ABORT"
      }
    }
  )
}

const cancel = (life: Life, seed: Seed, n: number, force: boolean, left: number): void =>
  ask(life, seed, left, (worker) => worker.operations!.cancel(operationId(n), force), {
    yes: () => {
      life.invariants.cancelled(operationId(n), force)
      life.count(force ? "cancel by force accepted" : "cancel accepted")
    },
    no: ({ code }) => {
      life.count(`cancel answered ${code}`)
      return code === "E_ABORT"
    }
  })

interface Answers {
  readonly yes: () => void
  /** True where it is worth to ask again. */
  readonly no: (refused: RequestRefused) => boolean
}

const ask = <A>(
  life: Life,
  seed: Seed,
  left: number,
  question: (worker: Worker) => Effect.Effect<A, RequestRefused>,
  answers: Answers
): void => {
  const { fate, time } = life
  const again = (): void => {
    if (left > 0) time.after(seed.between(50, 1500), fate, () => ask(life, seed, left - 1, question, answers))
  }
  const able = life.workers().filter(({ operations }) => operations !== null)
  if (able.length === 0) return again()
  const worker = seed.pick(able)
  let heard = false
  worker.process.run(Effect.result(Effect.suspend(() => question(worker))), (exit) => {
    if (Exit.isFailure(exit)) return
    const answer = exit.value
    // The answer reaches its caller even where the caller has given up: what was said was said.
    fate.enqueue(() => {
      const first = !heard
      heard = true
      if (Result.isSuccess(answer)) return answers.yes()
      if (answers.no(answer.failure) && first) again()
    })
  })
  time.after(patience, fate, () => {
    if (heard) return
    heard = true
    life.count("caller heard nothing")
    again()
  })
}
