/** A cancel is accepted in every phase and lifts at once. A forced one stops waiting and leaks nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
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
  settle,
  start,
  stored,
  where
} from "./World.ts"

const phases = ["LookingUpState", "Arming", "Verifying", "Holding", "Lifting", "Recovering"] as const

describe("a graceful cancel", () => {
  for (const phase of phases) {
    it.effect(`in ${phase} ends as Cancelled, leaves nothing, and long before the hold would be over`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ hostLatency: 20, latency: 5 })
        const engine = yield* world.engine()
        const held = phase === "Lifting" || phase === "Recovering" ? 500 : 60_000
        const before = yield* start(engine, world.sim, 1, held)
        yield* passUntilIn(world, phase, 1, 1)
        const cancelled = yield* engine.operations.cancel(operationId(1), false)
        assert.include(["UndoingLifting", "UndoingProbing", "Cancelled"], where(cancelled))
        // Accepted to lifted: one answer of a host and no more.
        yield* pass(250)
        assert.deepStrictEqual(world.sim.standing(), [])
        const ended = yield* passUntilEnded(world)
        assert.strictEqual(where(ended), "Cancelled")
        assert.isBelow(ended.endedAt! - before.receivedAt, 15_000)
        assertNothingLeft(world.sim)
        const evidence = yield* evidenceOf(engine)
        assert.strictEqual(evidence.phases.at(-1)?.phase, "Ended")
      })
    )
  }

  it.effect("while queued ends it at once, untouched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine("w1", { concurrency: 1 })
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntilIn(world, "Holding")
      yield* start(engine, world.sim, 2)
      yield* pass(500)
      assert.strictEqual(where(yield* stored(world, 2)), "IntentSaved")
      yield* engine.operations.cancel(operationId(2), false)
      assert.strictEqual(where(yield* stored(world, 2)), "Cancelled")
      assert.strictEqual(where(yield* passUntilEnded(world, 1)), "Completed")
    })
  )

  it.effect("asked twice is recorded once, and after the end it is not found", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ liftFails: 2 })
      yield* engine.operations.cancel(operationId(1), false)
      const version = (yield* world.store().get(operationId(1)))!.version
      yield* engine.operations.cancel(operationId(1), false)
      assert.strictEqual((yield* world.store().get(operationId(1)))!.version, version)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Cancelled")
      const refused = yield* Effect.flip(engine.operations.cancel(operationId(1), false))
      assert.strictEqual(refused.code, "FABRIC_E_KEY_NOT_FOUND")
      assert.strictEqual(refused.detail, `OperationId '${operationId(1)}' was not found`)
    })
  )

  it.effect("turns a failing undo into a cancel, without starting the lift anew", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ goesOn: ["m1"], liftFails: 4 })
      yield* passUntilIn(world, "UndoingLifting")
      yield* engine.operations.cancel(operationId(1), false)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Cancelled")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("races the completion by one compare-and-set: one of the two wins, whole", () =>
    Effect.gen(function* () {
      for (const wait of [0, 1, 2, 3, 4, 5, 6]) {
        const world = yield* makeWorld({ election: 0 })
        const engine = yield* world.engine()
        yield* start(engine, world.sim, 1, 300)
        yield* passUntilIn(world, "Recovering", 1, 1)
        yield* pass(wait)
        const answer = yield* Effect.result(engine.operations.cancel(operationId(1), false))
        const ended = where(yield* passUntilEnded(world))
        assert.strictEqual(ended, answer._tag === "Success" ? "Cancelled" : "Completed")
        yield* engine.stop
      }
    })
  )
})

describe("a forced cancel", () => {
  it.effect("without a graceful one before is refused", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Holding")
      const refused = yield* Effect.flip(engine.operations.cancel(operationId(1), true))
      assert.strictEqual(refused.code, "FABRIC_E_INVALID_TEST_COMMAND_STATE")
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
    })
  )

  it.effect("ends at once, keeps the partition until a host confirms, and then frees it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ hostsUnreachable: true })
      yield* engine.operations.cancel(operationId(1), false)
      yield* pass(2000)
      const forced = yield* engine.operations.cancel(operationId(1), true)
      assert.strictEqual(where(forced), "ForceCancelled")
      yield* start(engine, world.sim, 2)
      const second = yield* passUntilEnded(world, 2)
      assert.strictEqual(where(second), "Faulted")
      assert.deepStrictEqual(
        (yield* evidenceOf(engine, 2)).refusals.map(({ _tag }) => _tag),
        ["Busy"]
      )
      assert.strictEqual((yield* engine.operations.holders)[0]?.id, operationId(1))
      // The fence ends by itself; then the host answers again, and only its word frees the partition.
      yield* pass(20_000)
      assertNothingLeft(world.sim)
      assert.strictEqual((yield* world.store().holding).length, 1)
      yield* world.sim.set({ hostsUnreachable: false })
      yield* passUntil(
        "the residue is swept",
        Effect.map(world.store().holding, ({ length }) => length === 0)
      )
      const evidence = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        evidence.fences.map(({ liftedBy }) => liftedBy),
        ["Keeper", "Keeper"]
      )
      yield* start(engine, world.sim, 3)
      assert.strictEqual(where(yield* passUntilEnded(world, 3)), "Completed")
    })
  )

  it.effect("keeps lifting in the background, also in the next worker", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ hostsUnreachable: true })
      yield* engine.operations.cancel(operationId(1), false)
      yield* pass(1500)
      yield* engine.operations.cancel(operationId(1), true)
      yield* engine.crash
      yield* world.sim.set({ hostsUnreachable: false })
      assert.strictEqual(world.sim.standing().length, 2)
      yield* world.engine("w2")
      yield* passUntil(
        "the residue is swept",
        Effect.map(world.store().holding, ({ length }) => length === 0)
      )
      assertNothingLeft(world.sim)
      assert.strictEqual(where(yield* stored(world)), "ForceCancelled")
    })
  )
})

describe("an undo", () => {
  it.effect("lifts every second until the host takes it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ liftFails: 6 })
      yield* engine.operations.cancel(operationId(1), false)
      yield* settle
      assert.strictEqual(where(yield* passUntilEnded(world)), "Cancelled")
      assertNothingLeft(world.sim)
      assert.strictEqual(world.sim.faults().liftFails, 0)
    })
  )

  it.effect("ends with residue unknown once every expiry and grace is over and no host could say so", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 3000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ hostsUnreachable: true })
      yield* engine.operations.cancel(operationId(1), false)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Cancelled")
      assert.isTrue(ended.stage._tag === "Failed" && ended.stage.residue._tag === "Unknown")
      const evidence = yield* evidenceOf(engine)
      assert.isTrue(evidence.fences.every(({ problem }) => problem !== ""))
      assertNothingLeft(world.sim)
    })
  )

  it.effect("lifts what an order whose answer was lost may have left, and tries again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m2: "LostBefore" } })
      yield* start(engine, world.sim, 1, 3000)
      yield* passUntilIn(world, "UndoingLifting", 1, 1)
      yield* world.sim.set({ arm: {} })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assertNothingLeft(world.sim)
    })
  )
})

describe("a lost answer", () => {
  it.effect("of an arm is settled by the host's record: armed is armed, and nothing is armed twice", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "LostAfter" } })
      yield* start(engine, world.sim)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 2)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("of a lift is settled by the host's record", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ liftAnswersLost: 2 })
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
    })
  )

  for (const fault of ["Refused", "Late", "NotApplied", "Unreachable"] as const) {
    it.effect(`an arm that is ${fault} every time uses the attempts up and leaves nothing`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const engine = yield* world.engine()
        yield* world.sim.set({ arm: { m2: fault } })
        yield* start(engine, world.sim, 1, 20_000)
        const ended = yield* passUntilEnded(world)
        assert.strictEqual(where(ended), "Faulted")
        assert.strictEqual(ended.attempt, 3)
        assertNothingLeft(world.sim)
      })
    )
  }

  it.effect("an order that comes late everywhere waits without being counted, says so, and holds the asked time", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 40 })
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "Late", m2: "Late", m3: "Late" } })
      const hold = 3000
      yield* start(engine, world.sim, 1, hold)
      yield* passUntilIn(world, "Arming", 1, 1)
      yield* pass(20_000)
      const waiting = yield* evidenceOf(engine)
      assert.isTrue(waiting.notes.some(({ text }) => text.startsWith("Waits for hosts that are slow to begin")))
      assert.strictEqual(waiting.phases.at(-1)?.phase, "Arming")
      yield* world.sim.set({ arm: {} })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      const evidence = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        evidence.fences.map(({ attempt, member }) => [member, attempt]),
        [
          ["m1", 1],
          ["m2", 1]
        ]
      )
      assert.isAtLeast(evidence.hold!.measured, hold)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("an order that comes late everywhere is given up after 30 s, and nothing was touched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 40 })
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "Late", m2: "Late", m3: "Late" } })
      const before = yield* start(engine, world.sim, 1, 1000)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.isAtLeast(ended.endedAt! - before.receivedAt, 30_000)
      assert.isFalse(world.sim.history().some(({ what }) => what === "Armed"))
      assertNothingLeft(world.sim)
    })
  )

  it.effect("an order for a process that is not the server is not tried again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ hostLatency: 40 })
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m2: "Refused" } })
      yield* start(engine, world.sim, 1, 20_000)
      yield* passUntilIn(world, "Arming", 1, 1)
      yield* world.sim.set({ preflight: { m2: { _tag: "Mistaken", problem: "another program has its pid" } } })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.strictEqual(ended.attempt, 1)
      assert.deepStrictEqual(
        (yield* evidenceOf(engine)).refusals.map(({ _tag }) => _tag),
        ["NotTheServer"]
      )
      assertNothingLeft(world.sim)
    })
  )
})
