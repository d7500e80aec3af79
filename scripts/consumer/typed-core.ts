// Compiled against the published types of core, and never run: it shows what is promised to a program that uses them.
import { advance, type Event, type EventRefused, make, type Operation } from "@inquorate/core/Operation"
import { chooseCut, type Refusal } from "@inquorate/core/Plan"
import type { Member, Topology } from "@inquorate/core/Topology"
import { type OperationState, stateOf } from "@inquorate/core/Wire"
import type * as Result from "effect/Result"

/** An operation moves by events alone, and a refusal is typed. */
export const moved = (operation: Operation, event: Event): Result.Result<Operation, EventRefused> =>
  advance(operation, event)

/** A cut is a list of members or a typed refusal. */
export const cut = (topology: Topology): Result.Result<ReadonlyArray<Member>, Refusal> =>
  chooseCut(topology, "QuorumReplicas")

/** The wire's word for a stage. */
export const state: OperationState = stateOf(
  make(
    "9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001",
    {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/a/b",
      partitionId: "9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001",
      mode: "AllReplicas",
      hold: 0
    },
    0
  ).stage
)

// @ts-expect-error an event of another name is no event
export const wrong = (operation: Operation) => advance(operation, { _tag: "Finished", at: 0 })
