/**
 * The way back. It lifts until every host has said "off" or every expiry on record is over, and then probes, as
 * evidence. The sweep of a residue goes on in the background after an operation has ended without its hosts' word.
 */
import * as Effect from "effect/Effect"
import type { Fact, ProbeSample } from "@inquorate/core/Evidence"
import type { Order } from "@inquorate/core/Operation"
import { formatMillis } from "@inquorate/core/Time"
import { noneAcknowledged } from "@inquorate/core/Verdict"
import { holdFacts, liftAll, liftFacts } from "./Lifting.ts"
import { seeReturn } from "./Recovering.ts"
import type { Outcome, Session } from "./Session.ts"

/** Lifts every fence of an undone operation. */
export const undoLift = (session: Session, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const lifted = yield* liftAll(session, order, { patient: false })
    const facts = liftFacts(order, lifted)
    if (lifted._tag === "Expired") {
      return { event: { _tag: "UndoEnded", at: session.timeline.now(), clean: false }, facts }
    }
    return {
      event: { _tag: "FencesLifted", at: lifted.liftedAt },
      facts: [...facts, ...holdFacts(session, lifted.liftedAt)]
    }
  })

/** Sees whether writes come back, for a bounded time. What it sees is evidence, and changes no end. */
export const undoProbe = (session: Session, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { timeline } = session
    const liftedAt = session.known.liftedAt ?? session.began
    const { acknowledged, back, samples } = yield* seeReturn(session, order, liftedAt, probeAtMost)
    const within = ` within ${formatMillis(probeAtMost)}`
    const words =
      acknowledged === null
        ? noneAcknowledged(samples, liftedAt, within)
        : `writes came back, but not every member${within} of the lift`
    const facts = !back ? [stayedAway(words)] : acknowledged === null ? [] : cameBack(acknowledged, liftedAt)
    return { event: { _tag: "UndoEnded", at: timeline.now(), clean: true }, facts }
  })

/** Lifts what may stand of an ended operation until its hosts have said "off", however long that takes. */
export const sweep = (session: Session, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const lifted = yield* liftAll(session, order, { patient: true })
    return { event: { _tag: "ResidueSwept", at: session.timeline.now() }, facts: liftFacts(order, lifted) }
  })

// --- internal ---

const probeAtMost = 10_000

const cameBack = ({ endedAt }: ProbeSample, liftedAt: number): ReadonlyArray<Fact> => {
  const recovery = Math.max(0, (endedAt ?? liftedAt) - liftedAt)
  const facts = [`a write sent after the lift was acknowledged ${formatMillis(recovery)} after it`]
  return [
    { _tag: "RecoveryMeasured", recovery },
    { _tag: "Judged", verdict: { about: "Recovery", outcome: "Confirmed", facts } }
  ]
}

const stayedAway = (words: string): Fact => ({
  _tag: "Judged",
  verdict: { about: "Recovery", outcome: "Inconclusive", facts: [words] }
})
