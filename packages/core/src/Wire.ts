/**
 * The Service Fabric words for an operation: its state, its progress, its line in the operation list. The only file
 * that turns our stages into the wire's states (contract: Fault Analysis Service, api-version 6.0 to 8.2).
 */
import * as Schema from "effect/Schema"
import { hresult } from "./FabricError.ts"
import * as Guid from "./Guid.ts"
import type { Operation, Stage } from "./Operation.ts"

/** The state of an operation on the wire. `Invalid` is reserved: no operation is ever in it. */
export const OperationState = Schema.Literals([
  "Invalid",
  "Running",
  "RollingBack",
  "Completed",
  "Faulted",
  "Cancelled",
  "ForceCancelled"
]).annotate({ identifier: "OperationState" })
/** The state of an operation on the wire. */
export type OperationState = typeof OperationState.Type

/** The kind of an operation on the wire. Start and stop of a node are both `NodeTransition`. */
export const OperationType = Schema.Literals([
  "Invalid",
  "PartitionDataLoss",
  "PartitionQuorumLoss",
  "PartitionRestart",
  "NodeTransition"
]).annotate({ identifier: "OperationType" })
/** The kind of an operation on the wire. */
export type OperationType = typeof OperationType.Type

/** The partition that an operation acted on. `PartitionId` is nil where the look-up never finished. */
export const SelectedPartition = Schema.Struct({ ServiceName: Schema.String, PartitionId: Guid.Guid }).annotate({
  identifier: "SelectedPartition"
})
/** The partition that an operation acted on. */
export type SelectedPartition = typeof SelectedPartition.Type

/** The result of a quorum loss: `ErrorCode` is an HRESULT as a signed 32-bit number, 0 when Completed. */
export const InvokeQuorumLossResult = Schema.Struct({
  ErrorCode: Schema.Int,
  SelectedPartition
}).annotate({ identifier: "InvokeQuorumLossResult" })
/** The result of a quorum loss. */
export type InvokeQuorumLossResult = typeof InvokeQuorumLossResult.Type

/** The answer of GetQuorumLossProgress. The result is present only when the state is Completed or Faulted. */
export const PartitionQuorumLossProgress = Schema.Struct({
  State: OperationState,
  InvokeQuorumLossResult: Schema.optionalKey(InvokeQuorumLossResult)
}).annotate({ identifier: "PartitionQuorumLossProgress" })
/** The answer of GetQuorumLossProgress. */
export type PartitionQuorumLossProgress = typeof PartitionQuorumLossProgress.Type

/** One line of GetFaultOperationList. */
export const OperationStatus = Schema.Struct({
  OperationId: Guid.Guid,
  State: OperationState,
  Type: OperationType
}).annotate({ identifier: "OperationStatus" })
/** One line of GetFaultOperationList. */
export type OperationStatus = typeof OperationStatus.Type

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

/** The progress of an operation as GetQuorumLossProgress answers it. */
export const progressOf = (operation: Operation): PartitionQuorumLossProgress => {
  const State = stateOf(operation.stage)
  const ErrorCode = operation.stage._tag === "Failed" ? hresult(operation.stage.error) : 0
  if (State !== "Completed" && State !== "Faulted") return { State }
  return {
    State,
    InvokeQuorumLossResult: {
      ErrorCode,
      SelectedPartition: {
        ServiceName: operation.request.serviceName,
        PartitionId: operation.firstDeadline === null ? Guid.nil : operation.request.partitionId
      }
    }
  }
}

/** The line of an operation in GetFaultOperationList. */
export const statusOf = (operation: Operation): OperationStatus => ({
  OperationId: operation.id,
  State: stateOf(operation.stage),
  Type: "PartitionQuorumLoss"
})

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
  takes(typeFilter, typeBits[status.Type as keyof typeof typeBits]) &&
  takes(stateFilter, stateBits[status.State as keyof typeof stateBits])

// --- internal ---

const takes = (filter: number, bit: number): boolean => filter === 0 || (filter & bit) !== 0
