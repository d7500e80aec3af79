/**
 * PostgreSQL labs with members that are hurt, with TLS, beside others, of other users and of a distribution's executables, and
 * one whose start is killed.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"
import { assertGone, binaries, isRoot, query, runningIn, skip, state, until, up, withLab } from "./PostgresLabs.ts"

describe.skipIf(binaries === undefined)(`a PostgreSQL lab${skip}`, () => {
  it.live("goes down with members paused and killed, leaving none behind", () =>
    Effect.gen(function* () {
      const lab = yield* up("hurt")
      const [, s1, s2] = lab.members
      const tree = ProcessTree.withDescendants(yield* ProcessTree.table, [s1!, s2!])
      yield* ProcessTree.signal(tree, "SIGSTOP")
      // A postmaster that is killed while its children stand still leaves them without a parent.
      yield* ProcessTree.signal([s2!], "SIGKILL")
      yield* Effect.repeat(ProcessTree.isRunning(s2!), { until: (running) => !running, schedule: Schedule.spaced(5) })
      assert.deepInclude((yield* Lab.list)[0], { state: "Partly", running: ["p", "s1"] })
      yield* Lab.down("hurt")
      yield* assertGone(
        "hurt",
        lab.folder,
        lab.members.map(({ pid }) => String(pid))
      )
    })
  )

  it.live("speaks TLS and nothing else where it is asked to, among its members too", () =>
    withLab(
      "secured",
      (lab) =>
        Effect.gen(function* () {
          const { password, tls } = lab.configuration as {
            readonly password: { readonly file: string }
            readonly tls: {
              readonly mode: string
              readonly ca: string
              readonly certificate: string
              readonly key: string
            }
          }
          assert.strictEqual(tls.mode, "verify-full")
          const ask = (ssl: object | false) =>
            Effect.promise(async () => {
              const [host, port] = lab.members[0]!.address.split(":")
              const secret = fs.readFileSync(password.file, "utf8").trim()
              const client = new Client({
                host,
                port: Number(port),
                user: "postgres",
                database: "postgres",
                password: secret,
                ssl
              })
              try {
                await client.connect()
                const { rows } = await client.query<{ ssl: boolean }>(
                  "select ssl from pg_stat_ssl join pg_stat_replication using (pid) where sync_state = 'quorum'"
                )
                return rows.map((row) => row.ssl)
              } catch (cause) {
                return (cause as Error).message
              } finally {
                await client.end()
              }
            })
          const ca = fs.readFileSync(tls.ca)
          const own = { cert: fs.readFileSync(tls.certificate), key: fs.readFileSync(tls.key) }
          assert.deepStrictEqual(yield* ask({ ca, ...own }), [true, true])
          assert.include(yield* ask(false), "no encryption")
          assert.include(yield* ask({ ca }), "certificate")
          const strange = yield* Effect.flip(Lab.up({ system: "postgres", name: "odd", options: { tls: "perhaps" } }))
          assert.deepInclude(strange, { reason: "BadOption", lab: "odd" })
        }),
      { options: { tls: "true" } }
    )
  )

  it.live("stands beside others, each with ports and data of its own, and one of five waits for two", () =>
    Effect.gen(function* () {
      const [one, five] = yield* Effect.all([up("one"), up("five", { members: 5 })], { concurrency: 2 })
      const addresses = [...one!.members, ...five!.members].map(({ address }) => address)
      assert.strictEqual(new Set(addresses).size, 8)
      const rule = yield* query(five!, "show synchronous_standby_names")
      assert.deepStrictEqual(rule, [{ synchronous_standby_names: "ANY 2 (s1, s2, s3, s4)" }])
      assert.deepStrictEqual(
        (yield* Lab.list).map(({ name, state }) => [name, state]),
        [
          ["five", "Up"],
          ["one", "Up"]
        ]
      )
      yield* Lab.down("one")
      yield* assertGone("one", one!.folder)
      const running = yield* Effect.filter(five!.members, ProcessTree.isRunning)
      assert.lengthOf(running, 5)
      yield* Lab.down("five")
      yield* assertGone("five", five!.folder)
    })
  )

  it.live("is taken down whole although the command that started it was killed on the way", () =>
    Effect.gen(function* () {
      const child = startUp("killed", { INQUORATE_LAB_STATE: state })
      const processes = path.join(state, "killed", "processes")
      yield* until(() => fs.existsSync(processes) && /postgres$/m.test(fs.readFileSync(processes, "utf8")))
      child.kill("SIGKILL")
      const { folder } = JSON.parse(fs.readFileSync(path.join(state, "killed", "lab.json"), "utf8")) as LabRecord
      assert.strictEqual((yield* Lab.down("killed")).found, true)
      yield* assertGone("killed", folder)
    })
  )

  it.live.skipIf(!isRoot)(
    "runs as nobody for root, though state and executables lie below folders closed to others",
    () =>
      Effect.gen(function* () {
        const closed = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-closed-"))
        fs.chmodSync(closed, 0o700)
        fs.cpSync(path.dirname(fs.realpathSync(binaries!)), path.join(closed, "native"), { recursive: true })
        const before = fs.readdirSync(path.join(closed, "native", "lib"))
        yield* withLab(
          "closed",
          (lab) =>
            Effect.sync(() => {
              for (const { dataDirectory, pid } of lab.members) {
                assert.notStrictEqual(fs.statSync(`/proc/${pid}`).uid, 0)
                assert.isTrue(fs.readlinkSync(`/proc/${pid}/exe`).startsWith(lab.folder))
                assert.notStrictEqual(fs.statSync(dataDirectory).uid, 0)
              }
              assert.strictEqual(fs.statSync(path.join(state, "closed", "password")).mode & 0o777, 0o600)
            }),
          { bin: path.join(closed, "native", "bin") }
        )
        // The links were made in the copy.
        assert.deepStrictEqual(fs.readdirSync(path.join(closed, "native", "lib")), before)
        fs.rmSync(closed, { recursive: true })
      })
  )

  it.live.skipIf(!isRoot)("works for an ordinary user with a home of its own", () =>
    Effect.gen(function* () {
      const home = fs.mkdtempSync("/tmp/inquorate-user-")
      fs.chmodSync(home, 0o700)
      fs.chownSync(home, 65534, 65534)
      // Ours may lie where only root can go.
      const node = path.join(home, "node")
      fs.copyFileSync(process.execPath, node)
      fs.chmodSync(node, 0o755)
      const environment = { HOME: home, XDG_STATE_HOME: path.join(home, "state"), TMPDIR: home }
      const child = startUp("mine", environment, { node, uid: 65534, gid: 65534 })
      const output = yield* Effect.promise(() => outputOf(child))
      assert.include(output, "up Up 3")
      assert.include(output, `folder ${path.join(home, "state", "inquorate", "labs", "mine", "run")}`)
      assert.include(output, "down true 0")
      assert.deepStrictEqual(yield* runningIn(home), [])
      assert.deepStrictEqual(fs.readdirSync(path.join(home, "state", "inquorate", "labs")), [])
      fs.rmSync(home, { recursive: true })
    })
  )

  const distribution = PostgresBinaries.find({ bin: null, from: [], path: [], versions: "/usr/lib/postgresql" })
  it.live.skipIf(distribution === undefined)("runs a distribution's own executables in place", () =>
    withLab(
      "distribution",
      (lab) =>
        Effect.gen(function* () {
          assert.isFalse(fs.existsSync(path.join(lab.folder, "postgresql")))
          assert.lengthOf(yield* query(lab, "select pg_is_in_recovery()", 2), 1)
        }),
      { bin: distribution }
    )
  )
})

interface As {
  readonly node: string
  readonly uid: number
  readonly gid: number
}

/** Another process that takes a lab up and down again. */
const startUp = (name: string, environment: Record<string, string>, as?: As): childProcess.ChildProcess =>
  childProcess.spawn(as?.node ?? process.execPath, [path.join(import.meta.dirname, "up-and-down.ts"), name], {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    ...(as === undefined ? {} : { uid: as.uid, gid: as.gid })
  })

const outputOf = async (child: childProcess.ChildProcess): Promise<string> => {
  let output = ""
  child.stdout!.on("data", (chunk: Buffer) => (output += chunk.toString()))
  child.stderr!.on("data", (chunk: Buffer) => (output += chunk.toString()))
  await new Promise((resolve) => child.once("close", resolve))
  return output
}
