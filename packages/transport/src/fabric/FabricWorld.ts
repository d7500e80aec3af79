/**
 * All clusters as one Service Fabric cluster, for the query calls: a cluster becomes an application, a replicated group
 * a partition of a service, a member a replica, and a host label a node. A simulated cluster brings facts of its own.
 * For every other system, a group is a stateful persisted service with one Singleton partition. Pure: ids follow from
 * names.
 */
import * as Guid from "@inquorate/core/Guid"
import type { Operation } from "@inquorate/core/Operation"
import { type Aftermath, type ClusterView, isUnknown } from "@inquorate/core/Operations"
import { faultOf } from "@inquorate/core/Fault"
import { isPartitionRequest } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import { health, type Member, nodeId, type NodeFacts, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type { ServiceFacts } from "@inquorate/core/Topology"
import * as History from "./FabricHistory.ts"

// --- models ---

/** A quorum loss of ours, from which the partition suffers or recovers. `until` is null while we hold it. */
export interface Loss {
  readonly since: Instant
  readonly until: Instant | null
}

/** Why a node is out of service. `until` is null while it is being taken out. */
export type Deactivation = NonNullable<Aftermath["deactivated"]>[number]

/** A node with the members on it, and the facts that its cluster tells of it, if any. */
export interface Node {
  readonly name: string
  readonly id: string
  readonly facts: NodeFacts | null
  readonly members: ReadonlyArray<Member>
}

/** A service with its partitions in the order of their ids. It has at least one. */
export interface Service {
  readonly name: string
  readonly application: Application
  readonly partitions: ReadonlyArray<Topology>
  readonly facts: ServiceFacts
}

/** An application, which stands for a cluster. */
export interface Application {
  readonly name: string
  readonly view: ClusterView
}

/** Everything that a query call may ask about, at one moment. */
export interface World {
  readonly now: Instant
  /** The api-version of the request. It decides the spelling of ids. */
  readonly version: number
  /** In the order of their names, without the system application. */
  readonly applications: ReadonlyArray<Application>
  readonly system: Application
  /** In the order of their ids. */
  readonly nodes: ReadonlyArray<Node>
  /** The names of the nodes that a stop of ours keeps down and that are not up again. */
  readonly stopped: ReadonlySet<string>
  /** The nodes that are deactivated or about to be: by which operation, why, and until when at the latest. */
  readonly deactivated: ReadonlyMap<string, Deactivation>
  readonly losses: ReadonlyMap<Guid.Guid, Loss>
  /** When a fence of ours took out each fenced member, by `takenKey`. */
  readonly taken: ReadonlyMap<string, Instant>
  /** How long the last ended loss of each partition was. */
  readonly lastLosses: ReadonlyMap<Guid.Guid, Millis>
  /** Since when each entity is in its present state. */
  readonly history: History.History
}

// --- make ---

/** The version of the runtime that we announce. */
export const runtimeVersion = "8.2.0.0"

/**
 * Makes the world from the clusters, the operations that hold partitions, and what ended operations have left behind.
 */
export const make = (
  clusters: ReadonlyArray<ClusterView>,
  holders: ReadonlyArray<Operation>,
  { deactivated = [], lastLosses, stoppedNodes }: Aftermath,
  moment: { readonly now: Instant; readonly version: number; readonly history?: History.History }
): World => {
  const nodes = nodesOf(clusters)
  const applications = clusters.map((view) => ({ name: applicationName(view.name), view }))
  return {
    history: History.make(),
    ...moment,
    applications: applications.sort((a, b) => (a.name < b.name ? -1 : 1)),
    system: systemOf(nodes, moment.now),
    nodes,
    stopped: new Set(stoppedNodes),
    deactivated: deactivationsOf(nodes, deactivated),
    losses: lossesOf(holders),
    taken: takenOf(holders),
    lastLosses: new Map(lastLosses.map(({ lasted, partitionId }) => [partitionId, lasted]))
  }
}

/** The applications whose contents nobody knows. */
export const unknown = ({ applications }: World): ReadonlyArray<Application> =>
  applications.filter(({ view }) => isUnknown(view))

/** True while the first look at some cluster has not ended. */
export const isUnlooked = ({ applications }: World): boolean =>
  applications.some(({ view }) => view.seen === "NotLookedAt")

/** Finds an application by its name. The system application counts. */
export const findApplication = (world: World, name: string): Application | undefined =>
  everything(world).find((application) => application.name === name)

/** The services of an application in the order of their names. */
export const servicesOf = (application: Application): ReadonlyArray<Service> => {
  const byName = new Map<string, Array<Topology>>()
  for (const group of application.view.groups) {
    const name = serviceNameOf(group)
    const groups = byName.get(name)
    if (groups === undefined) byName.set(name, [group])
    else groups.push(group)
  }
  return [...byName]
    .map(([name, groups]) => ({
      name,
      application,
      partitions: groups.sort((a, b) => (a.partitionId < b.partitionId ? -1 : 1)),
      facts: factsOf(groups[0]!)
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Finds a service by its name, in whichever application. */
export const findService = (world: World, name: string): Service | undefined =>
  everything(world)
    .filter((application) => name.startsWith(`${application.name}/`))
    .flatMap(servicesOf)
    .find((service) => service.name === name)

/** Finds a partition by its id. */
export const findPartition = (world: World, id: Guid.Guid): Topology | undefined =>
  everything(world)
    .flatMap(({ view }) => view.groups)
    .find(({ partitionId }) => partitionId === id)

/** What is known of the service of a group. */
export const factsOf = (topology: Topology): ServiceFacts =>
  topology.service ?? {
    name: serviceNameOf(topology),
    typeName: topology.system,
    kind: "Stateful",
    persisted: true,
    targetSize: targetSize(topology),
    minSize: minimumSize(topology),
    key: { _tag: "Singleton" },
    status: statuses[health(topology)],
    // Each system counts its terms in its own way. A client that compares epochs looks for data loss, and we cause
    // none.
    configurationVersion: "1",
    dataLossVersion: "1",
    lastQuorumLoss: 0
  }

/** The status of a partition. Its cluster says it. If it does not, the partition is InQuorumLoss while we hold it. */
export const statusOf = (world: World, topology: Topology): ServiceFacts["status"] =>
  topology.service?.status ??
  (world.losses.get(topology.partitionId)?.until === null ? "InQuorumLoss" : factsOf(topology).status)

/** Since when a partition has its status, if its cluster or a loss of ours tells, else null. */
export const statusSince = (world: World, { partitionId, service }: Topology): Instant | null => {
  if (service !== undefined) return service.statusSince ?? null
  const loss = world.losses.get(partitionId)
  return loss?.until === null ? loss.since : null
}

/**
 * How long the present loss of a partition's quorum has lasted so far, or how long the last one was. A loss that is not
 * ours counts from the moment at which this worker first saw it.
 */
export const lossOf = (world: World, topology: Topology): Millis => {
  const { partitionId, service } = topology
  if (service !== undefined) return service.lastQuorumLoss
  const lost = statusOf(world, topology) === "InQuorumLoss"
  const stands = { state: lost ? "Error" : "Ok", words: "", known: null } as const
  const { since } = world.history.note(`lost/${partitionId}`, stands, world.now)
  const loss = world.losses.get(partitionId)
  if (loss !== undefined) return Math.max(0, (loss.until ?? world.now) - loss.since)
  if (lost) return Math.max(0, world.now - since)
  return world.lastLosses.get(partitionId) ?? 0
}

/** True if the node is up. Its cluster says so, or a member on it is up. */
export const isUp = ({ facts, members }: Node): boolean => facts?.up ?? members.some((member) => member.up)

/**
 * True for a node that its cluster calls stopped. If its cluster does not say, true for a node that we stopped and that
 * is not up. A deactivated node is not a stopped one.
 */
export const isStopped = (world: World, node: Node): boolean =>
  !world.deactivated.has(node.name) && (node.facts?.stopped ?? (world.stopped.has(node.name) && !isUp(node)))

/** Since when a member is down, if a fence of ours tells, else null. */
export const takenAt = (world: World, partitionId: Guid.Guid, member: Member): Instant | null =>
  member.up ? null : (world.taken.get(takenKey(partitionId, member.name)) ?? null)

/** Since when a node is up or down, if its cluster or our fences on all its members tell, else null. */
export const turnedAt = (world: World, node: Node): Instant | null => {
  const { facts, members } = node
  if (facts !== null) return (isUp(node) ? facts.upAt : facts.downAt) ?? null
  if (isUp(node) || members.length === 0) return null
  const moments = world.applications
    .flatMap(({ view }) => view.groups)
    .flatMap((group) =>
      group.members
        .filter((member) => members.includes(member))
        .map((member) => takenAt(world, group.partitionId, member))
    )
  return moments.includes(null) ? null : Math.max(...moments.map(Number))
}

/** Since when a node is up or down. */
export const upSince = (world: World, node: Node): Instant => {
  const up = isUp(node)
  const known = turnedAt(world, node)
  return world.history.note(`up/${node.name}`, { state: up ? "Ok" : "Error", words: "", known }, world.now).since
}

/** True if the loss of the node takes a vote. Its cluster says so, or a member on it is no learner. */
export const isSeed = ({ facts, members }: Node): boolean =>
  facts?.seed ?? members.some(({ role }) => role !== "IdleSecondary")

/**
 * The fault domain of a node. If its cluster names none, the node has its own, since nobody says that nodes fail
 * together.
 */
export const faultDomain = ({ facts, name }: Node): string => facts?.faultDomain ?? `fd:/${encodeURIComponent(name)}`

/** The id of the replica that stands for a member: positive, 63 bits, in decimal. */
export const replicaId = (partitionId: Guid.Guid, member: Member): string =>
  member.replica?.id ?? Guid.number63(partitionId, `replica/${member.name}`)

// --- internal ---

const statuses = {
  Healthy: "Ready",
  Degraded: "Ready",
  Reconfiguring: "Reconfiguring",
  Lost: "InQuorumLoss"
} as const satisfies Record<ReturnType<typeof health>, ServiceFacts["status"]>

// A node that is up again is active, whatever the store remembers.
const deactivationsOf = (
  nodes: ReadonlyArray<Node>,
  deactivated: ReadonlyArray<Deactivation>
): ReadonlyMap<string, Deactivation> => {
  const up = new Set(nodes.filter((node) => node.members.length > 0 && isUp(node)).map(({ name }) => name))
  return new Map(
    deactivated.filter(({ nodeName, until }) => until === null || !up.has(nodeName)).map((one) => [one.nodeName, one])
  )
}

const applicationName = (cluster: string): string => `fabric:/${cluster}`

const everything = ({ applications, system }: World): ReadonlyArray<Application> => [...applications, system]

// The proven losses, each from t0 to the end of the lift.
const lossesOf = (holders: ReadonlyArray<Operation>): ReadonlyMap<Guid.Guid, Loss> => {
  const found = new Map<Guid.Guid, Loss>()
  for (const { request, stage } of holders) {
    if (!isPartitionRequest(request) || !faultOf(request).losesQuorum) continue
    if (stage._tag !== "Advancing" || stage.step._tag !== "PerformingActions") continue
    const phase = stage.step.phase
    if (phase._tag === "Holding" || phase._tag === "Lifting") {
      found.set(request.partitionId, { since: phase.lossBegan, until: null })
    } else if (phase._tag === "Recovering") {
      found.set(request.partitionId, { since: phase.lossBegan, until: phase.liftedAt })
    }
  }
  return found
}

const takenKey = (partitionId: Guid.Guid, member: string): string => `${partitionId}/${member}`

// A fence takes effect moments after its order. Nobody sees it sooner, so the order's time stands for it.
const takenOf = (holders: ReadonlyArray<Operation>): ReadonlyMap<string, Instant> => {
  const found = new Map<string, Instant>()
  for (const { request, stage } of holders) {
    if (!isPartitionRequest(request) || !faultOf(request).losesQuorum) continue
    if (stage._tag !== "Advancing" || stage.step._tag !== "PerformingActions") continue
    const { armedAt, fences } = stage.step.order
    for (const { member, named } of fences) found.set(takenKey(request.partitionId, named ?? member), armedAt)
  }
  return found
}

const nodesOf = (clusters: ReadonlyArray<ClusterView>): ReadonlyArray<Node> => {
  const found = new Map<string, { facts: NodeFacts | null; members: Array<Member> }>()
  const at = (name: string) => {
    const node = found.get(name) ?? { facts: null, members: [] }
    found.set(name, node)
    return node
  }
  for (const { groups, nodes } of clusters) {
    // Several applications of one simulated cluster tell of the same nodes.
    for (const facts of nodes ?? []) at(facts.name).facts = facts
    for (const member of groups.flatMap((group) => group.members)) at(member.node).members.push(member)
  }
  return [...found].map(([name, node]) => ({ name, id: nodeId(name), ...node })).sort((a, b) => (a.id < b.id ? -1 : 1))
}

// This worker stands for all of the system's services. Clients expect to find their one replica on a node of the
// cluster.
const systemOf = (nodes: ReadonlyArray<Node>, now: Instant): Application => {
  const node = nodes.find(isUp) ?? nodes[0]
  return {
    name: "fabric:/System",
    view: {
      name: "System",
      system: "System",
      injector: "",
      protected: true,
      maxHold: null,
      groups: systemServices.map(({ id, name }) => systemGroup(name, id, node, now)),
      problem: ""
    }
  }
}

/**
 * The services that every cluster has, with the ids of their partitions. All but the fault service's are the gateway's
 * own.
 */
const systemServices = [
  { name: "ClusterManagerService", id: "00000000-0000-0000-0000-000000002000" },
  { name: "FailoverManagerService", id: "00000000-0000-0000-0000-000000000001" },
  { name: "FaultAnalysisService", id: Guid.forPartition("System", "FaultAnalysisService") },
  { name: "NamingService", id: "00000000-0000-0000-0000-000000001000" }
]

const systemGroup = (name: string, partitionId: Guid.Guid, node: Node | undefined, now: Instant): Topology => ({
  cluster: "System",
  system: "inquorate",
  group: name,
  partitionId,
  observedAt: now,
  needed: 1,
  rule: "one",
  members:
    node === undefined
      ? []
      : [
          {
            name,
            node: node.name,
            address: node.facts?.address ?? node.members[0]?.address ?? "",
            role: "Primary",
            counts: true,
            up: true,
            cuttable: "Never",
            process: null,
            processProblem: ""
          }
        ],
  service: {
    name: `fabric:/System/${name}`,
    typeName: `${name}Type`,
    kind: "Stateful",
    persisted: true,
    targetSize: 1,
    minSize: 1,
    key: { _tag: "Singleton" },
    status: "Ready",
    configurationVersion: "1",
    dataLossVersion: "1",
    lastQuorumLoss: 0
  }
})

const targetSize = (topology: Topology): number =>
  Math.max(1, topology.members.filter((member) => member.role !== "IdleSecondary").length)

// What a write needs. If the primary's own copy does not count (PostgreSQL counts standbys only), the primary comes on
// top.
const minimumSize = (topology: Topology): number => {
  const primary = topology.members.find((member) => member.role === "Primary")
  return Math.min(targetSize(topology), topology.needed + (primary === undefined || primary.counts ? 0 : 1))
}
