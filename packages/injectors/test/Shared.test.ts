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
import { assert, describe, it } from "@effect/vitest"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Bench from "./Bench.ts"
import * as GatedHost from "./GatedHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as ProcessTree from "./ProcessTree.ts"
import { allGone, lift, pause, ready, scene, told } from "./SharedBench.ts"

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
      process.kill(Bench.holderOf(orders[0]!.fence), "SIGSTOP")
      assert.isFalse((yield* lift(orders[0]!)).broken)
      assert.deepStrictEqual(trees.map(ProcessTree.runs), [true, true])
      assert.isTrue((yield* lift(orders[1]!)).broken)
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
      const holder = Bench.holderOf(orders[0]!.fence)
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
