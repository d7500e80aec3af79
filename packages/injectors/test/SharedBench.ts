/** What the tests of a pair of keepers for several members share: members that are prepared together, and their fences. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { FenceId, FenceOrder, Injector, InjectorError } from "@inquorate/core/Injector"
import { assert } from "@effect/vitest"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const here = LocalHost.make("here")
export const pause = Pause.make(new Map([["here", here]]))

/** Some members on this host, under one operation, and what makes them ready. */
export const scene = Effect.fnUntraced(function* (
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
export const ready = Effect.fnUntraced(function* (
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

const soon = (): number => Number(process.hrtime.bigint() / 1_000_000n) + within(10_000)

export const lift = (
  order: FenceOrder
): Effect.Effect<{ readonly by: string; readonly broken: boolean }, InjectorError> => pause.lift("here", order.fence, 1)

/** Fails where one of those who kept these fences is there; what they were just starting may take a moment to end. */
export const allGone = Effect.fnUntraced(function* (orders: ReadonlyArray<FenceOrder>) {
  const kept = orders.flatMap(({ fence }) => [...Bench.keepersOf(fence), Bench.holderOf(fence)])
  assert.deepStrictEqual(kept.filter(ProcessTree.isThere), [])
  yield* Bench.until("nobody of ours", () => Bench.ours().length === 0)
})

export const told = (fence: FenceId, name: string): string =>
  fs.readFileSync(path.join(Bench.directoryOf(fence), name), "utf8").trim()
