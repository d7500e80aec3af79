/**
 * The query calls: a parsed call and the world as it is now go in, the wire's answer comes out. Pure. If something is
 * not there, the answer is `None` (204) where the gateway says nothing, else the gateway's error code.
 */
import { serviceNameOf } from "@inquorate/core/Topology"
import * as Health from "./FabricHealth.ts"
import type * as Model from "./FabricModel.ts"
import * as Nodes from "./FabricNodes.ts"
import * as Partitions from "./FabricPartitions.ts"
import * as Chunk from "./FabricChunk.ts"
import * as Explorer from "./FabricExplorer.ts"
import { found, oneOr, oneOrNone, page, type QueryAnswer } from "./FabricPaging.ts"
import type { FabricCall } from "./FabricCall.ts"
import { nameToken } from "./FabricPath.ts"
import * as Services from "./FabricServices.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/** A call that only looks. */
export type QueryCall = CallOf<
  | "GetClusterVersion"
  | "GetClusterManifest"
  | "GetNodeList"
  | "GetNode"
  | "GetApplicationList"
  | "GetApplication"
  | "GetServiceList"
  | "GetService"
  | "GetServiceDescription"
  | "GetApplicationName"
  | "GetPartitionList"
  | "GetPartition"
  | "GetServiceName"
  | "GetReplicaList"
  | "GetReplica"
  | HealthCall["_tag"]
  | Explorer.PageCall["_tag"]
>

// --- make ---

/**
 * The answer to a query call. It says that a thing is not there only if this worker has seen every cluster that may
 * have it. Else it is `FABRIC_E_NOT_READY`, which asks the caller to come again.
 */
export const answer = (world: World.World, call: QueryCall): QueryAnswer => {
  if (isUnlooked(world, call)) return notReady
  const answered = answerSeen(world, call)
  return answered._tag !== "Found" && mayBeUnseen(world, call) ? notReady : answered
}

/**
 * The health of what a description names. If some cluster was not looked at yet, it is not ready, since it would leave
 * out that cluster.
 */
export const chunk = (world: World.World, description: Chunk.Description): QueryAnswer =>
  World.isUnlooked(world) ? notReady : found(Chunk.chunkOf(world, description))

// --- internal ---

const notReady: QueryAnswer = { _tag: "Refused", code: "FABRIC_E_NOT_READY" }

/**
 * True for a list or a summed health that would leave out a cluster which this worker has not looked at, or has never
 * seen.
 */
const isUnlooked = (world: World.World, call: QueryCall): boolean => {
  switch (call._tag) {
    case "GetNodeList":
      return World.isUnlooked(world) || (world.nodes.length === 0 && World.unknown(world).length > 0)
    case "GetClusterHealth":
    case "GetApplicationTypeList":
      return World.isUnlooked(world)
    case "GetApplicationHealth":
      // If a look at it failed, the application is there, and its health says why it shows no service.
      return World.findApplication(world, call.applicationName)?.view.seen === "NotLookedAt"
    case "GetServiceList":
      return World.unknown(world).some(({ name }) => name === call.applicationName)
    case "GetServiceTypeList":
    case "GetServiceManifest":
      // The services of a type follow from the applications that have it.
      return World.unknown(world).some((application) => Services.applicationType(application) === call.typeName)
    default:
      return false
  }
}

/** True if the thing that was not found may be in a cluster that nobody has seen. */
const mayBeUnseen = (world: World.World, call: QueryCall): boolean => {
  const unknown = World.unknown(world)
  switch (call._tag) {
    case "GetApplication":
    case "GetApplicationHealth":
    case "GetServiceList":
    case "GetApplicationUpgradeProgress":
    case "GetApplicationLoad":
    case "GetBackupPolicy":
      return false
    case "GetService":
    case "GetServiceDescription":
    case "GetApplicationName":
    case "GetPartitionList":
    case "GetServiceHealth":
    case "ResolvePartition":
      return unknown.some(({ name }) => call.serviceName.startsWith(`${name}/`))
    default:
      return unknown.length > 0
  }
}

const answerSeen = (world: World.World, call: QueryCall): QueryAnswer => {
  switch (call._tag) {
    case "GetClusterVersion":
      return found({ Version: World.runtimeVersion } satisfies typeof Model.ClusterVersion.Type)
    case "GetClusterManifest":
      return found({ Manifest: Nodes.clusterManifest(world) } satisfies typeof Model.ClusterManifest.Type)
    case "GetNodeList": {
      const nodes = world.nodes.filter((node) => Nodes.takesNode(call.filter, world, node))
      return page(
        nodes,
        call.paging,
        ({ id }) => id,
        (node) => Nodes.nodeInfo(world, node)
      )
    }
    case "GetNode":
      return oneOrNone(findNode(world, call.nodeName), (node) => Nodes.nodeInfo(world, node))
    case "GetApplicationList":
    case "GetApplication":
      return applications(world, call)
    case "GetServiceList":
    case "GetService":
    case "GetServiceDescription":
    case "GetApplicationName":
      return services(world, call)
    case "GetPartitionList":
    case "GetPartition":
    case "GetServiceName":
    case "GetReplicaList":
    case "GetReplica":
      return partitions(world, call)
    case "GetClusterHealth":
    case "GetNodeHealth":
    case "GetApplicationHealth":
    case "GetServiceHealth":
    case "GetPartitionHealth":
    case "GetReplicaHealth":
      return healthOf(world, call)
    default:
      return Explorer.answer(world, call)
  }
}

type CallOf<Tag extends FabricCall["_tag"]> = Extract<FabricCall, { readonly _tag: Tag }>

type HealthCall = CallOf<
  | "GetClusterHealth"
  | "GetNodeHealth"
  | "GetApplicationHealth"
  | "GetServiceHealth"
  | "GetPartitionHealth"
  | "GetReplicaHealth"
>

const findNode = (world: World.World, name: string): World.Node | undefined =>
  world.nodes.find((node) => node.name === name)

const applications = (world: World.World, call: CallOf<"GetApplicationList" | "GetApplication">): QueryAnswer => {
  const info = (application: World.Application) => Services.applicationInfo(world, application, call)
  if (call._tag === "GetApplication") {
    return oneOrNone(
      world.applications.find(({ name }) => name === call.applicationName),
      info
    )
  }
  // The bits of the kind: 1 is a Service Fabric application, 2 one of Docker Compose, of which there are none.
  const wanted = call.kindFilter === 0 || (call.kindFilter & 1) !== 0
  const all = world.applications.filter(
    (application) => wanted && (call.typeName === null || Services.applicationType(application) === call.typeName)
  )
  return page(all, call.paging, ({ name }) => name, info, nameToken)
}

const services = (
  world: World.World,
  call: CallOf<"GetServiceList" | "GetService" | "GetServiceDescription" | "GetApplicationName">
): QueryAnswer => {
  const info = (service: World.Service) => Services.serviceInfo(world, service)
  if (call._tag === "GetServiceList") {
    const application = World.findApplication(world, call.applicationName)
    if (application === undefined) return { _tag: "Refused", code: "FABRIC_E_APPLICATION_NOT_FOUND" }
    const all = World.servicesOf(application).filter(
      ({ facts }) => call.typeName === null || facts.typeName === call.typeName
    )
    return page(all, call.paging, ({ name }) => name, info, nameToken)
  }
  const service = World.findService(world, call.serviceName)
  switch (call._tag) {
    case "GetService":
      return oneOrNone(service?.application.name === call.applicationName ? service : undefined, info)
    case "GetServiceDescription":
      return oneOr("FABRIC_E_SERVICE_DOES_NOT_EXIST", service, Services.serviceDescription)
    case "GetApplicationName":
      return oneOr("FABRIC_E_SERVICE_DOES_NOT_EXIST", service, ({ application }) =>
        Services.nameInfo(application.name, world.version)
      )
  }
}

const partitions = (
  world: World.World,
  call: CallOf<"GetPartitionList" | "GetPartition" | "GetServiceName" | "GetReplicaList" | "GetReplica">
): QueryAnswer => {
  if (call._tag === "GetPartitionList") {
    const service = World.findService(world, call.serviceName)
    if (service === undefined) return { _tag: "Refused", code: "FABRIC_E_SERVICE_DOES_NOT_EXIST" }
    const paging = { ...call.paging, after: call.paging.after?.toLowerCase() ?? null }
    return page(
      service.partitions,
      paging,
      ({ partitionId }) => partitionId,
      (partition) => Partitions.partitionInfo(world, partition)
    )
  }
  const partition = World.findPartition(world, call.partitionId)
  switch (call._tag) {
    case "GetPartition":
      return oneOrNone(partition, (one) => Partitions.partitionInfo(world, one))
    case "GetServiceName":
      return oneOr("FABRIC_E_PARTITION_NOT_FOUND", partition, (one) =>
        Services.nameInfo(serviceNameOf(one), world.version)
      )
    case "GetReplica":
      return oneOrNone(
        partition === undefined
          ? undefined
          : Partitions.replicas(world, partition).find(({ id }) => id === call.replicaId),
        ({ info }) => info
      )
    case "GetReplicaList": {
      if (partition === undefined) return { _tag: "Refused", code: "FABRIC_E_PARTITION_NOT_FOUND" }
      // The keys are numbers of any length, so the items after the token are picked here.
      const after = call.paging.after === null ? -1n : BigInt(call.paging.after)
      const all = Partitions.replicas(world, partition).filter(
        ({ id, info }) => Partitions.takesReplica(call.statusFilter, info.ReplicaStatus) && BigInt(id) > after
      )
      return page(
        all,
        { ...call.paging, after: null },
        ({ id }) => id,
        ({ info }) => info
      )
    }
  }
}

const healthOf = (world: World.World, call: HealthCall): QueryAnswer => {
  const none: QueryAnswer = { _tag: "Refused", code: "FABRIC_E_HEALTH_ENTITY_NOT_FOUND" }
  switch (call._tag) {
    case "GetClusterHealth":
      return found(clusterHealth(world, call))
    case "GetNodeHealth": {
      const node = findNode(world, call.nodeName)
      if (node === undefined) return none
      const entity = Health.ofNode(world, node)
      return found({ Name: node.name, ...Health.common(entity, call) } satisfies Model.NodeHealth)
    }
    case "GetApplicationHealth": {
      const application = World.findApplication(world, call.applicationName)
      if (application === undefined) return none
      const entity = Health.ofApplication(world, application)
      return found({
        Name: application.name,
        ...Health.common(entity, call),
        ServiceHealthStates: Health.children(entity, "Services", call.servicesFilter).map(({ identity, state }) => ({
          ServiceName: identity["ServiceName"]!,
          AggregatedHealthState: state
        })),
        DeployedApplicationHealthStates: Health.nodesOf(world, application).flatMap((node) => {
          const { state } = Health.ofDeployed(world, application, node)
          if (!Health.takes(call.deployedFilter, state)) return []
          return [{ ApplicationName: application.name, NodeName: node.name, AggregatedHealthState: state }]
        })
      } satisfies Model.ApplicationHealth)
    }
    case "GetServiceHealth": {
      const service = World.findService(world, call.serviceName)
      if (service === undefined) return none
      const entity = Health.ofService(world, service)
      return found({
        Name: service.name,
        ...Health.common(entity, call),
        PartitionHealthStates: Health.children(entity, "Partitions", call.partitionsFilter).map(
          ({ identity, state }) => ({ PartitionId: identity["PartitionId"]!, AggregatedHealthState: state })
        )
      } satisfies Model.ServiceHealth)
    }
    default:
      return partitionHealth(world, call) ?? none
  }
}

const clusterHealth = (world: World.World, call: CallOf<"GetClusterHealth">): Model.ClusterHealth => {
  const entity = Health.ofCluster(world)
  const ids = new Map(world.nodes.map(({ id, name }) => [name, id]))
  const system = Health.ofApplication(world, world.system).state
  return {
    ...Health.common(entity, call),
    NodeHealthStates: Health.children(entity, "Nodes", call.nodesFilter).map(({ identity, state }) => ({
      Name: identity["NodeName"]!,
      Id: { Id: ids.get(identity["NodeName"]!)! },
      AggregatedHealthState: state
    })),
    ApplicationHealthStates: [
      ...Health.children(entity, "Applications", call.applicationsFilter).map(({ identity, state }) => ({
        Name: identity["ApplicationName"]!,
        AggregatedHealthState: state
      })),
      ...(Health.takes(call.applicationsFilter, system)
        ? [{ Name: world.system.name, AggregatedHealthState: system }]
        : [])
    ]
  }
}

const partitionHealth = (
  world: World.World,
  call: CallOf<"GetPartitionHealth" | "GetReplicaHealth">
): QueryAnswer | undefined => {
  const partition = World.findPartition(world, call.partitionId)
  if (partition === undefined) return undefined
  const { kind } = World.factsOf(partition)
  const named = (id: string) =>
    kind === "Stateless" ? { ServiceKind: kind, InstanceId: id } : { ServiceKind: kind, ReplicaId: id }
  if (call._tag === "GetReplicaHealth") {
    const member = partition.members.find(
      (one) => Health.isShown(one) && World.replicaId(partition.partitionId, one) === call.replicaId
    )
    if (member === undefined) return undefined
    return found({
      PartitionId: partition.partitionId,
      ...named(call.replicaId),
      ...Health.common(Health.ofReplica(world, partition, member), call)
    } satisfies Model.ReplicaHealth)
  }
  const entity = Health.ofPartition(world, partition)
  return found({
    PartitionId: partition.partitionId,
    ...Health.common(entity, call),
    ReplicaHealthStates: Health.children(entity, "Replicas", call.replicasFilter).map(({ identity, state }) => ({
      PartitionId: partition.partitionId,
      // Only in this place, the specification says ReplicaId for instances too.
      ServiceKind: kind,
      ReplicaId: identity["ReplicaOrInstanceId"]!,
      AggregatedHealthState: state
    }))
  } satisfies Model.PartitionHealth)
}
