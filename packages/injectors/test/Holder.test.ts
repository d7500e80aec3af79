/**
 * Goal: what the kernel grade claims is true. Method: real processes are held by ptrace, and everything of ours is
 * killed or frozen at random moments. The target must run on at once, with every signal that it was sent.
 * INQUORATE_RUNS says how many such moments there are.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import type { FenceId, FenceOrder, FenceState } from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { factor, within } from "@inquorate/testkit/Pace"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Programs from "../src/Programs.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import { assertOffOnlyAtItsDeadline } from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const here = LocalHost.make("here")
const pause = Pause.make(new Map([["here", here]]))
const runs = Number(process.env.INQUORATE_RUNS ?? 6)
let state = ""

beforeAll(() => {
  state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-holder-"))
  process.env.INQUORATE_STATE = state
})

afterAll(async () => {
  for (let turn = 0; turn < 100 * factor && ours().length > 0; turn++)
    await new Promise((resume) => setTimeout(resume, 50))
  assert.deepStrictEqual(ours(), [], "something of ours is left")
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

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
      const count = (): string => fs.readFileSync(path.join(tree.process.dataDirectory, "count"), "utf8")
      yield* until(() => count().startsWith(`${total} `))
      // Its interval timer goes on, too.
      const ticks = Number(count().split(" ")[1])
      yield* until(() => Number(count().split(" ")[1]) > ticks)
    })
  )

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

/** Counts realtime signals, of which the kernel loses none, and ticks of an interval timer. */
const counting = `use POSIX;
  my ($count, $ticks) = (0, 0);
  sigaction(SIGRTMIN + 2, POSIX::SigAction->new(sub { $count++ })) or die;
  $SIG{ALRM} = sub { $ticks++; alarm 1 };
  alarm 1;
  $| = 1;
  print "ready\\n";
  while (1) {
    select(undef, undef, undef, 0.02);
    open(my $file, ">", "count.new") or die;
    print $file "$count $ticks";
    close $file;
    rename("count.new", "count");
  }`

const sending = `use POSIX;
  my ($pid, $total) = @ARGV;
  for (1 .. $total) { kill SIGRTMIN + 2, $pid or die; select(undef, undef, undef, 0.0004) }`

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

const report = (what: string, millis: ReadonlyArray<number>): void => {
  const sorted = [...millis].sort((a, b) => a - b)
  const at = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(1)
  if (process.env.INQUORATE_RUNS !== undefined)
    console.log(`${what}: n ${sorted.length}, p50 ${at(0.5)} ms, max ${at(1)} ms`)
}

const orderFor = Effect.fnUntraced(function* (
  tree: ProcessTree.ProcessTree,
  { attempt = 1, hold = 20_000 }: { readonly attempt?: number; readonly hold?: number } = {}
) {
  const order: FenceOrder = {
    fence: { operationId: operationOf(tree), attempt, member: tree.member },
    process: tree.process,
    epoch: 1,
    deadline: (yield* Clock.currentTimeMillis) + within(hold),
    startByMonotonic: Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + within(10_000)
  }
  return order
})

/** Applies an order together with another member's, does something, and finds the other still held. */
const besideAnother = <A, E>(order: FenceOrder, other: ProcessTree.ProcessTree, act: Effect.Effect<A, E>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const beside: FenceOrder = { ...order, process: other.process, fence: { ...order.fence, member: "beside" } }
      const { go } = yield* pause.prepare!("here", [order, beside], 60_000)
      assert.deepStrictEqual((yield* go(order)).map(Result.isSuccess), [true, true])
      yield* act
      assert.isFalse(ProcessTree.runs(other))
      assert.isFalse((yield* pause.lift("here", beside.fence, 1)).broken)
    })
  )

const operations = new Map<number, string>()
const operationOf = (tree: ProcessTree.ProcessTree): string => {
  const known = operations.get(tree.process.pid) ?? randomUUID()
  operations.set(tree.process.pid, known)
  return known
}

const ended = Effect.fnUntraced(function* (order: FenceOrder) {
  for (let turn = 0; turn < 150 * factor; turn++) {
    const seen: FenceState = yield* pause.inspect("here", order.fence, 1)
    if (seen._tag === "Lifted") return seen
    yield* Effect.sleep(100)
  }
  return assert.fail("nobody ended the fence within 15 s")
})

const until = Effect.fnUntraced(function* (condition: () => boolean) {
  // What has come to be may be over in the next moment.
  for (let turn = 0; turn < 2000 * factor; turn++) {
    if (condition()) return
    yield* Effect.sleep(5)
  }
  assert.fail("it did not come to be within 10 s")
})

if (process.env.INQUORATE_RUNS !== undefined) measured()

const threadStates = (tree: ProcessTree.ProcessTree): ReadonlyArray<string> =>
  ProcessTree.pidsOf(tree.process.pid).flatMap((pid) => ProcessTree.look(pid)?.state ?? [])

const directoryOf = (fence: FenceId): string =>
  path.join(state, "fences", fence.operationId, `${fence.attempt}.${Buffer.from(fence.member).toString("hex")}`)

const keepersOf = (fence: FenceId): ReadonlyArray<number> => {
  const [first, , second] = fs.readFileSync(path.join(directoryOf(fence), "keepers"), "utf8").split(" ")
  return [Number(first), Number(second)]
}

const holderOf = (fence: FenceId): number =>
  Number(fs.readFileSync(path.join(directoryOf(fence), "holder"), "utf8").split(" ")[0])

/** All that lives of ours: shells and the holder that run a program of ours on our state directory. */
const ours = (): Array<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      const command = fs.readFileSync(`/proc/${name}/cmdline`, "latin1")
      const mine = fs.readFileSync(`/proc/${name}/environ`, "latin1").includes(`INQUORATE_STATE=${state}\0`)
      return mine && /\0inquorate\0|\0inquorate-keeper\0|inquorate-holder\0/.test(command) ? [Number(name)] : []
    } catch {
      return []
    }
  })
