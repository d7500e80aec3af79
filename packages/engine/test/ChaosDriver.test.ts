/**
 * The driver of chaos, over operations that a test moves by hand, and over the engine itself. The test sets the time.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { Chaos, type ChaosEvent, readParameters } from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"
import { ChaosStore } from "@inquorate/core/ChaosStore"
import { type Cluster, Clusters } from "@inquorate/core/Cluster"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal, make as makeOperation, type Operation, type Stage } from "@inquorate/core/Operation"
import { type ClusterView, Operations, RequestRefused } from "@inquorate/core/Operations"
import { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import { isNodeRequest } from "@inquorate/core/Request"
import type { Member, Topology } from "@inquorate/core/Topology"
import { stateOf } from "@inquorate/core/Wire"
import * as ChaosDriver from "@inquorate/engine/ChaosDriver"
import * as Engine from "@inquorate/engine/Engine"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"

const member = (cluster: string, index: number, up = true): Member => ({
  name: `m${index}`,
  node: `${cluster}-m${index}`,
  address: "127.0.0.1:1",
  role: index === 0 ? "Primary" : "ActiveSecondary",
  counts: true,
  up,
  cuttable: "Always",
  process: null,
  processProblem: ""
})

const group = (cluster: string, down = 0): Topology => ({
  cluster,
  system: "simulated",
  group: "kv",
  partitionId: `00000000-0000-4000-8000-${cluster.charCodeAt(0).toString(16).padStart(12, "0")}`,
  observedAt: 0,
  needed: 2,
  rule: "majority of 3",
  members: [0, 1, 2].map((index) => member(cluster, index, index >= down))
})

const view = (name: string, over: Partial<ClusterView> = {}): ClusterView => ({
  name,
  system: "simulated",
  injector: "kill",
  protected: false,
  maxHold: null,
  groups: [group(name)],
  problem: "",
  ...over
})

/** Operations as a test decides: each one ends Completed `lasts` after its start unless told otherwise. */
const makeFake = (names: ReadonlyArray<string>) => {
  const all = new Map<Guid, Operation>()
  const fake = {
    views: names.map((name) => view(name)) as ReadonlyArray<ClusterView>,
    lasts: 3000,
    refuse: undefined as RequestRefused | undefined,
    cancelled: [] as Array<Guid>,
    all,
    kinds: () => [...all.values()].map(({ request }) => (isNodeRequest(request) ? request.transition : request.kind))
  }
  const end = (operation: Operation, at: number, stage: Stage): Operation => ({ ...operation, stage, endedAt: at })
  const now = (operation: Operation, at: number): Operation =>
    isTerminal(operation) || at < operation.receivedAt + fake.lasts
      ? operation
      : end(operation, at, { _tag: "Completed" })
  const refused = (code: "FABRIC_E_KEY_NOT_FOUND" | "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS") =>
    Effect.fail(new RequestRefused({ code, detail: code, refusal: null }))
  const get = (id: Guid) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => {
      const found = all.get(id)
      return found === undefined ? refused("FABRIC_E_KEY_NOT_FOUND") : Effect.succeed(now(found, at))
    })
  const unused = Effect.die(new Error("chaos has no use for this"))
  const operations = Operations.of({
    start: (id, request) =>
      Effect.gen(function* () {
        if (fake.refuse !== undefined) return yield* fake.refuse
        if (all.has(id)) return yield* refused("FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
        const made = makeOperation(id, request, yield* Clock.currentTimeMillis)
        all.set(id, made)
        return made
      }),
    get,
    cancel: (id) =>
      Effect.gen(function* () {
        const found = yield* get(id)
        fake.cancelled.push(id)
        const ended = end(found, yield* Clock.currentTimeMillis, {
          _tag: "Failed",
          reason: "cancel",
          error: "E_ABORT",
          residue: { _tag: "None" }
        })
        all.set(id, ended)
        return ended
      }),
    clusters: Effect.sync(() => fake.views),
    holders: Effect.map(Clock.currentTimeMillis, (at) =>
      [...all.values()].map((one) => now(one, at)).filter((one) => !isTerminal(one))
    ),
    aftermath: unused,
    detail: () => unused,
    list: () => unused,
    unreadable: unused,
    plan: () => unused,
    watch: () => unused as never,
    recover: () => unused,
    unready: Effect.succeed([])
  })
  return { fake, operations }
}

const clustersNamed = (names: ReadonlyArray<string>) =>
  Clusters.of({
    all: names.map((name) => ({ name, target: {}, injector: { name: "kill", restarts: true } }) as unknown as Cluster)
  })

const begun = 1_700_000_000_000

const world = Effect.fnUntraced(function* (names: ReadonlyArray<string> = ["a", "b"]) {
  yield* TestClock.setTime(begun)
  const storeClock = yield* Clock.Clock
  const now = Effect.sync(() => storeClock.currentTimeMillisUnsafe())
  const both = yield* SqliteStore.makeBoth({ path: ":memory:", now })
  const { fake, operations } = makeFake(names)
  const outer = yield* Effect.scope
  const base = yield* Clock.Clock
  /** `ahead` is how far the worker's own wall clock is ahead of the store's. */
  const driver = Effect.fnUntraced(function* (workerId: string, ahead = 0) {
    const scope = yield* Scope.fork(outer)
    let dead = false
    // What a worker whose power is cut says no longer reaches the store, its goodbye included.
    const through = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
      Effect.suspend(() =>
        dead ? Effect.fail(new StoreError({ reason: "Unavailable", detail: "the power is cut" })) : effect
      )
    const whole = Context.get(both, ChaosStore)
    const store = ChaosStore.of({
      ...whole,
      read: through(whole.read),
      drive: (name, lease) => through(whole.drive(name, lease)),
      save: (...given) => through(whole.save(...given)),
      release: (name) => through(whole.release(name))
    })
    const chaos = yield* Scope.provide(ChaosDriver.make({ workerId, seed: "a test" }), scope).pipe(
      Effect.provideService(ChaosStore, store),
      Effect.provideService(Operations, operations),
      Effect.provideService(Clusters, clustersNamed(names)),
      Effect.provideService(Clock.Clock, {
        currentTimeMillisUnsafe: () => base.currentTimeMillisUnsafe() + ahead,
        currentTimeMillis: Effect.map(base.currentTimeMillis, (now) => now + ahead),
        currentTimeNanosUnsafe: () => base.currentTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n,
        currentTimeNanos: Effect.map(base.currentTimeNanos, (now) => now + BigInt(ahead) * 1_000_000n),
        monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: base.monotonicTimeNanos,
        sleep: (duration) => base.sleep(duration)
      })
    )
    const stop = Scope.close(scope, Exit.void)
    const crash = Effect.andThen(
      Effect.sync(() => void (dead = true)),
      stop
    )
    return { chaos, stop, crash }
  })
  return { fake, driver, store: Context.get(both, ChaosStore) }
})

const settle = Effect.forEach(Array.from({ length: 60 }), () => Effect.yieldNow, { discard: true })

/** Lets time pass in steps of a second, as the driver looks. */
const pass = (seconds: number): Effect.Effect<void> =>
  Effect.forEach(
    Array.from({ length: seconds }),
    () => Effect.andThen(Effect.andThen(settle, TestClock.adjust(1000)), settle),
    { discard: true }
  )

const eventsOf = (chaos: Chaos["Service"]): Effect.Effect<ReadonlyArray<ChaosEvent>, RequestRefused> =>
  Effect.map(chaos.events({ after: 0, from: null, to: null, limit: 1000 }), (events) =>
    events.map(({ event }) => event)
  )

const kindsOf = (chaos: Chaos["Service"]): Effect.Effect<ReadonlyArray<string>, RequestRefused> =>
  Effect.map(eventsOf(chaos), (events) => events.map(({ Kind }) => Kind))

const ask = (input: object) => Result.getOrThrow(readParameters(input))

const codeOf = <A>(effect: Effect.Effect<A, RequestRefused>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: ({ code }) => code, onSuccess: () => "taken" })

describe("the driver of chaos", () => {
  it.effect("goes round: healthy, faults, waiting; a node is stopped and then started", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world()
      const { chaos } = yield* driver("w1")
      assert.strictEqual((yield* chaos.get).status, "Invalid")
      yield* chaos.start(ask({ MaxConcurrentFaults: 2, WaitTimeBetweenFaultsInSeconds: 2 }))
      yield* pass(1)
      assert.strictEqual((yield* chaos.get).status, "Running")
      assert.deepStrictEqual(fake.kinds(), ["Stop"])
      yield* pass(12)
      assert.deepStrictEqual(fake.kinds(), ["Stop", "Stop", "Start", "Start"])
      const nodes = [...fake.all.values()].map(({ request }) => (isNodeRequest(request) ? request.nodeName[0] : ""))
      assert.sameMembers(nodes.slice(0, 2), ["a", "b"])
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ExecutingFaults", "Waiting"])
      yield* pass(35)
      assert.strictEqual((yield* kindsOf(chaos))[3], "ExecutingFaults")
      const [, executing, waiting] = yield* eventsOf(chaos)
      assert.isTrue(executing!.Kind === "ExecutingFaults" && executing!.Faults.length === 2)
      assert.isTrue(waiting!.Kind === "Waiting" && waiting!.Reason.includes("30 s"))
    }).pipe(Effect.scoped)
  )

  it.effect("ends by its time to run, and cancels what still runs", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      fake.lasts = 60_000
      yield* chaos.start(ask({ TimeToRunInSeconds: "5" }))
      yield* pass(8)
      assert.strictEqual(fake.cancelled.length, 1)
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ExecutingFaults", "Stopped"])
      const last = (yield* eventsOf(chaos)).at(-1)!
      assert.isTrue(last.Kind === "Stopped" && /time to run/.test(last.Reason))
      assert.deepStrictEqual(yield* chaos.get, {
        parameters: ask({ TimeToRunInSeconds: "5" }),
        status: "Stopped",
        scheduleStatus: "Expired"
      })
    }).pipe(Effect.scoped)
  )

  it.effect("goes by the store's clock, whatever the drivers' own ones say", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world(["a"])
      const ahead = yield* driver("w1", 60 * 60 * 1000)
      fake.lasts = 60_000
      yield* ahead.chaos.start(ask({ TimeToRunInSeconds: "5" }))
      yield* pass(2)
      assert.deepStrictEqual(fake.kinds(), ["Stop"])
      yield* ahead.crash
      const behind = yield* driver("w2", -60 * 60 * 1000)
      yield* pass(10)
      assert.strictEqual((yield* behind.chaos.get).status, "Stopped")
      const events = yield* eventsOf(behind.chaos)
      assert.deepStrictEqual(
        events.map(({ Kind }) => Kind),
        ["Started", "ExecutingFaults", "Stopped"]
      )
      for (const { TimeStampUtc } of events) {
        assert.isAtMost(Math.abs(Date.parse(TimeStampUtc) - begun), 15_000, TimeStampUtc)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("stops by request: the node that it has stopped is started before it says so", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      yield* chaos.start(ask({}))
      fake.lasts = 10_000
      yield* pass(3)
      assert.deepStrictEqual(fake.kinds(), ["Stop"])
      // The node is stopped now, which no look of the driver has seen yet.
      fake.lasts = 0
      yield* chaos.stop
      assert.deepStrictEqual(yield* chaos.get, { parameters: ask({}), status: "Running", scheduleStatus: "Stopped" })
      assert.strictEqual(yield* codeOf(chaos.start(ask({}))), "FABRIC_E_CHAOS_ALREADY_RUNNING")
      yield* pass(6)
      assert.deepStrictEqual(fake.kinds(), ["Stop", "Start"])
      assert.deepStrictEqual(fake.cancelled, [])
      assert.strictEqual((yield* kindsOf(chaos)).at(-1), "Stopped")
      assert.strictEqual((yield* chaos.get).status, "Stopped")
      yield* chaos.stop
      assert.strictEqual(yield* codeOf(chaos.start(ask({}))), "taken")
    }).pipe(Effect.scoped)
  )

  it.effect("stops by request: what was drawn and has not begun never begins", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world()
      const { chaos } = yield* driver("w1")
      fake.lasts = 10_000
      yield* chaos.start(ask({ MaxConcurrentFaults: 2, WaitTimeBetweenFaultsInSeconds: 5 }))
      yield* pass(2)
      assert.deepStrictEqual(fake.kinds(), ["Stop"])
      yield* chaos.stop
      yield* pass(10)
      assert.deepStrictEqual(fake.kinds(), ["Stop"])
      assert.strictEqual(fake.cancelled.length, 1)
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ExecutingFaults", "Stopped"])
    }).pipe(Effect.scoped)
  )

  it.effect("waits for healthy clusters, says why it did not get them, and breaks nothing meanwhile", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      fake.views = [view("a", { groups: [group("a", 1)] })]
      yield* chaos.start(ask({ MaxClusterStabilizationTimeoutInSeconds: 10, WaitTimeBetweenIterationsInSeconds: 5 }))
      yield* pass(9)
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started"])
      yield* pass(3)
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ValidationFailed", "Waiting"])
      const failed = (yield* eventsOf(chaos))[1]!
      assert.isTrue(failed.Kind === "ValidationFailed" && /fabric:\/a\/kv.*node a-m0 is down/.test(failed.Reason))
      assert.strictEqual(fake.all.size, 0)
      fake.views = [view("a")]
      yield* pass(8)
      assert.deepStrictEqual(fake.kinds().slice(0, 1), ["Stop"])
    }).pipe(Effect.scoped)
  )

  it.effect("tells of a guard's no as TestError and goes on", () =>
    Effect.gen(function* () {
      const { driver, fake } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      fake.refuse = new RequestRefused({ code: "FABRIC_E_INVALID_OPERATION", detail: "It is guarded.", refusal: null })
      yield* chaos.start(ask({}))
      yield* pass(2)
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ExecutingFaults", "TestError", "Waiting"])
      const error = (yield* eventsOf(chaos))[2]!
      assert.isTrue(error.Kind === "TestError" && error.Reason.includes("It is guarded."))
    }).pipe(Effect.scoped)
  )

  it.effect("is one of several: another goes on with what was begun, and begins nothing twice", () =>
    Effect.gen(function* () {
      const { driver, fake, store } = yield* world(["a"])
      const one = yield* driver("w1")
      const two = yield* driver("w2")
      yield* one.chaos.start(ask({}))
      yield* pass(2)
      assert.strictEqual(fake.all.size, 1)
      const before = (yield* store.read).driver!
      yield* before.startsWith("w1/") ? one.stop : two.stop
      const { chaos } = before.startsWith("w1/") ? two : one
      yield* pass(12)
      assert.notStrictEqual((yield* store.read).driver, before)
      assert.deepStrictEqual(fake.kinds(), ["Stop", "Start"])
      assert.deepStrictEqual(yield* kindsOf(chaos), ["Started", "ExecutingFaults", "Waiting"])
    }).pipe(Effect.scoped)
  )

  it.effect("is taken over from a dead worker once its right has run out, and ends by its time to run", () =>
    Effect.gen(function* () {
      const { driver, fake, store } = yield* world(["a"])
      const one = yield* driver("w1")
      yield* one.chaos.start(ask({ TimeToRunInSeconds: "20" }))
      yield* pass(2)
      assert.match((yield* store.read).driver!, /^w1\//)
      const two = yield* driver("w2")
      yield* one.crash
      yield* pass(3)
      assert.match((yield* store.read).driver!, /^w1\//)
      yield* pass(10)
      assert.match((yield* store.read).driver!, /^w2\//)
      assert.deepStrictEqual(fake.kinds(), ["Stop", "Start"])
      yield* pass(10)
      assert.deepStrictEqual(yield* kindsOf(two.chaos), ["Started", "ExecutingFaults", "Waiting", "Stopped"])
    }).pipe(Effect.scoped)
  )

  it.effect("follows the schedule: on within its times, once in each", () =>
    Effect.gen(function* () {
      const { driver } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      // A Tuesday, 22:13:20 UTC.
      const at = new Date(begun)
      const time = (minutes: number) => ({ Hour: at.getUTCHours(), Minute: at.getUTCMinutes() + minutes })
      const schedule = {
        StartDate: "2023-01-01T00:00:00Z",
        ExpiryDate: "2030-01-01T00:00:00Z",
        ChaosParametersDictionary: [{ Key: "p", Value: { TimeToRunInSeconds: "30" } }],
        Jobs: [
          { ChaosParameters: "p", Days: { Tuesday: true }, Times: [{ StartTime: time(1), EndTime: time(3) }] },
          { ChaosParameters: "p", Days: { Tuesday: true }, Times: [{ StartTime: time(4), EndTime: time(5) }] }
        ]
      }
      yield* chaos.setSchedule(Result.getOrThrow(readDescription({ Version: 0, Schedule: schedule })))
      assert.strictEqual((yield* chaos.schedule).Version, 1)
      assert.strictEqual(
        yield* codeOf(chaos.setSchedule(Result.getOrThrow(readDescription({ Version: 0, Schedule: schedule })))),
        "E_INVALIDARG"
      )
      assert.strictEqual((yield* chaos.get).scheduleStatus, "Active")
      yield* pass(35)
      assert.deepStrictEqual(yield* kindsOf(chaos), [])
      yield* pass(10)
      assert.strictEqual((yield* chaos.get).status, "Running")
      yield* pass(120)
      const kinds = yield* kindsOf(chaos)
      assert.strictEqual(kinds.filter((kind) => kind === "Started").length, 1)
      assert.strictEqual(kinds.at(-1), "Stopped")
      yield* pass(60)
      assert.strictEqual((yield* kindsOf(chaos)).filter((kind) => kind === "Started").length, 2)
      yield* chaos.stop
      assert.strictEqual((yield* chaos.get).scheduleStatus, "Stopped")
    }).pipe(Effect.scoped)
  )

  it.effect("is refused what names no target, before anything is stored", () =>
    Effect.gen(function* () {
      const { driver } = yield* world(["a"])
      const { chaos } = yield* driver("w1")
      const filtered = ask({ ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/z"] } })
      assert.strictEqual(yield* codeOf(chaos.start(filtered)), "E_INVALIDARG")
      assert.strictEqual((yield* chaos.get).status, "Invalid")
      assert.strictEqual((yield* chaos.schedule).Version, 0)
    }).pipe(Effect.scoped)
  )
})

/** Chaos and the engine of one worker over a simulated cluster. */
const overEngine = Effect.fnUntraced(function* (options: SimulatedCluster.SimulatedClusterOptions) {
  yield* TestClock.setTime(begun)
  const sim = yield* SimulatedCluster.make(options)
  const both = yield* SqliteStore.makeBoth({ path: ":memory:" })
  const clusters = Clusters.of({ all: [sim.cluster] })
  const operations = yield* Engine.make({ workerId: "w1" }).pipe(
    Effect.provideService(OperationStore, Context.get(both, OperationStore)),
    Effect.provideService(Clusters, clusters)
  )
  const chaos = yield* ChaosDriver.make({ workerId: "w1", seed: "a test" }).pipe(
    Effect.provideService(ChaosStore, Context.get(both, ChaosStore)),
    Effect.provideService(Operations, operations),
    Effect.provideService(Clusters, clusters)
  )
  return { sim, operations, chaos }
})

describe("chaos over the engine", () => {
  it.effect("loses the quorum of a simulated cluster where the context allows it, and gives it back", () =>
    Effect.gen(function* () {
      const { chaos, operations, sim } = yield* overEngine({})
      yield* chaos.start(ask({ TimeToRunInSeconds: "120" }))
      yield* pass(5)
      assert.deepStrictEqual(sim.history(), [])
      yield* chaos.stop
      yield* chaos.start(ask({ TimeToRunInSeconds: "40", Context: { Map: { "inquorate.quorumLoss": "allow" } } }))
      yield* pass(6)
      assert.isAbove(sim.standing().length, 0)
      yield* pass(50)
      assert.deepStrictEqual(sim.standing(), [])
      const kinds = yield* kindsOf(chaos)
      assert.strictEqual(kinds.at(-1), "Stopped")
      assert.include(kinds, "ExecutingFaults")
      assert.notInclude(kinds, "TestError")
      assert.isTrue((yield* operations.list(10)).some(({ stage }) => stateOf(stage) === "Completed"))
    }).pipe(Effect.scoped)
  )

  it.effect("restarts members one at a time, and the quorum is there all the while", () =>
    Effect.gen(function* () {
      const { chaos, operations, sim } = yield* overEngine({ restarter: true, nodes: true, members: 5 })
      yield* chaos.start(
        ask({ TimeToRunInSeconds: "60", MaxConcurrentFaults: 3, WaitTimeBetweenIterationsInSeconds: 5 })
      )
      let down = 0
      for (let step = 0; step < 600; step++) {
        yield* Effect.andThen(Effect.andThen(settle, TestClock.adjust(100)), settle)
        const standing = sim.standing().length
        down += standing
        assert.isAtMost(standing, 1)
      }
      yield* pass(20)
      assert.isAbove(down, 0)
      assert.deepStrictEqual(sim.standing(), [])
      const ended = yield* operations.list(100)
      assert.isAbove(ended.length, 3)
      const states = ended.map(({ request, stage }) => [request.kind, stateOf(stage)].join(" "))
      assert.deepStrictEqual([...new Set(states)], ["NodeTransition Completed"])
      const kinds = yield* kindsOf(chaos)
      assert.notInclude(kinds, "TestError")
      assert.notInclude(kinds, "ValidationFailed")
      assert.strictEqual(kinds.at(-1), "Stopped")
    }).pipe(Effect.scoped)
  )
})
