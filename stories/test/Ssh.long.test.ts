/**
 * Goal: members on a host that is reached over ssh are found, are given back also where the connection is gone, and a host
 * that is away is said to be away. Method: the far host of `FarMembers`.
 */
import { randomUUID } from "node:crypto"
import { assert, it } from "vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import { config, onFarHost, sshd, startWorker, takeHostAway, worker, world } from "./FarMembers.ts"
import * as Harness from "./Harness.ts"

onFarHost(() => {
  it(
    "are found by a check of the configuration without any worker",
    async () => {
      const { code, stdout } = await Harness.inq("target", "check", config)
      assert.strictEqual(code, 0, stdout)
      assert.strictEqual(stdout.match(/pid \d+ on node-1/g)?.length, 3, stdout)
      assert.include(stdout, "Nothing is missing.")
    },
    Harness.within(60_000)
  )

  it(
    "are given back by their keepers when the connection and the worker are both gone",
    async () => {
      const id = randomUUID()
      const partition = await Harness.partitionOf(worker, world)
      await Harness.startLoss(worker, world, { id, partition, seconds: 3 })
      await Harness.taken(worker, world, id, 2)
      Sshd.cut(sshd)
      worker.kill("SIGKILL")
      await worker.ended
      assert.strictEqual(Harness.stoppedMembers(world).length, 2, "the end of a connection is no lift")
      await Harness.until("nothing stopped", 15_000, () => Harness.nothingStopped(world))
      await startWorker()
      await Harness.ended(worker, id, 60_000)
    },
    Harness.within(90_000)
  )

  it(
    "are not touched while the host is away, which is what the operation then says",
    async () => {
      const partition = await Harness.partitionOf(worker, world)
      await takeHostAway()
      const id = randomUUID()
      await Harness.startLoss(worker, world, { id, partition, seconds: 2 })
      const end = await Harness.ended(worker, id, 60_000)
      assert.strictEqual(end.State, "Faulted")
      assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, -2147017796)
      assert.isTrue(Harness.nothingStopped(world))
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
    },
    Harness.within(90_000)
  )
})
