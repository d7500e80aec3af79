/**
 * The quorum arithmetic, and the plan of the cut: which members, how many and why, before anything is touched. It is
 * pure: it takes a topology, a mode and the limits, and gives a plan or a typed refusal.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { FabricErrorCode } from "./FabricError.ts"
import { canDestroy, describeSupervisor, patienceInWords, Supervisor } from "./Supervision.ts"
import { formatMillis, Millis } from "./Time.ts"
import { health, type Member, ProcessRef, type Topology } from "./Topology.ts"

/**
 * How much to take out. `QuorumReplicas`: the smallest cut that loses the quorum. `AllReplicas`: every member that may
 * be cut. The words are those of Service Fabric's StartQuorumLoss.
 */
export const QuorumLossMode = Schema.Literals(["QuorumReplicas", "AllReplicas"])
export type QuorumLossMode = typeof QuorumLossMode.Type

/**
 * What ends a fence when the worker is dead. `Kernel`: the kernel itself, whatever else dies. `Keeper`: one of two
 * keeper processes on the fence's host.
 */
export const Grade = Schema.Literals(["Kernel", "Keeper"])
export type Grade = typeof Grade.Type

/**
 * A guard that a caller may set aside by name. Each name then allows one thing: a group with a member down, a hold
 * longer than the limit, more operations at once than the limits, another operation on the same host, or a supervisor
 * that ends the hold early.
 */
export const Override = Schema.Literals(["degraded", "tooLong", "tooMany", "hostBusy", "impatient"]).annotate({
  identifier: "Override",
  title: "A guard to set aside",
  description:
    "degraded: a member is down. tooLong: the hold is longer than the limit. tooMany: the limits of operations at once are reached. hostBusy: another operation is on a host. impatient: a supervisor acts before the hold is over"
})
export type Override = typeof Override.Type

/** One fence of a plan: this member is taken out by this injector. */
export class PlannedFence extends Schema.Opaque<PlannedFence>()(
  Schema.Struct({
    member: Schema.String,
    node: Schema.String,
    injector: Schema.String,
    grade: Grade,
    process: ProcessRef,
    /**
     * The machine id of the host, where it has one. Only a worker that reaches this very machine may act on the fence.
     */
    machineId: Schema.optionalKey(Schema.String),
    /**
     * The configured cluster of the member. It is there where one operation may span several clusters: the stop of a
     * node.
     */
    cluster: Schema.optionalKey(Schema.String),
    /**
     * The member's name in its cluster. It is there where `member` differs, to tell it from another cluster's or
     * group's.
     */
    named: Schema.optionalKey(Schema.String)
  }).annotate({ identifier: "PlannedFence" })
) {}

/**
 * The most bytes of a member's name in a fence. Up to this length every host can keep the fence's record under the
 * name.
 */
export const fenceNameMost = 100

/** True for a name under which every host can keep a fence's record. */
export const isFenceName = (name: string): boolean => {
  const length = bytesOf(name)
  return length > 0 && length <= fenceNameMost
}

/** How many bytes a text has in UTF-8. */
export const bytesOf = (text: string): number => {
  let bytes = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return bytes
}

/** Why a fault is not allowed now. A refusal is a rule's "no", not a failure; each says what to do. */
export const Refusal = Schema.TaggedUnion({
  /** No configured cluster has this service. */
  UnknownService: { serviceName: Schema.String },
  /** The service is known, but this partition is none of its own. */
  UnknownPartition: { partitionId: Schema.String },
  /** A member is down already, or cannot be seen; `why` has a sentence for each such member where there is one. */
  Degraded: { down: Schema.Array(Schema.String), why: Schema.optionalKey(Schema.Array(Schema.String)) },
  /** The quorum is gone already, or cannot be seen; `why` as for `Degraded`. */
  AlreadyLost: { up: Schema.Int, needed: Schema.Int, why: Schema.optionalKey(Schema.Array(Schema.String)) },
  /** Enough members are up, and none of them is the primary; `why` as for `Degraded`. */
  NoPrimary: { up: Schema.Int, needed: Schema.Int, why: Schema.optionalKey(Schema.Array(Schema.String)) },
  /** Writes do not commit before the fault, so nobody could tell its effect. */
  NotSteady: { detail: Schema.String },
  /**
   * The group takes writes, but the loss of its quorum could not be planned truly or could not be proven; `why` says
   * what is in the way.
   */
  Unfit: { why: Schema.Array(Schema.String) },
  /** Too few members may be cut to lose the quorum. */
  CannotLoseQuorum: { cuttable: Schema.Int, required: Schema.Int },
  /**
   * The process found for a member is not the server itself, or none was found. `unknown` is true where nobody told
   * which process it is: nothing speaks against the configuration then.
   */
  NotTheServer: { member: Schema.String, problem: Schema.String, unknown: Schema.optionalKey(Schema.Boolean) },
  /** The mechanism cannot act on this process. */
  NotSupported: { member: Schema.String, problem: Schema.String },
  /** The cluster is marked protected in the configuration. */
  Protected: { cluster: Schema.String },
  /** The hold is longer than the configuration allows. */
  TooLong: { asked: Millis, limit: Millis },
  /** A supervisor acts before the hold is over. */
  Impatient: { supervisor: Supervisor, asked: Millis },
  /** Another operation holds the partition, or left a residue that no sweep has confirmed gone. */
  Busy: { operationId: Schema.String, problem: Schema.String },
  /** The worker's own store lies on this member, inside the cut. */
  StoreInside: { member: Schema.String },
  /** The host's clock differs from ours by more than is allowed. */
  ClockSkew: { host: Schema.String, skew: Schema.Int },
  /** As many operations as are allowed at once run already, on this cluster or in all. */
  TooMany: { scope: Schema.Literals(["cluster", "overall"]), running: Schema.Int, limit: Schema.Int },
  /** Another operation's fences stand on a host of this cut. */
  HostBusy: { host: Schema.String, operationId: Schema.String },
  /** The service keeps no state, so it has no quorum to lose and no data. */
  Stateless: { serviceName: Schema.String },
  /** The service keeps its state in memory only, so a quorum once lost would not come back. */
  Volatile: { serviceName: Schema.String },
  /** The service has instances, and none of them is a secondary. */
  NoSecondaries: { serviceName: Schema.String },
  /** No configured cluster has this node. */
  UnknownNode: { nodeName: Schema.String },
  /** The node that should start runs already. */
  NodeUp: { nodeName: Schema.String },
  /** The node is down, and it was not us who stopped it. */
  NodeDown: { nodeName: Schema.String },
  /** The node that should stop is already stopped, by us. */
  NodeStopped: { nodeName: Schema.String },
  /** The node has started anew since the caller read its instance id. */
  InstanceMismatch: { nodeName: Schema.String, asked: Schema.String, found: Schema.String },
  /** No mechanism of the cluster can restart its members. */
  CannotRestart: { cluster: Schema.String, problem: Schema.String },
  /** The data of this cluster may not be destroyed. */
  DataProtected: { cluster: Schema.String, system: Schema.String }
})
export type Refusal = typeof Refusal.Type

/**
 * The plan of a cut with its arithmetic. Of the `configured` members that count, `up` are up, and a write needs
 * `needed`. The members that `fences` name are taken out, and fewer than `needed` remain.
 */
export class Plan extends Schema.Opaque<Plan>()(
  Schema.Struct({
    mode: QuorumLossMode,
    hold: Millis,
    /** Members that count for the quorum, as configured. */
    configured: Schema.Int,
    up: Schema.Int,
    needed: Schema.Int,
    rule: Schema.String,
    fences: Schema.Array(PlannedFence),
    /** The arithmetic in one line for a person. */
    arithmetic: Schema.String,
    /**
     * What a person should know before the cut although nothing refuses it, such as a supervisor that would restart a
     * member.
     */
    warnings: Schema.optionalKey(Schema.Array(Schema.String)),
    /** Who watches over the members or the group and would act on their silence; left out where nobody was found. */
    supervisors: Schema.optionalKey(Schema.Array(Supervisor)),
    /** The longest hold within which none of these supervisors acts; left out where nobody was found. */
    longestHold: Schema.optionalKey(Millis),
    /** The names of the guards that said no and that the caller set aside. */
    overridden: Schema.optionalKey(Schema.Array(Schema.Struct({ override: Override, refusal: Refusal })))
  }).annotate({ identifier: "Plan" })
) {}

/** The override that sets a refusal aside, or `undefined` where none does. */
export const overrideOf = (refusal: Refusal): Override | undefined =>
  refusal._tag === "Impatient" && canDestroy(refusal.supervisor) ? undefined : overrides[refusal._tag]

/** The wire's code for a refusal, as it stands in a Faulted result. */
export const refusalCode = (refusal: Refusal): FabricErrorCode => codes[refusal._tag] ?? "FABRIC_E_INVALID_OPERATION"

/** The text, with a full stop where it has no end of its own. */
const stopped = (text: string): string => (/[.?!]$/.test(text) ? text : `${text}.`)

const reasons = (why: ReadonlyArray<string> = []): string => (why.length === 0 ? "" : ` (${why.join("; ")})`)

/** A refusal in one line: what was wrong and what to do. */
export const describeRefusal: (refusal: Refusal) => string = Refusal.match({
  UnknownService: ({ serviceName }) =>
    `No configured cluster has the service ${serviceName}. "inq partitions" lists the ones there are.`,
  UnknownPartition: ({ partitionId }) =>
    `The service has no partition ${partitionId}. "inq partitions" lists the ones there are.`,
  Degraded: ({ down, why }) =>
    `The group is degraded already: ${down.join(", ")} down${reasons(why)}. Bring every member back first, or start with --override degraded.`,
  AlreadyLost: ({ needed, up, why }) =>
    `The quorum is lost already: ${up} up, ${needed} needed${reasons(why)}. There is nothing left to take; repair the group first.`,
  NoPrimary: ({ needed, up, why }) =>
    `No primary of the group is seen up now: ${up} up, ${needed} needed${reasons(why)}. Start again when it has elected one, somebody has promoted one, or the way to it is mended.`,
  NotSteady: ({ detail }) =>
    `Writes do not commit before the fault (${detail}), so its effect could not be told. Repair the group first.`,
  Unfit: ({ why }) => `A loss of this quorum could not be proven: ${why.join("; ")}.`,
  CannotLoseQuorum: ({ cuttable, required }) =>
    `${required} members must go to lose the quorum, but only ${cuttable} may be cut. Check which members the cluster's configuration names.`,
  NotTheServer: ({ member, problem, unknown }) =>
    unknown === true
      ? `Which process is the server of ${member} is not known: ${stopped(problem)}`
      : `The process found for ${member} is not its server: ${stopped(problem)} Check the member's data directory in the configuration.`,
  NotSupported: ({ member, problem }) => `${member} cannot be taken out by this mechanism: ${stopped(problem)}`,
  Protected: ({ cluster }) =>
    `The cluster ${cluster} is marked protected. Remove "protected: true" from its configuration to allow faults.`,
  TooLong: ({ asked, limit }) =>
    `A hold of ${formatMillis(asked)} is longer than the ${formatMillis(limit)} that is allowed. Ask for less, raise limits.maxHold (or the cluster's own maxHold) in the configuration, or start with --override tooLong.`,
  Impatient: ({ asked, supervisor }) =>
    `A hold of ${patienceInWords(asked)} is longer than its supervisors wait: ${describeSupervisor(supervisor)}. ` +
    shorter(supervisor) +
    (canDestroy(supervisor)
      ? "; nothing sets this aside."
      : ", or start with --override impatient, and the hold ends when it acts."),
  Busy: ({ operationId, problem }) => `The partition is busy with operation ${operationId}: ${stopped(problem)}`,
  StoreInside: ({ member }) =>
    `The worker's own store lies on ${member}, inside the cut. Keep the store outside what it breaks.`,
  ClockSkew: ({ host, skew }) =>
    `The clock of host ${host} differs from the worker's by ${skew} ms; more than 1000 ms is not allowed. Set the clocks first.`,
  TooMany: ({ limit, running, scope }) =>
    `${running} ${running === 1 ? "operation runs" : "operations run"} ${scope === "cluster" ? "on this cluster" : "in all"} already, and ${limit} may. ` +
    `Wait for an end, raise limits.${scope === "cluster" ? "perCluster" : "overall"} in the configuration, or start with --override tooMany.`,
  HostBusy: ({ host, operationId }) =>
    `Operation ${operationId} has fences on the host ${host} already. Wait for its end, raise limits.perHost in the configuration, or start with --override hostBusy.`,
  Stateless: ({ serviceName }) =>
    `The service ${serviceName} is stateless: it has no quorum and no data to lose. Choose a stateful service.`,
  Volatile: ({ serviceName }) =>
    `The service ${serviceName} is stateful but keeps nothing on disk: a quorum loss is only valid where the state persists.`,
  NoSecondaries: ({ serviceName }) =>
    `The service ${serviceName} is stateless: none of its instances is a secondary. Ask for AllReplicasOrInstances.`,
  UnknownNode: ({ nodeName }) =>
    `No configured cluster has the node ${nodeName}. "inq node list" lists the ones there are.`,
  NodeUp: ({ nodeName }) => `The node ${nodeName} is up: there is nothing to start.`,
  NodeDown: ({ nodeName }) =>
    `The node ${nodeName} is down, and not by a stop of ours. Start its members by the system's own means.`,
  NodeStopped: ({ nodeName }) =>
    `The node ${nodeName} is stopped already. Start it, or wait until its time is over, before you stop it again.`,
  InstanceMismatch: ({ asked, found, nodeName }) =>
    `The node ${nodeName} is of instance ${found}, not ${asked}: it was started anew since. Read the instance id again.`,
  CannotRestart: ({ cluster, problem }) =>
    `The members of the cluster ${cluster} cannot be restarted: ${stopped(problem)} Configure how with "kill" for this cluster.`,
  DataProtected: ({ cluster, system }) =>
    `The data of the cluster ${cluster} (${system}) is not ours to destroy: a data loss is for simulated clusters and labs that allow it.`
})

/**
 * The members to take out of a group. For a majority of N configured voters a write needs ⌊N/2⌋+1. The smallest cut of
 * those that are up is then up − needed + 1. This was measured on etcd; Service Fabric's own primary + ⌊up/2⌋ takes too
 * many. Among equal cuts the topology's order decides, and the primary comes last.
 */
export const chooseCut = (topology: Topology, mode: QuorumLossMode): Result.Result<ReadonlyArray<Member>, Refusal> => {
  const counting = topology.members.filter((member) => member.counts)
  const up = counting.filter((member) => member.up).length
  const standing = health(topology)
  const down = topology.members.filter((member) => !member.up && member.role !== "IdleSecondary")
  // A person has to mend whatever keeps a member from being seen. A member that is not configured is not down.
  const told = down.flatMap(({ downBecause, name, processProblem }) =>
    downBecause !== undefined ? [`${name} ${downBecause}`] : processProblem === "" ? [] : [processProblem]
  )
  const why = told.length === 0 ? {} : { why: told }
  if (standing === "Lost") return Result.fail(Refusal.cases.AlreadyLost.make({ up, needed: topology.needed, ...why }))
  if (standing === "Reconfiguring") {
    return Result.fail(Refusal.cases.NoPrimary.make({ up, needed: topology.needed, ...why }))
  }
  if (standing === "Degraded") {
    return Result.fail(Refusal.cases.Degraded.make({ down: down.map((member) => member.name), ...why }))
  }
  return smallestCut(topology, mode)
}

/** The arithmetic of `chooseCut` without its guard against degraded groups. */
export const smallestCut = (
  topology: Topology,
  mode: QuorumLossMode
): Result.Result<ReadonlyArray<Member>, Refusal> => {
  const up = topology.members.filter((member) => member.counts && member.up)
  const required = up.length - topology.needed + 1
  if (required <= 0) return Result.fail(Refusal.cases.AlreadyLost.make({ up: up.length, needed: topology.needed }))
  const cuttable = up.filter(
    (member) => member.cuttable === "Always" || (mode === "AllReplicas" && member.cuttable === "OnlyInAllReplicas")
  )
  if (cuttable.length < required) {
    return Result.fail(Refusal.cases.CannotLoseQuorum.make({ cuttable: cuttable.length, required }))
  }
  if (mode === "AllReplicas") {
    return Result.succeed(
      topology.members.filter((member) => member.up && member.role !== "IdleSecondary" && member.cuttable !== "Never")
    )
  }
  const spared = [
    ...cuttable.filter((member) => member.role !== "Primary"),
    ...cuttable.filter((member) => member.role === "Primary")
  ]
  return Result.succeed(spared.slice(0, required))
}

/** The arithmetic of a cut in one line for a person. */
export const explain = (topology: Topology, cut: ReadonlyArray<Member>): string => {
  const counting = topology.members.filter((member) => member.counts)
  const up = counting.filter((member) => member.up).length
  const gone = cut.filter((member) => member.counts).length
  const primary = topology.members.find((member) => member.role === "Primary")
  const leader =
    primary === undefined
      ? ""
      : cut.some((member) => member.name === primary.name)
        ? `; the primary ${primary.name} goes too`
        : `; the primary ${primary.name} is spared`
  return (
    `${topology.rule}: ${counting.length} count, ${up} up, a write needs ${topology.needed}; ` +
    `${up} − ${topology.needed} + 1 = ${up - topology.needed + 1} must go; ` +
    `cutting ${cut.map((member) => member.name).join(", ")} leaves ${up - gone} < ${topology.needed}${leader}`
  )
}

// --- internal ---

const shorter = ({ patience }: Supervisor): string =>
  patience === 0 ? "No hold is short enough for it" : `Ask for ${patienceInWords(patience)} at most`

const codes: Partial<Record<Refusal["_tag"], FabricErrorCode>> = {
  UnknownService: "FABRIC_E_SERVICE_DOES_NOT_EXIST",
  UnknownPartition: "FABRIC_E_PARTITION_NOT_FOUND",
  Stateless: "FABRIC_E_INVALID_FOR_STATELESS_SERVICES",
  Volatile: "FABRIC_E_ONLY_VALID_FOR_STATEFUL_PERSISTENT_SERVICES",
  NoSecondaries: "E_INVALIDARG",
  UnknownNode: "FABRIC_E_NODE_NOT_FOUND",
  NodeUp: "FABRIC_E_NODE_IS_UP",
  NodeDown: "FABRIC_E_NODE_IS_DOWN",
  NodeStopped: "FABRIC_E_ALREADY_STOPPED",
  InstanceMismatch: "FABRIC_E_INSTANCE_ID_MISMATCH"
}

const overrides: Partial<Record<Refusal["_tag"], Override>> = {
  Degraded: "degraded",
  TooLong: "tooLong",
  TooMany: "tooMany",
  HostBusy: "hostBusy",
  Impatient: "impatient"
}
