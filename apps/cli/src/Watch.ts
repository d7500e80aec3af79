/**
 * An operation shown as it happens: every change of phase and every verdict as a line of its own, and on a terminal one live
 * line under them with a bar, the time that is left and the writes so far. Time is never shown going back, whatever the clocks of
 * workers do. Pure: changes and moments in, lines out.
 */
import { phaseOf } from "@inquorate/core/Describe"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import { type Operation, standingOrder } from "@inquorate/core/Operation"
import type { OperationChange } from "@inquorate/core/Operations"
import { describeRefusal } from "@inquorate/core/Plan"
import { faultOf } from "@inquorate/core/Fault"
import { formatMillis, type Instant, type Millis } from "@inquorate/core/Time"
import { stateOf } from "@inquorate/core/Wire"
import { localTime } from "./Moment.ts"
import { sampleLine } from "./Report.ts"

// --- models ---

/** What was seen of an operation so far. */
export interface Watched {
  readonly operation: Operation
  /** The writes by worker and number, and which of them were acknowledged. */
  readonly writes: ReadonlySet<string>
  readonly acknowledged: ReadonlySet<string>
  /** What was told already: a stream that is opened again begins from the start. */
  readonly told: ReadonlySet<string>
  /** The latest time since the start that a line was given. */
  readonly elapsed: Millis
  /** What was left of the hold when it was last shown, and of which hold. */
  readonly left: { readonly liftAt: Instant; readonly shown: Millis } | null
}

// --- make ---

/** The lines that a change adds, each with the time since the operation was received, and what is known then. */
export const see = (
  before: Watched | undefined,
  change: OperationChange,
  { verbose }: { readonly verbose: boolean }
): { readonly watched: Watched; readonly lines: ReadonlyArray<string> } => {
  const writes = new Set(before?.writes)
  const acknowledged = new Set(before?.acknowledged)
  const told = new Set(before?.told)
  const lines: Array<string> = []
  let elapsed = before?.elapsed ?? 0
  for (const entry of change.entries) {
    const words = JSON.stringify(entry)
    if (told.has(words)) continue
    told.add(words)
    elapsed = Math.max(elapsed, entry.at - change.operation.receivedAt)
    if (entry.fact._tag === "Sampled") {
      for (const { outcome, sequence } of entry.fact.samples) {
        writes.add(`${entry.worker} ${sequence}`)
        if (outcome?._tag === "Acknowledged") acknowledged.add(`${entry.worker} ${sequence}`)
      }
      if (!verbose) continue
    }
    for (const line of factLines(entry)) lines.push(`${seconds(elapsed)}  ${line}`)
  }
  const { operation } = change
  return { watched: { operation, writes, acknowledged, told, elapsed, left: before?.left ?? null }, lines }
}

/** The lines that a change adds, every write among them. */
export const changeLines = (change: OperationChange): ReadonlyArray<string> =>
  see(undefined, change, { verbose: true }).lines

/** The live line, and what was seen once it is shown. `away` is true while the worker does not answer. */
export const live = (
  watched: Watched,
  now: Instant,
  away: boolean
): { readonly watched: Watched; readonly text: string } => {
  const { acknowledged, operation, writes } = watched
  const order = standingOrder(operation)
  if (away) {
    const end =
      order === null ? "nothing is known to stand" : `the fence ends by itself at ${localTime(order.deadline, now)}`
    return { watched, text: `The worker does not answer; ${end}` }
  }
  const count = writes.size === 0 ? "" : `  ${plural(writes.size, "write", "writes")}, ${acknowledged.size} ok`
  const { stage } = operation
  if (stage._tag !== "Advancing" || stage.step._tag !== "PerformingActions" || stage.step.phase._tag !== "Holding") {
    return {
      watched,
      text: `${stateOf(stage)}  ${phaseOf(operation, now, { moment: (at) => localTime(at, now) })}${count}`
    }
  }
  const { lossBegan, liftAt } = stage.step.phase
  const ahead = Math.max(0, liftAt - now)
  const shown =
    watched.left?.liftAt === liftAt ? Math.min(watched.left.shown, ahead) : Math.min(ahead, liftAt - lossBegan)
  const text = `${stateOf(stage)}  Holding, ${formatMillis(shown)} left ${bar(shown, liftAt - lossBegan)} until ${localTime(liftAt, now)}${count}`
  return { watched: { ...watched, left: { liftAt, shown } }, text }
}

/** The live line of an operation that is seen for the first time. */
export const liveLine = (operation: Operation, now: Instant): string =>
  live({ operation, writes: new Set(), acknowledged: new Set(), told: new Set(), elapsed: 0, left: null }, now, false)
    .text

/** Until when nothing of an operation can stand any more, by what was last seen of it; null where nothing stood. */
export const endsBy = ({ operation }: Watched): Instant | null => {
  const order = standingOrder(operation)
  return order === null ? null : Math.max(order.deadline, order.armedAt + faultOf(operation.request).duration)
}

// --- internal ---

const barLength = 12

const bar = (left: Millis, all: Millis): string => {
  const done = all <= 0 ? barLength : Math.round(barLength * (1 - left / all))
  return `${"█".repeat(done)}${"░".repeat(barLength - done)}`
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2).padStart(7)} s`

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

const witnessWords = { Serves: "serves", Fails: "does not serve", Silent: "says nothing" } as const

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
      return [`  ${fact.member} is out: ${plural(fact.processes, "process", "processes")} stopped`]
    case "FenceTightened":
      return []
    case "FenceLifted":
      return [
        `  ${fact.member} is back, lifted by the ${fact.by.toLowerCase()}${
          fact.overrun !== null && fact.overrun > 0 ? `, ${formatMillis(fact.overrun)} late` : ""
        }`
      ]
    case "FenceUnknown":
      return [`  ${fact.member}: not known whether it is back: ${fact.detail}`]
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
    case "Witnessed":
      // A line for each change, and none for what goes on as it was.
      return fact.times > 1 ? [] : [`  ${fact.witness}: ${witnessWords[fact.answer._tag]} (${fact.answer.detail})`]
    case "Noted":
      return [`  ${fact.text}`]
  }
}
