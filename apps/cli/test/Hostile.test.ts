/**
 * A worker, a gateway, or whoever answers in their place, that names everything so that a terminal would act on it. Nothing
 * of it reaches the terminal, whichever command shows it; JSON says exactly what was said.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { topology } from "./FakeWorker.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

/** Clears the screen, sets the title, turns the direction, and forges a line. */
const evil = "\u001B[2J\u001B]0;owned\u0007\u202E\u009B1m\r\nFORGED healthy\u2028\u007F"

const acting = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

const O = "11111111-1111-4111-8111-111111111111"

const group = {
  ...topology,
  group: "kv",
  rule: evil,
  members: topology.members.map((member) => ({ ...member, name: `${member.name}${evil}`, processProblem: evil }))
}

const clusters = [
  { name: "lab", system: "etcd", injector: "kill", protected: false, maxHold: null, groups: [group], problem: evil }
]

const node = {
  name: evil,
  instanceId: "1",
  status: "Up",
  since: evil,
  health: "Ok",
  stopped: false,
  address: evil,
  type: evil,
  faultDomain: evil,
  upgradeDomain: evil
}

const error = { Error: { Code: "FABRIC_E_INVALID_OPERATION", Message: evil } }

const ofWorker: ReadonlyArray<readonly [RegExp, number, unknown]> = [
  [/^GET \/v1\/clusters/, 200, clusters],
  [/^GET \/v1\/nodes$/, 200, [node]],
  [/^GET \/v1\/nodes\//, 200, node],
  [
    /^GET \/v1\/health/,
    200,
    {
      kind: "Cluster",
      name: evil,
      state: "Ok",
      reports: [{ source: evil, property: evil, state: "Ok", description: evil, since: evil }],
      below: [{ kind: "Node", name: evil, state: "Ok" }]
    }
  ],
  [/^POST \/v1\/plan/, 200, { topology: group, plan: null, fences: [], notes: [evil], refusal: null }],
  [/./, 400, error]
]

const gateway: ReadonlyArray<readonly [RegExp, number, unknown]> = [
  [/GetClusterVersion/, 200, { Version: evil }],
  [/^GET \/Applications\?/, 200, { Items: [{ Id: "app", Name: evil, TypeName: evil }] }],
  [/GetServices/, 200, { Items: [{ Id: "app~svc", Name: evil, ServiceKind: "Stateful" }] }],
  [
    /GetPartitions/,
    200,
    { Items: [{ ServiceKind: "Stateful", PartitionInformation: { ServicePartitionKind: "Singleton", Id: O } }] }
  ],
  [/GetReplicas/, 200, { Items: [{ ServiceKind: "Stateful", ReplicaId: "7", NodeName: evil }] }],
  [/./, 400, error]
]

const serve = (answers: typeof ofWorker) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const made = Http.createServer((request, response) => {
          const [, status, body] = answers.find(([pattern]) => pattern.test(`${request.method} ${request.url}`))!
          const worker = answers === ofWorker ? { "inquorate-api": "1" } : {}
          response.writeHead(status, { "content-type": "application/json", ...worker })
          response.end(body === undefined ? undefined : JSON.stringify(body))
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) => Effect.sync(() => (made.closeAllConnections(), made.close()))
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

const commands = [
  "partitions",
  "clusters",
  "health",
  "node list",
  "list",
  `show ${O}`,
  `watch ${O}`,
  `cancel ${O}`,
  "plan lab/kv",
  "start lab/kv -d 1s",
  "restart lab",
  "node stop n0",
  "recover all --yes",
  "chaos show"
].map((line) => line.split(" "))

describe("what others say does not act on the terminal", () => {
  for (const [who, answers, some] of [
    ["a worker", ofWorker, 20],
    ["a gateway", gateway, 20]
  ] as const) {
    it.live(`of who asks ${who}, whatever the command`, () =>
      Effect.gen(function* () {
        const endpoint = yield* serve(answers)
        let shown = 0
        for (const words of commands) {
          for (const form of ["table", "json"]) {
            const { error, out } = yield* inq.run([...words, "--endpoint", endpoint, "--output", form])
            assert.notMatch(out, acting, `${words.join(" ")} --output ${form}`)
            assert.notMatch(error, acting, words.join(" "))
            assert.notMatch(`${out}${error}`, /^FORGED/m, words.join(" "))
            if (`${out}${error}`.includes("\\u001b[2J")) shown++
          }
        }
        assert.isAtLeast(shown, some, "it was told, and not left out")
      }).pipe(Effect.scoped)
    )
  }

  it.live("and JSON says exactly what was said", () =>
    Effect.gen(function* () {
      const endpoint = yield* serve(ofWorker)
      const { out } = yield* inq.run(["clusters", "--endpoint", endpoint, "--output", "json"])
      assert.deepStrictEqual(JSON.parse(out), clusters)
    }).pipe(Effect.scoped)
  )

  it.live("nor does what was typed, however wrong", () =>
    Effect.gen(function* () {
      for (const words of [
        [evil],
        ["show", evil],
        [`--${evil}`],
        ["start", "lab", "--mode", evil, "-d", evil],
        ["--endpoint", evil, "list"]
      ]) {
        const { code, error, out } = yield* inq.run(words)
        assert.strictEqual(code, 2, words.join(" "))
        assert.notMatch(out, acting, words.join(" "))
        assert.notMatch(error, acting, words.join(" "))
      }
    })
  )
})
