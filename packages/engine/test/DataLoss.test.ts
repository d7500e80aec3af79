/**
 * Stories about a data loss. Data is destroyed once, and only where it may be. Nobody takes the loss for done without
 * the system's own count.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DataLossRequest } from "@inquorate/core/Request"
import type { SimulatedCluster, SimulatedClusterOptions } from "@inquorate/testkit/SimulatedCluster"
import {
  ask,
  endOf,
  evidenceOf,
  makeWorld,
  meanwhile,
  operationId,
  pass,
  passUntilEnded,
  passUntilIn,
  stored
} from "./World.ts"

const losing: SimulatedClusterOptions = { loses: true, service: {} }

const dataLoss = (sim: SimulatedCluster): DataLossRequest => ({
  kind: "PartitionDataLoss",
  serviceName: sim.serviceName,
  partitionId: sim.partitionId,
  mode: "PartialDataLoss"
})

describe("a data loss", () => {
  it.effect("is Completed when the system has counted it and writes have come back", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(world.sim.dataLosses(), 1)
      const evidence = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        evidence.phases.map(({ phase }) => phase),
        ["Queued", "LookingUpState", "Destroying", "Recovering", "Ended"]
      )
      assert.isNotNull(evidence.recovery)
      assert.strictEqual(world.sim.orders(), 0)
    })
  )

  it.effect("takes a volatile service, and a system that counts nothing by its word", () =>
    Effect.gen(function* () {
      for (const service of [{ persisted: false }, null]) {
        const world = yield* makeWorld({ loses: true, service })
        const engine = yield* world.engine()
        yield* ask(engine, dataLoss(world.sim))
        assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
        assert.strictEqual(world.sim.dataLosses(), 1)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("of a stateless service is Faulted with the code for it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ loses: true, service: { kind: "Stateless" } })
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted FABRIC_E_INVALID_FOR_STATELESS_SERVICES")
      assert.strictEqual(world.sim.dataLosses(), 0)
    })
  )

  it.effect("of data that is not ours to destroy is refused", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ service: {} }, [{ ...losing, name: "stock", protected: true }])
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted FABRIC_E_INVALID_OPERATION")
      const refused = yield* meanwhile(Effect.flip(ask(engine, dataLoss(world.sim), 2, true)))
      assert.strictEqual(refused.refusal?._tag, "DataProtected")
      const other = yield* meanwhile(Effect.flip(ask(engine, dataLoss(world.others[0]!), 3, true)))
      assert.strictEqual(other.refusal?._tag, "Protected")
    })
  )

  it.effect("whose answer was lost is told by the system's count", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      yield* world.sim.set({ loseData: "FailsAfter" })
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(world.sim.dataLosses(), 1)
    })
  )

  it.effect("that fails is tried three times, and then Faulted", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      yield* world.sim.set({ loseData: "FailsBefore" })
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Faulted FABRIC_E_TIMEOUT")
      assert.strictEqual(ended.attempt, 3)
      assert.strictEqual(world.sim.dataLosses(), 0)
    })
  )
})

describe("a data loss whose worker dies", () => {
  it.effect("before anything was destroyed is begun anew by another", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      yield* world.sim.set({ loseData: "HangsBefore" })
      const first = yield* world.engine("w1")
      yield* ask(first, dataLoss(world.sim))
      yield* passUntilIn(world, "Destroying")
      yield* pass(50)
      yield* first.crash
      yield* world.sim.set({ loseData: null })
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assert.strictEqual(world.sim.dataLosses(), 1)
    })
  )

  it.effect("after the data was destroyed is not destroyed again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      yield* world.sim.set({ loseData: "HangsAfter" })
      const first = yield* world.engine("w1")
      yield* ask(first, dataLoss(world.sim))
      yield* passUntilIn(world, "Destroying")
      yield* pass(50)
      yield* first.crash
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(world.sim.dataLosses(), 1)
    })
  )

  it.effect("while it recovers is proven by another", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...losing, election: 5000 })
      const first = yield* world.engine("w1")
      yield* ask(first, dataLoss(world.sim))
      yield* passUntilIn(world, "Recovering")
      yield* first.crash
      yield* world.engine("w2")
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(world.sim.dataLosses(), 1)
    })
  )
})

describe("a cancel of a data loss", () => {
  for (const fault of ["HangsBefore", "HangsAfter"] as const) {
    it.effect(`while it is being destroyed (${fault}) interrupts it, probes, and ends as Cancelled`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(losing)
        yield* world.sim.set({ loseData: fault })
        const engine = yield* world.engine()
        yield* ask(engine, dataLoss(world.sim))
        yield* passUntilIn(world, "Destroying")
        yield* pass(50)
        yield* engine.operations.cancel(operationId(1), false)
        assert.strictEqual(endOf(yield* passUntilEnded(world)), "Cancelled E_ABORT")
        assert.strictEqual(world.sim.dataLosses(), fault === "HangsAfter" ? 1 : 0)
        assert.isTrue((yield* evidenceOf(engine)).verdicts.some(({ about }) => about === "Recovery"))
      })
    )
  }

  it.effect("by force ends at once and leaves nothing to sweep", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(losing)
      yield* world.sim.set({ loseData: "HangsBefore" })
      const engine = yield* world.engine()
      yield* ask(engine, dataLoss(world.sim))
      yield* passUntilIn(world, "Destroying")
      yield* world.sim.set({ recoversNever: true })
      yield* engine.operations.cancel(operationId(1), false)
      yield* engine.operations.cancel(operationId(1), true)
      const ended = yield* stored(world)
      assert.strictEqual(endOf(ended), "ForceCancelled E_ABORT")
      assert.deepStrictEqual(ended.stage, {
        _tag: "Failed",
        reason: "force",
        error: "E_ABORT",
        residue: { _tag: "None" }
      })
    })
  )
})
