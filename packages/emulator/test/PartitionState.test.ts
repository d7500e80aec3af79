/**
 * Goal: the rules of one partition are those of the reference. Method: the table of the smallest losses, stories of a
 * failover, a loss and its end, and a property over any sequence of replicas going down, coming back and time passing.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as PartitionState from "../src/PartitionState.ts"

const timing: PartitionState.Timing = { reconfiguration: 1000, build: 2000, nodeStart: 5000 }
const nodes = (size: number) => Array.from({ length: size }, (_, index) => `n${index}`)
const majority = (size: number) => Math.floor(size / 2) + 1
const fresh = (keeps: PartitionState.Keeps, size: number) =>
  PartitionState.make(keeps, nodes(size), keeps === "Nothing" ? 1 : majority(size))

/** Lets everything fall due up to a moment. */
const until = (partition: PartitionState.PartitionState, at: number): PartitionState.PartitionState => {
  let next = partition
  for (let due = PartitionState.nextDue(next); due !== null && due <= at; due = PartitionState.nextDue(next)) {
    next = PartitionState.settle(next, due, timing)
  }
  return next
}
const down = (partition: PartitionState.PartitionState, places: ReadonlyArray<number>, at: number) =>
  places.reduce((next, place) => PartitionState.takeDown(next, place, at, timing), partition)
const back = (partition: PartitionState.PartitionState, places: ReadonlyArray<number>, at: number) =>
  places.reduce((next, place) => PartitionState.bringBack(next, place, at, timing), partition)
const primary = ({ replicas }: PartitionState.PartitionState) => replicas.findIndex(({ role }) => role === "Primary")
const words = ({ replicas }: PartitionState.PartitionState) => replicas.map(({ status }) => status)

describe("the quorum of a persisted partition", () => {
  // Contract §3.1: what a write needs, and the least that must go to lose it.
  for (const [size, needed, least] of [
    [1, 1, 1],
    [2, 2, 1],
    [3, 2, 2],
    [4, 3, 2],
    [5, 3, 3],
    [7, 4, 4]
  ] as const) {
    it(`of ${size} is lost when ${least} are down, not before`, () => {
      assert.strictEqual(PartitionState.writeQuorum(size), needed)
      const last = nodes(size).map((_, place) => size - 1 - place)
      const before = until(down(fresh("Persisted", size), last.slice(0, least - 1), 10), 100_000)
      assert.isFalse(PartitionState.hasLostQuorum(before))
      assert.isTrue(PartitionState.takesWrites(before))
      const lost = down(before, last.slice(least - 1, least), 200_000)
      assert.strictEqual(PartitionState.statusOf(lost), "InQuorumLoss")
      assert.isFalse(PartitionState.takesWrites(until(lost, 900_000)))
      assert.strictEqual(until(lost, 900_000).dataLossVersion, 1)
    })
  }
})

describe("a persisted partition", () => {
  it("fails over to a secondary after the reconfiguration, and builds the old primary when it is back", () => {
    const lost = down(fresh("Persisted", 3), [0], 100)
    assert.strictEqual(PartitionState.statusOf(lost), "Reconfiguring")
    assert.isFalse(PartitionState.takesWrites(until(lost, 1099)))
    const served = until(lost, 1100)
    assert.strictEqual(primary(served), 1)
    assert.strictEqual(served.configurationVersion, 2)
    assert.isTrue(PartitionState.takesWrites(served))
    const returned = back(served, [0], 5000)
    assert.deepStrictEqual(words(returned), ["InBuild", "Ready", "Ready"])
    assert.deepStrictEqual(words(until(returned, 7000)), ["Ready", "Ready", "Ready"])
    assert.strictEqual(primary(until(returned, 7000)), 1)
  })

  it("waits out the loss of its quorum, keeps its data, and serves after a reconfiguration", () => {
    const lost = down(fresh("Persisted", 3), [1, 2], 1000)
    assert.strictEqual(lost.lostSince, 1000)
    const returned = back(lost, [1], 61_000)
    assert.strictEqual(PartitionState.statusOf(returned), "Reconfiguring")
    assert.strictEqual(returned.lastLoss, 60_000)
    const served = until(returned, 62_000)
    assert.deepStrictEqual(words(served), ["Ready", "InBuild", "Down"])
    assert.deepStrictEqual(words(until(served, 64_000)), ["Ready", "Ready", "Down"])
    assert.isTrue(PartitionState.takesWrites(until(served, 64_000)))
    assert.strictEqual(served.dataLossVersion, 1)
  })

  it("comes back from the loss of all its replicas with all its data", () => {
    const returned = back(down(fresh("Persisted", 3), [0, 1, 2], 0), [2, 1, 0], 10_000)
    const served = until(returned, 20_000)
    assert.deepStrictEqual(words(served), ["Ready", "Ready", "Ready"])
    assert.strictEqual(primary(served), 0)
    assert.strictEqual(served.dataLossVersion, 1)
  })

  it("gives up what it waits for when it is recovered, with a new data loss number, and takes the late ones in again", () => {
    const lost = down(fresh("Persisted", 5), [0, 1, 2], 0)
    const recovered = until(PartitionState.recover(lost, 5000, timing), 6000)
    assert.strictEqual(PartitionState.statusOf(recovered), "NotReady")
    assert.strictEqual(recovered.dataLossVersion, 2)
    assert.strictEqual(recovered.lastLoss, 5000)
    assert.strictEqual(PartitionState.configuration(recovered).length, 2)
    const whole = until(back(recovered, [0, 1, 2], 10_000), 20_000)
    assert.strictEqual(PartitionState.configuration(whole).length, 5)
    assert.isTrue(PartitionState.takesWrites(whole))
    assert.strictEqual(whole.dataLossVersion, 2)
  })

  it("is left alone by a recovery that nothing calls for", () => {
    const healthy = fresh("Persisted", 3)
    assert.strictEqual(PartitionState.recover(healthy, 5, timing), healthy)
  })

  for (const [mode, gone] of [
    ["PartialDataLoss", 2],
    ["FullDataLoss", 3]
  ] as const) {
    it(`is served by others after ${mode}, with a new data loss number`, () => {
      const destroyed = PartitionState.destroy(fresh("Persisted", 3), mode, 0, timing)
      assert.strictEqual(destroyed.replicas.filter(({ generation }) => generation === 1).length, gone)
      assert.strictEqual(destroyed.dataLossVersion, 2)
      const served = until(destroyed, 60_000)
      assert.deepStrictEqual(words(served), ["Ready", "Ready", "Ready"])
      assert.strictEqual(PartitionState.configuration(served).length, 3)
    })
  }
})

describe("a partition whose replica is being built", () => {
  it("takes nobody in while its quorum is lost, and builds on when it is back", () => {
    const building = until(PartitionState.destroy(fresh("Persisted", 5), "PartialDataLoss", 0, timing), 1000)
    const lost = down(building, [4], 1500)
    assert.strictEqual(PartitionState.statusOf(lost), "InQuorumLoss")
    assert.deepStrictEqual(words(until(lost, 60_000)).slice(0, 3), ["InBuild", "InBuild", "InBuild"])
    const whole = until(back(until(lost, 60_000), [4], 60_000), 70_000)
    assert.deepStrictEqual(words(whole), ["Ready", "Ready", "Ready", "Ready", "Ready"])
  })
})

describe("a volatile partition", () => {
  it("declares a data loss with its quorum and goes on with whom it has", () => {
    const lost = down(fresh("Volatile", 3), [0, 1], 0)
    assert.strictEqual(lost.dataLossVersion, 2)
    assert.strictEqual(PartitionState.statusOf(lost), "Reconfiguring")
    const alone = until(lost, 1000)
    assert.strictEqual(primary(alone), 2)
    assert.deepStrictEqual(words(alone), ["Dropped", "Dropped", "Ready"])
    assert.strictEqual(PartitionState.statusOf(alone), "NotReady")
    const whole = until(back(alone, [0, 1], 5000), 7000)
    assert.deepStrictEqual(
      whole.replicas.map(({ generation }) => generation),
      [1, 1, 0]
    )
    assert.isTrue(PartitionState.takesWrites(whole))
    assert.strictEqual(whole.dataLossVersion, 2)
  })

  it("begins anew where nobody was left", () => {
    const empty = until(down(fresh("Volatile", 3), [0, 1, 2], 0), 10_000)
    assert.strictEqual(PartitionState.configuration(empty).length, 0)
    const whole = until(back(empty, [2, 0, 1], 20_000), 30_000)
    assert.isTrue(PartitionState.takesWrites(whole))
    assert.strictEqual(whole.dataLossVersion, 2)
  })
})

describe("a stateless partition", () => {
  it("answers while one instance is left, and an instance that comes back is another one", () => {
    const one = down(fresh("Nothing", 3), [0, 2], 0)
    assert.isTrue(PartitionState.takesWrites(one))
    const none = down(one, [1], 10)
    assert.strictEqual(PartitionState.statusOf(none), "NotReady")
    const whole = until(back(none, [0, 1, 2], 20), 2020)
    assert.deepStrictEqual(words(whole), ["Ready", "Ready", "Ready"])
    assert.deepStrictEqual(
      whole.replicas.map(({ generation }) => generation),
      [1, 1, 1]
    )
  })
})

const Move = Schema.Struct({
  what: Schema.Literals(["down", "back", "recover", "partial", "full"]),
  place: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
  after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 }))
})

const play = (partition: PartitionState.PartitionState, move: typeof Move.Type, at: number) => {
  switch (move.what) {
    case "down":
      return PartitionState.takeDown(partition, move.place, at, timing)
    case "back":
      return PartitionState.bringBack(partition, move.place, at, timing)
    case "recover":
      return PartitionState.recover(partition, at, timing)
    default:
      return PartitionState.destroy(partition, move.what === "full" ? "FullDataLoss" : "PartialDataLoss", at, timing)
  }
}

const check = (before: PartitionState.PartitionState, after: PartitionState.PartitionState): void => {
  const { keeps, replicas } = after
  const configured = PartitionState.configuration(after)
  assert.isAtMost(replicas.filter(({ role }) => role === "Primary").length, 1)
  assert.isAtLeast(after.configurationVersion, before.configurationVersion)
  assert.isAtLeast(after.dataLossVersion, before.dataLossVersion)
  if (keeps !== "Nothing") {
    assert.strictEqual(after.lostSince !== null, PartitionState.hasLostQuorum(after))
    assert.isTrue(replicas.every(({ configured, role }) => configured !== (role === "IdleSecondary")))
    // Nobody can be taken into a configuration that has no quorum to agree to it.
    if (keeps === "Persisted" && before.lostSince !== null && before.lostSince === after.lostSince) {
      assert.isAtMost(configured.length, PartitionState.configuration(before).length)
    }
  }
  if (!PartitionState.takesWrites(after) || keeps === "Nothing") return
  const ready = configured.filter(({ status }) => status === "Ready")
  assert.isAtLeast(ready.length, PartitionState.writeQuorum(configured.length))
  assert.strictEqual(ready.filter(({ role }) => role === "Primary").length, 1)
}

describe("any sequence of faults", () => {
  for (const keeps of ["Persisted", "Volatile", "Nothing"] as const) {
    it.prop(
      `leaves a legal ${keeps} partition that serves again once all are back`,
      { moves: Schema.Array(Move) },
      ({ moves }) => {
        let partition = fresh(keeps, 5)
        let at = 0
        for (const move of moves) {
          if (keeps === "Nothing" && !["down", "back"].includes(move.what)) continue
          at += move.after
          const settled = until(partition, at)
          check(partition, settled)
          const moved = play(settled, move, at)
          check(settled, moved)
          partition = moved
        }
        const whole = until(back(partition, [0, 1, 2, 3, 4], at), at + 60_000)
        check(partition, whole)
        return PartitionState.takesWrites(whole) && words(whole).every((status) => status === "Ready")
      }
    )
  }
})

describe("a replica that is removed", () => {
  const remove = (partition: PartitionState.PartitionState, place: number, at: number) =>
    PartitionState.remove(partition, place, at, timing)

  it("is another one at the same place, out of the configuration until it is built, and nothing is lost", () => {
    for (const keeps of ["Persisted", "Volatile"] as const) {
      const gone = remove(fresh(keeps, 3), 1, 100)
      assert.deepStrictEqual(
        gone.replicas.map(({ configured, generation, status }) => [configured, generation, status]),
        [
          [true, 0, "Ready"],
          [false, 1, "InBuild"],
          [true, 0, "Ready"]
        ]
      )
      assert.isTrue(PartitionState.takesWrites(gone))
      const whole = until(gone, 2100)
      assert.deepStrictEqual(words(whole), ["Ready", "Ready", "Ready"])
      assert.deepStrictEqual([whole.dataLossVersion, PartitionState.configuration(whole).length], [1, 3])
      assert.isAbove(whole.configurationVersion, gone.configurationVersion)
    }
  })

  it("is followed by another primary where it was that", () => {
    const gone = remove(fresh("Persisted", 3), 0, 100)
    assert.strictEqual(PartitionState.statusOf(gone), "Reconfiguring")
    const whole = until(gone, 60_000)
    assert.strictEqual(primary(whole), 1)
    assert.deepStrictEqual([PartitionState.statusOf(whole), whole.dataLossVersion], ["Ready", 1])
  })

  it("takes the data with it where it was the last", () => {
    const gone = until(remove(fresh("Persisted", 1), 0, 100), 60_000)
    assert.deepStrictEqual([PartitionState.statusOf(gone), gone.dataLossVersion], ["Ready", 2])
  })

  it("of a stateless service is another instance", () => {
    const gone = remove(fresh("Nothing", 3), 2, 100)
    assert.strictEqual(PartitionState.statusOf(gone), "Ready")
    const whole = until(gone, 2100)
    assert.deepStrictEqual([words(whole), whole.replicas[2]!.generation], [["Ready", "Ready", "Ready"], 1])
  })
})
