/** The evidence says what those who depend on a cluster suffered, through a takeover and beyond the end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { evidenceOf, makeWorld, pass, passUntilEnded, passUntilIn, start, where } from "./World.ts"

describe("a witness", () => {
  it.effect("is asked through the whole operation, and the evidence says when it failed and when it was back", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ witness: true })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 5000)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      yield* pass(3000)
      const { hold, phases, witnesses } = yield* evidenceOf(engine)
      const [api, ...more] = witnesses ?? []
      assert.deepStrictEqual(more, [])
      assert.strictEqual(api?.witness, "api")
      const [outage, ...others] = api?.outages ?? []
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(outage?.said, ["HTTP 503"])
      // It was asked before anything was touched and served then, and it is back once the group has recovered.
      const at = (phase: string) => phases.find((one) => one.phase === phase)!.began
      assert.isAtLeast(outage!.from, at("Arming"))
      assert.isNotNull(outage!.until)
      assert.isAtLeast(outage!.until!, at("Lifting"))
      assert.isAtLeast(api!.failed, 4)
      assert.isAtLeast(outage!.until! - outage!.from, hold!.asked - 1000)
    })
  )

  it.effect("is asked on by the worker that takes over", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ witness: true })
      const first = yield* world.engine("w1")
      yield* start(first, world.sim, 1, 20_000)
      yield* passUntilIn(world, "Holding")
      yield* first.crash
      const second = yield* world.engine("w2")
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      yield* pass(3000)
      const { witnesses } = yield* evidenceOf(second)
      assert.strictEqual(witnesses?.length, 1)
      assert.strictEqual(witnesses?.[0]?.outages.length, 1)
      assert.isNotNull(witnesses?.[0]?.outages[0]?.until)
    })
  )
})
