/**
 * Goal: the evidence, the verdicts and the figures say of an end what happened, also where the worker stalled, a fence
 * never stood, or a member was only slow. Method: a simulated cluster and an engine; the test sets the time.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Figures from "../src/watch/Figures.ts"
import { holdsPartition, make as makeOperation } from "@inquorate/core/Operation"
import { planFence } from "../src/plan/Fences.ts"
import {
  endOf,
  evidenceOf,
  makeWorld,
  meanwhile,
  operationId,
  pass,
  passUntil,
  passUntilEnded,
  passUntilIn,
  request,
  start,
  stored,
  where
} from "./World.ts"

const counted = (metric: typeof Figures.holdError) => Effect.map(Metric.value(metric), ({ count }) => Number(count))

describe("a fence that never stood", () => {
  it.effect("is given no overrun, in the evidence or in the figures, though it is lifted past its deadline", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      const before = yield* counted(Figures.overrun)
      yield* world.sim.set({ arm: { m1: "LostBefore", m2: "LostBefore" }, liftFails: 1000 })
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "UndoingLifting")
      const { firstDeadline } = yield* stored(world)
      yield* passUntil(
        "the deadline is over",
        Effect.map(world.store().now, (now) => now > firstDeadline! + 200)
      )
      yield* world.sim.set({ liftFails: 0 })
      assert.match(endOf(yield* passUntilEnded(world)), /^Faulted/)
      const { fences, overrun } = yield* evidenceOf(engine)
      assert.deepStrictEqual(
        fences.map((fence) => fence.overrun),
        fences.map(() => null)
      )
      assert.isNull(overrun)
      assert.strictEqual(yield* counted(Figures.overrun), before)
    })
  )

  it.effect("is told apart from one that stood too long", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ keepersDead: true, hostsUnreachable: true })
      yield* pass(4500)
      yield* world.sim.set({ hostsUnreachable: false })
      yield* passUntilEnded(world)
      assert.isAbove((yield* evidenceOf(engine)).overrun!, 500)
    })
  )
})

describe("an order that was never sent", () => {
  it.effect("leaves no residue and blocks nobody, though no host can be asked until long after its deadline", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "Unreachable", m2: "Unreachable" }, liftFails: 100_000 })
      yield* start(engine, world.sim, 1, 30_000)
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Faulted FABRIC_E_COMMUNICATION_ERROR")
      assert.deepInclude(ended.stage, { residue: { _tag: "None" } })
      const { fences } = yield* evidenceOf(engine)
      assert.isTrue(fences.every(({ offAt, overrun }) => offAt !== null && overrun === null))
      yield* world.sim.set({ arm: {}, liftFails: 0 })
      yield* start(engine, world.sim, 2, 1000)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
    })
  )

  it.effect("to one host of two is not waited for, and the other one is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "Unreachable" }, liftFails: 100_000 })
      yield* start(engine, world.sim, 1, 1000)
      const ended = yield* passUntilEnded(world)
      const { stage } = ended
      const residue = stage._tag === "Failed" && stage.residue._tag === "Unknown" ? stage.residue.order.fences : []
      assert.isFalse(residue.some(({ member }) => member === "m1"))
      yield* world.sim.set({ liftFails: 0 })
      yield* passUntil(
        "the sweep",
        Effect.map(stored(world), (operation) => !holdsPartition(operation))
      )
    })
  )

  it.effect("cannot be, under a name that no host could keep a record under: the plan refuses it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const [topology] = yield* meanwhile(world.sim.cluster.target.discover)
      const member = { ...topology!.members[1]!, name: "n".repeat(101) }
      const refused = yield* Effect.flip(planFence(world.sim.cluster.injector, member))
      assert.strictEqual(refused._tag === "FenceRefused" ? refused.refusal._tag : refused._tag, "NotSupported")
    })
  )

  it.effect("under such a name, of an operation that an earlier version stored, is swept all the same", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const { sim } = world
      const now = yield* world.store().now
      const [topology] = yield* meanwhile(sim.cluster.target.discover)
      const { node, process } = topology!.members[1]!
      const fence = { member: "n".repeat(101), node, injector: "pause", grade: "Keeper", process: process! } as const
      const order = { fences: [fence], armedAt: now, deadline: now + 10 }
      yield* world.store().create({
        ...makeOperation(operationId(1), request(sim), now),
        stage: {
          _tag: "Failed",
          reason: "fail",
          error: "E_ABORT",
          residue: { _tag: "Unknown", order, until: now + 2010 }
        },
        firstDeadline: now + 10,
        endedAt: now + 10
      })
      yield* world.engine()
      yield* passUntil(
        "the sweep",
        Effect.map(stored(world), (operation) => !holdsPartition(operation))
      )
    })
  )
})

describe("the error of a hold", () => {
  it.effect("is counted where the hold came to its own end, and not where somebody or something cut it short", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      const before = yield* counted(Figures.holdError)
      yield* start(engine, world.sim, 1, 30_000)
      yield* passUntilIn(world, "Holding", 1)
      yield* engine.operations.cancel(operationId(1), false)
      assert.match(endOf(yield* passUntilEnded(world, 1)), /^Cancelled/)
      yield* start(engine, world.sim, 2, 30_000)
      yield* passUntilIn(world, "Holding", 2)
      yield* world.sim.set({ goesOn: ["m1"] })
      assert.match(endOf(yield* passUntilEnded(world, 2)), /^Faulted/)
      yield* world.sim.set({ goesOn: [] })
      assert.strictEqual(yield* counted(Figures.holdError), before)
      assert.isNotNull((yield* evidenceOf(engine, 1)).hold, "the evidence tells it all the same")
      yield* start(engine, world.sim, 3, 1000)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 3)), "Completed")
      assert.strictEqual(yield* counted(Figures.holdError), before + 1)
    })
  )
})

describe("another attempt", () => {
  it.effect("waits for a member that is only slow to come back, and is not refused as degraded", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "NotApplied", m2: "NotApplied" } })
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntil(
        "the attempt is undone",
        Effect.map(stored(world), ({ attempt }) => attempt === 2)
      )
      yield* world.sim.set({ arm: {}, down: ["m2"] })
      yield* pass(3000)
      assert.strictEqual(where(yield* stored(world)), "LookingUpState")
      yield* world.sim.set({ down: [] })
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      const { refusals } = yield* evidenceOf(engine)
      assert.deepStrictEqual(refusals, [])
    })
  )

  it.effect("is refused where the member stays away, before the first deadline", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* world.sim.set({ arm: { m1: "NotApplied", m2: "NotApplied" } })
      yield* start(engine, world.sim, 1, 10_000)
      yield* passUntil(
        "the attempt is undone",
        Effect.map(stored(world), ({ attempt }) => attempt === 2)
      )
      yield* world.sim.set({ arm: {}, down: ["m2"] })
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Faulted FABRIC_E_INVALID_OPERATION")
      assert.isAtMost(ended.endedAt!, ended.firstDeadline!)
      assert.deepStrictEqual(
        (yield* evidenceOf(engine)).refusals.map(({ _tag }) => _tag),
        ["Degraded"]
      )
    })
  )
})

describe("a worker that stalls before the verdict", () => {
  it.effect("until the fences have ended says so, whatever was acknowledged since", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      yield* start(engine, world.sim)
      yield* passUntilIn(world, "Verifying", 1, 1)
      yield* engine.freeze
      yield* pass(7000)
      yield* engine.thaw
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted E_ABORT")
      const loss = (yield* evidenceOf(engine)).verdicts.filter(({ about }) => about === "Loss")
      assert.deepStrictEqual(
        loss.map(({ facts, outcome }) => [outcome, ...facts]),
        [["Inconclusive", "the fences ended before it could be judged"]]
      )
    })
  )
})

describe("what is left on the hosts", () => {
  it.effect("is told of a group that does not get well, because they are asked whether it does or not", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ recoveryBudget: 5000 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 1000)
      yield* passUntilIn(world, "Holding")
      yield* world.sim.set({ recoversNever: true })
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted FABRIC_E_TIMEOUT")
      const recovery = (yield* evidenceOf(engine)).verdicts.find(({ about }) => about === "Recovery")
      assert.include(recovery!.facts, "nothing of ours is left on any host")
      assert.match(
        recovery!.facts[0]!,
        /^no write sent after the lift was acknowledged \(the last one: no answer within/
      )
    })
  )

  it.effect("is what each host says of it, and not what might be", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ recoveryBudget: 5000 })
      const engine = yield* world.engine()
      yield* start(engine, world.sim, 1, 1000)
      yield* passUntilIn(world, "Recovering", 1, 1)
      yield* world.sim.set({ hostsForgot: true })
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Faulted FABRIC_E_TIMEOUT")
      const recovery = (yield* evidenceOf(engine)).verdicts.find(({ about }) => about === "Recovery")
      assert.isTrue(
        recovery?.facts.some((fact) => fact.endsWith("says that the fence of m1 is Absent")),
        String(recovery?.facts)
      )
    })
  )
})

describe("an operation whose row cannot be read", () => {
  it.effect("is listed as that, keeps its partition, and takes nothing of the others with it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [{ name: "locks" }])
      const engine = yield* world.engine()
      const row = {
        id: operationId(9),
        state: "Running",
        subject: world.sim.partitionId,
        holds: true,
        problem: "it has a form that nobody knows"
      } as const
      const store = world.store()
      Object.assign(store, { unreadable: Effect.succeed([row]) })
      const again = yield* world.engine("w2")
      yield* engine.stop
      const { id, problem, state } = row
      assert.deepStrictEqual(yield* again.operations.unreadable, [{ id, state, problem }])
      yield* start(again, world.sim, 1, 1000)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 1)), "Faulted FABRIC_E_INVALID_OPERATION")
      const [refusal] = (yield* evidenceOf(again, 1)).refusals
      assert.deepInclude(refusal, { _tag: "Busy", operationId: id })
      yield* start(again, world.others[0]!, 2, 1000)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
    })
  )
})
