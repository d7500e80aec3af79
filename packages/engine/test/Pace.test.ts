/** A worker begins no more than it can watch, and says so. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Pace from "../src/Pace.ts"

/** A clock on which every timer is so much late. */
const late = (by: number): Clock.Clock => {
  let now = 0
  return {
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: () => Effect.sync(() => void (now += 20 + by))
  }
}

const begins = (running: number, by: number) =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const logger = Logger.make(({ message }) => void said.push(String(message)))
    const most = yield* Pace.atOnce(running).pipe(
      Effect.provideService(Clock.Clock, late(by)),
      Effect.provide(Logger.layer([logger]))
    )
    return { most, said }
  })

describe("a worker", () => {
  it.effect("begins as many as ever while it keeps up, however many it drives", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* begins(5000, 30), { most: 32, said: [] })
    })
  )

  it.effect("that is behind waits, then begins few, and says so once", () =>
    Effect.gen(function* () {
      const { most, said } = yield* begins(600, 300)
      assert.strictEqual(most, 4)
      assert.strictEqual(said.length, 1)
      assert.match(said[0]!, /drives 600 operations and is 300 ms behind.*limits\.concurrency/)
    })
  )

  it.effect("that is behind with the first ones that it began begins few more, long before its limit", () =>
    Effect.gen(function* () {
      const { most, said } = yield* begins(32, 300)
      assert.strictEqual(most, 4)
      assert.strictEqual(said.length, 1)
    })
  )

  it.effect("that drives few is not asked how late it is", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* begins(7, 3000), { most: 32, said: [] })
    })
  )
})
