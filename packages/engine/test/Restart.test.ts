/**
 * Stories about restarting the replicas of a partition, and about what each kind of service can suffer. Every member
 * that is ended is started again, whoever dies and whatever is cancelled.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { RestartMode, RestartRequest } from "@inquorate/core/Request"
import type { SimulatedCluster, SimulatedClusterOptions } from "@inquorate/testkit/SimulatedCluster"
import {
  armings,
  ask,
  assertNothingLeft,
  endOf,
  evidenceOf,
  makeWorld,
  meanwhile,
  operationId,
  pass,
  passUntilEnded,
  passUntilIn,
  request,
  settle,
  stored,
  where
} from "./World.ts"

const withRestarter: SimulatedClusterOptions = { restarter: true, hostLatency: 20 }

const restart = (sim: SimulatedCluster, mode: RestartMode = "AllReplicasOrInstances"): RestartRequest => ({
  kind: "PartitionRestart",
  serviceName: sim.serviceName,
  partitionId: sim.partitionId,
  mode
})

const starts = (sim: SimulatedCluster): ReadonlyArray<number> => ["m0", "m1", "m2"].map(sim.starts)

describe("the restart of a partition", () => {
  it.effect("ends and starts every member, and is Completed when a write has come back", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(withRestarter)
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
      assertNothingLeft(world.sim)
      const evidence = yield* evidenceOf(engine)
      assert.isNull(evidence.hold)
      assert.isNotNull(evidence.recovery)
      assert.deepStrictEqual(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        ["Recovery Confirmed"]
      )
      assert.deepStrictEqual(
        evidence.phases.map(({ phase }) => phase),
        ["Queued", "LookingUpState", "Arming", "Lifting", "Recovering", "Ended"]
      )
      assert.isTrue(world.sim.available())
    })
  )

  it.effect("spares the primary where only the secondaries are asked for", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(withRestarter)
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim, "OnlyActiveSecondaries"))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(starts(world.sim), [0, 1, 1])
    })
  )

  it.effect("of a primary on its own is done at once where only the secondaries are asked for", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, members: 1 })
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim, "OnlyActiveSecondaries"))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(armings(world.sim), 0)
    })
  )

  it.effect("goes without members that are down, and is over when those are back that were there", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(withRestarter)
      yield* world.sim.set({ down: ["m2"] })
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(starts(world.sim), [1, 1, 0])
    })
  )

  it.effect("of instances is over when they are back, without any write", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, service: { kind: "Stateless", persisted: false } })
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
      assert.strictEqual(world.sim.acknowledged(), 0)
    })
  )

  it.effect("is Faulted with the time out of the system when writes do not come back", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, recoveryBudget: 2000 })
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim))
      yield* passUntilIn(world, "Arming")
      yield* world.sim.set({ recoversNever: true })
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted FABRIC_E_TIMEOUT")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("is tried again where a host did not apply its order", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(withRestarter)
      yield* world.sim.set({ arm: { m1: "NotApplied" } })
      const engine = yield* world.engine()
      yield* ask(engine, restart(world.sim))
      yield* passUntilIn(world, "UndoingProbing")
      yield* world.sim.set({ arm: {} })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assert.deepStrictEqual(starts(world.sim), [2, 1, 2])
    })
  )
})

describe("what a cluster or a service cannot suffer", () => {
  const refusals: ReadonlyArray<
    readonly [string, SimulatedClusterOptions, (sim: SimulatedCluster) => Parameters<typeof ask>[1], string, string]
  > = [
    ["a restart without a mechanism for it", {}, (sim) => restart(sim), "CannotRestart", "FABRIC_E_INVALID_OPERATION"],
    [
      "a restart of a protected cluster",
      { ...withRestarter, protected: true },
      (sim) => restart(sim),
      "Protected",
      "FABRIC_E_INVALID_OPERATION"
    ],
    [
      "a restart of the secondaries of a stateless service",
      { ...withRestarter, service: { kind: "Stateless" } },
      (sim) => restart(sim, "OnlyActiveSecondaries"),
      "NoSecondaries",
      "E_INVALIDARG"
    ],
    [
      "a quorum loss of a stateless service",
      { service: { kind: "Stateless" } },
      (sim) => request(sim),
      "Stateless",
      "FABRIC_E_INVALID_FOR_STATELESS_SERVICES"
    ],
    [
      "a quorum loss of a volatile service",
      { service: { persisted: false } },
      (sim) => request(sim),
      "Volatile",
      "FABRIC_E_ONLY_VALID_FOR_STATEFUL_PERSISTENT_SERVICES"
    ]
  ]
  for (const [what, options, fault, tag, code] of refusals) {
    it.effect(`${what} ends as Faulted with its code, and is refused at once where the guards are asked first`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(options)
        const engine = yield* world.engine()
        yield* ask(engine, fault(world.sim))
        assert.strictEqual(endOf(yield* passUntilEnded(world)), `Faulted ${code}`)
        assert.deepStrictEqual(
          (yield* evidenceOf(engine)).refusals.map(({ _tag }): string => _tag),
          [tag]
        )
        const refused = yield* meanwhile(Effect.flip(ask(engine, fault(world.sim), 2, true)))
        assert.strictEqual<string>(refused.code, code)
        assert.strictEqual<string | undefined>(refused.refusal?._tag, tag)
        assert.strictEqual(world.sim.orders(), 0)
      })
    )
  }
})

describe("a restart whose worker dies", () => {
  it.effect("before its orders reached a host is begun anew by another, and ends every member once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, hostLatency: 200 })
      const first = yield* world.engine("w1")
      yield* ask(first, restart(world.sim))
      yield* passUntilIn(world, "Arming")
      yield* first.crash
      assert.strictEqual(armings(world.sim), 0)
      const second = yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
      assert.strictEqual((yield* evidenceOf(second)).owners.length, 2)
    })
  )

  it.effect("after its orders were carried out goes on with what the hosts say, and arms nothing again", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, hostLatency: 200 })
      const first = yield* world.engine("w1")
      yield* ask(first, restart(world.sim))
      yield* passUntilIn(world, "Arming")
      yield* pass(150)
      yield* first.crash
      assert.strictEqual(where(yield* stored(world)), "Arming")
      assert.strictEqual(armings(world.sim), 3)
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 3)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("for longer than the members may stay away finds them back by their keepers", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...withRestarter, hostLatency: 200 })
      const first = yield* world.engine("w1")
      yield* ask(first, restart(world.sim))
      yield* passUntilIn(world, "Arming")
      yield* pass(150)
      yield* first.crash
      yield* pass(15_000)
      assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 3)
    })
  )

  for (const [phase, trouble, mended] of [
    ["Lifting", { liftFails: 30 }, { liftFails: 0 }],
    ["Recovering", { recoversNever: true }, { recoversNever: false }]
  ] as const) {
    it.effect(`while it is ${phase} is carried to its end by another`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(withRestarter)
        const first = yield* world.engine("w1")
        yield* ask(first, restart(world.sim))
        yield* passUntilIn(world, "Arming")
        yield* world.sim.set(trouble)
        yield* passUntilIn(world, phase)
        yield* first.crash
        yield* world.sim.set(mended)
        yield* world.engine("w2")
        assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
        assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
        assertNothingLeft(world.sim)
      })
    )
  }
})

describe("a cancel of a restart", () => {
  for (const [phase, options, trouble, mended] of [
    ["IntentSaved", {}, {}, {}],
    ["LookingUpState", { latency: 100 }, {}, {}],
    ["Arming", { hostLatency: 200 }, {}, {}],
    ["Lifting", {}, { liftFails: 6 }, {}],
    ["Recovering", {}, { recoversNever: true }, { recoversNever: false }]
  ] as const) {
    it.effect(`in ${phase} brings every member back that was ended, and ends as Cancelled`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ ...withRestarter, ...options })
        const engine = yield* world.engine("w1", phase === "IntentSaved" ? { concurrency: 0 } : {})
        yield* ask(engine, restart(world.sim))
        if (phase !== "IntentSaved") yield* passUntilIn(world, phase === "LookingUpState" ? phase : "Arming")
        yield* world.sim.set(trouble)
        yield* passUntilIn(world, phase)
        yield* engine.operations.cancel(operationId(1), false)
        yield* settle
        yield* world.sim.set(mended)
        assert.strictEqual(endOf(yield* passUntilEnded(world)), "Cancelled E_ABORT")
        yield* pass(1000)
        assertNothingLeft(world.sim)
        assert.isTrue(world.sim.available())
        assert.isAtMost(Math.max(...starts(world.sim)), 1)
      })
    )
  }

  for (const phase of ["Arming", "Lifting"] as const) {
    it.effect(`by force in ${phase} ends at once, and the members come back by themselves`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ ...withRestarter, hostLatency: 100 })
        const engine = yield* world.engine()
        yield* ask(engine, restart(world.sim))
        yield* passUntilIn(world, "Arming")
        yield* pass(60)
        yield* world.sim.set({ liftFails: 1000 })
        yield* passUntilIn(world, phase)
        yield* engine.operations.cancel(operationId(1), false)
        yield* passUntilIn(world, "UndoingLifting")
        yield* engine.operations.cancel(operationId(1), true)
        assert.strictEqual(endOf(yield* stored(world)), "ForceCancelled E_ABORT")
        assert.strictEqual(world.sim.standing().length, 3)
        yield* pass(10_500)
        assertNothingLeft(world.sim)
        assert.deepStrictEqual(starts(world.sim), [1, 1, 1])
      })
    )
  }
})
