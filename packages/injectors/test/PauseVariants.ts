/**
 * The pause on real processes, over and over: keepers and what started them are killed or frozen one after the other,
 * and lifts, expiries and orders race. Every story asserts states of real threads, in the grade that the environment names.
 */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { directoryOf, holderOf, keepersOf } from "./Bench.ts"
import { commands, ended, grade, liftOf, orderFor, ours, pause, sweepOf, twoReady, until } from "./PauseBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

describe("what is stopped", () => {
  it.live("every child of a tree that forks without end", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("forking")
      for (let attempt = 1; attempt <= 8; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        const armed = yield* pause.arm(order)
        const held = ProcessTree.pidsOf(tree.process.pid)
        assert.isFalse(ProcessTree.runs(tree))
        assert.isAtLeast(armed.processes, 4)
        yield* Effect.sleep(60)
        assert.deepStrictEqual(ProcessTree.pidsOf(tree.process.pid), held, "something forked during the hold")
        yield* liftOf(order)
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )
})

describe("who ends it", () => {
  it.live("a keeper, when the worker that armed it is killed", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree, { hold: 4000 })
      const worker = spawn(
        process.execPath,
        [path.join(import.meta.dirname, "armingWorker.ts"), JSON.stringify(order)],
        {
          stdio: ["ignore", "pipe", "inherit"]
        }
      )
      yield* Effect.promise(() => new Promise((armed) => worker.stdout.once("data", armed)))
      worker.kill("SIGKILL")
      assert.isFalse(ProcessTree.runs(tree))
      assert.strictEqual(
        (yield* pause.inspect("here", order.fence, 2))._tag,
        "Armed",
        "the death of a worker is no lift"
      )
      assert.strictEqual((yield* ended(order)).by, "Keeper")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("the other keeper, when one is frozen, and the frozen one never wakes to spoil the next hold", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      for (const attempt of [1, 2]) {
        const order = yield* orderFor(tree, { attempt, hold: 1500 })
        yield* pause.arm(order)
        process.kill(keepersOf(order.fence)[attempt - 1]!, "SIGSTOP")
        assert.strictEqual((yield* ended(order)).by, "Keeper")
        assert.isTrue(ProcessTree.runs(tree))
        yield* until(() => keepersOf(order.fence).every((pid) => !ProcessTree.isThere(pid)))
      }
    })
  )

  it.live("a sweep past the deadline, when both are killed", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree, { hold: 1200 })
      yield* pause.arm(order)
      // A frozen holder holds on, where a dead one would let go and a live one ends it by itself.
      if (grade === "Kernel") process.kill(holderOf(order.fence), "SIGSTOP")
      ProcessTree.signalAll(keepersOf(order.fence), "SIGKILL")
      yield* until(() => keepersOf(order.fence).every((pid) => !ProcessTree.isThere(pid)))
      const early = yield* sweepOf(order, true)
      assert.strictEqual(early?._tag === "Armed" && early.keepers, 0)
      yield* Effect.sleep(Math.max(0, order.deadline - Date.now()) + 300)
      assert.isFalse(ProcessTree.runs(tree), "nobody is left who could have ended it")
      assert.strictEqual((yield* sweepOf(order, false))?._tag, "Armed")
      assert.isFalse(ProcessTree.runs(tree))
      const swept = yield* sweepOf(order, true)
      assert.strictEqual(swept?._tag === "Lifted" && swept.by, "Sweep")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("the taker, wherever in the arming the order's sender was cut off", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      for (let attempt = 1; attempt <= 8; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        yield* Effect.timeoutOption(Effect.result(pause.arm(order)), attempt * 6)
        const lifted = yield* pause.lift("here", order.fence, 2)
        assert.strictEqual(lifted._tag, "Lifted")
        assert.isTrue(ProcessTree.runs(tree))
        yield* Effect.sleep(50)
        assert.isTrue(ProcessTree.runs(tree), "something was stopped after the lift")
      }
      const next = yield* orderFor(tree, { operationId: randomUUID() })
      yield* pause.arm(next)
      yield* liftOf(next)
    })
  )

  it.live("whoever it is, the record tells where the fence was broken meanwhile", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      if (grade === "Kernel") process.kill(holderOf(order.fence), "SIGKILL")
      else process.kill(tree.process.pid, "SIGCONT")
      yield* until(() => fs.existsSync(path.join(directoryOf(order.fence), "broken")))
      const seen = yield* pause.inspect("here", order.fence, 1)
      assert.strictEqual(seen._tag === "Armed" && seen.broken, true)
      assert.isTrue((yield* liftOf(order)).broken)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})

describe("what stands ready and had no go yet", () => {
  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    it.live(`comes to nothing or to a fence that can be lifted, whoever of it gets ${signal} before the go`, () =>
      Effect.gen(function* () {
        const some = yield* twoReady
        const count = ours().length
        // Two keepers and a holder for both, or two keepers for each.
        assert.isAtLeast(count, grade === "Kernel" ? 3 : 4)
        for (let which = 0; which < count; which++) {
          const { go, orders, trees } = yield* twoReady
          const mark = path.dirname(directoryOf(orders[0]!.fence))
          const own = commands().filter(([, command]) => command.includes(mark))
          const [victim] = own[which % own.length]!
          ProcessTree.signalAll([victim], signal)
          const answers = yield* Effect.timeoutOption(go, 3000)
          for (const [index, tree] of trees.entries()) {
            const answer = answers._tag === "Some" ? answers.value[index] : undefined
            if (answer !== undefined && Result.isSuccess(answer)) assert.isFalse(ProcessTree.runs(tree))
          }
          for (const order of orders) yield* liftOf(order)
          for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
          // Nobody is left who could still hear a go, and the place is free.
          let attempt = 1
          for (const order of orders) {
            const again = { ...(yield* orderFor(trees[0]!, { attempt: ++attempt })), process: order.process }
            yield* pause.arm(again)
            yield* liftOf(again)
          }
          if (ProcessTree.isThere(victim)) ProcessTree.signalAll([victim], "SIGKILL")
        }
        for (const tree of some.trees) assert.isTrue(ProcessTree.runs(tree))
      })
    )
  }
})

describe("what cannot cut into a hold", () => {
  it.live("a lift that came before: the next hold stands to its end, many times over", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      for (let attempt = 1; attempt <= 15; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        yield* pause.arm(order)
        // Longer than any keeper sleeps: a late one would have woken by then.
        if (attempt % 5 === 0) yield* Effect.sleep(300)
        assert.isFalse(ProcessTree.runs(tree), `attempt ${attempt} was cut into`)
        const lifted = yield* liftOf(order)
        assert.isFalse(lifted.broken, `attempt ${attempt} was cut into`)
        assert.deepStrictEqual(keepersOf(order.fence).filter(ProcessTree.isThere), [])
      }
    })
  )

  it.live("an expiry that came before: keepers are gone before the process can be taken again", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      for (let attempt = 1; attempt <= 4; attempt++) {
        const order = yield* orderFor(tree, { attempt, hold: 900 })
        yield* pause.arm(order)
        yield* until(() => fs.existsSync(path.join(directoryOf(order.fence), "lifted")))
        const next = yield* orderFor(tree, { attempt: attempt + 100 })
        // Refused while a keeper of the first is still there; as soon as it is taken, it must stand.
        const taken = yield* Effect.result(pause.arm(next))
        if (taken._tag === "Success") {
          yield* Effect.sleep(300)
          assert.isFalse(ProcessTree.runs(tree))
        }
        assert.isFalse((yield* liftOf(next)).broken)
        yield* liftOf(order)
      }
    })
  )

  it.live("lifts at once with the arming: all succeed and the process runs", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      for (let attempt = 1; attempt <= 6; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        const arming = yield* Effect.forkChild(Effect.result(pause.arm(order)))
        yield* Effect.sleep(attempt * 6)
        const [first, second] = yield* Effect.all([Effect.result(liftOf(order)), Effect.result(liftOf(order))], {
          concurrency: 2
        })
        assert.isTrue(first._tag === "Success" || second._tag === "Success")
        yield* Effect.sleep(100)
        assert.isTrue(ProcessTree.runs(tree))
        assert.strictEqual((yield* liftOf(order))._tag, "Lifted")
        yield* Fiber.await(arming)
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )
})
