/**
 * What the client reads of a Service Fabric gateway's answers. Only what identifies an entity has to be there: whatever
 * else an older, a newer or a busier gateway leaves out is absent, properties that are not declared are dropped, `null`
 * counts as absent, and a word that is not known here becomes the enumeration's own word for that.
 * Source: the 8.2 specification and the open-source gateway.
 */
import { Guid } from "@inquorate/core/Guid"
import * as Wire from "@inquorate/core/Wire"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Model from "./FabricModel.ts"

// --- models ---

/** One of the words, or `otherwise` for one that a newer gateway may have. */
const word = <const Words extends ReadonlyArray<string>>(words: Words, otherwise: Words[number]) =>
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.Literals(words),
      SchemaTransformation.transform({
        decode: (text: string) => (words.includes(text) ? (text as Words[number]) : otherwise),
        encode: (known: Words[number]) => known
      })
    )
  )

/** A 64-bit integer in decimal; a gateway that sends a number is understood as well. */
const Int64 = Schema.Union([Schema.String, Schema.Finite]).pipe(
  Schema.decodeTo(
    Model.Int64,
    SchemaTransformation.transform({
      decode: (value: string | number) => String(value),
      encode: (text: string): string | number => text
    })
  )
)

const Id = Schema.String.pipe(
  Schema.decodeTo(
    Guid,
    SchemaTransformation.transform({ decode: (text: string) => text.toLowerCase(), encode: (id: string) => id })
  )
)

const Flag = Schema.optionalKey(Schema.Boolean)
const Text = Schema.optionalKey(Schema.String)
const Count = Schema.optionalKey(Schema.Int)
const Long = Schema.optionalKey(Int64)
const Health = word(Model.HealthState.literals, "Unknown")
const HealthKey = Schema.optionalKey(Health)
const Kind = word(Model.ServiceKind.literals, "Invalid")
const State = word(Wire.OperationState.literals, "Invalid")

const PartitionResult = Schema.Struct({
  ErrorCode: Schema.Int,
  SelectedPartition: Schema.Struct({ ServiceName: Schema.String, PartitionId: Id })
})

/** The answer of GetQuorumLossProgress. */
export const QuorumLossProgress = Schema.Struct({
  State,
  InvokeQuorumLossResult: Schema.optionalKey(PartitionResult)
})
/** The answer of GetDataLossProgress. */
export const DataLossProgress = Schema.Struct({ State, InvokeDataLossResult: Schema.optionalKey(PartitionResult) })
/** The answer of GetPartitionRestartProgress. */
export const RestartProgress = Schema.Struct({ State, RestartPartitionResult: Schema.optionalKey(PartitionResult) })
/** The answer of GetNodeTransitionProgress. */
export const NodeTransitionProgress = Schema.Struct({
  State,
  NodeTransitionResult: Schema.optionalKey(
    Schema.Struct({
      ErrorCode: Schema.Int,
      NodeResult: Schema.Struct({ NodeName: Schema.String, NodeInstanceId: Int64 })
    })
  )
})

/** The answer of GetFaultOperationList. */
export const OperationStatusList = Schema.Array(
  Schema.Struct({ OperationId: Id, State, Type: word(Wire.OperationType.literals, "Invalid") })
)

/** A page of a list; the last has no token or an empty one. */
export const page = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ ContinuationToken: Text, Items: Schema.Array(item) })

/** A node. `InstanceId` is what a transition of the node has to name. */
export const NodeInfo = Schema.Struct({
  Name: Schema.String,
  InstanceId: Int64,
  IpAddressOrFQDN: Text,
  Type: Text,
  CodeVersion: Text,
  ConfigVersion: Text,
  NodeStatus: Schema.optionalKey(word(Model.NodeInfo.fields.NodeStatus.literals, "Unknown")),
  NodeUpTimeInSeconds: Long,
  HealthState: HealthKey,
  IsSeedNode: Flag,
  UpgradeDomain: Text,
  FaultDomain: Text,
  Id: Schema.optionalKey(Schema.Struct({ Id: Schema.String })),
  NodeDeactivationInfo: Schema.optionalKey(
    Schema.Struct({ NodeDeactivationIntent: Text, NodeDeactivationStatus: Text })
  ),
  IsStopped: Flag,
  NodeDownTimeInSeconds: Long,
  NodeUpAt: Text,
  NodeDownAt: Text
})
/** A node. */
export type NodeInfo = typeof NodeInfo.Type

/** An application. */
export const ApplicationInfo = Schema.Struct({
  Id: Schema.String,
  Name: Schema.String,
  TypeName: Text,
  TypeVersion: Text,
  Status: Schema.optionalKey(word(Model.ApplicationInfo.fields.Status.literals, "Invalid")),
  Parameters: Schema.optionalKey(Schema.Array(Schema.Struct({ Key: Schema.String, Value: Text }))),
  HealthState: HealthKey,
  ApplicationDefinitionKind: Text
})
/** An application. */
export type ApplicationInfo = typeof ApplicationInfo.Type

/** A service. */
export const ServiceInfo = Schema.Struct({
  Id: Schema.String,
  ServiceKind: Kind,
  Name: Schema.String,
  TypeName: Text,
  ManifestVersion: Text,
  HealthState: HealthKey,
  ServiceStatus: Schema.optionalKey(word(Model.ServiceInfo.fields.ServiceStatus.literals, "Unknown")),
  IsServiceGroup: Flag,
  HasPersistedState: Flag
})
/** A service. */
export type ServiceInfo = typeof ServiceInfo.Type

/** How a service was described when it was made. */
export const ServiceDescription = Schema.Struct({
  ServiceKind: Kind,
  ApplicationName: Text,
  ServiceName: Schema.String,
  ServiceTypeName: Text,
  PartitionDescription: Schema.Struct({
    PartitionScheme: word(["Invalid", "Singleton", "UniformInt64Range", "Named"], "Invalid"),
    Count,
    LowKey: Long,
    HighKey: Long,
    Names: Schema.optionalKey(Schema.Array(Schema.String))
  }),
  TargetReplicaSetSize: Count,
  MinReplicaSetSize: Count,
  HasPersistedState: Flag,
  InstanceCount: Count
})
/** How a service was described when it was made. */
export type ServiceDescription = typeof ServiceDescription.Type

const Epoch = Schema.optionalKey(Schema.Struct({ ConfigurationVersion: Int64, DataLossVersion: Int64 }))

/** A partition; the epoch and the loss duration have another name on the open-source gateway than in the specification. */
export const Partition = Schema.Struct({
  ServiceKind: Kind,
  PartitionInformation: Schema.Struct({
    ServicePartitionKind: word(["Invalid", "Singleton", "Int64Range", "Named"], "Invalid"),
    Id,
    LowKey: Long,
    HighKey: Long,
    Name: Text
  }),
  HealthState: HealthKey,
  PartitionStatus: Schema.optionalKey(word(Model.PartitionStatus.literals, "Invalid")),
  TargetReplicaSetSize: Count,
  MinReplicaSetSize: Count,
  InstanceCount: Count,
  PrimaryEpoch: Epoch,
  CurrentConfigurationEpoch: Epoch,
  LastQuorumLossDuration: Text,
  LastQuorumLossDurationInSeconds: Long
})
/** A partition. */
export type Partition = typeof Partition.Type

/** A replica of a stateful service, or an instance of a stateless one. */
export const Replica = Schema.Struct({
  ServiceKind: Kind,
  ReplicaId: Long,
  InstanceId: Long,
  ReplicaRole: Schema.optionalKey(
    word(
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
  ),
  ReplicaStatus: Schema.optionalKey(word(Model.Replica.fields.ReplicaStatus.literals, "Invalid")),
  HealthState: HealthKey,
  NodeName: Text,
  Address: Text,
  LastInBuildDurationInSeconds: Long
})
/** A replica. */
export type Replica = typeof Replica.Type

/** The name and id of an application or a service. */
export const NameInfo = Model.NameInfo

/** What somebody reported of an entity's health. `TimeToLiveInMilliSeconds` is an ISO 8601 duration despite its name. */
export const HealthEvent = Schema.Struct({
  SourceId: Schema.String,
  Property: Schema.String,
  HealthState: Health,
  TimeToLiveInMilliSeconds: Text,
  Description: Text,
  SequenceNumber: Long,
  RemoveWhenExpired: Flag,
  IsExpired: Flag,
  SourceUtcTimestamp: Text,
  LastModifiedUtcTimestamp: Text
})

const Number64 = Schema.optionalKey(Schema.Union([Schema.Finite, Schema.FiniteFromString]))

const health = {
  AggregatedHealthState: Health,
  HealthEvents: Schema.optionalKey(Schema.Array(HealthEvent)),
  UnhealthyEvaluations: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  HealthStatistics: Schema.optionalKey(
    Schema.Struct({
      HealthStateCountList: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            EntityKind: Schema.String,
            HealthStateCount: Schema.Struct({ OkCount: Number64, WarningCount: Number64, ErrorCount: Number64 })
          })
        )
      )
    })
  )
}

const named = Schema.Array(Schema.Struct({ Name: Schema.String, AggregatedHealthState: Health }))

/** The health of the cluster with that of its nodes and applications. */
export const ClusterHealth = Schema.Struct({
  ...health,
  NodeHealthStates: Schema.optionalKey(named),
  ApplicationHealthStates: Schema.optionalKey(named)
})
/** The health of the cluster. */
export type ClusterHealth = typeof ClusterHealth.Type

/** The health of a node. */
export const NodeHealth = Schema.Struct({ ...health, Name: Text })
/** The health of a node. */
export type NodeHealth = typeof NodeHealth.Type

/** The health of an application with that of its services. */
export const ApplicationHealth = Schema.Struct({
  ...health,
  Name: Text,
  ServiceHealthStates: Schema.optionalKey(
    Schema.Array(Schema.Struct({ ServiceName: Schema.String, AggregatedHealthState: Health }))
  )
})
/** The health of an application. */
export type ApplicationHealth = typeof ApplicationHealth.Type

/** The health of a service with that of its partitions. */
export const ServiceHealth = Schema.Struct({
  ...health,
  Name: Text,
  PartitionHealthStates: Schema.optionalKey(
    Schema.Array(Schema.Struct({ PartitionId: Id, AggregatedHealthState: Health }))
  )
})
/** The health of a service. */
export type ServiceHealth = typeof ServiceHealth.Type

/** The health of a partition with that of its replicas. */
export const PartitionHealth = Schema.Struct({
  ...health,
  PartitionId: Schema.optionalKey(Id),
  ReplicaHealthStates: Schema.optionalKey(
    Schema.Array(Schema.Struct({ ReplicaId: Long, InstanceId: Long, AggregatedHealthState: Health }))
  )
})
/** The health of a partition. */
export type PartitionHealth = typeof PartitionHealth.Type

/** The health of a replica. */
export const ReplicaHealth = Schema.Struct({ ...health, PartitionId: Schema.optionalKey(Id), ReplicaId: Long })
/** The health of a replica. */
export type ReplicaHealth = typeof ReplicaHealth.Type

/** Where tokens come from: `metadata` is absent where they do not come from Azure Active Directory. */
export const AadMetadata = Schema.Struct({
  type: Text,
  metadata: Schema.optionalKey(
    Schema.Struct({ authority: Text, client: Text, cluster: Text, login: Text, redirect: Text, tenant: Text })
  )
})
/** Where tokens come from. */
export type AadMetadata = typeof AadMetadata.Type

// --- make ---

/** Reads an answer of this shape from JSON that may have `null` where a property is absent. */
export const decode = <S extends Schema.Codec<unknown, unknown>>(
  schema: S
): ((json: unknown) => Effect.Effect<S["Type"], Schema.SchemaError>) => {
  const read = Schema.decodeUnknownEffect(schema)
  return (json) => read(withoutNulls(json))
}

// --- internal ---

const withoutNulls = (json: unknown): unknown => {
  if (Array.isArray(json)) return json.map(withoutNulls)
  if (!Predicate.isObject(json)) return json
  return Object.fromEntries(
    Object.entries(json)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [name, withoutNulls(value)])
  )
}
