/**
 * The calls of the Service Fabric surface as values: what a request asks for, with every parameter read and checked.
 * Names include their `fabric:/`.
 */
import type { ChaosEventQuery } from "@inquorate/core/Chaos"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type * as Guid from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import type { Instant } from "@inquorate/core/Time"

/**
 * Which page of a list: the items strictly after `after` (null for the first page), at most `limit` of them (0 for no
 * limit).
 */
export interface Paging {
  readonly after: string | null
  readonly limit: number
}

/** The words of `NodeStatusFilter`. `default` means every node but the unknown and the removed ones. */
export type NodeStatusFilter =
  | "default"
  | "all"
  | "up"
  | "down"
  | "enabling"
  | "disabling"
  | "disabled"
  | "unknown"
  | "removed"

/** One call of the Service Fabric surface, with every parameter read and checked. */
export type FabricCall =
  | { readonly _tag: "GetRootPage" }
  | { readonly _tag: "GetAadMetadata" }
  | {
      readonly _tag: "StartQuorumLoss"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: QuorumLossMode
      /** Seconds. */
      readonly duration: number
    }
  | { readonly _tag: "GetQuorumLossProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartDataLoss"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: DataLossMode
    }
  | { readonly _tag: "GetDataLossProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartPartitionRestart"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: RestartMode
    }
  | { readonly _tag: "GetPartitionRestartProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartNodeTransition"
      readonly nodeName: string
      readonly operationId: Guid.Guid
      /** 64 bits in decimal, never 0. */
      readonly instanceId: string
      readonly transition: "Start" | "Stop"
      /** Seconds, from 300 to 14400. It is 0 if the call starts the node. */
      readonly duration: number
    }
  | { readonly _tag: "GetNodeTransitionProgress"; readonly operationId: Guid.Guid }
  | { readonly _tag: "RecoverPartition"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "RecoverServicePartitions"; readonly serviceName: string }
  | { readonly _tag: "RecoverSystemPartitions" }
  | { readonly _tag: "RecoverAllPartitions" }
  | { readonly _tag: "GetFaultOperationList"; readonly typeFilter: number; readonly stateFilter: number }
  | { readonly _tag: "CancelOperation"; readonly operationId: Guid.Guid; readonly force: boolean }
  | { readonly _tag: "StartChaos" }
  | { readonly _tag: "StopChaos" }
  | { readonly _tag: "GetChaos" }
  /** A limit of 0 means no limit. */
  | { readonly _tag: "GetChaosEvents"; readonly events: ChaosEventQuery }
  | { readonly _tag: "GetChaosReport"; readonly events: ChaosEventQuery }
  | { readonly _tag: "GetChaosSchedule" }
  | { readonly _tag: "PostChaosSchedule" }
  | { readonly _tag: "GetClusterVersion" }
  | { readonly _tag: "GetClusterManifest" }
  | {
      readonly _tag: "GetClusterHealth"
      readonly nodesFilter: number
      readonly applicationsFilter: number
      readonly events: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetNodeHealth"
      readonly nodeName: string
      readonly events: number
      readonly excludeStatistics: true
    }
  | {
      readonly _tag: "GetApplicationHealth"
      readonly applicationName: string
      readonly events: number
      readonly servicesFilter: number
      readonly deployedFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetServiceHealth"
      readonly serviceName: string
      readonly events: number
      readonly partitionsFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetPartitionHealth"
      readonly partitionId: Guid.Guid
      readonly events: number
      readonly replicasFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetReplicaHealth"
      readonly partitionId: Guid.Guid
      readonly replicaId: string
      readonly events: number
      readonly excludeStatistics: true
    }
  | { readonly _tag: "GetNodeList"; readonly filter: NodeStatusFilter; readonly paging: Paging }
  | { readonly _tag: "GetNode"; readonly nodeName: string }
  | {
      readonly _tag: "GetApplicationList"
      readonly typeName: string | null
      /** Bits: 1 Service Fabric, 2 Docker Compose. 0 and 65535 mean all. */
      readonly kindFilter: number
      readonly excludeParameters: boolean
      readonly paging: Paging
    }
  | { readonly _tag: "GetApplication"; readonly applicationName: string; readonly excludeParameters: boolean }
  | {
      readonly _tag: "GetServiceList"
      readonly applicationName: string
      readonly typeName: string | null
      readonly paging: Paging
    }
  | { readonly _tag: "GetService"; readonly applicationName: string; readonly serviceName: string }
  | { readonly _tag: "GetServiceDescription"; readonly serviceName: string }
  | { readonly _tag: "GetApplicationName"; readonly serviceName: string }
  | { readonly _tag: "GetPartitionList"; readonly serviceName: string; readonly paging: Paging }
  | { readonly _tag: "GetPartition"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "GetServiceName"; readonly partitionId: Guid.Guid }
  | {
      readonly _tag: "GetReplicaList"
      readonly partitionId: Guid.Guid
      readonly statusFilter: number
      readonly paging: Paging
    }
  | { readonly _tag: "GetReplica"; readonly partitionId: Guid.Guid; readonly replicaId: string }
  | ExplorerCall
  | OneCallFault

/**
 * The calls that Service Fabric Explorer and others make beside the SDK's: upgrades, loads, types, what is on a node,
 * events, backups.
 */
export type ExplorerCall =
  | { readonly _tag: "GetClusterHealthChunk" }
  | { readonly _tag: "GetClusterUpgradeProgress" }
  | { readonly _tag: "GetClusterLoad" }
  | { readonly _tag: "GetRepairTaskList" }
  | { readonly _tag: "GetFailoverManagerManager" }
  | {
      readonly _tag: "GetApplicationTypeList"
      readonly typeName: string | null
      readonly typeVersion: string | null
      readonly excludeParameters: boolean
      readonly paging: Paging
    }
  | {
      readonly _tag: "GetServiceTypeList"
      readonly typeName: string
      readonly typeVersion: string
      readonly serviceTypeName: string | null
    }
  | { readonly _tag: "GetApplicationManifest"; readonly typeName: string; readonly typeVersion: string }
  | {
      readonly _tag: "GetServiceManifest"
      readonly typeName: string
      readonly typeVersion: string
      readonly manifestName: string
    }
  | { readonly _tag: "GetApplicationUpgradeProgress"; readonly applicationName: string }
  | { readonly _tag: "GetApplicationLoad"; readonly applicationName: string }
  | { readonly _tag: "GetNodeLoad"; readonly nodeName: string }
  | { readonly _tag: "GetPartitionLoad"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "GetDeployedApplicationList"; readonly nodeName: string; readonly paging: Paging }
  | (OnNode & { readonly _tag: "GetDeployedApplication" })
  | (OnNode & {
      readonly _tag: "GetDeployedApplicationHealth"
      readonly events: number
      readonly packagesFilter: number
      readonly excludeStatistics: boolean
    })
  | (OnNode & { readonly _tag: "GetDeployedServicePackageList"; readonly packageName: string | null })
  | (OnNode & {
      readonly _tag: "GetDeployedServicePackageHealth"
      readonly packageName: string
      readonly events: number
      readonly excludeStatistics: true
    })
  | (OnNode & { readonly _tag: "GetDeployedServiceTypeList"; readonly packageName: string | null })
  | (OnNode & {
      readonly _tag: "GetDeployedCodePackageList"
      readonly packageName: string | null
      readonly codePackageName: string | null
    })
  | (OnNode & {
      readonly _tag: "GetDeployedReplicaList"
      readonly packageName: string | null
      readonly partitionId: Guid.Guid | null
    })
  | (ReplicaOnNode & { readonly _tag: "GetDeployedReplicaDetail" })
  | {
      readonly _tag: "ResolvePartition"
      readonly serviceName: string
      /** The key to look for. It is null for a service without keys, which has one partition. */
      readonly key: ResolveKey | null
    }
  | { readonly _tag: "GetBackupPolicyList"; readonly paging: Paging }
  | { readonly _tag: "GetBackupPolicy"; readonly policyName: string }
  | { readonly _tag: "GetBackupList"; readonly of: BackupSubject }
  | {
      readonly _tag: "GetPartitionBackup"
      readonly partitionId: Guid.Guid
      readonly of: "GetBackupConfigurationInfo" | "GetBackupProgress" | "GetRestoreProgress"
    }
  | (EventWindow & { readonly _tag: "GetEvents"; readonly of: EventSubject })
  | { readonly _tag: "GetCorrelatedEvents"; readonly eventId: Guid.Guid }

/** A fault that one call begins without an operation id. The buttons of Service Fabric Explorer make such calls. */
export type OneCallFault =
  | { readonly _tag: "RestartNode"; readonly nodeName: string }
  | { readonly _tag: "DeactivateNode"; readonly nodeName: string }
  | { readonly _tag: "ActivateNode"; readonly nodeName: string }
  | (ReplicaOnNode & { readonly _tag: "RestartReplica" })
  | (ReplicaOnNode & { readonly _tag: "RemoveReplica" })

/** An application on a node. */
export interface OnNode {
  readonly nodeName: string
  readonly applicationName: string
}

/** A replica on a node. */
export interface ReplicaOnNode {
  readonly nodeName: string
  readonly partitionId: Guid.Guid
  readonly replicaId: string
}

/** A key of a partition: a number of 64 bits in decimal, or a name. */
export type ResolveKey =
  | { readonly _tag: "Int64Range"; readonly value: string }
  | { readonly _tag: "Named"; readonly value: string }

/** The subject whose backups the caller asks for. */
export type BackupSubject =
  | { readonly _tag: "Application"; readonly name: string }
  | { readonly _tag: "Service"; readonly name: string }
  | { readonly _tag: "Partition"; readonly partitionId: Guid.Guid }

/** The subject whose events the caller asks for. An id of null asks for those of every subject of the kind. */
export type EventSubject =
  | { readonly _tag: "Cluster" }
  | { readonly _tag: "Containers" }
  | { readonly _tag: "Nodes"; readonly nodeName: string | null }
  | { readonly _tag: "Applications"; readonly applicationName: string | null }
  | { readonly _tag: "Services"; readonly serviceName: string | null }
  | { readonly _tag: "Partitions"; readonly partitionId: Guid.Guid | null }
  | { readonly _tag: "Replicas"; readonly partitionId: Guid.Guid; readonly replicaId: string | null }

/** From when to when, both ends included, and which kinds of event. An empty list means all kinds. */
export interface EventWindow {
  readonly from: Instant
  readonly to: Instant
  readonly kinds: ReadonlyArray<string>
}

/**
 * A call with what every call carries. `version` decides the spelling of ids. `timeout`, in seconds, bounds the
 * request.
 */
export interface FabricRequest {
  readonly call: FabricCall
  readonly version: number
  readonly timeout: number
}

/** An error as the wire says it. The code decides the HTTP status. */
export interface WireError {
  readonly code: FabricErrorCode
  readonly message: string
}
