/**
 * Goal: a loss on a real etcd cluster with etcd's own timing is proven also in a short hold, of all replicas, and with the
 * worker killed. Method: the bundled worker as a process; the observer trusts /proc and its own PUTs at every member.
 */
import { assert, describe, it } from "vitest"
import { confirmed, onOneLab, recovered, startWorker, take, verdictsOf, worker, world } from "./EtcdLosses.ts"
import * as Harness from "./Harness.ts"

onOneLab()

describe("a quorum loss on etcd", () => {
  it(
    "is Confirmed in a hold that ends before the leader can have stepped down",
    async () => {
      const id = await take(2)
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "of all replicas is Confirmed although nobody is left to say it",
    async () => {
      const id = await take(3, "AllReplicas")
      assert.isFalse(await Harness.writeCommits(world, 700), "a PUT was acknowledged by stopped members")
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      const { evidence } = await Harness.detail(worker, id)
      assert.isFalse(evidence.survivors.some(({ word }) => word !== "Silent"))
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "outlives a killed worker until its deadline, and a new one finds how it ended",
    async () => {
      const id = await take(4)
      await Harness.holding(worker, id)
      worker.kill("SIGKILL")
      await worker.ended
      assert.isFalse(Harness.nothingStopped(world), "a dead worker must not end the hold")
      await Harness.until("every fence off", 10_000, () => Harness.nothingStopped(world))
      await Harness.until("PUTs are acknowledged again", 20_000, () => Harness.writeCommits(world, 1000))
      await startWorker()
      const end = await Harness.ended(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify((await Harness.detail(worker, id)).evidence.notes))
      assert.isAbove((await Harness.detail(worker, id)).evidence.unobserved, 0)
      await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      await recovered()
    },
    Harness.within(60_000)
  )
})
