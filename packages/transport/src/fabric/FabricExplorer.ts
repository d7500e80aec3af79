/**
 * The queries of an explorer's pages beside those of the SDK: upgrades, loads, types, what is on a node, where a
 * partition is, and the empty lists of a backup service that is not there. Pure: it answers from the world as it is
 * now.
 */
import { nil } from "@inquorate/core/Guid"
import { type PartitionKey, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Cluster from "./FabricCluster.ts"
import * as Deployed from "./FabricDeployed.ts"
import * as Health from "./FabricHealth.ts"
import { found, oneOr, oneOrNone, page, type QueryAnswer } from "./FabricPaging.ts"
import * as Partitions from "./FabricPartitions.ts"
import type { ExplorerCall, ResolveKey } from "./FabricCall.ts"
import { nameToken } from "./FabricPath.ts"
import { formatTime } from "./FabricTime.ts"
import * as Types from "./FabricTypes.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/** A call that only the world and the path are needed to answer. */
export type PageCall = Exclude<ExplorerCall, CallOf<"GetClusterHealthChunk" | "GetEvents" | "GetCorrelatedEvents">>

// --- make ---

/** The answer to a call of a page. */
export const answer = (world: World.World, call: PageCall): QueryAnswer => {
  switch (call._tag) {
    case "GetClusterUpgradeProgress":
      return found(Cluster.clusterUpgrade(world))
    case "GetClusterLoad":
      return found(Cluster.clusterLoad())
    // Nobody ever repairs anything here, and there are no backups.
    case "GetRepairTaskList":
      return found([])
    case "GetBackupPolicyList":
      return found(nothing)
    case "GetBackupPolicy":
      return { _tag: "Refused", code: "FABRIC_E_KEY_NOT_FOUND" }
    case "GetBackupList":
      return backups(world, call)
    case "GetPartitionBackup":
      return oneOr("FABRIC_E_PARTITION_NOT_FOUND", World.findPartition(world, call.partitionId), (partition) =>
        partitionBackup(call.of, partition)
      )
    case "GetFailoverManagerManager":
      return oneOr("FABRIC_E_NOT_READY", Cluster.failoverManagerManager(world), (manager) => manager)
    case "GetApplicationTypeList":
    case "GetServiceTypeList":
    case "GetApplicationManifest":
    case "GetServiceManifest":
      return types(world, call)
    case "GetApplicationUpgradeProgress":
      return oneOr(
        "FABRIC_E_APPLICATION_NOT_FOUND",
        World.findApplication(world, call.applicationName),
        (application) => Cluster.applicationUpgrade(world, application)
      )
    case "GetApplicationLoad":
      return oneOr(
        "FABRIC_E_APPLICATION_NOT_FOUND",
        World.findApplication(world, call.applicationName),
        (application) => Cluster.applicationLoad(world, application)
      )
    case "GetPartitionLoad":
      return oneOr("FABRIC_E_PARTITION_NOT_FOUND", World.findPartition(world, call.partitionId), ({ partitionId }) =>
        Cluster.partitionLoad(partitionId)
      )
    case "ResolvePartition":
      return resolve(world, call)
    case "GetDeployedReplicaDetail":
      return oneOr("FABRIC_E_REPLICA_DOES_NOT_EXIST", Deployed.findReplica(world, call), ({ application, placed }) =>
        Deployed.replicaDetail(world, application, placed)
      )
    default:
      return onNode(world, call)
  }
}

// --- internal ---

type CallOf<Tag extends ExplorerCall["_tag"]> = Extract<ExplorerCall, { readonly _tag: Tag }>

const nothing = { ContinuationToken: "", Items: [] }

const backups = (world: World.World, { of }: CallOf<"GetBackupList">): QueryAnswer => {
  switch (of._tag) {
    case "Application":
      return oneOr("FABRIC_E_APPLICATION_NOT_FOUND", World.findApplication(world, of.name), () => nothing)
    case "Service":
      return oneOr("FABRIC_E_SERVICE_DOES_NOT_EXIST", World.findService(world, of.name), () => nothing)
    case "Partition":
      return oneOr("FABRIC_E_PARTITION_NOT_FOUND", World.findPartition(world, of.partitionId), () => nothing)
  }
}

// Each of these enumerations says `Invalid` for nothing.
const partitionBackup = (of: CallOf<"GetPartitionBackup">["of"], partition: Topology) => {
  const epoch = { DataLossVersion: "0", ConfigurationVersion: "0" }
  switch (of) {
    case "GetBackupConfigurationInfo":
      return {
        Kind: "Partition",
        PolicyName: "",
        PolicyInheritedFrom: "Invalid",
        SuspensionInfo: { IsSuspended: false, SuspensionInheritedFrom: "Invalid" },
        ServiceName: serviceNameOf(partition),
        PartitionId: partition.partitionId
      }
    case "GetBackupProgress":
      return {
        BackupState: "Invalid",
        TimeStampUtc: formatTime(null),
        BackupId: nil,
        BackupLocation: "",
        EpochOfLastBackupRecord: epoch,
        LsnOfLastBackupRecord: "0"
      }
    case "GetRestoreProgress":
      return { RestoreState: "Invalid", TimeStampUtc: formatTime(null), RestoredEpoch: epoch, RestoredLsn: "0" }
  }
}

const types = (
  world: World.World,
  call: CallOf<"GetApplicationTypeList" | "GetServiceTypeList" | "GetApplicationManifest" | "GetServiceManifest">
): QueryAnswer => {
  const all = Types.all(world)
  if (call._tag === "GetApplicationTypeList") {
    const wanted = all.filter(
      ({ name, version }) =>
        (call.typeName === null || call.typeName === name) &&
        (call.typeVersion === null || call.typeVersion === version)
    )
    const info = (type: Types.ApplicationType) => Types.applicationTypeInfo(type, call)
    // The gateway pages this list from version 4.0 on. Before, it gave the bare list.
    return world.version < 4 ? found(wanted.map(info)) : page(wanted, call.paging, Types.keyOf, info)
  }
  const type = all.find(({ name, version }) => name === call.typeName && version === call.typeVersion)
  const unknown = "FABRIC_E_APPLICATION_TYPE_NOT_FOUND"
  switch (call._tag) {
    case "GetServiceTypeList": {
      const { serviceTypeName } = call
      if (serviceTypeName === null) return oneOr(unknown, type, Types.serviceTypes)
      const one = type === undefined ? undefined : Types.serviceTypes(type)
      if (one === undefined) return { _tag: "Refused", code: unknown }
      return oneOrNone(
        one.find(({ ServiceTypeDescription }) => ServiceTypeDescription.ServiceTypeName === serviceTypeName),
        (info) => info
      )
    }
    case "GetApplicationManifest":
      return oneOr(unknown, type, (one) => ({ Manifest: Types.applicationManifest(one) }))
    case "GetServiceManifest": {
      const named = type !== undefined && Health.packageOf(type.applications[0]!) === call.manifestName
      return oneOr(unknown, named ? type : undefined, (one) => ({ Manifest: Types.serviceManifest(one) }))
    }
  }
}

/** A call about one application on one node. */
type DeployedCall = CallOf<
  | "GetDeployedApplication"
  | "GetDeployedApplicationHealth"
  | "GetDeployedServicePackageList"
  | "GetDeployedServicePackageHealth"
  | "GetDeployedServiceTypeList"
  | "GetDeployedCodePackageList"
  | "GetDeployedReplicaList"
>

const onNode = (
  world: World.World,
  call: CallOf<"GetNodeLoad" | "GetDeployedApplicationList"> | DeployedCall
): QueryAnswer => {
  const node = world.nodes.find(({ name }) => name === call.nodeName)
  if (node === undefined) return { _tag: "Refused", code: "FABRIC_E_NODE_NOT_FOUND" }
  if (call._tag === "GetNodeLoad") return found(Cluster.nodeLoad(node))
  if (call._tag === "GetDeployedApplicationList") {
    const info = (deployed: Deployed.Deployed) => Deployed.applicationInfo(world, deployed)
    const all = Deployed.onNode(world, node)
    // The gateway pages this list from version 6.1 on.
    return world.version < 6.1
      ? found(all.map(info))
      : page(all, call.paging, ({ application }) => application.name, info, nameToken)
  }
  const deployed = Deployed.find(world, node, call.applicationName)
  if (deployed !== undefined) return ofDeployed(world, deployed, call)
  // The insights page counts the system's replicas on every node, and takes "not there" for an error.
  return call._tag === "GetDeployedReplicaList" && call.applicationName === world.system.name
    ? found([])
    : notDeployed(call._tag)
}

const notDeployed = (tag: ExplorerCall["_tag"]): QueryAnswer =>
  tag === "GetDeployedApplication"
    ? { _tag: "None" }
    : tag === "GetDeployedApplicationHealth" || tag === "GetDeployedServicePackageHealth"
      ? { _tag: "Refused", code: "FABRIC_E_HEALTH_ENTITY_NOT_FOUND" }
      : { _tag: "Refused", code: "FABRIC_E_APPLICATION_NOT_FOUND" }

const ofDeployed = (world: World.World, deployed: Deployed.Deployed, call: DeployedCall): QueryAnswer => {
  const { application, node, replicas } = deployed
  const named = (name: string | null): boolean => name === null || name === Health.packageOf(application)
  switch (call._tag) {
    case "GetDeployedApplication":
      return found(Deployed.applicationInfo(world, deployed))
    case "GetDeployedServicePackageList":
      return found(named(call.packageName) ? [Deployed.packageInfo(world, deployed)] : [])
    case "GetDeployedServiceTypeList":
      return found(named(call.packageName) ? Deployed.serviceTypes(deployed) : [])
    case "GetDeployedCodePackageList": {
      const code = Deployed.codePackage(deployed)
      const wanted = named(call.packageName) && (call.codePackageName === null || call.codePackageName === code.Name)
      return found(wanted ? [code] : [])
    }
    case "GetDeployedReplicaList":
      return found(
        replicas
          .filter(
            ({ topology }) =>
              named(call.packageName) && (call.partitionId === null || call.partitionId === topology.partitionId)
          )
          .map((placed) => Deployed.replicaInfo(application, placed))
      )
    case "GetDeployedApplicationHealth": {
      const entity = Health.ofDeployed(world, application, node)
      return found({
        Name: application.name,
        NodeName: node.name,
        ...Health.common(entity, call),
        DeployedServicePackageHealthStates: Health.children(entity, "DeployedServicePackages", call.packagesFilter).map(
          ({ identity, state }) => ({ ...identity, ServicePackageActivationId: "", AggregatedHealthState: state })
        )
      })
    }
    case "GetDeployedServicePackageHealth": {
      const [entity] = Health.children(Health.ofDeployed(world, application, node), "DeployedServicePackages", 0)
      if (entity === undefined || !named(call.packageName)) {
        return { _tag: "Refused", code: "FABRIC_E_HEALTH_ENTITY_NOT_FOUND" }
      }
      return found({ ...entity.identity, ...Health.common(entity, call) })
    }
  }
}

const resolve = (world: World.World, { key, serviceName }: CallOf<"ResolvePartition">): QueryAnswer => {
  const service = World.findService(world, serviceName)
  if (service === undefined) return { _tag: "Refused", code: "FABRIC_E_SERVICE_DOES_NOT_EXIST" }
  const partition = service.partitions.find((one) => holds(World.factsOf(one).key, key))
  if (partition === undefined) return { _tag: "Refused", code: "FABRIC_E_INVALID_PARTITION_KEY" }
  const facts = World.factsOf(partition)
  const endpoints = partition.members
    .filter(({ role, up }) => up && role !== "IdleSecondary")
    .map(({ address, role }) => ({
      Kind: facts.kind === "Stateless" ? "Stateless" : role === "Primary" ? "StatefulPrimary" : "StatefulSecondary",
      Address: address
    }))
  if (endpoints.length === 0) return { _tag: "Refused", code: "FABRIC_E_SERVICE_OFFLINE" }
  return found({
    Name: service.name,
    PartitionInformation: Partitions.partitionInfo(world, partition).PartitionInformation,
    Endpoints: endpoints,
    Version: versionOf(partition)
  })
}

// The version changes as soon as a role moves, or a member goes down or comes back.
const versionOf = (partition: Topology): string => {
  const { configurationVersion, dataLossVersion } = World.factsOf(partition)
  const standing = partition.members.map(({ role, up }) => (up ? role[0] : "-")).join("")
  return `${dataLossVersion}:${configurationVersion}:${standing}`
}

const holds = (has: PartitionKey, wanted: ResolveKey | null): boolean => {
  switch (has._tag) {
    case "Singleton":
      return wanted === null
    case "Named":
      return wanted?._tag === "Named" && wanted.value === has.name
    case "Int64Range": {
      if (wanted?._tag !== "Int64Range") return false
      const value = BigInt(wanted.value)
      return BigInt(has.low) <= value && value <= BigInt(has.high)
    }
  }
}
