// Plays an operation from its intent to its end with core's one function, as a user of the published package would.
import * as assert from "node:assert/strict"
import { advance, holdsPartition, make } from "@inquorate/core/Operation"
import { progressOf, stateOf } from "@inquorate/core/Wire"
import * as Guid from "@inquorate/core/Guid"
import * as Result from "effect/Result"

const request = {
  serviceName: "fabric:/orders/quorum",
  partitionId: Guid.forPartition("7312345678901234567", "quorum"),
  mode: "QuorumReplicas",
  hold: 5000,
  kind: "PartitionQuorumLoss"
}
const process_ = { host: "local", pid: 4711, startTime: "100", executable: "/bin/server", dataDirectory: "/data/s1" }
const fences = [{ member: "s1", node: "orders-s1", injector: "pause", grade: "Keeper", process: process_ }]
const events = [
  { _tag: "Taken", at: 1000 },
  { _tag: "FencesOrdered", at: 1100, fences },
  { _tag: "FencesArmed", at: 1200 },
  { _tag: "LossProven", at: 1800, lossBegan: 1210 },
  { _tag: "HoldEnded", at: 6210 },
  { _tag: "FencesLifted", at: 6230 },
  { _tag: "RecoveryProven", at: 6400 }
]

let operation = make("9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001", request, 1000)
for (const event of events) {
  assert.equal(stateOf(operation.stage), "Running")
  assert.ok(holdsPartition(operation))
  operation = Result.getOrThrow(advance(operation, event))
}
assert.deepEqual(progressOf(operation), {
  State: "Completed",
  InvokeQuorumLossResult: {
    ErrorCode: 0,
    SelectedPartition: { ServiceName: request.serviceName, PartitionId: request.partitionId }
  }
})
assert.ok(!holdsPartition(operation))
assert.ok(Result.isFailure(advance(operation, { _tag: "CancelRequested", at: 7000, force: false })))
