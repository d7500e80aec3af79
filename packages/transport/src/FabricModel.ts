/**
 * The objects of the Service Fabric query API as they stand in JSON: PascalCase names, 64-bit integers as strings,
 * absent properties left out. The server answers in them and the client decodes them. Only the properties that we send
 * or read are declared; a decoder drops the many others that a real gateway sends.
 * Source: the 8.2 specification and the open-source gateway; where the two differ, `Partition` sends both names.
 */
import { Guid } from "@inquorate/core/Guid"
import * as Schema from "effect/Schema"

/** A 64-bit integer in decimal, which JSON numbers cannot carry. */
export const Int64 = Schema.String.check(Schema.isPattern(/^-?[0-9]+$/))

/** The state of health of an entity. */
export const HealthState = Schema.Literals(["Invalid", "Ok", "Warning", "Error", "Unknown"])
/** The state of health of an entity. */
export type HealthState = typeof HealthState.Type

/** A page of a list: an empty token means that it is the last. */
export const page = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ ContinuationToken: Schema.optionalKey(Schema.NullOr(Schema.String)), Items: Schema.Array(item) })

/** The error body of every call. */
export const FabricErrorBody = Schema.Struct({
  Error: Schema.Struct({ Code: Schema.String, Message: Schema.optionalKey(Schema.NullOr(Schema.String)) })
})
/** The error body of every call. */
export type FabricErrorBody = typeof FabricErrorBody.Type

/** A node of the cluster. */
export const NodeInfo = Schema.Struct({
  Name: Schema.String,
  IpAddressOrFQDN: Schema.String,
  Type: Schema.String,
  CodeVersion: Schema.String,
  ConfigVersion: Schema.String,
  NodeStatus: Schema.Literals(["Invalid", "Up", "Down", "Enabling", "Disabling", "Disabled", "Unknown", "Removed"]),
  NodeUpTimeInSeconds: Int64,
  HealthState,
  IsSeedNode: Schema.Boolean,
  UpgradeDomain: Schema.String,
  FaultDomain: Schema.String,
  Id: Schema.Struct({ Id: Schema.String }),
  InstanceId: Int64,
  NodeDeactivationInfo: Schema.optionalKey(
    Schema.Struct({
      NodeDeactivationIntent: Schema.String,
      NodeDeactivationStatus: Schema.String,
      NodeDeactivationTask: Schema.Array(Schema.Unknown),
      PendingSafetyChecks: Schema.Array(Schema.Unknown)
    })
  ),
  IsStopped: Schema.Boolean,
  NodeDownTimeInSeconds: Int64,
  NodeUpAt: Schema.String,
  NodeDownAt: Schema.String
}).annotate({ identifier: "FabricNodeInfo" })
/** A node of the cluster. */
export type NodeInfo = typeof NodeInfo.Type

/** An application, which stands for a configured cluster. */
export const ApplicationInfo = Schema.Struct({
  Id: Schema.String,
  Name: Schema.String,
  TypeName: Schema.String,
  TypeVersion: Schema.String,
  Status: Schema.Literals(["Invalid", "Ready", "Upgrading", "Creating", "Deleting", "Failed"]),
  Parameters: Schema.optionalKey(Schema.Array(Schema.Struct({ Key: Schema.String, Value: Schema.String }))),
  HealthState,
  ApplicationDefinitionKind: Schema.optionalKey(
    Schema.Literals(["Invalid", "ServiceFabricApplicationDescription", "Compose"])
  )
}).annotate({ identifier: "FabricApplicationInfo" })
/** An application, which stands for a configured cluster. */
export type ApplicationInfo = typeof ApplicationInfo.Type

/** The kind of a service; ours are all Stateful. */
export const ServiceKind = Schema.Literals(["Invalid", "Stateless", "Stateful"])

/** A service, which stands for a replicated group. */
export const ServiceInfo = Schema.Struct({
  Id: Schema.String,
  ServiceKind,
  Name: Schema.String,
  TypeName: Schema.String,
  ManifestVersion: Schema.String,
  HealthState,
  ServiceStatus: Schema.Literals(["Unknown", "Active", "Upgrading", "Deleting", "Creating", "Failed"]),
  IsServiceGroup: Schema.Boolean,
  HasPersistedState: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "FabricServiceInfo" })
/** A service, which stands for a replicated group. */
export type ServiceInfo = typeof ServiceInfo.Type

/** How a service was described when it was made. */
export const ServiceDescription = Schema.Struct({
  ServiceKind,
  ApplicationName: Schema.optionalKey(Schema.String),
  ServiceName: Schema.String,
  ServiceTypeName: Schema.String,
  PartitionDescription: Schema.Struct({
    PartitionScheme: Schema.Literals(["Invalid", "Singleton", "UniformInt64Range", "Named"])
  }),
  TargetReplicaSetSize: Schema.optionalKey(Schema.Int),
  MinReplicaSetSize: Schema.optionalKey(Schema.Int),
  HasPersistedState: Schema.optionalKey(Schema.Boolean),
  InstanceCount: Schema.optionalKey(Schema.Int)
}).annotate({ identifier: "FabricServiceDescription" })
/** How a service was described when it was made. */
export type ServiceDescription = typeof ServiceDescription.Type

/** The name and id of an application or service. */
export const NameInfo = Schema.Struct({ Id: Schema.String, Name: Schema.String }).annotate({
  identifier: "FabricNameInfo"
})
/** The name and id of an application or service. */
export type NameInfo = typeof NameInfo.Type

/** The epoch of a configuration. */
export const Epoch = Schema.Struct({ ConfigurationVersion: Int64, DataLossVersion: Int64 })

/** How a partition stands. */
export const PartitionStatus = Schema.Literals([
  "Invalid",
  "Ready",
  "NotReady",
  "InQuorumLoss",
  "Reconfiguring",
  "Deleting"
])
/** How a partition stands. */
export type PartitionStatus = typeof PartitionStatus.Type

/**
 * A partition. The epoch and the loss duration carry two names each: the gateway sends one, the specification another.
 * `LastQuorumLossDuration` is an ISO 8601 duration, `LastQuorumLossDurationInSeconds` a 64-bit string.
 */
export const Partition = Schema.Struct({
  ServiceKind,
  PartitionInformation: Schema.Struct({
    ServicePartitionKind: Schema.Literals(["Invalid", "Singleton", "Int64Range", "Named"]),
    Id: Guid,
    LowKey: Schema.optionalKey(Int64),
    HighKey: Schema.optionalKey(Int64),
    Name: Schema.optionalKey(Schema.String)
  }),
  HealthState,
  PartitionStatus,
  TargetReplicaSetSize: Schema.optionalKey(Schema.Int),
  MinReplicaSetSize: Schema.optionalKey(Schema.Int),
  InstanceCount: Schema.optionalKey(Schema.Int),
  PrimaryEpoch: Schema.optionalKey(Epoch),
  CurrentConfigurationEpoch: Schema.optionalKey(Epoch),
  LastQuorumLossDuration: Schema.optionalKey(Schema.String),
  LastQuorumLossDurationInSeconds: Schema.optionalKey(Int64)
}).annotate({ identifier: "FabricPartition" })
/** A partition. */
export type Partition = typeof Partition.Type

/** A replica, which stands for a member of a group. */
export const Replica = Schema.Struct({
  ServiceKind,
  ReplicaId: Schema.optionalKey(Int64),
  ReplicaRole: Schema.optionalKey(
    Schema.Literals([
      "Unknown",
      "None",
      "Primary",
      "IdleSecondary",
      "ActiveSecondary",
      "IdleAuxiliary",
      "ActiveAuxiliary",
      "PrimaryAuxiliary"
    ])
  ),
  InstanceId: Schema.optionalKey(Int64),
  ReplicaStatus: Schema.Literals(["Invalid", "InBuild", "Standby", "Ready", "Down", "Dropped"]),
  HealthState,
  NodeName: Schema.String,
  Address: Schema.String,
  LastInBuildDurationInSeconds: Int64
}).annotate({ identifier: "FabricReplica" })
/** A replica, which stands for a member of a group. */
export type Replica = typeof Replica.Type

/** The health of the cluster with that of its nodes and applications. */
export const ClusterHealth = Schema.Struct({
  AggregatedHealthState: HealthState,
  HealthEvents: Schema.Array(Schema.Unknown),
  UnhealthyEvaluations: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  HealthStatistics: Schema.optionalKey(
    Schema.Struct({
      HealthStateCountList: Schema.Array(
        Schema.Struct({
          EntityKind: Schema.String,
          HealthStateCount: Schema.Struct({
            OkCount: Schema.Union([Schema.Int, Int64]),
            WarningCount: Schema.Union([Schema.Int, Int64]),
            ErrorCount: Schema.Union([Schema.Int, Int64])
          })
        })
      )
    })
  ),
  NodeHealthStates: Schema.Array(
    Schema.Struct({ Name: Schema.String, Id: Schema.Struct({ Id: Schema.String }), AggregatedHealthState: HealthState })
  ),
  ApplicationHealthStates: Schema.Array(Schema.Struct({ Name: Schema.String, AggregatedHealthState: HealthState }))
}).annotate({ identifier: "FabricClusterHealth" })
/** The health of the cluster with that of its nodes and applications. */
export type ClusterHealth = typeof ClusterHealth.Type

/** The version of the runtime. */
export const ClusterVersion = Schema.Struct({ Version: Schema.String })

/** The manifest of the cluster as XML text. */
export const ClusterManifest = Schema.Struct({ Manifest: Schema.String })
