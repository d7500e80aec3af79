/**
 * Goal: `inq init` loses nobody's file, repeats nobody's password, and writes down what servers say of themselves as text and
 * as nothing else. Method: the command as it is published, and the file that it writes for names which would be more.
 */
import { assert, describe, it } from "@effect/vitest"
import type { FoundCluster } from "@inquorate/targets/FindClusters"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as YAML from "yaml"
import { write } from "../src/WorkerYaml.ts"
import * as Inq from "./Inq.ts"

const { main, run } = Inq.bundled()

/** A port where nobody listens, and one where somebody takes connections and says nothing that a server would. */
const ports = Effect.acquireRelease(
  Effect.callback<{ readonly free: number; readonly odd: number; readonly server: net.Server }>((resume) => {
    const gone = net.createServer().listen(0, "127.0.0.1", () => {
      const free = (gone.address() as net.AddressInfo).port
      gone.close(() => {
        const server = net
          .createServer((socket) => void socket.on("error", () => {}).end("SSH-2.0-Odd\r\n"))
          .listen(0, "127.0.0.1", () =>
            resume(Effect.succeed({ free, odd: (server.address() as net.AddressInfo).port, server }))
          )
      })
    })
  }),
  ({ server }) => Effect.sync(() => void server.close())
)

describe("inq init", () => {
  it.live("leaves a file that is there as it is, and says how to have it written over", () =>
    Effect.gen(function* () {
      const file = path.join(path.dirname(main), "there.yaml")
      fs.writeFileSync(file, "mine")
      const { code, error } = yield* run(["init", "127.0.0.1:1", "--file", file])
      assert.strictEqual(code, 3)
      assert.match(error, /there\.yaml is there already, and was left as it is\. --force writes over it/)
      assert.strictEqual(fs.readFileSync(file, "utf8"), "mine")
    })
  )

  it.live("writes no file where nobody answers, or nobody that it knows, and says so of each", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { free, odd } = yield* ports
        const file = path.join(path.dirname(main), "new.yaml")
        const { code, error } = yield* run(["init", `127.0.0.1:${free}`, `127.0.0.1:${odd}`, "--file", file])
        assert.strictEqual(code, 6)
        assert.include(error, `- nobody takes connections at 127.0.0.1:${free}\n`)
        const named = yield* run(["init", path.dirname(main), "nobody.invalid:2379", "--file", file])
        assert.strictEqual(named.code, 6)
        assert.match(named.error, /- nobody takes connections at \/.*: the folder has no socket of a PostgreSQL/)
        assert.match(named.error, /- nobody takes connections at nobody\.invalid:2379: its name /)
        assert.match(error, new RegExp(`- 127\\.0\\.0\\.1:${odd}: .*does not speak gRPC`))
        assert.isFalse(fs.existsSync(file))
      })
    )
  )

  it.live("takes a password by reference alone, and repeats none", () =>
    Effect.gen(function* () {
      const { code, error, out } = yield* run(["init", "127.0.0.1:1", "--password", "hunter2"])
      assert.strictEqual(code, 2)
      assert.include(error, "--password: expected env:NAME or file:PATH")
      assert.notInclude(error + out, "hunter2")
    })
  )

  it.live("refuses what is no address, and a certificate without its key", () =>
    Effect.gen(function* () {
      const [address, pair] = yield* Effect.all(
        [run(["init", "127.0.0.1"]), run(["init", "127.0.0.1:1", "--server-cert", "c.pem"])],
        { concurrency: 2 }
      )
      assert.match(address.error, /address: expected HOST:PORT.*got "127\.0\.0\.1"/)
      assert.match(pair.error, /--server-cert and --server-key go together/)
      assert.deepStrictEqual([address.code, pair.code], [2, 2])
    })
  )
})

describe("a file that is named for it", () => {
  it.live("must be one that can be read, or written", () =>
    Effect.gen(function* () {
      const folder = path.dirname(main)
      const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["--server-ca", "/nowhere/ca.pem"], /--server-ca: \/nowhere\/ca\.pem cannot be read: ENOENT/],
        [["--password", `file:${folder}`], /--password: .* cannot be read: it is a folder, not a file/],
        [["--force", "--file", folder], /--file: .* is a folder: name the file in it/]
      ]
      const ran = yield* Effect.forEach(wrong, ([words]) => run(["init", "127.0.0.1:1", ...words]), { concurrency: 2 })
      for (const [index, { code, error }] of ran.entries()) {
        assert.strictEqual(code, 2, error)
        assert.match(error, wrong[index]![1])
      }
    })
  )
})

describe("the file", () => {
  const evil = "m\u0000\u2028 #: { \u001B[2J\n  protected: true\n\u{1F600}'\"\\"
  const cluster: FoundCluster = {
    system: "etcd",
    remarks: [`it calls itself ${evil}`],
    settings: [{ key: "user", value: evil, remark: evil }],
    members: [
      { name: evil, address: "127.0.0.1:2379", isLocal: true, dataDirectory: `/data/${evil}`, remarks: [evil] },
      { name: "yes", address: "[::1]:2379", isLocal: false, remarks: [] }
    ],
    missing: [evil]
  }

  it("says exactly what was found, whatever servers call themselves", () => {
    const text = write([cluster, cluster], "worker.yaml")
    assert.notMatch(text, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    const { clusters } = YAML.parse(text) as { readonly clusters: Readonly<Record<string, unknown>> }
    assert.deepStrictEqual(Object.keys(clusters), ["etcd", "etcd-2"])
    assert.deepStrictEqual(clusters["etcd"], {
      system: "etcd",
      user: evil,
      members: [
        { name: evil, address: "127.0.0.1:2379", host: "local", dataDirectory: `/data/${evil}` },
        { name: "yes", address: "[::1]:2379" }
      ]
    })
  })
})
