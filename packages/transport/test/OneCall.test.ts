/**
 * Goal: each button of an explorer begins one ordinary operation behind every guard, and what is not allowed is refused
 * in the contract's words. Method: the calls with their bodies, over a world put together by hand and a port that
 * writes down what it is asked for.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Operations, RequestRefused } from "@inquorate/core/Operations"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Faults from "../src/fabric/FabricFaults.ts"
import type { OneCallFault } from "../src/fabric/FabricCall.ts"
import { parse } from "../src/fabric/FabricPath.ts"
import * as Queries from "../src/fabric/FabricQueries.ts"
import * as World from "../src/fabric/FabricWorld.ts"
import { clusterOf, etcd } from "./FakeOperations.ts"
import * as Simulated from "./SimulatedFacts.ts"

const id = "11111111-2222-4333-8444-555555555555"
const other = "22222222-2222-4333-8444-555555555555"

const worldOf = (deactivated: ReadonlyArray<World.Deactivation> = [], maxHold = 900_000) =>
  World.make(
    [Simulated.simulated, clusterOf(etcd, { maxHold })],
    [],
    { stoppedNodes: [], lastLosses: [], deactivated },
    {
      now: Simulated.at,
      version: 6
    }
  )

/** What a call comes to: the operations that it asks for, or the code of its refusal. */
const begin = (target: string, body = "", world = worldOf()) =>
  Effect.gen(function* () {
    const asked: Array<unknown> = []
    const port = {
      start: (id: string, request: unknown, options: unknown) =>
        Effect.sync(() => void asked.push({ id, request, options })),
      cancel: (id: string, force: boolean) => Effect.sync(() => void asked.push({ cancel: id, force }))
    } as unknown as Operations["Service"]
    const call = Result.getOrThrow(parse("POST", `${target}?api-version=6.0`)).call as OneCallFault
    const begun = yield* Effect.result(Faults.begin(port, world, call, { body, newId: id }))
    return Result.isSuccess(begun) ? asked : (begun.failure satisfies RequestRefused).code
  })

const started = (request: unknown) => [{ id, request, options: { guard: true, maxHold: "configured" } }]

const onNode = (nodeName: string) => `/Nodes/${nodeName}/$`
const instanceId = nodeInstanceId("lab-m1")
const replica = World.replicaId(etcd.partitionId, etcd.members[1]!)
const ofReplica = (partition: string, id: string, node: string) =>
  `${onNode(node)}/GetPartitions/${partition}/$/GetReplicas/${id}/$`

describe("a node", () => {
  it.effect("is restarted as it stands, or by the instance that is named", () =>
    Effect.gen(function* () {
      const restart = { kind: "NodeTransition", transition: "Restart", nodeName: "lab-m1" }
      for (const body of ["", "{}", '{"NodeInstanceId":"0"}', '{"NodeInstanceId":0,"CreateFabricDump":"False"}']) {
        assert.deepStrictEqual(yield* begin(`${onNode("lab-m1")}/Restart`, body), started({ ...restart, instanceId }))
      }
      assert.deepStrictEqual(
        yield* begin(`${onNode("lab-m1")}/Restart`, '{"NodeInstanceId":"7"}'),
        started({ ...restart, instanceId: "7" })
      )
      assert.strictEqual(yield* begin(`${onNode("nope")}/Restart`), "FABRIC_E_NODE_NOT_FOUND")
      for (const body of ["{", "[]", '{"NodeInstanceId":{}}']) {
        assert.strictEqual(yield* begin(`${onNode("lab-m1")}/Restart`, body), "E_INVALIDARG", body)
      }
    })
  )

  it.effect("is deactivated for the longest time that its clusters allow, whatever the intent is called", () =>
    Effect.gen(function* () {
      for (const [body, intent] of [
        ['{"DeactivationIntent":1}', "Pause"],
        ['{"DeactivationIntent":"Restart"}', "Restart"],
        ['{"DeactivationIntent":3}', "RemoveData"],
        ['{"DeactivationIntent":"RemoveNode"}', "RemoveNode"]
      ] as const) {
        assert.deepStrictEqual(
          yield* begin(`${onNode("lab-m1")}/Deactivate`, body, worldOf([], 60_000)),
          started({
            kind: "NodeTransition",
            transition: "Stop",
            nodeName: "lab-m1",
            instanceId,
            duration: 60_000,
            intent
          })
        )
      }
      for (const body of ["", "{}", '{"DeactivationIntent":0}', '{"DeactivationIntent":"Sleep"}']) {
        assert.strictEqual(yield* begin(`${onNode("lab-m1")}/Deactivate`, body), "E_INVALIDARG", body)
      }
    })
  )

  it.effect(
    "is activated at once: what is under way is cancelled, what stands is ended, and one that is up is left",
    () =>
      Effect.gen(function* () {
        const of = (until: number | null): World.Deactivation => ({
          nodeName: "_Node_4",
          operationId: other,
          intent: "Restart",
          until
        })
        const activate = `${onNode("_Node_4")}/Activate`
        assert.deepStrictEqual(yield* begin(activate, "", worldOf([of(null)])), [{ cancel: other, force: false }])
        const start = started({
          kind: "NodeTransition",
          transition: "Start",
          nodeName: "_Node_4",
          instanceId: "133000000000000004"
        })
        assert.deepStrictEqual(yield* begin(activate, "", worldOf([of(Simulated.at + 1000)])), start)
        // Down by a stop that nobody called a deactivation: the guard of the start tells whether it was one of ours.
        assert.deepStrictEqual(yield* begin(activate), start)
        assert.deepStrictEqual(yield* begin(`${onNode("lab-m1")}/Activate`), [])
        // Once more is done already.
        assert.deepStrictEqual(
          yield* begin(
            `${onNode("_Node_4")}/Deactivate`,
            '{"DeactivationIntent":3}',
            worldOf([of(Simulated.at + 1000)])
          ),
          []
        )
      })
  )

  it("shows why it is out of service, by whom, and until when", () => {
    const world = worldOf([
      { nodeName: "_Node_4", operationId: other, intent: "Restart", until: Simulated.at + 60_000 },
      { nodeName: "lab-m0", operationId: id, intent: "Pause", until: null },
      // It is up again.
      { nodeName: "lab-m2", operationId: id, intent: "Pause", until: Simulated.at + 60_000 }
    ])
    const node = (name: string) => {
      const answered = Queries.answer(world, { _tag: "GetNode", nodeName: name })
      return JSON.parse(JSON.stringify(answered._tag === "Found" ? answered.value : null)) as Record<string, unknown>
    }
    const info = (name: string) => node(name)["NodeDeactivationInfo"] as Record<string, ReadonlyArray<object>>
    assert.deepStrictEqual([node("_Node_4")["NodeStatus"], node("_Node_4")["IsStopped"]], ["Disabled", false])
    assert.deepStrictEqual(info("_Node_4")["NodeDeactivationTask"], [
      {
        NodeDeactivationTaskId: { Id: other, NodeDeactivationTaskType: "Client" },
        NodeDeactivationIntent: "Restart",
        NodeDeactivationDescription: `The members on the node start by themselves at ${new Date(Simulated.at + 60_000).toISOString()} at the latest; Activate starts them at once.`
      }
    ])
    assert.strictEqual(node("lab-m0")["NodeStatus"], "Disabling")
    assert.strictEqual(node("lab-m2")["NodeStatus"], "Up")
    const listed = (word: "disabled" | "disabling" | "up") => {
      const paging = { after: null, limit: 0 }
      const answered = Queries.answer(world, { _tag: "GetNodeList", filter: word, paging })
      return answered._tag === "Found" ? (answered.value as { Items: ReadonlyArray<object> }).Items.length : -1
    }
    assert.deepStrictEqual([listed("disabled"), listed("disabling"), listed("up")], [1, 1, 6])
  })
})

describe("a replica", () => {
  const about = { serviceName: "fabric:/lab/kv", partitionId: etcd.partitionId, member: "m1" }

  it.effect("is restarted or removed, and no other", () =>
    Effect.gen(function* () {
      const path = ofReplica(etcd.partitionId, replica, "lab-m1")
      assert.deepStrictEqual(
        yield* begin(`${path}/Restart`),
        started({ kind: "PartitionRestart", ...about, mode: "AllReplicasOrInstances" })
      )
      assert.deepStrictEqual(
        yield* begin(`${path}/Delete`),
        started({ kind: "PartitionDataLoss", ...about, mode: "PartialDataLoss" })
      )
    })
  )

  it.effect("that is not there, or cannot be restarted, is told in the contract's words", () =>
    Effect.gen(function* () {
      const lost = Simulated.lost.partitionId
      const nil = "00000000-0000-0000-0000-000000000000"
      for (const [path, code] of [
        [ofReplica(etcd.partitionId, replica, "nope"), "FABRIC_E_NODE_NOT_FOUND"],
        [ofReplica(nil, replica, "lab-m1"), "FABRIC_E_PARTITION_NOT_FOUND"],
        [ofReplica(etcd.partitionId, replica, "lab-m2"), "FABRIC_E_REPLICA_DOES_NOT_EXIST"],
        [ofReplica(etcd.partitionId, "77", "lab-m1"), "FABRIC_E_REPLICA_DOES_NOT_EXIST"],
        [ofReplica(lost, "10", "_Node_1"), "FABRIC_E_INVALID_REPLICA_STATE"],
        [ofReplica(Simulated.named[0]!.partitionId, "10", "_Node_0"), "FABRIC_E_INVALID_REPLICA_OPERATION"],
        [ofReplica(Simulated.stateless.partitionId, "10", "_Node_0"), "FABRIC_E_INVALID_REPLICA_OPERATION"]
      ] as const) {
        assert.strictEqual(yield* begin(`${path}/Restart`), code, path)
      }
      // An instance of a stateless service is removed all the same.
      assert.isArray(yield* begin(`${ofReplica(Simulated.stateless.partitionId, "10", "_Node_0")}/Delete`))
    })
  )
})
