/**
 * Goal: what the simulation once found stays found, told as stories. Method: lives in which nothing happens but the one
 * thing that mattered. Each runs with a few seeds, because it takes a certain order of steps.
 */
import { assert, describe, it } from "vitest"
import { standingOrder } from "@inquorate/core/Operation"
import { stateOf } from "@inquorate/core/Wire"
import { operationId, startOne } from "./Callers.ts"
import * as Life from "./Life.ts"
import { where } from "./Moves.ts"

const seeds = Array.from({ length: 30 }, (_, index) => index + 1)

/** Begins a life with these workers and lets them take their leases. */
const begin = (seed: number, ...workers: ReadonlyArray<string>): Life.Life => {
  const life = Life.make(seed, {}, false)
  for (const id of workers) life.bear(id)
  life.time.passUntil(() => false, 100)
  return life
}

/** Lets the life go on until everything has ended, and judges it. */
const goOn = (life: Life.Life, seed: number): void => {
  life.time.passUntil(life.invariants.isOver, 120_000)
  life.time.passUntil(() => false, 7000)
  life.invariants.judgeEnd()
  assert.isNull(life.invariants.violation(), `seed ${seed}`)
}

const placeOf = (life: Life.Life, n: number): string => {
  const stored = life.store.get(operationId(n))
  return stored === null ? "nothing" : where(stored.operation)
}

describe("a hold that is taken over by a worker whose clock is wrong", () => {
  for (const step of [-20_000, 20_000]) {
    it(`is as long as asked, and no longer (${step} ms)`, () => {
      for (const seed of seeds) {
        const life = begin(seed, "w1")
        startOne(life, 1, 2500)
        life.time.passUntil(() => placeOf(life, 1) === "Holding", 5000)
        for (const { process } of life.workers()) process.kill()
        life.bear("w2")
        for (const { process } of life.workers()) process.stepWall(step)
        goOn(life, seed)
        const { operation } = life.store.get(operationId(1))!
        assert.strictEqual(stateOf(operation.stage), "Completed", `seed ${seed}`)
      }
    })
  }
})

describe("two operations that look at one partition at once", () => {
  it("tell of fences only where they were ordered", () => {
    for (const seed of seeds) {
      const life = begin(seed, "w1", "w2")
      startOne(life, 1, 300)
      startOne(life, 2, 300)
      goOn(life, seed)
    }
  })
})

describe("a store whose answers take their time", () => {
  it("has no operation driven again that has ended meanwhile", () => {
    for (const seed of seeds) {
      const life = begin(seed, "w1", "w2")
      life.weather.store = "Slow"
      for (let n = 1; n <= 6; n++) {
        startOne(life, n, 0)
        life.time.passUntil(() => false, 1500)
      }
      // Nothing is over before the last of them is there.
      life.time.passUntil(() => placeOf(life, 6) !== "nothing", 10_000)
      goOn(life, seed)
    }
  })
})

describe("a store that cannot say who holds a partition just then", () => {
  it("has the operation that must give way ask again, in the same drive", () => {
    for (const seed of seeds) {
      const life = begin(seed, "w1", "w2")
      const { toStore } = life.weather
      let lost = false
      life.weather.toStore = (question) => {
        const stands = life.store.all().some(({ operation }) => standingOrder(operation) !== null)
        if (question !== "holding" || !stands || lost) return toStore(question)
        lost = true
        return { there: null, back: null, again: null, patience: 5 }
      }
      startOne(life, 1, 300)
      startOne(life, 2, 300)
      goOn(life, seed)
    }
  })
})
