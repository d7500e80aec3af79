/**
 * Stories about what a front sees of services: one service of several partitions, names that do not tell their cluster,
 * nodes and applications, and the recover calls.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Cluster, Clusters } from "@inquorate/core/Cluster"
import type { Operations } from "@inquorate/core/Operations"
import { OperationStore } from "@inquorate/core/OperationStore"
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Engine from "@inquorate/engine/Engine"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"
import { endOf, meanwhile, operationId, passUntil, where } from "./World.ts"

const service = "fabric:/Shop/Front"

interface Shop {
  readonly parts: ReadonlyArray<SimulatedCluster.SimulatedCluster>
  readonly operations: Operations["Service"]
  /** Ends the engine, and begins another on the same store. */
  readonly another: Effect.Effect<Operations["Service"], never, Scope.Scope>
}

/** One cluster of two groups, the partitions of one service whose name does not tell the cluster's. */
const shop = (options: SimulatedCluster.SimulatedClusterOptions = {}): Effect.Effect<Shop, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parts = yield* Effect.forEach(["a", "b"], (group) =>
      SimulatedCluster.make({ restarter: true, ...options, group, service: { name: service, ...options.service } })
    )
    const [first, second] = parts as [SimulatedCluster.SimulatedCluster, SimulatedCluster.SimulatedCluster]
    const of = (group: string) => (group === "a" ? first : second).cluster.target
    const { target } = first.cluster
    const cluster: Cluster = {
      ...first.cluster,
      target: {
        ...target,
        application: { typeName: "ShopType", typeVersion: "2.0", parameters: [] },
        discover: Effect.map(Effect.all([target.discover, of("b").discover]), (groups) => groups.flat()),
        probe: (group) => of(group).probe(group),
        ...(target.recover === undefined ? {} : { recover: (group: string) => of(group).recover!(group) })
      }
    }
    const plain = yield* SimulatedCluster.make({ name: "plain", restarter: true })
    const clusters = Clusters.of({ all: [plain.cluster, cluster] })
    const store = yield* Effect.orDie(SqliteStore.make({ path: ":memory:", queueBound: 100 }))
    const engine = (workerId: string): Effect.Effect<Operations["Service"], never, Scope.Scope> =>
      Engine.make({ workerId }).pipe(
        Effect.provideService(OperationStore, store),
        Effect.provideService(Clusters, clusters)
      )
    const scope = yield* Scope.fork(yield* Effect.scope)
    const operations = yield* Scope.provide(engine("w1"), scope)
    return { parts, operations, another: Effect.andThen(Scope.close(scope, Exit.void), engine("w2")) }
  })

const ended = ({ operations }: Pick<Shop, "operations">, n = 1) =>
  Effect.andThen(
    passUntil(
      `operation ${n} has ended`,
      Effect.map(operations.get(operationId(n)), ({ endedAt }) => endedAt !== null)
    ),
    operations.get(operationId(n))
  )

const guarded = { guard: true, maxHold: "configured" } as const
const plainly = { guard: false, maxHold: "configured" } as const

describe("a service of several partitions", () => {
  it.effect("has each of them broken by itself, though its name tells no cluster", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const [first, second] = world.parts as [SimulatedCluster.SimulatedCluster, SimulatedCluster.SimulatedCluster]
      yield* meanwhile(
        world.operations.start(
          operationId(1),
          {
            kind: "PartitionQuorumLoss",
            serviceName: service,
            partitionId: first.partitionId,
            mode: "QuorumReplicas",
            hold: 1000
          },
          guarded
        )
      )
      assert.strictEqual(endOf(yield* ended(world)), "Completed")
      assert.isAbove(first.orders(), 0)
      assert.strictEqual(second.orders(), 0)
      assert.isAbove(first.acknowledged(), 0)
      assert.strictEqual(second.acknowledged(), 0)
    })
  )

  it.effect("probes the partition that was asked for, not its neighbour", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const [first, second] = world.parts as [SimulatedCluster.SimulatedCluster, SimulatedCluster.SimulatedCluster]
      yield* second.set({ recoversNever: true })
      const asked = {
        kind: "PartitionQuorumLoss",
        serviceName: service,
        partitionId: second.partitionId,
        mode: "QuorumReplicas",
        hold: 1000
      } as const
      const refused = yield* meanwhile(Effect.flip(world.operations.start(operationId(1), asked, guarded)))
      assert.strictEqual(refused.refusal?._tag, "NotSteady")
      assert.strictEqual(first.orders(), 0)
    })
  )

  it.effect("is found again by another worker in the middle of a hold", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const [first, second] = world.parts as [SimulatedCluster.SimulatedCluster, SimulatedCluster.SimulatedCluster]
      const asked = {
        kind: "PartitionQuorumLoss",
        serviceName: service,
        partitionId: first.partitionId,
        mode: "QuorumReplicas",
        hold: 3000
      } as const
      yield* world.operations.start(operationId(1), asked, plainly)
      yield* passUntil(
        "the hold has begun",
        Effect.map(world.operations.get(operationId(1)), (operation) => where(operation) === "Holding")
      )
      const operations = yield* world.another
      assert.strictEqual(endOf(yield* ended({ operations })), "Completed")
      assert.isAbove(first.acknowledged(), 0)
      assert.strictEqual(second.acknowledged(), 0)
    })
  )

  it.effect("has no partition of another service", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const partitionId = "00000000-0000-4000-8000-00000000dead"
      for (const [serviceName, code] of [
        [service, "FABRIC_E_PARTITION_NOT_FOUND"],
        ["fabric:/Shop/Back", "FABRIC_E_SERVICE_DOES_NOT_EXIST"]
      ] as const) {
        const asked = {
          kind: "PartitionQuorumLoss",
          serviceName,
          partitionId,
          mode: "QuorumReplicas",
          hold: 1000
        } as const
        const refused = yield* meanwhile(Effect.flip(world.operations.start(operationId(1), asked, guarded)))
        assert.strictEqual(refused.code, code)
      }
    })
  )

  it.effect("loses a node with one fence, where one process serves several of its partitions", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const nodeName = "host-m1"
      yield* world.operations.start(
        operationId(1),
        {
          kind: "NodeTransition",
          transition: "Stop",
          nodeName,
          instanceId: nodeInstanceId(nodeName),
          duration: 300_000
        },
        plainly
      )
      const { stage } = yield* ended(world)
      assert.deepStrictEqual(
        stage._tag === "Completed" ? stage.standing?.fences.map(({ cluster, member }) => `${cluster} ${member}`) : [],
        ["plain plain/m1", "orders orders/a/m1"]
      )
    })
  )
})

describe("the clusters as a front sees them", () => {
  it.effect("tell their application and their nodes where they have them", () =>
    Effect.gen(function* () {
      const world = yield* shop({ nodes: true })
      const [plain, cluster] = yield* meanwhile(world.operations.clusters)
      assert.isUndefined(plain?.application)
      assert.isUndefined(plain?.nodes)
      assert.strictEqual(cluster?.application?.typeName, "ShopType")
      assert.deepStrictEqual(
        cluster?.nodes?.map(({ name }) => name),
        ["host-m0", "host-m1", "host-m2"]
      )
      assert.strictEqual(cluster?.groups.length, 2)
    })
  )

  it.effect("have holders for partitions, and none for a node", () =>
    Effect.gen(function* () {
      const world = yield* shop({ hostLatency: 5000 })
      const [first] = world.parts as [SimulatedCluster.SimulatedCluster]
      const nodeName = "host-m9"
      yield* world.operations.start(
        operationId(1),
        { kind: "NodeTransition", transition: "Start", nodeName, instanceId: "1" },
        plainly
      )
      yield* world.operations.start(
        operationId(2),
        {
          kind: "PartitionRestart",
          serviceName: service,
          partitionId: first.partitionId,
          mode: "OnlyActiveSecondaries"
        },
        plainly
      )
      yield* passUntil(
        "the restart looks up",
        Effect.map(world.operations.holders, (holders) => holders.some(({ id }) => id === operationId(2)))
      )
      const holders = yield* world.operations.holders
      assert.deepStrictEqual(
        holders.map(({ id }) => id),
        [operationId(2)]
      )
    })
  )
})

describe("a recover call", () => {
  it.effect("reaches the partitions of its scope, and no others", () =>
    Effect.gen(function* () {
      const world = yield* shop({ recovers: true })
      const [first] = world.parts as [SimulatedCluster.SimulatedCluster]
      const recoveries = () => world.parts.map((part) => part.recoveries())
      yield* meanwhile(world.operations.recover({ _tag: "Partition", partitionId: first.partitionId }))
      assert.deepStrictEqual(recoveries(), [1, 0])
      yield* meanwhile(world.operations.recover({ _tag: "Service", serviceName: service }))
      assert.deepStrictEqual(recoveries(), [2, 1])
      yield* meanwhile(world.operations.recover({ _tag: "All" }))
      assert.deepStrictEqual(recoveries(), [3, 2])
      yield* meanwhile(world.operations.recover({ _tag: "System" }))
      assert.deepStrictEqual(recoveries(), [3, 2])
    })
  )

  it.effect("of what is not there is refused with the code of its own", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const partitionId = "00000000-0000-4000-8000-00000000dead"
      const partition = yield* meanwhile(Effect.flip(world.operations.recover({ _tag: "Partition", partitionId })))
      assert.strictEqual(partition.code, "FABRIC_E_PARTITION_NOT_FOUND")
      const serviceName = "fabric:/Shop/Back"
      const missing = yield* meanwhile(Effect.flip(world.operations.recover({ _tag: "Service", serviceName })))
      assert.strictEqual(missing.code, "FABRIC_E_SERVICE_DOES_NOT_EXIST")
    })
  )

  it.effect("of a system that recovers by itself lifts no fence", () =>
    Effect.gen(function* () {
      const world = yield* shop()
      const [first] = world.parts as [SimulatedCluster.SimulatedCluster]
      const asked = {
        kind: "PartitionQuorumLoss",
        serviceName: service,
        partitionId: first.partitionId,
        mode: "QuorumReplicas",
        hold: 60_000
      } as const
      yield* world.operations.start(operationId(1), asked, plainly)
      yield* passUntil(
        "the fences stand",
        Effect.sync(() => first.standing().length > 0)
      )
      const before = first.orders()
      yield* meanwhile(world.operations.recover({ _tag: "All" }))
      assert.isAbove(first.standing().length, 0)
      assert.isAtMost(first.orders() - before, first.standing().length)
      assert.isFalse(first.history().some(({ what }) => what === "Lifted"))
    })
  )
})
