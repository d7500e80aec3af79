/**
 * The calls of the Service Fabric surface, one row each: the method, the path, the api-versions that know it, and how
 * to read its parameters, in the order in which the gateway checks them. Three paths lead to a partition: its own, its
 * service's and its application's. Two lead to a service.
 * Source of the paths: the gateway's own handlers, its 8.2 specification, and Service Fabric Explorer's requests.
 */
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import type { Reader, Versions } from "./FabricParameters.ts"
import type { EventSubject, FabricCall } from "./FabricCall.ts"

// --- models ---

/** One call: its method and path, and how to read it. */
export interface Row {
  readonly method: string
  readonly template: ReadonlyArray<string>
  readonly versioned: boolean
  /** The api-versions that know the call, both ends included. */
  readonly versions: Versions
  readonly read: (reader: Reader) => FabricCall
}

/** The longest `QuorumLossDuration` in seconds. The reference keeps it as signed 32-bit milliseconds. */
const quorumLossDurationMax = 2147483

// --- internal ---

const row = (
  method: string,
  template: string,
  read: (reader: Reader) => FabricCall,
  versions: Partial<Versions> = {}
): Row => ({
  method,
  template: template.split("/").filter((segment) => segment !== ""),
  versioned: template !== "/",
  versions: { minimum: 1, maximum: Number.POSITIVE_INFINITY, ...versions },
  read
})

const node = "/Nodes/{NodeName}"
const ofApplication = "/Applications/{ApplicationId}"
const ofService = `${ofApplication}/$/GetServices/{ServiceId}`
const ofType = "/ApplicationTypes/{TypeName}"
const ofDeployed = `${node}/$/GetApplications/{ApplicationId}`
const ofReplica = `${node}/$/GetPartitions/{PartitionId}/$/GetReplicas/{ReplicaId}`

const servicePaths = ["/Services/{ServiceId}", ofService]
const partitionPaths = [
  "/Partitions/{PartitionId}",
  ...servicePaths.map((path) => `${path}/$/GetPartitions/{PartitionId}`)
]

// The names above a partition are only checked for their form. The id alone says to whom the partition belongs.
const each = (
  method: string,
  paths: ReadonlyArray<string>,
  rest: string,
  read: (reader: Reader) => FabricCall
): ReadonlyArray<Row> =>
  paths.map((path) =>
    row(method, `${path}${rest}`, (reader) => {
      if (path.includes("{ApplicationId}")) reader.name("ApplicationId")
      if (path.includes("{ServiceId}")) reader.name("ServiceId")
      return read(reader)
    })
  )

const events = (path: string, of: (reader: Reader) => EventSubject): Row =>
  row("GET", `/EventsStore/${path}/Events`, (read) => ({ _tag: "GetEvents", of: of(read), ...read.eventWindow() }))

const deployed = (read: Reader): { readonly nodeName: string; readonly applicationName: string } => ({
  nodeName: read.text("NodeName"),
  applicationName: read.name("ApplicationId")
})

const placed = (
  read: Reader
): { readonly nodeName: string; readonly partitionId: string; readonly replicaId: string } => ({
  nodeName: read.text("NodeName"),
  partitionId: read.keyGuid("PartitionId"),
  replicaId: read.replicaId("ReplicaId")
})

const nameTokenPattern = /^fabric:\/.+$/
const guidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const anyToken = /^.+$/s

const quorumLossModes: Readonly<Record<string, QuorumLossMode>> = {
  QuorumReplicas: "QuorumReplicas",
  // The open-source gateway compares with this word. The published one is the line above.
  QuorumLossReplicas: "QuorumReplicas",
  AllReplicas: "AllReplicas"
}

// Words of the wire that need no translation: each stands for itself.
const words = <Word extends string>(...all: ReadonlyArray<Word>): Readonly<Record<string, Word>> =>
  Object.fromEntries(all.map((word) => [word, word]))

const dataLossModes = words<DataLossMode>("PartialDataLoss", "FullDataLoss")
const restartModes = words<RestartMode>("AllReplicasOrInstances", "OnlyActiveSecondaries")
const transitions = words<"Start" | "Stop">("Start", "Stop")

const ofNode = "/Faults/Nodes/{NodeName}/$"
const ofPartition = "/Faults/Services/{ServiceId}/$/GetPartitions/{PartitionId}/$"

const chaosVersions: Partial<Versions> = { minimum: 6.2 }
const chaosReportPage = 100

const recoverService = (read: Reader): FabricCall => ({
  _tag: "RecoverServicePartitions",
  serviceName: read.name("ServiceId")
})

// --- make ---

/** Every call of the surface. */
export const rows: ReadonlyArray<Row> = [
  row("GET", "/", () => ({ _tag: "GetRootPage" })),
  row("POST", `${ofPartition}/StartQuorumLoss`, (read) => ({
    _tag: "StartQuorumLoss",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("QuorumLossMode", quorumLossModes, "QuorumReplicas"),
    duration: read.uint32("QuorumLossDuration", quorumLossDurationMax)
  })),
  // Only OperationId selects the operation. The rest of a progress path must have the right shape, and nobody reads it.
  row("GET", `${ofPartition}/GetQuorumLossProgress`, (read) => ({
    _tag: "GetQuorumLossProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofPartition}/StartDataLoss`, (read) => ({
    _tag: "StartDataLoss",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("DataLossMode", dataLossModes, "PartialDataLoss")
  })),
  row("GET", `${ofPartition}/GetDataLossProgress`, (read) => ({
    _tag: "GetDataLossProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofPartition}/StartRestart`, (read) => ({
    _tag: "StartPartitionRestart",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("RestartPartitionMode", restartModes, "AllReplicasOrInstances")
  })),
  row("GET", `${ofPartition}/GetRestartProgress`, (read) => ({
    _tag: "GetPartitionRestartProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofNode}/StartTransition`, (read) => {
    const nodeName = read.text("NodeName")
    const operationId = read.guid("OperationId")
    const instanceId = read.instanceId("NodeInstanceId")
    const transition = read.word("NodeTransitionType", transitions, "Start")
    const duration = transition === "Stop" ? read.stopDuration("StopDurationInSeconds") : 0
    return { _tag: "StartNodeTransition", nodeName, operationId, instanceId, transition, duration }
  }),
  row("GET", `${ofNode}/GetTransitionProgress`, (read) => ({
    _tag: "GetNodeTransitionProgress",
    operationId: read.guid("OperationId")
  })),
  row("GET", "/Faults", (read) => ({
    _tag: "GetFaultOperationList",
    typeFilter: read.filter("TypeFilter"),
    stateFilter: read.filter("StateFilter")
  })),
  row("POST", "/Faults/$/Cancel", (read) => ({
    _tag: "CancelOperation",
    operationId: read.guid("OperationId"),
    force: read.flag("Force")
  })),
  row("GET", "/$/GetAadMetadata", () => ({ _tag: "GetAadMetadata" })),
  row("GET", "/$/GetClusterVersion", () => ({ _tag: "GetClusterVersion" })),
  row("GET", "/$/GetClusterManifest", () => ({ _tag: "GetClusterManifest" })),
  row("GET", "/$/GetClusterHealth", (read) => {
    const nodesFilter = read.filter("NodesHealthStateFilter")
    const applicationsFilter = read.filter("ApplicationsHealthStateFilter")
    const events = read.filter("EventsHealthStateFilter")
    const excludeStatistics = read.flag("ExcludeHealthStatistics")
    // The flag is checked and not used: the system application is this worker, which is in no statistics.
    read.flag("IncludeSystemApplicationHealthStatistics")
    return { _tag: "GetClusterHealth", nodesFilter, applicationsFilter, events, excludeStatistics }
  }),
  row("GET", "/Nodes", (read) => ({
    _tag: "GetNodeList",
    filter: read.nodeStatus("NodeStatusFilter"),
    paging: read.paging(/^[0-9a-f]{1,32}$/)
  })),
  row("GET", "/Nodes/{NodeName}", (read) => ({ _tag: "GetNode", nodeName: read.text("NodeName") })),
  row("GET", "/Nodes/{NodeName}/$/GetHealth", (read) => ({
    _tag: "GetNodeHealth",
    nodeName: read.text("NodeName"),
    events: read.filter("EventsHealthStateFilter"),
    excludeStatistics: true
  })),
  row("GET", "/Applications", (read) => {
    const kindFilter = read.filter("ApplicationDefinitionKindFilter")
    return {
      _tag: "GetApplicationList",
      typeName: read.optionalText("ApplicationTypeName"),
      kindFilter,
      excludeParameters: read.flag("ExcludeApplicationParameters"),
      paging: read.paging(nameTokenPattern)
    }
  }),
  row("GET", "/Applications/{ApplicationId}", (read) => ({
    _tag: "GetApplication",
    applicationName: read.name("ApplicationId"),
    excludeParameters: read.flag("ExcludeApplicationParameters")
  })),
  row("GET", "/Applications/{ApplicationId}/$/GetHealth", (read) => {
    const applicationName = read.name("ApplicationId")
    const events = read.filter("EventsHealthStateFilter")
    const deployedFilter = read.filter("DeployedApplicationsHealthStateFilter")
    const servicesFilter = read.filter("ServicesHealthStateFilter")
    const excludeStatistics = read.flag("ExcludeHealthStatistics")
    return { _tag: "GetApplicationHealth", applicationName, events, servicesFilter, deployedFilter, excludeStatistics }
  }),
  row("GET", "/Applications/{ApplicationId}/$/GetServices", (read) => ({
    _tag: "GetServiceList",
    applicationName: read.name("ApplicationId"),
    typeName: read.optionalText("ServiceTypeName"),
    paging: read.paging(nameTokenPattern)
  })),
  row("GET", `${ofService}`, (read) => ({
    _tag: "GetService",
    applicationName: read.name("ApplicationId"),
    serviceName: read.name("ServiceId")
  })),
  ...each("GET", servicePaths, "/$/GetDescription", (read) => ({
    _tag: "GetServiceDescription",
    serviceName: read.name("ServiceId")
  })),
  ...each("GET", servicePaths, "/$/GetApplicationName", (read) => ({
    _tag: "GetApplicationName",
    serviceName: read.name("ServiceId")
  })),
  ...each("GET", servicePaths, "/$/GetHealth", (read) => ({
    _tag: "GetServiceHealth",
    serviceName: read.name("ServiceId"),
    events: read.filter("EventsHealthStateFilter"),
    partitionsFilter: read.filter("PartitionsHealthStateFilter"),
    excludeStatistics: read.flag("ExcludeHealthStatistics")
  })),
  ...each("GET", servicePaths, "/$/GetPartitions", (read) => ({
    _tag: "GetPartitionList",
    serviceName: read.name("ServiceId"),
    paging: read.paging(guidPattern)
  })),
  ...each("GET", servicePaths, "/$/ResolvePartition", (read) => ({
    _tag: "ResolvePartition",
    serviceName: read.name("ServiceId"),
    key: read.partitionKey()
  })),
  ...each("GET", partitionPaths, "", (read) => ({
    _tag: "GetPartition",
    partitionId: read.keyGuid("PartitionId")
  })),
  ...each("GET", partitionPaths, "/$/GetHealth", (read) => ({
    _tag: "GetPartitionHealth",
    partitionId: read.keyGuid("PartitionId"),
    events: read.filter("EventsHealthStateFilter"),
    replicasFilter: read.filter("ReplicasHealthStateFilter"),
    excludeStatistics: read.flag("ExcludeHealthStatistics")
  })),
  ...each("GET", partitionPaths, "/$/GetLoadInformation", (read) => ({
    _tag: "GetPartitionLoad",
    partitionId: read.keyGuid("PartitionId")
  })),
  ...each("GET", partitionPaths, "/$/GetReplicas/{ReplicaId}/$/GetHealth", (read) => ({
    _tag: "GetReplicaHealth",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: read.replicaId("ReplicaId"),
    events: read.filter("EventsHealthStateFilter"),
    excludeStatistics: true
  })),
  ...each("GET", partitionPaths, "/$/GetServiceName", (read) => ({
    _tag: "GetServiceName",
    partitionId: read.keyGuid("PartitionId")
  })),
  ...each("GET", partitionPaths, "/$/GetReplicas", (read) => ({
    _tag: "GetReplicaList",
    partitionId: read.keyGuid("PartitionId"),
    statusFilter: read.filter("ReplicaStatusFilter"),
    paging: read.paging(/^[0-9]{1,19}$/)
  })),
  ...each("GET", partitionPaths, "/$/GetReplicas/{ReplicaId}", (read) => ({
    _tag: "GetReplica",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: read.replicaId("ReplicaId")
  })),
  ...each("POST", partitionPaths, "/$/Recover", (read) => ({
    _tag: "RecoverPartition",
    partitionId: read.keyGuid("PartitionId")
  })),
  // The specification has an extra `$` by mistake, and every generated client copies it. The gateway itself has the
  // paths below.
  row("POST", "/Services/$/{ServiceId}/$/GetPartitions/$/Recover", recoverService),
  ...each("POST", servicePaths, "/$/GetPartitions/$/Recover", recoverService),
  row("POST", "/$/RecoverSystemPartitions", () => ({ _tag: "RecoverSystemPartitions" })),
  row("POST", "/$/RecoverAllPartitions", () => ({ _tag: "RecoverAllPartitions" })),
  row("POST", "/Tools/Chaos/$/Start", () => ({ _tag: "StartChaos" })),
  row("POST", "/Tools/Chaos/$/Stop", () => ({ _tag: "StopChaos" })),
  row("GET", "/Tools/Chaos", () => ({ _tag: "GetChaos" }), chaosVersions),
  row("GET", "/Tools/Chaos/Events", (read) => ({ _tag: "GetChaosEvents", events: read.chaosEvents(0) }), chaosVersions),
  row("GET", "/Tools/Chaos/Schedule", () => ({ _tag: "GetChaosSchedule" }), chaosVersions),
  row("POST", "/Tools/Chaos/Schedule", () => ({ _tag: "PostChaosSchedule" }), chaosVersions),
  // The older call that those above replaced. It has 100 events on a page.
  row(
    "GET",
    "/Tools/Chaos/$/Report",
    (read) => ({ _tag: "GetChaosReport", events: read.chaosEvents(chaosReportPage) }),
    { maximum: 6.1 }
  ),
  // The other calls of Service Fabric Explorer's pages.
  row("POST", "/$/GetClusterHealthChunk", () => ({ _tag: "GetClusterHealthChunk" })),
  row("GET", "/$/GetClusterHealthChunk", () => ({ _tag: "GetClusterHealthChunk" })),
  row("GET", "/$/GetUpgradeProgress", () => ({ _tag: "GetClusterUpgradeProgress" })),
  row("GET", "/$/GetLoadInformation", () => ({ _tag: "GetClusterLoad" })),
  row("GET", "/$/GetRepairTaskList", () => ({ _tag: "GetRepairTaskList" })),
  row("GET", "/$/GetFailoverManagerManagerInformation", () => ({ _tag: "GetFailoverManagerManager" })),
  row("GET", "/ApplicationTypes", (read) => ({
    _tag: "GetApplicationTypeList",
    typeName: null,
    typeVersion: null,
    excludeParameters: read.flag("ExcludeApplicationParameters"),
    paging: read.paging(anyToken)
  })),
  row("GET", ofType, (read) => ({
    _tag: "GetApplicationTypeList",
    typeName: read.text("TypeName"),
    typeVersion: read.optionalText("ApplicationTypeVersion"),
    excludeParameters: read.flag("ExcludeApplicationParameters"),
    paging: read.paging(anyToken)
  })),
  row("GET", `${ofType}/$/GetServiceTypes`, (read) => ({
    _tag: "GetServiceTypeList",
    typeName: read.text("TypeName"),
    typeVersion: read.requiredText("ApplicationTypeVersion"),
    serviceTypeName: null
  })),
  row("GET", `${ofType}/$/GetServiceTypes/{ServiceTypeName}`, (read) => ({
    _tag: "GetServiceTypeList",
    typeName: read.text("TypeName"),
    typeVersion: read.requiredText("ApplicationTypeVersion"),
    serviceTypeName: read.text("ServiceTypeName")
  })),
  row("GET", `${ofType}/$/GetApplicationManifest`, (read) => ({
    _tag: "GetApplicationManifest",
    typeName: read.text("TypeName"),
    typeVersion: read.requiredText("ApplicationTypeVersion")
  })),
  row("GET", `${ofType}/$/GetServiceManifest`, (read) => ({
    _tag: "GetServiceManifest",
    typeName: read.text("TypeName"),
    typeVersion: read.requiredText("ApplicationTypeVersion"),
    manifestName: read.requiredText("ServiceManifestName")
  })),
  row("GET", `${ofApplication}/$/GetUpgradeProgress`, (read) => ({
    _tag: "GetApplicationUpgradeProgress",
    applicationName: read.name("ApplicationId")
  })),
  row("GET", `${ofApplication}/$/GetLoadInformation`, (read) => ({
    _tag: "GetApplicationLoad",
    applicationName: read.name("ApplicationId")
  })),
  row("GET", `${node}/$/GetLoadInformation`, (read) => ({ _tag: "GetNodeLoad", nodeName: read.text("NodeName") })),
  row("GET", `${node}/$/GetApplications`, (read) => ({
    _tag: "GetDeployedApplicationList",
    nodeName: read.text("NodeName"),
    paging: read.paging(nameTokenPattern)
  })),
  row("GET", ofDeployed, (read) => ({ _tag: "GetDeployedApplication", ...deployed(read) })),
  row("GET", `${ofDeployed}/$/GetHealth`, (read) => {
    const about = deployed(read)
    const events = read.filter("EventsHealthStateFilter")
    const packagesFilter = read.filter("DeployedServicePackagesHealthStateFilter")
    return {
      _tag: "GetDeployedApplicationHealth",
      ...about,
      events,
      packagesFilter,
      excludeStatistics: read.flag("ExcludeHealthStatistics")
    }
  }),
  row("GET", `${ofDeployed}/$/GetServicePackages`, (read) => ({
    _tag: "GetDeployedServicePackageList",
    ...deployed(read),
    packageName: null
  })),
  row("GET", `${ofDeployed}/$/GetServicePackages/{PackageName}`, (read) => ({
    _tag: "GetDeployedServicePackageList",
    ...deployed(read),
    packageName: read.text("PackageName")
  })),
  row("GET", `${ofDeployed}/$/GetServicePackages/{PackageName}/$/GetHealth`, (read) => ({
    _tag: "GetDeployedServicePackageHealth",
    ...deployed(read),
    packageName: read.text("PackageName"),
    events: read.filter("EventsHealthStateFilter"),
    excludeStatistics: true
  })),
  row("GET", `${ofDeployed}/$/GetServiceTypes`, (read) => ({
    _tag: "GetDeployedServiceTypeList",
    ...deployed(read),
    packageName: read.optionalText("ServiceManifestName")
  })),
  row("GET", `${ofDeployed}/$/GetCodePackages`, (read) => ({
    _tag: "GetDeployedCodePackageList",
    ...deployed(read),
    packageName: read.optionalText("ServiceManifestName"),
    codePackageName: read.optionalText("CodePackageName")
  })),
  row("GET", `${ofDeployed}/$/GetReplicas`, (read) => ({
    _tag: "GetDeployedReplicaList",
    ...deployed(read),
    packageName: read.optionalText("ServiceManifestName"),
    partitionId: read.optionalGuid("PartitionId")
  })),
  row("GET", `${ofReplica}/$/GetDetail`, (read) => ({ _tag: "GetDeployedReplicaDetail", ...placed(read) })),
  row("GET", "/BackupRestore/BackupPolicies", (read) => ({
    _tag: "GetBackupPolicyList",
    paging: read.paging(anyToken)
  })),
  row("GET", "/BackupRestore/BackupPolicies/{PolicyName}", (read) => ({
    _tag: "GetBackupPolicy",
    policyName: read.text("PolicyName")
  })),
  row("GET", "/BackupRestore/BackupPolicies/{PolicyName}/$/GetBackupEnabledEntities", (read) => ({
    _tag: "GetBackupPolicy",
    policyName: read.text("PolicyName")
  })),
  row("GET", `${ofApplication}/$/GetBackupConfigurationInfo`, (read) => ({
    _tag: "GetBackupList",
    of: { _tag: "Application", name: read.name("ApplicationId") }
  })),
  row("GET", `${ofApplication}/$/GetBackups`, (read) => ({
    _tag: "GetBackupList",
    of: { _tag: "Application", name: read.name("ApplicationId") }
  })),
  row("GET", "/Services/{ServiceId}/$/GetBackupConfigurationInfo", (read) => ({
    _tag: "GetBackupList",
    of: { _tag: "Service", name: read.name("ServiceId") }
  })),
  row("GET", "/Services/{ServiceId}/$/GetBackups", (read) => ({
    _tag: "GetBackupList",
    of: { _tag: "Service", name: read.name("ServiceId") }
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetBackups", (read) => ({
    _tag: "GetBackupList",
    of: { _tag: "Partition", partitionId: read.keyGuid("PartitionId") }
  })),
  ...(["GetBackupConfigurationInfo", "GetBackupProgress", "GetRestoreProgress"] as const).map((of) =>
    row("GET", `/Partitions/{PartitionId}/$/${of}`, (read) => ({
      _tag: "GetPartitionBackup",
      partitionId: read.keyGuid("PartitionId"),
      of
    }))
  ),
  events("Cluster", () => ({ _tag: "Cluster" })),
  events("Containers", () => ({ _tag: "Containers" })),
  events("Nodes", () => ({ _tag: "Nodes", nodeName: null })),
  events("Nodes/{NodeName}/$", (read) => ({ _tag: "Nodes", nodeName: read.text("NodeName") })),
  events("Applications", () => ({ _tag: "Applications", applicationName: null })),
  events("Applications/{ApplicationId}/$", (read) => ({
    _tag: "Applications",
    applicationName: read.name("ApplicationId")
  })),
  events("Services", () => ({ _tag: "Services", serviceName: null })),
  events("Services/{ServiceId}/$", (read) => ({ _tag: "Services", serviceName: read.name("ServiceId") })),
  events("Partitions", () => ({ _tag: "Partitions", partitionId: null })),
  events("Partitions/{PartitionId}/$", (read) => ({
    _tag: "Partitions",
    partitionId: read.keyGuid("PartitionId")
  })),
  events("Partitions/{PartitionId}/$/Replicas", (read) => ({
    _tag: "Replicas",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: null
  })),
  events("Partitions/{PartitionId}/$/Replicas/{ReplicaId}/$", (read) => ({
    _tag: "Replicas",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: read.replicaId("ReplicaId")
  })),
  row("GET", "/EventsStore/CorrelatedEvents/{EventInstanceId}/$/Events", (read) => ({
    _tag: "GetCorrelatedEvents",
    eventId: read.keyGuid("EventInstanceId")
  })),
  // The faults of one call. The caller gives no operation id, and the answer says whether the fault has begun.
  row("POST", `${node}/$/Restart`, (read) => ({ _tag: "RestartNode", nodeName: read.text("NodeName") })),
  row("POST", `${node}/$/Deactivate`, (read) => ({ _tag: "DeactivateNode", nodeName: read.text("NodeName") })),
  row("POST", `${node}/$/Activate`, (read) => ({ _tag: "ActivateNode", nodeName: read.text("NodeName") })),
  row("POST", `${ofReplica}/$/Restart`, (read) => ({ _tag: "RestartReplica", ...placed(read) })),
  row("POST", `${ofReplica}/$/Delete`, (read) => {
    const about = placed(read)
    read.flag("ForceRemove")
    return { _tag: "RemoveReplica", ...about }
  })
]
