/**
 * Goal: one pair of keepers and one holder keep all members of a host, whoever of them dies and in whatever order the
 * members are let go. Method: real processes are prepared together, told to go together, and then treated one by one.
 */
import { assert, describe, it } from "@effect/vitest"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as GatedHost from "./GatedHost.ts"
import * as ProcessTree from "./ProcessTree.ts"
import { allGone, lift, pause, ready, scene } from "./SharedBench.ts"

Bench.useState()

describe("members of one host", () => {
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

// --- internal ---

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
