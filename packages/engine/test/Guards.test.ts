/** What is refused before anything is touched, what a caller may set aside by name, and who may act on which host. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type { FenceReport, Injector } from "@inquorate/core/Injector"
import type { Override } from "@inquorate/core/Plan"
import * as Figures from "../src/watch/Figures.ts"
import { unguarded } from "../src/plan/Guards.ts"
import { read, uncrowded } from "../src/plan/Others.ts"
import { lookAtFences } from "../src/watch/Survey.ts"
import {
  armings,
  assertNothingLeft,
  evidenceOf,
  makeWorld,
  meanwhile,
  operationId,
  pass,
  passUntilEnded,
  passUntilIn,
  request,
  start,
  stored,
  where
} from "./World.ts"

const guarded = { guard: true, maxHold: "configured" } as const
const plainly = { guard: false, maxHold: "configured" } as const

const overriding = (...overrides: ReadonlyArray<Override>) => ({ overrides })

describe("a group of which nobody answered", () => {
  it.effect("is looked at once more, and no more than that", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 100 })
      const engine = yield* world.engine()
      yield* world.sim.set({ unreachable: true })
      const refused = yield* Effect.flip(meanwhile(engine.operations.plan(request(world.sim))))
      assert.strictEqual(refused.code, "FABRIC_E_COMMUNICATION_ERROR")
      const starting = yield* Effect.forkChild(engine.operations.start(operationId(1), request(world.sim), guarded))
      yield* pass(150)
      yield* world.sim.set({ unreachable: false })
      assert.strictEqual((yield* meanwhile(Fiber.join(starting))).id, operationId(1))
    })
  )
})

describe("a group with a member down", () => {
  it.effect("is refused, and broken where the caller says so by name; the evidence tells", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ members: 5 })
      yield* world.sim.set({ down: ["m4"] })
      const engine = yield* world.engine()
      const asked = request(world.sim)
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(1), asked, guarded)))
      assert.deepStrictEqual(refused.refusal, { _tag: "Degraded", down: ["m4"] })
      assert.match(refused.detail, /--override degraded/)
      const insisted = { ...asked, ...overriding("degraded") }
      const preview = yield* meanwhile(engine.operations.plan(insisted))
      assert.strictEqual(preview.plan?.fences.length, 2)
      yield* meanwhile(engine.operations.start(operationId(1), insisted, guarded))
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const { plan } = yield* evidenceOf(engine)
      assert.deepStrictEqual(plan?.overridden, [{ override: "degraded", refusal: { _tag: "Degraded", down: ["m4"] } }])
      assertNothingLeft(world.sim)
    })
  )

  it.effect("that has lost its quorum stays refused, whatever is overridden", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      yield* world.sim.set({ down: ["m1", "m2"] })
      const engine = yield* world.engine()
      const insisted = { ...request(world.sim), ...overriding("degraded", "tooLong", "tooMany", "hostBusy") }
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(1), insisted, guarded)))
      assert.strictEqual(refused.refusal?._tag, "AlreadyLost")
      assert.strictEqual(world.sim.orders(), 0)
    })
  )
})

describe("a hold that is longer than its supervisors wait", () => {
  const watched = (patience: number, reaction: "RestartsMember" | "DestroysData") => ({
    watches: "m1",
    source: "the liveness probe of m1",
    patience,
    reaction
  })

  it.effect("is refused, and held where the caller says so by name; plan and evidence tell who waits how long", () =>
    Effect.gen(function* () {
      const impatient = watched(1250, "RestartsMember")
      const world = yield* makeWorld({ supervisors: [watched(60_000, "DestroysData"), impatient] })
      const engine = yield* world.engine()
      const short = yield* meanwhile(engine.operations.plan(request(world.sim, 1250)))
      assert.strictEqual(short.plan?.longestHold, 1250)
      assert.deepInclude(short.plan?.supervisors ?? [], impatient)
      const long = request(world.sim, 3000)
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(1), long, guarded)))
      assert.deepStrictEqual(refused.refusal, { _tag: "Impatient", supervisor: impatient, asked: 3000 })
      const insisted = { ...long, ...overriding("impatient") }
      yield* meanwhile(engine.operations.start(operationId(1), insisted, guarded))
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const { plan } = yield* evidenceOf(engine)
      assert.deepStrictEqual(plan?.overridden, [
        { override: "impatient", refusal: { _tag: "Impatient", supervisor: impatient, asked: 3000 } }
      ])
      assertNothingLeft(world.sim)
    })
  )

  it.effect("is refused whatever is overridden where data can be destroyed", () =>
    Effect.gen(function* () {
      const rebuilds = watched(2000, "DestroysData")
      const world = yield* makeWorld({ supervisors: [watched(1000, "RestartsMember"), rebuilds] })
      const engine = yield* world.engine()
      const all = overriding("degraded", "tooLong", "tooMany", "hostBusy", "impatient")
      const insisted = { ...request(world.sim, 3000), ...all }
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(1), insisted, guarded)))
      assert.deepStrictEqual(refused.refusal, { _tag: "Impatient", supervisor: rebuilds, asked: 3000 })
      assert.strictEqual(world.sim.orders(), 0)
    })
  )
})

describe("a hold above the maximum", () => {
  it.effect("is held where the caller overrides it by name, and the evidence tells", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ maxHold: 2000 })
      const engine = yield* world.engine()
      const long = { ...request(world.sim, 3000), ...overriding("tooLong") }
      yield* meanwhile(engine.operations.start(operationId(1), long, guarded))
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      const { plan } = yield* evidenceOf(engine)
      assert.deepStrictEqual(plan?.overridden, [
        { override: "tooLong", refusal: { _tag: "TooLong", asked: 3000, limit: 2000 } }
      ])
    })
  )
})

describe("a cluster that is protected, or holds our own store", () => {
  it.effect("is refused whatever is overridden", () =>
    Effect.gen(function* () {
      const all = overriding("degraded", "tooLong", "tooMany", "hostBusy")
      const world = yield* makeWorld({ protected: true }, [{ name: "other" }])
      const engine = yield* world.engine("w1", { guards: { storeInside: () => Effect.succeed("m1") } })
      const tags: Array<string | undefined> = []
      for (const sim of [world.sim, world.others[0]!]) {
        const asked = { ...request(sim), ...all }
        tags.push(
          (yield* Effect.flip(meanwhile(engine.operations.start(operationId(1), asked, guarded)))).refusal?._tag
        )
        assert.strictEqual(sim.orders(), 0)
      }
      assert.deepStrictEqual(tags, ["Protected", "StoreInside"])
    })
  )
})

describe("what runs at once", () => {
  it.effect("is limited in all: the next is refused at once, or Faulted, or runs where the caller insists", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [{ name: "other" }])
      const [other] = world.others
      const engine = yield* world.engine("w1", { guards: { overall: 1 } })
      yield* start(engine, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(2), request(other!), guarded)))
      assert.deepStrictEqual(refused.refusal, { _tag: "TooMany", scope: "overall", running: 1, limit: 1 })
      yield* engine.operations.start(operationId(3), request(other!), plainly)
      assert.strictEqual(where(yield* passUntilEnded(world, 3)), "Faulted")
      assert.strictEqual((yield* evidenceOf(engine, 3)).refusals[0]?._tag, "TooMany")
      assert.strictEqual(armings(other!), 0)
      const insisted = { ...request(other!), ...overriding("tooMany") }
      yield* meanwhile(engine.operations.start(operationId(4), insisted, guarded))
      assert.strictEqual(where(yield* passUntilEnded(world, 4)), "Completed")
    })
  )

  it.effect("is limited on a host, whichever group the fences are of", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({}, [{ name: "other" }])
      const [other] = world.others
      const engine = yield* world.engine("w1", { guards: { perHost: 1 } })
      yield* start(engine, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      const refused = yield* Effect.flip(meanwhile(engine.operations.start(operationId(2), request(other!), guarded)))
      assert.strictEqual(refused.refusal?._tag, "HostBusy")
      const insisted = { ...request(other!), ...overriding("hostBusy") }
      yield* meanwhile(engine.operations.start(operationId(2), insisted, guarded))
      assert.strictEqual(where(yield* passUntilEnded(world, 2)), "Completed")
    })
  )

  it.effect("counts those that wait for a caller who is answered at once, and not for one that has waited", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine("w1", { concurrency: 1 })
      yield* start(engine, world.sim, 1, 60_000)
      yield* passUntilIn(world, "Holding")
      yield* start(engine, world.sim, 2)
      const guards = { ...unguarded, perCluster: 2 }
      const elsewhere = { ...request(world.sim), partitionId: operationId(9) }
      const of = { id: operationId(3), request: elsewhere, receivedAt: 0, clusters: ["orders"] }
      const others = yield* read({ guards, store: world.store() }, elsewhere, [])
      const refusals = (queuedCount: boolean) => uncrowded(guards, others, of, [], { queuedCount })
      assert.deepStrictEqual(yield* refusals(true), [{ _tag: "TooMany", scope: "cluster", running: 2, limit: 2 }])
      assert.deepStrictEqual(yield* refusals(false), [])
      // What is on the very partition is in the way of everything, and nothing else is told.
      const same = { ...of, request: request(world.sim) }
      const [only, ...rest] = yield* uncrowded(guards, others, same, [], { queuedCount: false })
      assert.strictEqual(only?._tag === "Busy" && only.operationId, operationId(1))
      assert.deepStrictEqual(rest, [])
    })
  )
})

describe("an operation with a fence on a host", () => {
  it.effect("is left alone by a worker that does not reach the host, and taken over by one that does", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const first = yield* world.engine("w1")
      yield* start(first, world.sim, 1, 20_000)
      yield* passUntilIn(world, "Holding")
      yield* first.crash
      yield* world.engine("elsewhere", { reaches: () => false })
      yield* pass(6000)
      assert.strictEqual((yield* world.store().get(operationId(1)))!.owner, "w1")
      assert.strictEqual(where(yield* stored(world)), "Holding")
      const third = yield* world.engine("w3")
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(
        (yield* evidenceOf(third)).owners.map(({ worker }) => worker),
        ["w1", "w3"]
      )
      assertNothingLeft(world.sim)
    })
  )
})

describe("a fence that stands past its deadline", () => {
  it.effect("is counted and lifted by a sweep; one within its time is not touched", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const cleared: Array<boolean> = []
      let deadline = 1_700_000_000_000 - 1001
      const report = (): FenceReport => ({
        fence: { operationId: operationId(1), attempt: 1, member: "m1" },
        host: "here",
        injector: "pause",
        state: { _tag: "Armed", processes: 1, armedAt: 1, deadline, keepers: 0, broken: false }
      })
      const injector: Injector = {
        ...world.sim.cluster.injector,
        sweep: (_, { clear }) => Effect.sync(() => (cleared.push(clear), [report()]))
      }
      const look = Effect.andThen(
        lookAtFences([{ ...world.sim.cluster, injector, hosts: ["here"] }], world.store().now),
        Effect.map(Metric.value(Figures.pastDeadline), ({ value }) => value)
      )
      assert.strictEqual(yield* look, 1)
      assert.deepStrictEqual(cleared, [false, true])
      deadline += 1
      assert.strictEqual(yield* look, 0)
      assert.deepStrictEqual(cleared, [false, true, false])
    })
  )
})
