/** What each kind of witness takes for an answer. No witness is asked twice at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Certificates from "@inquorate/testkit/Certificates"
import * as fs from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import * as os from "node:os"
import * as path from "node:path"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as WebRead from "../src/WebRead.ts"
import * as Witness from "../src/Witness.ts"

const serve = (listener: http.RequestListener) => listening(http.createServer(listener))

const listening = (server: http.Server | https.Server) =>
  Effect.acquireRelease(
    Effect.callback<http.Server | https.Server>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`))

const ask = (question: Witness.Question, timeout = 2000) =>
  Effect.flatMap(Witness.make("lab", { name: "api", every: 1000, timeout, ...question }), ({ ask }) => ask)

describe("a witness by HTTP", () => {
  it.live("serves below 400, and else is told with what it answered", () =>
    Effect.gen(function* () {
      let status = 204
      const url = yield* serve((_, response) => void response.writeHead(status).end(status < 400 ? "" : "no\n leader"))
      assert.deepStrictEqual(yield* ask({ http: url }), { _tag: "Serves", detail: "HTTP 204" })
      status = 503
      assert.deepStrictEqual(yield* ask({ http: { url } }), { _tag: "Fails", detail: "HTTP 503: no leader" })
    }).pipe(Effect.scoped)
  )

  it.live("that says nothing, or is not there, is silent", () =>
    Effect.gen(function* () {
      const url = yield* serve(() => {})
      const silent = yield* ask({ http: url }, 100)
      assert.deepStrictEqual(silent, { _tag: "Silent", detail: "no answer within 100 ms" })
      const nobody = yield* ask({ http: "http://127.0.0.1:1/" })
      assert.strictEqual(nobody._tag, "Silent")
      assert.match(nobody.detail, /ECONNREFUSED/)
      const unread = yield* ask({ http: { url, ca: "/nowhere/ca.pem" } })
      assert.match(unread.detail, /its ca cannot be read/)
    }).pipe(Effect.scoped)
  )

  it.live("is asked with a certificate and a token, each read anew from its file", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-witness-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true })))
      const write = (name: string, text: string): string => {
        fs.writeFileSync(path.join(folder, name), text)
        return path.join(folder, name)
      }
      const authority = Certificates.make({ name: "authority", authority: true })
      const own = Certificates.make({ name: "server", issuer: authority, alternatives: ["127.0.0.1"] })
      const client = Certificates.make({ name: "client", issuer: authority })
      const options = { cert: own.certificate, key: own.key, ca: authority.certificate, requestCert: true }
      const isLetIn = ({ headers: { authorization } }: http.IncomingMessage) => authorization === "Bearer two"
      const server = https.createServer({ ...options, rejectUnauthorized: true }, (request, response) =>
        response.writeHead(isLetIn(request) ? 200 : 401).end()
      )
      const url = (yield* listening(server)).replace("http:", "https:")
      const ca = write("ca", authority.certificate)
      const token = write("token", "one\n")
      const identity = { certificate: write("certificate", client.certificate), key: write("key", client.key) }
      assert.strictEqual((yield* ask({ http: { url, ca, token: { file: token } } }))._tag, "Silent")
      const question = { http: { url, ca, ...identity, token: { file: token } } }
      assert.deepStrictEqual(yield* ask(question), { _tag: "Fails", detail: "HTTP 401:" })
      write("token", "two\n")
      assert.deepStrictEqual(yield* ask(question), { _tag: "Serves", detail: "HTTP 200" })
      fs.rmSync(identity.key)
      assert.match((yield* ask(question)).detail, /its key cannot be read/)
    }).pipe(Effect.scoped)
  )

  it.live("without an end is read to a bound, and one that must be whole is no answer", () =>
    Effect.gen(function* () {
      const endless = (_: unknown, response: http.ServerResponse) => {
        response.writeHead(200)
        const more = (): void => void (response.write("x".repeat(65_536)) ? setImmediate(more) : 0)
        response.on("drain", more)
        response.on("error", () => {})
        more()
      }
      const url = yield* serve(endless)
      assert.deepStrictEqual(yield* ask({ http: url }), { _tag: "Serves", detail: "HTTP 200" })
      const whole = yield* Effect.flip(WebRead.get(url, { timeout: 5000, most: 1000 }))
      assert.strictEqual(whole.reason, "TooLong")
    }).pipe(Effect.scoped)
  )
})

describe("a witness by a command", () => {
  it.live("serves where it exits with 0, fails with its words, and is silent where it hangs", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ask({ command: "exit 0" }), { _tag: "Serves", detail: "exit 0" })
      assert.deepStrictEqual(yield* ask({ command: "echo no quorum >&2; exit 7" }), {
        _tag: "Fails",
        detail: "exit 7: no quorum"
      })
      assert.strictEqual((yield* ask({ command: "sleep 60" }, 100))._tag, "Silent")
    }).pipe(Effect.scoped)
  )
})

describe("a witness by a statement", () => {
  it.live("on a server that is not there is silent, and a secret that is not there is told at once", () =>
    Effect.gen(function* () {
      const login = { address: "127.0.0.1:1", user: "app", database: "app", statement: "select 1" }
      assert.strictEqual((yield* ask({ postgres: login }))._tag, "Silent")
      const missing = { ...login, password: { env: "INQUORATE_NO_SUCH_SECRET" } }
      const refused = yield* Effect.flip(ask({ postgres: missing }))
      assert.strictEqual(refused.reason, "Misconfigured")
    }).pipe(Effect.scoped)
  )
})
