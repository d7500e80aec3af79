/**
 * Stories about the plan of every kind of fault: it goes through the guards of a start, tells the fences that would be
 * ordered, and neither stores nor touches anything.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { FaultRequest, NodeRequest, NodeStopRequest, RestartMode } from "@inquorate/core/Request"
import { nodeInstanceId } from "@inquorate/core/Topology"
import type { SimulatedClusterOptions } from "@inquorate/testkit/SimulatedCluster"
import {
  armings,
  ask,
  endOf,
  type RunningEngine,
  makeWorld,
  meanwhile,
  operationId,
  passUntilEnded,
  passUntilIn,
  request,
  type World
} from "./World.ts"

const options: SimulatedClusterOptions = { restarter: true, hostLatency: 20 }
const nodeName = "host-m1"
const about = { kind: "NodeTransition", nodeName, instanceId: nodeInstanceId(nodeName) } as const
const stop: NodeStopRequest = { ...about, transition: "Stop", duration: 300_000 }
const begin: NodeRequest = { ...about, transition: "Start" }

const of = ({ sim }: World) => ({ serviceName: sim.serviceName, partitionId: sim.partitionId })
const restart = (world: World, mode: RestartMode): FaultRequest => ({ kind: "PartitionRestart", ...of(world), mode })
const loss = (world: World): FaultRequest => ({ kind: "PartitionDataLoss", ...of(world), mode: "FullDataLoss" })

/** The members that a fault would act on, or the tag of its refusal. */
const planned = ({ operations }: RunningEngine, asked: FaultRequest) =>
  Effect.map(meanwhile(operations.plan(asked)), ({ fences, refusal }) =>
    refusal === null ? fences.map(({ injector, member }) => `${member} by ${injector}`) : refusal._tag
  )

describe("the plan of", () => {
  it.effect("a restart has the fences of the mechanism that ends members, and stores and touches nothing", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      const preview = yield* meanwhile(engine.operations.plan(restart(world, "OnlyActiveSecondaries")))
      const by = world.sim.cluster.restarter?.name
      assert.deepStrictEqual(
        preview.fences.map(({ injector, member }) => [member, injector]),
        [
          ["m1", by],
          ["m2", by]
        ]
      )
      assert.strictEqual(preview.topology?.partitionId, world.sim.partitionId)
      assert.isNull(preview.plan)
      assert.strictEqual(preview.notes.length, 1)
      assert.strictEqual((yield* planned(engine, restart(world, "AllReplicasOrInstances"))).length, 3)
      assert.deepStrictEqual(yield* engine.operations.list(10), [])
      assert.strictEqual(world.sim.acknowledged(), 0)
      assert.strictEqual(armings(world.sim), 0)
    })
  )

  it.effect("a quorum loss tells the same fences as its arithmetic", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      const { fences, plan } = yield* meanwhile(engine.operations.plan(request(world.sim)))
      assert.strictEqual(fences.length, 2)
      assert.deepStrictEqual(fences, plan?.fences)
    })
  )

  it.effect("a restart is refused where no mechanism ends members, as the start of one is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const engine = yield* world.engine()
      assert.strictEqual(yield* planned(engine, restart(world, "AllReplicasOrInstances")), "CannotRestart")
      assert.strictEqual(yield* planned(engine, stop), "CannotRestart")
    })
  )

  it.effect("a data loss has no fence, and is refused where the system's data is not given up", () =>
    Effect.gen(function* () {
      const losing = yield* makeWorld({ loses: true, service: {} })
      const preview = yield* meanwhile((yield* losing.engine()).operations.plan(loss(losing)))
      assert.isNull(preview.refusal)
      assert.deepStrictEqual(preview.fences, [])
      assert.match(preview.notes.join(), /FullDataLoss/)
      assert.strictEqual(losing.sim.dataLosses(), 0)
      const keeping = yield* makeWorld(options)
      assert.strictEqual(yield* planned(yield* keeping.engine(), loss(keeping)), "DataProtected")
    })
  )

  it.effect("a node's stop has every process on it, and of its start those that a stop left standing", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options, [{ ...options, name: "stock" }])
      const engine = yield* world.engine()
      const fences = (asked: FaultRequest) =>
        Effect.map(meanwhile(engine.operations.plan(asked)), (preview) => preview.fences.map(({ member }) => member))
      assert.deepStrictEqual(yield* fences(stop), ["orders/m1", "stock/m1"])
      assert.strictEqual(yield* planned(engine, begin), "NodeUp")
      assert.strictEqual(yield* planned(engine, { ...stop, instanceId: "1" }), "InstanceMismatch")
      assert.strictEqual(yield* planned(engine, { ...stop, nodeName: "nowhere" }), "UnknownNode")
      yield* ask(engine, stop)
      assert.strictEqual(endOf(yield* passUntilEnded(world)), "Completed")
      assert.strictEqual(yield* planned(engine, stop), "NodeStopped")
      assert.deepStrictEqual(yield* fences(begin), ["orders/m1", "stock/m1"])
      assert.strictEqual(world.sim.standing().length, 1)
    })
  )

  it.effect("a node's stop or start is refused where the node is down by itself", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      yield* world.sim.set({ down: ["m1"] })
      const engine = yield* world.engine()
      assert.strictEqual(yield* planned(engine, stop), "NodeDown")
      assert.strictEqual(yield* planned(engine, begin), "NodeDown")
    })
  )

  it.effect("any fault on what another operation holds names that operation, and still shows the group", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const engine = yield* world.engine()
      yield* ask(engine, request(world.sim, 5000))
      yield* passUntilIn(world, "Holding")
      for (const asked of [restart(world, "AllReplicasOrInstances"), loss(world), request(world.sim)]) {
        const { refusal, topology } = yield* meanwhile(engine.operations.plan(asked))
        assert.strictEqual(refusal?._tag === "Busy" && refusal.operationId, operationId(1))
        assert.strictEqual(topology?.partitionId, world.sim.partitionId)
      }
    })
  )

  it.effect("nothing that is protected has fences", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...options, protected: true })
      const engine = yield* world.engine()
      for (const asked of [restart(world, "AllReplicasOrInstances"), loss(world), request(world.sim), stop]) {
        assert.strictEqual(yield* planned(engine, asked), "Protected")
      }
    })
  )
})
