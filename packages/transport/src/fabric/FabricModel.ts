/**
 * The objects of the Service Fabric query API as they stand in JSON: PascalCase names, 64-bit integers as strings,
 * absent properties left out. The server answers in these types, and `Schema.toType` of each schema here is its strict
 * form. The schemas themselves read what others send. They read an unknown word as the word that the enumeration has
 * for it. They take a number for a 64-bit integer. They drop properties that are not declared. `FabricAnswers.ts` says
 * what else another gateway may leave out.
 * Source: the 8.2 specification and the open-source gateway. Where the two differ, `Partition` sends both names.
 */
import { Guid } from "@inquorate/core/Guid"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** One of the words. A word that only a newer gateway knows is read as `otherwise`. */
export const word = <const Words extends ReadonlyArray<string>>(words: Words, otherwise: Words[number]) =>
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.Literals(words),
      SchemaTransformation.transform({
        decode: (text: string) => (words.includes(text) ? (text as Words[number]) : otherwise),
        encode: (known: Words[number]) => known
      })
    )
  )

/** A 64-bit integer in decimal text, because JSON numbers cannot carry it. A number from a gateway is read as well. */
export const Int64 = Schema.Union([Schema.String, Schema.Finite]).pipe(
  Schema.decodeTo(
    Schema.String.check(Schema.isPattern(/^-?[0-9]+$/)),
    SchemaTransformation.transform({
      decode: (value: string | number) => String(value),
      encode: (text: string): string | number => text
    })
  )
)

/** A GUID, read in upper or lower case. */
export const Id = Schema.String.pipe(
  Schema.decodeTo(
    Guid,
    SchemaTransformation.transform({ decode: (text: string) => text.toLowerCase(), encode: (id: string) => id })
  )
)

/** The state of health of an entity. */
export const HealthState = word(["Invalid", "Ok", "Warning", "Error", "Unknown"], "Unknown")
export type HealthState = typeof HealthState.Type

/** The error body of every call. */
export class FabricErrorBody extends Schema.Opaque<FabricErrorBody>()(
  Schema.Struct({
    Error: Schema.Struct({ Code: Schema.String, Message: Schema.optionalKey(Schema.NullOr(Schema.String)) })
  })
) {}

/** Why a node was taken out of service, and how far that has come. */
export const NodeDeactivationInfo = Schema.Struct({
  NodeDeactivationIntent: Schema.String,
  NodeDeactivationStatus: Schema.String,
  NodeDeactivationTask: Schema.Array(Schema.Unknown),
  PendingSafetyChecks: Schema.Array(Schema.Unknown)
})

/** A node of the cluster. */
export class NodeInfo extends Schema.Opaque<NodeInfo>()(
  Schema.Struct({
    Name: Schema.String,
    IpAddressOrFQDN: Schema.String,
    Type: Schema.String,
    CodeVersion: Schema.String,
    ConfigVersion: Schema.String,
    NodeStatus: word(["Invalid", "Up", "Down", "Enabling", "Disabling", "Disabled", "Unknown", "Removed"], "Unknown"),
    NodeUpTimeInSeconds: Int64,
    HealthState,
    IsSeedNode: Schema.Boolean,
    UpgradeDomain: Schema.String,
    FaultDomain: Schema.String,
    Id: Schema.Struct({ Id: Schema.String }),
    InstanceId: Int64,
    NodeDeactivationInfo: Schema.optionalKey(NodeDeactivationInfo),
    IsStopped: Schema.Boolean,
    NodeDownTimeInSeconds: Int64,
    NodeUpAt: Schema.String,
    NodeDownAt: Schema.String,
    NodeTags: Schema.optionalKey(Schema.Array(Schema.String)),
    IsNodeByNodeUpgradeInProgress: Schema.optionalKey(Schema.Boolean),
    InfrastructurePlacementID: Schema.optionalKey(Schema.String)
  }).annotate({ identifier: "FabricNodeInfo" })
) {}

/** A parameter of an application. */
export const ApplicationParameter = Schema.Struct({ Key: Schema.String, Value: Schema.String })

/** An application, which stands for a configured cluster. */
export class ApplicationInfo extends Schema.Opaque<ApplicationInfo>()(
  Schema.Struct({
    Id: Schema.String,
    Name: Schema.String,
    TypeName: Schema.String,
    TypeVersion: Schema.String,
    Status: word(["Invalid", "Ready", "Upgrading", "Creating", "Deleting", "Failed"], "Invalid"),
    Parameters: Schema.optionalKey(Schema.Array(ApplicationParameter)),
    HealthState,
    ApplicationDefinitionKind: Schema.optionalKey(
      word(["Invalid", "ServiceFabricApplicationDescription", "Compose"], "Invalid")
    )
  }).annotate({ identifier: "FabricApplicationInfo" })
) {}

/** The kind of a service. */
export const ServiceKind = word(["Invalid", "Stateless", "Stateful"], "Invalid")

/** A service, which stands for a replicated group. */
export class ServiceInfo extends Schema.Opaque<ServiceInfo>()(
  Schema.Struct({
    Id: Schema.String,
    ServiceKind,
    Name: Schema.String,
    TypeName: Schema.String,
    ManifestVersion: Schema.String,
    HealthState,
    ServiceStatus: word(["Unknown", "Active", "Upgrading", "Deleting", "Creating", "Failed"], "Unknown"),
    IsServiceGroup: Schema.Boolean,
    HasPersistedState: Schema.optionalKey(Schema.Boolean)
  }).annotate({ identifier: "FabricServiceInfo" })
) {}

/** The description that a service was made from. */
export class ServiceDescription extends Schema.Opaque<ServiceDescription>()(
  Schema.Struct({
    ServiceKind,
    ApplicationName: Schema.optionalKey(Schema.String),
    ServiceName: Schema.String,
    ServiceTypeName: Schema.String,
    PartitionDescription: Schema.Struct({
      PartitionScheme: word(["Invalid", "Singleton", "UniformInt64Range", "Named"], "Invalid"),
      Count: Schema.optionalKey(Schema.Int),
      LowKey: Schema.optionalKey(Int64),
      HighKey: Schema.optionalKey(Int64),
      Names: Schema.optionalKey(Schema.Array(Schema.String))
    }),
    TargetReplicaSetSize: Schema.optionalKey(Schema.Int),
    MinReplicaSetSize: Schema.optionalKey(Schema.Int),
    HasPersistedState: Schema.optionalKey(Schema.Boolean),
    InstanceCount: Schema.optionalKey(Schema.Int)
  }).annotate({ identifier: "FabricServiceDescription" })
) {}

/** The name and id of an application or service. */
export class NameInfo extends Schema.Opaque<NameInfo>()(
  Schema.Struct({ Id: Schema.String, Name: Schema.String }).annotate({
    identifier: "FabricNameInfo"
  })
) {}

/** The epoch of a configuration. */
export const Epoch = Schema.Struct({ ConfigurationVersion: Int64, DataLossVersion: Int64 })

/** The status of a partition. */
export const PartitionStatus = word(
  ["Invalid", "Ready", "NotReady", "InQuorumLoss", "Reconfiguring", "Deleting"],
  "Invalid"
)
export type PartitionStatus = typeof PartitionStatus.Type

/**
 * A partition. The epoch and the loss duration have two names each: the gateway sends one, the specification has
 * another. `LastQuorumLossDuration` is an ISO 8601 duration, `LastQuorumLossDurationInSeconds` a 64-bit string.
 */
export class Partition extends Schema.Opaque<Partition>()(
  Schema.Struct({
    ServiceKind,
    PartitionInformation: Schema.Struct({
      ServicePartitionKind: word(["Invalid", "Singleton", "Int64Range", "Named"], "Invalid"),
      Id,
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
) {}

/** The role of a replica in its partition. */
const ReplicaRole = word(
  [
    "Unknown",
    "None",
    "Primary",
    "IdleSecondary",
    "ActiveSecondary",
    "IdleAuxiliary",
    "ActiveAuxiliary",
    "PrimaryAuxiliary"
  ],
  "Unknown"
)

/** A replica, which stands for a member of a group. */
export class Replica extends Schema.Opaque<Replica>()(
  Schema.Struct({
    ServiceKind,
    ReplicaId: Schema.optionalKey(Int64),
    ReplicaRole: Schema.optionalKey(ReplicaRole),
    /** The role before the reconfiguration that is under way. `None` if none is under way. */
    PreviousReplicaRole: Schema.optionalKey(ReplicaRole),
    InstanceId: Schema.optionalKey(Int64),
    ReplicaStatus: word(["Invalid", "InBuild", "Standby", "Ready", "Down", "Dropped"], "Invalid"),
    HealthState,
    NodeName: Schema.String,
    Address: Schema.String,
    LastInBuildDurationInSeconds: Int64
  }).annotate({ identifier: "FabricReplica" })
) {}

/** One report on the health of an entity. `TimeToLiveInMilliSeconds` is an ISO 8601 duration despite its name. */
export class HealthEvent extends Schema.Opaque<HealthEvent>()(
  Schema.Struct({
    SourceId: Schema.String,
    Property: Schema.String,
    HealthState,
    TimeToLiveInMilliSeconds: Schema.optionalKey(Schema.String),
    Description: Schema.optionalKey(Schema.String),
    SequenceNumber: Schema.optionalKey(Int64),
    RemoveWhenExpired: Schema.optionalKey(Schema.Boolean),
    IsExpired: Schema.optionalKey(Schema.Boolean),
    SourceUtcTimestamp: Schema.optionalKey(Schema.String),
    LastModifiedUtcTimestamp: Schema.optionalKey(Schema.String),
    LastOkTransitionAt: Schema.optionalKey(Schema.String),
    LastWarningTransitionAt: Schema.optionalKey(Schema.String),
    LastErrorTransitionAt: Schema.optionalKey(Schema.String)
  }).annotate({ identifier: "FabricHealthEvent" })
) {}

/** Why an entity is not healthy. `Kind` says which other properties there are. */
export class HealthEvaluation extends Schema.Opaque<HealthEvaluation>()(
  Schema.Struct({
    HealthEvaluation: Schema.StructWithRest(
      Schema.Struct({
        Kind: Schema.String,
        AggregatedHealthState: Schema.optionalKey(HealthState),
        Description: Schema.optionalKey(Schema.String)
      }),
      [Schema.Record(Schema.String, Schema.Unknown)]
    )
  }).annotate({ identifier: "FabricHealthEvaluation" })
) {}

/** A count. The specification has a string for it, and a gateway sends a number. */
const Count64 = Schema.Union([Schema.Int, Schema.FiniteFromString.check(Schema.isInt())])

/** How many entities of a kind are in each state of health. */
export const HealthStateCount = Schema.Struct({ OkCount: Count64, WarningCount: Count64, ErrorCount: Count64 })

const healthOfAny = {
  AggregatedHealthState: HealthState,
  HealthEvents: Schema.optionalKey(Schema.Array(HealthEvent)),
  UnhealthyEvaluations: Schema.optionalKey(Schema.NullOr(Schema.Array(HealthEvaluation))),
  HealthStatistics: Schema.optionalKey(
    Schema.NullOr(
      Schema.Struct({
        HealthStateCountList: Schema.Array(
          Schema.Struct({
            EntityKind: Schema.String,
            HealthStateCount
          })
        )
      })
    )
  )
}

/** The health of one node within the health of the cluster. */
export const NodeHealthState = Schema.Struct({
  Name: Schema.String,
  Id: Schema.Struct({ Id: Schema.String }),
  AggregatedHealthState: HealthState
})

/** The health of the cluster with that of its nodes and applications. */
export class ClusterHealth extends Schema.Opaque<ClusterHealth>()(
  Schema.Struct({
    ...healthOfAny,
    NodeHealthStates: Schema.Array(NodeHealthState),
    ApplicationHealthStates: Schema.Array(Schema.Struct({ Name: Schema.String, AggregatedHealthState: HealthState }))
  }).annotate({ identifier: "FabricClusterHealth" })
) {}

/** The health of a node. */
export class NodeHealth extends Schema.Opaque<NodeHealth>()(
  Schema.Struct({ ...healthOfAny, Name: Schema.String }).annotate({
    identifier: "FabricNodeHealth"
  })
) {}

/** The health of an application with that of its services. */
export class ApplicationHealth extends Schema.Opaque<ApplicationHealth>()(
  Schema.Struct({
    ...healthOfAny,
    Name: Schema.String,
    ServiceHealthStates: Schema.optionalKey(
      Schema.Array(Schema.Struct({ ServiceName: Schema.String, AggregatedHealthState: HealthState }))
    ),
    DeployedApplicationHealthStates: Schema.optionalKey(Schema.Array(Schema.Unknown))
  }).annotate({ identifier: "FabricApplicationHealth" })
) {}

/** The health of a service with that of its partitions. */
export class ServiceHealth extends Schema.Opaque<ServiceHealth>()(
  Schema.Struct({
    ...healthOfAny,
    Name: Schema.String,
    PartitionHealthStates: Schema.optionalKey(
      Schema.Array(Schema.Struct({ PartitionId: Id, AggregatedHealthState: HealthState }))
    )
  }).annotate({ identifier: "FabricServiceHealth" })
) {}

/** The health of one replica or instance within the health of its partition. */
export const ReplicaHealthState = Schema.Struct({
  ServiceKind,
  PartitionId: Schema.optionalKey(Id),
  ReplicaId: Schema.optionalKey(Int64),
  InstanceId: Schema.optionalKey(Int64),
  AggregatedHealthState: HealthState
})

/** The health of a partition with that of its replicas or instances. */
export class PartitionHealth extends Schema.Opaque<PartitionHealth>()(
  Schema.Struct({
    ...healthOfAny,
    PartitionId: Id,
    ReplicaHealthStates: Schema.optionalKey(Schema.Array(ReplicaHealthState))
  }).annotate({ identifier: "FabricPartitionHealth" })
) {}

/** The health of a replica or an instance. */
export class ReplicaHealth extends Schema.Opaque<ReplicaHealth>()(
  Schema.Struct({
    ...healthOfAny,
    ServiceKind,
    PartitionId: Id,
    ReplicaId: Schema.optionalKey(Int64),
    InstanceId: Schema.optionalKey(Int64)
  }).annotate({ identifier: "FabricReplicaHealth" })
) {}

/** The version of the runtime. */
export const ClusterVersion = Schema.Struct({ Version: Schema.String })

/** The manifest of the cluster as XML text. */
export const ClusterManifest = Schema.Struct({ Manifest: Schema.String })
