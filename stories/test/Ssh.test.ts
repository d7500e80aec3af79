/**
 * Goal: members on a host that is reached over ssh are broken and given back as on this machine. Method: the far host of
 * `FarMembers`.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { onFarHost, sshd, worker, world } from "./FarMembers.ts"
import * as Harness from "./Harness.ts"

onFarHost(() => {
  it(
    "lose their quorum and get it back, by keepers on that host",
    async () => {
      const id = randomUUID()
      const partition = await Harness.partitionOf(worker, world)
      await Harness.startLoss(worker, world, { id, partition, seconds: 4 })
      await Harness.taken(worker, world, id, 2)
      const end = await Harness.ended(worker, id)
      const { evidence } = await Harness.detail(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify(evidence.notes))
      assert.isTrue(evidence.fences.every(({ host }) => host === "node-1"))
      assert.isTrue(Harness.nothingStopped(world))
      assert.isTrue(fs.existsSync(path.join(sshd.state, "fences", id)), "the record is not on the far side")
    },
    Harness.within(60_000)
  )
})
