/**
 * Goal: one pair of keepers and one holder keep all members of a host, and each member has a fence of its own all the
 * same. Method: real processes are prepared together, told to go together, and then treated one by one. What the host
 * put on record is judged, and what the processes do.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import type { FenceId, FenceOrder, Injector, InjectorError } from "@inquorate/core/Injector"
import { assert, describe, it } from "@effect/vitest"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Bench from "./Bench.ts"
import * as GatedHost from "./GatedHost.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as ProcessTree from "./ProcessTree.ts"

const here = LocalHost.make("here")
const pause = Pause.make(new Map([["here", here]]))

Bench.useState()

describe("members of one host", () => {
  it.live("are kept by one pair of keepers and one holder, and bitten before any is waited for", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["threads", "still", "forking"])
      // A shell that starts a command has the shell's own words for a moment.
      yield* Bench.until("two keepers and a holder", () => Bench.ours().length === 3)
      assert.deepStrictEqual((yield* go).map(Result.isSuccess), [true, true, true])
      for (const tree of trees) assert.isFalse(ProcessTree.runs(tree))
      assert.strictEqual(new Set(orders.map(({ fence }) => told(fence, "keepers"))).size, 1)
      assert.strictEqual(new Set(orders.map(({ fence }) => told(fence, "holder"))).size, 1)
      const bites = orders.map(({ fence }) => told(fence, "bitten").split(" ").map(Number))
      assert.strictEqual(new Set(bites.map(([heard]) => heard)).size, 1, "more than one go was heard")
      const first = bites.map(([, first]) => first!)
      const stopped = bites.map(([, , stopped]) => stopped!)
      assert.isBelow(Math.max(...first), Math.min(...stopped), JSON.stringify(bites))
      for (const order of orders) assert.isFalse((yield* lift(order)).broken)
      for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
      yield* allGone(orders)
    })
  )

  it.live("are let go one by one, and the others stand unbroken", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["threads", "still", "still"])
      yield* go
      for (const [index, order] of orders.entries()) {
        const lifted = yield* lift(order)
        assert.deepStrictEqual([lifted.by, lifted.broken], ["Worker", false])
        for (const [other, tree] of trees.entries()) assert.strictEqual(ProcessTree.runs(tree), other <= index)
      }
      yield* allGone(orders)
    })
  )

  it.live("are let go together, of which none says that it was broken", () =>
    Effect.gen(function* () {
      for (const kinds of [
        ["threads", "forking"],
        ["still", "threads", "still"]
      ] as const) {
        const { go, orders, trees } = yield* ready(kinds)
        yield* go
        const lifted = yield* Effect.forEach(orders, lift, { concurrency: "unbounded" })
        for (const { broken, by } of lifted) assert.deepStrictEqual([by, broken], ["Worker", false])
        for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
        yield* allGone(orders)
      }
    })
  )

  it.live("end each at its own deadline", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["still", "still"])
      yield* go
      yield* pause.tighten("here", orders[0]!.fence, 1, Date.now() + within(1000))
      const lifted = yield* Bench.ended(orders[0]!, pause)
      assert.deepStrictEqual([lifted.by, lifted.broken], ["Keeper", false])
      Bench.assertOffOnlyAtItsDeadline(Bench.directoryOf(orders[0]!.fence))
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, false])
      const other = yield* pause.inspect("here", orders[1]!.fence, 1)
      assert.isTrue(other._tag === "Armed" && !other.broken && other.keepers === 2)
      yield* lift(orders[1]!)
    })
  )

  it.live("can be taken again while the others stand", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["still", "still"])
      yield* go
      yield* lift(orders[0]!)
      const again = { ...orders[0]!, fence: { ...orders[0]!.fence, attempt: 2 } }
      yield* pause.arm(again)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [false, false])
      yield* lift(orders[1]!)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [false, true])
      assert.isFalse((yield* lift(again)).broken)
    })
  )
})

describe("who dies or freezes among those who keep several", () => {
  it.live("either keeper is enough for all of them", () =>
    Effect.gen(function* () {
      for (const victim of [0, 1]) {
        const { go, orders, trees } = yield* ready(["still", "still"], 1500)
        yield* go
        process.kill(Bench.keepersOf(orders[0]!.fence)[victim]!, "SIGKILL")
        for (const order of orders) {
          const lifted = yield* Bench.ended(order, pause)
          assert.deepStrictEqual([lifted.by, lifted.broken], ["Keeper", false])
        }
        assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
      }
    })
  )

  it.live("without keepers the holder ends each at its deadline", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["still", "still"], 1500)
      yield* go
      yield* pause.tighten("here", orders[0]!.fence, 1, Date.now() + within(500))
      ProcessTree.signalAll(Bench.keepersOf(orders[0]!.fence), "SIGKILL")
      for (const order of orders) {
        const lifted = yield* Bench.ended(order, pause)
        assert.deepStrictEqual([lifted.by, lifted.broken], ["Keeper", false])
      }
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
    })
  )

  it.live("with all of ours killed every member runs on, and each fence says that it did not hold", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["threads", "still"])
      yield* go
      ProcessTree.signalAll(Bench.ours(), "SIGKILL")
      yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
      for (const order of orders) assert.isTrue((yield* lift(order)).broken)
    })
  )

  it.live("a frozen holder is ended by the lift of one, and the others count as broken", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["still", "still"])
      yield* go
      process.kill(holderOf(orders[0]!.fence), "SIGSTOP")
      assert.isFalse((yield* lift(orders[0]!)).broken)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
      assert.isTrue((yield* lift(orders[1]!)).broken)
    })
  )
})

describe("those who stand ahead while the members are judged", () => {
  it.live("leave with the program that started them, and the members get others", () =>
    Effect.gen(function* () {
      const { fiber, gate, trees } = yield* ahead
      process.kill(ProcessTree.look(standingAhead()[0]!)!.parent, "SIGKILL")
      yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
      gate.open()
      // What is prepared is let go again by the end of its scope.
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
      yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
    })
  )

  it.live("keep nothing where one of them was killed, and leave its members to the next", () =>
    Effect.gen(function* () {
      for (const victim of [0, 1, 2]) {
        const { fiber, gate, orders, trees } = yield* ahead
        process.kill(standingAhead()[victim]!, "SIGKILL")
        gate.open()
        const answer = yield* Fiber.await(fiber)
        // Without a holder the keepers stop the members themselves.
        if (Exit.isFailure(answer)) assert.include(JSON.stringify(answer), "OrderRefused")
        yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
        const next = { ...orders[0]!, fence: { ...orders[0]!.fence, attempt: 2 } }
        yield* pause.arm(next)
        assert.deepStrictEqual(trees.map(ProcessTree.runs), [false, true])
        assert.isFalse((yield* lift(next)).broken)
      }
    })
  )
})

describe("the right to trace a member", () => {
  it.live("is proven by one look of several at once after another, and anew once what was prepared was let go", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-proofs-"))
      const injector = Pause.make(new Map([["here", telling(folder)]]))
      const proofs = () =>
        fs
          .readFileSync(path.join(folder, "ran"), "utf8")
          .split("\n")
          .filter((line) => line !== "")
      const gradeOf = ({ process }: ProcessTree.ProcessTree) =>
        Effect.map(injector.preflight(process), (said) => said._tag === "Ready" && said.grade)
      // On a busy machine the second look may come too late for the proof of the first.
      let tree: ProcessTree.ProcessTree
      let turn = 0
      do {
        tree = yield* ProcessTree.start("still")
        fs.writeFileSync(path.join(folder, "ran"), "")
        assert.deepStrictEqual([yield* gradeOf(tree), yield* gradeOf(tree)], ["Kernel", "Kernel"])
      } while (proofs().length > 1 && ++turn < 10)
      const { pid } = tree.process
      assert.deepStrictEqual(proofs(), [`try ${pid}`])
      const order = yield* Bench.orderFor(tree)
      yield* Effect.scoped(injector.prepare!("here", [order], 60_000))
      assert.deepStrictEqual(proofs(), [`try ${pid}`, "stand"])
      assert.strictEqual(yield* gradeOf(tree), "Kernel")
      assert.deepStrictEqual(proofs(), [`try ${pid}`, "stand", `try ${pid}`])
      fs.rmSync(folder, { recursive: true })
    })
  )
})

describe("a member that cannot be had", () => {
  it.live("is refused by name, and the others are let go at once", () =>
    Effect.gen(function* () {
      const { orders, prepare, trees } = yield* scene(["still", "still"])
      const traced = trees[1]!.process.pid
      const debuggerOf = spawn("perl", ["-e", attaching, String(traced)], { stdio: "ignore" })
      yield* Bench.until("a debugger", () => ProcessTree.tracerOf(traced) === debuggerOf.pid)
      const error = yield* Effect.flip(Effect.scoped(prepare))
      assert.deepStrictEqual([error.reason, error.member], ["OrderRefused", "member-2"])
      assert.include(error.detail, `process ${traced} is traced by process ${debuggerOf.pid} (perl)`)
      const next = { ...orders[0]!, fence: { ...orders[0]!.fence, attempt: 2 } }
      yield* pause.arm(next)
      assert.isFalse(ProcessTree.runs(trees[0]!))
      yield* lift(next)
      debuggerOf.kill("SIGKILL")
      yield* Bench.until("the end of the debugger", () => debuggerOf.signalCode !== null)
    })
  )

  it.live("because it ended before the go has a verdict of its own", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["still", "still"])
      process.kill(trees[0]!.process.pid, "SIGKILL")
      yield* Bench.until("its end", () => !ProcessTree.isThere(trees[0]!.process.pid))
      const [gone, armed] = yield* go
      assert.isTrue(Result.isFailure(gone!) && gone.failure.reason === "NotApplied", JSON.stringify(gone))
      assert.include(Result.isFailure(gone!) ? gone.failure.detail : "", "ended")
      assert.isTrue(Result.isSuccess(armed!), JSON.stringify(armed))
      assert.isFalse(ProcessTree.runs(trees[1]!))
      assert.isFalse((yield* lift(orders[1]!)).broken)
      yield* lift(orders[0]!)
    })
  )

  it.live("because the kernel does not let us trace it has keepers of its own", () =>
    Effect.gen(function* () {
      const blind = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-blind-"))
      const injector = Pause.make(new Map([["here", blindTo(blind)]]))
      const { go, orders, trees } = yield* ready(["still", "still"], undefined, injector, (trees) =>
        fs.writeFileSync(path.join(blind, "pid"), String(trees[0]!.process.pid))
      )
      const grades = (yield* go).map((answer) => (Result.isSuccess(answer) ? answer.success.grade : answer.failure))
      assert.deepStrictEqual(grades, ["Keeper", "Kernel"])
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [false, false])
      assert.notStrictEqual(told(orders[0]!.fence, "keepers"), told(orders[1]!.fence, "keepers"))
      yield* lift(orders[0]!)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, false])
      assert.isFalse((yield* lift(orders[1]!)).broken)
      fs.rmSync(blind, { recursive: true })
    })
  )
})

describe("what the host has on record", () => {
  it.live("of an earlier version, a holder that is not shared, is lifted", () =>
    Effect.gen(function* () {
      const { go, orders, trees } = yield* ready(["threads"])
      yield* go
      const holder = holderOf(orders[0]!.fence)
      const keepers = Bench.keepersOf(orders[0]!.fence)
      // Those who share let such a fence be, and nobody has said yet that it is over.
      fs.rmSync(path.join(Bench.directoryOf(orders[0]!.fence), "shared"))
      yield* Bench.until("the end of those who share", () => !keepers.some(ProcessTree.isThere))
      assert.isTrue(ProcessTree.isThere(holder))
      assert.isFalse(ProcessTree.runs(trees[0]!))
      const lifted = yield* lift(orders[0]!)
      assert.deepStrictEqual([lifted.by, lifted.broken], ["Worker", false])
      assert.isTrue(ProcessTree.runs(trees[0]!))
      assert.isFalse(ProcessTree.isThere(holder))
    })
  )
})

// --- internal ---

/** Some members on this host, under one operation, and what makes them ready. */
const scene = Effect.fnUntraced(function* (
  kinds: ReadonlyArray<ProcessTree.Kind>,
  hold = 20_000,
  injector: Injector = pause
) {
  const trees = yield* Effect.forEach(kinds, (kind) => ProcessTree.start(kind))
  const first = yield* Bench.orderFor(trees[0]!, { hold })
  const orders = trees.map(({ process }, index): FenceOrder => ({
    ...first,
    process,
    fence: { ...first.fence, member: `member-${index + 1}` }
  }))
  return { trees, orders, prepare: injector.prepare!("here", orders, 60_000) }
})

/** The same, once they stand ready. */
const ready = Effect.fnUntraced(function* (
  kinds: ReadonlyArray<ProcessTree.Kind>,
  hold = 20_000,
  injector: Injector = pause,
  before: (trees: ReadonlyArray<ProcessTree.ProcessTree>) => void = () => undefined
) {
  const { orders, prepare, trees } = yield* scene(kinds, hold, injector)
  before(trees)
  const prepared = yield* prepare
  const go = Effect.suspend(() =>
    prepared.go({ ...orders[0]!, deadline: Date.now() + within(hold), startByMonotonic: soon() })
  )
  return { trees, orders, go }
})

/** The same, while the look at each member waits at a gate; two keepers and a holder stand ahead. */
const ahead = Effect.gen(function* () {
  const gate = yield* GatedHost.make({ programs: ["stat"], matching: "*%i*", when: "before" })
  const injector = Pause.make(new Map([["here", gate.host]]))
  const { orders, prepare, trees } = yield* scene(["still", "still"], undefined, injector)
  const fiber = yield* Effect.forkScoped(Effect.scoped(prepare))
  yield* Bench.until("two keepers and a holder", () => standingAhead().length === 3)
  return { orders, trees, fiber, gate }
})

/** The holder and the two keepers, and none of what they or their host start for a moment. */
const standingAhead = (): ReadonlyArray<number> => {
  const ours = Bench.ours()
  return ["stand", "keep\x001", "keep\x002"].flatMap((words) =>
    ours.filter((pid) => {
      const seen = ProcessTree.look(pid)
      return seen !== undefined && !ours.includes(seen.parent) && ProcessTree.commandOf(pid).includes(`\0${words}\0`)
    })
  )
}

const soon = (): number => Number(process.hrtime.bigint() / 1_000_000n) + within(10_000)

const lift = (order: FenceOrder): Effect.Effect<{ readonly by: string; readonly broken: boolean }, InjectorError> =>
  pause.lift("here", order.fence, 1)

/** Fails where one of those who kept these fences is there; what they were just starting may take a moment to end. */
const allGone = Effect.fnUntraced(function* (orders: ReadonlyArray<FenceOrder>) {
  const kept = orders.flatMap(({ fence }) => [...Bench.keepersOf(fence), holderOf(fence)])
  assert.deepStrictEqual(kept.filter(ProcessTree.isThere), [])
  yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
})

const told = (fence: FenceId, name: string): string =>
  fs.readFileSync(path.join(Bench.directoryOf(fence), name), "utf8").trim()

const holderOf = (fence: FenceId): number => Number(told(fence, "holder").split(" ")[0])

const attaching = `syscall(${process.arch === "arm64" ? 117 : 101}, 0x4206, $ARGV[0] + 0, 0, 0) == 0 or die; sleep 60`

/** This host, which tells in a folder what every holder's program was asked to do. */
const telling = (folder: string): Host => {
  const script = [
    "#!/bin/sh",
    'word="$2 $3"',
    "case $2 in stand) word=stand ;; esac",
    `echo "$word" >>'${folder}/ran'`,
    `PATH=\${PATH#*:}`,
    'exec perl "$@"'
  ]
  return withPerl(folder, script)
}

/** This host, where a holder may not trace the process whose number stands in a folder. */
const blindTo = (folder: string): Host => {
  const script = [
    "#!/bin/sh",
    `PATH=\${PATH#*:}`,
    `case $1 in */inquorate-holder) sed -i "s/^sub examine {/&\\n  return \\"Keeper\\" if \\$_[0] == $(cat '${folder}/pid');/" "$1" ;; esac`,
    'exec perl "$@"'
  ]
  return withPerl(folder, script)
}

const withPerl = (folder: string, script: ReadonlyArray<string>): Host => {
  fs.writeFileSync(path.join(folder, "perl"), `${script.join("\n")}\n`, { mode: 0o755 })
  return GatedHost.finding(folder)
}
