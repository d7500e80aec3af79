/**
 * What `/v1` says besides operations: nodes, health, recovery and chaos, over a real port with the typed client, beside the
 * same facts on the Service Fabric surface.
 */
import { assert, describe, it } from "@effect/vitest"
import { defaultParameters } from "@inquorate/core/Chaos"
import * as Guid from "@inquorate/core/Guid"
import { Operations, RequestRefused, type UnreadableOperation } from "@inquorate/core/Operations"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import * as Client from "../src/v1/Client.ts"
import * as FakeChaos from "./FakeChaos.ts"
import { Control, etcd, hold, layer, postgres } from "./FakeOperations.ts"
import { request } from "./http.ts"

const O = "11111111-1111-4111-8111-111111111111"
const serviceName = "fabric:/lab/kv"
const { partitionId } = etcd

const serving = Effect.gen(function* () {
  const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
  const endpoint = `http://127.0.0.1:${port}`
  const client = yield* Client.make({ endpoint }).pipe(Effect.provide(FetchHttpClient.layer))
  const fabric = yield* FabricClient.make({ endpoint }).pipe(Effect.provide(FetchHttpClient.layer))
  return { client, fabric, port }
})

type Served = Effect.Success<typeof serving>

const served = <A, E>(
  test: (worker: Served) => Effect.Effect<A, E, Operations | Control | FakeChaos.ChaosControl | Scope.Scope>
) => Effect.flatMap(serving, test).pipe(Effect.scoped, Effect.provide(Layer.merge(layer, FakeChaos.layer)))

const codeOf = <A>(
  call: Effect.Effect<
    A,
    Client.ClientError | { readonly _tag: "ApiError"; readonly code: string; readonly status: number }
  >
) =>
  Effect.map(Effect.flip(call), (error) => (error._tag === "ApiError" ? `${error.status} ${error.code}` : error.reason))

const errorOf = (raw: { readonly body: string }): string =>
  (JSON.parse(raw.body) as { readonly Error: { readonly Message: string } }).Error.Message

describe("nodes", () => {
  it.live("are those of the other surface, with the instance that a stop has to name", () =>
    served(({ client, fabric }) =>
      Effect.gen(function* () {
        const [ours, theirs] = [yield* client.nodes, yield* fabric.getNodes]
        assert.deepStrictEqual(
          ours.map(({ address, health, instanceId, name, status, stopped }) => [
            name,
            instanceId,
            status,
            health,
            stopped,
            address
          ]),
          theirs.map((one) => [
            one.Name,
            one.InstanceId,
            one.NodeStatus,
            one.HealthState,
            one.IsStopped,
            one.IpAddressOrFQDN
          ])
        )
        assert.isAtLeast(ours.length, 6)
        const down = yield* client.node("orders-s2")
        assert.deepStrictEqual([down.status, down.health, down.stopped], ["Down", "Error", false])
        const { InstanceId, NodeDownAt } = (yield* fabric.getNode("orders-s2"))!
        assert.deepStrictEqual([down.instanceId, down.since], [InstanceId, NodeDownAt])
        const { name, instanceId } = yield* client.node("lab-m1")
        const stop = {
          kind: "NodeTransition",
          transition: "Stop",
          nodeName: name,
          instanceId,
          duration: 60_000
        } as const
        assert.strictEqual((yield* client.start(O, stop)).replayed, false)
        assert.strictEqual(instanceId, nodeInstanceId("lab-m1"))
        assert.strictEqual(yield* codeOf(client.node("no/where?")), "404 FABRIC_E_NODE_NOT_FOUND")
      })
    )
  )
})

describe("health", () => {
  it.live("is as bad as the worst below it, and says which that is, in the other surface's words", () =>
    served(({ client, fabric }) =>
      Effect.gen(function* () {
        const whole = yield* client.health()
        assert.deepStrictEqual([whole.kind, whole.name, whole.state], ["Cluster", "", "Error"])
        assert.deepInclude(whole.below, { kind: "Node", name: "orders-s2", state: "Error" })
        assert.deepInclude(whole.below, { kind: "Application", name: "fabric:/lab", state: "Ok" })
        yield* client.start(O, {
          kind: "PartitionQuorumLoss",
          serviceName,
          partitionId,
          mode: "QuorumReplicas",
          hold: 60_000
        })
        yield* hold(O, Date.now() - 5000)
        const lost = yield* client.health({ partition: partitionId })
        assert.deepStrictEqual(
          [lost.kind, lost.name, lost.state, lost.below.length],
          ["Partition", partitionId, "Error", 3]
        )
        assert.deepStrictEqual(
          lost.reports.map(({ description, property, source, state }) => [source, property, state, description]),
          [["System.FM", "State", "Error", "Partition is in quorum loss."]]
        )
        const theirs = yield* fabric.getPartitionHealth(partitionId)
        assert.strictEqual(lost.reports[0]?.since, theirs.HealthEvents?.[0]?.SourceUtcTimestamp)
        for (const [subject, kind] of [
          [{ application: "lab" }, "Service"],
          [{ service: "lab/kv" }, "Partition"],
          [{ service: serviceName }, "Partition"],
          [{ node: "lab-m1" }, undefined]
        ] as const) {
          const { below, state } = yield* client.health(subject)
          assert.deepStrictEqual([state, below[0]?.kind], [kind === undefined ? "Ok" : "Error", kind])
        }
      })
    )
  )

  it.live("of what is not there is 404, and of two things at once 400", () =>
    served(({ client, port }) =>
      Effect.gen(function* () {
        for (const subject of [{ node: "x" }, { application: "x" }, { service: "x/y" }, { partition: Guid.nil }]) {
          assert.strictEqual(yield* codeOf(client.health(subject)), "404 FABRIC_E_HEALTH_ENTITY_NOT_FOUND")
        }
        assert.strictEqual(yield* codeOf(client.health({ node: "lab-m0", service: "lab/kv" })), "400 E_INVALIDARG")
        const raw = yield* request(port, "GET", "/v1/health?partition=kv")
        assert.strictEqual(raw.status, 400)
        assert.include(raw.body, "query.partition")
      })
    )
  )
})

describe("recovery", () => {
  it.live("takes every scope, and says of each partition whether there was anything to do", () =>
    served(({ client, port }) =>
      Effect.gen(function* () {
        const one = yield* client.recover({ scope: "Partition", partitionId })
        assert.deepStrictEqual(one, [{ serviceName, partitionId, system: "etcd", recovery: "ByItself" }])
        assert.lengthOf(yield* client.recover({ scope: "Service", serviceName: "lab/kv" }), 1)
        assert.lengthOf(yield* client.recover({ scope: "System" }), 0)
        assert.lengthOf(yield* client.recover({ scope: "All" }), 2)
        assert.deepStrictEqual(yield* (yield* Control).recovered, [
          { _tag: "Partition", partitionId },
          { _tag: "Service", serviceName },
          { _tag: "System" },
          { _tag: "All" }
        ])
        assert.strictEqual(
          yield* codeOf(client.recover({ scope: "Partition", partitionId: Guid.nil })),
          "404 FABRIC_E_PARTITION_NOT_FOUND"
        )
        assert.strictEqual(
          yield* codeOf(client.recover({ scope: "Service", serviceName: "fabric:/no/such" })),
          "404 FABRIC_E_SERVICE_DOES_NOT_EXIST"
        )
        const raw = yield* request(port, "POST", "/v1/recover", {
          headers: ["Content-Type: application/json"],
          body: '{"scope":"Everything"}'
        })
        assert.strictEqual(raw.status, 400)
        assert.include(errorOf(raw), 'body: Expected a "scope" of "Partition" with its "partitionId"')
      })
    )
  )
})

describe("chaos", () => {
  const told = (n: number) => ({
    Kind: "Waiting" as const,
    TimeStampUtc: `2026-01-01T00:00:0${n}.000Z`,
    Reason: `r${n}`
  })

  it.live("starts with what was asked, is one with the other surface, and stops", () =>
    served(({ client, fabric }) =>
      Effect.gen(function* () {
        const before = yield* client.chaos.get
        assert.deepStrictEqual(before, { status: "Invalid", scheduleStatus: "Stopped", parameters: defaultParameters })
        const started = yield* client.chaos.start({ TimeToRunInSeconds: "600", MaxConcurrentFaults: 2 })
        assert.strictEqual(started.status, "Running")
        assert.strictEqual(started.parameters.MaxConcurrentFaults, 2)
        assert.deepStrictEqual(yield* client.chaos.get, { ...(yield* fabric.getChaos) })
        assert.strictEqual(yield* codeOf(client.chaos.start({})), "409 FABRIC_E_CHAOS_ALREADY_RUNNING")
        assert.include(
          (yield* client.chaos.events()).events.map(({ Kind }) => Kind),
          "Started"
        )
        yield* client.chaos.stop
        yield* client.chaos.stop
      })
    )
  )

  it.live("is asked by the rules of the other surface", () =>
    served(({ client }) =>
      Effect.gen(function* () {
        const start = (asked: Parameters<typeof client.chaos.start>[0]) => codeOf(client.chaos.start(asked))
        assert.strictEqual(yield* start({ TimeToRunInSeconds: "soon" }), "400 E_INVALIDARG")
        assert.strictEqual(yield* start({ ChaosTargetFilter: {} }), "400 E_INVALIDARG")
        assert.strictEqual(
          yield* start({ ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/nowhere"] } }),
          "400 E_INVALIDARG"
        )
        // Refused before it is sent, where a type would have said no.
        assert.strictEqual(yield* start({ MaxConcurrentFaults: -1 }), "BadRequest")
        assert.strictEqual((yield* client.chaos.get).status, "Invalid")
      })
    )
  )

  it.live("tells its events in pages and between two moments", () =>
    served(({ client }) =>
      Effect.gen(function* () {
        yield* (yield* FakeChaos.ChaosControl).tell([1, 2, 3, 4, 5].map(told))
        const first = yield* client.chaos.events({ limit: 2 })
        assert.deepStrictEqual(first, { events: [told(1), told(2)], next: 2 })
        const second = yield* client.chaos.events({ limit: 2, after: first.next! })
        assert.deepStrictEqual(second, { events: [told(3), told(4)], next: 4 })
        assert.deepStrictEqual(yield* client.chaos.events({ after: 4 }), { events: [told(5)], next: null })
        const between = yield* client.chaos.events({ from: told(2).TimeStampUtc, to: told(3).TimeStampUtc })
        assert.deepStrictEqual(between, { events: [told(2), told(3)], next: null })
        assert.strictEqual(yield* codeOf(client.chaos.events({ from: "yesterday" })), "400 E_INVALIDARG")
      })
    )
  )

  it.live("takes the schedule that it told, once", () =>
    served(({ client, fabric }) =>
      Effect.gen(function* () {
        const read = yield* client.chaos.schedule
        const set = yield* client.chaos.setSchedule(read)
        assert.strictEqual(set.Version, read.Version + 1)
        assert.deepStrictEqual(yield* fabric.getChaosSchedule, set)
        assert.strictEqual(yield* codeOf(client.chaos.setSchedule(read)), "400 E_INVALIDARG")
      })
    )
  )

  it.live("is refused by a worker that has none", () =>
    Effect.gen(function* () {
      const { client } = yield* serving
      for (const call of [client.chaos.get, client.chaos.start({}), client.chaos.stop, client.chaos.schedule]) {
        assert.strictEqual(
          yield* codeOf(call as typeof client.chaos.get),
          "400 FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED"
        )
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})

it.live("postgres has members on its nodes", () =>
  served(({ client }) =>
    Effect.map(client.nodes, (all) =>
      assert.includeMembers(
        all.map(({ name }) => name),
        postgres.members.map(({ node }) => node)
      )
    )
  )
)

describe("a list", () => {
  const listed = (unreadable: Operations["Service"]["unreadable"]) =>
    Effect.gen(function* () {
      const operations = yield* Operations
      const { client } = yield* Effect.provideService(serving, Operations, { ...operations, unreadable })
      return (yield* client.listing(5)).unreadableCount
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layer, FakeChaos.layer)))

  it.live("says how many operations it leaves out, where the store knows", () =>
    Effect.gen(function* () {
      const one: UnreadableOperation = { id: O, state: "Running", problem: "it is of a newer worker" }
      const away = new RequestRefused({ code: "FABRIC_E_GATEWAY_NOT_REACHABLE", detail: "", refusal: null })
      assert.strictEqual(yield* listed(Effect.succeed([])), 0)
      assert.strictEqual(yield* listed(Effect.succeed([one, one])), 2)
      assert.strictEqual(yield* listed(Effect.fail(away)), undefined)
    })
  )
})

describe("who answered", () => {
  it.live("is told by every answer of a worker, refusals too, and by none of the other surface", () =>
    served(({ port }) =>
      Effect.gen(function* () {
        for (const [target, headers = []] of [
          ["/v1/clusters"],
          ["/v1/no/such"],
          ["/v1/nodes/x"],
          ["/healthz"],
          ["/v1/clusters", ["Origin: http://evil.example"]],
          ["/v1/clusters", ["Host: evil.example"]]
        ] as const) {
          const raw = yield* request(port, "GET", target, { headers: [...headers] })
          assert.strictEqual(raw.headers["inquorate-api"], "1", `${target} ${raw.status}`)
        }
        assert.notProperty((yield* request(port, "GET", "/Nodes?api-version=6.0")).headers, "inquorate-api")
      })
    )
  )

  it.live("is known to the client: what says no, or nonsense, without it is no worker", () =>
    Effect.gen(function* () {
      const at = (status: number, body: string, headers: Readonly<Record<string, string>> = {}) =>
        Client.make({ endpoint: "http://gateway" }).pipe(
          Effect.provideService(
            HttpClient.HttpClient,
            HttpClient.make((asked) =>
              Effect.succeed(
                HttpClientResponse.fromWeb(
                  asked,
                  new Response(body, { status, headers: { "content-type": "application/json", ...headers } })
                )
              )
            )
          )
        )
      const no = '{"Error":{"Code":"E_INVALIDARG","Message":"no"}}'
      const own = { "inquorate-api": "1" }
      const gateway = yield* at(400, no)
      for (const call of [
        gateway.nodes,
        gateway.start(O, { kind: "PartitionRestart", serviceName, partitionId, mode: "AllReplicasOrInstances" }),
        gateway.cancel(O, false),
        Stream.runDrain(gateway.watch(O))
      ]) {
        assert.strictEqual(yield* codeOf(call as Effect.Effect<unknown, Client.ClientError>), "NotAWorker")
      }
      assert.strictEqual(yield* codeOf((yield* at(200, '{"hello":1}')).nodes), "NotAWorker")
      assert.strictEqual(yield* codeOf((yield* at(200, '{"hello":1}', own)).nodes), "BadAnswer")
      assert.strictEqual(yield* codeOf((yield* at(404, no, own)).nodes), "404 E_INVALIDARG")
      // Whoever stands before a worker may take the header from what is understood.
      assert.deepStrictEqual(yield* (yield* at(200, "[]")).nodes, [])
      for (const told of [{}, { "inquorate-unreadable": "" }, { "inquorate-unreadable": "-1" }]) {
        assert.deepStrictEqual(yield* (yield* at(200, "[]", told)).listing(), {
          operations: [],
          unreadableCount: undefined
        })
      }
    })
  )
})
