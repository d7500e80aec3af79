/**
 * One partition of a simulated Service Fabric cluster, and the pure rules that move it: replicas go down and come back,
 * the configuration has or loses its quorum, a reconfiguration finds a new primary, and the epoch grows. Data in, data
 * out: the moments are arguments. The rules are those of the reference's failover manager, as its sources state them.
 *
 * Invariants: at most one replica is Primary. A replica outside the configuration is no voter. `lostSince` is set
 * exactly while the quorum is lost. Both versions only grow.
 */
import type { DataLossMode } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { PartitionStatus, ReplicaStatus, Role } from "@inquorate/core/Topology"

// --- models ---

/** What a partition keeps: state on disk, state in memory only, or no state. */
export type Keeps = "Persisted" | "Volatile" | "Nothing"

/** One replica, or one instance of a stateless service, at its place in the partition. */
export interface Replica {
  /** The node of this replica. */
  readonly node: string
  /** How many replicas were at this place before. A replica that was dropped comes back as another one. */
  readonly generation: number
  readonly role: Role
  readonly status: ReplicaStatus
  /** True for a member of the current configuration. */
  readonly configured: boolean
  /** When its build ends, if one is under way. */
  readonly readyAt: Instant | null
}

/** A partition at one moment. */
export interface PartitionState {
  readonly keeps: Keeps
  readonly minSize: number
  readonly replicas: ReadonlyArray<Replica>
  readonly configurationVersion: number
  readonly dataLossVersion: number
  /** When the reconfiguration ends, if one is under way. */
  readonly reconfiguredAt: Instant | null
  /** Since when the quorum is lost, else null. */
  readonly lostSince: Instant | null
  /** How long the last loss lasted. */
  readonly lastLoss: Millis
}

/** How long the cluster takes for what it does by itself, in milliseconds. */
export interface Timing {
  /** From the loss of a primary, or the return of the quorum, to a primary that serves. */
  readonly reconfiguration: Millis
  /** To build a replica that came back. */
  readonly build: Millis
  /** From the order to start a node until it is up. */
  readonly nodeStart: Millis
}

// --- make ---

/** A partition with one ready replica on each of these nodes. The first is the primary. */
export const make = (keeps: Keeps, nodes: ReadonlyArray<string>, minSize: number): PartitionState => ({
  keeps,
  minSize,
  replicas: nodes.map((node, place) => ({
    node,
    generation: 0,
    role: place === 0 ? "Primary" : "ActiveSecondary",
    status: "Ready",
    configured: true,
    readyAt: null
  })),
  configurationVersion: 1,
  dataLossVersion: 1,
  reconfiguredAt: null,
  lostSince: null,
  lastLoss: 0
})

/** The write quorum of a configuration of this size: ⌊size/2⌋+1. */
export const writeQuorum = (size: number): number => Math.floor(size / 2) + 1

/** True for a replica whose process runs: InBuild, Standby or Ready. */
export const isUp = ({ status }: Replica): boolean => status === "InBuild" || status === "Standby" || status === "Ready"

/** The replicas of the current configuration. */
export const configuration = ({ replicas }: PartitionState): ReadonlyArray<Replica> =>
  replicas.filter(({ configured }) => configured)

/**
 * True if fewer replicas of the configuration are up than its write quorum. A persisted partition waits until they come
 * back.
 */
export const hasLostQuorum = (partition: PartitionState): boolean => {
  const configured = configuration(partition)
  return configured.length > 0 && configured.filter(isUp).length < writeQuorum(configured.length)
}

/**
 * The status of a partition: InQuorumLoss, else Reconfiguring, else Ready if `minSize` replicas are ready, else
 * NotReady.
 */
export const statusOf = (partition: PartitionState): PartitionStatus => {
  const ready = partition.replicas.filter(({ status }) => status === "Ready").length
  if (partition.keeps === "Nothing") return ready > 0 ? "Ready" : "NotReady"
  if (partition.keeps === "Persisted" && partition.lostSince !== null) return "InQuorumLoss"
  if (partition.reconfiguredAt !== null) return "Reconfiguring"
  return ready >= partition.minSize && primaryOf(partition)?.status === "Ready" ? "Ready" : "NotReady"
}

/** True while the partition answers a write, or a request to a stateless service. */
export const takesWrites = (partition: PartitionState): boolean => {
  if (statusOf(partition) !== "Ready") return false
  if (partition.keeps === "Nothing") return true
  const configured = configuration(partition)
  return configured.filter(({ status }) => status === "Ready").length >= writeQuorum(configured.length)
}

/** Takes down the replica at this place. Does nothing if it is down. */
export const takeDown = (partition: PartitionState, place: number, at: Instant, timing: Timing): PartitionState =>
  isUp(partition.replicas[place]!)
    ? react(change(partition, place, { status: "Down", readyAt: null }), at, timing)
    : partition

/**
 * Starts the replica at this place again. Does nothing if it runs. A replica that kept no state on disk becomes a new
 * one.
 */
export const bringBack = (partition: PartitionState, place: number, at: Instant, timing: Timing): PartitionState => {
  const replica = partition.replicas[place]!
  if (isUp(replica)) return partition
  const back: Partial<Replica> =
    partition.keeps === "Persisted"
      ? { status: "Standby" }
      : { status: "InBuild", generation: replica.generation + 1, ...(partition.keeps === "Nothing" ? {} : outside) }
  return react(change(partition, place, { ...back, readyAt: null }), at, timing)
}

/** Lets happen what is due at `at`. Call it for each `nextDue` in turn. */
export const settle = (partition: PartitionState, at: Instant, timing: Timing): PartitionState => {
  let next = partition
  for (const [place, { readyAt }] of partition.replicas.entries()) {
    if (readyAt !== null && readyAt <= at) next = built(next, place)
  }
  if (next.reconfiguredAt !== null && next.reconfiguredAt <= at) next = reconfigure(next)
  return next === partition ? partition : react(next, at, timing)
}

/** The next moment at which something happens by itself, or null. */
export const nextDue = ({ reconfiguredAt, replicas }: PartitionState): Instant | null => {
  const moments = [reconfiguredAt, ...replicas.map(({ readyAt }) => readyAt)].filter((moment) => moment !== null)
  return moments.length === 0 ? null : Math.min(...moments)
}

/**
 * Removes replicas with their data and builds them anew. `PartialDataLoss` removes the primary and as many others as
 * make a majority of those up, `FullDataLoss` all that are up. The data loss number grows.
 */
export const destroy = (partition: PartitionState, mode: DataLossMode, at: Instant, timing: Timing): PartitionState => {
  const up = partition.replicas.filter(isUp)
  const order = [...up.filter(({ role }) => role === "Primary"), ...up.filter(({ role }) => role !== "Primary")]
  const gone = mode === "FullDataLoss" ? order : order.slice(0, Math.floor(up.length / 2) + 1)
  const replicas = partition.replicas.map((replica): Replica =>
    gone.includes(replica)
      ? { ...replica, ...outside, generation: replica.generation + 1, status: "InBuild", readyAt: null }
      : isUp(replica)
        ? replica
        : { ...replica, ...outside }
  )
  return react(declareLoss({ ...partition, replicas }, at), at, timing)
}

/**
 * Removes the replica or instance at this place with what it keeps, and builds another one there. The last replica of a
 * configuration takes the data of the partition with it.
 */
export const remove = (partition: PartitionState, place: number, at: Instant, timing: Timing): PartitionState => {
  const replica = partition.replicas[place]!
  if (partition.keeps !== "Nothing" && configuration(partition).every((one) => one === replica)) {
    return destroy(partition, "FullDataLoss", at, timing)
  }
  const gone: Partial<Replica> = { generation: replica.generation + 1, status: "InBuild", readyAt: null }
  const next = change(partition, place, partition.keeps === "Nothing" ? gone : { ...gone, ...outside })
  const configurationVersion = next.configurationVersion + (replica.configured && partition.keeps !== "Nothing" ? 1 : 0)
  return react({ ...next, configurationVersion }, at, timing)
}

/**
 * Makes a persisted partition in quorum loss stop waiting for its lost replicas. The data loss number grows. Does
 * nothing to any other partition.
 */
export const recover = (partition: PartitionState, at: Instant, timing: Timing): PartitionState => {
  if (partition.keeps !== "Persisted" || partition.lostSince === null) return partition
  const replicas = partition.replicas.map((replica) => (isUp(replica) ? replica : { ...replica, ...outside }))
  return react(declareLoss({ ...partition, replicas }, at), at, timing)
}

// --- internal ---

/** The fields of a replica outside the configuration. */
const outside = { configured: false, role: "IdleSecondary" } as const

const change = (partition: PartitionState, place: number, changes: Partial<Replica>): PartitionState => ({
  ...partition,
  replicas: partition.replicas.map((replica, index) => (index === place ? { ...replica, ...changes } : replica))
})

const primaryOf = ({ replicas }: PartitionState): Replica | undefined => replicas.find(({ role }) => role === "Primary")

const declareLoss = (partition: PartitionState, at: Instant): PartitionState => ({
  ...partition,
  dataLossVersion: partition.dataLossVersion + 1,
  lastLoss: partition.lostSince === null ? partition.lastLoss : at - partition.lostSince,
  lostSince: null,
  reconfiguredAt: null
})

// Runs after any change. It notes a loss or its end, and begins a reconfiguration or a build if one is needed.
const react = (partition: PartitionState, at: Instant, timing: Timing): PartitionState => {
  if (partition.keeps === "Nothing") return pickFirst(startBuilds(partition, at, timing))
  let next = noteLoss(partition, at, timing)
  const primary = primaryOf(next)
  const served = primary !== undefined && isUp(primary)
  const waits = next.keeps === "Persisted" && next.lostSince !== null
  if (!served || waits) next = { ...next, replicas: next.replicas.map(waitForPrimary) }
  if (waits) return next
  const candidates = configuration(next).length > 0 ? configuration(next) : next.replicas
  const leaving = next.keeps === "Volatile" && configuration(next).some((replica) => !isUp(replica))
  if (next.reconfiguredAt === null && ((!served && candidates.some(isUp)) || leaving)) {
    next = { ...next, reconfiguredAt: at + timing.reconfiguration }
  }
  return served && next.reconfiguredAt === null ? startBuilds(next, at, timing) : next
}

const noteLoss = (partition: PartitionState, at: Instant, timing: Timing): PartitionState => {
  const lost = hasLostQuorum(partition)
  if (lost && partition.lostSince === null) {
    // The state in memory is gone with the quorum, so the partition waits for nobody to come back.
    const dataLossVersion = partition.dataLossVersion + (partition.keeps === "Volatile" ? 1 : 0)
    return { ...partition, dataLossVersion, lostSince: at, reconfiguredAt: null }
  }
  if (lost || partition.lostSince === null) return partition
  const ended = { ...partition, lostSince: null, lastLoss: at - partition.lostSince }
  return partition.keeps === "Persisted" ? { ...ended, reconfiguredAt: at + timing.reconfiguration } : ended
}

const waitForPrimary = (replica: Replica): Replica =>
  replica.status === "InBuild" ? { ...replica, readyAt: null } : replica

const startBuilds = (partition: PartitionState, at: Instant, timing: Timing): PartitionState => ({
  ...partition,
  replicas: partition.replicas.map((replica): Replica =>
    (replica.status === "Standby" || replica.status === "InBuild") && replica.readyAt === null
      ? { ...replica, status: "InBuild", readyAt: at + timing.build }
      : replica
  )
})

// The instances of a stateless service have no roles. Core wants a primary that answers, so the first ready instance is
// the primary.
const pickFirst = (partition: PartitionState): PartitionState => {
  const ready = partition.replicas.findIndex(({ status }) => status === "Ready")
  const first = ready === -1 ? 0 : ready
  return {
    ...partition,
    replicas: partition.replicas.map((replica, place) => ({
      ...replica,
      role: place === first ? "Primary" : "ActiveSecondary"
    }))
  }
}

const built = (partition: PartitionState, place: number): PartitionState => {
  const joins = !partition.replicas[place]!.configured
  const next = change(partition, place, {
    status: "Ready",
    readyAt: null,
    ...(joins ? { configured: true, role: "ActiveSecondary" } : {})
  })
  return joins ? { ...next, configurationVersion: next.configurationVersion + 1 } : next
}

// If the old primary is up, it stays. Else the first replica that is ready takes its place, else the first that is up.
const reconfigure = (partition: PartitionState): PartitionState => {
  const configured = configuration(partition)
  const candidates = configured.some(isUp) ? configured : partition.replicas
  const chosen =
    candidates.find((replica) => replica.role === "Primary" && isUp(replica)) ??
    candidates.find(({ status }) => status === "Ready") ??
    candidates.find(isUp)
  const replicas = partition.replicas.map((replica): Replica => {
    if (replica === chosen) return { ...replica, role: "Primary", status: "Ready", configured: true, readyAt: null }
    if (partition.keeps === "Volatile" && !isUp(replica)) return { ...replica, ...outside, status: "Dropped" }
    return replica.role === "Primary" ? { ...replica, role: "ActiveSecondary" } : replica
  })
  return { ...partition, replicas, reconfiguredAt: null, configurationVersion: partition.configurationVersion + 1 }
}
