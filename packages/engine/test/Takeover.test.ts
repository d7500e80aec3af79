/**
 * Crash, restart, takeover, freeze. The next worker learns everything from the store and from the hosts' own records.
 * It begins with a look, never arms what another worker ordered, and never makes a hold longer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { grace } from "@inquorate/core/Operation"
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
  start,
  stored,
  where
} from "./World.ts"

const phases = ["IntentSaved", "LookingUpState", "Arming", "Verifying", "Holding", "Lifting", "Recovering"] as const

describe("a worker that is killed", () => {
  for (const phase of phases) {
    for (const next of ["w1", "w2"]) {
      it.effect(`in ${phase} is continued by ${next === "w1" ? "itself" : "another"} over the same file`, () =>
        Effect.gen(function* () {
          const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
          const first = yield* world.engine("w1", phase === "IntentSaved" ? { concurrency: 0 } : {})
          yield* start(first, world.sim, 1, 4000)
          yield* passUntilIn(world, phase, 1, 1)
          yield* first.crash
          yield* pass(50)
          yield* world.reopen
          const again = yield* world.engine(next)
          // A restarted worker does not wait out its old lease, nor that of any other that held the file.
          yield* pass(600)
          assert.strictEqual((yield* world.store().get(operationId(1)))?.owner, next)
          const ended = yield* passUntilEnded(world)
          assert.strictEqual(where(ended), "Completed")
          assertNothingLeft(world.sim)
          const evidence = yield* evidenceOf(again)
          assert.approximately(evidence.hold?.measured ?? 0, 4000, 100)
          // What was ordered before the crash is never ordered again: what was not armed then takes a fresh attempt.
          const ids = new Set(
            world.sim
              .history()
              .filter(({ what }) => what === "Armed")
              .map(({ fence }) => `${fence.attempt} ${fence.member}`)
          )
          assert.strictEqual(ids.size, armings(world.sim))
          if (phase !== "IntentSaved") assert.isAtLeast(evidence.owners.length, 2)
          if (phase === "Holding" || phase === "Verifying") assert.isAbove(evidence.unobserved, 0)
        })
      )
    }
  }

  for (const undo of ["UndoingLifting", "UndoingProbing"] as const) {
    it.effect(`in ${undo} is continued backward`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
        const first = yield* world.engine()
        yield* start(first, world.sim, 1, 30_000)
        yield* passUntilIn(world, "Holding")
        yield* world.sim.set({ recoversNever: true })
        yield* first.operations.cancel(operationId(1), false)
        yield* passUntilIn(world, undo, 1, 1)
        yield* first.crash
        yield* world.reopen
        yield* world.engine("w1")
        yield* world.sim.set({ recoversNever: false })
        assert.strictEqual(where(yield* passUntilEnded(world)), "Cancelled")
        assertNothingLeft(world.sim)
      })
    )
  }

  it.effect("is taken over by another within three seconds, on one store, with what remains of the hold", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine("w1")
      yield* world.engine("w2")
      yield* start(first, world.sim, 1, 8000)
      yield* passUntilIn(world, "Holding")
      const owner = (yield* world.store().get(operationId(1)))?.owner
      assert.strictEqual(owner, "w1")
      yield* first.crash
      yield* pass(3000)
      assert.strictEqual((yield* world.store().get(operationId(1)))?.owner, "w2")
      assert.strictEqual(where(yield* stored(world)), "Holding")
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const again = yield* world.engine("w3")
      const evidence = yield* evidenceOf(again)
      assert.approximately(evidence.hold?.measured ?? 0, 8000, 100)
      assert.isAtLeast(evidence.unobserved, 1000)
      assert.isTrue(evidence.verdicts.some(({ facts }) => facts.some((fact) => fact.startsWith("unobserved"))))
      assertNothingLeft(world.sim)
    })
  )

  it.effect("politely stopped hands over at once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine("w1")
      yield* world.engine("w2")
      yield* start(first, world.sim, 1, 5000)
      yield* passUntilIn(world, "Holding")
      yield* first.stop
      yield* pass(300)
      assert.strictEqual((yield* world.store().get(operationId(1)))?.owner, "w2")
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
    })
  )
})

describe("a hold that nobody watched to its end", () => {
  it.effect("is Completed when the keepers' records show that it held as long as asked", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine()
      yield* start(first, world.sim, 1, 4000)
      yield* passUntilIn(world, "Holding")
      yield* pass(1000)
      yield* first.crash
      yield* pass(20_000)
      assert.deepStrictEqual(world.sim.standing(), [])
      yield* world.reopen
      const again = yield* world.engine()
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const evidence = yield* evidenceOf(again)
      assert.deepStrictEqual(
        evidence.fences.map(({ liftedBy }) => liftedBy),
        ["Keeper", "Keeper"]
      )
      // The keeper ends it half a second after the asked time, by the tightest deadline that was stored.
      assert.approximately(evidence.hold?.measured ?? 0, 4500, 10)
      assert.strictEqual(evidence.overrun, 0)
      assert.isAtLeast(evidence.unobserved, 19_000)
      assertNothingLeft(world.sim)
    })
  )

  for (const [away, steppedBack] of [
    [3000, 0],
    [25_000, 0],
    [25_000, 60_000]
  ] as const)
    it.effect(
      `is Faulted when a fence was off too soon though no write showed it, after ${away} ms${steppedBack === 0 ? "" : ", though its host's clock was stepped back since"}`,
      () =>
        Effect.gen(function* () {
          const world = yield* makeWorld()
          const first = yield* world.engine()
          yield* start(first, world.sim, 1, 20_000)
          yield* passUntilIn(world, "Holding")
          yield* pass(600)
          yield* first.crash
          // Somebody lifted by hand while no worker was there, and the group was slow to come back.
          yield* world.sim.set({ recoversNever: true, steppedBack })
          const { injector } = world.sim.cluster
          const [fence] = world.sim.standing()
          const lifting = yield* Effect.forkChild(Effect.orDie(injector.lift(`host-${fence!.member}`, fence!, 1)))
          yield* pass(away)
          yield* Fiber.join(lifting)
          yield* world.reopen
          const again = yield* world.engine()
          yield* pass(1000)
          yield* world.sim.set({ recoversNever: false })
          const ended = yield* passUntilEnded(world)
          assert.strictEqual(where(ended), "Faulted")
          assert.isTrue(ended.stage._tag === "Failed" && ended.stage.error === "E_ABORT")
          assert.strictEqual(ended.attempt, 1)
          const evidence = yield* evidenceOf(again)
          assert.isTrue(evidence.verdicts.some(({ facts }) => facts.some((fact) => fact.includes("did not hold"))))
          assert.isAtLeast(evidence.unobserved, 1000)
          assertNothingLeft(world.sim)
        })
    )

  it.effect("is Faulted when a host saw the processes run, or forgot the fence", () =>
    Effect.gen(function* () {
      for (const faults of [{ broken: ["m2"] }, { hostsForgot: true }]) {
        const world = yield* makeWorld()
        const first = yield* world.engine()
        yield* start(first, world.sim, 1, 20_000)
        yield* passUntilIn(world, "Holding")
        yield* first.crash
        yield* world.sim.set(faults)
        yield* world.reopen
        const again = yield* world.engine()
        const ended = yield* passUntilEnded(world)
        assert.strictEqual(where(ended), "Faulted")
        assert.isTrue(ended.stage._tag === "Failed" && ended.stage.error === "E_ABORT")
        assertNothingLeft(world.sim)
        yield* again.stop
      }
    })
  )

  it.effect("is Faulted when the fence broke at its end although a worker watched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ members: 5, needed: 3, hostLatency: 20 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 3000)
      yield* passUntilIn(world, "Holding")
      // One more member is down, so no write shows what the host knows.
      yield* world.sim.set({ broken: ["m2"], down: ["m0"] })
      yield* passUntilIn(world, "Lifting", 1, 1)
      yield* world.sim.set({ down: [] })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.isTrue(ended.stage._tag === "Failed" && ended.stage.error === "E_ABORT")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("whose hosts do not answer a taker is judged by the lift, once they do", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine()
      yield* start(first, world.sim, 1, 6000)
      yield* passUntilIn(world, "Holding")
      yield* first.crash
      yield* world.sim.set({ hostsUnreachable: true })
      yield* world.reopen
      yield* world.engine()
      yield* passUntilIn(world, "Lifting")
      yield* world.sim.set({ hostsUnreachable: false })
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
    })
  )
})

describe("a worker that is killed while an order is under way", () => {
  it.effect("leaves fences that a taker finds armed and goes on with", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "HangAfter", m2: "HangAfter" } })
      yield* start(first, world.sim, 1, 4000)
      yield* passUntilIn(world, "Arming", 1, 1)
      yield* pass(50)
      assert.strictEqual(world.sim.standing().length, 2)
      yield* first.crash
      yield* world.sim.set({ arm: {} })
      yield* world.reopen
      yield* world.engine()
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 2)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("leaves half of the fences, which a taker lifts before it tries again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "HangAfter", m2: "LostBefore" } })
      yield* start(first, world.sim, 1, 4000)
      yield* passUntilIn(world, "Arming", 1, 1)
      yield* pass(50)
      yield* first.crash
      yield* world.sim.set({ arm: {} })
      yield* world.reopen
      yield* world.engine()
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assertNothingLeft(world.sim)
    })
  )
})

describe("a worker that is frozen past its lease", () => {
  for (const phase of ["Arming", "Verifying", "Holding"] as const) {
    it.effect(`in ${phase} and thaws after another has finished does nothing more`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
        const first = yield* world.engine("w1")
        yield* start(first, world.sim, 1, 4000)
        yield* passUntilIn(world, phase, 1, 1)
        yield* first.freeze
        yield* world.engine("w2")
        assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
        const before = (yield* world.store().get(operationId(1)))!
        const entries = (yield* world.store().evidence(operationId(1), 0)).length
        const happened = world.sim.history().length
        yield* first.thaw
        yield* pass(5000)
        assert.deepStrictEqual(yield* world.store().get(operationId(1)), before)
        assert.strictEqual((yield* world.store().evidence(operationId(1), 0)).length, entries)
        assert.strictEqual(world.sim.history().length, happened)
        assertNothingLeft(world.sim)
        // It is a worker again, for what is to come.
        yield* start(first, world.sim, 2, 500)
        assert.strictEqual(where(yield* passUntilEnded(world, 2)), "Completed")
      })
    )
  }

  it.effect("and thaws when others have all its many operations renews its lease at once, and lets them go", () =>
    Effect.gen(function* () {
      const count = 15
      const extra = Array.from({ length: count - 1 }, (_, index) => ({ name: `c${index}` }))
      const world = yield* makeWorld({}, extra)
      const first = yield* world.engine("w1")
      const numbers = [world.sim, ...world.others].map((sim, index) => [sim, index + 1] as const)
      yield* Effect.forEach(numbers, ([sim, n]) => start(first, sim, n, 60_000), { discard: true })
      yield* Effect.forEach(numbers, ([, n]) => passUntilIn(world, "Holding", n, 20), { discard: true })
      // Nothing is left to store, so no write tells a drive that it has lost its operation.
      yield* pass(2000)
      yield* first.freeze
      yield* world.engine("w2")
      const owners = Effect.map(world.store().holding, (all) => [...new Set(all.map(({ owner }) => owner))].join(" "))
      yield* passUntil(
        "w2 owns all of them",
        Effect.map(owners, (of) => of === "w2")
      )
      // Each question takes 200 ms. To ask of one after the other would take 3 s, longer than a lease.
      first.slowGets(200)
      yield* first.thaw
      yield* pass(400)
      assert.deepStrictEqual(yield* first.operations.unready, [])
      yield* pass(10_000)
      assert.strictEqual(yield* owners, "w2")
      assert.strictEqual(armings(world.sim), 2)
    })
  )

  it.effect("between two tries of a lift sends no other once it thaws", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine("w1")
      yield* start(first, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ hostsUnreachable: true })
      yield* first.operations.cancel(operationId(1), false)
      yield* passUntilIn(world, "UndoingLifting")
      yield* pass(100)
      yield* first.freeze
      yield* world.engine("w2")
      yield* world.sim.set({ hostsUnreachable: false })
      assert.strictEqual(where(yield* passUntilEnded(world)), "Cancelled")
      const orders = world.sim.orders()
      yield* first.thaw
      yield* pass(5000)
      assert.strictEqual(world.sim.orders(), orders)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("before its order was sent sends it too late: the host refuses it, and it is given again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 20 })
      const first = yield* world.engine("w1")
      yield* start(first, world.sim, 1, 20_000)
      yield* passUntilIn(world, "Arming", 1, 1)
      // Frozen between the check of the lease and the host: the order is under way for longer than it may be.
      yield* first.freeze
      yield* pass(3000)
      assert.deepStrictEqual(world.sim.standing(), [])
      const thawed = yield* Clock.currentTimeMillis
      yield* first.thaw
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.isTrue(world.sim.history().every(({ at, what }) => what !== "Armed" || at >= thawed))
      const { hold, notes } = yield* evidenceOf(yield* world.engine("w2"))
      assert.isTrue(notes.some(({ text }) => text.startsWith("Waits for hosts that are slow to begin")))
      assert.isAtLeast(hold!.measured, 20_000)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("and thaws with nobody else there renews before it acts, while its fence has ended by itself", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine("w1")
      yield* start(first, world.sim, 1, 3000)
      yield* passUntilIn(world, "Holding")
      yield* first.freeze
      yield* pass(30_000)
      yield* first.thaw
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
      assert.isAtLeast((yield* evidenceOf(first)).unobserved, 20_000)
      const lifted = world.sim.history().filter(({ what }) => what === "Lifted")
      assert.deepStrictEqual(
        lifted.map(({ by }) => by),
        ["Keeper", "Keeper"]
      )
    })
  )
})

describe("a worker that stood still for less than its lease", () => {
  it.effect("says so in the evidence of each hold that it watched, and of none that began later", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [{ name: "second" }, { name: "third" }])
      const [second, third] = world.others
      const engine = yield* world.engine("w1")
      yield* start(engine, world.sim, 1, 6000)
      yield* start(engine, second!, 2, 6000)
      yield* passUntilIn(world, "Holding", 1)
      yield* passUntilIn(world, "Holding", 2)
      yield* engine.freeze
      yield* pass(1700)
      yield* engine.thaw
      yield* start(engine, third!, 3, 500)
      for (const n of [1, 2, 3]) assert.strictEqual(where(yield* passUntilEnded(world, n)), "Completed")
      for (const n of [1, 2]) assert.approximately((yield* evidenceOf(engine, n)).unobserved, 1700, 510)
      assert.strictEqual((yield* evidenceOf(engine, 3)).unobserved, 0)
    })
  )
})

describe("when every worker is dead", () => {
  for (const phase of ["Arming", "Verifying", "Holding", "Lifting"] as const) {
    it.effect(`since ${phase}, each fence ends by itself by its deadline`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
        const only = yield* world.engine()
        yield* start(only, world.sim, 1, 3000)
        yield* passUntilIn(world, phase, 1, 1)
        yield* only.crash
        yield* pass(3000 + 2000 + grace)
        assertNothingLeft(world.sim)
        yield* passUntil("writes are taken again", Effect.sync(world.sim.available))
      })
    )
  }
})
