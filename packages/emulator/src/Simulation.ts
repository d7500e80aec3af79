/**
 * A simulated cluster on the clock: partitions, nodes and the fences on them. Time passes in it only when somebody
 * calls `settle`. Then everything that fell due since the last call happens, in its order and at its own moment. So a
 * look at any time gives the same answer, however many looks came before. The cluster lives in this process and nowhere
 * else.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { FenceId, FenceState } from "@inquorate/core/Injector"
import type { Instant } from "@inquorate/core/Time"
import type { NodeFacts, PartitionStatus, ProcessRef, ReplicaStatus } from "@inquorate/core/Topology"
import { type Layout, type NodeLayout, numberOf, type PlacedPartition } from "./Layout.ts"
import * as PartitionState from "./PartitionState.ts"

// --- models ---

/** The place of one replica, under the name that a fence uses. */
export interface Place {
  readonly member: string
  readonly node: string
  readonly partition: Partition
  readonly index: number
  /** The process id of the replica on its node. */
  readonly pid: number
}

/** A partition and its present state. */
export interface Partition {
  readonly placed: PlacedPartition
  readonly places: ReadonlyArray<Place>
  state: PartitionState.PartitionState
  /** Since when the partition and its replicas are in their present status. */
  since: Since
}

/** Since when a partition and each of its replicas are in their status. */
export interface Since {
  readonly status: PartitionStatus
  readonly at: Instant
  readonly replicas: ReadonlyArray<{
    readonly status: ReplicaStatus
    readonly generation: number
    readonly at: Instant
  }>
}

/** The host's record of one fence. */
export interface FenceRecord {
  readonly fence: FenceId
  readonly node: string
  deadline: Instant
  state: FenceState
}

/** The cluster as it is now. */
export interface Simulation {
  readonly seed: number
  readonly layout: Layout
  readonly timing: PartitionState.Timing
  readonly partitions: ReadonlyArray<Partition>
  readonly places: ReadonlyMap<string, Place>
  readonly records: Map<string, FenceRecord>
  readonly now: () => Instant
  /** Lets everything happen that has fallen due. */
  readonly settle: () => void
  /** Changes something and wakes everybody who waits. */
  readonly change: (how: (at: Instant) => void) => void
  /** Ends a standing fence. */
  readonly lift: (record: FenceRecord, by: "Worker" | "Keeper" | "Sweep", at: Instant) => void
  /** Waits until something changes or falls due. */
  readonly nextChange: Effect.Effect<void>
  readonly nodes: () => ReadonlyArray<NodeFacts>
  /** The process of a replica that runs now or ran last. */
  readonly processOf: (place: Place) => ProcessRef
}

// --- make ---

/** Makes a healthy cluster that starts now, on the present clock. */
export const make = (
  layout: Layout,
  placed: ReadonlyArray<PlacedPartition>,
  options: { readonly seed: number; readonly timing: PartitionState.Timing }
): Effect.Effect<Simulation> => Clock.clockWith((clock) => Effect.sync(() => build(clock, layout, placed, options)))

/** The key of a fence's record. */
export const keyOf = ({ attempt, member, operationId }: FenceId): string => `${operationId}/${attempt}/${member}`

// --- internal ---

interface Node {
  readonly layout: NodeLayout
  /** How often the node was started. */
  starts: number
  upAt: Instant | null
  downAt: Instant | null
  /** The operation whose fences stopped the node. Null while the node is up or starts. */
  stoppedBy: string | null
  /** When its start ends. */
  startsAt: Instant | null
}

const isDown = (node: Node): boolean => node.stoppedBy !== null || node.startsAt !== null

const build = (
  clock: Clock.Clock,
  layout: Layout,
  placed: ReadonlyArray<PlacedPartition>,
  { seed, timing }: { readonly seed: number; readonly timing: PartitionState.Timing }
): Simulation => {
  const now = (): Instant => Math.floor(clock.currentTimeMillisUnsafe())
  const nodes = new Map(layout.nodes.map((one) => [one.name, startedNode(one, now())]))
  const partitions = makePartitions(placed, now())
  const places = new Map(partitions.flatMap(({ places }) => places.map((place) => [place.member, place])))
  const records = new Map<string, FenceRecord>()
  let changed = Latch.makeUnsafe(false)

  const standing = () => [...records.values()].filter(({ state }) => state._tag === "Armed")
  // Brings every replica and node into the state that the fences and the nodes ask for at this moment.
  const follow = (at: Instant): void => {
    const fences = standing()
    for (const node of nodes.values()) followNode(node, fences, places, at, timing)
    for (const partition of partitions) {
      for (const { index, member, node } of partition.places) {
        const held = isDown(nodes.get(node)!) || fences.some(({ fence }) => fence.member === member)
        const move = held ? PartitionState.takeDown : PartitionState.bringBack
        partition.state = move(partition.state, index, at, timing)
      }
      partition.since = sinceOf(partition.state, partition.since, at)
    }
  }
  const due = (): Instant => {
    const moments = [
      ...standing().map(({ deadline }) => deadline),
      ...[...nodes.values()].flatMap(({ startsAt }) => startsAt ?? []),
      ...partitions.flatMap(({ state }) => PartitionState.nextDue(state) ?? [])
    ]
    return moments.length === 0 ? Infinity : Math.min(...moments)
  }
  const lift: Simulation["lift"] = (record, by, at) => {
    record.state = { _tag: "Lifted", by, offAt: at, broken: false }
    follow(at)
  }
  const settle = (): void => {
    const until = now()
    for (let at = due(); at <= until; at = due()) {
      for (const record of standing()) if (record.deadline <= at) lift(record, "Keeper", at)
      for (const node of nodes.values()) if (node.startsAt !== null && node.startsAt <= at) startUp(node, at)
      for (const partition of partitions) partition.state = PartitionState.settle(partition.state, at, timing)
      follow(at)
    }
  }
  return {
    seed,
    layout,
    timing,
    partitions,
    places,
    records,
    now,
    settle,
    lift,
    change: (how) => {
      settle()
      const at = now()
      how(at)
      follow(at)
      const waiting = changed
      changed = Latch.makeUnsafe(false)
      waiting.openUnsafe()
    },
    nextChange: Effect.suspend(() => {
      const next = due()
      const waiting = changed.await
      return Number.isFinite(next) ? Effect.asVoid(Effect.timeoutOption(waiting, Math.max(1, next - now()))) : waiting
    }),
    nodes: () => {
      settle()
      return [...nodes.values()].map((node) => factsOf(node, seed))
    },
    processOf: ({ node, partition, pid, member }) => ({
      host: node,
      pid,
      startTime: String(nodes.get(node)!.starts),
      executable: `/fabric/${node}/${partition.placed.application}/${partition.placed.service.typeName}`,
      dataDirectory: `/fabric/${node}/replicas/${partition.placed.partitionId}/${member}`
    })
  }
}

const startedNode = (layout: NodeLayout, at: Instant): Node => ({
  layout,
  starts: 1,
  upAt: at,
  downAt: null,
  stoppedBy: null,
  startsAt: null
})

const startUp = (node: Node, at: Instant): void => {
  node.starts++
  node.startsAt = null
  node.upAt = at
}

// Only the stop of a node takes replicas of more than one partition in one operation. The node starts again when the
// last fence of that operation on it is off. On a node with a single replica, only the replica goes down, and the node
// is never seen to stop.
const followNode = (
  node: Node,
  fences: ReadonlyArray<FenceRecord>,
  places: ReadonlyMap<string, Place>,
  at: Instant,
  timing: PartitionState.Timing
): void => {
  const here = fences.filter((fence) => fence.node === node.layout.name)
  if (node.stoppedBy !== null) {
    if (here.some(({ fence }) => fence.operationId === node.stoppedBy)) return
    node.stoppedBy = null
    node.startsAt = at + timing.nodeStart
    return
  }
  if (node.startsAt !== null) return
  const taken = new Map<string, Set<Partition>>()
  for (const { fence } of here) {
    const partitions = taken.get(fence.operationId) ?? new Set()
    taken.set(fence.operationId, partitions.add(places.get(fence.member)!.partition))
  }
  const stopping = [...taken].find(([, partitions]) => partitions.size > 1)
  if (stopping === undefined) return
  node.stoppedBy = stopping[0]
  node.downAt = at
}

const factsOf = (node: Node, seed: number): NodeFacts => ({
  name: node.layout.name,
  address: node.layout.address,
  type: node.layout.type,
  instanceId: numberOf(seed, `node/${node.layout.name}`, node.starts),
  up: !isDown(node),
  stopped: node.stoppedBy !== null,
  seed: node.layout.seed,
  upgradeDomain: node.layout.upgradeDomain,
  faultDomain: node.layout.faultDomain,
  upAt: node.upAt,
  downAt: node.downAt
})

const makePartitions = (placed: ReadonlyArray<PlacedPartition>, at: Instant): ReadonlyArray<Partition> => {
  const named = new Map<string, number>()
  for (const { group } of placed) named.set(group, (named.get(group) ?? 0) + 1)
  let pid = 1000
  return placed.map((one) => {
    const { application, group, nodes, service } = one
    const prefix = named.get(group) === 1 ? group : `${application}.${group}`
    const places: Array<Place> = []
    const state = PartitionState.make(service.keeps, nodes, service.minSize)
    const partition: Partition = { placed: one, places, state, since: sinceOf(state, undefined, at) }
    // One operation may take replicas of many partitions on one node, so each member's name is unique in the whole
    // cluster.
    for (const [index, node] of nodes.entries()) {
      places.push({ member: `${prefix}@${node}`, node, partition, index, pid: pid++ })
    }
    return partition
  })
}

const sinceOf = (state: PartitionState.PartitionState, before: Since | undefined, at: Instant): Since => {
  const status = PartitionState.statusOf(state)
  return {
    status,
    at: before?.status === status ? before.at : at,
    replicas: state.replicas.map(({ generation, status }, index) => {
      const was = before?.replicas[index]
      return { status, generation, at: was?.status === status && was.generation === generation ? was.at : at }
    })
  }
}
