/**
 * Goal: the main job on a real etcd cluster with etcd's own timing, on its own, cancelled and broken from outside. Method:
 * the bundled worker as a process; the observer trusts /proc and its own PUTs at every member.
 */
import { assert, describe, it } from "vitest"
import { confirmed, onOneLab, partition, recovered, take, verdictsOf, worker, world } from "./EtcdLosses.ts"
import * as Harness from "./Harness.ts"

onOneLab()

describe("a quorum loss on etcd", () => {
  it(
    "is taken, held, lifted and found recovered, and the leader that was left says so",
    async () => {
      const id = await take(4)
      assert.isFalse(await Harness.writeCommits(world, 700), "a PUT was acknowledged without its quorum")
      assert.deepStrictEqual(await Harness.progress(worker, id), { State: "Running" })
      assert.deepStrictEqual(await Harness.ended(worker, id), {
        State: "Completed",
        InvokeQuorumLossResult: {
          ErrorCode: 0,
          SelectedPartition: { ServiceName: "fabric:/keys/raft", PartitionId: partition }
        }
      })
      assert.isTrue(Harness.nothingStopped(world))
      assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)))
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      const { evidence } = await Harness.detail(worker, id)
      assert.isAtLeast(evidence.hold!.measured, 4000)
      assert.match(evidence.plan!.arithmetic, /majority of 3: 3 count, 3 up.*3 − 2 \+ 1 = 2 must go.*is spared/)
      assert.isTrue(
        evidence.survivors.some(({ detail, word }) => word === "QuorumLost" && detail.includes("no leader"))
      )
      assert.isTrue(Harness.liftedInTime(evidence), JSON.stringify(evidence.fences))
      await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
    },
    Harness.within(60_000)
  )

  it(
    "lifts at once when it is cancelled, and ends Cancelled",
    async () => {
      const id = await take(60)
      await Harness.holding(worker, id)
      assert.strictEqual((await Harness.cancel(worker, id, true)).status, 400)
      assert.strictEqual((await Harness.cancel(worker, id, false)).status, 200)
      await Harness.until("the lift", 3000, () => Harness.nothingStopped(world))
      assert.deepStrictEqual(await Harness.ended(worker, id), { State: "Cancelled" })
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "that is broken from outside is Faulted with a Mismatch, never Completed",
    async () => {
      const id = await take(30)
      await Harness.holding(worker, id)
      const stopped = Harness.stoppedMembers(world)[0]!
      Harness.wake(world.lab.members.find(({ name }) => name === stopped)!.pid)
      const end = await Harness.ended(worker, id)
      assert.strictEqual(end.State, "Faulted")
      assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, -2147467260)
      assert.include(await verdictsOf(id), "Hold Mismatch")
      await recovered()
    },
    Harness.within(60_000)
  )
})
