/** Every kind of fault over `/v1` and its client: payloads, plans, replays, refusals and the events until the end. */
import { assert, describe, it } from "@effect/vitest"
import type { Operations } from "@inquorate/core/Operations"
import type { FaultRequest } from "@inquorate/core/Request"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Stream from "effect/Stream"
import * as Client from "../src/v1/Client.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import { Control, etcd, fence, layer, postgres } from "./FakeOperations.ts"
import { request } from "./http.ts"

const O = "11111111-1111-4111-8111-111111111111"
const O2 = "22222222-2222-4222-8222-222222222222"
const at = 1_700_000_000_000
const about = { serviceName: "fabric:/lab/kv", partitionId: etcd.partitionId }
const loss = { kind: "PartitionDataLoss", ...about, mode: "PartialDataLoss" } as const
const restart = { kind: "PartitionRestart", ...about, mode: "OnlyActiveSecondaries" } as const
const node = { kind: "NodeTransition", nodeName: "lab-m1", instanceId: nodeInstanceId("lab-m1") } as const
const stop = { ...node, transition: "Stop", duration: 300_000 } as const
const begin = { ...node, transition: "Start" } as const

const served = <A, E>(test: (client: Client.Client, port: number) => Effect.Effect<A, E, Operations | Control>) =>
  Effect.gen(function* () {
    const { port, url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
    const client = yield* Client.make({ endpoint: url }).pipe(Effect.provide(FetchHttpClient.layer))
    return yield* test(client, port)
  }).pipe(Effect.scoped, Effect.provide(layer))

describe("a start", () => {
  it.live("of any kind is stored as it was asked, replayed when repeated, and told from another kind", () =>
    served((client) =>
      Effect.gen(function* () {
        const kinds: ReadonlyArray<FaultRequest> = [
          loss,
          restart,
          stop,
          { kind: "PartitionQuorumLoss", ...about, mode: "AllReplicas", hold: 5 }
        ]
        for (const [index, asked] of kinds.entries()) {
          const id = `${index}1111111-1111-4111-8111-111111111111`
          const first = yield* client.start(id, asked)
          assert.deepStrictEqual(first.operation.request, asked)
          assert.isFalse(first.replayed)
          assert.isTrue((yield* client.start(id, asked)).replayed)
          const other = asked === loss ? restart : loss
          const refused = yield* Effect.flip(client.start(id, other))
          assert(refused._tag === "ApiError")
          assert.strictEqual(refused.code, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
          assert.strictEqual((yield* client.detail(id)).state, "Running")
          yield* client.cancel(id, false)
        }
        assert.deepStrictEqual(
          (yield* client.list()).map(({ operation }) => operation.request),
          kinds
        )
      })
    )
  )

  it.live("of another shape than its type is the caller's own mistake, and is not sent", () =>
    served((client) =>
      Effect.gen(function* () {
        const wrong = {
          kind: "PartitionQuorumLoss",
          ...about,
          mode: "AllReplicas",
          hold: "5s"
        } as unknown as FaultRequest
        for (const call of [client.start(O, wrong), client.plan(wrong)]) {
          const error: unknown = yield* Effect.flip(call as Effect.Effect<unknown, unknown>)
          assert(error instanceof Client.ClientError)
          assert.strictEqual(error.reason, "BadRequest")
          assert.include(error.detail, "hold")
        }
        assert.deepStrictEqual(yield* client.list(), [])
      })
    )
  )

  it.live("of one kind is never taken for one of another", () =>
    served((client, port) =>
      Effect.gen(function* () {
        const quorum = { ...about, mode: "QuorumReplicas", hold: 60_000 }
        for (const [body, field] of [
          [{ ...quorum, kind: "PartitionDataLoss" }, "body.mode"],
          [{ ...quorum, kind: "Bogus" }, 'body.kind: Expected \\"PartitionQuorumLoss\\"'],
          [{ ...quorum, kind: "NodeTransition" }, "body.transition"],
          [{ ...stop, duration: "5" }, "body.duration"],
          [{ ...stop, nodeName: undefined }, "body.nodeName"],
          [{ ...restart, mode: "AllReplicas" }, "body.mode"]
        ] as const) {
          const raw = yield* request(port, "PUT", `/v1/operations/${O}`, {
            headers: ["Content-Type: application/json"],
            body: JSON.stringify(body)
          })
          assert.strictEqual(raw.status, 400, raw.body)
          assert.include(raw.body, field)
        }
        const named = yield* request(port, "PUT", `/v1/operations/${O}`, {
          headers: ["Content-Type: application/json"],
          body: JSON.stringify({ ...quorum, kind: "PartitionQuorumLoss" })
        })
        assert.strictEqual(named.status, 200)
        assert.deepStrictEqual((yield* client.detail(O)).operation.request, {
          kind: "PartitionQuorumLoss",
          ...about,
          mode: "QuorumReplicas",
          hold: 60_000
        })
      })
    )
  )

  it.live("is watched to its end, whatever its kind", () =>
    served((client) =>
      Effect.gen(function* () {
        const { play } = yield* Control
        yield* client.start(O, stop)
        const watching = yield* Effect.forkChild(Stream.runCollect(client.watch(O)))
        yield* play(O, { _tag: "Taken", at })
        yield* play(O, { _tag: "FencesOrdered", at, fences: [fence] })
        yield* play(O, { _tag: "FencesArmed", at })
        const last = (yield* Fiber.join(watching)).at(-1)!
        assert.strictEqual(last.state, "Completed")
        assert.strictEqual(last.operation.stage._tag === "Completed" && last.operation.stage.standing?.fences.length, 1)
      })
    )
  )
})

describe("a plan", () => {
  it.live("is the answer of the worker for every kind: its fences, its notes or its refusal, with nothing stored", () =>
    served((client) =>
      Effect.gen(function* () {
        const members = (asked: FaultRequest) =>
          Effect.map(client.plan(asked), ({ fences, notes, refusal }) => {
            assert.deepStrictEqual(notes, refusal === null ? ["as asked"] : [])
            return refusal === null ? fences.map(({ member }) => member) : refusal._tag
          })
        assert.deepStrictEqual(yield* members({ ...restart, mode: "AllReplicasOrInstances" }), ["m0", "m1", "m2"])
        assert.deepStrictEqual(yield* members(restart), ["m1", "m2"])
        assert.deepStrictEqual(yield* members(stop), ["m1"])
        assert.deepStrictEqual(yield* members(begin), ["m1"])
        assert.strictEqual(yield* members({ ...stop, nodeName: "nowhere" }), "UnknownNode")
        assert.strictEqual(yield* members({ ...stop, instanceId: "1" }), "InstanceMismatch")
        assert.strictEqual(yield* members({ ...loss, serviceName: "fabric:/no/such" }), "UnknownService")
        assert.strictEqual(yield* members({ ...loss, partitionId: postgres.partitionId }), "UnknownPartition")
        assert.deepStrictEqual(yield* client.list(), [])
        yield* client.start(O, restart)
        assert.strictEqual(yield* members(loss), "Busy")
        assert.deepStrictEqual(yield* members(stop), ["m1"])
      })
    )
  )
})

it.live("an error can be caught by its code, and by no other", () =>
  served((client) =>
    Effect.gen(function* () {
      const asked = client.detail(O2).pipe(
        Effect.map(() => "there"),
        Client.catchCode("FABRIC_E_TIMEOUT", () => Effect.succeed("late")),
        Client.catchCode("FABRIC_E_KEY_NOT_FOUND", (error) => {
          const code: "FABRIC_E_KEY_NOT_FOUND" = error.code
          return Effect.succeed(code)
        })
      )
      assert.strictEqual(yield* asked, "FABRIC_E_KEY_NOT_FOUND")
    })
  )
)

it.live("the OpenAPI document has every kind", () =>
  served((_client, port) =>
    Effect.gen(function* () {
      const raw = yield* request(port, "GET", "/v1/openapi.json")
      const schemas = Object.keys(
        (JSON.parse(raw.body) as { readonly components: { readonly schemas: object } }).components.schemas
      )
      assert.includeMembers(schemas, [
        "QuorumLossRequest",
        "DataLossRequest",
        "RestartRequest",
        "NodeStopRequest",
        "NodeStartRequest",
        "PlanPreview",
        "PlannedFence"
      ])
    })
  )
)
