/**
 * The requests of one connection in their turn: what stands behind a refused request is not carried out, whatever the
 * reason of the refusal. Also connections that say nothing: they leave the process the files that it needs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Operations } from "@inquorate/core/Operations"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Jose from "jose"
import { type ChildProcess, spawn } from "node:child_process"
import * as Net from "node:net"
import * as path from "node:path"
import * as NodeServer from "../src/server/NodeServer.ts"
import * as OpenFiles from "../src/server/OpenFiles.ts"
import * as Token from "../src/server/Token.ts"
import { etcd, layer } from "./FakeOperations.ts"
import { exchange } from "./http.ts"

const issuer = "https://issuer.example"
const audience = "inquorate"
const pair = await Jose.generateKeyPair("ES256", { extractable: true })
const jwks = JSON.stringify({ keys: [{ ...(await Jose.exportJWK(pair.publicKey)), kid: "one" }] })
const tokens: Token.Rules = { keys: Result.getOrThrow(Token.readKeys(jwks)), issuer, audiences: [audience] }
const signed = (roles: string) =>
  new Jose.SignJWT({ roles })
    .setProtectedHeader({ alg: "ES256", kid: "one" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime("1h")
    .sign(pair.privateKey)

const admin = await signed("Admin")
const user = await signed("User")

const ids = [1, 2, 3].map((n) => `${n}`.repeat(8) + "-1111-4111-8111-111111111111")

const message = (port: number, line: string, headers: ReadonlyArray<string> = [], body = ""): string =>
  [
    `${line} HTTP/1.1`,
    ...(headers.some((header) => header.startsWith("Host:")) ? [] : [`Host: 127.0.0.1:${port}`]),
    ...headers,
    ...(body === "" || headers.some((header) => header.startsWith("Transfer"))
      ? []
      : [`Content-Length: ${body.length}`]),
    "",
    body
  ].join("\r\n")

const starts = (port: number): string =>
  ids
    .map((id) =>
      message(
        port,
        `POST /Faults/Services/lab~kv/$/GetPartitions/${etcd.partitionId}/$/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=5`,
        [`Authorization: Bearer ${admin}`, "Content-Length: 0"]
      )
    )
    .join("")

const put = (port: number): string =>
  message(
    port,
    `PUT /v1/operations/${ids[0]}`,
    [`Authorization: Bearer ${admin}`, "Content-Type: application/json"],
    JSON.stringify({ serviceName: "fabric:/lab/kv", partitionId: etcd.partitionId, mode: "QuorumReplicas", hold: 5000 })
  )

const bearer = (token: string) => `Authorization: Bearer ${token}`

const refused: Readonly<Record<string, (port: number) => string>> = {
  "for its Host": (port) => message(port, "GET /", ["Host: evil.example"]),
  "for its Origin": (port) => message(port, "POST /v1/plan", ["Origin: http://evil.example", "Content-Length: 0"]),
  "for its length": (port) => message(port, "POST /v1/plan", [bearer(admin), "Content-Length: 99999999"]),
  "for a body without an end": (port) =>
    message(
      port,
      `POST /Faults/$/Cancel?api-version=6.0&OperationId=${ids[0]}`,
      [bearer(admin), "Transfer-Encoding: chunked"],
      `${"7d0\r\n" + "x".repeat(2000)}\r\n0\r\n\r\n`
    ),
  "for its Expect": (port) => message(port, "GET /", ["Expect: the impossible"]),
  "for want of a token": (port) => message(port, "GET /Nodes?api-version=6.0"),
  "for a role that is too low": (port) =>
    message(port, `POST /Faults/$/Cancel?api-version=6.0&OperationId=${ids[0]}`, [bearer(user), "Content-Length: 0"]),
  "for its words": (port) => `NONSENSE\r\n${message(port, "GET /")}`
}

const served = <A>(test: (port: number) => Effect.Effect<A>, limits: Partial<NodeServer.Limits> = {}) =>
  Effect.gen(function* () {
    const { port } = yield* NodeServer.serve({
      host: "127.0.0.1",
      port: 0,
      limits: { bodyBytes: 1000, ...limits },
      authentication: { certificates: null, tokens }
    })
    const answer = yield* test(port)
    return { answer, operations: yield* (yield* Operations).list(100) }
  }).pipe(Effect.scoped, Effect.provide(layer))

describe("what stands behind a request that was refused", () => {
  for (const [what, first] of Object.entries(refused)) {
    for (const [surface, behind] of [
      ["Service Fabric's", starts],
      ["ours", put]
    ] as const) {
      it.live(`${what} is not carried out (${surface})`, () =>
        Effect.gen(function* () {
          const { answer, operations } = yield* served((port) => exchange(port, first(port) + behind(port)))
          assert.match(answer, /^HTTP\/1\.1 4\d\d /)
          assert.lengthOf(answer.match(/HTTP\/1\.1 /g) ?? [], 1, answer)
          assert.deepStrictEqual(operations, [])
        })
      )
    }
  }

  it.live("for too many that wait is not carried out", () =>
    Effect.gen(function* () {
      const look = (port: number) => message(port, "GET /Nodes?api-version=6.0", [bearer(user)])
      const { answer, operations } = yield* served((port) => exchange(port, look(port).repeat(3) + starts(port)), {
        pipelined: 2
      })
      assert.deepStrictEqual(answer.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 503"])
      assert.deepStrictEqual(operations, [])
    })
  )
})

it.live("what stands behind one that was carried out is carried out after it, and answered in order", () =>
  Effect.gen(function* () {
    const last = (port: number) => message(port, "GET /healthz", ["Connection: close"])
    const { answer, operations } = yield* served((port) => exchange(port, starts(port) + last(port)))
    assert.deepStrictEqual(answer.match(/HTTP\/1\.1 \d+/g), [
      "HTTP/1.1 202",
      "HTTP/1.1 202",
      "HTTP/1.1 202",
      "HTTP/1.1 200"
    ])
    assert.lengthOf(operations, 3)
  })
)

it.live("a connection that never stops asking while it is not answered is dropped", () =>
  Effect.gen(function* () {
    const { answer } = yield* served((port) =>
      exchange(port, message(port, "GET /Nodes?api-version=6.0", [bearer(user)]).repeat(3000))
    )
    assert.isAtMost(answer.match(/HTTP\/1\.1 /g)?.length ?? 0, NodeServer.limits.pipelined + 1)
  })
)

describe("connections that say nothing", () => {
  it("are taken by the number of files that may be open", () => {
    const limits = (soft: string) =>
      `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}    4096   files\n`
    assert.strictEqual(OpenFiles.connections(1024, OpenFiles.limitOf(limits("1024"))), 512)
    assert.strictEqual(OpenFiles.connections(1024, OpenFiles.limitOf(limits("20000"))), 1024)
    assert.strictEqual(OpenFiles.connections(1024, OpenFiles.limitOf(limits("unlimited"))), 1024)
    assert.strictEqual(OpenFiles.connections(1024, OpenFiles.limitOf("")), 1024)
    assert.strictEqual(OpenFiles.connections(1024, 1), 1)
  })

  it.live("leave the process the files that it needs, however many come", () =>
    Effect.gen(function* () {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            "sh",
            [
              "-c",
              'ulimit -n 200; exec "$@"',
              "sh",
              process.execPath,
              "--no-warnings",
              path.join(import.meta.dirname, "crowded-server.ts")
            ],
            { stdio: ["pipe", "pipe", "inherit"] }
          )
        ),
        (running) => Effect.sync(() => void running.kill("SIGKILL"))
      )
      const port = Number((yield* said(child)).replace("port ", ""))
      const sockets = yield* Effect.acquireRelease(
        Effect.forEach(Array.from({ length: 300 }), () => silent(port), { concurrency: 50 }),
        (all) => Effect.sync(() => all.forEach((socket) => socket.destroy()))
      )
      const kept = sockets.filter((socket) => !socket.destroyed).length
      assert.isAtMost(kept, 100)
      child.stdin.write("now\n")
      const answer = /^free (\d+) child 0$/.exec((yield* said(child)).trim())
      assert.isAtLeast(Number(answer?.[1]), 50)
    }).pipe(Effect.scoped)
  )
})

const said = (child: ChildProcess): Effect.Effect<string> =>
  Effect.callback((resume) => {
    child.stdout?.once("data", (data: Buffer) => resume(Effect.succeed(data.toString())))
    child.once("exit", (code) => resume(Effect.succeed(`ended with ${code}`)))
  })

/** A connection that says nothing, once it is taken or dropped. */
const silent = (port: number): Effect.Effect<Net.Socket> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => setTimeout(() => resume(Effect.succeed(socket)), 100))
    socket.on("error", () => resume(Effect.succeed(socket)))
  })
