/**
 * What a front (the Service Fabric surface, `/v1`, a test) may ask of a worker: start, look, list, cancel, plan, browse.
 * The engine answers it; the transport speaks it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { Evidence, EvidenceEntry } from "./Evidence.ts"
import { FabricErrorCode } from "./FabricError.ts"
import { Guid } from "./Guid.ts"
import { Operation } from "./Operation.ts"
import { StandingFault } from "./Standing.ts"
import { Plan, PlannedFence, Refusal } from "./Plan.ts"
import type { DeactivationIntent, FaultRequest } from "./Request.ts"
import { type Instant, Millis } from "./Time.ts"
import { NodeFacts, Topology } from "./Topology.ts"
import { OperationState } from "./Wire.ts"

/** The worker could not take a caller's request. `code` is the wire's word, `detail` the sentence for a person. */
export class RequestRefused extends Schema.TaggedError<RequestRefused>()("RequestRefused", {
  code: FabricErrorCode,
  detail: Schema.String,
  refusal: Schema.NullOr(Refusal)
}) {
  override get message(): string {
    return this.detail
  }
}

/** An operation with everything there is to know about it. */
export class OperationDetail extends Schema.Opaque<OperationDetail>()(
  Schema.Struct({
    operation: Operation,
    state: OperationState,
    /** How it ended, or what it does now, in words for a person, as a front tells it. */
    summary: Schema.optionalKey(Schema.String),
    evidence: Evidence
  }).annotate({ identifier: "OperationDetail", title: "An operation with its evidence" })
) {}

/** A fault of any kind that was planned without touching anything, or the reason why it cannot be. */
export class PlanPreview extends Schema.Opaque<PlanPreview>()(
  Schema.Struct({
    /** The group that the request names, where it names one and it was seen. */
    topology: Schema.NullOr(Topology),
    /** The plan of a cut with its arithmetic; only a quorum loss has one. */
    plan: Schema.NullOr(Plan),
    /** The fences that would be ordered, or for a node's start those that would be lifted; the loss of data has none. */
    fences: Schema.Array(PlannedFence),
    /** What a person should know of it besides, such as a member that is left out. */
    notes: Schema.Array(Schema.String),
    refusal: Schema.NullOr(Refusal)
  }).annotate({ identifier: "PlanPreview", title: "A plan, or why there is none" })
) {}

/** A stored operation that cannot be read: its id and state, which stand beside it, and why it cannot. */
export class UnreadableOperation extends Schema.Opaque<UnreadableOperation>()(
  Schema.Struct({
    id: Guid,
    state: OperationState,
    problem: Schema.String
  }).annotate({ identifier: "UnreadableOperation", title: "An operation that cannot be read" })
) {}

/** A change of an operation as it is told live: how it stands, and the evidence that is new since the last one. */
export class OperationChange extends Schema.Opaque<OperationChange>()(
  Schema.Struct({
    operation: Operation,
    state: OperationState,
    /** How it ended, in words for a person, as a front tells it with the last change. */
    summary: Schema.optionalKey(Schema.String),
    entries: Schema.Array(EvidenceEntry)
  }).annotate({ identifier: "OperationChange" })
) {}

/** A configured cluster as a front shows it: its groups as last seen, and why they could not be seen now. */
export class ClusterView extends Schema.Opaque<ClusterView>()(
  Schema.Struct({
    name: Schema.String,
    system: Schema.String,
    injector: Schema.String,
    protected: Schema.Boolean,
    maxHold: Schema.NullOr(Millis),
    groups: Schema.Array(Topology),
    /** The type of the application and the nodes, where the target tells them. */
    application: Schema.optionalKey(
      Schema.Struct({
        typeName: Schema.String,
        typeVersion: Schema.String,
        parameters: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.String }))
      })
    ),
    nodes: Schema.optionalKey(Schema.Array(NodeFacts)),
    /** The faults of ours that stand on its groups and nodes, as a front tells them. A worker before 0.2 leaves them out. */
    faults: Schema.optionalKey(Schema.Array(StandingFault)),
    /**
     * When the groups were seen: `Now`; `Before`, where the cluster does not answer any more; `Never`, where it was looked
     * at in vain; `NotLookedAt`, where the first look has not ended. A worker before 0.2 leaves it out.
     */
    seen: Schema.optionalKey(Schema.Literals(["Now", "Before", "Never", "NotLookedAt"])),
    /** Empty when the groups were seen just now. */
    problem: Schema.String
  }).annotate({ identifier: "ClusterView", title: "A cluster with its groups" })
) {}

/** True where nobody knows which groups the cluster has. That it shows none then means nothing. */
export const isUnknown = ({ seen }: ClusterView): boolean => seen === "Never" || seen === "NotLookedAt"

/** What the newest ended operations have left for those who browse. */
export interface Aftermath {
  /** The moment by the store's clock, which wrote the moments of all operations; ours where it is left out. */
  readonly now?: Instant
  /**
   * The nodes whose last transition of ours was a stop that has not had its time. A node that is up is stopped no more.
   */
  readonly stoppedNodes: ReadonlyArray<string>
  /** How long the last proven loss of a partition's quorum was held. */
  readonly lastLosses: ReadonlyArray<{ readonly partitionId: Guid; readonly lasted: Millis }>
  /**
   * The nodes that are deactivated, or are about to be. `until` is when they start by themselves, and null before they
   * stop.
   */
  readonly deactivated?: ReadonlyArray<{
    readonly nodeName: string
    readonly operationId: Guid
    readonly intent: DeactivationIntent
    readonly until: Instant | null
  }>
}

/** Which partitions are to be recovered. */
export type RecoverScope =
  | { readonly _tag: "Partition"; readonly partitionId: Guid }
  | { readonly _tag: "Service"; readonly serviceName: string }
  | { readonly _tag: "System" }
  | { readonly _tag: "All" }

/** What became of the wish to recover one partition. Its target was asked for it, or its system recovers by itself. */
export class PartitionRecovery extends Schema.Opaque<PartitionRecovery>()(
  Schema.Struct({
    serviceName: Schema.String.annotate({ title: "Service", examples: ["fabric:/lab/kv"] }),
    partitionId: Guid,
    system: Schema.String.annotate({ title: "System", examples: ["etcd"] }),
    recovery: Schema.Literals(["Asked", "ByItself"]).annotate({
      title: "What was done",
      description: "Asked: its target gives up what the partition waits for. ByItself: nothing had to be done"
    })
  }).annotate({ identifier: "PartitionRecovery" })
) {}

/** What a front may ask of a worker. */
export class Operations extends Context.Service<
  Operations,
  {
    /**
     * Stores the intent of a fault. It is durable when this returns. With `guard` every guard is asked before anything
     * is stored, as `/v1` does. Without it a guard's "no" ends the operation as Faulted, as Service Fabric's clients
     * expect.
     */
    readonly start: (
      id: Guid,
      request: FaultRequest,
      options: { readonly guard: boolean; readonly maxHold: "configured" | "none" }
    ) => Effect.Effect<Operation, RequestRefused>
    readonly get: (id: Guid) => Effect.Effect<Operation, RequestRefused>
    readonly detail: (id: Guid) => Effect.Effect<OperationDetail, RequestRefused>
    /** The newest `limit` operations, in the order they were received. */
    readonly list: (limit: number) => Effect.Effect<ReadonlyArray<Operation>, RequestRefused>
    /** The stored operations that cannot be read, once `list` has come across them. The list itself leaves them out. */
    readonly unreadable: Effect.Effect<ReadonlyArray<UnreadableOperation>, RequestRefused>
    /** Records the wish to stop. Force is taken only after a graceful cancel. */
    readonly cancel: (id: Guid, force: boolean) => Effect.Effect<Operation, RequestRefused>
    /** Plans a fault of any kind. It asks every guard that writes nothing, and touches nothing. */
    readonly plan: (request: FaultRequest) => Effect.Effect<PlanPreview, RequestRefused>
    /** How the operation stands now and every change until it has ended. */
    readonly watch: (id: Guid) => Stream.Stream<OperationChange, RequestRefused>
    /**
     * Every cluster with its groups. It answers within a second, from what was last seen where members do not answer.
     */
    readonly clusters: Effect.Effect<ReadonlyArray<ClusterView>>
    /** The live operation, or the residue of an ended one, that holds each partition. */
    readonly holders: Effect.Effect<ReadonlyArray<Operation>, RequestRefused>
    /** What ended operations have left. */
    readonly aftermath: Effect.Effect<Aftermath, RequestRefused>
    /**
     * Records the wish to have partitions recovered without the data they wait for, and has it done where the target
     * can. It never lifts a fence. A partition or a service that is not there has a code of its own.
     */
    readonly recover: (scope: RecoverScope) => Effect.Effect<ReadonlyArray<PartitionRecovery>, RequestRefused>
    /**
     * Why this worker can take no work now, in words for a person; none where it can. It answers within two seconds.
     */
    readonly unready: Effect.Effect<ReadonlyArray<string>>
  }
>()("@inquorate/core/Operations") {}
