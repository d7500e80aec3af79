/**
 * The answers that a front gets: codes, sentences, lists, plans, live changes, and those about clusters that do not
 * answer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { isTerminal } from "@inquorate/core/Operation"
import { stateOf } from "@inquorate/core/Wire"
import {
  armings,
  assertNothingLeft,
  evidenceOf,
  makeWorld,
  operationId,
  pass,
  passUntil,
  passUntilEnded,
  passUntilIn,
  request,
  settle,
  start,
  stored,
  where
} from "./World.ts"

const plainly = { guard: false, maxHold: "configured" } as const
const guarded = { guard: true, maxHold: "configured" } as const

describe("a start", () => {
  it.effect("takes an id once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      for (const options of [plainly, guarded]) {
        const refused = yield* Effect.flip(engine.operations.start(operationId(1), request(world.sim), options))
        assert.strictEqual(refused.code, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
        assert.strictEqual(refused.detail, `OperationId '${operationId(1)}' already exists`)
      }
    })
  )

  it.effect("refuses a hold above the configured maximum and stores nothing, unless there is none", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ maxHold: 2000 })
      const engine = yield* world.engine()
      const refused = yield* Effect.flip(start(engine, world.sim, 1, 2001))
      assert.strictEqual(refused.code, "E_INVALIDARG")
      assert.strictEqual(refused.refusal?._tag, "TooLong")
      assert.strictEqual(yield* world.store().get(operationId(1)), null)
      const elsewhere = { ...request(world.sim, 900_001), serviceName: "fabric:/nowhere/x" }
      assert.strictEqual(
        (yield* Effect.flip(engine.operations.start(operationId(1), elsewhere, plainly))).code,
        "E_INVALIDARG"
      )
      yield* start(engine, world.sim, 1, 2000)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      yield* engine.operations.start(operationId(2), request(world.sim, 2001), { guard: false, maxHold: "none" })
      assert.strictEqual(where(yield* passUntilEnded(world, 2)), "Completed")
    })
  )

  it.effect("with guards takes a group for steady whose writes need more than a second", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 1200 })
      const engine = yield* world.engine()
      const asked = yield* Effect.forkChild(engine.operations.start(operationId(9), request(world.sim), guarded))
      yield* pass(10_000)
      assert.strictEqual((yield* Fiber.join(asked)).id, operationId(9))
    })
  )

  it.effect("with guards refuses before anything is stored", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      const refusalOf = Effect.gen(function* () {
        const asked = yield* Effect.forkChild(
          Effect.flip(engine.operations.start(operationId(9), request(world.sim), guarded))
        )
        yield* pass(5000)
        const refused = yield* Fiber.join(asked)
        assert.strictEqual(yield* world.store().get(operationId(9)), null)
        return [refused.code, refused.refusal?._tag]
      })
      yield* world.sim.set({ down: ["m1"] })
      assert.deepStrictEqual(yield* refusalOf, ["FABRIC_E_INVALID_OPERATION", "Degraded"])
      yield* world.sim.set({ down: [], unreachable: true })
      assert.deepStrictEqual(yield* refusalOf, ["FABRIC_E_COMMUNICATION_ERROR", undefined])
      yield* world.sim.set({ unreachable: false, recoversNever: true })
      assert.deepStrictEqual(yield* refusalOf, ["FABRIC_E_INVALID_OPERATION", "NotSteady"])
      yield* world.sim.set({ recoversNever: false })
      yield* start(engine, world.sim, 1, 20_000)
      yield* passUntilIn(world, "Holding")
      assert.deepStrictEqual(yield* refusalOf, ["FABRIC_E_INVALID_OPERATION", "Busy"])
      yield* engine.operations.cancel(operationId(1), false)
      yield* passUntilEnded(world)
      const asked = yield* Effect.forkChild(engine.operations.start(operationId(9), request(world.sim), guarded))
      yield* pass(100)
      yield* Fiber.join(asked)
      assert.strictEqual(where(yield* passUntilEnded(world, 9)), "Completed")
    })
  )

  it.effect("of two together on one partition lets exactly one pass", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* Effect.forEach([1, 2], (n) => start(engine, world.sim, n, 2000), { concurrency: "unbounded" })
      const ends = [where(yield* passUntilEnded(world, 1)), where(yield* passUntilEnded(world, 2))]
      assert.deepStrictEqual([...ends].sort(), ["Completed", "Faulted"])
      const loser = ends.indexOf("Faulted") + 1
      assert.deepStrictEqual(
        (yield* evidenceOf(engine, loser)).refusals.map(({ _tag }) => _tag),
        ["Busy"]
      )
      assert.strictEqual(armings(world.sim), 2)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("of two workers on one store lets exactly one pass", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
      const one = yield* world.engine("w1", { concurrency: 1 })
      yield* world.engine("w2", { concurrency: 1 })
      yield* Effect.forEach([1, 2], (n) => start(one, world.sim, n, 2000), { concurrency: "unbounded" })
      const ends = [where(yield* passUntilEnded(world, 1)), where(yield* passUntilEnded(world, 2))]
      assert.deepStrictEqual([...ends].sort(), ["Completed", "Faulted"])
      assert.strictEqual(armings(world.sim), 2)
    })
  )
})

describe("a queue", () => {
  it.effect("of 200 runs through few at a time, each to its end", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 20 }, (_, index) => ({ name: `c${index}` }))
      const world = yield* makeWorld({}, names)
      const engine = yield* world.engine("w1", { concurrency: 5 })
      const count = 200
      const numbers = Array.from({ length: count }, (_, index) => index + 1)
      yield* Effect.forEach(numbers, (n) => start(engine, world.others[n % names.length]!, n, 100), {
        concurrency: "unbounded"
      })
      let most = 0
      yield* passUntil(
        "all have ended",
        Effect.gen(function* () {
          const all = yield* engine.operations.list(count)
          const running = all.filter((one) => !isTerminal(one) && where(one) !== "IntentSaved").length
          most = Math.max(most, running)
          return all.every(isTerminal)
        }),
        600_000,
        100
      )
      assert.strictEqual(most, 5)
      const all = yield* engine.operations.list(count)
      assert.strictEqual(all.length, count)
      // Operations on one partition that met may be refused as busy; none may be left behind or end otherwise.
      for (const one of all) assert.include(["Completed", "Faulted"], stateOf(one.stage))
      assert.isAtLeast(all.filter(({ stage }) => stage._tag === "Completed").length, names.length)
      for (const sim of world.others) assertNothingLeft(sim)
    })
  )
})

describe("a front", () => {
  it.effect("hears that an unknown id is not found", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const { operations } = yield* world.engine()
      const id = operationId(7)
      const asked = [operations.get(id), Effect.asVoid(operations.detail(id)), operations.cancel(id, false)]
      for (const ask of asked) {
        const refused = yield* Effect.flip(Effect.asVoid(ask))
        assert.strictEqual(refused.code, "FABRIC_E_KEY_NOT_FOUND")
        assert.strictEqual(refused.detail, `OperationId '${id}' was not found`)
      }
    })
  )

  it.effect("lists the newest operations in the order they were received", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine("w1", { concurrency: 0 })
      for (const n of [4, 2, 3, 1]) yield* start(engine, world.sim, n)
      const listed = yield* engine.operations.list(3)
      assert.deepStrictEqual(
        listed.map(({ id }) => id),
        [2, 3, 1].map(operationId)
      )
    })
  )

  it.effect("gets a plan with its arithmetic, and nothing is stored or touched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ members: 5 })
      const { operations } = yield* world.engine()
      const asked = yield* Effect.forkChild(operations.plan(request(world.sim)))
      yield* pass(100)
      const { plan, refusal } = yield* Fiber.join(asked)
      assert.strictEqual(refusal, null)
      assert.deepStrictEqual(
        plan?.fences.map(({ member }) => member),
        ["m1", "m2", "m3"]
      )
      assert.include(plan?.arithmetic ?? "", "5 − 3 + 1 = 3 must go")
      const long = yield* Effect.forkChild(operations.plan(request(world.sim, 1_000_000)))
      yield* pass(100)
      assert.strictEqual((yield* Fiber.join(long)).refusal?._tag, "TooLong")
      assert.deepStrictEqual(yield* operations.list(10), [])
      assert.strictEqual(world.sim.acknowledged(), 0)
      assert.strictEqual(armings(world.sim), 0)
    })
  )

  it.effect("watches an operation from where it stands to its end, missing nothing", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 1000)
      yield* passUntilIn(world, "Holding")
      const watching = yield* Effect.forkChild(Stream.runCollect(engine.operations.watch(operationId(1))))
      yield* settle
      yield* passUntilEnded(world)
      yield* pass(2000)
      const changes = [...(yield* Fiber.join(watching))]
      assert.strictEqual(where(changes[0]!.operation), "Holding")
      assert.strictEqual(changes.at(-1)?.state, "Completed")
      const told = changes.flatMap(({ entries }) => entries)
      const all = yield* world.store().evidence(operationId(1), 0)
      assert.deepStrictEqual(told, all.slice(0, told.length))
      assert.isTrue(told.some(({ fact }) => fact._tag === "PhaseBegan" && fact.phase === "Ended"))
      const unknown = yield* Effect.flip(Stream.runCollect(engine.operations.watch(operationId(7))))
      assert.strictEqual(unknown.code, "FABRIC_E_KEY_NOT_FOUND")
    })
  )

  it.effect("sees the clusters within a second, from what was last seen where one does not answer", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [{ name: "slow", latency: 600_000 }])
      const { operations } = yield* world.engine()
      const look = Effect.gen(function* () {
        const asked = yield* Effect.forkChild(operations.clusters)
        yield* pass(1000)
        return yield* Fiber.join(asked)
      })
      const [fast, slow] = yield* look
      assert.strictEqual(fast?.problem, "")
      assert.strictEqual(fast?.groups[0]?.members.length, 3)
      assert.notStrictEqual(slow?.problem, "")
      yield* world.sim.set({ unreachable: true })
      const [again] = yield* look
      assert.strictEqual(again?.groups[0]?.members.length, 3)
      assert.match(again!.problem, /; this was last seen 1\.\d s ago$/)
      assert.deepStrictEqual([fast?.seen, slow?.seen, again?.seen], ["Now", "NotLookedAt", "Before"])
    })
  )

  it.effect("is never told of something last seen where nothing was, and at its first question of what there is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [
        { name: "slow", latency: 2000 },
        { name: "away", latency: 600_000 }
      ])
      const starting = yield* Effect.forkChild(world.engine("w1", { lookFirst: 5000 }))
      yield* pass(4900)
      assert.isUndefined(starting.pollUnsafe(), "it waits for who has not answered yet")
      yield* pass(200)
      const { operations } = yield* Fiber.join(starting)
      const asked = yield* Effect.forkChild(operations.clusters)
      yield* pass(1000)
      const [fast, slow, away] = yield* Fiber.join(asked)
      assert.deepStrictEqual([fast?.seen, slow?.seen, away?.seen], ["Now", "Before", "NotLookedAt"])
      assert.strictEqual(slow?.groups[0]?.members.length, 3)
      assert.strictEqual(away?.problem, "not looked at yet")
      const lost = { _tag: "Service", serviceName: "fabric:/away/group" } as const
      const recovering = yield* Effect.forkChild(Effect.flip(operations.recover(lost)))
      yield* pass(1000)
      assert.strictEqual((yield* Fiber.join(recovering)).code, "FABRIC_E_NOT_READY")
      yield* pass(10_000)
      const later = yield* Effect.forkChild(operations.clusters)
      yield* pass(1000)
      assert.deepStrictEqual(
        (yield* Fiber.join(later)).map(({ problem, seen }) =>
          seen === "Never" ? problem.startsWith("away did not answer") : seen
        ),
        ["Now", "Before", true]
      )
    })
  )

  it.effect(
    "is told that the worker is too busy when the queue is full, and that it cannot when the store is gone",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const engine = yield* world.engine("w1", { concurrency: 0 })
        yield* start(engine, world.sim)
        yield* engine.crash
        const refused = yield* Effect.flip(start(engine, world.sim, 2))
        assert.strictEqual(refused.code, "E_ABORT")
        assert.strictEqual(where(yield* stored(world)), "IntentSaved")
      })
  )

  it.effect("finds ended operations until retention removes them", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine("w1", { retention: { rows: 1, age: 60_000 } })
      for (const n of [1, 2]) {
        yield* start(engine, world.sim, n, 100)
        yield* passUntilEnded(world, n)
      }
      yield* pass(61_000)
      assert.strictEqual(where(yield* stored(world, 1)), "Completed")
      yield* engine.stop
      yield* world.engine("w1", { retention: { rows: 1, age: 60_000 } })
      yield* pass(100)
      assert.strictEqual(yield* world.store().get(operationId(1)), null)
      assert.strictEqual(where(yield* stored(world, 2)), "Completed")
    })
  )
})
