/**
 * An operation shown as it happens: every change of phase, every probe write and every verdict as a line of its own,
 * and on a terminal one live line under them with the countdown. Pure: changes in, lines out.
 */
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import type { Operation } from "@inquorate/core/Operation"
import type { OperationChange } from "@inquorate/core/Operations"
import { describeRefusal } from "@inquorate/core/Plan"
import { formatMillis, type Instant } from "@inquorate/core/Time"
import { stateOf } from "@inquorate/core/Wire"
import { sampleLine } from "./Report.ts"

/** The lines that a change adds, each with the time since the operation was received. */
export const changeLines = (change: OperationChange): ReadonlyArray<string> =>
  change.entries.flatMap((entry) =>
    factLines(entry).map((line) => `${elapsed(entry.at - change.operation.receivedAt)}  ${line}`)
  )

/** The live line: the state, the phase, and what is left of the hold at this moment. */
export const liveLine = (operation: Operation, now: Instant): string => {
  const { stage } = operation
  const state = stateOf(stage)
  if (stage._tag === "Undoing") return `${state}  ${stage.phase === "Lifting" ? "lifting" : "probing"}`
  if (stage._tag !== "Advancing") return state
  const { step } = stage
  if (step._tag !== "PerformingActions") return `${state}  ${step._tag}`
  const { phase } = step
  return phase._tag === "Holding"
    ? `${state}  Holding, ${formatMillis(Math.max(0, phase.liftAt - now))} left`
    : `${state}  ${phase._tag}`
}

// --- internal ---

const elapsed = (millis: number): string => `${(Math.max(0, millis) / 1000).toFixed(2).padStart(7)} s`

const factLines = ({ fact }: EvidenceEntry): ReadonlyArray<string> => {
  switch (fact._tag) {
    case "PhaseBegan":
      return [fact.attempt === 1 ? fact.phase : `${fact.phase} (attempt ${fact.attempt})`]
    case "OwnerChanged":
      return fact.epoch === 1 ? [] : [`  taken over by ${fact.worker} (epoch ${fact.epoch})`]
    case "Unobserved":
      return [`  nobody watched for ${formatMillis(fact.span)}`]
    case "TopologySeen":
      return []
    case "Planned":
      return [`  ${fact.plan.arithmetic}`]
    case "Refused":
      return [`  refused (${fact.refusal._tag}): ${describeRefusal(fact.refusal)}`]
    case "FenceOrdered":
      return [`  fence ordered for ${fact.member} on ${fact.host} (${fact.grade.toLowerCase()} grade)`]
    case "FenceArmed":
      return [`  ${fact.member} is out: ${fact.processes} processes stopped`]
    case "FenceTightened":
      return []
    case "FenceLifted":
      if (fact.overrun === null) return [`  ${fact.member} was never out; its order is void`]
      return [
        `  ${fact.member} is back, lifted by the ${fact.by.toLowerCase()}${
          fact.overrun > 0 ? `, ${formatMillis(fact.overrun)} late` : ""
        }`
      ]
    case "FenceUnknown":
      return [`  ${fact.member}: not known whether the fence is off (${fact.detail})`]
    case "Sampled":
      return fact.samples.map((sample) => `  ${sampleLine(sample)}`)
    case "Heard":
      return [`  survivors: ${fact.survivors.detail}`]
    case "Judged":
      return [`  ${fact.verdict.about}: ${fact.verdict.outcome} (${fact.verdict.facts.join("; ")})`]
    case "HoldMeasured":
      return [`  held ${fact.measured} ms of the ${fact.asked} ms asked`]
    case "RecoveryMeasured":
      return [`  first new write acknowledged ${fact.recovery} ms after the lift`]
    case "Noted":
      return [`  ${fact.text}`]
  }
}
