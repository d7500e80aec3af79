/**
 * A world for stories about the engine: a simulated cluster, one store file, and engines that can be stopped politely,
 * crashed (nothing of them reaches the store or a host any more) or frozen and thawed. Time is the test's.
 */
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Clusters } from "@inquorate/core/Cluster"
import type { Evidence } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import { grace, isTerminal, type Operation } from "@inquorate/core/Operation"
import type { Operations, RequestRefused } from "@inquorate/core/Operations"
import { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { FaultRequest } from "@inquorate/core/Request"
import { stateOf } from "@inquorate/core/Wire"
import * as Engine from "@inquorate/engine/Engine"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"

export type Service = OperationStore["Service"]

export interface RunningEngine {
  readonly operations: Operations["Service"]
  /** A polite stop: operations are handed over. */
  readonly stop: Effect.Effect<void>
  /** A power cut for this engine. */
  readonly crash: Effect.Effect<void>
  /** SIGSTOP: no timer of the engine fires and nothing it says reaches the store. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** A machine with other work: from now on every timer of the engine fires so much late. */
  readonly late: (by: number) => void
  /** A store with other work: from now on it takes so much longer to store what a drive moved. */
  readonly slowSaves: (by: number) => void
  /** The same for the questions how one operation stands. No hint of a change is heard any more. */
  readonly slowGets: (by: number) => void
}

export interface World {
  readonly sim: SimulatedCluster.SimulatedCluster
  readonly others: ReadonlyArray<SimulatedCluster.SimulatedCluster>
  readonly store: () => Service
  /** `ahead` is how far the engine's own wall clock is ahead of the store's. */
  readonly engine: (
    worker?: string,
    options?: Partial<Engine.EngineOptions>,
    ahead?: number
  ) => Effect.Effect<RunningEngine>
  /** Closes the store's file and opens it again, as a restarted process does. */
  readonly reopen: Effect.Effect<void, StoreError>
}

export const operationId = (n: number): Guid => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`

// Only processes crash in these worlds, never the machine: their stores stand in memory, where no commit waits for a disk.
const memory = "/dev/shm"
const folderOfWorlds = fs.existsSync(memory) ? memory : os.tmpdir()

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(folderOfWorlds, "inquorate-engine-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
)

/** Lets every fiber that can run do so, without time passing. */
export const settle = Effect.forEach(Array.from({ length: 40 }), () => Effect.yieldNow, { discard: true })

/** Lets time pass. */
export const pass = (millis: number): Effect.Effect<void> =>
  Effect.andThen(Effect.andThen(settle, TestClock.adjust(millis)), settle)

/** Lets time pass until a question is answered, as the cluster takes its time to. */
export const meanwhile = <A, E>(asked: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(asked)
    for (let turn = 0; turn < 500 && fiber.pollUnsafe() === undefined; turn++) yield* pass(10)
    return yield* Fiber.join(fiber)
  })

/** Lets time pass until something is so; fails the test when it is not within `atMost` milliseconds. */
export const passUntil = (
  what: string,
  so: Effect.Effect<boolean, RequestRefused | StoreError>,
  atMost = 120_000,
  step = 20
): Effect.Effect<void, RequestRefused | StoreError> =>
  Effect.gen(function* () {
    for (let passed = 0; passed <= atMost; passed += step) {
      yield* settle
      if (yield* so) return
      yield* TestClock.adjust(step)
    }
    assert.fail(`it never came to this: ${what}`)
  })

export const makeWorld = (
  options: SimulatedCluster.SimulatedClusterOptions = {},
  extra: ReadonlyArray<SimulatedCluster.SimulatedClusterOptions> = [],
  queueBound = 10_000
): Effect.Effect<World, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* TestClock.setTime(1_700_000_000_000)
    const directory = yield* temporary
    const outer = yield* Effect.scope
    const sim = yield* SimulatedCluster.make(options)
    const others = yield* Effect.forEach(extra, SimulatedCluster.make)
    const all = [sim, ...others].map(({ cluster }) => cluster)
    let scope = yield* Scope.fork(outer)
    // The store's clock is nobody's own: as with a database that several workers share.
    const storeClock = yield* Clock.Clock
    const now = Effect.sync(() => storeClock.currentTimeMillisUnsafe())
    const openStore = Effect.suspend(() =>
      Scope.provide(SqliteStore.make({ path: path.join(directory, "store.db"), queueBound, now }), scope)
    )
    let store = yield* openStore
    return {
      sim,
      others,
      store: () => store,
      reopen: Effect.gen(function* () {
        yield* Scope.close(scope, Exit.void)
        scope = yield* Scope.fork(outer)
        store = yield* openStore
      }),
      engine: (worker = "w1", engineOptions = {}, ahead = 0) =>
        Effect.gen(function* () {
          const own = yield* Scope.fork(outer)
          const gate = makeGate()
          const clock = yield* Clock.clockWith((base) => Effect.succeed(freezable(base, gate, ahead)))
          const operations = yield* Scope.provide(Engine.make({ workerId: worker, ...engineOptions }), own).pipe(
            Effect.provideService(OperationStore, gated(store, gate)),
            Effect.provideService(Clusters, Clusters.of({ all })),
            Effect.provideService(Clock.Clock, clock)
          )
          yield* settle
          return {
            operations,
            stop: Effect.andThen(Scope.close(own, Exit.void), settle),
            crash: Effect.gen(function* () {
              gate.dead = true
              yield* gate.thawed.open
              yield* Scope.close(own, Exit.void)
              yield* settle
            }),
            freeze: Effect.asVoid(gate.thawed.close),
            thaw: Effect.andThen(gate.thawed.open, settle),
            late: (by) => void (gate.late = by),
            slowSaves: (by) => void (gate.slowSave = by),
            slowGets: (by) => void (gate.slowGet = by)
          }
        })
    }
  })

export const request = (sim: SimulatedCluster.SimulatedCluster, hold = 3000) => ({
  kind: "PartitionQuorumLoss" as const,
  serviceName: sim.serviceName,
  partitionId: sim.partitionId,
  mode: "QuorumReplicas" as const,
  hold
})

export const start = (
  engine: RunningEngine,
  sim: SimulatedCluster.SimulatedCluster,
  n = 1,
  hold = 3000
): Effect.Effect<Operation, RequestRefused> =>
  engine.operations.start(operationId(n), request(sim, hold), { guard: false, maxHold: "configured" })

/** Asks for any fault. */
export const ask = (
  engine: RunningEngine,
  fault: FaultRequest,
  n = 1,
  guard = false
): Effect.Effect<Operation, RequestRefused> =>
  engine.operations.start(operationId(n), fault, { guard, maxHold: "configured" })

/** The words for where an operation stands: its phase while it is under way, its wire state once it has ended. */
export const where = (operation: Operation): string => {
  const { stage } = operation
  if (stage._tag === "Undoing") return `Undoing${stage.phase}`
  if (stage._tag !== "Advancing") return stateOf(stage)
  return stage.step._tag === "PerformingActions" ? stage.step.phase._tag : stage.step._tag
}

export const stored = (world: World, n = 1): Effect.Effect<Operation, StoreError> =>
  Effect.map(world.store().get(operationId(n)), (found) => found!.operation)

export const passUntilIn = (
  world: World,
  place: string,
  n = 1,
  step = 5
): Effect.Effect<void, RequestRefused | StoreError> =>
  passUntil(
    `operation ${n} is in ${place}`,
    Effect.map(stored(world, n), (operation) => where(operation) === place),
    120_000,
    step
  )

export const passUntilEnded = (world: World, n = 1): Effect.Effect<Operation, RequestRefused | StoreError> =>
  Effect.andThen(passUntil(`operation ${n} has ended`, Effect.map(stored(world, n), isTerminal)), stored(world, n))

/** How an operation ended: its state, and the code where it did not complete. */
export const endOf = ({ stage }: Operation): string =>
  stage._tag === "Failed" ? `${stateOf(stage)} ${stage.error}` : stateOf(stage)

export const evidenceOf = (engine: RunningEngine, n = 1): Effect.Effect<Evidence, RequestRefused> =>
  Effect.map(engine.operations.detail(operationId(n)), ({ evidence }) => evidence)

/** The promise of every story: nothing of ours stands, and nothing stood past its tightest deadline and the grace. */
export const assertNothingLeft = (sim: SimulatedCluster.SimulatedCluster): void => {
  assert.deepStrictEqual(sim.standing(), [])
  for (const { at, deadline, what } of sim.history()) if (what === "Lifted") assert.isAtMost(at, deadline + grace)
}

export const armings = (sim: SimulatedCluster.SimulatedCluster): number =>
  sim.history().filter(({ what }) => what === "Armed").length

// --- internal ---

interface Gate {
  dead: boolean
  late: number
  slowSave: number
  slowGet: number
  readonly thawed: Latch.Latch
}

const makeGate = (): Gate => ({ dead: false, late: 0, slowSave: 0, slowGet: 0, thawed: Latch.makeUnsafe(true) })

const freezable = (base: Clock.Clock, gate: Gate, ahead: number): Clock.Clock => ({
  currentTimeMillisUnsafe: () => base.currentTimeMillisUnsafe() + ahead,
  currentTimeMillis: Effect.map(base.currentTimeMillis, (now) => now + ahead),
  currentTimeNanosUnsafe: () => base.currentTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n,
  currentTimeNanos: base.currentTimeNanos,
  monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe(),
  monotonicTimeNanos: base.monotonicTimeNanos,
  sleep: (duration) =>
    Effect.andThen(
      Effect.suspend(() => base.sleep(Duration.sum(duration, Duration.millis(gate.late)))),
      gate.thawed.await
    )
})

const gated = (store: Service, gate: Gate): Service => {
  const through = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.andThen(
      gate.thawed.await,
      Effect.suspend(() =>
        gate.dead ? Effect.fail(new StoreError({ reason: "Unavailable", detail: "the power is cut" })) : effect
      )
    )
  const after = <A>(slow: number, effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    slow === 0 ? effect : Effect.andThen(Effect.sleep(slow), effect)
  return OperationStore.of({
    now: through(store.now),
    create: (operation) => through(store.create(operation)),
    get: (id) => through(Effect.suspend(() => after(gate.slowGet, store.get(id)))),
    list: (query) => through(store.list(query)),
    holding: through(store.holding),
    rivals: (subject, elsewhere) => through(store.rivals(subject, elsewhere)),
    unreadable: through(store.unreadable),
    census: through(store.census),
    evidence: (id, from) => through(store.evidence(id, from)),
    save: (before, operation, entries, as) =>
      through(Effect.suspend(() => after(gate.slowSave, store.save(before, operation, entries, as)))),
    append: (id, entries, as) => through(store.append(id, entries, as)),
    heartbeat: (worker, lease) => through(store.heartbeat(worker, lease)),
    claim: (worker, limit, reaches) => through(store.claim(worker, limit, reaches)),
    release: (worker) => through(store.release(worker)),
    prune: (keepAtMost, endedBefore) => through(store.prune(keepAtMost, endedBefore)),
    changes: Stream.filter(store.changes, () => gate.slowGet === 0)
  })
}
