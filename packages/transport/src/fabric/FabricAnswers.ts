/**
 * The answers of a Service Fabric gateway as the client reads them: the objects of the model, in which only the
 * properties that identify an entity must be there. An older, a newer or a busier gateway may leave out all others. The
 * client takes `null` for absent.
 * Source: the 8.2 specification and the open-source gateway.
 */
import * as Wire from "@inquorate/core/Wire"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as Model from "./FabricModel.ts"

// --- models ---

const Text = Schema.optionalKey(Schema.String)

/** An object of the model in which only the named properties have to be there. */
const sparse = <Fields extends Schema.Struct.Fields, const Keys extends ReadonlyArray<keyof Fields>>(
  model: Schema.Struct<Fields>,
  required: Keys
) => model.mapFields(Struct.mapOmit(required, Schema.optionalKey))

const State = Model.word(Wire.OperationState.literals, "Invalid")

const PartitionResult = Schema.Struct({
  ErrorCode: Schema.Int,
  SelectedPartition: Schema.Struct({ ServiceName: Schema.String, PartitionId: Model.Id })
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
      NodeResult: Schema.Struct({ NodeName: Schema.String, NodeInstanceId: Model.Int64 })
    })
  )
})

/** The answer of GetFaultOperationList. */
export const OperationStatusList = Schema.Array(
  Schema.Struct({ OperationId: Model.Id, State, Type: Model.word(Wire.OperationType.literals, "Invalid") })
)

/** A page of a list. The last page has no token, or an empty one. */
export const page = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ ContinuationToken: Text, Items: Schema.Array(item) })

const unread = ["NodeTags", "IsNodeByNodeUpgradeInProgress", "InfrastructurePlacementID"] as const

/** A node. A transition of the node must name its `InstanceId`. */
export class NodeInfo extends Schema.Opaque<NodeInfo>()(
  Schema.Struct({
    ...Struct.omit(sparse(Model.NodeInfo, ["Name", "InstanceId"]).fields, unread),
    NodeDeactivationInfo: Schema.optionalKey(sparse(Model.NodeDeactivationInfo, []))
  })
) {}

/** An application. */
export class ApplicationInfo extends Schema.Opaque<ApplicationInfo>()(
  Schema.Struct({
    ...sparse(Model.ApplicationInfo, ["Id", "Name"]).fields,
    Parameters: Schema.optionalKey(Schema.Array(sparse(Model.ApplicationParameter, ["Key"])))
  })
) {}

/** A service. */
export const ServiceInfo = sparse(Model.ServiceInfo, ["Id", "Name", "ServiceKind"])
export type ServiceInfo = typeof ServiceInfo.Type

/** The description that a service was made from. */
export const ServiceDescription = Model.ServiceDescription
export type ServiceDescription = typeof ServiceDescription.Type

/** A partition. The open-source gateway and the specification give the epoch and the loss duration different names. */
export const Partition = sparse(Model.Partition, ["ServiceKind", "PartitionInformation"])
export type Partition = typeof Partition.Type

/** A replica of a stateful service, or an instance of a stateless one. */
export const Replica = sparse(Model.Replica, ["ServiceKind"])
export type Replica = typeof Replica.Type

/** The name and id of an application or a service. */
export const NameInfo = Model.NameInfo

// Every health has these beside its own properties. The reasons of an unhealthy entity may have any form.
const health = {
  UnhealthyEvaluations: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  HealthStatistics: Schema.optionalKey(
    Schema.Struct({
      HealthStateCountList: Schema.optionalKey(
        Schema.Array(Schema.Struct({ EntityKind: Schema.String, HealthStateCount: sparse(Model.HealthStateCount, []) }))
      )
    })
  )
}

/** The health of the cluster with that of its nodes and applications. */
export class ClusterHealth extends Schema.Opaque<ClusterHealth>()(
  Schema.Struct({
    ...sparse(Model.ClusterHealth, ["AggregatedHealthState"]).fields,
    ...health,
    NodeHealthStates: Schema.optionalKey(Schema.Array(sparse(Model.NodeHealthState, ["Name", "AggregatedHealthState"])))
  })
) {}

/** The health of a node. */
export class NodeHealth extends Schema.Opaque<NodeHealth>()(
  Schema.Struct({ ...sparse(Model.NodeHealth, ["AggregatedHealthState"]).fields, ...health })
) {}

/** The health of an application with that of its services. */
export class ApplicationHealth extends Schema.Opaque<ApplicationHealth>()(
  Schema.Struct({
    ...sparse(Model.ApplicationHealth, ["AggregatedHealthState"]).fields,
    ...health
  })
) {}

/** The health of a service with that of its partitions. */
export class ServiceHealth extends Schema.Opaque<ServiceHealth>()(
  Schema.Struct({
    ...sparse(Model.ServiceHealth, ["AggregatedHealthState"]).fields,
    ...health
  })
) {}

/** The health of a partition with that of its replicas. */
export class PartitionHealth extends Schema.Opaque<PartitionHealth>()(
  Schema.Struct({
    ...sparse(Model.PartitionHealth, ["AggregatedHealthState"]).fields,
    ...health,
    ReplicaHealthStates: Schema.optionalKey(Schema.Array(sparse(Model.ReplicaHealthState, ["AggregatedHealthState"])))
  })
) {}

/** The health of a replica. */
export class ReplicaHealth extends Schema.Opaque<ReplicaHealth>()(
  Schema.Struct({
    ...sparse(Model.ReplicaHealth, ["AggregatedHealthState"]).fields,
    ...health
  })
) {}

/** Where a client gets tokens. `metadata` is absent if tokens do not come from Azure Active Directory. */
export class AadMetadata extends Schema.Opaque<AadMetadata>()(
  Schema.Struct({
    type: Text,
    metadata: Schema.optionalKey(
      Schema.Struct({ authority: Text, client: Text, cluster: Text, login: Text, redirect: Text, tenant: Text })
    )
  })
) {}

// --- make ---

/** Reads an answer of this shape from JSON, which may have `null` for an absent property. */
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
