/**
 * Goal: the cluster works as a whole. Method: TestClock, so that a fence's deadline and every reconfiguration are
 * exact; the same seed twice; nodes stopped by the fences of one operation and started by their end.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Cluster } from "@inquorate/core/Cluster"
import { chooseCut } from "@inquorate/core/Plan"
import { health, type Member, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as Emulator from "../src/Emulator.ts"
import { nodesOf, standard } from "../src/Layout.ts"

const O = "11111111-1111-4111-8111-111111111111"

const groupsOf = (clusters: ReadonlyArray<Cluster>) =>
  Effect.orDie(
    Effect.map(
      Effect.forEach(clusters, ({ target }) => target.discover),
      (all) => all.flat()
    )
  )
const groupOf = (cluster: Cluster, group: string) =>
  Effect.map(groupsOf([cluster]), (groups) => groups.find((one) => one.group === group)!)

const fence = (cluster: Cluster, members: ReadonlyArray<Member>, hold: number, operationId = O) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const startByMonotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + 10_000
    yield* Effect.forEach(members, ({ name, process }) =>
      Effect.orDie(
        cluster.injector.arm({
          fence: { operationId, attempt: 1, member: name },
          process: process!,
          epoch: 1,
          deadline: now + hold,
          startByMonotonic
        })
      )
    )
  })

const plain = (groups: ReadonlyArray<Topology>) => groups.map((group) => ({ ...group, observedAt: 0 }))

const Fault = Schema.Struct({
  after: Schema.Literals([0, 400, 1000, 2000, 6000]),
  hold: Schema.Literals([1, 500, 2500, 20_000]),
  members: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })))
})

describe("a simulated cluster", () => {
  it.effect("is the same for the same seed, and another for another", () =>
    Effect.gen(function* () {
      const seen = (seed: number) =>
        Effect.gen(function* () {
          const { clusters, nodes } = yield* Emulator.make({ seed })
          return JSON.stringify([plain(yield* groupsOf(clusters)), yield* nodes])
        })
      assert.strictEqual(yield* seen(7), yield* seen(7))
      assert.notStrictEqual(yield* seen(7), yield* seen(8))
    })
  )

  it.effect("has a service of every kind, each healthy on nodes of its own", () =>
    Effect.gen(function* () {
      const { clusters, nodes } = yield* Emulator.make()
      const groups = yield* groupsOf(clusters)
      assert.isTrue(groups.every((group) => health(group) === "Healthy" && group.service?.status === "Ready"))
      assert.isTrue(groups.every(({ members }) => new Set(members.map(({ node }) => node)).size === members.length))
      const names = groups.flatMap(({ members }) => members.map(({ name }) => name))
      assert.strictEqual(new Set(names).size, names.length)
      const ids = groups.flatMap(({ members }) => members.map(({ replica }) => replica!.id))
      assert.strictEqual(new Set(ids).size, ids.length)
      assert.strictEqual((yield* nodes).length, 5)
      const kinds = groups.map(({ service }) => `${service!.kind} ${service!.persisted} ${service!.key._tag}`)
      assert.sameMembers(
        [...new Set(kinds)],
        [
          "Stateful true Singleton",
          "Stateful true Int64Range",
          "Stateful false Singleton",
          "Stateful true Named",
          "Stateless false Singleton"
        ]
      )
      const ledger = groups.filter((group) => serviceNameOf(group) === "fabric:/Shop/Ledger")
      const keys = ledger.map(({ service }) => service!.key)
      assert.strictEqual(keys.length, 4)
      let next = -(2n ** 63n)
      for (const key of keys) {
        if (key._tag !== "Int64Range") return assert.fail(key._tag)
        assert.strictEqual(BigInt(key.low), next)
        next = BigInt(key.high) + 1n
      }
      assert.strictEqual(next, 2n ** 63n)
    })
  )

  it.effect("refuses a layout that cannot be, and says where", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Emulator.make({ layout: { ...standard, nodes: nodesOf(2) } }))
      assert.match(error.message, /Shop\/Orders: 3 replicas do not fit on 2 nodes/)
    })
  )

  it.effect("leaves a write unanswered from the loss to the recovery, and ends a fence at its deadline by itself", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const cluster = (yield* Emulator.make()).clusters[0]!
        const before = yield* groupOf(cluster, "Orders")
        const probe = yield* Effect.orDie(cluster.target.probe("Orders"))
        const write = Effect.forkChild(probe.write(probe.endpoints[0]!), { startImmediately: true })
        yield* fence(cluster, Result.getOrThrow(chooseCut(before, "QuorumReplicas")), 10_000)
        const waiting = yield* write
        assert.strictEqual((yield* probe.survivors).word, "QuorumLost")
        assert.strictEqual((yield* groupOf(cluster, "Orders")).service?.status, "InQuorumLoss")
        yield* TestClock.adjust(9999)
        assert.strictEqual((yield* groupOf(cluster, "Orders")).service?.lastQuorumLoss, 9999)
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* groupOf(cluster, "Orders")).service?.status, "Reconfiguring")
        yield* TestClock.adjust(3002)
        assert.deepStrictEqual(yield* Fiber.join(waiting), { _tag: "Acknowledged" })
        yield* TestClock.adjust(3000)
        const after = yield* groupOf(cluster, "Orders")
        assert.strictEqual(health(after), "Healthy")
        assert.strictEqual(after.service?.lastQuorumLoss, 10_000)
        assert.isAbove(Number(after.service!.configurationVersion), Number(before.service!.configurationVersion))
        assert.deepStrictEqual(
          after.members.map(({ replica }) => replica!.id),
          before.members.map(({ replica }) => replica!.id)
        )
      })
    )
  )

  it.effect("does by itself faster what it does, and holds a fence as long as it was asked to", () =>
    Effect.gen(function* () {
      const cluster = (yield* Emulator.make({ speed: 10 })).clusters[0]!
      const before = yield* groupOf(cluster, "Orders")
      yield* fence(cluster, before.members.slice(1), 10_000)
      yield* TestClock.adjust(9999)
      assert.strictEqual((yield* groupOf(cluster, "Orders")).service?.status, "InQuorumLoss")
      yield* TestClock.adjust(301)
      assert.strictEqual(health(yield* groupOf(cluster, "Orders")), "Healthy")
    })
  )

  it.effect(
    "stops a node when one operation fences what runs on it, and starts it with a new instance id at their end",
    () =>
      Effect.gen(function* () {
        const { clusters, nodes } = yield* Emulator.make()
        const node = (yield* nodes)[0]!
        const members = (yield* groupsOf(clusters)).flatMap((group) =>
          group.members.filter((member) => member.node === node.name)
        )
        const [first, ...rest] = members
        yield* fence(clusters[0]!, [first!], 300_000)
        assert.isTrue((yield* nodes)[0]!.up, "one partition's replica alone is no stop of its node")
        yield* fence(clusters[0]!, rest, 300_000)
        const stopped = (yield* nodes)[0]!
        assert.deepStrictEqual([stopped.up, stopped.stopped, stopped.instanceId], [false, true, node.instanceId])
        const fences = yield* Effect.orDie(clusters[1]!.injector.sweep(node.name, { clear: false }))
        assert.strictEqual(fences.filter(({ state }) => state._tag === "Armed").length, members.length)
        yield* TestClock.adjust(300_000)
        const starting = (yield* nodes)[0]!
        assert.deepStrictEqual([starting.up, starting.stopped], [false, false])
        yield* TestClock.adjust(5000)
        const started = (yield* nodes)[0]!
        assert.isTrue(started.up)
        assert.notStrictEqual(started.instanceId, node.instanceId)
        assert.isAbove(started.upAt!, stopped.downAt!)
        yield* TestClock.adjust(10_000)
        assert.isTrue((yield* groupsOf(clusters)).every((group) => health(group) === "Healthy"))
        const process = members[0]!.process!
        const found = yield* Effect.orDie(clusters[0]!.injector.preflight(process))
        assert.strictEqual(found._tag, "Mistaken", "a process of before the start is another process now")
      })
  )

  it.effect("destroys data with a new data loss number, and is recovered from a loss with another", () =>
    Effect.gen(function* () {
      const cluster = (yield* Emulator.make()).clusters[0]!
      const before = yield* groupOf(cluster, "Orders")
      const losing = yield* Effect.forkChild(cluster.target.loseData!("Orders", "PartialDataLoss"))
      yield* TestClock.adjust(1000)
      yield* Effect.orDie(Fiber.join(losing))
      yield* TestClock.adjust(5000)
      const after = yield* groupOf(cluster, "Orders")
      assert.strictEqual(after.service?.dataLossVersion, "2")
      const old = new Set(before.members.map(({ replica }) => replica!.id))
      assert.strictEqual(after.members.filter(({ replica }) => !old.has(replica!.id)).length, 2)
      yield* fence(cluster, after.members, 60_000)
      yield* Effect.orDie(cluster.target.recover!("Orders"))
      const given = yield* groupOf(cluster, "Orders")
      assert.strictEqual(given.service?.dataLossVersion, "3")
      assert.isTrue(
        given.members.every(({ up }) => !up),
        "a recovery lifts no fence"
      )
      yield* TestClock.adjust(70_000)
      assert.strictEqual(health(yield* groupOf(cluster, "Orders")), "Healthy")
    })
  )

  it.effect("knows nothing of the fences of an earlier life", () =>
    Effect.gen(function* () {
      const first = (yield* Emulator.make()).clusters[0]!
      yield* fence(first, (yield* groupOf(first, "Orders")).members, 60_000)
      const second = (yield* Emulator.make()).clusters[0]!
      const { members } = yield* groupOf(second, "Orders")
      const { name, node } = members[0]!
      const state = yield* Effect.orDie(second.injector.inspect(node, { operationId: O, attempt: 1, member: name }, 2))
      assert.strictEqual(state._tag, "Absent")
    })
  )

  it.effect.prop(
    "shows the same at any moment, however often was looked before",
    { faults: Schema.Array(Fault) },
    ({ faults }) =>
      Effect.gen(function* () {
        const watched = yield* Emulator.make({ seed: 3 })
        const left = yield* Emulator.make({ seed: 3 })
        for (const [index, { after, hold, members }] of faults.entries()) {
          // Waiting in steps, one cluster is looked at after each of them.
          for (let step = 0; step < 4; step++) {
            yield* TestClock.adjust(after / 4)
            yield* groupsOf(watched.clusters)
          }
          const operationId = `11111111-1111-4111-8111-${String(index).padStart(12, "0")}`
          for (const { clusters } of [watched, left]) {
            const all = (yield* groupsOf([clusters[0]!])).flatMap((group) => group.members)
            const chosen = new Set(members.map((member) => all[member % all.length]!))
            yield* fence(clusters[0]!, [...chosen], hold, operationId)
          }
        }
        yield* TestClock.adjust(7000)
        const seen = yield* Effect.forEach([watched, left], ({ clusters, nodes }) =>
          Effect.all([groupsOf(clusters), nodes])
        )
        assert.deepStrictEqual(seen[0], seen[1])
        yield* TestClock.adjust(60_000)
        const whole = yield* groupsOf(left.clusters)
        assert.isTrue(whole.every((group) => health(group) === "Healthy" && group.service?.status === "Ready"))
      }),
    { arbitrary: { runs: 30 } }
  )
})
