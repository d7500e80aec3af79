/**
 * The client of the Service Fabric surface: every fault call against our server, the request lines that the official
 * command line sends, the answers of a gateway that leaves things out, and what happens to a request nobody waits for.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Operations } from "@inquorate/core/Operations"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import { Control, etcd, fence, layer } from "./FakeOperations.ts"

const O = "11111111-1111-4111-8111-111111111111"
const O2 = "22222222-2222-4222-8222-222222222222"
const at = 1_700_000_000_000
const partition = { serviceId: "lab~kv", partitionId: etcd.partitionId, operationId: O }
const transition = { nodeName: "lab-m1", operationId: O2, instanceId: nodeInstanceId("lab-m1") }

const clientOf = (endpoint: string) => FabricClient.make({ endpoint }).pipe(Effect.provide(FetchHttpClient.layer))

const served = <A, E>(test: (client: FabricClient.FabricClient) => Effect.Effect<A, E, Operations | Control>) =>
  Effect.gen(function* () {
    const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
    return yield* test(yield* clientOf(url))
  }).pipe(Effect.scoped, Effect.provide(layer))

/** A gateway that answers by a function; every request line is kept. */
const gateway = (answer: (line: string, response: Http.ServerResponse, request: Http.IncomingMessage) => void) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const server = yield* Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const made = Http.createServer((request, response) => {
          const line = `${request.method} ${request.url}`
          lines.push(line)
          answer(line, response, request)
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) =>
        Effect.callback<void>((resume) => {
          made.close(() => resume(Effect.void))
          made.closeAllConnections()
        })
    )
    const client = yield* clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    return { client, lines }
  })

const json = (response: Http.ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value))
}

describe("against our server", () => {
  it.live("starts every kind, asks after it, and lists it by its type", () =>
    served((client) =>
      Effect.gen(function* () {
        yield* client.startDataLoss({ ...partition, mode: "FullDataLoss" })
        assert.deepStrictEqual(yield* client.getDataLossProgress(partition), { State: "Running" })
        yield* client.cancelOperation(O, false)
        assert.deepStrictEqual(yield* client.getProgress({ ...partition, kind: "PartitionDataLoss" }), {
          State: "Cancelled"
        })
        const restart = { ...partition, operationId: "33333333-3333-4333-8333-333333333333" }
        yield* client.startPartitionRestart({ ...restart, mode: "AllReplicasOrInstances" })
        assert.deepStrictEqual(yield* client.getPartitionRestartProgress(restart), { State: "Running" })
        yield* client.startNodeTransition({ ...transition, transition: "Stop", durationSeconds: 300 })
        assert.deepStrictEqual(yield* client.getNodeTransitionProgress(transition), { State: "Running" })
        assert.deepStrictEqual(
          (yield* client.getFaultOperationList()).map(({ State, Type }) => [Type, State]),
          [
            ["PartitionDataLoss", "Cancelled"],
            ["PartitionRestart", "Running"],
            ["NodeTransition", "Running"]
          ]
        )
        assert.strictEqual((yield* client.getFaultOperationList({ typeFilter: 4 })).length, 1)
        const recover = (scope: FabricClient.Recover) => client.recover(scope)
        yield* recover({ partitionId: etcd.partitionId })
        yield* recover({ serviceId: "lab~kv" })
        yield* recover("SystemPartitions")
        yield* recover("AllPartitions")
        assert.deepStrictEqual(
          (yield* Effect.flatMap(Control, ({ recovered }) => recovered)).map(({ _tag }) => _tag),
          ["Partition", "Service", "System", "All"]
        )
      })
    )
  )

  it.live("an error is caught by its code", () =>
    served((client) =>
      Effect.gen(function* () {
        const asked = client.getQuorumLossProgress(partition).pipe(
          Effect.map(({ State }) => String(State)),
          Effect.catchTag("FABRIC_E_KEY_NOT_FOUND", (error) => Effect.succeed(`${error.code} ${error.status}`))
        )
        assert.strictEqual(yield* asked, "FABRIC_E_KEY_NOT_FOUND 404")
        const refused = yield* Effect.flip(
          client.startNodeTransition({ ...transition, transition: "Stop", durationSeconds: 5 })
        )
        assert.strictEqual(refused._tag, "FABRIC_E_INVALID_DURATION")
        assert.include(refused.message, "300")
      })
    )
  )

  it.live("progress is a stream of its states until the end, with the result last", () =>
    served((client) =>
      Effect.gen(function* () {
        const { play } = yield* Control
        yield* client.startNodeTransition({ ...transition, transition: "Stop", durationSeconds: 300 })
        const seen = yield* Deferred.make<void>()
        const watching = yield* Effect.forkChild(
          client.watchProgress({ ...transition, kind: "NodeTransition" }, { interval: "20 millis" }).pipe(
            Stream.tap(() => Effect.sync(() => Deferred.doneUnsafe(seen, Exit.void))),
            Stream.runCollect
          )
        )
        yield* Deferred.await(seen)
        yield* play(O2, { _tag: "Taken", at })
        yield* play(O2, { _tag: "FencesOrdered", at, fences: [fence] })
        yield* play(O2, { _tag: "FencesArmed", at })
        const states = yield* Fiber.join(watching)
        assert.deepStrictEqual(
          [...states],
          [
            { State: "Running" },
            {
              State: "Completed",
              NodeTransitionResult: {
                ErrorCode: 0,
                NodeResult: { NodeName: "lab-m1", NodeInstanceId: transition.instanceId }
              }
            }
          ]
        )
        const wrong = yield* Effect.flip(
          Stream.runDrain(client.watchProgress({ ...partition, operationId: O2, kind: "PartitionRestart" }))
        )
        assert.strictEqual(wrong._tag, "FABRIC_E_KEY_NOT_FOUND")
      })
    )
  )
})

describe("against any gateway", () => {
  it.live("puts on the wire what the official command line does", () =>
    Effect.gen(function* () {
      const { client, lines } = yield* gateway((line, response) => {
        if (line.startsWith("POST")) response.writeHead(line.includes("/Start") ? 202 : 200).end()
        else json(response, 200, line.includes("/Faults/?") ? [] : { State: "Running" })
      })
      yield* client.startQuorumLoss({ ...partition, mode: "QuorumReplicas", durationSeconds: 2 })
      yield* client.getQuorumLossProgress({ ...partition, serviceId: "lab/kv" })
      yield* client.startDataLoss({ ...partition, mode: "PartialDataLoss" })
      yield* client.getDataLossProgress(partition)
      yield* client.startPartitionRestart({ ...partition, mode: "OnlyActiveSecondaries" })
      yield* client.getPartitionRestartProgress(partition)
      yield* client.startNodeTransition({
        nodeName: "n0",
        operationId: O,
        instanceId: "132",
        transition: "Stop",
        durationSeconds: 600
      })
      yield* client.getNodeTransitionProgress({ nodeName: "n0", operationId: O })
      yield* client.getFaultOperationList()
      yield* client.getFaultOperationList({ typeFilter: 2, stateFilter: 8 })
      yield* client.cancelOperation(O, false)
      yield* client.cancelOperation(O, true)
      yield* client.recover({ partitionId: etcd.partitionId })
      yield* client.recover({ serviceId: "S" })
      yield* client.recover("AllPartitions")
      const P = etcd.partitionId
      const of = (service: string, call: string) => `/Faults/Services/${service}/$/GetPartitions/${P}/$/${call}`
      const query = `?api-version=6.0&OperationId=${O}`
      assert.deepStrictEqual(lines, [
        `POST ${of("lab~kv", "StartQuorumLoss")}${query}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=2&timeout=60`,
        `GET ${of("lab/kv", "GetQuorumLossProgress")}${query}&timeout=60`,
        `POST ${of("lab~kv", "StartDataLoss")}${query}&DataLossMode=PartialDataLoss&timeout=60`,
        `GET ${of("lab~kv", "GetDataLossProgress")}${query}&timeout=60`,
        `POST ${of("lab~kv", "StartRestart")}${query}&RestartPartitionMode=OnlyActiveSecondaries&timeout=60`,
        `GET ${of("lab~kv", "GetRestartProgress")}${query}&timeout=60`,
        `POST /Faults/Nodes/n0/$/StartTransition/${query}&NodeTransitionType=Stop&NodeInstanceId=132&StopDurationInSeconds=600&timeout=60`,
        `GET /Faults/Nodes/n0/$/GetTransitionProgress${query}&timeout=60`,
        "GET /Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535&timeout=60",
        "GET /Faults/?api-version=6.0&TypeFilter=2&StateFilter=8&timeout=60",
        `POST /Faults/$/Cancel${query}&Force=false&timeout=60`,
        `POST /Faults/$/Cancel${query}&Force=true&timeout=60`,
        `POST /Partitions/${P}/$/Recover?api-version=6.0&timeout=60`,
        "POST /Services/$/S/$/GetPartitions/$/Recover?api-version=6.0&timeout=60",
        "POST /$/RecoverAllPartitions?api-version=6.0&timeout=60"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("reads what an older, a newer or a sparing gateway answers", () =>
    Effect.gen(function* () {
      const { client } = yield* gateway((line, response) => {
        if (line.includes("/Nodes?")) {
          json(response, 200, {
            ContinuationToken: null,
            Items: [{ Name: "n0", InstanceId: 132, NodeStatus: "Dreaming", NodeTags: ["x"], HealthState: null }]
          })
        } else if (line.includes("GetPartitions?")) {
          json(response, 200, {
            Items: [
              {
                ServiceKind: "Stateless",
                PartitionInformation: {
                  ServicePartitionKind: "Int64Range",
                  Id: etcd.partitionId.toUpperCase(),
                  LowKey: "-9223372036854775808"
                },
                InstanceCount: -1,
                PartitionStatus: "Pondering"
              }
            ]
          })
        } else if (line.includes("GetClusterHealth")) {
          json(response, 200, { AggregatedHealthState: "Ok", HealthEvents: null, NewThing: { a: null } })
        } else if (line.includes("/Faults/?")) {
          json(response, 200, [{ OperationId: O.toUpperCase(), State: "Waiting", Type: "PartitionPainting" }])
        } else if (line.includes("Nodes/gone")) response.writeHead(204).end()
        else if (line.includes("Nodes/denied")) response.writeHead(403).end()
        else json(response, 418, { Error: { Code: "FABRIC_E_TEAPOT" } })
      })
      assert.deepStrictEqual(yield* client.getNodes, [{ Name: "n0", InstanceId: "132", NodeStatus: "Unknown" }])
      assert.deepStrictEqual(yield* client.getPartitions("a~b"), [
        {
          ServiceKind: "Stateless",
          PartitionInformation: {
            ServicePartitionKind: "Int64Range",
            Id: etcd.partitionId,
            LowKey: "-9223372036854775808"
          },
          InstanceCount: -1,
          PartitionStatus: "Invalid"
        }
      ])
      assert.deepStrictEqual(yield* client.getClusterHealth, { AggregatedHealthState: "Ok" })
      assert.deepStrictEqual(yield* client.getFaultOperationList(), [
        { OperationId: O, State: "Invalid", Type: "Invalid" }
      ])
      assert.isNull(yield* client.getNode("gone"))
      const denied = yield* Effect.flip(client.getNode("denied"))
      assert(denied._tag === "UNKNOWN")
      assert.deepStrictEqual([denied.code, denied.status], ["UNKNOWN", 403])
      const odd = yield* Effect.flip(client.getApplication("x"))
      assert(odd._tag === "UNKNOWN")
      assert.deepStrictEqual([odd.code, odd.status, odd.message], ["FABRIC_E_TEAPOT", 418, ""])
    }).pipe(Effect.scoped)
  )

  it.live("never sends a start twice, whatever happens to it, and waits for a watched operation", () =>
    Effect.gen(function* () {
      let asked = 0
      const { client, lines } = yield* gateway((line, response, request) => {
        if (line.startsWith("POST")) return void request.socket.destroy()
        asked++
        if (asked < 6) json(response, 503, { Error: { Code: "FABRIC_E_NOT_READY", Message: "later" } })
        else json(response, 200, { State: asked === 6 ? "Running" : "Faulted", RestartPartitionResult: null })
      })
      for (const start of [
        client.startQuorumLoss({ ...partition, mode: "AllReplicas", durationSeconds: 1 }),
        client.startDataLoss({ ...partition, mode: "FullDataLoss" }),
        client.startPartitionRestart({ ...partition, mode: "AllReplicasOrInstances" }),
        client.startNodeTransition({ ...transition, transition: "Start" }),
        client.recover("AllPartitions")
      ]) {
        const before = lines.length
        const error = yield* Effect.flip(start)
        assert(error._tag === "FabricTransportError")
        assert.strictEqual(error.reason, "Unreachable")
        assert.strictEqual(lines.length - before, 1)
      }
      const states = yield* Stream.runCollect(
        client.watchProgress({ ...partition, kind: "PartitionRestart" }, { interval: "10 millis" })
      )
      assert.deepStrictEqual(
        [...states].map(({ State }) => State),
        ["Running", "Faulted"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("recovers a service by the path of the gateway that is there", () =>
    Effect.gen(function* () {
      const { client, lines } = yield* gateway((line, response) => {
        if (line.startsWith("POST /Services/$/")) json(response, 400, { Error: { Code: "E_INVALIDARG", Message: "" } })
        else response.writeHead(200).end()
      })
      yield* client.recover({ serviceId: "a~b" })
      assert.deepStrictEqual(lines, [
        "POST /Services/$/a~b/$/GetPartitions/$/Recover?api-version=6.0&timeout=60",
        "POST /Services/a~b/$/GetPartitions/$/Recover?api-version=6.0&timeout=60"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("a call that is given up aborts its request", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const aborted = yield* Deferred.make<void>()
      const { client } = yield* gateway((_line, response) => {
        response.on("close", () => Deferred.doneUnsafe(aborted, Exit.void))
        Deferred.doneUnsafe(arrived, Exit.void)
      })
      const calling = yield* Effect.forkChild(client.startDataLoss({ ...partition, mode: "FullDataLoss" }))
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(calling)
      yield* Deferred.await(aborted)
    }).pipe(Effect.scoped)
  )
})
