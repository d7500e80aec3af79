/**
 * The suite that every `Injector` passes, the simulated one too. A fence stands from the answer of `arm` until its lift
 * or its deadline. It ends by itself and is never prolonged. No late, repeated or outranked order touches anything. The
 * suite asserts order and states; its bounds on time are generous, for a busy machine.
 */
import { randomUUID } from "node:crypto"
import { type FenceId, type FenceOrder, type FenceState, type Injector, InjectorError } from "@inquorate/core/Injector"
import type { Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { factor, within } from "./Pace.ts"

/** An injector with something to act on. */
export interface InjectorBench {
  readonly injector: Injector
  /** A running replica that nothing else acts on, for one test. It is gone at the end of the scope. */
  readonly start: Effect.Effect<{ readonly member: string; readonly process: ProcessRef }, never, Scope.Scope>
  /**
   * The process that the replica is now, for a mechanism that gives it a new one. Where this is left out, it is
   * `process`.
   */
  readonly current?: (replica: { readonly member: string; readonly process: ProcessRef }) => Effect.Effect<ProcessRef>
  /** True while the replica runs, false while it is held. */
  readonly runs: (replica: { readonly member: string; readonly process: ProcessRef }) => Effect.Effect<boolean>
  /** Kills every process of ours that stands by for a prepared fence; left out where there is none. */
  readonly killKeepers?: (fence: FenceId) => Effect.Effect<void>
}

/**
 * Registers the suite and runs `make` once for each test. `clock` is `live` for an injector of real processes. It is
 * `test` for one that lives on the `TestClock`, which then runs on by itself for as long as a test lasts.
 */
export const injectorContract = <E>(
  name: string,
  make: Effect.Effect<InjectorBench, E, Scope.Scope>,
  { clock }: { readonly clock: "live" | "test" }
): void => {
  const law = (sentence: string, body: (scene: Scene) => Effect.Effect<void, InjectorError, Scope.Scope>): void => {
    const test = Effect.gen(function* () {
      const bench = yield* make
      const replica = yield* bench.start
      yield* body(sceneOf(bench, replica, randomUUID()))
    })
    if (clock === "live") it.live(sentence, () => test)
    else it.effect(sentence, () => Effect.raceFirst(test, Effect.forever(TestClock.adjust(1))))
  }

  describe(name, () => {
    for (const [sentence, body] of laws) law(sentence, body)
  })
}

// --- internal ---

interface Scene {
  readonly injector: Injector
  readonly host: string
  readonly fence: (attempt: number) => FenceId
  readonly killKeepers: InjectorBench["killKeepers"]
  readonly runs: Effect.Effect<boolean>
  readonly order: (changes?: {
    readonly attempt?: number
    readonly epoch?: number
    readonly hold?: Millis
    readonly late?: Millis
  }) => Effect.Effect<FenceOrder>
  /** The state once the fence is off. The test fails where the fence stays on. */
  readonly awaitLifted: (fence: FenceId) => Effect.Effect<Lifted, InjectorError>
}

type Lifted = typeof FenceState.cases.Lifted.Type

const sceneOf = (
  bench: InjectorBench,
  replica: { readonly member: string; readonly process: ProcessRef },
  operationId: string
): Scene => {
  const { injector } = bench
  const host = replica.process.host
  const fence = (attempt: number): FenceId => ({ operationId, attempt, member: replica.member })
  return {
    injector,
    host,
    fence,
    killKeepers: bench.killKeepers,
    runs: bench.runs(replica),
    order: ({ attempt = 1, epoch = 1, hold = within(20_000), late } = {}) =>
      Effect.gen(function* () {
        const now = Math.floor(yield* Clock.currentTimeMillis)
        const monotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
        return {
          fence: fence(attempt),
          process: bench.current === undefined ? replica.process : yield* bench.current(replica),
          epoch,
          deadline: now + hold,
          startByMonotonic: late === undefined ? monotonic + 10_000 * factor : monotonic - late
        }
      }),
    awaitLifted: Effect.fnUntraced(function* (fence) {
      for (let turn = 0; turn < 200 * factor; turn++) {
        const state = yield* injector.inspect(host, fence, 1)
        if (state._tag === "Lifted") return state
        yield* Effect.sleep(100)
      }
      return assert.fail("the fence did not end by itself in time")
    })
  }
}

const refused = (
  attempt: Effect.Effect<unknown, InjectorError>,
  reason: InjectorError["reason"] = "OrderRefused"
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(attempt).pipe(Effect.orElseSucceed(() => undefined))
    assert.instanceOf(error, InjectorError, "it was not refused")
    assert.strictEqual(error.reason, reason, error.detail)
  })

// `ago` grows from one answer to the next; everything else stays the same.
const isSameEnd = (later: FenceState, { ago: before, ...first }: Lifted): void => {
  if (later._tag !== "Lifted") return assert.fail(`it is ${later._tag}`)
  const { ago, ...rest } = later
  assert.deepStrictEqual(rest, first)
  assert.strictEqual(ago === undefined, before === undefined)
  assert.isAtLeast(ago ?? 0, before ?? 0)
}

const laws: ReadonlyArray<
  readonly [sentence: string, body: (scene: Scene) => Effect.Effect<void, InjectorError, Scope.Scope>]
> = [
  [
    "looks at a process without touching it",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      const preflight = yield* scene.injector.preflight(order.process)
      assert.strictEqual(preflight._tag, "Ready", JSON.stringify(preflight))
      assert.isTrue(yield* scene.runs)
      assert.strictEqual((yield* scene.injector.inspect(scene.host, scene.fence(1), 1))._tag, "Absent")
    })
  ],
  [
    "holds what it armed until the lift, and tells the same end however often it is lifted",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      const armed = yield* scene.injector.arm(order)
      assert.isFalse(yield* scene.runs)
      assert.isAtLeast(armed.processes, 1)
      assert.strictEqual(armed.deadline, order.deadline)
      const seen = yield* scene.injector.inspect(scene.host, order.fence, 1)
      assert.deepStrictEqual(seen, armed)
      const lifted = yield* scene.injector.lift(scene.host, order.fence, 1)
      assert.isTrue(yield* scene.runs)
      assert.strictEqual(lifted.by, "Worker")
      assert.isFalse(lifted.broken)
      assert.isAtLeast(lifted.offAt, armed.armedAt)
      isSameEnd(yield* scene.injector.lift(scene.host, order.fence, 1), lifted)
      isSameEnd(yield* scene.injector.inspect(scene.host, order.fence, 1), lifted)
    })
  ],
  [
    "ends a fence by itself at its deadline, not before, and a lift that comes after changes nothing",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order({ hold: within(3000) })
      const armed = yield* scene.injector.arm(order)
      assert.isFalse(yield* scene.runs)
      const lifted = yield* scene.awaitLifted(order.fence)
      assert.isTrue(yield* scene.runs)
      assert.include(["Keeper", "Kernel"], lifted.by)
      assert.isAtLeast(lifted.offAt, Math.max(armed.armedAt, order.deadline - 500))
      isSameEnd(yield* scene.injector.lift(scene.host, order.fence, 1), lifted)
    })
  ],
  [
    "refuses an order that was given before, while its fence stands and after",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      yield* scene.injector.arm(order)
      yield* refused(scene.injector.arm(order))
      assert.strictEqual((yield* scene.injector.inspect(scene.host, order.fence, 1))._tag, "Armed")
      yield* scene.injector.lift(scene.host, order.fence, 1)
      yield* refused(scene.injector.arm(order))
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "refuses an order that comes late and touches nothing, and takes it when it comes again in time",
    Effect.fnUntraced(function* (scene) {
      yield* refused(scene.injector.arm(yield* scene.order({ late: 1000 })), "Late")
      yield* refused(scene.injector.arm(yield* scene.order({ late: 500 })), "Late")
      assert.isTrue(yield* scene.runs)
      assert.notStrictEqual((yield* scene.injector.inspect(scene.host, scene.fence(1), 1))._tag, "Armed")
      const order = yield* scene.order()
      yield* scene.injector.arm(order)
      assert.isFalse(yield* scene.runs)
      yield* refused(scene.injector.arm(order))
      yield* scene.injector.lift(scene.host, order.fence, 1)
      yield* refused(scene.injector.arm(order))
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "refuses an order whose deadline has passed",
    Effect.fnUntraced(function* (scene) {
      yield* refused(scene.injector.arm(yield* scene.order({ hold: -1000 })))
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "refuses an order below an epoch that an inspection made known",
    Effect.fnUntraced(function* (scene) {
      assert.strictEqual((yield* scene.injector.inspect(scene.host, scene.fence(1), 3))._tag, "Absent")
      yield* refused(scene.injector.arm(yield* scene.order({ epoch: 2 })))
      assert.isTrue(yield* scene.runs)
      yield* scene.injector.arm(yield* scene.order({ attempt: 2, epoch: 3 }))
      assert.isFalse(yield* scene.runs)
      yield* scene.injector.lift(scene.host, scene.fence(2), 3)
    })
  ],
  [
    "obeys no earlier owner of a standing fence",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      yield* scene.injector.arm(order)
      assert.strictEqual((yield* scene.injector.inspect(scene.host, order.fence, 2))._tag, "Armed")
      yield* refused(scene.injector.lift(scene.host, order.fence, 1))
      yield* refused(scene.injector.tighten(scene.host, order.fence, 1, order.deadline - 10_000))
      assert.isFalse(yield* scene.runs)
      assert.strictEqual((yield* scene.injector.lift(scene.host, order.fence, 2)).by, "Worker")
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "marks a fence that is lifted unarmed, so that its order can never arm it",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      const lifted = yield* scene.injector.lift(scene.host, order.fence, 1)
      yield* refused(scene.injector.arm(order))
      assert.isTrue(yield* scene.runs)
      isSameEnd(yield* scene.injector.inspect(scene.host, order.fence, 1), lifted)
    })
  ],
  [
    "brings a deadline forward, never back",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      yield* scene.injector.arm(order)
      const nearer = (yield* scene.order({ hold: within(2500) })).deadline
      yield* scene.injector.tighten(scene.host, order.fence, 1, nearer)
      yield* scene.injector.tighten(scene.host, order.fence, 1, nearer)
      yield* refused(scene.injector.tighten(scene.host, order.fence, 1, order.deadline))
      const state = yield* scene.injector.inspect(scene.host, order.fence, 1)
      assert.strictEqual(state._tag === "Armed" && state.deadline, nearer)
      const lifted = yield* scene.awaitLifted(order.fence)
      assert.include(["Keeper", "Kernel"], lifted.by)
      assert.isBelow(lifted.offAt, order.deadline)
      assert.isTrue(yield* scene.runs)
      yield* refused(scene.injector.tighten(scene.host, order.fence, 1, nearer - 1))
    })
  ],
  [
    "tells of a standing fence in a sweep and leaves it alone",
    Effect.fnUntraced(function* (scene) {
      const order = yield* scene.order()
      const armed = yield* scene.injector.arm(order)
      for (const clear of [false, true]) {
        const reports = yield* scene.injector.sweep(scene.host, { clear })
        const report = reports.find(({ fence }) => fence.operationId === order.fence.operationId)
        assert.deepStrictEqual(report, {
          fence: order.fence,
          host: scene.host,
          injector: scene.injector.name,
          state: armed
        })
        assert.isFalse(yield* scene.runs)
      }
      yield* scene.injector.lift(scene.host, order.fence, 1)
    })
  ],
  [
    "arms again and again for new attempts",
    Effect.fnUntraced(function* (scene) {
      for (let attempt = 1; attempt <= 3; attempt++) {
        yield* scene.injector.arm(yield* scene.order({ attempt }))
        assert.isFalse(yield* scene.runs)
        yield* scene.injector.lift(scene.host, scene.fence(attempt), 1)
        assert.isTrue(yield* scene.runs)
      }
    })
  ],
  [
    "touches nothing by making ready, applies all at one go, and refuses the same go again",
    Effect.fnUntraced(function* (scene) {
      if (scene.injector.prepare === undefined) return
      const order = yield* scene.order()
      const prepared = yield* scene.injector.prepare(scene.host, [order], 60_000)
      assert.isTrue(yield* scene.runs)
      assert.notStrictEqual((yield* scene.injector.inspect(scene.host, order.fence, 1))._tag, "Armed")
      const [armed] = yield* prepared.go(order)
      assert.isTrue(armed !== undefined && Result.isSuccess(armed), JSON.stringify(armed))
      assert.isFalse(yield* scene.runs)
      const [again] = yield* prepared.go(order)
      assert.isTrue(again !== undefined && Result.isFailure(again) && again.failure.reason === "OrderRefused")
      yield* refused(scene.injector.arm(order))
      assert.isFalse(yield* scene.runs)
      assert.strictEqual((yield* scene.injector.lift(scene.host, order.fence, 1)).by, "Worker")
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "refuses a go that comes late, touches nothing by it, and obeys one that comes in time after that",
    Effect.fnUntraced(function* (scene) {
      if (scene.injector.prepare === undefined) return
      const order = yield* scene.order()
      const prepared = yield* scene.injector.prepare(scene.host, [order], 60_000)
      for (const late of [1000, 500]) {
        const [answer] = yield* prepared.go(yield* scene.order({ late }))
        assert.isTrue(answer !== undefined && Result.isFailure(answer) && answer.failure.reason === "Late")
        assert.isTrue(yield* scene.runs)
      }
      const [armed] = yield* prepared.go(yield* scene.order())
      assert.isTrue(armed !== undefined && Result.isSuccess(armed), JSON.stringify(armed))
      assert.isFalse(yield* scene.runs)
      yield* scene.injector.lift(scene.host, order.fence, 1)
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "refuses a go of an earlier owner, and one for what was lifted",
    Effect.fnUntraced(function* (scene) {
      if (scene.injector.prepare === undefined) return
      const order = yield* scene.order()
      const prepared = yield* scene.injector.prepare(scene.host, [order], 60_000)
      yield* scene.injector.inspect(scene.host, order.fence, 3)
      const [old] = yield* prepared.go(order)
      assert.isTrue(old !== undefined && Result.isFailure(old) && old.failure.reason === "OrderRefused")
      yield* scene.injector.lift(scene.host, order.fence, 3)
      const [lifted] = yield* prepared.go({ ...order, epoch: 3 })
      assert.isTrue(lifted !== undefined && Result.isFailure(lifted))
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "gives the place of what an earlier owner made ready to the next attempt, and refuses the old go",
    Effect.fnUntraced(function* (scene) {
      if (scene.injector.prepare === undefined) return
      const old = yield* scene.order()
      const forgotten = yield* scene.injector.prepare(scene.host, [old], 60_000)
      const order = yield* scene.order({ attempt: 2, epoch: 2 })
      const prepared = yield* scene.injector.prepare(scene.host, [order], 60_000)
      const [armed] = yield* prepared.go(order)
      assert.isTrue(armed !== undefined && Result.isSuccess(armed), JSON.stringify(armed))
      const [late] = yield* forgotten.go(old)
      assert.isTrue(late !== undefined && Result.isFailure(late) && late.failure.reason === "OrderRefused")
      assert.isFalse(yield* scene.runs)
      for (const fence of [order.fence, old.fence]) yield* scene.injector.lift(scene.host, fence, 2)
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "lets go what is not wanted any more at any moment of its being made ready, so that another operation has the place",
    Effect.fnUntraced(function* (scene) {
      const { host, injector } = scene
      if (injector.prepare === undefined) return
      const ofAnother = Effect.map(scene.order(), (order): FenceOrder => ({
        ...order,
        fence: { ...order.fence, operationId: randomUUID() }
      }))
      for (const after of [0, 5, 10, 20, 40]) {
        const scope = yield* Scope.make()
        const preparing = yield* injector
          .prepare(host, [yield* ofAnother], 60_000)
          .pipe(Scope.provide(scope), Effect.forkIn(scope))
        yield* Effect.sleep(after)
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.await(preparing)
        const order = yield* ofAnother
        const prepared = yield* Effect.result(Effect.scoped(injector.prepare(host, [order], 60_000)))
        assert.isTrue(Result.isSuccess(prepared), `let go after ${after} ms: ${JSON.stringify(prepared)}`)
      }
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "undoes by itself what hears no go, is never applied then, and keeps the place from nobody",
    Effect.fnUntraced(function* (scene) {
      if (scene.injector.prepare === undefined) return
      const order = yield* scene.order()
      const prepared = yield* scene.injector.prepare(scene.host, [order], 2000 * factor)
      let state = yield* scene.injector.inspect(scene.host, order.fence, 1)
      for (let turn = 0; turn < 200 * factor && state._tag !== "Refused"; turn++) {
        yield* Effect.sleep(100)
        state = yield* scene.injector.inspect(scene.host, order.fence, 1)
      }
      assert.strictEqual(state._tag, "Refused")
      assert.include(state._tag === "Refused" ? state.problem : "", "never applied")
      const [late] = yield* prepared.go(yield* scene.order())
      assert.isTrue(late !== undefined && Result.isFailure(late))
      assert.isTrue(yield* scene.runs)
      yield* scene.injector.arm(yield* scene.order({ attempt: 2 }))
      assert.isFalse(yield* scene.runs)
      yield* scene.injector.lift(scene.host, scene.fence(2), 1)
    })
  ],
  [
    "keeps no place by what was prepared and killed: it is applied by a go, or undone, or never applied",
    Effect.fnUntraced(function* (scene) {
      const { injector, killKeepers } = scene
      if (injector.prepare === undefined || killKeepers === undefined) return
      const order = yield* scene.order()
      const prepared = yield* injector.prepare(scene.host, [order], 60_000)
      yield* killKeepers(order.fence)
      const [answer] = yield* prepared.go(yield* scene.order())
      const isApplied = answer !== undefined && Result.isSuccess(answer)
      assert.strictEqual(yield* scene.runs, !isApplied, JSON.stringify(answer))
      if (isApplied) yield* injector.lift(scene.host, order.fence, 1)
      const unheard = yield* scene.order({ attempt: 2 })
      yield* injector.prepare(scene.host, [unheard], 60_000)
      yield* killKeepers(unheard.fence)
      assert.isTrue(yield* scene.runs)
      yield* injector.lift(scene.host, unheard.fence, 1)
      yield* refused(injector.arm(unheard))
      yield* injector.arm(yield* scene.order({ attempt: 3 }))
      assert.isFalse(yield* scene.runs)
      yield* injector.lift(scene.host, scene.fence(3), 1)
      assert.isTrue(yield* scene.runs)
    })
  ],
  [
    "lets go what was prepared when nobody wants it any more",
    Effect.fnUntraced(function* (scene) {
      const { prepare } = scene.injector
      if (prepare === undefined) return
      yield* Effect.scoped(Effect.flatMap(scene.order(), (order) => prepare(scene.host, [order], 60_000)))
      assert.isTrue(yield* scene.runs)
      yield* scene.injector.arm(yield* scene.order({ attempt: 2 }))
      assert.isFalse(yield* scene.runs)
      yield* scene.injector.lift(scene.host, scene.fence(2), 1)
    })
  ]
]
