/** Every row of the design's table of how an operation ends, on a simulated cluster. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Operation } from "@inquorate/core/Operation"
import { progressOf } from "@inquorate/core/Wire"
import {
  armings,
  assertNothingLeft,
  evidenceOf,
  makeWorld,
  operationId,
  pass,
  passUntilEnded,
  passUntilIn,
  request,
  start,
  where
} from "./World.ts"

const errorOf = ({ stage }: Operation): string => (stage._tag === "Failed" ? stage.error : "none")

describe("an operation ends as", () => {
  it.effect("Completed, with loss, hold and recovery proven, and the hold as long as asked", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(progressOf(ended).InvokeQuorumLossResult?.ErrorCode, 0)
      assertNothingLeft(world.sim)
      const evidence = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        evidence.phases.map(({ phase }) => phase),
        ["Queued", "LookingUpState", "Arming", "Verifying", "Holding", "Lifting", "Recovering", "Ended"]
      )
      assert.deepStrictEqual(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"]
      )
      assert.strictEqual(evidence.hold?.asked, 3000)
      assert.approximately(evidence.hold?.measured ?? 0, 3000, 100)
      assert.strictEqual(evidence.overrun, 0)
      assert.strictEqual(evidence.unobserved, 0)
      assert.deepStrictEqual(
        evidence.fences.map(({ liftedBy, member, problem }) => ({ liftedBy, member, problem })),
        [
          { liftedBy: "Worker", member: "m1", problem: "" },
          { liftedBy: "Worker", member: "m2", problem: "" }
        ]
      )
      assert.isAtLeast(evidence.survivors.length, 1)
      assert.isAtLeast(evidence.samples.filter(({ outcome }) => outcome?._tag === "Acknowledged").length, 2)
    })
  )

  it.effect("Completed at the verdict, when a hold of nothing was asked", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 0)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
      // Created, claimed, ordered, about to lift, ended: no progress of what nobody asked to hold is stored by itself, and
      // the evidence tells all of it.
      assert.strictEqual((yield* world.store().get(operationId(1)))!.version, 5)
      const { phases } = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        phases.map(({ phase }) => phase),
        ["Queued", "LookingUpState", "Arming", "Verifying", "Holding", "Lifting", "Recovering", "Ended"]
      )
    })
  )

  it.effect("Faulted E_ABORT, lifted at once and not tried again, when a write is acknowledged during the hold", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 30_000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ goesOn: ["m1"] })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.strictEqual(errorOf(ended), "E_ABORT")
      assert.strictEqual(ended.attempt, 1)
      assertNothingLeft(world.sim)
      const evidence = yield* evidenceOf(engine)
      assert.deepInclude(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        "Hold Mismatch"
      )
      assert.isBelow(evidence.hold?.measured ?? Infinity, 5000)
    })
  )

  it.effect("Faulted E_ABORT, when a fenced voter goes on from the start", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ goesOn: ["m1"] })
      yield* start(engine, world.sim)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(errorOf(ended), "E_ABORT")
      assert.strictEqual(ended.attempt, 1)
      const evidence = yield* evidenceOf(engine)
      assert.deepInclude(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        "Loss Mismatch"
      )
      assertNothingLeft(world.sim)
    })
  )

  it.effect("Faulted E_ABORT with its attempts used up, when the survivors never say that the quorum is lost", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ survivorsSilent: true })
      yield* start(engine, world.sim)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.strictEqual(errorOf(ended), "E_ABORT")
      const evidence = yield* evidenceOf(engine)
      assert.deepInclude(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        "Hold Inconclusive"
      )
      // A second hold of this length no longer fits into the first deadline's budget.
      assert.isAtLeast(ended.attempt, 2)
      assertNothingLeft(world.sim)
    })
  )

  it.effect("Completed, when every replica was taken and nobody is left to say that the quorum is lost", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      const asked = { ...request(world.sim, 5000), mode: "AllReplicas" as const }
      yield* engine.operations.start(operationId(1), asked, { guard: false, maxHold: "configured" })
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const evidence = yield* evidenceOf(engine)
      assert.lengthOf(evidence.fences, 3)
      assert.isFalse(evidence.survivors.some(({ word }) => word !== "Silent"))
      assertNothingLeft(world.sim)
    })
  )

  it.effect("Completed, when its survivors were asked seldom in the middle of a long hold and closely at its end", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const asked: Array<number> = []
      const { target } = world.sim.cluster
      const probe: typeof target.probe = (group) =>
        Effect.map(target.probe(group), (made) => ({
          ...made,
          survivors: Effect.andThen(
            Effect.map(Clock.currentTimeMillis, (at) => asked.push(at)),
            made.survivors
          )
        }))
      Object.assign(world.sim.cluster, { target: { ...target, probe } })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 60_000)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      const lifted = world.sim.history().find(({ what }) => what === "Lifted")!.at
      const ago = asked.map((at) => lifted - at)
      assert.isAtLeast(ago.filter((at) => at > 50_000).length, 15)
      assert.isAtLeast(ago.filter((at) => at > 2500 && at < 50_000).length, 8)
      assert.isAtMost(ago.filter((at) => at > 2500 && at < 50_000).length, 12)
      assert.isAtLeast(ago.filter((at) => at < 2500).length, 4)
      assert.isAtMost(Math.min(...ago), 510)
    })
  )

  it.effect("Completed, when the survivors speak only later than so short a hold", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ survivorsSpeakAfter: 4000 })
      const engine = yield* world.engine()
      yield* world.sim.set({ survivorsSilent: true })
      yield* start(engine, world.sim)
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("Faulted FABRIC_E_TIMEOUT, when the recovery is not proven within the system's budget", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ recoveryBudget: 20_000 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ recoversNever: true })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.strictEqual(errorOf(ended), "FABRIC_E_TIMEOUT")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("Faulted FABRIC_E_TIMEOUT, when a voter does not come back although writes do", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ recoveryBudget: 5000 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ down: ["m2"] })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(errorOf(ended), "FABRIC_E_TIMEOUT")
      const evidence = yield* evidenceOf(engine)
      assert.isNotNull(evidence.recovery)
      const verdict = evidence.verdicts.find(({ about }) => about === "Recovery")
      assert.strictEqual(verdict?.outcome, "Inconclusive")
      assert.include(verdict?.facts.join("; "), "2 of 3 voters up")
    })
  )

  it.effect("Faulted FABRIC_E_COMMUNICATION_ERROR after three attempts, when the cluster does not answer", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ unreachable: true })
      yield* start(engine, world.sim)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Faulted")
      assert.strictEqual(errorOf(ended), "FABRIC_E_COMMUNICATION_ERROR")
      assert.strictEqual(ended.attempt, 3)
      assert.strictEqual(armings(world.sim), 0)
    })
  )

  it.effect("Faulted FABRIC_E_COMMUNICATION_ERROR, when a host does not answer", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ hostsUnreachable: true })
      yield* start(engine, world.sim)
      assert.strictEqual(errorOf(yield* passUntilEnded(world)), "FABRIC_E_COMMUNICATION_ERROR")
    })
  )

  it.effect("Completed in a later attempt, when a host did not tell in time which process a member is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ processProblem: { m1: "host h did not answer in time" }, processLate: ["m1"] })
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "LookingUpState")
      yield* pass(500)
      yield* world.sim.set({ processProblem: {}, processLate: [] })
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assertNothingLeft(world.sim)
      const { notes, refusals } = yield* evidenceOf(engine)
      assert.deepStrictEqual(refusals, [])
      assert.match(JSON.stringify(notes), /which process is the server of m1 was not told in time/)
    })
  )

  it.effect("Completed in a later attempt, when the cluster was unreachable only for a moment", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ unreachable: true })
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "LookingUpState")
      yield* world.sim.set({ unreachable: false })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assertNothingLeft(world.sim)
    })
  )
})

describe("a guard's no ends an operation as Faulted with a record of it, and touches nothing, when", () => {
  const cases = [
    { title: "a member is down", faults: { down: ["m2"] }, refusal: "Degraded", code: "FABRIC_E_INVALID_OPERATION" },
    {
      title: "the quorum is gone",
      faults: { down: ["m1", "m2"] },
      refusal: "AlreadyLost",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "no write commits",
      faults: { recoversNever: true },
      refusal: "NotSteady",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "two servers stream under one name",
      faults: { unfit: ["2 connections stream as m1"] },
      refusal: "Unfit",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "there is no connection left for the proof",
      faults: { crowded: true },
      refusal: "Unfit",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "a process was not found",
      faults: { processProblem: { m1: "no process has this data directory" } },
      refusal: "NotTheServer",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "a process is another one",
      faults: { preflight: { m1: { _tag: "Mistaken", problem: "it runs another program" } } },
      refusal: "NotTheServer",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "the mechanism cannot act",
      faults: { preflight: { m1: { _tag: "Impossible", problem: "it runs in a container" } } },
      refusal: "NotSupported",
      code: "FABRIC_E_INVALID_OPERATION"
    },
    {
      title: "a host's clock is off",
      faults: { preflight: { m2: { _tag: "Ready", grade: "Keeper", skew: -1001 } } },
      refusal: "ClockSkew",
      code: "FABRIC_E_INVALID_OPERATION"
    }
  ] as const
  for (const { code, faults, refusal, title } of cases) {
    it.effect(title, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const engine = yield* world.engine()
        yield* world.sim.set(faults)
        yield* start(engine, world.sim)
        const ended = yield* passUntilEnded(world)
        assert.strictEqual(where(ended), "Faulted")
        assert.strictEqual(errorOf(ended), code)
        assert.strictEqual(ended.attempt, 1)
        const evidence = yield* evidenceOf(engine)
        assert.deepStrictEqual(
          evidence.refusals.map(({ _tag }) => _tag),
          [refusal]
        )
        assert.strictEqual(armings(world.sim), 0)
      })
    )
  }

  it.effect("the cluster is protected, the service or the partition unknown", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ protected: true })
      const engine = yield* world.engine()
      const { partitionId, serviceName } = world.sim
      const ask = { kind: "PartitionQuorumLoss", serviceName, partitionId, mode: "QuorumReplicas", hold: 1000 } as const
      const asked = [
        [ask, "FABRIC_E_INVALID_OPERATION"],
        [{ ...ask, serviceName: "fabric:/nowhere/quorum" }, "FABRIC_E_SERVICE_DOES_NOT_EXIST"],
        [{ ...ask, serviceName: "fabric:/orders/other" }, "FABRIC_E_SERVICE_DOES_NOT_EXIST"],
        [{ ...ask, partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa" }, "FABRIC_E_PARTITION_NOT_FOUND"]
      ] as const
      for (const [index, [one, code]] of asked.entries()) {
        const id = `00000000-0000-4000-8000-${(index + 1).toString().padStart(12, "0")}`
        yield* engine.operations.start(id, one, { guard: false, maxHold: "configured" })
        assert.strictEqual(errorOf(yield* passUntilEnded(world, index + 1)), code)
      }
    })
  )
})
