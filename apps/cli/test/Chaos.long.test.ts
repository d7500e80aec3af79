/** The commands of chaos as a person types them to a gateway: what they send, what they print, and how they end. */
import { assert, describe, it } from "@effect/vitest"
import { defaultParameters } from "@inquorate/core/Chaos"
import { emptyDescription } from "@inquorate/core/ChaosSchedule"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { exitCodes } from "../src/ExitCode.ts"
import * as Inq from "./Inq.ts"

const { run } = Inq.bundled()

const refused = { Error: { Code: "FABRIC_E_CHAOS_ALREADY_RUNNING", Message: "Chaos is running already." } }
const event = (n: number) => ({
  ChaosEvent: { Kind: "Waiting", TimeStampUtc: `2026-01-01T00:00:0${n}.000Z`, Reason: `reason ${n}` }
})

/** A gateway that runs chaos already, with two pages of events; like a real one it has no path of ours. */
const gateway = Effect.gen(function* () {
  const requests: Array<string> = []
  const answers: ReadonlyArray<readonly [RegExp, number, unknown]> = [
    [/ \/v1\//, 400, { Error: { Code: "E_INVALIDARG", Message: "Invalid argument" } }],
    [/^POST \/Tools\/Chaos\/\$\/Start/, 400, refused],
    [/^POST /, 200, undefined],
    [/^GET \/Tools\/Chaos\?/, 200, { ChaosParameters: defaultParameters, Status: "Running", ScheduleStatus: "Active" }],
    [/^GET \/Tools\/Chaos\/Events\?.*ContinuationToken=t/, 200, { ContinuationToken: "", History: [event(2)] }],
    [/^GET \/Tools\/Chaos\/Events\?/, 200, { ContinuationToken: "t", History: [event(1)] }],
    [/^GET \/Tools\/Chaos\/Schedule\?/, 200, emptyDescription]
  ]
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const made = Http.createServer((request, response) => {
        let body = ""
        request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk))
        request.on("end", () => {
          const line = `${request.method} ${request.url}`
          if (!line.includes(" /v1/")) requests.push(body === "" ? line : `${line} ${body}`)
          const [, status, value] = answers.find(([pattern]) => pattern.test(line))!
          response.writeHead(status, { "Content-Type": "application/json" })
          response.end(value === undefined ? "" : JSON.stringify(value))
        })
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.callback<void>((resume) => {
        made.close(() => resume(Effect.void))
        made.closeAllConnections()
      })
  )
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const inq = (args: string, input?: string) => run([...args.split(" "), "--endpoint", endpoint], {}, input)
  return { inq, requests }
})

describe("inq chaos, of a Service Fabric cluster", () => {
  it.live("sends what it was told, and says why it was refused", () =>
    Effect.gen(function* () {
      const { inq, requests } = yield* gateway
      const ran = yield* inq(
        "chaos start --time-to-run 10m --faults 2 --between-iterations 5s --tolerate-warnings --allow-quorum-loss --context who=me --application fabric:/orders"
      )
      assert.deepStrictEqual([ran.code, ran.out], [exitCodes.refused, ""])
      assert.strictEqual(ran.error, "inq: chaos start: Chaos is running already. (FABRIC_E_CHAOS_ALREADY_RUNNING)\n")
      const [line, ...rest] = requests[0]!.split(" {")
      assert.strictEqual(line, "POST /Tools/Chaos/$/Start?api-version=6.0&timeout=60")
      assert.deepStrictEqual(JSON.parse(`{${rest.join(" {")}`), {
        TimeToRunInSeconds: "600",
        MaxConcurrentFaults: 2,
        WaitTimeBetweenIterationsInSeconds: 5,
        ClusterHealthPolicy: {
          ConsiderWarningAsError: false,
          MaxPercentUnhealthyNodes: 0,
          MaxPercentUnhealthyApplications: 0
        },
        Context: { Map: { who: "me", "inquorate.quorumLoss": "allow" } },
        ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/orders"] }
      })
      const wrong = yield* inq("chaos start --time-to-run 500ms")
      assert.strictEqual(wrong.code, exitCodes.usage)
      assert.include(wrong.error, "--time-to-run: expected whole seconds")
      assert.strictEqual(requests.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("tells how chaos stands, all of its events, and that it is still stopping", () =>
    Effect.gen(function* () {
      const { inq, requests } = yield* gateway
      const got = yield* inq("chaos get")
      assert.match(got.out, /^Chaos: Running\nSchedule: Active\n/)
      assert.include(got.out, "without an end")
      const told = yield* inq("chaos events --since 1970-01-01T00:00:00Z")
      assert.deepStrictEqual(told.out.trim().split("\n"), [
        "2026-01-01T00:00:01.000Z  Waiting: reason 1",
        "2026-01-01T00:00:02.000Z  Waiting: reason 2"
      ])
      assert.include(requests[1]!, "StartTimeUtc=116444736000000000")
      const stopped = yield* inq("chaos stop")
      assert.match(stopped.out, /is stopping/)
    }).pipe(Effect.scoped)
  )

  it.live("sets the schedule that it printed, and refuses a wrong one before it is sent", () =>
    Effect.gen(function* () {
      const { inq, requests } = yield* gateway
      const printed = yield* inq("chaos schedule get --output json")
      const set = yield* inq("chaos schedule set -", printed.out)
      assert.deepStrictEqual([set.code, set.out], [0, "The schedule is in use, as version 1.\n"])
      assert.strictEqual(
        requests[1],
        `POST /Tools/Chaos/Schedule?api-version=6.2&timeout=60 ${JSON.stringify(emptyDescription)}`
      )
      const wrong = yield* inq("chaos schedule set -", '{"Schedule":{"StartDate":"tomorrow"}}')
      assert.strictEqual(wrong.code, exitCodes.usage)
      assert.match(wrong.error, /StartDate "tomorrow"/)
      assert.strictEqual(requests.length, 2)
    }).pipe(Effect.scoped)
  )
})
