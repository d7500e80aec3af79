/* oxlint-disable unicorn/consistent-function-scoping -- a small function stands beside the one story that uses it */
/** Both surfaces over real HTTP on a free port of the loopback, against the port `Operations` in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Guid from "@inquorate/core/Guid"
import { Operations } from "@inquorate/core/Operations"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import * as Client from "../src/v1/Client.ts"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as MetricsText from "../src/server/MetricsText.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import { Control, etcd, finish, hold, layer, postgres } from "./FakeOperations.ts"
import { exchange, parse, request } from "./http.ts"

const O = "11111111-1111-4111-8111-111111111111"
const O2 = "22222222-2222-4222-8222-222222222222"
const [kind, P] = ["PartitionQuorumLoss", etcd.partitionId] as const
const of = (name: string, operationId = O) =>
  `/Faults/Services/lab~kv/$/GetPartitions/${P}/$/${name}?api-version=6.0&OperationId=${operationId}`
const start = (operationId = O, duration = 60) =>
  `${of("StartQuorumLoss", operationId)}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=${duration}`
const body = { serviceName: "fabric:/lab/kv", partitionId: P, mode: "QuorumReplicas" as const, hold: 60_000 }

const served = <A, E>(
  test: (port: number) => Effect.Effect<A, E, Operations | Control | Scope.Scope>,
  options: Partial<NodeServer.Options> = {}
) =>
  Effect.gen(function* () {
    const serving = yield* NodeServer.serve({ host: "127.0.0.1", port: 0, ...options })
    return yield* test(serving.port)
  }).pipe(Effect.scoped, Effect.provide(layer))

const errorCode = (raw: { readonly body: string }): string =>
  (JSON.parse(raw.body) as { readonly Error: { readonly Code: string } }).Error.Code

describe("what balancers and monitoring ask", () => {
  it.live("readiness is a status with its reasons", () =>
    served((port) =>
      Effect.gen(function* () {
        const ready = yield* request(port, "GET", "/readyz")
        assert.deepStrictEqual([ready.status, JSON.parse(ready.body)], [200, { status: "ready" }])
        yield* (yield* Control).breakNextGet
        const not = yield* request(port, "GET", "/readyz")
        assert.deepStrictEqual(
          [not.status, JSON.parse(not.body)],
          [503, { status: "not ready", problems: ["the store lies"] }]
        )
      })
    )
  )

  it.live("figures are Prometheus text, with the answers by surface and status", () =>
    served((port) =>
      Effect.gen(function* () {
        yield* request(port, "GET", "/healthz")
        yield* request(port, "GET", of("GetQuorumLossProgress"))
        const page = yield* request(port, "GET", "/metrics?now")
        assert.strictEqual(page.status, 200)
        assert.strictEqual(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        const answers = (surface: string, status: number) =>
          new RegExp(`^inquorate_http_answers_total\\{surface="${surface}",status="${status}"\\} [1-9]`, "m")
        assert.match(page.body, answers("inquorate", 200))
        assert.match(page.body, answers("service-fabric", 404))
      })
    )
  )

  it("what must be zero for ever stands first, and the rest by name", () => {
    const text = "# HELP b b\n# TYPE b gauge\nb 1\n# TYPE a counter\na 2\n\n# HELP c c\nc 0\n"
    assert.strictEqual(
      MetricsText.inOrder(text, "c"),
      "# HELP c c\nc 0\n# TYPE a counter\na 2\n# HELP b b\n# TYPE b gauge\nb 1\n"
    )
  })
})

describe("the Service Fabric surface", () => {
  it.live("walks an operation through its life, with the exact replies", () =>
    served((port) =>
      Effect.gen(function* () {
        const accepted = yield* request(port, "POST", start(), { headers: ["Content-Length: 0"] })
        assert.strictEqual(accepted.status, 202)
        assert.strictEqual(accepted.reason, "Accepted")
        assert.strictEqual(accepted.body, "")
        assert.strictEqual(accepted.headers["content-length"], "0")
        assert.isUndefined(accepted.headers["content-type"])

        const running = yield* request(port, "GET", of("GetQuorumLossProgress"))
        assert.strictEqual(running.status, 200)
        assert.strictEqual(running.reason, "OK")
        assert.strictEqual(running.body, '{"State":"Running"}')
        assert.strictEqual(running.headers["content-type"], "application/json; charset=utf-8")
        assert.strictEqual(running.headers["x-content-type-options"], "nosniff")

        const again = yield* request(port, "POST", start())
        assert.strictEqual(again.status, 409)
        assert.strictEqual(again.reason, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
        assert.deepStrictEqual(JSON.parse(again.body), {
          Error: {
            Code: "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS",
            Message: `OperationId '${O}' already exists`
          }
        })

        yield* hold(O, 1_700_000_000_000)
        yield* finish(O, 1_700_000_060_000)
        const completed = yield* request(port, "GET", of("GetQuorumLossProgress"))
        assert.strictEqual(
          completed.body,
          `{"State":"Completed","InvokeQuorumLossResult":{"ErrorCode":0,"SelectedPartition":{"ServiceName":"fabric:/lab/kv","PartitionId":"${P}"}}}`
        )
        const list = yield* request(port, "GET", "/Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535")
        assert.strictEqual(list.body, `[{"OperationId":"${O}","State":"Completed","Type":"PartitionQuorumLoss"}]`)
        const none = yield* request(port, "GET", "/Faults/?api-version=6.0&StateFilter=1")
        assert.strictEqual(none.body, "[]")
      })
    )
  )

  it.live("cancels gracefully, then by force, and refuses what comes in the wrong order", () =>
    served((port) =>
      Effect.gen(function* () {
        const cancel = (force: boolean, id = O) =>
          request(port, "POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}`)
        yield* request(port, "POST", start())
        yield* hold(O, 1_700_000_000_000)
        assert.strictEqual(errorCode(yield* cancel(true)), "FABRIC_E_INVALID_TEST_COMMAND_STATE")
        const taken = yield* cancel(false)
        assert.strictEqual(taken.status, 200)
        assert.strictEqual(taken.body, "")
        const state = yield* request(port, "GET", of("GetQuorumLossProgress"))
        assert.strictEqual(state.body, '{"State":"RollingBack"}')
        assert.strictEqual((yield* cancel(true)).status, 200)
        assert.strictEqual(
          (yield* request(port, "GET", of("GetQuorumLossProgress"))).body,
          '{"State":"ForceCancelled"}'
        )
        const late = yield* cancel(false)
        assert.strictEqual(late.status, 404)
        assert.strictEqual(errorCode(late), "FABRIC_E_KEY_NOT_FOUND")
        assert.strictEqual((yield* cancel(false, O2)).status, 404)
      })
    )
  )

  it.live("takes a start whatever a guard would say, but not one longer than is configured", () =>
    served((port) =>
      Effect.gen(function* () {
        const elsewhere = start().replace("lab~kv", "no~such")
        assert.strictEqual((yield* request(port, "POST", elsewhere)).status, 202)
        assert.strictEqual((yield* request(port, "POST", start(O2, 900))).status, 202)
        const long = yield* request(port, "POST", start("33333333-3333-4333-8333-333333333333", 901))
        assert.strictEqual(long.status, 400)
        assert.strictEqual(long.reason, "Bad Request")
        assert.strictEqual(errorCode(long), "E_INVALIDARG")
      })
    )
  )

  it.live("answers what cannot be parsed with the code and status of the gateway", () =>
    served((port) =>
      Effect.gen(function* () {
        const missing = yield* request(port, "GET", of("GetQuorumLossProgress").replace(/&OperationId.*/, ""))
        assert.strictEqual(missing.status, 404)
        assert.strictEqual(missing.reason, "FABRIC_E_NAME_DOES_NOT_EXIST")
        const unknown = yield* request(port, "PUT", "/Nodes?api-version=6.0")
        assert.strictEqual(unknown.status, 400)
        assert.strictEqual(errorCode(unknown), "E_INVALIDARG")
        const large = yield* request(port, "GET", `/Nodes/${"n".repeat(4097)}?api-version=6.0`)
        assert.strictEqual(large.status, 413)
      })
    )
  )

  it.live("shows a held partition in quorum loss and a recovering one ready", () =>
    served((port) =>
      Effect.gen(function* () {
        const partition = Effect.map(
          request(port, "GET", `/Partitions/${P}?api-version=6.0`),
          (raw) => JSON.parse(raw.body) as Record<string, unknown>
        )
        assert.strictEqual((yield* partition)["PartitionStatus"], "Ready")
        yield* request(port, "POST", start())
        const now = Date.now()
        yield* hold(O, now - 5000)
        const held = yield* partition
        assert.strictEqual(held["PartitionStatus"], "InQuorumLoss")
        assert.strictEqual(held["HealthState"], "Error")
        assert.match(String(held["LastQuorumLossDuration"]), /^PT0H[0-9]+M[0-9.]+S$/)
        assert.isAtLeast(Number(held["LastQuorumLossDurationInSeconds"]), 5)
        const { play } = yield* Control
        yield* play(O, { _tag: "HoldEnded", at: now })
        assert.strictEqual((yield* partition)["PartitionStatus"], "InQuorumLoss")
        yield* play(O, { _tag: "FencesLifted", at: now })
        const lifted = yield* partition
        assert.strictEqual(lifted["PartitionStatus"], "Ready")
        assert.strictEqual(lifted["LastQuorumLossDurationInSeconds"], "5")
      })
    )
  )

  it.live("answers 204 for one that does not exist, 404 for a list of it", () =>
    served((port) =>
      Effect.gen(function* () {
        const nil = Guid.nil
        for (const target of [
          "/Nodes/nope",
          "/Applications/nope",
          "/Applications/lab/$/GetServices/lab~nope",
          "/Applications/nope/$/GetServices/lab~kv",
          `/Partitions/${nil}`,
          `/Partitions/${P}/$/GetReplicas/1`
        ]) {
          const raw = yield* request(port, "GET", `${target}?api-version=6.0`)
          assert.strictEqual(raw.status, 204, target)
          assert.strictEqual(raw.reason, "No Content")
          assert.strictEqual(raw.body, "")
          assert.isUndefined(raw.headers["content-length"])
        }
        const codes = {
          "/Services/lab~nope/$/GetPartitions": "FABRIC_E_SERVICE_DOES_NOT_EXIST",
          "/Services/lab~nope/$/GetDescription": "FABRIC_E_SERVICE_DOES_NOT_EXIST",
          [`/Partitions/${nil}/$/GetReplicas`]: "FABRIC_E_PARTITION_NOT_FOUND",
          [`/Partitions/${nil}/$/GetServiceName`]: "FABRIC_E_PARTITION_NOT_FOUND",
          "/Applications/nope/$/GetServices": "FABRIC_E_APPLICATION_NOT_FOUND"
        }
        for (const [target, code] of Object.entries(codes)) {
          const raw = yield* request(port, "GET", `${target}?api-version=6.0`)
          assert.strictEqual(raw.status, 404, target)
          assert.strictEqual(errorCode(raw), code)
        }
      })
    )
  )

  it.live("pages a list: every item once, strictly after the token", () =>
    served((port) =>
      Effect.gen(function* () {
        interface Page {
          readonly ContinuationToken: string
          readonly Items: ReadonlyArray<{ readonly Name: string; readonly Id: unknown }>
        }
        const all = (target: string) =>
          Effect.gen(function* () {
            const names: Array<string> = []
            let token: string | undefined = undefined
            while (token !== "") {
              const tail: string = token === undefined ? "" : `&ContinuationToken=${token}`
              const raw = yield* request(port, "GET", `${target}&MaxResults=1${tail}`)
              const page = JSON.parse(raw.body) as Page
              assert.isAtMost(page.Items.length, 1)
              names.push(...page.Items.map((item) => item.Name))
              token = page.ContinuationToken
            }
            return names
          })
        const nodes = yield* all("/Nodes?api-version=6.3")
        assert.sameMembers(nodes, ["lab-m0", "lab-m1", "lab-m2", "orders-p", "orders-s1", "orders-s2"])
        assert.deepStrictEqual(yield* all("/Applications?api-version=6.1"), ["fabric:/lab", "fabric:/orders db"])
        const up = yield* request(port, "GET", "/Nodes?api-version=6.3&NodeStatusFilter=down")
        assert.deepStrictEqual(
          (JSON.parse(up.body) as Page).Items.map((item) => item.Name),
          ["orders-s2"]
        )
      })
    )
  )

  it.live("spells ids by the api-version", () =>
    served((port) =>
      Effect.gen(function* () {
        const name = (version: string) =>
          Effect.map(
            request(port, "GET", `/Partitions/${postgres.partitionId}/$/GetServiceName?api-version=${version}`),
            (raw) => JSON.parse(raw.body) as unknown
          )
        assert.deepStrictEqual(yield* name("6.0"), { Id: "orders%20db~main", Name: "fabric:/orders db/main" })
        assert.deepStrictEqual(yield* name("5.0"), { Id: "orders%20db/main", Name: "fabric:/orders db/main" })
      })
    )
  )

  it.live("answers 500 E_FAIL to a defect and 504 when its time is over, and lives on", () =>
    served((port) =>
      Effect.gen(function* () {
        yield* request(port, "POST", start())
        const control = yield* Control
        yield* control.breakNextGet
        const broken = yield* request(port, "GET", of("GetQuorumLossProgress"))
        assert.strictEqual(broken.status, 500)
        assert.strictEqual(broken.reason, "E_FAIL")
        assert.strictEqual(errorCode(broken), "E_FAIL")
        assert.strictEqual((yield* request(port, "GET", of("GetQuorumLossProgress"))).status, 200)
        yield* control.hangGets
        const late = yield* request(port, "GET", `${of("GetQuorumLossProgress")}&timeout=1`)
        assert.strictEqual(late.status, 504)
        assert.strictEqual(errorCode(late), "FABRIC_E_TIMEOUT")
      })
    )
  )
})

describe("the bounds and the defences", () => {
  it.live("a foreign Host, Origin or site is refused on every surface", () =>
    served((port) =>
      Effect.gen(function* () {
        const targets = ["/", start(), "/v1/clusters", "/metrics", "/v1/docs", "/healthz/x", "/readyzz"]
        const foreign = [
          ["Host: evil.example"],
          [`Host: evil.example:${port}`],
          ["Host: 127.0.0.1:1"],
          ["Origin: http://evil.example"],
          ["Origin: null"],
          ["Sec-Fetch-Site: cross-site"],
          ["Sec-Fetch-Site: same-site"]
        ]
        for (const target of targets) {
          for (const headers of foreign) {
            const raw = yield* request(port, target === start() ? "POST" : "GET", target, { headers })
            assert.strictEqual(raw.status, 403, `${target} ${headers[0]}`)
            assert.strictEqual(raw.reason, "Access Denied")
            assert.strictEqual(errorCode(raw), "E_ACCESSDENIED")
          }
        }
        const absolute = yield* request(port, "GET", "http://evil.example/v1/clusters")
        assert.strictEqual(absolute.status, 403)
        const list = yield* request(port, "GET", "/Faults/?api-version=6.0")
        assert.strictEqual(list.body, "[]", "no refused start left anything behind")
      })
    )
  )

  it.live("our own names, origin and pages are taken", () =>
    served(
      (port) =>
        Effect.gen(function* () {
          for (const headers of [
            [`Host: localhost:${port}`],
            [`Host: [::1]:${port}`],
            ["Host: tools.example"],
            ["Host: TOOLS.example:8443"],
            [`Origin: http://localhost:${port}`, "Sec-Fetch-Site: same-origin"],
            ["Sec-Fetch-Site: none"]
          ]) {
            assert.strictEqual((yield* request(port, "GET", "/healthz", { headers })).status, 200, headers[0])
            assert.strictEqual((yield* request(port, "GET", "/", { headers })).status, 200, headers[0])
          }
        }),
      { names: ["tools.example"] }
    )
  )

  it.live("another cluster's id is refused, ours is taken in any case", () =>
    served(
      (port) =>
        Effect.gen(function* () {
          const get = (id: string) =>
            request(port, "GET", "/Nodes?api-version=6.0", {
              headers: [`ClusterId: ${id}`, "X-ServiceFabricRequestId: r"]
            })
          assert.strictEqual((yield* get("CLUSTER-one")).status, 200)
          const other = yield* get("two")
          assert.strictEqual(other.status, 403)
          assert.strictEqual(errorCode(other), "E_ACCESSDENIED")
        }),
      { clusterId: "cluster-ONE" }
    )
  )

  it.live("a body over the limit is 413 on both surfaces, whether announced or not", () =>
    served(
      (port) =>
        Effect.gen(function* () {
          const big = "x".repeat(2000)
          const chunked = { headers: ["Transfer-Encoding: chunked"], body: `7d0\r\n${big}\r\n0\r\n\r\n` }
          for (const [method, target] of [
            ["POST", start()],
            ["POST", "/v1/plan"]
          ] as const) {
            for (const options of [{ body: big }, chunked]) {
              const raw = yield* request(port, method, target, options)
              assert.strictEqual(raw.status, 413, target)
              assert.strictEqual(errorCode(raw), "FABRIC_E_MESSAGE_TOO_LARGE")
            }
          }
          const small = yield* request(port, "POST", start(), {
            headers: ["Transfer-Encoding: chunked"],
            body: "1\r\nx\r\n0\r\n\r\n"
          })
          assert.strictEqual(small.status, 202)
        }),
      { limits: { bodyBytes: 1000 } }
    )
  )

  it.live("what Node cannot read is answered in JSON and closed", () =>
    served((port) =>
      Effect.gen(function* () {
        const nonsense = parse(yield* exchange(port, "what is this\r\n\r\n"))
        assert.strictEqual(nonsense.status, 400)
        assert.strictEqual(errorCode(nonsense), "E_INVALIDARG")
        const smuggled = parse(yield* exchange(port, `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n`))
        assert.strictEqual(smuggled.status, 400)
        const hostless = parse(yield* exchange(port, "GET / HTTP/1.0\r\n\r\n"))
        assert.strictEqual(hostless.status, 403)
        const nameless = parse(yield* exchange(port, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"))
        assert.deepStrictEqual([nameless.status, errorCode(nameless)], [403, "E_ACCESSDENIED"])
        const expecting = yield* request(port, "GET", "/", { headers: ["Expect: the-worst"] })
        assert.deepStrictEqual([expecting.status, errorCode(expecting)], [400, "E_INVALIDARG"])
        const long = yield* request(port, "GET", "/", { headers: [`X-Long: ${"x".repeat(20_000)}`] })
        assert.strictEqual(long.status, 431)
        assert.strictEqual((yield* request(port, "GET", "/")).status, 200)
      })
    )
  )

  it.live("a client that never ends its request is let go", () =>
    served(
      (port) =>
        Effect.gen(function* () {
          const raw = parse(yield* exchange(port, "GET / HTTP/1.1\r\nHost: x\r\n"))
          assert.strictEqual(raw.status, 408)
          assert.strictEqual(errorCode(raw), "E_INVALIDARG")
        }),
      { limits: { headersTime: 200, requestTime: 400 } }
    )
  )

  it.live("says why it cannot listen", () =>
    served((port) =>
      Effect.gen(function* () {
        const attempt = (host: string, port: number) =>
          Effect.map(Effect.flip(Effect.scoped(NodeServer.serve({ host, port }))), (error) => error.reason)
        assert.strictEqual(yield* attempt("127.0.0.1", port), "AddressInUse")
        assert.strictEqual(yield* attempt("192.0.2.1", 0), "BadAddress")
        assert.strictEqual(yield* attempt("127.0.0.1", 70_000), "BadAddress")
      })
    )
  )

  it.live("closes: event streams end, nothing listens any more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      // Longer than the test may take: the stream has to end by itself, not by the connection being cut.
      const serving = yield* NodeServer.serve({
        host: "127.0.0.1",
        port: 0,
        limits: { closingTime: 300_000 }
      }).pipe(Scope.provide(scope))
      yield* request(serving.port, "POST", start())
      const opened = yield* Deferred.make<void>()
      const listening = yield* Effect.forkChild(
        Effect.callback<string>((resume) => {
          const socket = Net.connect(serving.port, "127.0.0.1")
          let text = ""
          socket.on("data", (chunk: Buffer) => {
            text += chunk.toString()
            if (text.includes("event: change")) Deferred.doneUnsafe(opened, Exit.void)
          })
          socket.on("error", () => {})
          socket.on("close", () => resume(Effect.succeed(text)))
          socket.write(`GET /v1/operations/${O}/events HTTP/1.1\r\nHost: 127.0.0.1:${serving.port}\r\n\r\n`)
        })
      )
      yield* Deferred.await(opened)
      yield* Scope.close(scope, Exit.void)
      assert.include(yield* Fiber.join(listening), "event: change")
      const refused = yield* exchange(serving.port, "GET / HTTP/1.1\r\n\r\n")
      assert.strictEqual(refused, "")
    }).pipe(Effect.provide(layer))
  )
})

describe("/v1", () => {
  const json = (raw: { readonly body: string }) => JSON.parse(raw.body) as Record<string, unknown>
  const put = (port: number, id: string, value: unknown) =>
    request(port, "PUT", `/v1/operations/${id}`, {
      headers: ["Content-Type: application/json"],
      body: typeof value === "string" ? value : JSON.stringify(value)
    })

  it.live("replays the same start, refuses another one under the same id, and a second on the same partition", () =>
    served((port) =>
      Effect.gen(function* () {
        const first = yield* put(port, O, body)
        assert.strictEqual(first.status, 200, first.body)
        assert.strictEqual(json(first)["replayed"], false)
        const second = yield* put(port, O, body)
        assert.strictEqual(second.status, 200)
        assert.strictEqual(json(second)["replayed"], true)
        assert.deepStrictEqual(json(second)["operation"], json(first)["operation"])
        const other = yield* put(port, O, { ...body, hold: 1 })
        assert.strictEqual(other.status, 409)
        assert.strictEqual(errorCode(other), "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
        const busy = yield* put(port, O2, body)
        assert.strictEqual(busy.status, 409)
        assert.strictEqual((json(busy)["Refusal"] as Record<string, unknown>)["_tag"], "Busy")
        const unknown = yield* put(port, O2, { ...body, serviceName: "fabric:/no/such" })
        assert.strictEqual(unknown.status, 422)
        assert.strictEqual((json(unknown)["Refusal"] as Record<string, unknown>)["_tag"], "UnknownService")
      })
    )
  )

  it.live("says which field is wrong, and that bad JSON is bad JSON", () =>
    served((port) =>
      Effect.gen(function* () {
        for (const [value, field] of [
          [{ ...body, mode: "Some" }, "body.mode"],
          [{ ...body, hold: -1 }, "body.hold"],
          [{ ...body, hold: 1.5 }, "body.hold"],
          [{ ...body, partitionId: "x" }, "body.partitionId"],
          ["{", "body"],
          ["", "body"]
        ] as const) {
          const raw = yield* put(port, O, value)
          assert.strictEqual(raw.status, 400, raw.body)
          assert.strictEqual(errorCode(raw), "E_INVALIDARG")
          assert.include(raw.body, field)
        }
        const id = yield* put(port, "nope", body)
        assert.strictEqual(id.status, 400)
        assert.include(id.body, "path.id")
        const limit = yield* request(port, "GET", "/v1/operations?limit=many")
        assert.strictEqual(limit.status, 400)
        assert.include(limit.body, "query.limit")
        const type = yield* request(port, "POST", "/v1/plan", { headers: ["Content-Type: text/xml"], body: "<a/>" })
        assert.strictEqual(type.status, 415)
        assert.strictEqual(errorCode(type), "E_INVALIDARG")
      })
    )
  )

  it.live("answers JSON for unknown paths, and the documents are there", () =>
    served((port) =>
      Effect.gen(function* () {
        for (const target of ["/v1", "/v1/nope", "/v1/Clusters"]) {
          const raw = yield* request(port, "GET", target)
          assert.strictEqual(raw.status, 404, target)
          assert.strictEqual(errorCode(raw), "E_INVALIDARG")
        }
        // A path that only begins like ours belongs to the other surface.
        assert.strictEqual((yield* request(port, "GET", "/v10")).status, 400)
        const openapi = yield* request(port, "GET", "/v1/openapi.json")
        assert.strictEqual(openapi.status, 200)
        assert.includeMembers(Object.keys(json(openapi)["paths"] as object), [
          "/v1/clusters",
          "/v1/plan",
          "/v1/operations",
          "/v1/operations/{id}",
          "/v1/operations/{id}/events",
          "/v1/operations/{id}/cancel",
          "/healthz"
        ])
        const docs = yield* request(port, "GET", "/v1/docs")
        assert.strictEqual(docs.status, 200)
        assert.include(docs.headers["content-type"], "text/html")
        assert.notMatch(docs.body, /<(script|link)[^>]+(src|href)="?https?:/)
        assert.include(docs.headers["content-security-policy"], "default-src 'none'")
      })
    )
  )

  it.live("a defect is 500 in JSON", () =>
    served((port) =>
      Effect.gen(function* () {
        yield* put(port, O, body)
        yield* (yield* Control).breakNextGet
        const raw = yield* request(port, "GET", `/v1/operations/${O}/events`)
        assert.strictEqual(raw.status, 500)
        assert.strictEqual(errorCode(raw), "E_FAIL")
      })
    )
  )
})

describe("the clients", () => {
  const client = (port: number) =>
    Client.make({ endpoint: `http://127.0.0.1:${port}/` }).pipe(Effect.provide(FetchHttpClient.layer))
  const fabric = (port: number) =>
    FabricClient.make({ endpoint: `http://127.0.0.1:${port}` }).pipe(Effect.provide(FetchHttpClient.layer))

  it.live("/v1: plans, starts, follows to the end and reads the evidence", () =>
    served((port) =>
      Effect.gen(function* () {
        const api = yield* client(port)
        yield* api.alive
        assert.deepStrictEqual(
          (yield* api.clusters).map((cluster) => cluster.name),
          ["lab", "orders db"]
        )
        const preview = yield* api.plan({ kind, ...body })
        assert.strictEqual(preview.plan?.fences.length, 2)
        const receipt = yield* api.start(O, { kind, ...body })
        assert.isFalse(receipt.replayed)
        assert.isTrue((yield* api.start(O, { kind, ...body })).replayed)
        const first = yield* Deferred.make<void>()
        const watching = yield* api.watch(O).pipe(
          Stream.tap(() => Deferred.succeed(first, undefined)),
          Stream.runCollect,
          Effect.forkChild
        )
        yield* Deferred.await(first)
        yield* hold(O, 1_700_000_000_000)
        yield* finish(O, 1_700_000_060_000)
        const changes = yield* Fiber.join(watching)
        assert.strictEqual(changes[0]?.state, "Running")
        assert.strictEqual(changes.at(-1)?.state, "Completed")
        assert.strictEqual(changes.flatMap((change) => change.entries).length, 7)
        const detail = yield* api.detail(O)
        assert.strictEqual(detail.state, "Completed")
        assert.strictEqual(detail.evidence.notes.length, 7)
        assert.deepStrictEqual(
          (yield* api.list(5)).map((view) => view.operation.id),
          [O]
        )
      })
    )
  )

  it.live("/v1: errors come back as what they are", () =>
    served((port) =>
      Effect.gen(function* () {
        const api = yield* client(port)
        const unknown = yield* Effect.flip(api.detail(O))
        assert(unknown._tag === "ApiError")
        assert.strictEqual(unknown.status, 404)
        assert.strictEqual(unknown.code, "FABRIC_E_KEY_NOT_FOUND")
        const watched = yield* Effect.flip(Stream.runDrain(api.watch(O)))
        assert(watched._tag === "ApiError")
        assert.strictEqual(watched.status, 404)
        yield* api.start(O, { kind, ...body })
        const busy = yield* Effect.flip(api.start(O2, { kind, ...body }))
        assert(busy._tag === "ApiError")
        assert.strictEqual(busy.refusal?._tag, "Busy")
        assert.strictEqual(busy.status, 409)
        const force = yield* Effect.flip(api.cancel(O, true))
        assert(force._tag === "ApiError")
        assert.strictEqual(force.status, 409)
        assert.strictEqual((yield* api.cancel(O, false)).state, "Cancelled")
      })
    )
  )

  it.live("/v1: a broken event stream is followed by asking again", () =>
    Effect.gen(function* () {
      // The first server goes away in mid-stream; a second takes its port, as a restarted worker would.
      const operations = yield* Operations
      const first = yield* Scope.make()
      const serving = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 }).pipe(Scope.provide(first))
      const api = yield* client(serving.port)
      yield* api.start(O, { kind, ...body })
      const opened = yield* Deferred.make<void>()
      const watching = yield* api.watch(O).pipe(
        Stream.tap(() => Deferred.succeed(opened, undefined)),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* Deferred.await(opened)
      yield* Scope.close(first, Exit.void)
      yield* NodeServer.serve({ host: "127.0.0.1", port: serving.port })
      yield* operations.cancel(O, false)
      const changes = yield* Fiber.join(watching)
      assert.deepStrictEqual(
        changes.map((change) => change.state),
        ["Running", "Cancelled"]
      )
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("an event stream that is silent says that it lives", () =>
    served(
      (port) =>
        Effect.gen(function* () {
          yield* request(port, "POST", start())
          const text = yield* Effect.callback<string>((resume) => {
            const socket = Net.connect(port, "127.0.0.1")
            let text = ""
            socket.on("data", (chunk: Buffer) => {
              text += chunk.toString()
              if ((text.match(/: alive/g)?.length ?? 0) >= 3) {
                socket.destroy()
                resume(Effect.succeed(text))
              }
            })
            socket.write(`GET /v1/operations/${O}/events HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
          })
          assert.include(text.toLowerCase(), "content-type: text/event-stream")
          assert.strictEqual(text.match(/event: change/g)?.length, 1)
        }),
      { heartbeat: "50 millis" }
    )
  )

  it.live("Service Fabric: every call comes back decoded", () =>
    served((port) =>
      Effect.gen(function* () {
        const client = yield* fabric(port)
        const start = {
          serviceId: "lab~kv",
          partitionId: P,
          operationId: O,
          mode: "QuorumReplicas" as const,
          durationSeconds: 60
        }
        yield* client.startQuorumLoss(start)
        assert.deepStrictEqual(yield* client.getQuorumLossProgress({ ...start, serviceId: "lab/kv" }), {
          State: "Running"
        })
        const duplicate = yield* Effect.flip(client.startQuorumLoss(start))
        assert(duplicate._tag === "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
        assert.strictEqual(duplicate.code, duplicate._tag)
        assert.strictEqual(duplicate.status, 409)
        assert.deepStrictEqual((yield* client.getFaultOperationList({ stateFilter: 1 })).length, 1)
        yield* client.cancelOperation(O, false)
        assert.deepStrictEqual(yield* client.getQuorumLossProgress(start), { State: "Cancelled" })
        assert.strictEqual(yield* client.getClusterVersion, "8.2.0.0")
        assert.include(yield* client.getClusterManifest, 'NodeName="lab-m0"')
        const health = yield* client.getClusterHealth
        assert.strictEqual(health.AggregatedHealthState, "Error")
        assert.strictEqual(health.NodeHealthStates?.length, 6)
        assert.strictEqual((yield* client.getNodes).length, 6)
        assert.strictEqual((yield* client.getNode("lab-m0"))?.NodeStatus, "Up")
        assert.isNull(yield* client.getNode("nope"))
        assert.deepStrictEqual(
          (yield* client.getApplications).map((info) => info.Id),
          ["lab", "orders%20db"]
        )
        assert.strictEqual((yield* client.getApplication("orders%20db"))?.HealthState, "Warning")
        const [service] = yield* client.getServices("orders%20db")
        assert.strictEqual(service?.Id, "orders%20db~main")
        assert.deepStrictEqual(yield* client.getService("orders%20db", service!.Id), service)
        const description = yield* client.getServiceDescription(service!.Id)
        assert.strictEqual(description.TargetReplicaSetSize, 3)
        assert.strictEqual(description.MinReplicaSetSize, 2)
        assert.deepStrictEqual(yield* client.getApplicationName("lab~kv"), { Id: "lab", Name: "fabric:/lab" })
        const [partition] = yield* client.getPartitions("lab~kv")
        assert.strictEqual(partition?.PartitionInformation.Id, P)
        assert.strictEqual((yield* client.getPartition(P))?.PartitionStatus, "Ready")
        assert.deepStrictEqual(yield* client.getServiceName(P), { Id: "lab~kv", Name: "fabric:/lab/kv" })
        const replicas = yield* client.getReplicas(P)
        assert.deepStrictEqual(replicas.map((replica) => replica.ReplicaRole).sort(), [
          "ActiveSecondary",
          "ActiveSecondary",
          "Primary"
        ])
        assert.deepStrictEqual(yield* client.getReplica(P, replicas[0]!.ReplicaId!), replicas[0])
        const invalid = yield* Effect.flip(client.getServiceDescription("a?b"))
        assert.strictEqual(invalid._tag, "FABRIC_E_INVALID_NAME_URI")
      })
    )
  )

  it.live("Service Fabric: a GET is repeated after a 503, a POST never", () =>
    Effect.gen(function* () {
      let requests = 0
      const reply = (status: string, body: string) =>
        `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      const busy = reply("503 X", '{"Error":{"Code":"FABRIC_E_NOT_READY","Message":"later"}}')
      const port = yield* Effect.acquireRelease(
        Effect.callback<{ readonly server: Net.Server; readonly port: number }>((resume) => {
          const server = Net.createServer((socket) => {
            socket.on("error", () => {})
            socket.once("data", (chunk: Buffer) => {
              requests++
              const get = chunk.toString().startsWith("GET")
              socket.end(get && requests === 3 ? reply("200 OK", '{"Version":"9.9"}') : busy)
            })
          }).listen(0, "127.0.0.1", () =>
            resume(Effect.succeed({ server, port: (server.address() as Net.AddressInfo).port }))
          )
        }),
        ({ server }) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const client = yield* fabric(port.port)
      assert.strictEqual(yield* client.getClusterVersion, "9.9")
      assert.strictEqual(requests, 3)
      const error = yield* Effect.flip(client.cancelOperation(O, false))
      assert.strictEqual(requests, 4)
      assert.strictEqual(error._tag, "FABRIC_E_NOT_READY")
    }).pipe(Effect.scoped)
  )

  it.live("nobody there is said as such by both", () =>
    Effect.gen(function* () {
      const dead = 1
      const one = yield* Effect.flip((yield* fabric(dead)).cancelOperation(O, false))
      assert.strictEqual(one._tag === "FabricTransportError" && one.reason, "Unreachable")
      const two = yield* Effect.flip((yield* client(dead)).cancel(O, false))
      assert.strictEqual(two._tag === "ClientError" && two.reason, "Unreachable")
    })
  )
})
