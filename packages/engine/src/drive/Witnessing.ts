/**
 * Asks those who depend on a cluster, through a whole drive. Each gets one question at a time, and gently. A change of
 * the answer is noted. After the end they are asked on until they serve again, for a bounded time.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Cluster } from "@inquorate/core/Cluster"
import type { WitnessAnswer } from "@inquorate/core/Evidence"
import type { Millis } from "@inquorate/core/Time"
import { gentlest, type Witness } from "@inquorate/core/Witness"
import type { Journal } from "./Journal.ts"
import type { Timeline } from "./Timeline.ts"

/** The witnesses of one drive. */
export interface Witnessing {
  /** Asks the witnesses of a cluster from now on, each once, however often this is called. */
  readonly begin: (cluster: Cluster) => Effect.Effect<void>
  /** Waits until every one of them has served since now, for `untilServedMost` at most, and stores what they said. */
  readonly untilServed: Effect.Effect<void>
}

/** How long those who depend on a cluster are asked on after the end of an operation, if they do not serve. */
const untilServedMost: Millis = 60_000

/** Asks nobody yet. Whoever is asked is asked until the scope closes. */
export const make = (journal: Journal, timeline: Timeline): Effect.Effect<Witnessing, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const begun = new Map<string, Asked>()

    const askOnce = (asked: Asked): Effect.Effect<void> =>
      Effect.gen(function* () {
        const sentAt = timeline.now()
        const answer = yield* asked.witness.ask.pipe(
          Effect.timeoutOrElse({
            duration: answerMost,
            orElse: () => Effect.succeed(silent(`no answer within ${answerMost} ms`))
          }),
          Effect.catchDefect((defect) => Effect.succeed(silent(String(defect).slice(0, 200))))
        )
        note(asked, { sentAt, endedAt: timeline.now(), answer })
        if (answer._tag === "Serves") asked.served = sentAt
        yield* asked.heard.open
      })
    const note = (asked: Asked, reading: Reading): void => {
      const { last } = asked
      const isNew = last === null || JSON.stringify(last.answer) !== JSON.stringify(reading.answer)
      if (isNew) tell(asked)
      asked.last = reading
      asked.untold += 1
      if (isNew || asked.untold >= toldEvery) tell(asked)
    }
    const tell = (asked: Asked): void => {
      if (asked.last === null || asked.untold === 0) return
      journal.note({ _tag: "Witnessed", witness: asked.witness.name, ...asked.last, times: asked.untold })
      asked.untold = 0
    }

    return {
      begin: (cluster) =>
        Effect.gen(function* () {
          for (const witness of [...(cluster.witnesses ?? []), ...(cluster.target.witnesses ?? [])]) {
            const name = `${cluster.name} ${witness.name}`
            if (begun.has(name)) continue
            const asked: Asked = { witness, heard: Latch.makeUnsafe(false), last: null, untold: 0, served: -1 }
            begun.set(name, asked)
            const every = Math.max(gentlest, witness.every)
            yield* Effect.forkIn(
              Effect.ensuring(
                Effect.forever(Effect.andThen(askOnce(asked), Effect.sleep(every))),
                Effect.sync(() => tell(asked))
              ),
              scope
            )
          }
        }),
      untilServed: Effect.gen(function* () {
        if (begun.size === 0) return
        const since = timeline.now()
        const served = Effect.forEach(begun.values(), (asked) => servedSince(asked, since), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Effect.timeoutOption(served, untilServedMost)
        for (const asked of begun.values()) tell(asked)
        yield* Effect.ignore(journal.flush)
      })
    }
  })

// --- internal ---

interface Reading {
  readonly sentAt: number
  readonly endedAt: number
  readonly answer: WitnessAnswer
}

interface Asked {
  readonly witness: Witness
  /** Open once an answer was heard since it was last waited for. */
  readonly heard: Latch.Latch
  last: Reading | null
  untold: number
  /** When the question was sent to which it last gave the right answer; before all time where it never did. */
  served: number
}

/** A witness bounds itself. This is for one that does not. */
const answerMost: Millis = 15_000
/** So many answers of one kind are told together. */
const toldEvery = 10

const silent = (detail: string): WitnessAnswer => ({ _tag: "Silent", detail })

const servedSince = (asked: Asked, since: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (asked.served < since) {
      asked.heard.closeUnsafe()
      yield* asked.heard.await
    }
  })
