/**
 * Goal: the store is asked for its time by one of those who need it at once, and not by each. Method: many ask in one turn,
 * of a store that counts its questions.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as StoreClock from "../src/drive/StoreClock.ts"

it.effect("hundreds who need the store's time at one moment ask for it once", () =>
  Effect.gen(function* () {
    let asked = 0
    const now = Effect.andThen(
      Effect.yieldNow,
      Effect.sync(() => {
        asked++
        return 5000
      })
    )
    const clock = yield* StoreClock.make({ now })
    const told = yield* Effect.all(
      Array.from({ length: 200 }, () => clock.now),
      { concurrency: "unbounded" }
    )
    assert.deepStrictEqual(new Set(told), new Set([5000]))
    assert.strictEqual(asked, 1)
  })
)
