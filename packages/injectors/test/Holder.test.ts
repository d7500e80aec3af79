/**
 * Goal: what the kernel grade claims is true. Method: real processes are held by ptrace, and everything of ours is
 * killed or frozen, at random moments too. The target must run on at once. INQUORATE_RUNS says how many such moments
 * there are; Holder.long.test.ts has more kinds of them.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Programs from "../src/Programs.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import { holderOf } from "./Bench.ts"
import { counting, here, orderFor, ours, pause, report, runs, state, threadStates, until } from "./HolderBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

describe("the kernel ends the fence", () => {
  it.live("when everything of ours is killed at once, in any order, at any moment after the arming", () =>
    Effect.gen(function* () {
      const overruns: Array<number> = []
      for (const kind of ["still", "threads", "forking"] as const) {
        const tree = yield* ProcessTree.start(kind)
        for (let attempt = 1; attempt <= Math.ceil(runs / 3); attempt++) {
          const order = yield* orderFor(tree, { attempt })
          assert.strictEqual((yield* pause.arm(order)).grade, "Kernel")
          assert.isFalse(ProcessTree.runs(tree))
          yield* Effect.sleep(Math.random() * 100)
          // A shell that starts a command has the shell's own words for a moment.
          yield* until(() => ours().length === 3)
          const doomed = ours().sort(() => Math.random() - 0.5)
          const held = ProcessTree.pidsOf(tree.process.pid)
          ProcessTree.signalAll(doomed, "SIGKILL")
          const killed = performance.now()
          while (held.some((pid) => ProcessTree.look(pid)?.state === "t") && performance.now() - killed < 10_000);
          overruns.push(performance.now() - killed)
          yield* until(() => ours().length === 0)
          assert.isTrue(ProcessTree.runs(tree), `attempt ${attempt} left something stopped`)
          const seen = yield* pause.inspect("here", order.fence, 1)
          assert.isTrue(seen._tag === "Armed" && seen.broken && seen.keepers === 0)
          assert.isTrue((yield* pause.lift("here", order.fence, 1)).broken, "nobody can say that it held")
        }
      }
      report("overrun after everything was killed", overruns)
    })
  )

  it.live("when the worker that armed it is killed with everything else", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      const file = path.join(import.meta.dirname, "armingWorker.ts")
      const worker = spawn(process.execPath, [file, JSON.stringify(order)], { stdio: ["ignore", "pipe", "inherit"] })
      yield* Effect.promise(() => new Promise((armed) => worker.stdout.once("data", armed)))
      assert.isFalse(ProcessTree.runs(tree))
      ProcessTree.signalAll([worker.pid!, ...ours()], "SIGKILL")
      yield* until(() => ours().length === 0)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})

describe("with a holder that is frozen, or lives alone", () => {
  it.live("a lift ends a frozen holder at once", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      process.kill(holderOf(order.fence), "SIGSTOP")
      assert.isFalse((yield* pause.lift("here", order.fence, 1)).broken)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})

describe("the target after it", () => {
  it.live("takes the signal that it was about to take when it is let go of while its holder lives", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.startWith(["perl", ["-e", counting]])
      const text = fs.readFileSync(path.join(import.meta.dirname, "../host/tracer.pl"), "utf8")
      const holder = spawn("perl", ["-e", `${text}\n${letting}`, "none", String(tree.process.pid)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => void holder.kill("SIGKILL")))
      const count = (): string => fs.readFileSync(path.join(tree.process.dataDirectory, "count"), "utf8")
      yield* until(() => fs.existsSync(path.join(tree.process.dataDirectory, "count")))
      yield* Effect.promise(() => new Promise((detached) => holder.stdout.once("data", detached)))
      yield* until(() => count().startsWith("1 "))
      assert.isNull(holder.exitCode)
    })
  )

  it.live("learns that its child was killed, during the hold for its parent's parent and after it for itself", () =>
    Effect.gen(function* () {
      const script = "sleep 1000 & echo ready; wait $!; echo $? >ended; sleep 1000"
      const tree = yield* ProcessTree.startWith(["sh", ["-c", script]])
      const order = yield* orderFor(tree)
      yield* pause.arm(order)
      const child = ProcessTree.pidsOf(tree.process.pid)[1]!
      process.kill(child, "SIGKILL")
      yield* until(() => !ProcessTree.isThere(child))
      yield* pause.lift("here", order.fence, 1)
      const told = path.join(tree.process.dataDirectory, "ended")
      yield* until(() => fs.existsSync(told) && fs.readFileSync(told, "utf8") === "137\n")
      assert.isUndefined(ProcessTree.look(child), "nobody could collect the child")
    })
  )

  it.live("is collected by its parent although it died while it was held", () =>
    Effect.gen(function* () {
      const child: ChildProcess = spawn("sleep", ["1000"], { cwd: state, stdio: "ignore" })
      const pid = child.pid!
      yield* until(() => path.basename(fs.readlinkSync(`/proc/${pid}/exe`)) === "sleep")
      const order = yield* orderFor({
        member: "m",
        process: {
          host: "here",
          pid,
          startTime: ProcessTree.look(pid)!.startTime,
          executable: fs.readlinkSync(`/proc/${pid}/exe`),
          dataDirectory: state
        }
      })
      yield* pause.arm(order)
      child.kill("SIGKILL")
      yield* until(() => child.signalCode === "SIGKILL")
      yield* pause.lift("here", order.fence, 1)
    })
  )
})

describe("where it cannot be had", () => {
  it.live("the pause falls back to keeper grade, and says so", () =>
    Effect.gen(function* () {
      const withoutPerl = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-no-perl-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(withoutPerl, { recursive: true })))
      fs.writeFileSync(path.join(withoutPerl, "perl"), "#!/bin/sh\nexit 1\n", { mode: 0o755 })
      const deprived: Host = {
        label: "here",
        run: (program, words, options) => here.run(`PATH=${withoutPerl}:$PATH\n${program}`, words, options)
      }
      for (const [injector, expected] of [
        [Pause.make(new Map([["here", deprived]])), "Keeper"],
        [Pause.make(new Map([["here", here]]), { prefer: "Keeper" }), "Keeper"],
        [pause, "Kernel"]
      ] as const) {
        const tree = yield* ProcessTree.start("still")
        const preflight = yield* injector.preflight(tree.process)
        assert.strictEqual(preflight._tag === "Ready" && preflight.grade, expected)
        const order = yield* orderFor(tree)
        assert.strictEqual((yield* injector.arm(order)).grade, expected)
        const seen = yield* injector.inspect("here", order.fence, 1)
        assert.strictEqual(seen._tag === "Armed" && seen.grade, expected)
        assert.include(expected === "Kernel" ? ["t"] : ["T"], threadStates(tree)[0])
        yield* injector.lift("here", order.fence, 1)
      }
    })
  )

  it.live("a process, or a child of it, that somebody traces is refused by name", () =>
    Effect.gen(function* () {
      for (const which of [0, 1]) {
        const tree = yield* ProcessTree.start("still")
        const traced = ProcessTree.pidsOf(tree.process.pid)[which]!
        const debuggerOf = spawn("perl", ["-e", attaching, String(traced)], { stdio: "ignore" })
        yield* until(() =>
          fs.readFileSync(`/proc/${traced}/status`, "utf8").includes(`TracerPid:\t${debuggerOf.pid}\n`)
        )
        const words = `process ${traced} is traced by process ${debuggerOf.pid} (perl)`
        const preflight = yield* pause.preflight(tree.process)
        assert.strictEqual(preflight._tag, "Impossible")
        assert.include(preflight._tag === "Impossible" ? preflight.problem : "", words)
        const error = yield* Effect.flip(pause.arm(yield* orderFor(tree)))
        assert.strictEqual(error.reason, "OrderRefused")
        assert.include(error.detail, words)
        debuggerOf.kill("SIGKILL")
        yield* until(() => debuggerOf.signalCode !== null)
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )

  it("the text of the holder fits between single quotes of a shell", () => {
    assert.notInclude(Programs.tracer, "'")
  })
})

// --- internal ---

/** Holds a process at the very moment at which it takes a signal, lets go of it, and stays. */
const letting = `my ($pid) = @ARGV;
  ptrace("SEIZE", $pid) or die;
  kill 36, $pid or die;
  nap(0.001) until (facts("/proc/$pid/stat"))[0] eq "t";
  detach($pid) or die;
  $| = 1;
  print "detached\\n";
  nap(600)`

const attaching = `syscall(${process.arch === "arm64" ? 117 : 101}, 0x4206, $ARGV[0] + 0, 0, 0) == 0 or die; sleep 60`
