/**
 * Goal: what the kernel grade claims is true. Method: real processes are held by ptrace. Everything of ours is killed at
 * random moments of the arming, keepers are killed and frozen, and signals are sent all the while. The target must run
 * on with every signal that it was sent. INQUORATE_RUNS says how many such moments there are, and asks for a measurement.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Grade } from "@inquorate/core/Plan"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pause from "../src/mechanisms/Pause.ts"
import { assertOffOnlyAtItsDeadline, directoryOf, holderOf, keepersOf } from "./Bench.ts"
import {
  besideAnother,
  counting,
  ended,
  here,
  orderFor,
  ours,
  pause,
  report,
  runs,
  threadStates,
  until
} from "./HolderBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

describe("the kernel ends the fence", () => {
  it.live("when everything of ours is killed at any moment of the arming", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      let held = 0
      for (let attempt = 1; attempt <= runs; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        const arming = yield* Effect.forkChild(Effect.result(pause.arm(order)))
        yield* Effect.sleep(Math.random() * 220)
        if (threadStates(tree).includes("t")) held++
        // Whoever is killed first may have been starting the next, and the first of all may not have started yet.
        yield* until(() => {
          ProcessTree.signalAll(ours(), "SIGKILL")
          return arming.pollUnsafe() !== undefined && ours().length === 0
        })
        assert.isTrue(ProcessTree.runs(tree), `attempt ${attempt} left something stopped`)
        yield* pause.lift("here", order.fence, 1)
      }
      if (runs >= 50) assert.isAbove(held, 0, "no moment hit a process that was held")
    })
  )
})

describe("with a holder that is frozen, or lives alone", () => {
  it.live("a keeper ends a frozen holder at the deadline", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("threads")
      const order = yield* orderFor(tree, { hold: 1500 })
      yield* pause.arm(order)
      process.kill(holderOf(order.fence), "SIGSTOP")
      const lifted = yield* ended(order)
      assert.deepStrictEqual([lifted.by, lifted.broken], ["Keeper", false])
      assert.isTrue(ProcessTree.runs(tree))
      assert.isFalse(ProcessTree.isThere(holderOf(order.fence)))
    })
  )

  it.live("a holder ends by itself and says so, when both keepers are dead or frozen", () =>
    Effect.gen(function* () {
      for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
        const tree = yield* ProcessTree.start("still")
        const order = yield* orderFor(tree, { hold: 1500 })
        yield* pause.arm(order)
        ProcessTree.signalAll(keepersOf(order.fence), signal)
        assert.isFalse(ProcessTree.runs(tree))
        const lifted = yield* ended(order)
        assert.deepStrictEqual([lifted.by, lifted.broken], ["Keeper", false])
        assertOffOnlyAtItsDeadline(directoryOf(order.fence))
        yield* until(() => !ProcessTree.isThere(holderOf(order.fence)))
        assert.isTrue(ProcessTree.runs(tree))
        yield* pause.lift("here", order.fence, 1)
        assert.isFalse(keepersOf(order.fence).some(ProcessTree.isThere))
      }
    })
  )

  it.live("a fence of which all died is over past its deadline, and counts as broken", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree, { hold: 1500 })
      yield* pause.arm(order)
      ProcessTree.signalAll(ours(), "SIGKILL")
      const lifted = yield* ended(order)
      assert.deepStrictEqual([lifted.by, lifted.broken], ["Kernel", true])
    })
  )
})

describe("the target after it", () => {
  it.live("has had every signal that it was sent meanwhile", () =>
    Effect.gen(function* () {
      const total = 6000
      const tree = yield* ProcessTree.startWith(["perl", ["-e", counting]])
      const other = yield* ProcessTree.start("still")
      const sender = spawn("perl", ["-e", sending, String(tree.process.pid), String(total)], { stdio: "ignore" })
      for (let attempt = 1; sender.exitCode === null; attempt++) {
        const order = yield* orderFor(tree, { attempt })
        if (attempt % 2 === 0) {
          yield* pause.arm(order)
          ProcessTree.signalAll(ours(), "SIGKILL")
          yield* pause.lift("here", order.fence, 1)
        } else yield* besideAnother(order, other, pause.lift("here", order.fence, 1))
        yield* Effect.sleep(20)
        assert.isBelow(attempt, 100)
      }
      assert.strictEqual(sender.exitCode, 0, "the target was gone before all were sent")
      const count = (): string => fs.readFileSync(path.join(tree.process.dataDirectory, "count"), "utf8")
      yield* until(() => count().startsWith(`${total} `))
      // Its interval timer goes on, too.
      const ticks = Number(count().split(" ")[1])
      yield* until(() => Number(count().split(" ")[1]) > ticks)
    })
  )

  it.live("is as stopped as somebody else left it, also where the holder holds another on", () =>
    Effect.gen(function* () {
      for (const beside of [false, true]) {
        const tree = yield* ProcessTree.start("still")
        const [, before, during] = ProcessTree.pidsOf(tree.process.pid)
        process.kill(before!, "SIGSTOP")
        yield* until(() => ProcessTree.look(before!)?.state === "T")
        const order = yield* orderFor(tree)
        const stopped = Effect.gen(function* () {
          process.kill(during!, "SIGSTOP")
          process.kill(tree.process.pid, "SIGCONT")
          yield* Effect.sleep(50)
          assert.deepStrictEqual([...new Set(threadStates(tree))], ["t"], "a SIGCONT from outside does not end it")
          assert.isFalse((yield* pause.lift("here", order.fence, 1)).broken)
        })
        if (beside) yield* besideAnother(order, yield* ProcessTree.start("still"), stopped)
        else yield* Effect.andThen(pause.arm(order), stopped)
        // Who was let go may have to wait for a processor before it stops or sleeps.
        const states = () => [before!, during!, tree.process.pid].map((pid) => ProcessTree.look(pid)?.state).join("")
        yield* until(() => states() === "TTS")
        for (const pid of [before!, during!]) process.kill(pid, "SIGCONT")
        yield* until(() => ProcessTree.runs(tree))
      }
    })
  )
})

// A measurement and no test: it is not there unless it is asked for.
const measured = () =>
  describe("the time it takes", () => {
    it.live("to arm and to lift, in both grades", () =>
      Effect.gen(function* () {
        const tree = yield* ProcessTree.start("still")
        const times = { Kernel: [[], []], Keeper: [[], []] } as Record<Grade, [Array<number>, Array<number>]>
        for (let attempt = 1; attempt <= 2 * runs; attempt++) {
          const prefer = attempt % 2 === 0 ? "Kernel" : "Keeper"
          const injector = Pause.make(new Map([["here", here]]), { prefer })
          const order = yield* orderFor(tree, { attempt })
          yield* injector.preflight(tree.process)
          const began = performance.now()
          yield* injector.arm(order)
          const armed = performance.now()
          yield* injector.lift("here", order.fence, 1)
          times[prefer][0].push(armed - began)
          times[prefer][1].push(performance.now() - armed)
        }
        for (const grade of ["Kernel", "Keeper"] as const) {
          report(`${grade}: arm`, times[grade][0])
          report(`${grade}: lift`, times[grade][1])
        }
      })
    )
  })

// --- internal ---

const sending = `use POSIX;
  my ($pid, $total) = @ARGV;
  for (1 .. $total) { kill SIGRTMIN + 2, $pid or die; select(undef, undef, undef, 0.0004) }`

if (process.env.INQUORATE_RUNS !== undefined) measured()
