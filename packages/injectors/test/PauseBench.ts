/**
 * What the stories of the pause share: a pause of the grade that the environment names, a state directory of its own in
 * which nothing may be left at the end, orders, and waiting for what must come.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { FenceOrder, FenceState, Injector } from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import { afterAll, assert, beforeAll } from "@effect/vitest"
import { factor, within } from "@inquorate/testkit/Pace"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import { operationOf } from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

export const here = LocalHost.make("here")
export const grade: Grade = process.env.INQUORATE_TEST_GRADE === "Kernel" ? "Kernel" : "Keeper"
export const pause = Pause.make(new Map([["here", here]]), { prefer: grade })
let state = ""

beforeAll(() => {
  state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-state-"))
  process.env.INQUORATE_STATE = state
})

afterAll(async () => {
  // A keeper that was told to go may need a moment on a busy machine; one that stays is a failure.
  for (let turn = 0; turn < 100 * factor && ours().length > 0; turn++)
    await new Promise((resume) => setTimeout(resume, 50))
  assert.deepStrictEqual(ours(), [], "a keeper is left")
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

/** Two members on this host that stand ready under one operation. */
export const twoReady = Effect.gen(function* () {
  const trees = [yield* ProcessTree.start("threads"), yield* ProcessTree.start("still")]
  const first = yield* orderFor(trees[0]!)
  const orders = trees.map(({ process }, index) => ({
    ...first,
    process,
    fence: { ...first.fence, member: `member-${index + 1}` }
  }))
  const prepared = yield* pause.prepare!("here", orders, 60_000)
  return { trees, orders, prepared, go: Effect.suspend(() => prepared.go(first)) }
})

export const orderFor = Effect.fnUntraced(function* (
  tree: ProcessTree.ProcessTree,
  changes: { readonly attempt?: number; readonly hold?: number; readonly operationId?: string } = {}
) {
  const now = yield* Clock.currentTimeMillis
  const monotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
  const operationId = changes.operationId ?? operationOf(tree)
  const order: FenceOrder = {
    fence: { operationId, attempt: changes.attempt ?? 1, member: tree.member },
    process: tree.process,
    epoch: 1,
    deadline: now + within(changes.hold ?? 20_000),
    startByMonotonic: monotonic + within(10_000)
  }
  return order
})

export const liftOf = (order: FenceOrder) => pause.lift("here", order.fence, 1)

export const sweepOf = (order: FenceOrder, clear: boolean) =>
  Effect.map(
    pause.sweep("here", { clear }),
    (reports) => reports.find(({ fence }) => fence.operationId === order.fence.operationId)?.state
  )

export const ended = Effect.fnUntraced(function* (order: FenceOrder, injector: Injector = pause) {
  for (let turn = 0; turn < 150 * factor; turn++) {
    const state: FenceState = yield* injector.inspect("here", order.fence, 1)
    if (state._tag === "Lifted") return state
    yield* Effect.sleep(100)
  }
  return assert.fail("nobody ended the fence within 15 s")
})

export const until = Effect.fnUntraced(function* (condition: () => boolean) {
  // What has come to be may be over in the next moment.
  for (let turn = 0; turn < 1000 * factor; turn++) {
    if (condition()) return
    yield* Effect.sleep(10)
  }
  assert.fail("it did not come to be within 10 s")
})

/** The processes that carry our state directory in their arguments, and these: keepers, whoever their parent is. */
export const commands = (): ReadonlyArray<readonly [pid: number, command: string]> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      const command = fs.readFileSync(`/proc/${name}/cmdline`, "latin1")
      return command.includes(`${state}/`) ? [[Number(name), command] as const] : []
    } catch {
      return []
    }
  })

export const ours = (): ReadonlyArray<number> => commands().map(([pid]) => pid)
