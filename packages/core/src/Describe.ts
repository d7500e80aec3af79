/**
 * An operation in words for a person: the one sentence that says how it ended, what its clients felt or why it failed,
 * and the few words that say what it does now. It is pure, and the only place that has these sentences. So the command
 * line, a log, a page and a user's own program say the same.
 */
import type { Evidence, ProbeSample } from "./Evidence.ts"
import type { FabricErrorCode } from "./FabricError.ts"
import { dueAt, isTerminal, type Operation, type Order } from "./Operation.ts"
import { faultOf } from "./Fault.ts"
import { describeRefusal } from "./Plan.ts"
import type { NodeRequest, RequestOf } from "./Request.ts"
import { formatInstant, formatMillis, type Instant } from "./Time.ts"
import { stateOf } from "./Wire.ts"

// --- models ---

/** How moments are written: in UTC unless given. */
export interface Words {
  readonly moment?: (instant: Instant) => string
}

// --- make ---

/**
 * How an operation ended, in one or two sentences. Without its evidence it says less: neither how long the loss was
 * felt, nor on which fact it failed. Of an operation that lives it says what `phaseOf` does.
 */
export const describe = (operation: Operation, evidence: Evidence | null, words: Words = {}): string => {
  const { stage } = operation
  const moment = words.moment ?? formatInstant
  if (!isTerminal(operation)) return sentence(phaseOf(operation, operation.receivedAt, words))
  if (stage._tag === "Completed") return completed(operation, stage.standing ?? null, evidence, moment)
  if (stage._tag !== "Failed") return ""
  const left =
    stage.residue._tag === "Unknown"
      ? `It is not known whether everything that was stopped runs again: each fence ends by itself by ${moment(stage.residue.until)}, and "inq doctor --sweep" on its host looks after it`
      : ""
  if (stage.reason === "force") {
    return sentences(`Cancelled by force: nobody waited for the lift`, left === "" ? "Nothing of it stands" : left)
  }
  if (stage.reason === "cancel") {
    return sentences(
      `Cancelled${heldFor(evidence)}: ${left === "" ? whatBecame(evidence) : "it was to be lifted"}`,
      left
    )
  }
  const stuck = left === "" ? undefined : standingOf(evidence)
  return stuck === undefined
    ? sentences(`Faulted: ${whyOf(stage.error, evidence)}${left === "" ? `; ${whatBecame(evidence)}` : ""}`, left)
    : sentence(`Faulted: ${stuck}`)
}

/** What an operation does at this moment, in a few words; of one that has ended, its state. */
export const phaseOf = (operation: Operation, now: Instant, words: Words = {}): string => {
  const { attempt, stage } = operation
  const moment = words.moment ?? formatInstant
  const again = attempt === 1 ? "" : ` (attempt ${attempt})`
  if (stage._tag === "Completed" || stage._tag === "Failed") return stateOf(stage)
  if (stage._tag === "Undoing") {
    const why = { cancel: "cancelled", fail: "failed", retry: "to try again" }[stage.reason]
    return stage.phase === "Lifting" ? `lifting (${why})` : `waiting for writes to go through (${why})`
  }
  const { step } = stage
  if (step._tag === "IntentSaved" || step._tag === "LookingUpState") {
    const due = dueAt(operation, now)
    if (due > now) return `waiting ${formatMillis(due - now)} before attempt ${attempt}`
    return step._tag === "IntentSaved" ? `waiting for its turn${again}` : `looking at the group${again}`
  }
  const { order, phase } = step
  switch (phase._tag) {
    case "Arming":
      return `${faultOf(operation.request).words.arming} ${namesOf(order)}${again}`
    case "Destroying":
      return `${faultOf(operation.request).act?.doing ?? "acting"}${again}`
    case "Verifying":
      return `with ${namesOf(order)} out, waiting until no write goes through${again}`
    case "Holding":
      return `quorum lost, ${formatMillis(Math.max(0, phase.liftAt - now))} left, until ${moment(phase.liftAt)}`
    case "Lifting":
      return faultOf(operation.request).words.lifting(namesOf(order))
    case "Recovering":
      return "lifted; waiting for writes to go through again"
  }
}

/** An operation in a few words: what it does at this moment, or how it ended. */
export const describeBriefly = (operation: Operation, now: Instant, words: Words = {}): string => {
  const { stage } = operation
  if (stage._tag === "Completed") return briefly(operation, stage.standing ?? null, words.moment ?? formatInstant)
  if (stage._tag !== "Failed") return phaseOf(operation, now, words)
  const why =
    stage.reason === "force"
      ? "cancelled by force"
      : stage.reason === "cancel"
        ? "cancelled"
        : describeCode(stage.error)
  return stage.residue._tag === "Unknown" ? `${why}; may still stand` : why
}

/** What became of the probe's writes: how many were answered promptly, held back until after the lift, or never answered. */
export const describeWrites = (evidence: Evidence): string => {
  const { samples } = evidence
  const lifted = evidence.phases.findLast(({ phase }) => phase === "Lifting")?.began
  const acknowledged = samples.filter(({ outcome }) => outcome?._tag === "Acknowledged")
  const held = acknowledged.filter(
    ({ endedAt, sentAt }) => lifted !== undefined && sentAt < lifted && endedAt !== null && endedAt >= lifted
  )
  const refused = samples.filter(({ outcome }) => outcome?._tag === "Refused").length
  const lost = samples.length - acknowledged.length - refused
  const longest = Math.max(0, ...held.map(tookOf))
  return [
    `${samples.length} ${samples.length === 1 ? "write" : "writes"}: ${acknowledged.length - held.length} prompt`,
    ...(held.length === 0 ? [] : [`${held.length} held back ${formatMillis(longest)} until after the lift`]),
    ...(refused === 0 ? [] : [`${refused} refused`]),
    `${lost} ${lost === 0 ? "lost" : "without an answer"}`
  ].join(", ")
}

/** What an error code means for an operation, in a few words for a person. */
export const describeCode = (code: FabricErrorCode): string => meanings[code] ?? code

// --- internal ---

const meanings: Partial<Record<FabricErrorCode, string>> = {
  E_ABORT: "the fault could not be proven",
  FABRIC_E_TIMEOUT: "the recovery could not be proven in time",
  FABRIC_E_INVALID_OPERATION: "a guard said no",
  FABRIC_E_COMMUNICATION_ERROR: "a host or the cluster could not be reached",
  FABRIC_E_PARTITION_NOT_FOUND: "there is no such partition",
  FABRIC_E_SERVICE_DOES_NOT_EXIST: "there is no such service",
  FABRIC_E_NODE_NOT_FOUND: "there is no such node"
}

const briefly = ({ request }: Operation, standing: Order | null, moment: (instant: Instant) => string): string => {
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return "lost, and given back"
    case "PartitionDataLoss":
      return "data gone, works again"
    case "PartitionRestart":
      return "restarted"
    case "NodeTransition":
      if (request.transition !== "Stop") return request.transition === "Start" ? "started" : "restarted"
      return standing === null ? "stopped" : `stopped until ${moment(standing.deadline)}`
  }
}

const completed = (
  operation: Operation,
  standing: Order | null,
  evidence: Evidence | null,
  moment: (instant: Instant) => string
): string => {
  const { request } = operation
  const back =
    evidence?.recovery == null ? "" : `${formatMillis(evidence.recovery)} after the lift writes went through again`
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return lossCompleted(request, evidence, back)
    case "PartitionDataLoss":
      return request.member === undefined
        ? sentence("The data is gone, and the group works again")
        : sentence(`The replica ${request.member} was removed with its data, and another one was built in its place`)
    case "PartitionRestart":
      return restartCompleted(evidence, back)
    case "NodeTransition":
      return transitionCompleted(request, standing, back, moment)
  }
}

const lossCompleted = ({ hold }: RequestOf<"PartitionQuorumLoss">, evidence: Evidence | null, back: string): string => {
  const held = evidence?.hold == null ? hold : evidence.hold.measured
  const unobserved =
    evidence === null || evidence.unobserved === 0
      ? ""
      : evidence.unobserved < held
        ? `, of which nobody watched for ${formatMillis(evidence.unobserved)}`
        : `, though nobody watched its end (${formatMillis(evidence.unobserved)})`
  return back === ""
    ? sentence(`No write was acknowledged for ${formatMillis(held)}${unobserved}, and then writes went through again`)
    : sentence(`No write was acknowledged for ${formatMillis(held)}${unobserved}; ${back}`)
}

const restartCompleted = (evidence: Evidence | null, back: string): string => {
  const members = evidence?.fences.map(({ member }) => member) ?? []
  return sentences(
    members.length === 0
      ? "The members were restarted"
      : members.length === 1
        ? `The member ${members[0]} was restarted`
        : `The members ${listed(members)} were restarted`,
    back
  )
}

const transitionCompleted = (
  request: NodeRequest,
  standing: Order | null,
  back: string,
  moment: (instant: Instant) => string
): string => {
  const { nodeName } = request
  switch (request.transition) {
    case "Start":
      return sentence(`The node ${nodeName} was started`)
    case "Restart":
      return sentences(`The node ${nodeName} was restarted`, back)
    case "Stop":
      return standing === null
        ? sentence(`The node ${nodeName} was stopped`)
        : sentence(
            `The node ${nodeName} is stopped until ${moment(standing.deadline)}, and then starts by itself; "inq node start ${nodeName}" starts it before`
          )
  }
}

const heldFor = (evidence: Evidence | null): string => {
  const hold = evidence?.hold
  if (hold != null) return ` after the quorum was lost for ${formatMillis(hold.measured)}`
  const held = evidence?.phases.findLast(({ phase }) => phase === "Holding")?.duration
  return held == null ? "" : ` ${formatMillis(held)} into the loss`
}

// Why a step failed: the guard that said no, the judgement that did not come out, or the last word that was noted.
const whyOf = (code: FabricErrorCode, evidence: Evidence | null): string => {
  if (evidence === null) return describeCode(code)
  const refusal = evidence.refusals.at(-1)
  if (refusal !== undefined) return trimmed(describeRefusal(refusal))
  const verdict = evidence.verdicts.findLast(({ outcome }) => outcome !== "Confirmed")
  if (verdict !== undefined) return `${verdictWords[verdict.about]} (${verdict.facts.join("; ")})`
  const note = evidence.notes.at(-1)
  return note === undefined ? describeCode(code) : trimmed(note.text)
}

// What keeps a fence standing after its time, where that is what the operation failed on: it says what to do by itself.
const standingOf = (evidence: Evidence | null): string | undefined => {
  if (evidence === null || evidence.refusals.length > 0) return undefined
  if (evidence.verdicts.some(({ outcome }) => outcome !== "Confirmed")) return undefined
  const problem = evidence.fences.find(({ offAt, problem }) => offAt === null && problem !== "")?.problem
  return problem === undefined ? undefined : trimmed(problem)
}

const verdictWords = {
  Loss: "the loss was not proven",
  Hold: "the loss did not last",
  Recovery: "the recovery was not proven"
} as const

const whatBecame = (evidence: Evidence | null): string => {
  if (evidence === null) return "nothing of it stands"
  const stopped = evidence.fences.filter(({ processes }) => processes !== null)
  const standing = stopped.filter(({ offAt }) => offAt === null)
  if (standing.length > 0) return `it is not known whether ${listed(standing.map(({ member }) => member))} runs again`
  const names = [...new Set(stopped.map(({ member }) => member))]
  const is = (all: ReadonlyArray<string>): string => (all.length === 1 ? "is" : "are")
  if (names.length > 0) return `${listed(names)} ${names.length === 1 ? "was" : "were"} taken out and ${is(names)} back`
  // Its host had a record of such a fence before the lift, but no worker saw how many processes it stopped.
  const unseen = [...new Set(evidence.fences.filter(({ overrun }) => overrun !== null).map(({ member }) => member))]
  if (unseen.length === 0) return "nothing was stopped"
  return `${listed(unseen)} may have been taken out, and ${is(unseen)} back`
}

const tookOf = ({ endedAt, sentAt }: ProbeSample): number => (endedAt === null ? 0 : endedAt - sentAt)

const namesOf = ({ fences }: Order): string => listed(fences.map(({ member }) => member))

const listed = (names: ReadonlyArray<string>): string =>
  names.length < 2 ? (names[0] ?? "nothing") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)!}`

const trimmed = (text: string): string => text.trim().replace(/\.$/, "")

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${trimmed(text).slice(1)}.`

const sentences = (...texts: ReadonlyArray<string>): string =>
  texts
    .filter((text) => text !== "")
    .map(sentence)
    .join(" ")
