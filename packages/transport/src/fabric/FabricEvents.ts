/**
 * The events of the event store: what happened to the cluster, its nodes, applications, services, partitions and
 * replicas, told from the operations and their evidence. Where Service Fabric has a kind of its own (health reports,
 * nodes that go down and come up, chaos), the event has that kind. An operation begins with `FaultOperationStarted` and
 * ends with `FaultOperationEnded`.
 */
import type { ChaosEvent } from "@inquorate/core/Chaos"
import { toFileTime } from "@inquorate/core/Chaos"
import type { Evidence, FenceRecord } from "@inquorate/core/Evidence"
import { type Guid, v5 } from "@inquorate/core/Guid"
import { hresult } from "@inquorate/core/FabricError"
import { faultOf } from "@inquorate/core/Fault"
import { isTerminal, type Operation } from "@inquorate/core/Operation"
import { isNodeRequest, type NodeRequest, type PartitionRequest, placeOf } from "@inquorate/core/Request"
import type { Instant } from "@inquorate/core/Time"
import { type Member, nodeInstanceId, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import { stateOf } from "@inquorate/core/Wire"
import type { HealthState } from "./FabricModel.ts"
import type { EventSubject, EventWindow } from "./FabricCall.ts"
import { idOf } from "./FabricPath.ts"
import { formatTime } from "./FabricTime.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/** An operation with its evidence. */
export interface Told {
  readonly operation: Operation
  readonly evidence: Evidence
}

/** Something that happened, and to whom. */
export interface Event {
  readonly at: Instant
  readonly subject: Subject
  /** The operation that the event is part of, or whatever else ties events together. */
  readonly cause: string
  /** The event as the wire shows it. */
  readonly body: Readonly<Record<string, unknown>>
}

/** Whom something happened to. */
export type Subject =
  | { readonly _tag: "Cluster" }
  | { readonly _tag: "Node"; readonly name: string }
  | { readonly _tag: "Application"; readonly name: string }
  | { readonly _tag: "Service"; readonly name: string }
  | { readonly _tag: "Partition"; readonly id: Guid }
  | { readonly _tag: "Replica"; readonly partitionId: Guid; readonly id: string }

// --- make ---

/**
 * The events of an operation. `all` are the operations told together with it: the start of a node ends an earlier stop.
 */
export const ofOperation = (world: World.World, told: Told, all: ReadonlyArray<Told>): ReadonlyArray<Event> => {
  const { operation } = told
  const make = maker(world, operation)
  const { request } = operation
  const common = isNodeRequest(request)
    ? ofNode(world, make, told as Told & { readonly operation: { readonly request: NodeRequest } }, all)
    : ofPartition(world, make, told)
  return common.toSorted((a, b) => a.at - b.at || rankOf(a) - rankOf(b))
}

/** What chaos tells of its runs, as events of the cluster. */
export const ofChaos = (event: ChaosEvent): ReadonlyArray<Event> => {
  const at = Date.parse(event.TimeStampUtc)
  const make = (Kind: string, fields: Readonly<Record<string, unknown>>): ReadonlyArray<Event> => [
    {
      at,
      subject: { _tag: "Cluster" },
      cause: "chaos",
      body: {
        Kind,
        EventInstanceId: v5(namespace, `${Kind}/${event.TimeStampUtc}`),
        TimeStamp: formatTime(at),
        Category: "Chaos",
        HasCorrelatedEvents: false,
        ...fields
      }
    }
  ]
  if (event.Kind === "Stopped") return make("ChaosStopped", { Reason: event.Reason })
  if (event.Kind !== "Started") return []
  const { ChaosParameters: asked } = event
  return make("ChaosStarted", {
    MaxConcurrentFaults: asked.MaxConcurrentFaults,
    TimeToRunInSeconds: Number(asked.TimeToRunInSeconds),
    MaxClusterStabilizationTimeoutInSeconds: asked.MaxClusterStabilizationTimeoutInSeconds,
    WaitTimeBetweenIterationsInSeconds: asked.WaitTimeBetweenIterationsInSeconds,
    WaitTimeBetweenFaultsInSeconds: asked.WaitTimeBetweenFaultsInSeconds,
    MoveReplicaFaultEnabled: asked.EnableMoveReplicaFaults,
    IncludedNodeTypeList: (asked.ChaosTargetFilter?.NodeTypeInclusionList ?? []).join(", "),
    IncludedApplicationList: (asked.ChaosTargetFilter?.ApplicationInclusionList ?? []).join(", "),
    ClusterHealthPolicy: JSON.stringify(asked.ClusterHealthPolicy),
    ChaosContext: JSON.stringify(asked.Context ?? {})
  })
}

/** True for an event of the subject, within the window, of a kind that the window asks for. */
export const takes = (event: Event, of: EventSubject, { from, kinds, to }: EventWindow): boolean =>
  event.at >= from &&
  event.at <= to &&
  (kinds.length === 0 || kinds.includes(String(event.body["Kind"]))) &&
  isAbout(event.subject, of)

/** True for an operation that may have events within the window. */
export const overlaps = (operation: Operation, { from, to }: Pick<EventWindow, "from" | "to">): boolean => {
  // A stopped node comes up by itself, after its operation has ended.
  const { stage } = operation
  const last = stage._tag === "Completed" && stage.standing !== undefined ? stage.standing.deadline : operation.endedAt
  return operation.receivedAt <= to && (!isTerminal(operation) || last === null || last >= from)
}

// --- internal ---

/** Drawn once for Inquorate. Another value would give every event a new id. */
const namespace: Guid = "5f3b6b0e-8d0a-4c1e-9b51-0c8a2f6e7d39"

// Of events at one moment, the begin of an operation comes first and its end comes last.
const rankOf = ({ body }: Event): number =>
  body["Kind"] === "FaultOperationStarted" ? 0 : body["Kind"] === "FaultOperationEnded" ? 2 : 1

type Maker = (
  at: Instant,
  subject: Subject,
  kind: string,
  category: string,
  fields: Readonly<Record<string, unknown>>
) => Event

const isAbout = (subject: Subject, of: EventSubject): boolean => {
  switch (of._tag) {
    case "Cluster":
      return subject._tag === "Cluster"
    case "Containers":
      return false
    case "Nodes":
      return subject._tag === "Node" && (of.nodeName === null || of.nodeName === subject.name)
    case "Applications":
      return subject._tag === "Application" && (of.applicationName === null || of.applicationName === subject.name)
    case "Services":
      return subject._tag === "Service" && (of.serviceName === null || of.serviceName === subject.name)
    case "Partitions":
      return subject._tag === "Partition" && (of.partitionId === null || of.partitionId === subject.id)
    case "Replicas":
      return (
        subject._tag === "Replica" &&
        of.partitionId === subject.partitionId &&
        (of.replicaId === null || of.replicaId === subject.id)
      )
  }
}

const keyOf = (subject: Subject): string => Object.values(subject).join("/")

const maker =
  (world: World.World, { id }: Operation): Maker =>
  (at, subject, kind, category, fields) => ({
    at,
    subject,
    cause: id,
    body: {
      Kind: kind,
      EventInstanceId: v5(id, `${kind}/${at}/${keyOf(subject)}/${JSON.stringify(fields["Description"] ?? "")}`),
      TimeStamp: formatTime(at),
      Category: category,
      HasCorrelatedEvents: true,
      ...namesOf(world, subject),
      ...fields
    }
  })

const namesOf = (world: World.World, subject: Subject): Readonly<Record<string, unknown>> => {
  switch (subject._tag) {
    case "Cluster":
      return {}
    case "Node":
      return { NodeName: subject.name }
    case "Application":
      return { ApplicationId: idOf(subject.name, world.version) }
    case "Service":
      return { ServiceId: idOf(subject.name, world.version) }
    case "Partition":
      return { PartitionId: subject.id }
    case "Replica":
      return { PartitionId: subject.partitionId, ReplicaId: subject.id }
  }
}

const began = ({ operation }: Told): Readonly<Record<string, unknown>> => ({
  OperationId: operation.id,
  OperationType: operation.request.kind,
  Description:
    `Operation ${operation.id}: ${operation.request.kind} of ${placeOf(operation.request)} was asked for ` +
    `(${faultOf(operation.request).words.asked}).`
})

const ended = ({ operation }: Told): Readonly<Record<string, unknown>> => {
  const state = stateOf(operation.stage)
  const failed = operation.stage._tag === "Failed" ? operation.stage.error : null
  return {
    OperationId: operation.id,
    OperationType: operation.request.kind,
    State: state,
    ErrorCode: failed === null ? 0 : hresult(failed),
    Description: `Operation ${operation.id} ended as ${state}${failed === null ? "" : ` (${failed})`}.`
  }
}

const lifecycle = (make: Maker, told: Told, subjects: ReadonlyArray<Subject>): ReadonlyArray<Event> =>
  subjects.flatMap((subject) => {
    const { endedAt, receivedAt } = told.operation
    const start = make(receivedAt, subject, "FaultOperationStarted", "Fault", began(told))
    return endedAt === null ? [start] : [start, make(endedAt, subject, "FaultOperationEnded", "Fault", ended(told))]
  })

const reportKinds: Readonly<Record<Subject["_tag"], string>> = {
  Cluster: "ClusterNewHealthReport",
  Node: "NodeNewHealthReport",
  Application: "ApplicationNewHealthReport",
  Service: "ServiceNewHealthReport",
  Partition: "PartitionNewHealthReport",
  Replica: "StatefulReplicaNewHealthReport"
}

const report = (
  world: World.World,
  make: Maker,
  at: Instant,
  subject: Subject,
  state: HealthState,
  description: string
): Event => {
  const stateless =
    subject._tag === "Replica" && World.findPartition(world, subject.partitionId)?.service?.kind === "Stateless"
  return make(at, subject, stateless ? "StatelessReplicaNewHealthReport" : reportKinds[subject._tag], "Health", {
    ...instances(world, subject),
    SourceId: "Inquorate",
    Property: "Fault",
    HealthState: state,
    TimeToLiveMs: forEver,
    SequenceNumber: toFileTime(at),
    Description: description,
    RemoveWhenExpired: false,
    SourceUtcTimestamp: formatTime(at)
  })
}

/** The event store's "never expires", in milliseconds. */
const forEver = "922337203685477"

// Nothing ever makes these anew here, so each has one instance for ever.
const instances = (world: World.World, subject: Subject): Readonly<Record<string, unknown>> => {
  switch (subject._tag) {
    case "Node":
      return { NodeInstanceId: instanceOf(world, subject.name) }
    case "Application":
      return { ApplicationInstanceId: "1" }
    case "Service":
      return { InstanceId: "1" }
    case "Replica":
      return { ReplicaInstanceId: subject.id }
    default:
      return {}
  }
}

const instanceOf = (world: World.World, name: string): string =>
  nodeInstanceId(name, world.nodes.find((node) => node.name === name)?.facts ?? undefined)

const ofPartition = (world: World.World, make: Maker, told: Told): ReadonlyArray<Event> => {
  const { evidence, operation } = told
  const request = operation.request as PartitionRequest
  const { partitionId, serviceName } = request
  const member = "member" in request ? request.member : undefined
  const topology = World.findPartition(world, partitionId) ?? evidence.topology
  const application = topology === null ? serviceName.split("/").slice(0, 2).join("/") : `fabric:/${topology.cluster}`
  const above: ReadonlyArray<Subject> = [
    { _tag: "Cluster" },
    { _tag: "Application", name: application },
    { _tag: "Service", name: serviceName },
    { _tag: "Partition", id: partitionId }
  ]
  const told_ = (at: Instant, state: HealthState, words: string) =>
    above.map((subject) => report(world, make, at, subject, state, words))
  const held = evidence.phases.find(({ phase }) => phase === "Holding")
  const destroyed = evidence.phases.find(({ phase }) => phase === "Destroying")
  const after = recoveredAt(told)
  const partition = `Partition ${partitionId} of ${serviceName}`
  const again =
    held === undefined && member !== undefined ? `has another one in the place of ${member}` : "takes writes again"
  return [
    ...lifecycle(make, told, above),
    ...(held === undefined ? [] : told_(held.began, "Error", `${partition} is in quorum loss.`)),
    // One replica alone takes nothing from anybody, and an instance has no data to lose.
    ...(destroyed === undefined
      ? []
      : member === undefined
        ? told_(destroyed.began, "Error", `${partition} loses replicas with their data.`)
        : told_(destroyed.began, "Warning", `${partition} loses ${member}.`)),
    ...(after === null || (held ?? destroyed) === undefined ? [] : told_(after, "Ok", `${partition} ${again}.`)),
    ...evidence.fences.flatMap((fence) => ofFence(world, make, operation, topology ?? evidence.topology, fence))
  ]
}

// The recovery ended at the measured moment. Without a measure, it ended when an operation that left nothing behind
// ended.
const recoveredAt = ({ evidence, operation }: Told): Instant | null => {
  const recovering = evidence.phases.findLast(({ phase }) => phase === "Recovering")
  if (recovering !== undefined && evidence.recovery !== null) return recovering.began + evidence.recovery
  const { endedAt, stage } = operation
  return endedAt !== null && (stage._tag === "Completed" || (stage._tag === "Failed" && stage.residue._tag === "None"))
    ? endedAt
    : null
}

const ofFence = (
  world: World.World,
  make: Maker,
  operation: Operation,
  topology: Topology | null,
  fence: FenceRecord
): ReadonlyArray<Event> => {
  const { armedAt, liftedBy, offAt } = fence
  const member = topology?.members.find(({ name }) => name === fence.member)
  if (armedAt === undefined || topology === null || member === undefined) return []
  const subjects = placesOf(topology, member)
  const by = `by operation ${operation.id}`
  const words = `${fence.member} of ${serviceNameOf(topology)} on ${member.node}`
  const back = offAt === null ? null : Math.max(armedAt, offAt)
  return [
    ...subjects.flatMap((subject) => [
      report(world, make, armedAt, subject, "Warning", `${words} was taken out ${by}.`),
      ...(back === null
        ? []
        : [report(world, make, back, subject, "Ok", `${words} was given back (${liftedBy}) ${by}.`)])
    ]),
    ...(isAlone(world, member.node)
      ? [
          turned(world, make, armedAt, member.node, false),
          ...(back === null ? [] : [turned(world, make, back, member.node, true, armedAt)])
        ]
      : [])
  ]
}

// If a node is told by its members alone and has one, the node goes down and comes up with that member.
const isAlone = (world: World.World, name: string): boolean => {
  const node = world.nodes.find((one) => one.name === name)
  return node !== undefined && node.facts === null && node.members.length === 1
}

const turned = (
  world: World.World,
  make: Maker,
  at: Instant,
  name: string,
  isUp: boolean,
  down: Instant | null = null
): Event =>
  make(at, { _tag: "Node", name }, isUp ? "NodeUp" : "NodeDown", "StateTransition", {
    NodeInstance: instanceOf(world, name),
    ...(isUp ? { LastNodeDownAt: timeOf(down) } : { LastNodeUpAt: timeOf(null) })
  })

const placesOf = ({ partitionId }: Topology, member: Member): ReadonlyArray<Subject> => [
  { _tag: "Node", name: member.node },
  { _tag: "Replica", partitionId, id: World.replicaId(partitionId, member) }
]

const ofNode = (
  world: World.World,
  make: Maker,
  told: Told & { readonly operation: { readonly request: NodeRequest } },
  all: ReadonlyArray<Told>
): ReadonlyArray<Event> => {
  const { evidence, operation } = told
  const { nodeName } = operation.request as NodeRequest
  const node: Subject = { _tag: "Node", name: nodeName }
  const members = world.nodes.find(({ name }) => name === nodeName)?.members ?? []
  const groups = world.applications.flatMap(({ view }) =>
    view.groups.filter((group) => group.members.some((member) => members.includes(member)))
  )
  const replicas: ReadonlyArray<Subject> = groups.flatMap((group) =>
    group.members
      .filter((member) => members.includes(member))
      .map((member): Subject => ({
        _tag: "Replica",
        partitionId: group.partitionId,
        id: World.replicaId(group.partitionId, member)
      }))
  )
  const touched: ReadonlyArray<Subject> = [
    ...unique(groups.map(({ cluster }) => `fabric:/${cluster}`)).map((name): Subject => ({
      _tag: "Application",
      name
    })),
    ...unique(groups.map(serviceNameOf)).map((name): Subject => ({ _tag: "Service", name })),
    ...groups.map(({ partitionId }): Subject => ({ _tag: "Partition", id: partitionId }))
  ]
  const [down, up] = timesOf(world, told, all)
  const armed = evidence.fences.flatMap(({ armedAt }) => armedAt ?? [])
  const change = (at: Instant, isUp: boolean): ReadonlyArray<Event> => [
    turned(world, make, at, nodeName, isUp, down ?? lastStop(world, told, all)),
    ...[...touched, ...replicas].map((subject) =>
      report(
        world,
        make,
        at,
        subject,
        isUp ? "Ok" : "Warning",
        `The node ${nodeName} ${isUp ? "is up again" : `was stopped by operation ${operation.id}`}.`
      )
    )
  ]
  return [
    ...lifecycle(make, told, [{ _tag: "Cluster" }, node]),
    ...(down === null ? [] : change(armed.length === 0 ? down : Math.min(...armed), false)),
    ...(up === null ? [] : change(up, true))
  ]
}

/** The event store's "never". An explorer would draw any other early moment as the begin of a node's absence. */
const never = "1601-01-01T00:00:00Z"

const timeOf = (at: Instant | null): string => (at === null ? never : formatTime(at))

// When the latest stop before a start took the node down.
const lastStop = (world: World.World, { operation }: Told, all: ReadonlyArray<Told>): Instant | null => {
  const { nodeName } = operation.request as NodeRequest
  const downs = all.flatMap((other) => {
    const { id, receivedAt, request } = other.operation
    if (id === operation.id || !isNodeRequest(request) || request.nodeName !== nodeName) return []
    return receivedAt <= operation.receivedAt ? (timesOf(world, other, all)[0] ?? []) : []
  })
  return downs.length === 0 ? null : Math.max(...downs)
}

const unique = (names: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(names)]

// When the operation took the node down, and when the operation or its deadline brought it back.
const timesOf = (
  world: World.World,
  { evidence, operation }: Told,
  all: ReadonlyArray<Told>
): readonly [Instant | null, Instant | null] => {
  const { stage } = operation
  const request = operation.request as NodeRequest
  const off = evidence.fences.flatMap(({ offAt }) => offAt ?? [])
  const lifted = off.length === 0 ? null : Math.max(...off)
  if (request.transition === "Start") return [null, stage._tag === "Completed" ? (lifted ?? operation.endedAt) : null]
  const armed = evidence.fences.flatMap(({ armedAt }) => armedAt ?? [])
  const down = armed.length > 0 ? Math.min(...armed) : stage._tag === "Completed" ? operation.endedAt : null
  if (down === null) return [null, null]
  if (lifted !== null) return [down, lifted]
  const deadline = stage._tag === "Completed" ? stage.standing?.deadline : undefined
  const startedAgain = all.some(
    ({ operation: other }) =>
      isNodeRequest(other.request) &&
      other.request.transition === "Start" &&
      other.request.nodeName === request.nodeName &&
      other.stage._tag === "Completed" &&
      other.receivedAt >= down
  )
  return [down, !startedAgain && deadline !== undefined && deadline <= world.now ? deadline : null]
}
