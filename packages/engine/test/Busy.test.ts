/** What a worker does whose machine or store has so much other work that everything takes long. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Guid } from "@inquorate/core/Guid"
import type { Elsewhere } from "@inquorate/core/OperationStore"
import {
  armings,
  assertNothingLeft,
  evidenceOf,
  makeWorld,
  passUntilEnded,
  passUntilIn,
  start,
  where
} from "./World.ts"

describe("a loss on a worker whose store is slow", () => {
  it.effect("is ordered anew where storing the order used up its time, and is held as long as asked", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 40 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 1000)
      yield* passUntilIn(world, "LookingUpState", 1, 1)
      engine.slowSaves(2500)
      yield* passUntilIn(world, "Arming")
      engine.slowSaves(0)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 2)
      const { fences, hold, notes } = yield* evidenceOf(engine)
      assert.strictEqual(fences.length, 2)
      assert.isAtLeast(hold!.measured, 1000)
      const anew = notes.filter(({ text }) => /^The order was stored .* after it was made, .* is made anew$/.test(text))
      assert.strictEqual(anew.length, 1)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("is given up after 30 s where no order is stored in time, and nothing was touched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 40 })
      const engine = yield* world.engine()
      const before = yield* start(engine, world.sim, 1, 0)
      engine.slowSaves(9000)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.isAtLeast(ended.endedAt! - before.receivedAt, 30_000)
      assert.strictEqual(world.sim.orders(), 0)
      const { notes } = yield* evidenceOf(engine)
      assert.match(notes.at(-1)!.text, /too little was left of its time\. It was not sent$/)
      assertNothingLeft(world.sim)
    })
  )
})

describe("a loss on a worker whose machine is busy", () => {
  it.effect("has as much longer to show as everything else takes, and says so", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      engine.late(700)
      yield* start(engine, world.sim, 1, 0)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      const { notes } = yield* evidenceOf(engine)
      assert.isTrue(notes.some(({ text }) => /^The slowest answer took .*, so the loss may take .* to show/.test(text)))
      assertNothingLeft(world.sim)
    })
  )
})

describe("a worker that holds many", () => {
  it.effect("looks at as many operations for a start as one that holds few", () =>
    Effect.gen(function* () {
      const extra = Array.from({ length: 23 }, (_, index) => ({ name: `c${index}` }))
      const world = yield* makeWorld({}, extra)
      const sims = [world.sim, ...world.others]
      // Every operation that a question of who is in the way is answered with, and the question itself.
      let looked = 0
      const counted = <A extends ReadonlyArray<unknown>, E>(asked: Effect.Effect<A, E>): Effect.Effect<A, E> =>
        Effect.tap(asked, ({ length }) => Effect.sync(() => void (looked += 1 + length)))
      const store = { ...world.store() }
      Object.assign(world.store(), {
        rivals: (subject: Guid, elsewhere: Elsewhere) => counted(store.rivals(subject, elsewhere)),
        holding: counted(store.holding)
      })
      const engine = yield* world.engine()
      const costs: Array<number> = []
      for (const [index, sim] of sims.entries()) {
        looked = 0
        yield* start(engine, sim, index + 1, 600_000)
        yield* passUntilIn(world, "Holding", index + 1, 20)
        costs.push(looked)
      }
      assert.isAbove(costs[0]!, 0)
      assert.deepStrictEqual([...new Set(costs)], [costs[0]])
    })
  )
})
