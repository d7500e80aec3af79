/**
 * Our clusters in Service Fabric's shape, so that its clients can browse them: cluster → application, replicated group →
 * stateful persisted service with one Singleton partition, member → replica, host label → node. Pure; ids are derived
 * from names and therefore stay the same for ever.
 */
import * as Guid from "@inquorate/core/Guid"
import type { Operation } from "@inquorate/core/Operation"
import type { ClusterView } from "@inquorate/core/Operations"
import { isQuorumLoss } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import { health, type Member, nodeId, nodeInstanceId, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type * as Model from "./FabricModel.ts"
import { idOf } from "./FabricPath.ts"

// --- models ---

/** The version of the runtime that we announce. */
export const runtimeVersion = "8.2.0.0"

/** The quorum loss of ours that a partition is in, or was in before it began to recover; `until` is null while held. */
export interface Loss {
  readonly since: Instant
  readonly until: Instant | null
}

/** A node with the members that stand on it. */
export interface Node {
  readonly name: string
  readonly id: string
  readonly members: ReadonlyArray<Member>
}

// --- make ---

/** The losses of the operations that hold partitions, by partition id: proven ones, from t0 to the end of the lift. */
export const losses = (holders: ReadonlyArray<Operation>): ReadonlyMap<Guid.Guid, Loss> => {
  const found = new Map<Guid.Guid, Loss>()
  for (const { request, stage } of holders) {
    if (!isQuorumLoss(request) || stage._tag !== "Advancing" || stage.step._tag !== "PerformingActions") continue
    const phase = stage.step.phase
    if (phase._tag === "Holding" || phase._tag === "Lifting") {
      found.set(request.partitionId, { since: phase.lossBegan, until: null })
    } else if (phase._tag === "Recovering") {
      found.set(request.partitionId, { since: phase.lossBegan, until: phase.liftedAt })
    }
  }
  return found
}

/** The name of the application that stands for a cluster. */
export const applicationName = (cluster: string): string => `fabric:/${cluster}`

/** The nodes of all clusters, in the order of their ids. */
export const nodes = (clusters: ReadonlyArray<ClusterView>): ReadonlyArray<Node> => {
  const byName = new Map<string, Array<Member>>()
  for (const member of clusters.flatMap((cluster) => cluster.groups.flatMap((group) => group.members))) {
    const members = byName.get(member.node)
    if (members === undefined) byName.set(member.node, [member])
    else members.push(member)
  }
  return [...byName]
    .map(([name, members]) => ({ name, id: nodeId(name), members }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The id of the replica that stands for a member: positive, 63 bits, in decimal, following from partition and member. */
export const replicaId = (partitionId: Guid.Guid, member: string): string =>
  Guid.number63(partitionId, `replica/${member}`)

/** True where at least one member on the node is up. */
export const isUp = (node: Node): boolean => node.members.some((member) => member.up)

/** A node as the wire shows it. Times of which we know nothing are zero or "never". */
export const nodeInfo = (node: Node): Model.NodeInfo => ({
  Name: node.name,
  IpAddressOrFQDN: node.members[0]?.address.replace(/:[0-9]+$/, "") ?? "",
  Type: "InquorateNode",
  CodeVersion: runtimeVersion,
  ConfigVersion: "1.0",
  NodeStatus: isUp(node) ? "Up" : "Down",
  NodeUpTimeInSeconds: "0",
  HealthState: nodeHealth(node),
  IsSeedNode: false,
  UpgradeDomain: node.name,
  FaultDomain: "fd:/0",
  Id: { Id: node.id },
  InstanceId: nodeInstanceId(node.name),
  NodeDeactivationInfo: {
    NodeDeactivationIntent: "Invalid",
    NodeDeactivationStatus: "None",
    NodeDeactivationTask: [],
    PendingSafetyChecks: []
  },
  IsStopped: false,
  NodeDownTimeInSeconds: "0",
  NodeUpAt: never,
  NodeDownAt: never
})

/** A cluster as the wire shows it. */
export const applicationInfo = (
  cluster: ClusterView,
  held: ReadonlyMap<Guid.Guid, Loss>,
  options: { readonly version: number; readonly excludeParameters: boolean }
): Model.ApplicationInfo => {
  const name = applicationName(cluster.name)
  const parameters = [
    { Key: "Injector", Value: cluster.injector },
    { Key: "Protected", Value: String(cluster.protected) }
  ]
  return {
    Id: idOf(name, options.version),
    Name: name,
    TypeName: cluster.system,
    TypeVersion: "1.0",
    Status: "Ready",
    Parameters: options.excludeParameters ? [] : parameters,
    HealthState: applicationHealth(cluster, held),
    ApplicationDefinitionKind: "ServiceFabricApplicationDescription"
  }
}

/** A group as the wire shows it. */
export const serviceInfo = (
  topology: Topology,
  held: ReadonlyMap<Guid.Guid, Loss>,
  version: number
): Model.ServiceInfo => {
  const name = serviceNameOf(topology)
  return {
    Id: idOf(name, version),
    ServiceKind: "Stateful",
    Name: name,
    TypeName: topology.system,
    ManifestVersion: "1.0",
    HealthState: partitionHealth(topology, held),
    ServiceStatus: "Active",
    IsServiceGroup: false,
    HasPersistedState: true
  }
}

/** A name with its id in the spelling of the version. */
export const nameInfo = (name: string, version: number): Model.NameInfo => ({ Id: idOf(name, version), Name: name })

/** The description of a group as a service. */
export const serviceDescription = (topology: Topology): Model.ServiceDescription => ({
  ServiceKind: "Stateful",
  ApplicationName: applicationName(topology.cluster),
  ServiceName: serviceNameOf(topology),
  ServiceTypeName: topology.system,
  PartitionDescription: { PartitionScheme: "Singleton" },
  TargetReplicaSetSize: targetSize(topology),
  MinReplicaSetSize: minimumSize(topology),
  HasPersistedState: true
})

/** The partition of a group: InQuorumLoss while we hold it or its topology says so, else Ready. */
export const partition = (topology: Topology, held: ReadonlyMap<Guid.Guid, Loss>, now: Instant): Model.Partition => {
  const loss = held.get(topology.partitionId)
  const lost = loss === undefined ? 0 : Math.max(0, (loss.until ?? now) - loss.since)
  return {
    ServiceKind: "Stateful",
    PartitionInformation: { ServicePartitionKind: "Singleton", Id: topology.partitionId },
    HealthState: partitionHealth(topology, held),
    PartitionStatus: inQuorumLoss(topology, held) ? "InQuorumLoss" : "Ready",
    TargetReplicaSetSize: targetSize(topology),
    MinReplicaSetSize: minimumSize(topology),
    PrimaryEpoch: epoch,
    CurrentConfigurationEpoch: epoch,
    LastQuorumLossDuration: formatDuration(lost),
    LastQuorumLossDurationInSeconds: String(Math.floor(lost / 1000))
  }
}

/** The replicas of a group in the order of their ids. */
export const replicas = (topology: Topology): ReadonlyArray<Model.Replica & { readonly ReplicaId: string }> =>
  topology.members
    .map((member) => ({
      ServiceKind: "Stateful" as const,
      ReplicaId: replicaId(topology.partitionId, member.name),
      ReplicaRole: member.role,
      ReplicaStatus: member.up ? ("Ready" as const) : ("Down" as const),
      HealthState: member.up ? ("Ok" as const) : ("Error" as const),
      NodeName: member.node,
      Address: member.address,
      LastInBuildDurationInSeconds: "0"
    }))
    .sort((a, b) => (BigInt(a.ReplicaId) < BigInt(b.ReplicaId) ? -1 : 1))

/** The health of everything; a filter of 0 takes all, else its bits are 1 none, 2 Ok, 4 Warning, 8 Error. */
export const clusterHealth = (
  clusters: ReadonlyArray<ClusterView>,
  held: ReadonlyMap<Guid.Guid, Loss>,
  options: { readonly nodesFilter: number; readonly applicationsFilter: number; readonly excludeStatistics: boolean }
): Model.ClusterHealth => {
  const nodeStates = nodes(clusters).map((node) => ({
    Name: node.name,
    Id: { Id: node.id },
    AggregatedHealthState: nodeHealth(node)
  }))
  const applicationStates = clusters.map((cluster) => ({
    Name: applicationName(cluster.name),
    AggregatedHealthState: applicationHealth(cluster, held)
  }))
  const groups = clusters.flatMap((cluster) => cluster.groups)
  const statistics: ReadonlyArray<readonly [string, ReadonlyArray<Model.HealthState>]> = [
    ["Node", nodeStates.map((node) => node.AggregatedHealthState)],
    ["Replica", groups.flatMap((group) => replicas(group).map((replica) => replica.HealthState))],
    ["Partition", groups.map((group) => partitionHealth(group, held))],
    ["Service", groups.map((group) => partitionHealth(group, held))],
    ["Application", applicationStates.map((application) => application.AggregatedHealthState)]
  ]
  return {
    AggregatedHealthState: worst([...nodeStates, ...applicationStates].map((entity) => entity.AggregatedHealthState)),
    HealthEvents: [],
    UnhealthyEvaluations: [],
    ...(options.excludeStatistics
      ? {}
      : { HealthStatistics: { HealthStateCountList: statistics.map(([kind, states]) => count(kind, states)) } }),
    NodeHealthStates: nodeStates.filter((node) => taken(options.nodesFilter, node.AggregatedHealthState)),
    ApplicationHealthStates: applicationStates.filter((application) =>
      taken(options.applicationsFilter, application.AggregatedHealthState)
    )
  }
}

/** The manifest of all clusters: the XML that a Service Fabric tool expects, with our nodes in it. */
export const clusterManifest = (clusters: ReadonlyArray<ClusterView>): string => {
  const list = nodes(clusters).map((node) => {
    const info = nodeInfo(node)
    return (
      `<Node NodeName="${xml(info.Name)}" IPAddressOrFQDN="${xml(info.IpAddressOrFQDN)}" ` +
      `IsSeedNode="false" NodeTypeRef="${info.Type}" FaultDomain="${info.FaultDomain}" ` +
      `UpgradeDomain="${xml(info.UpgradeDomain)}" />`
    )
  })
  return (
    '<?xml version="1.0" encoding="utf-8"?>' +
    '<ClusterManifest xmlns="http://schemas.microsoft.com/2011/01/fabric" Name="Inquorate" Version="1.0">' +
    '<NodeTypes><NodeType Name="InquorateNode" /></NodeTypes>' +
    `<Infrastructure><Linux IsScaleMin="false"><NodeList>${list.join("")}</NodeList></Linux></Infrastructure>` +
    "</ClusterManifest>"
  )
}

/** A length of time as an ISO 8601 duration in the gateway's spelling: `PT0H1M0S`, `P1DT2H3M4.5S`. */
export const formatDuration = (millis: Millis): string => {
  const days = Math.floor(millis / 86_400_000)
  const hours = Math.floor(millis / 3_600_000) % 24
  const minutes = Math.floor(millis / 60_000) % 60
  return `P${days > 0 ? `${days}D` : ""}T${hours}H${minutes}M${(millis % 60_000) / 1000}S`
}

// --- internal ---

/** The wire's "never". */
const never = "0001-01-01T00:00:00.000Z"

// Systems count their terms each in their own way, and a client that compares epochs looks for data loss: none of ours.
const epoch = { ConfigurationVersion: "1", DataLossVersion: "1" }

const inQuorumLoss = (topology: Topology, held: ReadonlyMap<Guid.Guid, Loss>): boolean =>
  held.get(topology.partitionId)?.until === null || health(topology) === "Lost"

const partitionHealth = (topology: Topology, held: ReadonlyMap<Guid.Guid, Loss>): Model.HealthState =>
  inQuorumLoss(topology, held) ? "Error" : health(topology) === "Degraded" ? "Warning" : "Ok"

const applicationHealth = (cluster: ClusterView, held: ReadonlyMap<Guid.Guid, Loss>): Model.HealthState =>
  worst([
    ...cluster.groups.map((group) => partitionHealth(group, held)),
    ...(cluster.problem === "" ? [] : ["Warning" as const])
  ])

const nodeHealth = (node: Node): Model.HealthState =>
  !isUp(node) ? "Error" : node.members.every((member) => member.up) ? "Ok" : "Warning"

const worst = (states: ReadonlyArray<Model.HealthState>): Model.HealthState =>
  states.includes("Error") ? "Error" : states.includes("Warning") ? "Warning" : "Ok"

const count = (kind: string, states: ReadonlyArray<Model.HealthState>) => ({
  EntityKind: kind,
  HealthStateCount: {
    OkCount: states.filter((state) => state === "Ok").length,
    WarningCount: states.filter((state) => state === "Warning").length,
    ErrorCount: states.filter((state) => state === "Error").length
  }
})

const taken = (filter: number, state: Model.HealthState): boolean =>
  filter === 0 || (filter & (state === "Ok" ? 2 : state === "Warning" ? 4 : 8)) !== 0

const targetSize = (topology: Topology): number =>
  Math.max(1, topology.members.filter((member) => member.role !== "IdleSecondary").length)

// What a write needs, and the primary too where its own copy is not among those that count (PostgreSQL's standbys).
const minimumSize = (topology: Topology): number => {
  const primary = topology.members.find((member) => member.role === "Primary")
  return Math.min(targetSize(topology), topology.needed + (primary === undefined || primary.counts ? 0 : 1))
}

const xml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
