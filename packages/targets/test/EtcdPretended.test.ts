/** A server of ours that answers as etcd would, for what a real one does not do on request. */
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as http from "node:http"
import * as http2 from "node:http2"
import * as net from "node:net"
import { Auth, Cluster, KV, Maintenance } from "../src/EtcdMessages.ts"
import { only, open } from "./EtcdCluster.ts"

const header = { clusterId: 7n, memberId: 1n, revision: 1n, raftTerm: 2n }

interface Answers {
  readonly status: () => typeof status
  readonly memberList: () => typeof list
  readonly range: (request: unknown, context: { readonly requestHeader: Headers }) => { readonly header: typeof header }
  readonly authenticate: (request: { readonly password: string }) => { readonly token: string }
}

const status = { header, version: "3.6.0", leader: 1n, raftTerm: 2n, raftAppliedIndex: 1n, errors: [] as Array<string> }
const member = { ID: 1n, name: "m0", peerURLs: ["http://127.0.0.1:1"], clientURLs: [] }
const list = { header, members: [member] }

const answers: Answers = {
  status: () => status,
  memberList: () => list,
  range: () => ({ header }),
  authenticate: () => ({ token: "t" })
}

/** Serves as etcd on this port, 0 for a free one, until the scope ends or it is closed. */
const pretend = Effect.fnUntraced(function* (own: Partial<Answers> = {}, port = 0) {
  const said = { ...answers, ...own }
  const routes = (router: ConnectRouter) =>
    router
      .service(Maintenance, { status: said.status })
      .service(Cluster, { memberList: said.memberList })
      .service(KV, { range: said.range, put: () => ({ header }) })
      .service(Auth, { authenticate: said.authenticate })
  const sessions = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer(connectNodeAdapter({ routes })).on("session", (session) => sessions.add(session))
  const close = Effect.callback<void>((resume) => {
    for (const session of sessions) session.destroy()
    server.close(() => resume(Effect.void))
  })
  const listening = Effect.callback<number>((resume) => {
    server.listen(port, "127.0.0.1", () => resume(Effect.succeed((server.address() as net.AddressInfo).port)))
  })
  return { port: yield* Effect.acquireRelease(listening, () => close), close }
})

const openOn = (port: number, more: object = {}) =>
  open({ ...more, members: [{ name: "m0", address: `127.0.0.1:${port}` }] })

const refuse = (code: Code, text: string) => (): never => {
  throw new ConnectError(text, code)
}

describe("what answers as etcd", () => {
  it.live("stays etcd when something else takes its port: the member is down, and the cluster is known", () =>
    Effect.gen(function* () {
      const { close, port } = yield* pretend()
      const target = yield* openOn(port)
      assert.isTrue((yield* only(target)).members[0]!.up)
      yield* close
      const web = http.createServer((_, response) => response.writeHead(404).end())
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void web.listen(port, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => web.close().closeAllConnections())
      )
      const seen = yield* only(target)
      assert.isFalse(seen.members[0]!.up)
      assert.match(seen.members[0]!.downBecause!, /^does not answer: /)
      // Who never knew it as etcd says that it is none.
      const stranger = yield* Effect.flip((yield* openOn(port)).discover)
      assert.deepInclude(stranger, { reason: "Unsupported" })
      assert.match(stranger.detail, /does not speak gRPC as etcd does/)
    })
  )

  it.live("and ends each connection without a word, as PostgreSQL does, is asked about in words for a person", () =>
    Effect.gen(function* () {
      const other = net.createServer((socket) => socket.once("data", () => socket.destroy()))
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void other.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => other.close())
      )
      const { port } = other.address() as net.AddressInfo
      const error = yield* Effect.flip((yield* openOn(port)).discover)
      assert.include(error.detail, `127.0.0.1:${port} took the connection and ended it without a word`)
    })
  )

  it.live("tells its alarms in the form of release 3.6 too", () =>
    Effect.gen(function* () {
      const { port } = yield* pretend({
        status: () => ({ ...status, errors: ["memberID:1  alarm:NOSPACE"] })
      })
      assert.match((yield* only(yield* openOn(port))).unfit!.join(), /^the alarm NOSPACE is raised by m0: /)
    })
  )

  it.live("and lets nobody ask for its state without a user is told so", () =>
    Effect.gen(function* () {
      const { port } = yield* pretend({
        status: refuse(Code.InvalidArgument, "etcdserver: user name is empty"),
        memberList: refuse(Code.InvalidArgument, "etcdserver: user name is empty")
      })
      const error = yield* Effect.flip((yield* openOn(port)).discover)
      assert.deepInclude(error, { reason: "Misconfigured" })
      assert.match(error.detail, /authentication is on: configure user and password/)
    })
  )

  it.live("gets one token for many calls, another once it is old, and a refused password only now and then", () =>
    Effect.gen(function* () {
      let given = 0
      let asked = 0
      let valid = "t1"
      const own = {
        range: (_: unknown, { requestHeader }: Parameters<Answers["range"]>[1]) => {
          if (requestHeader.get("token") !== valid)
            throw new ConnectError("etcdserver: invalid auth token", Code.Unauthenticated)
          return { header }
        },
        authenticate: ({ password }: { readonly password: string }) => {
          asked++
          if (password !== "right") {
            throw new ConnectError(
              "etcdserver: authentication failed, invalid user ID or password",
              Code.InvalidArgument
            )
          }
          return { token: `t${++given}` }
        }
      }
      const { port } = yield* pretend(own)
      const target = yield* openOn(port, { user: "drill", password: "right" })
      for (let looks = 0; looks < 3; looks++) assert.isUndefined((yield* only(target)).unfit)
      assert.strictEqual(given, 1)
      valid = "t2"
      assert.isUndefined((yield* only(target)).unfit)
      assert.strictEqual(given, 2)
      asked = 0
      const wrong = yield* openOn(port, { user: "drill", password: Redacted.value(Redacted.make("wrong")) })
      for (let looks = 0; looks < 3; looks++) {
        assert.match((yield* only(wrong)).unfit!.join(), /the user drill with the configured password is not accepted/)
      }
      assert.strictEqual(asked, 1)
    })
  )

  it.live("says too much is not believed, and keeps nobody", () =>
    Effect.gen(function* () {
      const name = "m".repeat(5 * 1024 * 1024)
      const { port } = yield* pretend({
        memberList: () => ({ header, members: [{ ...member, name }] })
      })
      const error = yield* Effect.flip((yield* openOn(port)).discover)
      assert.isBelow(error.detail.length, 1000)
    })
  )
})
