/**
 * Goal: the event store tells what happened to whom, from operations alone, in Service Fabric's own kinds. Method: operations
 * are played by core's `advance`, their evidence is put together by hand, and the events are judged by kind and subject.
 */
import { assert, describe, it } from "@effect/vitest"
import { collect, type EvidenceEntry, type Fact } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import { advance, type Event as Played, make, type Operation } from "@inquorate/core/Operation"
import type { FaultRequest } from "@inquorate/core/Request"
import { type Operations, RequestRefused } from "@inquorate/core/Operations"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Events from "../src/fabric/FabricEvents.ts"
import * as EventStore from "../src/fabric/FabricEventStore.ts"
import * as World from "../src/fabric/FabricWorld.ts"
import { clusterOf, etcd, fence } from "./FakeOperations.ts"
import * as Simulated from "./SimulatedFacts.ts"

const began = Simulated.at - 60_000
const id = "11111111-2222-4333-8444-555555555555"

const world = World.make(
  [Simulated.simulated, clusterOf(etcd)],
  [],
  { stoppedNodes: [], lastLosses: [] },
  {
    now: Simulated.at,
    version: 7.2
  }
)

const played = (request: FaultRequest, events: ReadonlyArray<Played>, as = id): Operation =>
  events.reduce((operation, event) => Result.getOrThrow(advance(operation, event)), make(as, request, began))

const entries = (facts: ReadonlyArray<readonly [number, Fact]>): ReadonlyArray<EvidenceEntry> =>
  facts.map(([at, fact]) => ({ at, monotonic: at - began, worker: "w", fact }))

const told = (events: ReadonlyArray<Events.Event>, of: Parameters<typeof Events.takes>[1]) =>
  events
    .filter((event) => Events.takes(event, of, { from: 0, to: Simulated.at, kinds: [] }))
    .map(({ at, body }) =>
      `${at - began} ${String(body["Kind"])} ${String(body["HealthState"] ?? body["State"] ?? "")}`.trim()
    )

const phase = (phase: "Holding" | "Recovering"): Fact => ({ _tag: "PhaseBegan", phase, attempt: 1 })

describe("the events of a quorum loss", () => {
  const operation = played(
    {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/lab/kv",
      partitionId: etcd.partitionId,
      mode: "QuorumReplicas",
      hold: 5000
    },
    [
      { _tag: "Taken", at: began + 10 },
      { _tag: "FencesOrdered", at: began + 100, fences: [fence] },
      { _tag: "FencesArmed", at: began + 200 },
      { _tag: "LossProven", at: began + 700, lossBegan: began + 200 },
      { _tag: "HoldEnded", at: began + 5200 },
      { _tag: "FencesLifted", at: began + 5300 },
      { _tag: "RecoveryProven", at: began + 6000 }
    ]
  )
  const evidence = collect(
    entries([
      [
        began + 100,
        { _tag: "FenceOrdered", member: "m1", host: "here", grade: "Kernel", epoch: 1, deadline: began + 9000 }
      ],
      [began + 200, { _tag: "FenceArmed", member: "m1", processes: 1 }],
      [began + 700, phase("Holding")],
      [began + 5250, { _tag: "FenceLifted", member: "m1", by: "Worker", offAt: began + 5250, overrun: 0 }],
      [began + 5300, phase("Recovering")],
      [began + 6000, { _tag: "RecoveryMeasured", recovery: 400 }]
    ])
  )
  const events = Events.ofOperation(world, { operation, evidence }, [])
  const whole = ["0 FaultOperationStarted", "6000 FaultOperationEnded Completed"]

  it("are those of the cluster, the application, the service and the partition alike", () => {
    for (const [of, kind] of [
      [{ _tag: "Cluster" }, "Cluster"],
      [{ _tag: "Applications", applicationName: "fabric:/lab" }, "Application"],
      [{ _tag: "Services", serviceName: "fabric:/lab/kv" }, "Service"],
      [{ _tag: "Partitions", partitionId: etcd.partitionId }, "Partition"],
      [{ _tag: "Partitions", partitionId: null }, "Partition"]
    ] as const) {
      assert.deepStrictEqual(told(events, of), [
        whole[0],
        `700 ${kind}NewHealthReport Error`,
        `5700 ${kind}NewHealthReport Ok`,
        whole[1]
      ])
    }
    assert.deepStrictEqual(told(events, { _tag: "Partitions", partitionId: Simulated.lost.partitionId }), [])
    assert.deepStrictEqual(told(events, { _tag: "Containers" }), [])
  })

  it("are those of the nodes and replicas whose fences stood, and of no others", () => {
    const replica = (index: number) => World.replicaId(etcd.partitionId, etcd.members[index]!)
    const of = (index: number) =>
      told(events, { _tag: "Replicas", partitionId: etcd.partitionId, replicaId: replica(index) })
    assert.deepStrictEqual(of(1), [
      "200 StatefulReplicaNewHealthReport Warning",
      "5250 StatefulReplicaNewHealthReport Ok"
    ])
    assert.deepStrictEqual(of(0), [])
    // The member is the only one on its node, which is down without it.
    assert.deepStrictEqual(told(events, { _tag: "Nodes", nodeName: "lab-m1" }), [
      "200 NodeNewHealthReport Warning",
      "200 NodeDown",
      "5250 NodeNewHealthReport Ok",
      "5250 NodeUp"
    ])
    assert.deepStrictEqual(told(events, { _tag: "Nodes", nodeName: "lab-m2" }), [])
  })

  it("keep their ids, and are within the window and of the kinds that are asked for", () => {
    const again = Events.ofOperation(world, { operation, evidence }, [])
    assert.deepStrictEqual(again, events)
    const ids = events.map(({ body }) => body["EventInstanceId"])
    assert.strictEqual(new Set(ids).size, ids.length)
    const some = events.filter((event) =>
      Events.takes(event, { _tag: "Cluster" }, { from: began + 1, to: began + 5999, kinds: ["ClusterNewHealthReport"] })
    )
    assert.lengthOf(some, 2)
  })
})

describe("the events of one replica's removal", () => {
  it("are no Error, and speak of the replica and not of data", () => {
    const operation = played(
      {
        kind: "PartitionDataLoss",
        serviceName: "fabric:/App/Orders",
        partitionId: Simulated.lost.partitionId,
        mode: "PartialDataLoss",
        member: "r1"
      },
      [{ _tag: "Taken", at: began + 10 }]
    )
    const evidence = collect(entries([[began + 100, { _tag: "PhaseBegan", phase: "Destroying", attempt: 1 }]]))
    const events = Events.ofOperation(world, { operation, evidence }, [])
    const of = { _tag: "Partitions", partitionId: Simulated.lost.partitionId } as const
    assert.deepStrictEqual(told(events, of), ["0 FaultOperationStarted", "100 PartitionNewHealthReport Warning"])
    const words = events
      .filter((event) => Events.takes(event, of, { from: 0, to: Simulated.at, kinds: [] }))
      .map(({ body }) => body["Description"])
    assert.deepStrictEqual(words, [
      `Operation ${id}: PartitionDataLoss of fabric:/App/Orders was asked for (r1 alone).`,
      `Partition ${Simulated.lost.partitionId} of fabric:/App/Orders loses r1.`
    ])
  })
})

describe("the events of a node", () => {
  const stop = played(
    { kind: "NodeTransition", transition: "Stop", nodeName: "_Node_1", instanceId: "7", duration: 30_000 },
    [
      { _tag: "Taken", at: began + 10 },
      { _tag: "FencesOrdered", at: began + 100, fences: [] },
      { _tag: "FencesArmed", at: began + 200 }
    ]
  )
  const nothing = collect([])

  it("tell that it went down and, past its deadline, that it came up by itself", () => {
    const events = Events.ofOperation(world, { operation: stop, evidence: nothing }, [])
    assert.deepStrictEqual(told(events, { _tag: "Nodes", nodeName: "_Node_1" }), [
      "0 FaultOperationStarted",
      "200 NodeDown",
      "200 FaultOperationEnded Completed",
      "30100 NodeUp"
    ])
    // It takes its replicas with it.
    assert.deepStrictEqual(
      told(events, { _tag: "Replicas", partitionId: Simulated.lost.partitionId, replicaId: "10" }),
      ["200 StatefulReplicaNewHealthReport Warning", "30100 StatefulReplicaNewHealthReport Ok"]
    )
    const early = { ...world, now: began + 20_000 }
    assert.notInclude(
      told(Events.ofOperation(early, { operation: stop, evidence: nothing }, []), { _tag: "Nodes", nodeName: null }),
      "30100 NodeUp"
    )
  })

  it("tell of a start before that once", () => {
    const start = played(
      { kind: "NodeTransition", transition: "Start", nodeName: "_Node_1", instanceId: "7" },
      [
        { _tag: "Taken", at: began + 1010 },
        {
          _tag: "FencesOrdered",
          at: began + 1100,
          fences: [],
          standing: { operationId: id, attempt: 1, deadline: began + 30_100, armedAt: began + 100 }
        },
        { _tag: "FencesLifted", at: began + 1200 },
        { _tag: "RecoveryProven", at: began + 1300 }
      ],
      Guid.v5(id, "start")
    )
    const both = [stop, { ...start, receivedAt: began + 1000 }].map((operation) => ({ operation, evidence: nothing }))
    const events = both.flatMap((one) => Events.ofOperation(world, one, both))
    const ups = told(events, { _tag: "Nodes", nodeName: "_Node_1" }).filter((line) => line.endsWith("NodeUp"))
    assert.deepStrictEqual(ups, ["1300 NodeUp"])
    // It tells since when the node was down, and "never" where nothing says it: explorers draw what is between.
    const downAt = (events: ReadonlyArray<Events.Event>) =>
      events.find(({ body }) => body["Kind"] === "NodeUp")?.body["LastNodeDownAt"]
    assert.strictEqual(downAt(events), new Date(began + 200).toISOString())
    assert.strictEqual(downAt(Events.ofOperation(world, both[1]!, [both[1]!])), "1601-01-01T00:00:00Z")
  })
})

describe("the event store", () => {
  const loss = (id: string) =>
    make(
      id,
      {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/lab/kv",
        partitionId: etcd.partitionId,
        mode: "QuorumReplicas",
        hold: 1
      },
      began
    )
  const [here, gone] = [id, Guid.v5(id, "gone")]
  const ask = { _tag: "GetEvents", of: { _tag: "Cluster" }, from: 0, to: Simulated.at, kinds: [] } as const
  const storeOf = (code: "FABRIC_E_KEY_NOT_FOUND" | "E_ABORT") =>
    EventStore.make(
      {
        list: () => Effect.succeed([loss(gone), loss(here)]),
        detail: (of: string) =>
          of === here
            ? Effect.succeed({ operation: loss(here), state: "Running", evidence: collect([]) })
            : Effect.fail(new RequestRefused({ code, detail: "", refusal: null }))
      } as unknown as Operations["Service"],
      Option.none()
    )

  it.effect("tells nothing of an operation that was removed since it was listed, and of the others all", () =>
    Effect.gen(function* () {
      const events = (yield* storeOf("FABRIC_E_KEY_NOT_FOUND").answer(world, ask)) as ReadonlyArray<
        Readonly<Record<string, unknown>>
      >
      assert.deepStrictEqual(
        events.map((event) => [event["Kind"], event["OperationId"]]),
        [["FaultOperationStarted", here]]
      )
      assert.strictEqual((yield* Effect.flip(storeOf("E_ABORT").answer(world, ask))).code, "E_ABORT")
    })
  )
})
