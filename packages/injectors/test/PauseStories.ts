/**
 * The pause on real processes: its contract, and what happens when keepers die or are asked to go. Every story asserts
 * states of real threads. Told in the grade that the environment names; PauseVariants.ts tells what takes longer.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import type { ProcessRef } from "@inquorate/core/Topology"
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Pause from "../src/mechanisms/Pause.ts"
import { directoryOf, holderOf, keepersOf } from "./Bench.ts"
import { commands, ended, grade, here, liftOf, orderFor, pause, sweepOf, twoReady, until } from "./PauseBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

injectorContract(
  `the pause of ${grade} grade keeps the contract of an injector`,
  Effect.succeed<InjectorBench>({
    injector: pause,
    start: ProcessTree.start("still"),
    runs: (tree) => Effect.sync(() => ProcessTree.runs(tree)),
    killKeepers: (fence) =>
      Effect.sync(() => {
        const pids = [...keepersOf(fence), ...(grade === "Kernel" ? [holderOf(fence)] : [])]
        ProcessTree.signalAll(pids, "SIGKILL")
      })
  }),
  { clock: "live" }
)

describe("what is stopped", () => {
  it.live("every thread of a busy program of many threads", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("threads")
      const order = yield* orderFor(tree)
      const armed = yield* pause.arm(order)
      assert.strictEqual(armed.processes, 1)
      assert.strictEqual(armed.grade, grade)
      assert.isFalse(ProcessTree.runs(tree))
      yield* liftOf(order)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("nothing, for a process that is not what it was said to be", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const wrong: ReadonlyArray<readonly [Partial<ProcessRef>, string]> = [
        [{ executable: "/bin/cat" }, "runs"],
        [{ dataDirectory: os.tmpdir() }, "data directory"],
        [{ startTime: "1" }, "another process"],
        [{ pid: 4_194_304 }, "no process"]
      ]
      let attempt = 0
      for (const [change, words] of wrong) {
        attempt++
        const process = { ...tree.process, ...change }
        const preflight = yield* pause.preflight(process)
        assert.strictEqual(preflight._tag, "Mistaken")
        const error = yield* Effect.flip(pause.arm({ ...(yield* orderFor(tree, { attempt })), process }))
        assert.strictEqual(error.reason, "OrderRefused")
        assert.include(error.detail, words)
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )

  it.live("nothing, for a process that is stopped already or started us", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      process.kill(tree.process.pid, "SIGSTOP")
      yield* until(() => ProcessTree.look(tree.process.pid)?.state === "T")
      const stopped = yield* pause.preflight(tree.process)
      assert.strictEqual(stopped._tag === "Impossible" && stopped.problem.endsWith("stopped already"), true)
      const error = yield* Effect.flip(pause.arm(yield* orderFor(tree)))
      assert.strictEqual(error.reason, "OrderRefused")
      process.kill(tree.process.pid, "SIGCONT")
      const parent = yield* pause.preflight({
        ...tree.process,
        pid: process.pid,
        startTime: ProcessTree.look(process.pid)!.startTime,
        executable: fs.readlinkSync(`/proc/${process.pid}/exe`),
        dataDirectory: process.cwd()
      })
      assert.strictEqual(parent._tag === "Impossible" && parent.problem.includes("started this worker"), true)
    })
  )

  it.live("a server that has its own file open for writing instead of standing in its data directory", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still", {})
      const named = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-named-"))
      fs.mkdirSync(path.join(named, "member/snap"), { recursive: true })
      const file = path.join(named, "member/snap/db")
      const program = `exec 3>>'${file}'; echo ready; sleep 1000`
      const server = yield* ProcessTree.startWith(["sh", ["-c", program]])
      const namer = yield* ProcessTree.startWith(["sh", ["-c", "echo ready; sleep 1000", "x", `--data-dir=${named}`]])
      assert.strictEqual((yield* pause.preflight({ ...server.process, dataDirectory: named }))._tag, "Ready")
      for (const { process } of [tree, namer]) {
        assert.strictEqual((yield* pause.preflight({ ...process, dataDirectory: named }))._tag, "Mistaken")
      }
      fs.rmSync(named, { recursive: true })
    })
  )
})

describe("who ends it", () => {
  it.live("the other keeper, when either is killed", () =>
    Effect.gen(function* () {
      const killed = Effect.fnUntraced(function* (victim: number) {
        const tree = yield* ProcessTree.start("still")
        const order = yield* orderFor(tree, { hold: 1500 })
        yield* pause.arm(order)
        process.kill(keepersOf(order.fence)[victim]!, "SIGKILL")
        assert.isFalse(ProcessTree.runs(tree))
        assert.strictEqual((yield* ended(order)).by, "Keeper")
        assert.isTrue(ProcessTree.runs(tree))
      })
      yield* Effect.all([killed(0), killed(1)], { concurrency: 2 })
    })
  )

  it.live("a keeper at once, when it is asked to end as on a shutdown", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      process.kill(keepersOf(order.fence)[1]!, "SIGTERM")
      assert.strictEqual((yield* ended(order)).by, "Keeper")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("the worker, though the server died while it was held", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      const children = ProcessTree.pidsOf(tree.process.pid).slice(1)
      process.kill(tree.process.pid, "SIGKILL")
      yield* until(() => !ProcessTree.isThere(tree.process.pid))
      const lifted = yield* liftOf(order)
      assert.strictEqual(lifted.by, "Worker")
      assert.isFalse(lifted.broken)
      // Who was let go may have to wait for a processor before it sleeps again.
      yield* until(() => children.every((pid) => ProcessTree.look(pid)?.state === "S"))
      ProcessTree.signalAll(children, "SIGKILL")
    })
  )
})

describe("what stands ready and had no go yet", () => {
  it.live("of several members is applied at one go, and lifted", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* twoReady
      for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
      assert.deepStrictEqual((yield* go).map(Result.isSuccess), [true, true])
      for (const tree of trees) assert.isFalse(ProcessTree.runs(tree))
      for (const order of orders) yield* liftOf(order)
      for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("leaves nobody asleep once it is let go", () =>
    Effect.gen(function* () {
      const order = yield* orderFor(yield* ProcessTree.start("still"))
      const folder = path.dirname(directoryOf(order.fence))
      const sleepers = (): ReadonlyArray<string> =>
        fs.readdirSync("/proc").filter((pid) => /^[0-9]+$/.test(pid) && holdsOpen(pid, folder, "wake"))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* pause.prepare!("here", [order], 600_000)
          yield* until(() => sleepers().length > 0)
        })
      )
      yield* until(() => sleepers().length === 0)
    })
  )

  it.live("is not felt by the server: no thread of it is traced or stopped", () =>
    Effect.gen(function* () {
      const { trees } = yield* twoReady
      for (const tree of trees) {
        for (const pid of ProcessTree.pidsOf(tree.process.pid)) {
          assert.match(fs.readFileSync(`/proc/${pid}/status`, "utf8"), /^TracerPid:\t0$/m)
        }
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )

  it.live("shows whose it is in a list of processes, and nothing of its program", () =>
    Effect.gen(function* () {
      const { orders } = yield* twoReady
      const lines = commands().map(([, command]) => command.replaceAll("\0", " "))
      for (const line of lines) {
        assert.isBelow(line.length, 600)
        assert.notInclude(line, "take_out")
        assert.notInclude(line, "PTRACE")
      }
      for (const { fence } of orders) {
        const own = () =>
          commands().filter(([, command]) => {
            const [, operation, members = ""] = /\0inquorate-keeper\0(\S+?)\0(\S+?)\0/.exec(command) ?? []
            return operation === fence.operationId && members.split(",").includes(fence.member)
          })
        // A keeper that starts a command has its own words twice for a moment.
        yield* until(() => own().length === 2)
      }
    })
  )
})

describe("what cannot cut into a hold", () => {
  it.live("another operation on the same process", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      const other = yield* orderFor(tree, { operationId: randomUUID() })
      assert.strictEqual((yield* Effect.flip(pause.arm(other))).reason, "OrderRefused")
      yield* liftOf(other)
      assert.isFalse(ProcessTree.runs(tree), "the lift of a refused order touched another's hold")
      yield* liftOf(order)
    })
  )

  it.live("two orders at once: at most one holds, and its lift frees the process", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const orders = [yield* orderFor(tree), yield* orderFor(tree, { operationId: randomUUID() })]
      const results = yield* Effect.forEach(orders, (order) => Effect.result(pause.arm(order)), { concurrency: 2 })
      assert.isAtMost(results.filter((result) => result._tag === "Success").length, 1)
      for (const order of orders) yield* liftOf(order)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})

describe("an ordinary user", () => {
  it.live.skipIf(process.getuid?.() !== 0)(
    "pauses processes of its own and is told why it cannot pause another's",
    () =>
      Effect.gen(function* () {
        const own = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-nobody-"))
        fs.chownSync(own, 65534, 65534)
        const nobody = Pause.make(new Map([["here", asNobody(own)]]), { prefer: grade })
        const tree = yield* ProcessTree.start("still", { uid: 65534 })
        const preflight = yield* nobody.preflight(tree.process)
        assert.strictEqual(preflight._tag === "Ready" && preflight.grade, grade, JSON.stringify(preflight))
        const order = yield* orderFor(tree, { hold: 1500 })
        yield* nobody.arm(order)
        assert.isFalse(ProcessTree.runs(tree))
        assert.strictEqual((yield* ended(order, nobody)).by, "Keeper")
        assert.isTrue(ProcessTree.runs(tree))
        const rooted = yield* ProcessTree.start("still")
        const refused = yield* nobody.preflight(rooted.process)
        assert.strictEqual(refused._tag === "Impossible" && refused.problem.includes("may not signal"), true)
        fs.rmSync(own, { recursive: true, force: true, maxRetries: 10 })
      })
  )

  it.live("is told which state directory cannot be written", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const lost = Pause.make(new Map([["here", withState("/proc/inquorate")]]))
      const preflight = yield* lost.preflight(tree.process)
      assert.strictEqual(preflight._tag === "Impossible" && preflight.problem.includes("/proc/inquorate"), true)
      const error = yield* Effect.flip(lost.arm(yield* orderFor(tree)))
      assert.strictEqual(error.reason, "OrderRefused")
      assert.include(error.detail, "/proc/inquorate")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})

describe("the records", () => {
  it.live("of another boot are void: a restart ended the fence", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      ProcessTree.signalAll(keepersOf(order.fence), "SIGKILL")
      yield* until(() => keepersOf(order.fence).every((pid) => !ProcessTree.isThere(pid)))
      if (grade === "Kernel") process.kill(holderOf(order.fence), "SIGSTOP")
      const file = path.join(directoryOf(order.fence), "order")
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/^.*\n/, "of-another-boot\n"))
      const seen = yield* pause.inspect("here", order.fence, 1)
      assert.strictEqual(seen._tag, "Lifted")
      assert.isFalse(ProcessTree.runs(tree), "a pid of another boot was signalled")
      if (grade === "Kernel") process.kill(holderOf(order.fence), "SIGKILL")
      ProcessTree.signalAll(ProcessTree.pidsOf(tree.process.pid), "SIGCONT")
    })
  )

  it.live("that are long off are forgotten by a sweep that clears", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      yield* liftOf(order)
      yield* sweepOf(order, true)
      assert.isTrue(fs.existsSync(directoryOf(order.fence)))
      const file = path.join(directoryOf(order.fence), "lifted")
      fs.writeFileSync(file, "1000 1000 Worker\n")
      yield* sweepOf(order, true)
      assert.isFalse(fs.existsSync(path.dirname(directoryOf(order.fence))))
    })
  )

  it.live("keep any name of a member", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const member = "../ü $(touch x) 'a' *"
      const order = yield* orderFor({ ...tree, member })
      yield* pause.arm(order)
      const reports = yield* pause.sweep("here", { clear: false })
      assert.include(
        reports.map(({ fence }) => fence.member),
        member
      )
      yield* liftOf(order)
    })
  )
})

// --- internal ---

/** True where a process has a file of this name below a folder open, also where that was removed. */
const holdsOpen = (pid: string, folder: string, name: string): boolean => {
  try {
    return fs
      .readdirSync(`/proc/${pid}/fd`)
      .map((number) => fs.readlinkSync(`/proc/${pid}/fd/${number}`).replace(/ \(deleted\)$/, ""))
      .some((file) => file.startsWith(`${folder}/`) && file.endsWith(`/${name}`))
  } catch {
    return false
  }
}

const wrapped = (prefix: string): Host => ({
  label: "here",
  run: (program, words, options) =>
    here.run(`p=$1; shift; exec ${prefix} sh -c "$p" inquorate "$@"`, [program, ...words], options)
})

const asNobody = (directory: string): Host =>
  wrapped(`setpriv --reuid=65534 --regid=65534 --clear-groups env INQUORATE_STATE='${directory}'`)

const withState = (directory: string): Host => wrapped(`env INQUORATE_STATE='${directory}'`)
