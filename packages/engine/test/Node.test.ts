/**
 * Stories about the stop and the start of a node. All of the node goes, on whatever clusters it is. It stays away for
 * as long as was asked, and comes back by itself. A start brings it back sooner, whoever stopped it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { advance, make, type Operation, standingOrder } from "@inquorate/core/Operation"
import type { FaultRequest, NodeStartRequest, NodeStopRequest } from "@inquorate/core/Request"
import { nodeInstanceId } from "@inquorate/core/Topology"
import { cameFirst } from "../src/plan/Others.ts"
import { lookAtFences } from "../src/watch/Survey.ts"
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
  stored,
  where,
  type World
} from "./World.ts"

const options: SimulatedClusterOptions = { restarter: true, hostLatency: 20 }
const node = "host-m1"
const duration = 300_000

const stop = (change: Partial<NodeStopRequest> = {}): NodeStopRequest => ({
  kind: "NodeTransition",
  transition: "Stop",
  nodeName: node,
  instanceId: nodeInstanceId(node),
  duration,
  ...change
})

const startNode = (change: Partial<NodeStartRequest> = {}): NodeStartRequest => ({
  kind: "NodeTransition",
  transition: "Start",
  nodeName: node,
  instanceId: nodeInstanceId(node),
  ...change
})

const all = (world: World) => [world.sim, ...world.others]
const standing = (world: World): number => all(world).reduce((sum, sim) => sum + sim.standing().length, 0)
const nothingLeft = (world: World): void => all(world).forEach(assertNothingLeft)

/** A node that was stopped, as operation 1, by an engine. */
const stopped = (world: World, worker = "w1") =>
  Effect.gen(function* () {
    const engine = yield* world.engine(worker)
    yield* ask(engine, stop())
    assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
    return engine
  })

describe("the stop of a node", () => {
  it.effect("takes every process on it, of every cluster, and is Completed while it stays away", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options, [{ ...options, name: "stock" }])
      const engine = yield* world.engine("w1", { surveyEvery: 1000 })
      yield* ask(engine, stop())
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.deepStrictEqual(
        all(world).map((sim) => sim.standing().map(({ member }) => member)),
        [["orders/m1"], ["stock/m1"]]
      )
      // The survey of the worker looks every second and must not take it for late.
      yield* pass(duration - 5000)
      assert.strictEqual(standing(world), 2)
      yield* pass(10_000)
      nothingLeft(world)
      for (const sim of all(world)) {
        assert.strictEqual(sim.starts("m1"), 1)
        assert.strictEqual(sim.history().at(-1)?.by, "Keeper")
      }
    })
  )

  it.effect("is not held by the longest hold that the cluster allows", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, maxHold: 1000 })
      const engine = yield* stopped(world)
      assert.strictEqual((yield* evidenceOf(engine)).refusals.length, 0)
    })
  )

  it.effect("goes by the nodes that a cluster tells of", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, nodes: true })
      const engine = yield* world.engine()
      yield* ask(engine, stop({ instanceId: "1000" }))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      yield* ask(engine, startNode({ instanceId: "1000" }), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
      yield* ask(engine, stop({ instanceId: "1000" }), 3)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 3)), "Faulted FABRIC_E_INSTANCE_ID_MISMATCH")
      yield* ask(engine, stop({ instanceId: "1001" }), 4)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 4)), "Completed")
      const [view] = yield* meanwhile(engine.operations.clusters)
      assert.deepStrictEqual(
        view?.nodes?.map(({ name, stopped, up }) => `${name} ${up} ${stopped}`),
        ["host-m0 true false", "host-m1 false true", "host-m2 true false"]
      )
    })
  )

  it.effect("whose keepers are dead is ended and told by a sweep after its time, and not before", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      yield* stopped(world)
      yield* world.sim.set({ keepersDead: true })
      yield* meanwhile(lookAtFences([world.sim.cluster], world.store().now))
      assert.strictEqual(standing(world), 1)
      yield* pass(duration + 2000)
      assert.strictEqual(standing(world), 1)
      yield* meanwhile(lookAtFences([world.sim.cluster], world.store().now))
      assert.strictEqual(standing(world), 0)
      assert.strictEqual(world.sim.history().at(-1)?.by, "Sweep")
      assert.strictEqual(world.sim.starts("m1"), 1)
    })
  )
})

describe("what ended operations have left", () => {
  it.effect("is a node that was stopped, until it is started or its time is over", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* stopped(world)
      const names = Effect.map(engine.operations.aftermath, ({ stoppedNodes }) => stoppedNodes)
      assert.deepStrictEqual(yield* names, [node])
      yield* ask(engine, startNode(), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
      assert.deepStrictEqual(yield* names, [])
      yield* ask(engine, stop(), 3)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 3)), "Completed")
      assert.deepStrictEqual(yield* names, [node])
      yield* pass(duration + 10_000)
      assert.deepStrictEqual(yield* names, [])
    })
  )

  it.effect("is the measured hold of each partition's last loss, also past one that was refused", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      assert.deepStrictEqual((yield* engine.operations.aftermath).lastLosses, [])
      yield* ask(engine, request(world.sim, 3000))
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      yield* world.sim.set({ down: ["m2"] })
      yield* ask(engine, request(world.sim, 3000), 2)
      yield* passUntilEnded(world, 2)
      yield* pass(1000)
      const { hold } = yield* evidenceOf(engine)
      assert.deepStrictEqual((yield* engine.operations.aftermath).lastLosses, [
        { partitionId: world.sim.partitionId, lasted: hold!.measured }
      ])
    })
  )
})

describe("a process that runs without serving", () => {
  it.effect("goes with its node, and one that cannot be ended is no reason to spare the rest", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options, [
        { ...options, name: "stock" },
        { ...options, name: "ledger" }
      ])
      const [stock, ledger] = world.others as [SimulatedCluster, SimulatedCluster]
      yield* stock.set({ down: ["m1"] })
      yield* ledger.set({ down: ["m1"], preflight: { m1: { _tag: "Mistaken", problem: "another process" } } })
      const engine = yield* world.engine()
      yield* ask(engine, stop())
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(
        all(world).map((sim) => sim.standing().length),
        [1, 1, 0]
      )
    })
  )
})

describe("a transition of a node that cannot be", () => {
  for (const [what, fault, code] of [
    ["a stop of a node that is not there", stop({ nodeName: "host-m9" }), "FABRIC_E_NODE_NOT_FOUND"],
    ["a stop of another instance", stop({ instanceId: "7" }), "FABRIC_E_INSTANCE_ID_MISMATCH"],
    ["a start of a node that is not there", startNode({ nodeName: "host-m9" }), "FABRIC_E_NODE_NOT_FOUND"],
    ["a start of a node that is up", startNode(), "FABRIC_E_NODE_IS_UP"]
  ] as const) {
    it.effect(`${what} is Faulted with ${code}, and refused at once where the guards are asked first`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(options)
        const engine = yield* world.engine()
        yield* ask(engine, fault)
        assert.strictEqual(endOf(yield* passUntilEnded(world)), `Faulted ${code}`)
        const refused = yield* meanwhile(Effect.flip(ask(engine, fault, 2, true)))
        assert.strictEqual(refused.code, code)
        assert.strictEqual(world.sim.orders(), 0)
      })
    )
  }

  it.effect("tells a node that is down by itself from one that we stopped", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      yield* world.sim.set({ down: ["m1"] })
      yield* ask(engine, stop(), 1)
      yield* ask(engine, stop({ nodeName: "host-m9" }), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 1)), "Faulted FABRIC_E_NODE_IS_DOWN")
      yield* passUntilEnded(world, 2)
      yield* ask(engine, startNode(), 3)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 3)), "Faulted FABRIC_E_NODE_IS_DOWN")
      yield* world.sim.set({ down: [] })
      yield* ask(engine, stop(), 4)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 4)), "Completed")
      yield* ask(engine, stop(), 5)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 5)), "Faulted FABRIC_E_ALREADY_STOPPED")
    })
  )

  it.effect("is refused where a cluster with members on it is protected, or cannot restart them", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options, [{ ...options, name: "stock", protected: true }])
      const engine = yield* world.engine()
      const refused = yield* meanwhile(Effect.flip(ask(engine, stop(), 1, true)))
      assert.strictEqual(refused.refusal?._tag, "Protected")
      const plain = yield* makeWorld(options, [{ name: "stock" }])
      const other = yield* plain.engine()
      const cannot = yield* meanwhile(Effect.flip(ask(other, stop(), 1, true)))
      assert.strictEqual(cannot.refusal?._tag, "CannotRestart")
      assert.strictEqual(world.sim.orders() + plain.sim.orders(), 0)
    })
  )

  it.effect("is refused at once while another runs on the node, before its id is looked at", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 1000 })
      const engine = yield* world.engine()
      yield* ask(engine, stop())
      for (const n of [1, 2]) {
        const refused = yield* Effect.flip(ask(engine, startNode(), n))
        assert.strictEqual(refused.code, "FABRIC_E_NODE_TRANSITION_IN_PROGRESS")
      }
      yield* passUntilEnded(world)
      const duplicate = yield* Effect.flip(ask(engine, startNode(), 1))
      assert.strictEqual(duplicate.code, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
      yield* ask(engine, stop({ nodeName: "host-m2", instanceId: nodeInstanceId("host-m2") }), 3)
      yield* ask(engine, startNode(), 4)
    })
  )

  it.effect("meets the fences of a quorum loss on its processes, and gives way", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      yield* ask(engine, request(world.sim, 60_000))
      yield* passUntilIn(world, "Holding")
      const fenced = world.sim.standing().map(({ member }) => member)
      assert.include(fenced, "m2")
      const nodeName = "host-m2"
      const lost = stop({ nodeName, instanceId: nodeInstanceId(nodeName) })
      yield* world.sim.set({ goesOn: ["m2"] })
      yield* ask(engine, lost, 2)
      yield* passUntilEnded(world, 2)
      assert.strictEqual(endOf(yield* stored(world, 2)), "Faulted FABRIC_E_INVALID_OPERATION")
      assert.deepStrictEqual(
        (yield* evidenceOf(engine, 2)).refusals.map(({ _tag }) => _tag),
        ["Busy"]
      )
    })
  )
})

describe("two operations that looked up at once", () => {
  it.effect("go by whose order came first where they meet on a process", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const topology = (yield* meanwhile(world.sim.cluster.target.discover))[0]!
      const { name: member, process } = topology.members[1]!
      const fences = [{ member, node, injector: "any", grade: "Keeper" as const, process: process! }]
      const ordered = (n: number, fault: FaultRequest, at: number) =>
        Effect.gen(function* () {
          const made = make(operationId(n), fault, at)
          yield* world.store().create(made)
          const taken = Result.getOrThrow(advance(made, { _tag: "Taken", at }))
          const next = Result.getOrThrow(advance(taken, { _tag: "FencesOrdered", at, fences }))
          const before = yield* world.store().get(made.id)
          yield* world.store().save(before!, next, [], null)
          return next
        })
      const loss = yield* ordered(1, request(world.sim), 1000)
      const stopping = yield* ordered(2, stop(), 1000)
      const later = yield* ordered(3, { ...request(world.sim), partitionId: operationId(9) }, 2000)
      const first = (operation: Operation) =>
        Effect.map(cameFirst(world.store(), operation, standingOrder(operation)!), (other) => other?.id ?? null)
      assert.isNull(yield* first(loss))
      assert.strictEqual(yield* first(stopping), loss.id)
      // Two losses of a quorum may share a process; the stop of its node may not.
      assert.strictEqual(yield* first(later), stopping.id)
    })
  )
})

describe("the start of a node", () => {
  it.effect("ends the stop of it before its time, and is proven in every group on it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options, [{ ...options, name: "stock" }])
      const engine = yield* stopped(world)
      yield* pass(20_000)
      yield* ask(engine, startNode(), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
      nothingLeft(world)
      for (const sim of all(world)) {
        assert.strictEqual(sim.starts("m1"), 1)
        assert.strictEqual(sim.history().at(-1)?.by, "Worker")
        assert.isAbove(sim.acknowledged(), 0)
      }
      const evidence = yield* evidenceOf(engine, 2)
      assert.deepStrictEqual(
        evidence.phases.map(({ phase }) => phase),
        ["Queued", "LookingUpState", "Lifting", "Recovering", "Ended"]
      )
      assert.strictEqual(armings(world.sim), 1)
    })
  )

  it.effect("is obeyed by hosts that have heard a higher epoch of the stop", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 200 })
      for (const worker of ["w1", "w2"]) {
        const engine = yield* world.engine(worker)
        if (worker === "w1") yield* ask(engine, stop())
        yield* passUntilIn(world, "Arming")
        yield* pass(150)
        yield* engine.crash
        yield* pass(5000)
      }
      yield* world.engine("w3")
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(standing(world), 1)
      const last = yield* world.engine("w4")
      yield* ask(last, startNode(), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
      nothingLeft(world)
    })
  )

  for (const [phase, trouble, mended] of [
    ["Lifting", { liftFails: 30 }, { liftFails: 0 }],
    ["Recovering", { recoversNever: true }, { recoversNever: false }]
  ] as const) {
    it.effect(`is carried to its end by another where its worker dies in ${phase}`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(options)
        const first = yield* stopped(world)
        yield* world.sim.set(trouble)
        yield* ask(first, startNode(), 2)
        yield* passUntilIn(world, phase, 2)
        yield* pass(300)
        yield* first.crash
        yield* world.sim.set(mended)
        yield* world.engine("w2")
        assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
        nothingLeft(world)
        assert.strictEqual(world.sim.starts("m1"), 1)
      })
    )

    it.effect(`is Cancelled in ${phase} with the node back all the same`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(options)
        const engine = yield* stopped(world)
        yield* world.sim.set(trouble)
        yield* ask(engine, startNode(), 2)
        yield* passUntilIn(world, phase, 2)
        yield* engine.operations.cancel(operationId(2), false)
        yield* world.sim.set(mended)
        assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Cancelled E_ABORT")
        nothingLeft(world)
      })
    )
  }

  it.effect("that is cancelled by force leaves the node to its time, or to the sweep of its residue", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* stopped(world)
      yield* world.sim.set({ liftFails: 10 })
      yield* ask(engine, startNode(), 2)
      yield* passUntilIn(world, "Lifting", 2)
      yield* engine.operations.cancel(operationId(2), false)
      yield* passUntilIn(world, "UndoingLifting", 2)
      yield* engine.operations.cancel(operationId(2), true)
      assert.strictEqual(endOf(yield* stored(world, 2)), "ForceCancelled E_ABORT")
      yield* pass(30_000)
      nothingLeft(world)
    })
  )
})

describe("the stop of a node whose worker dies", () => {
  it.effect("before its order reached the host is begun anew by another", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 200 })
      const first = yield* world.engine("w1")
      yield* ask(first, stop())
      yield* passUntilIn(world, "Arming")
      yield* first.crash
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assert.strictEqual(armings(world.sim), 1)
      assert.strictEqual(standing(world), 1)
    })
  )

  it.effect("after its order was carried out is Completed by another, which arms nothing", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 200 })
      const first = yield* world.engine("w1")
      yield* ask(first, stop())
      yield* passUntilIn(world, "Arming")
      yield* pass(150)
      yield* first.crash
      assert.strictEqual(where(yield* stored(world)), "Arming")
      yield* world.engine("w2")
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(endOf(ended), "Completed")
      assert.strictEqual(ended.attempt, 1)
      assert.strictEqual(armings(world.sim), 1)
      assert.strictEqual(standing(world), 1)
    })
  )
})

describe("a cancel of the stop of a node", () => {
  it.effect("while it is armed brings the node back, and comes too late once it is stopped", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 200 })
      const engine = yield* world.engine()
      yield* ask(engine, stop())
      yield* passUntilIn(world, "Arming")
      yield* pass(150)
      assert.strictEqual(standing(world), 1)
      yield* engine.operations.cancel(operationId(1), false)
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Cancelled E_ABORT")
      nothingLeft(world)
      assert.isTrue((yield* evidenceOf(engine)).verdicts.some(({ outcome }) => outcome === "Confirmed"))
      yield* ask(engine, stop(), 2)
      assert.strictEqual(endOf(yield* passUntilEnded(world, 2)), "Completed")
      const refused = yield* Effect.flip(engine.operations.cancel(operationId(2), false))
      assert.strictEqual(refused.code, "FABRIC_E_KEY_NOT_FOUND")
    })
  )

  it.effect("by force ends at once, and the residue is swept before the node's time is over", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, hostLatency: 100 })
      const engine = yield* world.engine()
      yield* ask(engine, stop())
      yield* passUntilIn(world, "Arming")
      yield* pass(60)
      yield* world.sim.set({ liftFails: 10 })
      yield* engine.operations.cancel(operationId(1), false)
      yield* passUntilIn(world, "UndoingLifting")
      yield* engine.operations.cancel(operationId(1), true)
      assert.strictEqual(endOf(yield* stored(world)), "ForceCancelled E_ABORT")
      const refused = yield* meanwhile(Effect.flip(ask(engine, startNode(), 2, true)))
      assert.strictEqual(refused.refusal?._tag, "Busy")
      yield* pass(30_000)
      nothingLeft(world)
    })
  )
})
