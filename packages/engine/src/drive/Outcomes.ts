/**
 * The outcomes that several actions share: a failure with its code and its sentence, a refusal with its record, and an
 * order.
 */
import type { Fact } from "@inquorate/core/Evidence"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import { describeRefusal, type PlannedFence, type Refusal, refusalCode } from "@inquorate/core/Plan"
import type { Outcome, Session } from "./Session.ts"
import { faultOf } from "@inquorate/core/Fault"
import type { Operation } from "@inquorate/core/Operation"
import type { Millis } from "@inquorate/core/Time"

/** The failure of a step, with the sentence that says why. */
export const failed = (
  session: Session,
  error: FabricErrorCode,
  retryable: boolean,
  text: string,
  facts: ReadonlyArray<Fact> = []
): Outcome => ({
  event: { _tag: "StepFailed", at: session.timeline.now(), error, retryable },
  facts: [...facts, { _tag: "Noted", text }]
})

/** The order of these fences, by the drive that is to arm them. */
export const ordering = (
  session: Session,
  operation: Operation,
  fences: ReadonlyArray<PlannedFence>,
  verifyWithin: Millis
): Outcome => {
  const at = session.timeline.now()
  const deadline = at + faultOf(operation.request).budget(verifyWithin)
  const facts = fences.map(({ grade, member, process }): Fact => ({
    _tag: "FenceOrdered",
    member,
    host: process.host,
    grade,
    epoch: session.epoch,
    deadline
  }))
  return { event: { _tag: "FencesOrdered", at, fences, verifyWithin }, facts }
}

/** The same failure, of an order that never left us for these members. Their fences cannot stand. */
export const unsent = (session: Session, outcome: Outcome, members: ReadonlyArray<string>): Outcome => {
  const { event, facts } = outcome
  if (event._tag !== "StepFailed" || members.length === 0) return outcome
  const offAt = session.timeline.now()
  return {
    event: { ...event, unsent: members },
    facts: [
      ...facts,
      ...members.map((member): Fact => ({ _tag: "FenceLifted", member, by: "Unknown", offAt, overrun: null }))
    ]
  }
}

/** The outcome of a refusal. The operation ends as Faulted with the refusal's own code and a record of it. */
export const refusedBy = (session: Session, refusal: Refusal, facts: ReadonlyArray<Fact> = []): Outcome =>
  failed(session, refusalCode(refusal), false, describeRefusal(refusal), [...facts, { _tag: "Refused", refusal }])

/** The outcome of a cluster that is not configured any more. */
export const notConfigured = (session: Session): Outcome =>
  failed(session, "FABRIC_E_COMMUNICATION_ERROR", false, "The cluster is not configured any more")
