/**
 * What a person reads of an operation: its plan, its phases, what became of each fence, and the verdicts with the facts
 * they rest on. Pure: values in, lines out.
 */
import { describe, describeWrites, phaseOf } from "@inquorate/core/Describe"
import type { Evidence, ProbeSample, WitnessRecord } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { isTerminal } from "@inquorate/core/Operation"
import type { OperationDetail, PlanPreview } from "@inquorate/core/Operations"
import { describeRefusal, type Plan, type PlannedFence } from "@inquorate/core/Plan"
import { type FaultRequest, isNodeRequest } from "@inquorate/core/Request"
import { describeSupervisor, mostImpatient, patienceInWords } from "@inquorate/core/Supervision"
import { formatMillis, type Instant } from "@inquorate/core/Time"
import { type StandingFault, takenBy } from "@inquorate/core/Standing"
import { health, type Topology } from "@inquorate/core/Topology"
import { localMoment, localTime } from "./Moment.ts"
import { indent, table } from "./Table.ts"

/** An operation with its evidence. */
export const report = ({ evidence, operation, state }: OperationDetail, now: Instant): ReadonlyArray<string> => [
  `Operation ${operation.id}  ${state}`,
  isTerminal(operation)
    ? describe(operation, evidence, { moment: (at) => localTime(at, now) })
    : `Now ${phaseOf(operation, now, { moment: (at) => localTime(at, now) })}.`,
  ...indent([
    ...placeLines(operation.request),
    `type       ${operation.request.kind}`,
    `asked      ${faultOf(operation.request).words.asked}`,
    `received   ${localMoment(operation.receivedAt, now)}${
      operation.endedAt === null ? "" : `, ended ${localMoment(operation.endedAt, now)}`
    }`,
    ...(operation.stage._tag === "Failed" ? [`ended by   ${operation.stage.reason}, ${operation.stage.error}`] : [])
  ]),
  ...(evidence.plan === null ? [] : planLines(evidence.plan)),
  ...(evidence.refusals.length === 0
    ? []
    : ["Refused", ...indent(evidence.refusals.map((refusal) => `${refusal._tag}: ${describeRefusal(refusal)}`))]),
  ...section("Phases", phaseLines(evidence, now)),
  ...section("Fences", fenceLines(evidence, now)),
  ...section("Probe", evidence.samples.length === 0 ? [] : [describeWrites(evidence)]),
  ...section("Measured", measureLines(evidence)),
  ...section(
    "Witnesses",
    (evidence.witnesses ?? []).flatMap((one) => witnessLines(one, now))
  ),
  ...section(
    "Verdicts",
    evidence.verdicts.map(({ about, facts, outcome }) => `${about.padEnd(8)}  ${outcome}: ${facts.join("; ")}`)
  ),
  ...section(
    "Notes",
    evidence.notes.map(({ at, text }) => `${localMoment(at, now)}  ${text}`)
  )
]

/** A plan that was made without touching anything, or why none can be. */
export const previewLines = ({ fences, notes, plan, refusal, topology }: PlanPreview): ReadonlyArray<string> => [
  // What the refusal says need not be said twice.
  ...(topology === null ? [] : topologyLines(refusal?._tag === "Unfit" ? { ...topology, unfit: [] } : topology)),
  ...(plan === null ? section("Fences", fences.length === 0 ? [] : cutLines(fences)) : planLines(plan)),
  ...section("Notes", notes),
  ...(refusal === null ? [] : [`Refused (${refusal._tag})`, ...indent([describeRefusal(refusal)])])
]

/** How a group stands, with the fault of ours that holds it and how that ends before. */
const standingOf = (topology: Topology, faults: ReadonlyArray<StandingFault>, now: Instant): string => {
  const fault = faults.find(({ partitionId }) => partitionId === topology.partitionId)
  if (fault === undefined) return health(topology)
  const id = fault.operationId.slice(0, 8)
  if (fault.until === null) return `${health(topology)}; operation ${id}: ${fault.phase}`
  const until = localTime(fault.until, now)
  return fault.lost
    ? `Lost, held by ${id} until ${until} (inq cancel ${id})`
    : `${health(topology)}; operation ${id}: ${fault.phase} (inq cancel ${id}; it ends by itself by ${until})`
}

// What we did to a member says more than what could be found out about its process meanwhile.
const processOf = (
  member: Topology["members"][number],
  topology: Topology,
  faults: ReadonlyArray<StandingFault>,
  now: Instant
): string => {
  for (const { members, nodeName, partitionId, until } of faults) {
    const taken = members.find(
      (one) =>
        one.node === member.node &&
        (nodeName !== null || (one.member === member.name && partitionId === topology.partitionId))
    )
    if (taken === undefined && nodeName !== member.node) continue
    const when = until === null ? "" : ` until ${localTime(until, now)}`
    return nodeName === null
      ? `${takenBy(taken?.by ?? "")} by us${when}`
      : `stopped by us${when} (inq node start ${nodeName})`
  }
  return member.process === null ? member.processProblem || "unknown" : `pid ${member.process.pid}`
}

/** A group with its members, and with the faults of ours that stand. */
export const topologyLines = (
  topology: Topology,
  faults: ReadonlyArray<StandingFault> = [],
  now: Instant = 0
): ReadonlyArray<string> => [
  `${topology.cluster}/${topology.group}  ${topology.system}, ${topology.rule}, ${standingOf(topology, faults, now)}`,
  ...indent(
    table(
      ["MEMBER", "NODE", "ADDRESS", "ROLE", "UP", "COUNTS", "PROCESS"],
      topology.members.map((member) => [
        member.name,
        member.node,
        member.address,
        member.role,
        member.up ? "yes" : "no",
        member.counts ? "yes" : "no",
        processOf(member, topology, faults, now)
      ])
    )
  ),
  ...indent(
    topology.members.flatMap(({ downBecause, name }) => (downBecause === undefined ? [] : [`${name} ${downBecause}`]))
  ),
  ...indent((topology.unfit ?? []).map((why) => `a loss could not be proven: ${why}`))
]

/** One probe write in a few words. */
export const sampleLine = (sample: ProbeSample): string => {
  const took = sample.endedAt === null ? "" : ` after ${formatMillis(sample.endedAt - sample.sentAt)}`
  return sample.outcome === null
    ? `write ${sample.sequence}: no answer yet`
    : sample.outcome._tag === "Acknowledged"
      ? `write ${sample.sequence}: acknowledged${took}`
      : `write ${sample.sequence}: ${sample.outcome._tag === "Refused" ? "refused" : "unknown"}${took} (${sample.outcome.detail})`
}

// --- internal ---

const placeLines = (request: FaultRequest): ReadonlyArray<string> =>
  isNodeRequest(request)
    ? [`node       ${request.nodeName} (instance ${request.instanceId})`]
    : [`partition  ${request.serviceName} (${request.partitionId})`]

const section = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length === 0 ? [] : [title, ...indent(lines)]

const planLines = (plan: Plan): ReadonlyArray<string> => [
  "Plan",
  ...indent([
    plan.arithmetic,
    ...cutLines(plan.fences),
    ...(plan.warnings ?? []).map((warning) => `warning: ${warning}`),
    ...(plan.supervisors ?? []).map((supervisor) => `supervisor: ${describeSupervisor(supervisor)}`),
    ...(plan.longestHold === undefined
      ? []
      : [
          `longest honest hold: ${patienceInWords(plan.longestHold)}, by ${mostImpatient(plan.supervisors ?? [])?.source}`
        ]),
    ...(plan.overridden ?? []).map(
      ({ override, refusal }) => `overridden by "${override}" (${refusal._tag}): ${describeRefusal(refusal)}`
    )
  ])
]

const cutLines = (fences: ReadonlyArray<PlannedFence>): ReadonlyArray<string> =>
  table(
    ["CUT", "NODE", "BY", "GRADE", "PROCESS", "DATA DIRECTORY"],
    fences.map(({ grade, injector, member, node, process }) => [
      member,
      node,
      injector,
      grade,
      `pid ${process.pid} on ${process.host}`,
      process.dataDirectory
    ])
  )

const phaseLines = (evidence: Evidence, now: Instant): ReadonlyArray<string> =>
  evidence.phases.length === 0
    ? []
    : table(
        ["PHASE", "ATTEMPT", "BEGAN", "TOOK"],
        evidence.phases.map(({ attempt, began, duration, phase }) => [
          phase,
          String(attempt),
          localMoment(began, now),
          duration === null ? "" : formatMillis(duration)
        ])
      )

const fenceLines = (evidence: Evidence, now: Instant): ReadonlyArray<string> =>
  table(
    ["MEMBER", "HOST", "GRADE", "PROCESSES", "DEADLINE", "OFF", "BY", "OVERRUN"],
    evidence.fences.map((fence) => [
      fence.member,
      fence.host,
      fence.grade,
      fence.processes === null ? "not armed" : String(fence.processes),
      localMoment(fence.deadline, now),
      fence.offAt === null ? fence.problem || "standing" : localMoment(fence.offAt, now),
      fence.liftedBy ?? "",
      fence.overrun === null ? "" : formatMillis(fence.overrun)
    ])
  )

const witnessLines = (
  { answers, asked, failed, outages, witness }: WitnessRecord,
  now: Instant
): ReadonlyArray<string> => [
  `${witness}  asked ${asked} times, ${failed === 0 ? "served each time" : `did not serve ${failed} times`}`,
  ...indent(
    outages.map(({ from, said, until }) => {
      const end =
        until === null
          ? "not back when last asked"
          : `back ${localMoment(until, now)}, after ${formatMillis(until - from)}`
      return `failed first ${localMoment(from, now)}, ${end}; answered: ${said.join(" | ")}`
    })
  ),
  // What it said while it served tells what it did, where that changed.
  ...(new Set(answers.flatMap(({ answer }) => (answer._tag === "Serves" ? [answer.detail] : []))).size < 2
    ? indent(outages.length > 0 ? [] : answers.slice(0, 1).map(({ answer }) => answer.detail))
    : indent(answers.map(({ answer, at }) => `${localMoment(at, now)}  ${answer._tag}: ${answer.detail}`)))
]

const measureLines = (evidence: Evidence): ReadonlyArray<string> => [
  ...(evidence.hold === null
    ? []
    : [`hold       asked ${evidence.hold.asked} ms, measured ${evidence.hold.measured} ms`]),
  ...(evidence.recovery === null
    ? []
    : [`recovery   first new write acknowledged ${evidence.recovery} ms after the lift`]),
  ...(evidence.overrun === null ? [] : [`overrun    ${evidence.overrun} ms past the tightest deadline`]),
  ...(evidence.unobserved === 0 ? [] : [`unobserved ${formatMillis(evidence.unobserved)}`]),
  ...(evidence.owners.length < 2
    ? []
    : [`owners     ${evidence.owners.map(({ epoch, worker }) => `${worker} (epoch ${epoch})`).join(", ")}`])
]
