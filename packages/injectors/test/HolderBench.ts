/**
 * What the tests of the holder share: a state directory of its own in which nothing may be left at the end, orders, and
 * what counts signals. INQUORATE_RUNS says how many random moments there are.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { FenceOrder, FenceState } from "@inquorate/core/Injector"
import { afterAll, assert, beforeAll } from "@effect/vitest"
import { factor, within } from "@inquorate/testkit/Pace"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import { operationOf } from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

export const here = LocalHost.make("here")
export const pause = Pause.make(new Map([["here", here]]))
export const runs = Number(process.env.INQUORATE_RUNS ?? 6)
export let state = ""

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

/**
 * Counts realtime signals, of which the kernel loses none, and ticks of an interval timer. Perl runs this handler inside
 * the kernel's, where it allocates: a signal that came while the program itself did so made it abort. So the signal waits
 * but in `sigsuspend`.
 */
export const counting = `use POSIX;
  my ($count, $ticks, $number) = (0, 0, SIGRTMIN + 2);
  my ($waiting, $none) = (POSIX::SigSet->new($number), POSIX::SigSet->new);
  sigprocmask(SIG_BLOCK, $waiting);
  sigaction($number, POSIX::SigAction->new(sub { $count++ })) or die;
  $SIG{ALRM} = sub { $ticks++; alarm 1 };
  alarm 1;
  $| = 1;
  print "ready\\n";
  while (1) {
    sigsuspend($none);
    sigpending($waiting);
    next if $waiting->ismember($number);
    open(my $file, ">", "count.new") or die;
    print $file "$count $ticks";
    close $file;
    rename("count.new", "count");
  }`

export const report = (what: string, millis: ReadonlyArray<number>): void => {
  const sorted = [...millis].sort((a, b) => a - b)
  const at = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(1)
  if (process.env.INQUORATE_RUNS !== undefined)
    console.log(`${what}: n ${sorted.length}, p50 ${at(0.5)} ms, max ${at(1)} ms`)
}

export const orderFor = Effect.fnUntraced(function* (
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
export const besideAnother = <A, E>(order: FenceOrder, other: ProcessTree.ProcessTree, act: Effect.Effect<A, E>) =>
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

export const ended = Effect.fnUntraced(function* (order: FenceOrder) {
  for (let turn = 0; turn < 150 * factor; turn++) {
    const seen: FenceState = yield* pause.inspect("here", order.fence, 1)
    if (seen._tag === "Lifted") return seen
    yield* Effect.sleep(100)
  }
  return assert.fail("nobody ended the fence within 15 s")
})

export const until = Effect.fnUntraced(function* (condition: () => boolean) {
  // What has come to be may be over in the next moment.
  for (let turn = 0; turn < 2000 * factor; turn++) {
    if (condition()) return
    yield* Effect.sleep(5)
  }
  assert.fail("it did not come to be within 10 s")
})

export const threadStates = (tree: ProcessTree.ProcessTree): ReadonlyArray<string> =>
  ProcessTree.pidsOf(tree.process.pid).flatMap((pid) => ProcessTree.look(pid)?.state ?? [])

/** All that lives of ours: shells and the holder that run a program of ours on our state directory. */
export const ours = (): Array<number> =>
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
