/**
 * What can be asked for: a quorum loss, a data loss, the restart of a partition, the stop and the start of a node. The
 * words and the modes are those of Service Fabric's Fault Analysis Service (its StartQuorumLoss, StartDataLoss,
 * StartPartitionRestart and StartNodeTransition). `kind` tells the requests apart. A quorum loss is stored and sent
 * without a `kind`, as the first ones were; it is read with it and without it. What follows from the kind stands in
 * `Fault.ts`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Guid, v5 } from "./Guid.ts"
import { Override, QuorumLossMode } from "./Plan.ts"
import { Millis } from "./Time.ts"

// --- models ---

/** The guards to set aside where they say no; none unless given. */
const overrides = Schema.optionalKey(Schema.Array(Override))

/** What was asked for: take the quorum of one partition and hold it for `hold` from the first unacknowledged write. */
export class QuorumLossRequest extends Schema.Opaque<QuorumLossRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionQuorumLoss").pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("PartitionQuorumLoss"), { encodingStrategy: "omit" })
    ),
    serviceName: Schema.String,
    partitionId: Guid,
    mode: QuorumLossMode,
    hold: Millis,
    overrides
  }).annotate({ identifier: "QuorumLossRequest" })
) {}

/** How much data goes: of as many replicas as make the quorum, or of all of them. */
export const DataLossMode = Schema.Literals(["PartialDataLoss", "FullDataLoss"])
export type DataLossMode = typeof DataLossMode.Type

/** Only this member of the group, by its name in it; all that the mode takes unless given. */
const member = Schema.optionalKey(Schema.String)

/**
 * Destroy replicas of one partition with their data, so that the system has to declare a data loss. With `member` that
 * replica alone is removed, and another one is built in its place.
 */
export class DataLossRequest extends Schema.Opaque<DataLossRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionDataLoss"),
    serviceName: Schema.String,
    partitionId: Guid,
    mode: DataLossMode,
    member,
    overrides
  }).annotate({ identifier: "DataLossRequest" })
) {}

/** Which replicas are restarted: all of them, or all but the primary. */
export const RestartMode = Schema.Literals(["AllReplicasOrInstances", "OnlyActiveSecondaries"])
export type RestartMode = typeof RestartMode.Type

/** Restart the replicas of one partition, or with `member` that one alone. */
export class RestartRequest extends Schema.Opaque<RestartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionRestart"),
    serviceName: Schema.String,
    partitionId: Guid,
    mode: RestartMode,
    member,
    overrides
  }).annotate({ identifier: "RestartRequest" })
) {}

/** Why a node is deactivated, in Service Fabric's words. */
export const DeactivationIntent = Schema.Literals(["Pause", "Restart", "RemoveData", "RemoveNode"])
export type DeactivationIntent = typeof DeactivationIntent.Type

/**
 * Stop a node for `duration`, after which it starts again by itself. `instanceId` is the one that the node query shows.
 * `intent` is there where the node is deactivated, which is shown as such.
 */
export class NodeStopRequest extends Schema.Opaque<NodeStopRequest>()(
  Schema.Struct({
    kind: Schema.Literal("NodeTransition"),
    transition: Schema.Literal("Stop"),
    nodeName: Schema.String,
    instanceId: Schema.String,
    duration: Millis,
    intent: Schema.optionalKey(DeactivationIntent),
    overrides
  }).annotate({ identifier: "NodeStopRequest" })
) {}

/** Start a node that a NodeStop of ours stopped, before its time is over. */
export class NodeStartRequest extends Schema.Opaque<NodeStartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("NodeTransition"),
    transition: Schema.Literal("Start"),
    nodeName: Schema.String,
    instanceId: Schema.String
  }).annotate({ identifier: "NodeStartRequest" })
) {}

/** Stop a node and start it again at once. */
export class NodeRestartRequest extends Schema.Opaque<NodeRestartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("NodeTransition"),
    transition: Schema.Literal("Restart"),
    nodeName: Schema.String,
    instanceId: Schema.String,
    overrides
  }).annotate({ identifier: "NodeRestartRequest" })
) {}

/** Everything that can be asked for. */
export const FaultRequest = Schema.Union([
  DataLossRequest,
  RestartRequest,
  NodeStopRequest,
  NodeStartRequest,
  NodeRestartRequest,
  QuorumLossRequest
]).annotate({ identifier: "FaultRequest" })
export type FaultRequest = typeof FaultRequest.Type

/** The kind of a request in the words of the operation list; stop, start and restart of a node are all `NodeTransition`. */
export type FaultKind = FaultRequest["kind"]

/** The requests of one kind. */
export type RequestOf<Kind extends FaultKind> = Extract<FaultRequest, { readonly kind: Kind }>

/** A request that names a partition. */
export type PartitionRequest = Extract<FaultRequest, { readonly partitionId: Guid }>

/** A request that names a node. */
export type NodeRequest = Extract<FaultRequest, { readonly nodeName: string }>

// --- make ---

/** True for a quorum loss. Asked where its own properties are read; what another kind would have to say stands in `Fault.ts`. */
export const isQuorumLoss = (request: FaultRequest): request is QuorumLossRequest =>
  request.kind === "PartitionQuorumLoss"

/** True for a request that names a node. */
export const isNodeRequest = (request: FaultRequest): request is NodeRequest => "nodeName" in request

/** True for a request that names a partition. */
export const isPartitionRequest = (request: FaultRequest): request is PartitionRequest => "partitionId" in request

/**
 * What only one operation at a time may touch: the partition's id, or for a node an id that follows from its name. Two
 * requests get in each other's way where this is the same.
 */
export const subjectOf = (request: FaultRequest): Guid =>
  isNodeRequest(request) ? nodeSubject(request.nodeName) : request.partitionId

/** The subject of the requests that name this node. */
export const nodeSubject = (nodeName: string): Guid => v5(nodeNamespace, nodeName)

/** What the request is about, in words for a person: the service's name, or the node's. */
export const placeOf = (request: FaultRequest): string =>
  isNodeRequest(request) ? `node ${request.nodeName}` : request.serviceName

/** The guards that the request sets aside. */
export const overridesOf = (request: FaultRequest): ReadonlyArray<Override> =>
  "overrides" in request ? (request.overrides ?? []) : []

// --- internal ---

/** Drawn once for Inquorate; changing it would let a running operation and a new one meet on one node. */
const nodeNamespace: Guid = "a3b1f6c2-0d7e-4c59-8e44-5f9d2b7c1e08"
