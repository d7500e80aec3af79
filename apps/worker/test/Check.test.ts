/**
 * Goal: whoever checks a configuration is told everything that would keep the worker from starting or from breaking anything,
 * at once and where it stands. Method: the check itself, with files, variables and addresses that are there and that are not.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestConsole from "effect/testing/TestConsole"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Check from "../src/Check.ts"

const none = { listen: undefined, store: undefined, workerId: undefined }

/** What a check of this text says, and how the process would end. */
const check = (text: string, options: { readonly connect?: boolean; readonly json?: boolean } = {}) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-check-"))),
    (folder) =>
      Effect.gen(function* () {
        const file = path.join(folder, "worker.yaml")
        fs.writeFileSync(file, text.replaceAll("FOLDER", folder))
        const { connect = false, json = false } = options
        const ended = yield* Effect.result(Check.run({ _tag: "Check", file, overrides: none, connect, json }))
        const said = (yield* TestConsole.logLines).map(String).join("\n").replaceAll(folder, "FOLDER")
        return { said, exit: Result.isFailure(ended) ? ended.failure.exit : 0 }
      }),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  )

const locks = (address: string, more = "") => `clusters:
  locks:
    system: etcd
${more}    members: [{ name: m0, address: "${address}", host: local }]
`

describe("a check", () => {
  it.effect("says that nothing is wrong", () =>
    Effect.gen(function* () {
      const { exit, said } = yield* check(locks("127.0.0.1:2379"))
      assert.deepStrictEqual([exit, said], [0, "FOLDER/worker.yaml: nothing is wrong with it"])
    })
  )

  it.effect("tells every mistake at once, by its line, whatever else is wrong", () =>
    Effect.gen(function* () {
      const { exit, said } = yield* check(
        [
          "listen: 0.0.0.0:19080",
          "store: sqlite:FOLDER/nowhere/worker.db",
          "limits: { maxHold: 0 }",
          "hosts:",
          "  n1: { ssh: n1, identity: FOLDER/id }",
          "colour: red",
          locks("127.0.0.1:2379", "    user: u\n    password: { env: INQUORATE_NOT_SET }\n    tls: { ca: FOLDER }\n")
            .replace("local", "n2")
            .trimEnd()
        ].join("\n"),
        { connect: true }
      )
      const places = said
        .split("\n")
        .map((line) => /^FOLDER\/worker\.yaml:(\d+): ([\w.]+):/.exec(line)?.slice(1).join(" "))
      assert.deepStrictEqual(places.slice(0, -1), [
        "1 listen",
        "2 store",
        "3 limits.maxHold",
        "5 hosts.n1.identity",
        "6 colour",
        "11 clusters.locks.password.env",
        "12 clusters.locks.tls.ca",
        "13 clusters.locks.members.0.host"
      ])
      assert.match(said, /: 8 mistakes; nothing was connected to$/)
      assert.match(said, /make the folder \(mkdir -p FOLDER\/nowhere\)/)
      assert.strictEqual(exit, 2)
    })
  )

  it.effect("warns of a secret in the file, and lets it be", () =>
    Effect.gen(function* () {
      const { exit, said } = yield* check(locks("127.0.0.1:2379", "    user: u\n    password: hunter2\n"))
      assert.match(
        said,
        /worker\.yaml:5: clusters\.locks\.password: warning: .*\nFOLDER\/worker\.yaml: nothing is wrong with it, 1 warning$/
      )
      assert.notInclude(said, "hunter2")
      assert.strictEqual(exit, 0)
    })
  )

  it.live("says what each cluster looks like, and ends with a code of its own where one is not to be seen", () =>
    Effect.gen(function* () {
      const port = yield* Effect.callback<number>((resume) => {
        const server = net.createServer().listen(0, "127.0.0.1", () => {
          const { port } = server.address() as net.AddressInfo
          server.close(() => resume(Effect.succeed(port)))
        })
      })
      const { exit, said } = yield* check(locks(`127.0.0.1:${port}`), { connect: true, json: true })
      const told = JSON.parse(said) as {
        readonly mistakes: unknown
        readonly clusters: ReadonlyArray<{ readonly problem: string }>
      }
      assert.deepStrictEqual(told.mistakes, [])
      assert.include(told.clusters[0]!.problem, "ECONNREFUSED")
      assert.strictEqual(exit, 5)
    }).pipe(Effect.provide(TestConsole.layer))
  )

  it.live(
    "asks a Kubernetes cluster, which has no shell, by its API, and says in kubectl's words why it does not answer",
    () =>
      Effect.gen(function* () {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-kubectl-"))
        const usual = process.env["PATH"]
        process.env["PATH"] = `${folder}:${usual}`
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            process.env["PATH"] = usual
            fs.rmSync(folder, { recursive: true })
          })
        )
        const hosts = "hosts:\n  prod: { kubernetes: { image: keeper } }\n"
        const says = (text: string) =>
          fs.writeFileSync(path.join(folder, "kubectl"), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
        says(`case "$*" in *--namespace=inquorate*) echo '{"items":[]}' ;; *) exit 1 ;; esac`)
        assert.deepStrictEqual(yield* check(hosts, { connect: true }), {
          exit: 0,
          said: "FOLDER/worker.yaml: nothing is wrong with it\nhost prod: it answers"
        })
        says("echo 'error: context \"nope\" does not exist' >&2; exit 1")
        const { exit, said } = yield* check(hosts, { connect: true })
        assert.include(said, 'host prod: it does not answer\n- kubectl: error: context "nope" does not exist')
        assert.strictEqual(exit, 5)
      }).pipe(Effect.scoped, Effect.provide(TestConsole.layer))
  )
})
