/**
 * The Service Fabric words for an operation: its state, its progress, its line in the operation list. The only file
 * that turns our stages into the wire's states (contract: Fault Analysis Service, api-version 6.0 to 8.2).
 */
import * as Schema from "effect/Schema"
import { hresult } from "./FabricError.ts"
import * as Guid from "./Guid.ts"
import type { Operation, Stage } from "./Operation.ts"
import type { FaultKind, FaultRequest, NodeRequest, PartitionRequest, RequestOf } from "./Request.ts"

/** The state of an operation on the wire. `Invalid` is reserved: no operation is ever in it. */
export const OperationState = Schema.Literals([
  "Invalid",
  "Running",
  "RollingBack",
  "Completed",
  "Faulted",
  "Cancelled",
  "ForceCancelled"
]).annotate({ identifier: "OperationState", title: "The state of an operation" })
export type OperationState = typeof OperationState.Type

/** The kind of an operation on the wire. Start and stop of a node are both `NodeTransition`. */
export const OperationType = Schema.Literals([
  "Invalid",
  "PartitionDataLoss",
  "PartitionQuorumLoss",
  "PartitionRestart",
  "NodeTransition"
]).annotate({ identifier: "OperationType" })
export type OperationType = typeof OperationType.Type

/** The partition that an operation acted on. `PartitionId` is nil where the look-up never finished. */
export class SelectedPartition extends Schema.Opaque<SelectedPartition>()(
  Schema.Struct({ ServiceName: Schema.String, PartitionId: Guid.Guid }).annotate({
    identifier: "SelectedPartition"
  })
) {}

/** The result of a fault on a partition: `ErrorCode` is an HRESULT as a signed 32-bit number, 0 when Completed. */
export class PartitionResult extends Schema.Opaque<PartitionResult>()(
  Schema.Struct({
    ErrorCode: Schema.Int,
    SelectedPartition
  }).annotate({ identifier: "PartitionResult" })
) {}

/** The result of the stop or the start of a node, with the instance id that the caller gave. */
export class NodeTransitionResult extends Schema.Opaque<NodeTransitionResult>()(
  Schema.Struct({
    ErrorCode: Schema.Int,
    NodeResult: Schema.Struct({ NodeName: Schema.String, NodeInstanceId: Schema.String })
  }).annotate({ identifier: "NodeTransitionResult" })
) {}

/** The answer of GetQuorumLossProgress. The result is present only when the state is Completed or Faulted. */
export class PartitionQuorumLossProgress extends Schema.Opaque<PartitionQuorumLossProgress>()(
  Schema.Struct({
    State: OperationState,
    InvokeQuorumLossResult: Schema.optionalKey(PartitionResult)
  }).annotate({ identifier: "PartitionQuorumLossProgress" })
) {}

/** The answer of GetDataLossProgress. The result is present only when the state is Completed or Faulted. */
export class PartitionDataLossProgress extends Schema.Opaque<PartitionDataLossProgress>()(
  Schema.Struct({
    State: OperationState,
    InvokeDataLossResult: Schema.optionalKey(PartitionResult)
  }).annotate({ identifier: "PartitionDataLossProgress" })
) {}

/** The answer of GetPartitionRestartProgress. The result is present only when the state is Completed or Faulted. */
export class PartitionRestartProgress extends Schema.Opaque<PartitionRestartProgress>()(
  Schema.Struct({
    State: OperationState,
    RestartPartitionResult: Schema.optionalKey(PartitionResult)
  }).annotate({ identifier: "PartitionRestartProgress" })
) {}

/** The answer of GetNodeTransitionProgress. The result is present only when the state is Completed or Faulted. */
export class NodeTransitionProgress extends Schema.Opaque<NodeTransitionProgress>()(
  Schema.Struct({
    State: OperationState,
    NodeTransitionResult: Schema.optionalKey(NodeTransitionResult)
  }).annotate({ identifier: "NodeTransitionProgress" })
) {}

/** The answer of any of the four progress calls; the name of the result tells the kind. */
export type FaultProgress = PartitionQuorumLossProgress &
  PartitionDataLossProgress &
  PartitionRestartProgress &
  NodeTransitionProgress

/** One line of GetFaultOperationList. */
export class OperationStatus extends Schema.Opaque<OperationStatus>()(
  Schema.Struct({
    OperationId: Guid.Guid,
    State: OperationState,
    Type: OperationType
  }).annotate({ identifier: "OperationStatus" })
) {}

/** The answer of GetFaultOperationList: a bare array, in the order the operations were received. */
export const OperationStatusList = Schema.Array(OperationStatus)

/** The state that a stage shows: a total projection, never `Invalid`. An undo that will retry still shows Running. */
export const stateOf = (stage: Stage): OperationState => {
  switch (stage._tag) {
    case "Advancing":
      return "Running"
    case "Undoing":
      return stage.reason === "retry" ? "Running" : "RollingBack"
    case "Completed":
      return "Completed"
    case "Failed":
      return stage.reason === "fail" ? "Faulted" : stage.reason === "cancel" ? "Cancelled" : "ForceCancelled"
  }
}

/**
 * The progress of an operation as the call of its own kind answers it (GetQuorumLossProgress, GetDataLossProgress,
 * GetPartitionRestartProgress, GetNodeTransitionProgress): the state, and the result once it is Completed or Faulted.
 */
export const progressOf = (operation: Operation): FaultProgress => {
  const State = stateOf(operation.stage)
  const { request } = operation
  if ((State !== "Completed" && State !== "Faulted") || !isFabricRequest(request)) return { State }
  const ErrorCode = operation.stage._tag === "Failed" ? hresult(operation.stage.error) : 0
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return { State, InvokeQuorumLossResult: partitionResult(operation, request, ErrorCode) }
    case "PartitionDataLoss":
      return { State, InvokeDataLossResult: partitionResult(operation, request, ErrorCode) }
    case "PartitionRestart":
      return { State, RestartPartitionResult: partitionResult(operation, request, ErrorCode) }
    case "NodeTransition":
      return { State, NodeTransitionResult: nodeResult(request, ErrorCode) }
  }
}

/** A request of a kind that Service Fabric has too. */
export type FabricRequest = RequestOf<
  { [Kind in FaultKind]: (typeof types)[Kind] extends "Invalid" ? never : Kind }[FaultKind]
>

/** True for a request of a kind that Service Fabric has too. */
export const isFabricRequest = (request: FaultRequest): request is FabricRequest => {
  const words: Readonly<Record<FaultKind, OperationType>> = types
  return words[request.kind] !== "Invalid"
}

/** The line of an operation in GetFaultOperationList. */
export const statusOf = (operation: Operation): OperationStatus => ({
  OperationId: operation.id,
  State: stateOf(operation.stage),
  Type: types[operation.request.kind]
})

/** The line of an operation that cannot be read: only its type is unknown, for which the wire's word is Invalid. */
export const statusOfUnreadable = ({
  id,
  state
}: {
  readonly id: Guid.Guid
  readonly state: OperationState
}): OperationStatus => ({ OperationId: id, State: state, Type: "Invalid" })

/** The bits of `TypeFilter`; 0 and 65535 mean all. */
export const typeBits: Readonly<Record<Exclude<OperationType, "Invalid">, number>> = {
  PartitionDataLoss: 1,
  PartitionQuorumLoss: 2,
  PartitionRestart: 4,
  NodeTransition: 8
}

/** The bits of `StateFilter`; 0 and 65535 mean all, and there is no 4. */
export const stateBits: Readonly<Record<Exclude<OperationState, "Invalid">, number>> = {
  Running: 1,
  RollingBack: 2,
  Completed: 8,
  Faulted: 16,
  Cancelled: 32,
  ForceCancelled: 64
}

/** True where the filter takes this line; filters go by the public state exactly. */
export const passesFilter = (status: OperationStatus, typeFilter: number, stateFilter: number): boolean =>
  // What nobody can read may be of any type.
  (status.Type === "Invalid" || takes(typeFilter, typeBits[status.Type])) &&
  takes(stateFilter, stateBits[status.State as keyof typeof stateBits])

// --- internal ---

/** The wire's word for each kind of ours; `Invalid` for one that Service Fabric does not have, which has no call there. */
const types = {
  PartitionQuorumLoss: "PartitionQuorumLoss",
  PartitionDataLoss: "PartitionDataLoss",
  PartitionRestart: "PartitionRestart",
  NodeTransition: "NodeTransition"
} as const satisfies Record<FaultKind, OperationType>

const nodeResult = (request: NodeRequest, ErrorCode: number): NodeTransitionResult => ({
  ErrorCode,
  NodeResult: { NodeName: request.nodeName, NodeInstanceId: request.instanceId }
})

const partitionResult = (operation: Operation, request: PartitionRequest, ErrorCode: number): PartitionResult => ({
  ErrorCode,
  SelectedPartition: {
    ServiceName: request.serviceName,
    PartitionId: operation.firstDeadline === null ? Guid.nil : request.partitionId
  }
})

const takes = (filter: number, bit: number): boolean => filter === 0 || (filter & bit) !== 0
