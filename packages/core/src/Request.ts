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
const overrides = Schema.optionalKey(Schema.Array(Override)).pipe(
  Schema.annotateKey({
    title: "Overrides",
    description: "The guards to set aside where they say no; none unless given"
  })
)

const partition = {
  serviceName: Schema.String.pipe(
    Schema.annotateKey({
      title: "Service",
      description: "The service of the partition, which stands for a group of a cluster: fabric:/CLUSTER/GROUP",
      examples: ["fabric:/orders/main"]
    })
  ),
  partitionId: Guid.pipe(
    Schema.annotateKey({ title: "Partition", description: "The id of the partition, which GET /v1/clusters tells" })
  )
} as const

const node = {
  nodeName: Schema.String.pipe(
    Schema.annotateKey({ title: "Node", description: "Which GET /v1/nodes lists", examples: ["orders-s1"] })
  ),
  instanceId: Schema.String.pipe(
    Schema.annotateKey({
      title: "Instance",
      description: "The present instance of the node, which GET /v1/nodes tells: a node that started anew has another",
      examples: ["133771342912345678"]
    })
  )
} as const

const kind = { title: "Kind" } as const
const transition = { title: "Transition" } as const

// What the examples are about.
const [serviceName, partitionId] = ["fabric:/orders/main", "5d1c1f6e-6f0b-5b0e-9a53-0d0a52a4c7de"]
const [nodeName, instanceId] = ["orders-s1", "133771342912345678"]

/** What was asked for: take the quorum of one partition and hold it for `hold` from the first unacknowledged write. */
export class QuorumLossRequest extends Schema.Opaque<QuorumLossRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionQuorumLoss").pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("PartitionQuorumLoss"), { encodingStrategy: "omit" }),
      Schema.annotateKey({ ...kind, description: "May be left out of a quorum loss" })
    ),
    ...partition,
    mode: QuorumLossMode.pipe(
      Schema.annotateKey({
        title: "Mode",
        description: "The smallest cut that loses the quorum, or every replica that may be cut",
        examples: ["QuorumReplicas"]
      })
    ),
    hold: Millis.pipe(
      Schema.annotateKey({
        title: "Hold (ms)",
        description: "How long the loss is held, in milliseconds, from the first write that was not acknowledged",
        examples: [10_000]
      })
    ),
    overrides
  }).annotate({
    identifier: "QuorumLossRequest",
    title: "A quorum loss",
    description: "Takes the quorum of one partition, holds it, and gives it back",
    examples: [{ kind: "PartitionQuorumLoss", serviceName, partitionId, mode: "QuorumReplicas", hold: 10_000 }]
  })
) {}

/** How much data goes: of as many replicas as make the quorum, or of all of them. */
export const DataLossMode = Schema.Literals(["PartialDataLoss", "FullDataLoss"])
export type DataLossMode = typeof DataLossMode.Type

/** Only this member of the group, by its name in it; all that the mode takes unless given. */
const member = Schema.optionalKey(Schema.String).pipe(
  Schema.annotateKey({
    title: "Member",
    description: "Only this member of the group, by its name; all that the mode takes unless given",
    examples: ["s1"]
  })
)

/**
 * Destroy replicas of one partition with their data, so that the system has to declare a data loss. With `member` that
 * replica alone is removed, and another one is built in its place.
 */
export class DataLossRequest extends Schema.Opaque<DataLossRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionDataLoss").pipe(Schema.annotateKey(kind)),
    ...partition,
    mode: DataLossMode.pipe(
      Schema.annotateKey({ title: "Mode", description: "As many replicas as make the quorum, or all of them" })
    ),
    member,
    overrides
  }).annotate({
    identifier: "DataLossRequest",
    title: "A data loss",
    description: "Destroys replicas of one partition with their data, for good; allowed on simulated clusters alone",
    examples: [{ kind: "PartitionDataLoss", serviceName, partitionId, mode: "PartialDataLoss" }]
  })
) {}

/** Which replicas are restarted: all of them, or all but the primary. */
export const RestartMode = Schema.Literals(["AllReplicasOrInstances", "OnlyActiveSecondaries"])
export type RestartMode = typeof RestartMode.Type

/** Restart the replicas of one partition, or with `member` that one alone. */
export class RestartRequest extends Schema.Opaque<RestartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("PartitionRestart").pipe(Schema.annotateKey(kind)),
    ...partition,
    mode: RestartMode.pipe(
      Schema.annotateKey({ title: "Mode", description: "Every replica or instance, or every one but the primary" })
    ),
    member,
    overrides
  }).annotate({
    identifier: "RestartRequest",
    title: "The restart of a partition",
    description: "Ends the chosen replicas of one partition and starts them again",
    examples: [{ kind: "PartitionRestart", serviceName, partitionId, mode: "OnlyActiveSecondaries" }]
  })
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
    kind: Schema.Literal("NodeTransition").pipe(Schema.annotateKey(kind)),
    transition: Schema.Literal("Stop").pipe(Schema.annotateKey(transition)),
    ...node,
    duration: Millis.pipe(
      Schema.annotateKey({
        title: "Duration (ms)",
        description: "After how many milliseconds the node starts by itself",
        examples: [300_000]
      })
    ),
    intent: Schema.optionalKey(DeactivationIntent).pipe(
      Schema.annotateKey({ title: "Intent", description: "Why the node is deactivated, where it is more than a stop" })
    ),
    overrides
  }).annotate({
    identifier: "NodeStopRequest",
    title: "The stop of a node",
    description: "Ends every member on the node, which starts again by itself when its time is over",
    examples: [{ kind: "NodeTransition", transition: "Stop", nodeName, instanceId, duration: 300_000 }]
  })
) {}

/** Start a node that a NodeStop of ours stopped, before its time is over. */
export class NodeStartRequest extends Schema.Opaque<NodeStartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("NodeTransition").pipe(Schema.annotateKey(kind)),
    transition: Schema.Literal("Start").pipe(Schema.annotateKey(transition)),
    ...node
  }).annotate({
    identifier: "NodeStartRequest",
    title: "The start of a node",
    description: "Starts a node that was stopped so, before its time is over",
    examples: [{ kind: "NodeTransition", transition: "Start", nodeName, instanceId }]
  })
) {}

/** Stop a node and start it again at once. */
export class NodeRestartRequest extends Schema.Opaque<NodeRestartRequest>()(
  Schema.Struct({
    kind: Schema.Literal("NodeTransition").pipe(Schema.annotateKey(kind)),
    transition: Schema.Literal("Restart").pipe(Schema.annotateKey(transition)),
    ...node,
    overrides
  }).annotate({
    identifier: "NodeRestartRequest",
    title: "The restart of a node",
    description: "Ends every member on the node and starts it again at once",
    examples: [{ kind: "NodeTransition", transition: "Restart", nodeName, instanceId }]
  })
) {}

/** Everything that can be asked for, in the order in which it is shown: what loses data comes last. */
export const FaultRequest = Schema.Union([
  QuorumLossRequest,
  RestartRequest,
  NodeStopRequest,
  NodeStartRequest,
  NodeRestartRequest,
  DataLossRequest
]).annotate({ identifier: "FaultRequest", title: "A fault" })
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
