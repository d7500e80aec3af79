/**
 * Goal: a folder of pages is served as it is, and nothing else of the disk is ever served. Method: a folder with what
 * builds contain, and beside it what attackers leave, is asked for through the pages and through a server.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeServer from "../src/server/NodeServer.ts"
import * as Pages from "../src/server/Pages.ts"
import { layer } from "./FakeOperations.ts"
import { request } from "./http.ts"

const index =
  '<!doctype html><html><head><link rel="stylesheet" href="a.css" media="print" onload="this.media=\'all\'">' +
  '<script>go()</script><script src="main.1f.js" type="module"></script></head></html>'

const folder = Effect.acquireRelease(
  Effect.sync(() => {
    const top = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-pages-"))
    const build = path.join(top, "dist")
    fs.mkdirSync(path.join(build, "assets", "icons"), { recursive: true })
    fs.writeFileSync(path.join(top, "secret.txt"), "secret")
    fs.writeFileSync(path.join(build, "index.html"), index)
    fs.writeFileSync(path.join(build, "main.1f.js"), "go()")
    fs.writeFileSync(path.join(build, "a b.css"), "x{}")
    fs.writeFileSync(path.join(build, "assets", "icons", "node.svg"), "<svg/>")
    fs.writeFileSync(path.join(build, "data.unknown"), "?")
    fs.symlinkSync(path.join(top, "secret.txt"), path.join(build, "leak.txt"))
    fs.symlinkSync(top, path.join(build, "up"))
    return { top, build }
  }),
  ({ top }) => Effect.sync(() => fs.rmSync(top, { recursive: true, force: true }))
)

const header = ({ headers }: Pages.PageReply, name: string): string | undefined => headers[headers.indexOf(name) + 1]

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

describe("a folder of pages", () => {
  it.effect("is answered by its files, each with its type, and sniffed by nobody", () =>
    Effect.gen(function* () {
      const { answer } = yield* Pages.load((yield* folder).build)
      for (const [target, type, body] of [
        ["/Explorer/", "text/html; charset=utf-8", index],
        ["/Explorer/index.html#/apps", "text/html; charset=utf-8", index],
        ["/explorer/main.1f.js?v=1", "text/javascript; charset=utf-8", "go()"],
        ["/Explorer/a%20b.css", "text/css; charset=utf-8", "x{}"],
        ["/Explorer/assets/icons/node.svg", "image/svg+xml", "<svg/>"],
        ["/Explorer/data.unknown", "application/octet-stream", "?"],
        ["http://127.0.0.1:1/Explorer/main.1f.js", "text/javascript; charset=utf-8", "go()"]
      ] as const) {
        const reply = answer("GET", target)
        assert.strictEqual(reply.status, 200, target)
        assert.strictEqual(header(reply, "Content-Type"), type)
        assert.strictEqual(header(reply, "X-Content-Type-Options"), "nosniff")
        assert.strictEqual(Buffer.from(reply.body as Uint8Array).toString(), body)
      }
      assert.deepStrictEqual(
        [answer("GET", "/Explorer").status, header(answer("GET", "/Explorer"), "Location")],
        [301, "/Explorer/"]
      )
      assert.strictEqual(answer("POST", "/Explorer/").status, 405)
    })
  )

  it.effect("has nothing of what is beside it, behind a link, or spelt in another way", () =>
    Effect.gen(function* () {
      const { answer } = yield* Pages.load((yield* folder).build)
      for (const target of [
        "/Explorer/../secret.txt",
        "/Explorer/%2e%2e/secret.txt",
        "/Explorer/..%2fsecret.txt",
        "/Explorer/..%5csecret.txt",
        "/Explorer/assets/../../secret.txt",
        "/Explorer/leak.txt",
        "/Explorer/up/secret.txt",
        "/Explorer//etc/passwd",
        "/Explorer/%00",
        "/Explorer/%zz",
        "/Explorer/assets",
        "/Explorer/assets/",
        "/Explorer/__proto__",
        "/Explorer/INDEX.HTML"
      ]) {
        assert.strictEqual(answer("GET", target).status, 404, target)
      }
    })
  )

  it.effect("may load itself and nothing else, with what its first page says inline by its very text", () =>
    Effect.gen(function* () {
      const { build } = yield* folder
      const policy = header((yield* Pages.load(build)).answer("GET", "/Explorer/"), "Content-Security-Policy")!
      assert.include(policy, `script-src 'self' 'unsafe-hashes' ${hash("go()")} ${hash("this.media='all'")};`)
      assert.notInclude(
        policy.split("; ").find((part) => part.startsWith("script-src")),
        "unsafe-inline"
      )
      assert.include(policy, "default-src 'self'")
      assert.include(policy, "connect-src 'self';")
      const aad = yield* Pages.load(build, "https://login.example.com/tenant")
      const wider = header(aad.answer("GET", "/Explorer/"), "Content-Security-Policy")!
      assert.include(wider, "connect-src 'self' https://login.example.com;")
    })
  )

  it.effect("is refused where it is none, or has no first page", () =>
    Effect.gen(function* () {
      const { build } = yield* folder
      fs.rmSync(path.join(build, "index.html"))
      for (const wrong of [build, path.join(build, "nothing"), path.join(build, "main.1f.js")]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Pages.load(wrong))), wrong)
      }
    })
  )

  it.live(
    "is served below its prefix, behind the same defences as all else, and takes nothing from the other paths",
    () =>
      Effect.gen(function* () {
        const pages = yield* Pages.load((yield* folder).build)
        const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0, pages })
        const ask = (at: string, init: RequestInit = {}) => Effect.promise(() => fetch(`${url}${at}`, init))
        const first = yield* ask("/Explorer")
        assert.strictEqual(yield* Effect.promise(() => first.text()), index)
        assert.strictEqual(
          (yield* ask("/Explorer/", { method: "HEAD" })).headers.get("content-length"),
          String(index.length)
        )
        assert.strictEqual((yield* ask("/Explorers?api-version=6.0")).status, 400)
        assert.strictEqual((yield* ask("/Explorer/", { headers: { origin: "http://evil.example" } })).status, 403)
        assert.strictEqual((yield* ask("/Nodes?api-version=6.0")).status, 200)
      }).pipe(Effect.scoped, Effect.provide(layer))
  )
})

describe("who only asks whether the worker lives", () => {
  it.live("may name it as he can, and do nothing else by it", () =>
    Effect.gen(function* () {
      const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
      const headers = ["Host: 10.0.0.7:8080", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"]
      for (const target of ["/healthz", "/readyz", "/healthz?verbose=1"]) {
        assert.strictEqual((yield* request(port, "GET", target, { headers })).status, 200, target)
        assert.strictEqual((yield* request(port, "POST", target, { headers })).status, 403, target)
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})

describe("a server of nothing real", () => {
  it.live("is reached by any name and from any page", () =>
    Effect.gen(function* () {
      const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0, anyHost: true })
      const headers = ["Host: emulator:80", "Origin: http://localhost:4200", "Sec-Fetch-Site: cross-site"]
      assert.strictEqual((yield* request(port, "GET", "/Nodes?api-version=6.0", { headers })).status, 200)
      assert.strictEqual((yield* request(port, "GET", "http://emulator/v1/clusters", { headers })).status, 200)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
