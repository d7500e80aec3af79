/**
 * Every kind of fault on the Service Fabric surface: what each call reads, in which order it refuses, and what the server
 * answers through the life of an operation. Values and codes are those of the contract, written down by hand.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Guid from "@inquorate/core/Guid"
import { Operations } from "@inquorate/core/Operations"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as FabricPath from "../src/fabric/FabricPath.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import { Control, etcd, fence, layer } from "./FakeOperations.ts"
import { request } from "./http.ts"

const P = etcd.partitionId
const O = "11111111-1111-4111-8111-111111111111"
const O2 = "22222222-2222-4222-8222-222222222222"
const O3 = "33333333-3333-4333-8333-333333333333"
const common = `api-version=6.0&OperationId=${O}`
const partition = (call: string, query: string, service = "lab~kv", id = P): string =>
  `/Faults/Services/${service}/$/GetPartitions/${id}/$/${call}?${query}`
const node = (query: string, name = "lab-m1", slash = "/"): string =>
  `/Faults/Nodes/${name}/$/StartTransition${slash}?${query}`

const answer = (method: string, target: string): unknown => {
  const result = FabricPath.parse(method, target)
  return Result.isSuccess(result) ? result.success.call : result.failure.code
}
const message = (method: string, target: string): string => {
  const result = FabricPath.parse(method, target)
  return Result.isSuccess(result) ? "parsed" : result.failure.message
}

describe("a data loss and a restart", () => {
  it("read their own mode", () => {
    const about = { serviceName: "fabric:/lab/kv", partitionId: P, operationId: O }
    for (const mode of ["PartialDataLoss", "FullDataLoss"]) {
      const target = partition("StartDataLoss", `${common}&DataLossMode=${mode}&timeout=60`)
      assert.deepStrictEqual(answer("POST", target), { _tag: "StartDataLoss", ...about, mode })
    }
    for (const mode of ["AllReplicasOrInstances", "OnlyActiveSecondaries"]) {
      const target = partition("StartRestart", `${common}&RestartPartitionMode=${mode}&timeout=60`, "lab/kv")
      assert.deepStrictEqual(answer("POST", target), { _tag: "StartPartitionRestart", ...about, mode })
    }
  })

  it("refuse in the order of their parameters", () => {
    for (const [call, parameter] of [
      ["StartDataLoss", "DataLossMode"],
      ["StartRestart", "RestartPartitionMode"]
    ] as const) {
      const wrong = `api-version=6.0&OperationId=x&${parameter}=x`
      assert.include(message("POST", partition(call, wrong, "a~~b", "x")), "ServiceId")
      assert.include(message("POST", partition(call, wrong, "a~b", "x")), "PartitionId")
      assert.include(message("POST", partition(call, wrong)), "OperationId")
      assert.include(message("POST", partition(call, `${common}&${parameter}=x`)), parameter)
      for (const mode of ["Invalid", "QuorumReplicas", "x"]) {
        assert.strictEqual(answer("POST", partition(call, `${common}&${parameter}=${mode}`)), "E_INVALIDARG")
      }
      assert.strictEqual(answer("POST", partition(call, common)), "FABRIC_E_NAME_DOES_NOT_EXIST")
      assert.strictEqual(answer("GET", partition(call, common)), "E_INVALIDARG")
    }
  })

  it("are asked after by calls of their own", () => {
    for (const [call, _tag] of [
      ["GetDataLossProgress", "GetDataLossProgress"],
      ["GetRestartProgress", "GetPartitionRestartProgress"]
    ] as const) {
      assert.deepStrictEqual(answer("GET", partition(call, common, "x", "nonsense")), { _tag, operationId: O })
      assert.strictEqual(answer("GET", partition(call, "api-version=6.0")), "FABRIC_E_NAME_DOES_NOT_EXIST")
      assert.strictEqual(answer("POST", partition(call, common)), "E_INVALIDARG")
    }
  })
})

describe("a node transition", () => {
  const stop = `${common}&NodeTransitionType=Stop&NodeInstanceId=132&StopDurationInSeconds=600&timeout=60`
  const read = { _tag: "StartNodeTransition", nodeName: "lab-m1", operationId: O, instanceId: "132" }

  it("is read with and without a slash at its end", () => {
    for (const slash of ["/", ""]) {
      assert.deepStrictEqual(answer("POST", node(stop, "lab-m1", slash)), {
        ...read,
        transition: "Stop",
        duration: 600
      })
    }
    assert.deepStrictEqual(answer("GET", `/Faults/Nodes/lab-m1/$/GetTransitionProgress?${common}`), {
      _tag: "GetNodeTransitionProgress",
      operationId: O
    })
  })

  it("to start a node does not look at the duration", () => {
    for (const duration of ["", "&StopDurationInSeconds=600", "&StopDurationInSeconds=1", "&StopDurationInSeconds=x"]) {
      const target = node(`${common}&NodeTransitionType=Start&NodeInstanceId=132${duration}`)
      assert.deepStrictEqual(answer("POST", target), { ...read, transition: "Start", duration: 0 })
    }
  })

  it("to stop one keeps to 300 to 14400 seconds", () => {
    const lasting = (text: string) => answer("POST", node(stop.replace("Seconds=600", `Seconds=${text}`)))
    for (const text of ["300", "14400", "0x12c"]) assert.isObject(lasting(text), text)
    for (const text of ["0", "299", "14401", "4294967295"]) {
      assert.strictEqual(lasting(text), "FABRIC_E_INVALID_DURATION", text)
    }
    for (const text of ["-5", "x", "4294967296", "1e3"]) assert.strictEqual(lasting(text), "E_INVALIDARG", text)
    assert.strictEqual(lasting(""), "FABRIC_E_NAME_DOES_NOT_EXIST")
  })

  it("takes an instance id of 64 bits that is not 0", () => {
    const of = (text: string) => answer("POST", node(stop.replace("Id=132", `Id=${text}`)))
    for (const [text, instanceId] of [
      ["18446744073709551615", "18446744073709551615"],
      ["0x84", "132"],
      ["00132", "132"]
    ] as const) {
      assert.deepStrictEqual(of(text), { ...read, instanceId, transition: "Stop", duration: 600 })
    }
    for (const text of ["0", "000", "0x0"]) assert.strictEqual(of(text), "FABRIC_E_INVALID_INSTANCE_ID", text)
    for (const text of ["-1", "18446744073709551616", "x", "1.0"]) assert.strictEqual(of(text), "E_INVALIDARG", text)
    assert.strictEqual(of(""), "FABRIC_E_NAME_DOES_NOT_EXIST")
  })

  it("refuses in the order name, operation, instance, type, duration", () => {
    const wrong = `api-version=6.0&OperationId=x&NodeInstanceId=0&NodeTransitionType=x&StopDurationInSeconds=1`
    assert.strictEqual(answer("POST", node(wrong, "n".repeat(4097))), "FABRIC_E_VALUE_TOO_LARGE")
    assert.isString(answer("POST", node(wrong, "n".repeat(4096))))
    assert.include(message("POST", node(wrong)), "OperationId")
    const second = wrong.replace("OperationId=x", `OperationId=${O}`)
    assert.strictEqual(answer("POST", node(second)), "FABRIC_E_INVALID_INSTANCE_ID")
    const third = second.replace("Id=0", "Id=1")
    assert.include(message("POST", node(third)), "NodeTransitionType")
    assert.strictEqual(answer("POST", node(third.replace("Type=x", "Type=Stop"))), "FABRIC_E_INVALID_DURATION")
    assert.strictEqual(answer("POST", node(third.replace("Type=x", "Type=Invalid"))), "E_INVALIDARG")
  })
})

it("recover calls are read, with the specification's extra $ and without", () => {
  const query = "?api-version=6.0&timeout=60"
  assert.deepStrictEqual(answer("POST", `/Partitions/${P}/$/Recover${query}`), {
    _tag: "RecoverPartition",
    partitionId: P
  })
  const service = { _tag: "RecoverServicePartitions", serviceName: "fabric:/lab/kv" }
  for (const path of ["/Services/$/lab~kv", "/Services/lab~kv", "/Services/$/lab/kv", "/Services/lab/kv"]) {
    assert.deepStrictEqual(answer("POST", `${path}/$/GetPartitions/$/Recover${query}`), service)
  }
  assert.deepStrictEqual(answer("POST", `/$/RecoverSystemPartitions${query}`), { _tag: "RecoverSystemPartitions" })
  assert.deepStrictEqual(answer("POST", `/$/RecoverAllPartitions${query}`), { _tag: "RecoverAllPartitions" })
  assert.strictEqual(answer("GET", `/$/RecoverAllPartitions${query}`), "E_INVALIDARG")
  assert.strictEqual(answer("POST", `/Partitions/x/$/Recover${query}`), "E_INVALIDARG")
})

describe("the server", () => {
  const served = <A, E>(test: (port: number) => Effect.Effect<A, E, Operations | Control>) =>
    Effect.gen(function* () {
      const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      return yield* test(port)
    }).pipe(Effect.scoped, Effect.provide(layer))
  const codeOf = (raw: { readonly body: string }): string =>
    (JSON.parse(raw.body) as { readonly Error: { readonly Code: string } }).Error.Code
  const at = 1_700_000_000_000
  const instance = nodeInstanceId("lab-m1")
  const starts = {
    loss: partition("StartDataLoss", `api-version=6.0&OperationId=${O}&DataLossMode=FullDataLoss`),
    restart: partition("StartRestart", `api-version=6.0&OperationId=${O2}&RestartPartitionMode=OnlyActiveSecondaries`),
    stop: node(
      `api-version=6.0&OperationId=${O3}&NodeTransitionType=Stop&NodeInstanceId=${instance}&StopDurationInSeconds=300`
    )
  }
  const progresses = {
    loss: (id: string) => partition("GetDataLossProgress", `api-version=6.0&OperationId=${id}`),
    restart: (id: string) => partition("GetRestartProgress", `api-version=6.0&OperationId=${id}`),
    stop: (id: string) => `/Faults/Nodes/lab-m1/$/GetTransitionProgress?api-version=6.0&OperationId=${id}`,
    quorum: (id: string) => partition("GetQuorumLossProgress", `api-version=6.0&OperationId=${id}`)
  }

  it.live("walks each kind through its life, with the result under its own name", () =>
    served((port) =>
      Effect.gen(function* () {
        const { play } = yield* Control
        for (const target of Object.values(starts)) {
          const raw = yield* request(port, "POST", target, { headers: ["Content-Length: 0"] })
          assert.deepStrictEqual([raw.status, raw.reason, raw.body], [202, "Accepted", ""], target)
        }
        const asked = yield* Effect.forEach([O, O2, O3], (id) =>
          Effect.flatMap(Operations, (operations) => operations.get(id))
        )
        assert.deepStrictEqual(
          asked.map((operation) => operation.request),
          [
            { kind: "PartitionDataLoss", serviceName: "fabric:/lab/kv", partitionId: P, mode: "FullDataLoss" },
            { kind: "PartitionRestart", serviceName: "fabric:/lab/kv", partitionId: P, mode: "OnlyActiveSecondaries" },
            { kind: "NodeTransition", transition: "Stop", nodeName: "lab-m1", instanceId: instance, duration: 300_000 }
          ]
        )
        for (const [id, kind] of [
          [O, "loss"],
          [O2, "restart"],
          [O3, "stop"]
        ] as const) {
          assert.strictEqual((yield* request(port, "GET", progresses[kind](id))).body, '{"State":"Running"}')
          for (const [other, target] of Object.entries(progresses)) {
            if (other === kind) continue
            const raw = yield* request(port, "GET", target(id))
            assert.deepStrictEqual([raw.status, codeOf(raw)], [404, "FABRIC_E_KEY_NOT_FOUND"], `${kind} by ${other}`)
          }
        }
        yield* play(O, { _tag: "Taken", at })
        yield* play(O, { _tag: "FencesOrdered", at, fences: [] })
        yield* play(O, { _tag: "DataDestroyed", at })
        yield* play(O, { _tag: "RecoveryProven", at })
        yield* play(O2, { _tag: "Taken", at })
        yield* play(O2, { _tag: "StepFailed", at, error: "FABRIC_E_PARTITION_NOT_FOUND", retryable: false })
        yield* play(O3, { _tag: "Taken", at })
        yield* play(O3, { _tag: "FencesOrdered", at, fences: [fence] })
        yield* play(O3, { _tag: "FencesArmed", at })
        assert.strictEqual(
          (yield* request(port, "GET", progresses.loss(O))).body,
          `{"State":"Completed","InvokeDataLossResult":{"ErrorCode":0,"SelectedPartition":{"ServiceName":"fabric:/lab/kv","PartitionId":"${P}"}}}`
        )
        assert.strictEqual(
          (yield* request(port, "GET", progresses.restart(O2))).body,
          `{"State":"Faulted","RestartPartitionResult":{"ErrorCode":-2147017753,"SelectedPartition":{"ServiceName":"fabric:/lab/kv","PartitionId":"${Guid.nil}"}}}`
        )
        assert.strictEqual(
          (yield* request(port, "GET", progresses.stop(O3))).body,
          `{"State":"Completed","NodeTransitionResult":{"ErrorCode":0,"NodeResult":{"NodeName":"lab-m1","NodeInstanceId":"${instance}"}}}`
        )
        const listed = Effect.fnUntraced(function* (filter: string) {
          const raw = yield* request(port, "GET", `/Faults/?api-version=6.0&${filter}`)
          return (JSON.parse(raw.body) as ReadonlyArray<{ readonly Type: string }>).map(({ Type }) => Type)
        })
        const all = ["PartitionDataLoss", "PartitionRestart", "NodeTransition"]
        for (const filter of ["TypeFilter=0", "TypeFilter=65535", ""]) {
          assert.deepStrictEqual(yield* listed(filter), all, filter)
        }
        assert.deepStrictEqual(yield* listed("TypeFilter=1"), ["PartitionDataLoss"])
        assert.deepStrictEqual(yield* listed("TypeFilter=2"), [])
        assert.deepStrictEqual(yield* listed("TypeFilter=4"), ["PartitionRestart"])
        assert.deepStrictEqual(yield* listed("TypeFilter=8"), ["NodeTransition"])
        assert.deepStrictEqual(yield* listed("TypeFilter=13&StateFilter=8"), ["PartitionDataLoss", "NodeTransition"])
        assert.deepStrictEqual(yield* listed("StateFilter=16"), ["PartitionRestart"])
      })
    )
  )

  it.live("a second transition on a node is refused, whatever its id, and another node's is taken", () =>
    served((port) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* request(port, "POST", starts.stop)).status, 202)
        for (const target of [starts.stop, starts.stop.replace(O3, O)]) {
          const raw = yield* request(port, "POST", target)
          assert.deepStrictEqual([raw.status, codeOf(raw)], [400, "FABRIC_E_NODE_TRANSITION_IN_PROGRESS"])
        }
        const elsewhere = starts.stop.replace("lab-m1", "lab-m2")
        const taken = yield* request(port, "POST", elsewhere)
        assert.deepStrictEqual(
          [taken.status, codeOf(taken)],
          [409, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS"]
        )
        assert.strictEqual((yield* request(port, "POST", elsewhere.replace(O3, O2))).status, 202)
      })
    )
  )

  it.live("recover calls are answered 200 and empty, and reach the worker", () =>
    served((port) =>
      Effect.gen(function* () {
        const post = (path: string) => request(port, "POST", `${path}?api-version=6.0&timeout=60`)
        for (const path of [
          `/Partitions/${P}/$/Recover`,
          "/Services/$/lab~kv/$/GetPartitions/$/Recover",
          "/Services/lab/kv/$/GetPartitions/$/Recover",
          "/$/RecoverSystemPartitions",
          "/$/RecoverAllPartitions"
        ]) {
          const raw = yield* post(path)
          assert.deepStrictEqual([raw.status, raw.body, raw.headers["content-length"]], [200, "", "0"], path)
        }
        assert.deepStrictEqual(yield* Effect.flatMap(Control, ({ recovered }) => recovered), [
          { _tag: "Partition", partitionId: P },
          { _tag: "Service", serviceName: "fabric:/lab/kv" },
          { _tag: "Service", serviceName: "fabric:/lab/kv" },
          { _tag: "System" },
          { _tag: "All" }
        ])
        assert.strictEqual(codeOf(yield* post(`/Partitions/${Guid.nil}/$/Recover`)), "FABRIC_E_PARTITION_NOT_FOUND")
        const nowhere = yield* post("/Services/no~such/$/GetPartitions/$/Recover")
        assert.deepStrictEqual([nowhere.status, codeOf(nowhere)], [404, "FABRIC_E_SERVICE_DOES_NOT_EXIST"])
      })
    )
  )
})
