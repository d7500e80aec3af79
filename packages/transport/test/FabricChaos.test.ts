/** The chaos calls as they stand on the wire, and Microsoft's own Python client walking all of them. */
import { assert, describe, it } from "@effect/vitest"
import { type ChaosEvent, defaultParameters, toFileTime } from "@inquorate/core/Chaos"
import { formatInstant } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { execFile, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import * as FakeChaos from "./FakeChaos.ts"
import * as FakeOperations from "./FakeOperations.ts"
import { type Raw, request } from "./http.ts"

const layer = Layer.merge(FakeOperations.layer, FakeChaos.layer)

const V = "api-version=6.2&timeout=60"

const started = Effect.map(NodeServer.serve({ host: "127.0.0.1", port: 0 }), ({ port }) => ({
  get: (target: string) => request(port, "GET", target),
  post: (target: string, body?: string) =>
    request(port, "POST", target, {
      headers: body === undefined ? ["Content-Length: 0"] : ["Content-Type: application/json; charset=utf-8"],
      ...(body === undefined ? {} : { body })
    })
}))

const errorOf = ({ body, status }: Raw): readonly [number, string, string] => {
  const { Error } = JSON.parse(body) as { readonly Error: { readonly Code: string; readonly Message: string } }
  return [status, Error.Code, Error.Message]
}

const historyOf = ({ body, status }: Raw) => {
  assert.strictEqual(status, 200, body)
  const page = JSON.parse(body) as {
    readonly ContinuationToken: string
    readonly History: ReadonlyArray<{ readonly ChaosEvent: { readonly Kind: string; readonly Reason?: string } }>
  }
  return { token: page.ContinuationToken, told: page.History.map(({ ChaosEvent }) => ChaosEvent) }
}

const start = "/Tools/Chaos/$/Start?api-version=6.0&timeout=60"

const waiting = (n: number, Reason = `event ${n}`): ChaosEvent => ({
  Kind: "Waiting",
  TimeStampUtc: formatInstant(n * 1000),
  Reason
})

describe("the chaos calls", () => {
  it.live("start, get and stop, as the official command line sends them", () =>
    Effect.gen(function* () {
      const { get, post } = yield* started
      const body =
        '{"TimeToRunInSeconds":"60","MaxClusterStabilizationTimeoutInSeconds":60,"MaxConcurrentFaults":1,"EnableMoveReplicaFaults":true,"WaitTimeBetweenFaultsInSeconds":20,"WaitTimeBetweenIterationsInSeconds":30,"ClusterHealthPolicy":{"ConsiderWarningAsError":false,"MaxPercentUnhealthyNodes":0,"MaxPercentUnhealthyApplications":0,"ApplicationTypeHealthPolicyMap":[{"Key":"T","Value":10}]},"Context":{"Map":{"k":"v"}},"ChaosTargetFilter":{"NodeTypeInclusionList":["InquorateNode"],"ApplicationInclusionList":["fabric:/lab"]}}'
      const answered = yield* post(start, body)
      assert.deepStrictEqual([answered.status, answered.body], [200, ""])
      const got = JSON.parse((yield* get(`/Tools/Chaos?${V}`)).body) as Record<string, unknown>
      assert.deepStrictEqual(got, { ChaosParameters: JSON.parse(body), Status: "Running", ScheduleStatus: "Active" })
      assert.deepStrictEqual(errorOf(yield* post(start, body)).slice(0, 2), [400, "FABRIC_E_CHAOS_ALREADY_RUNNING"])
      const stopped = yield* post("/Tools/Chaos/$/Stop?api-version=6.0&timeout=60")
      assert.deepStrictEqual([stopped.status, stopped.body], [200, ""])
      const { Status, ScheduleStatus } = JSON.parse((yield* get(`/Tools/Chaos?${V}`)).body)
      assert.deepStrictEqual([Status, ScheduleStatus], ["Stopped", "Stopped"])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("are refused with the contract's statuses and codes", () =>
    Effect.gen(function* () {
      const { get, post } = yield* started
      const many = JSON.stringify({ ChaosTargetFilter: { NodeTypeInclusionList: Array.from({ length: 101 }, String) } })
      const cases: ReadonlyArray<readonly [Effect.Effect<Raw>, number, string, RegExp]> = [
        [post(start, "{"), 400, "E_INVALIDARG", /not JSON/],
        [post(start, "[".repeat(2_000_000)), 400, "E_INVALIDARG", /JSON/],
        [post(start), 400, "E_INVALIDARG", /no body/],
        [post(start, "[]"), 400, "E_INVALIDARG", /cannot be read/],
        [post(start, '{"MaxConcurrentFaults":"many"}'), 400, "E_INVALIDARG", /MaxConcurrentFaults/],
        [post(start, '{"ChaosTargetFilter":{}}'), 400, "E_INVALIDARG", /includes nothing/],
        [post(start, many), 413, "FABRIC_E_VALUE_TOO_LARGE", /NodeTypeInclusionList/],
        [post(start, " ".repeat(4 * 1024 * 1024 + 1)), 413, "FABRIC_E_MESSAGE_TOO_LARGE", /./],
        [get("/Tools/Chaos?api-version=6.1"), 400, "E_INVALIDARG", /at least 6\.2/],
        [get("/Tools/Chaos/$/Report?api-version=6.2"), 400, "E_INVALIDARG", /1\.0 to 6\.1/],
        [get("/Tools/Chaos/$/Start?api-version=6.0"), 400, "E_INVALIDARG", /./],
        [get("/tools/Chaos?api-version=6.2"), 400, "E_INVALIDARG", /./],
        [post(`/Tools/Chaos/Schedule?${V}`, '{"Version":7}'), 400, "E_INVALIDARG", /Version 7.*not 0/],
        [get(`/Tools/Chaos/Events?${V}&StartTimeUtc=-1`), 400, "E_INVALIDARG", /StartTimeUtc/],
        [get(`/Tools/Chaos/Events?${V}&MaxResults=x`), 400, "E_INVALIDARG", /MaxResults/],
        [get(`/Tools/Chaos/Events?${V}&ContinuationToken=5`), 400, "E_INVALIDARG", /continuation token/],
        [
          get(`/Tools/Chaos/Events?${V}&ContinuationToken=5_n_n&EndTimeUtc=1`),
          400,
          "E_INVALIDARG",
          /^Invalid argument combination in GetChaosEvents; use either/
        ]
      ]
      for (const [sent, status, code, message] of cases) {
        const [gotStatus, gotCode, gotMessage] = errorOf(yield* sent)
        assert.deepStrictEqual([gotStatus, gotCode], [status, code], gotMessage)
        assert.match(gotMessage, message)
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("page the events, and the token keeps the times", () =>
    Effect.gen(function* () {
      const { get } = yield* started
      const { tell } = yield* FakeChaos.ChaosControl
      yield* tell(Array.from({ length: 250 }, (_, n) => waiting(n)))
      const all = historyOf(yield* get(`/Tools/Chaos/Events?${V}&MaxResults=0`))
      assert.deepStrictEqual([all.told.length, all.token], [250, ""])
      const times = `StartTimeUtc=${toFileTime(10_000)}&EndTimeUtc=${toFileTime(14_000)}`
      const first = historyOf(yield* get(`/Tools/Chaos/Events?${V}&${times}&MaxResults=3`))
      assert.deepStrictEqual(
        first.told.map(({ Reason }) => Reason),
        ["event 10", "event 11", "event 12"]
      )
      const second = historyOf(yield* get(`/Tools/Chaos/Events?${V}&ContinuationToken=${first.token}&MaxResults=3`))
      assert.deepStrictEqual(
        second.told.map(({ Reason }) => Reason),
        ["event 13", "event 14"]
      )
      assert.strictEqual(second.token, "")
      const report = yield* get("/Tools/Chaos/$/Report?api-version=6.0")
      assert.strictEqual(historyOf(report).told.length, 100)
      assert.strictEqual((JSON.parse(report.body) as { Status: string }).Status, "Invalid")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("answer with no more events than fit into a message", () =>
    Effect.gen(function* () {
      const { get } = yield* started
      const { tell } = yield* FakeChaos.ChaosControl
      yield* tell(Array.from({ length: 1200 }, (_, n) => waiting(n, "x".repeat(4096))))
      const first = yield* get(`/Tools/Chaos/Events?${V}`)
      assert.isBelow(Buffer.byteLength(first.body), 4 * 1024 * 1024)
      const { token, told } = historyOf(first)
      const rest = historyOf(yield* get(`/Tools/Chaos/Events?${V}&ContinuationToken=${token}`))
      assert.strictEqual(told.length + rest.told.length, 1200)
      assert.strictEqual(rest.token, "")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("are the typed client's too", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      const client = yield* FabricClient.make({ endpoint: url }).pipe(Effect.provide(FetchHttpClient.layer))
      const asked = { TimeToRunInSeconds: "60", Context: { Map: { "a key": "ü" } } }
      yield* client.startChaos(asked)
      const standing = yield* client.getChaos
      assert.deepStrictEqual(standing, {
        parameters: { ...defaultParameters, ...asked },
        status: "Running",
        scheduleStatus: "Active"
      })
      const refused = yield* Effect.flip(client.startChaos({}))
      assert.strictEqual(refused._tag, "FABRIC_E_CHAOS_ALREADY_RUNNING")
      yield* client.stopChaos
      const first = yield* client.getChaosEvents({ from: 0, limit: 1 })
      assert.deepStrictEqual(
        first.events.map(({ ChaosParameters, Kind }) => [Kind, ChaosParameters?.TimeToRunInSeconds]),
        [["Started", "60"]]
      )
      const second = yield* client.getChaosEvents({ token: first.token })
      assert.deepStrictEqual(
        second.events.map(({ Kind, Reason }) => [Kind, Reason]),
        [["Stopped", "Chaos was stopped by request."]]
      )
      assert.strictEqual(second.token, "")
      const schedule = yield* client.getChaosSchedule
      assert.strictEqual(schedule.Version, 1)
      yield* client.postChaosSchedule(schedule)
      assert.strictEqual((yield* client.getChaosSchedule).Version, 2)
      assert.strictEqual((yield* Effect.flip(client.postChaosSchedule(schedule)))._tag, "E_INVALIDARG")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("are refused by a worker that has no chaos", () =>
    Effect.gen(function* () {
      const { get } = yield* started
      assert.deepStrictEqual(errorOf(yield* get(`/Tools/Chaos?${V}`)).slice(0, 2), [
        400,
        "FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED"
      ])
    }).pipe(Effect.scoped, Effect.provide(FakeOperations.layer))
  )
})

const python = "/usr/bin/python3"
const script = fileURLToPath(new URL("chaos_walk.py", import.meta.url))
const missing = spawnSync(python, ["-c", "import azure.servicefabric"]).status !== 0

const walk = (url: string, stage: string): Effect.Effect<Record<string, unknown>> =>
  Effect.callback((resume) => {
    const child = execFile(python, [script, url, stage], { timeout: 50_000 }, (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(JSON.parse(stdout)) : Effect.die(`${error.message}\n${stderr}`))
    )
    return Effect.sync(() => child.kill())
  })

describe.skipIf(missing)("the Python client (azure.servicefabric 8.2)", () => {
  it.live("walks every chaos call", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      const { play } = yield* FakeChaos.ChaosControl
      const asked = ["600", 2, 30, { k: "v" }, false]
      const always = [["adhoc", true, true, 23]]
      const begin = yield* walk(url, "begin")
      const { adhoc, ...rest } = begin
      assert.deepStrictEqual(rest, {
        before: ["Invalid", "Stopped", ["4294967295", 1, 30, null, true]],
        schedule: [0, "1601-01-01T00:00:00+00:00", [], []],
        stopBefore: null,
        unknown: ["E_INVALIDARG", 400],
        empty: ["E_INVALIDARG", 400],
        start: null,
        again: ["FABRIC_E_CHAOS_ALREADY_RUNNING", 400],
        running: ["Running", "Active", asked],
        scheduleWhileRunning: ["FABRIC_E_CHAOS_ALREADY_RUNNING", 400]
      })
      const [version, , keys, jobs] = adhoc as ReadonlyArray<unknown>
      assert.deepStrictEqual([version, keys, jobs], [1, ["adhoc"], always])

      const at = 1_800_000_000_000
      yield* play({ _tag: "ValidationFailed", at, reasons: ["The node n is down."] })
      yield* play({ _tag: "WaitEnded", at })
      yield* play({
        _tag: "FaultsDrawn",
        at,
        note: "",
        faults: [
          {
            text: "ActionType: RestartNode",
            steps: [
              {
                operationId: "00000000-0000-4000-8000-000000000007",
                request: {
                  kind: "NodeTransition",
                  transition: "Start",
                  nodeName: "n",
                  instanceId: "1"
                }
              }
            ],
            startAt: at,
            state: "Open"
          }
        ]
      })
      yield* play({
        _tag: "FaultClosed",
        at,
        first: "00000000-0000-4000-8000-000000000007",
        problem: "It was refused."
      })
      const wait = "Waiting 30 s before the next iteration."
      assert.deepStrictEqual(yield* walk(url, "events"), {
        all: [
          ["StartedChaosEvent", true, null, null, asked],
          ["ValidationFailedChaosEvent", true, "The node n is down.", null, null],
          ["WaitingChaosEvent", true, wait, null, null],
          ["ExecutingFaultsChaosEvent", true, null, ["ActionType: RestartNode"], null],
          ["TestErrorChaosEvent", true, "It was refused.", null, null],
          ["WaitingChaosEvent", true, wait, null, null]
        ],
        pages: [
          ["StartedChaosEvent", "ValidationFailedChaosEvent"],
          ["WaitingChaosEvent", "ExecutingFaultsChaosEvent"],
          ["TestErrorChaosEvent", "WaitingChaosEvent"]
        ],
        within: 6,
        before: 0,
        both: ["E_INVALIDARG", 400],
        badTime: ["E_INVALIDARG", 400],
        badToken: ["E_INVALIDARG", 400]
      })
      assert.deepStrictEqual(yield* walk(url, "end"), {
        stop: null,
        stopped: ["Stopped", "Stopped", asked],
        oldVersion: ["E_INVALIDARG", 400],
        wrong: ["E_INVALIDARG", 400],
        set: null,
        schedule: [2, "2026-01-01T00:00:00+00:00", ["p"], [["p", true, false, 2]]],
        after: ["Stopped", "Active"]
      })
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
