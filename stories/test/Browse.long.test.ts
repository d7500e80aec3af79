/**
 * Goal: the browse calls answer at once while members are stopped. They say InQuorumLoss of the held partition, and
 * Ready of it again afterwards. Method: every browse call by hand, again and again, on each system.
 */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

/** Promised is a second; asserted is what a busy machine keeps too. */
const answerMost = Harness.within(2000)

for (const system of ["postgres", "etcd"] as const) {
  describe(`browsing ${system}`, () => {
    let world: Harness.World
    let worker: Harness.Worker
    let partition: string

    beforeAll(async () => {
      world = await Harness.open(system, "seen")
      worker = await Harness.startWorker(world, "browse.db")
      partition = await Harness.partitionOf(worker, world)
    }, Harness.within(120_000))

    afterAll(() => Harness.close(world), Harness.within(60_000))

    const calls = () => {
      const service = `seen~${Harness.groupOf(world)}`
      return [
        "/Nodes?api-version=6.0",
        "/Applications?api-version=6.1",
        "/Applications/seen?api-version=6.0",
        "/Applications/seen/$/GetServices?api-version=6.0",
        `/Applications/seen/$/GetServices/${service}?api-version=6.0`,
        `/Services/${service}/$/GetDescription?api-version=6.0`,
        `/Services/${service}/$/GetPartitions?api-version=6.4`,
        `/Partitions/${partition}?api-version=6.0`,
        `/Partitions/${partition}/$/GetServiceName?api-version=6.0`,
        `/Partitions/${partition}/$/GetReplicas?api-version=6.0`,
        "/$/GetClusterHealth?api-version=6.0",
        "/$/GetClusterManifest?api-version=6.0",
        "/v1/clusters",
        "/v1/operations",
        "/Faults/?api-version=6.0"
      ]
    }

    const browse = async (): Promise<void> => {
      // All at once: each must keep its time although the others ask too.
      const asked = calls().map(async (at) => {
        const began = Date.now()
        const { status } = await Harness.call(worker, "GET", at)
        return { at, status, took: Date.now() - began }
      })
      for (const { at, status, took } of await Promise.all(asked)) {
        assert.strictEqual(status, 200, at)
        assert.isBelow(took, answerMost, at)
      }
    }

    const statusOf = async (): Promise<string> => {
      const { body } = await Harness.call(worker, "GET", `/Partitions/${partition}?api-version=6.0`)
      return (body as { readonly PartitionStatus: string }).PartitionStatus
    }

    for (const mode of ["QuorumReplicas", "AllReplicas"] as const) {
      it(
        `during ${mode} answers at once, tells the loss, and that it is over`,
        async () => {
          assert.strictEqual(await statusOf(), "Ready")
          await browse()
          const id = randomUUID()
          await Harness.startLoss(worker, world, { id, partition, seconds: 60, mode })
          await Harness.holding(worker, id)
          assert.strictEqual(await statusOf(), "InQuorumLoss")
          await browse()
          assert.notStrictEqual(Harness.stoppedMembers(world).length, 0, "it was browsed during the hold")
          assert.strictEqual((await Harness.cancel(worker, id, false)).status, 200)
          await Harness.ended(worker, id)
          await Harness.until("Ready", 20_000, async () => (await statusOf()) === "Ready")
          await browse()
          await Harness.until("writes are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))
          await Harness.whole(worker, world)
        },
        Harness.within(90_000)
      )
    }
  })
}
