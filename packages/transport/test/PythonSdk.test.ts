/** Microsoft's own Python client, as Debian packages it, against our server: what it makes of our answers. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@inquorate/core/Operation"
import { Operations } from "@inquorate/core/Operations"
import type { FaultRequest } from "@inquorate/core/Request"
import * as Effect from "effect/Effect"
import { execFile, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as NodeServer from "../src/server/NodeServer.ts"
import { Control, etcd, fence, finish, hold, layer } from "./FakeOperations.ts"

const python = "/usr/bin/python3"
const script = fileURLToPath(new URL("sdk_walk.py", import.meta.url))
const missing = spawnSync(python, ["-c", "import azure.servicefabric"]).status !== 0

const O = "11111111-1111-4111-8111-111111111111"
const O2 = "22222222-2222-4222-8222-222222222222"

const walk = (url: string, stage: string, operation = O): Effect.Effect<Record<string, unknown>> =>
  Effect.callback((resume) => {
    const child = execFile(
      python,
      [script, url, stage, "lab~kv", etcd.partitionId, operation],
      { timeout: 50_000 },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(JSON.parse(stdout)) : Effect.die(`${error.message}\n${stderr}`))
    )
    return Effect.sync(() => child.kill())
  })

describe.skipIf(missing)("the Python client (azure.servicefabric 8.2)", () => {
  it.live("walks start, progress, list, browse, cancel", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      assert.deepStrictEqual(yield* walk(url, "begin"), {
        unknown: ["FABRIC_E_KEY_NOT_FOUND", 404, "FabricError"],
        badMode: ["E_INVALIDARG", 400, "FabricError"],
        badDuration: ["E_INVALIDARG", 400, "FabricError"],
        start: null,
        again: ["FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS", 409, "FabricError"],
        progress: { state: "Running", result: null },
        progressBySlash: { state: "Running", result: null },
        forceFirst: ["FABRIC_E_INVALID_TEST_COMMAND_STATE", 400, "FabricError"],
        operations: [[O, "Running", "PartitionQuorumLoss"]],
        filteredOut: []
      })
      yield* hold(O, 1_700_000_000_000)
      const seen = yield* walk(url, "browse")
      const nodes = seen["nodes"] as ReadonlyArray<string>
      assert.sameMembers(
        [...nodes],
        etcd.members.map((member) => member.node).concat(["orders-p", "orders-s1", "orders-s2"])
      )
      const replicas = seen["replicas"] as ReadonlyArray<ReadonlyArray<string>>
      assert.deepStrictEqual(
        replicas.map(([type, , , status]) => [type, status]),
        [
          ["StatefulServiceReplicaInfo", "Ready"],
          ["StatefulServiceReplicaInfo", "Ready"],
          ["StatefulServiceReplicaInfo", "Ready"]
        ]
      )
      assert.sameMembers(
        replicas.map((replica) => replica[4]!),
        etcd.members.map((member) => member.node)
      )
      const { nodePages, nodes: _nodes, replicas: _replicas, statistics, ...rest } = seen
      assert.deepStrictEqual(nodePages, nodes)
      assert.deepStrictEqual((statistics as ReadonlyArray<ReadonlyArray<unknown>>)[0], ["Node", 5])
      const held = [
        "StatefulServicePartitionInfo",
        etcd.partitionId,
        "SingletonPartitionInformation",
        "InQuorumLoss",
        "Error",
        3,
        2,
        true,
        "1"
      ]
      assert.deepStrictEqual(rest, {
        version: "8.2.0.0",
        manifest: true,
        health: ["Error", 6, 3],
        node: ["Up", "Ok", true, true],
        noNode: null,
        application: ["lab", "fabric:/lab", "Ready", "etcd"],
        sameApplication: "fabric:/lab",
        noApplication: null,
        services: [["StatefulServiceInfo", "lab~kv", "fabric:/lab/kv", true]],
        service: "StatefulServiceInfo",
        description: ["StatefulServiceDescription", "fabric:/lab/kv", "SingletonPartitionSchemeDescription", 3, 2],
        applicationName: "fabric:/lab",
        partitions: [held],
        partition: ["StatefulServicePartitionInfo", "InQuorumLoss"],
        noPartition: null,
        serviceName: ["lab~kv", "fabric:/lab/kv"],
        replica: true,
        noService: ["FABRIC_E_SERVICE_DOES_NOT_EXIST", 404, "FabricError"],
        noReplicas: ["FABRIC_E_PARTITION_NOT_FOUND", 404, "FabricError"]
      })
      yield* finish(O, 1_700_000_060_000)
      assert.deepStrictEqual(yield* walk(url, "end"), {
        progress: { state: "Completed", result: [0, "fabric:/lab/kv", etcd.partitionId] },
        operations: [[O, "Completed", "PartitionQuorumLoss"]],
        partitions: [[...held.slice(0, 3), "Ready", "Ok", ...held.slice(5)]],
        cancel: ["FABRIC_E_KEY_NOT_FOUND", 404, "FabricError"]
      })
      assert.deepStrictEqual(yield* walk(url, "cancel", O2), {
        start: null,
        cancel: null,
        progress: { state: "Cancelled", result: null },
        operations: [[O2, "Cancelled", "PartitionQuorumLoss"]]
      })
      const stored = yield* Effect.flatMap(Operations, (operations) => operations.get(O2))
      assert.deepStrictEqual(stored.request, {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/lab/kv",
        partitionId: etcd.partitionId,
        mode: "QuorumReplicas",
        hold: 60_000
      })
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("walks data loss, restart, node transition and the recover calls", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      const progress = (state: string) => [
        ["PartitionDataLossProgress", state],
        ["PartitionRestartProgress", state],
        ["NodeTransitionProgress", state]
      ]
      const ids = ["3", "4", "5"].map((digit) => O.slice(0, -1) + digit)
      const types = ["PartitionDataLoss", "PartitionRestart", "NodeTransition"]
      assert.deepStrictEqual(yield* walk(url, "faults"), {
        starts: [null, null, null],
        again: ["FABRIC_E_NODE_TRANSITION_IN_PROGRESS", 400, "FabricError"],
        progress: progress("Running"),
        wrong: ["FABRIC_E_KEY_NOT_FOUND", 404, "FabricError"],
        cancels: [null, null, null],
        cancelled: progress("Cancelled"),
        operations: ids.map((id, index) => [id, "Cancelled", types[index]]),
        recovered: [null, null, null, null]
      })
      const { start } = yield* Operations
      const { play } = yield* Control
      const about = { serviceName: "fabric:/lab/kv", partitionId: etcd.partitionId }
      const at = 1_700_000_000_000
      const begun: ReadonlyArray<Event> = [
        { _tag: "Taken", at },
        { _tag: "FencesOrdered", at, fences: [fence] }
      ]
      const fresh = O2.slice(0, -1)
      const kinds: ReadonlyArray<readonly [FaultRequest, ReadonlyArray<Event>]> = [
        [
          { kind: "PartitionDataLoss", ...about, mode: "FullDataLoss" },
          [
            { _tag: "DataDestroyed", at },
            { _tag: "RecoveryProven", at }
          ]
        ],
        [
          { kind: "PartitionRestart", ...about, mode: "AllReplicasOrInstances" },
          [{ _tag: "StepFailed", at, error: "FABRIC_E_INVALID_OPERATION", retryable: false }]
        ],
        [
          { kind: "NodeTransition", transition: "Stop", nodeName: "lab-m1", instanceId: "7", duration: 300_000 },
          [{ _tag: "FencesArmed", at }]
        ]
      ]
      for (const [index, [request, events]] of kinds.entries()) {
        const id = `${fresh}${index + 3}`
        yield* start(id, request, { guard: false, maxHold: "configured" })
        for (const event of [...begun, ...events]) yield* play(id, event)
      }
      yield* play(`${fresh}4`, { _tag: "FencesLifted", at })
      yield* play(`${fresh}4`, { _tag: "UndoEnded", at, clean: true })
      assert.deepStrictEqual((yield* walk(url, "results", O2)) as unknown, [
        [0, "fabric:/lab/kv", etcd.partitionId],
        [-2147017731, "fabric:/lab/kv", etcd.partitionId],
        [0, "lab-m1", true]
      ])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
