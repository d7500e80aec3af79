/**
 * Goal: nothing waits for a worker's clock, and none of its moments is stored: every stored moment comes from the
 * store's clock. Method: engines whose own wall clocks are ahead of the store's or behind it, and operations that such
 * engines stored.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { make as makeOperation } from "@inquorate/core/Operation"
import {
  endOf,
  evidenceOf,
  makeWorld,
  operationId,
  pass,
  passUntil,
  passUntilEnded,
  passUntilIn,
  request,
  start,
  stored,
  where
} from "./World.ts"

const hour = 60 * 60 * 1000

for (const [words, ahead] of [
  ["an hour ahead", hour],
  ["40 s ahead", 40_000],
  ["an hour behind", -hour]
] as const) {
  describe(`a worker whose clock is ${words}`, () => {
    it.effect("accepts an operation that any other worker begins at once", () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const wrong = yield* world.engine("wrong", { concurrency: 0 }, ahead)
        yield* start(wrong, world.sim, 1, 1000)
        const accepted = yield* world.store().now
        assert.strictEqual((yield* stored(world)).receivedAt, accepted)
        yield* world.engine("right")
        yield* passUntil(
          "it is armed",
          Effect.map(stored(world), (operation) => where(operation) === "Holding"),
          3000
        )
        assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      })
    )

    it.effect("stores its cancel, and everything of its own drives, by the store's clock", () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const wrong = yield* world.engine("wrong", {}, ahead)
        yield* start(wrong, world.sim, 1, 30_000)
        yield* passUntilIn(world, "Holding")
        const before = yield* world.store().now
        yield* wrong.operations.cancel(operationId(1), false)
        assert.match(endOf(yield* passUntilEnded(world)), /^Cancelled/)
        const { endedAt } = yield* stored(world)
        const after = yield* world.store().now
        assert.isTrue(before <= endedAt! && endedAt! <= after, `${before} ${endedAt} ${after}`)
        for (const { began } of (yield* evidenceOf(wrong)).phases) {
          assert.isTrue(Math.abs(began - before) < 30_000, `a phase began at ${began}`)
        }
      })
    )

    it.effect("tells its callers of the same moments as every other one", () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const wrong = yield* world.engine("wrong", {}, ahead)
        yield* pass(600)
        assert.strictEqual((yield* wrong.operations.aftermath).now, yield* world.store().now)
      })
    )
  })
}

describe("an operation of which a wrong clock wrote when it was received, or when its next attempt is due", () => {
  for (const attempt of [1, 2]) {
    it.effect(`is begun at once all the same (attempt ${attempt})`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const later = (yield* world.store().now) + hour
        const fresh = makeOperation(operationId(1), request(world.sim, 1000), attempt === 1 ? later : later - 2 * hour)
        yield* world.store().create({
          ...fresh,
          attempt,
          notBefore: later,
          stage: { _tag: "Advancing", step: { _tag: attempt === 1 ? "IntentSaved" : "LookingUpState" } }
        })
        yield* world.engine()
        yield* passUntil(
          "it is held",
          Effect.map(stored(world), (operation) => where(operation) === "Holding"),
          4000
        )
      })
    )
  }
})
