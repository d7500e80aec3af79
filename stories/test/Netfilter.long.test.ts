/**
 * Goal: the quorum of a real etcd is taken by the kernel's packet filter through the whole worker, with no process
 * stopped, and comes back by the kernel alone when the worker is dead. Method: a lab on loopback whose configuration
 * names the netfilter injector; skipped by name where the kernel does not let us.
 */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const allowed = spawnSync("nft", ["list", "tables"]).status === 0

describe.skipIf(!allowed)(`a cut by netfilter${allowed ? "" : " (skipped: needs nft and CAP_NET_ADMIN)"}`, () => {
  let world: Harness.World
  let config: string

  // A table's name ends with the checksum of the state directory: another test may have tables of its own.
  const tables = (): ReadonlyArray<string> => {
    const [own] = spawnSync("cksum", { input: world.fences, encoding: "utf8" }).stdout.split(" ")
    const { stdout } = spawnSync("nft", ["list", "tables"], { encoding: "utf8" })
    return stdout.split("\n").filter((line) => line.endsWith(`_${own}`))
  }

  beforeAll(async () => {
    world = await Harness.open("etcd", "cut")
    const clusters = { cut: { ...(world.lab.configuration as object), injector: "netfilter" } }
    config = Harness.writeConfig(world, "netfilter.yaml", { clusters })
  }, Harness.within(120_000))

  afterAll(async () => {
    await Harness.close(world)
    assert.deepStrictEqual(tables(), [])
  }, Harness.within(60_000))

  const begin = async (worker: Harness.Worker, seconds: number): Promise<string> => {
    const id = randomUUID()
    const partition = await Harness.partitionOf(worker, world)
    assert.strictEqual((await Harness.startLoss(worker, world, { id, partition, seconds })).status, 202)
    return id
  }

  it(
    "loses the quorum, holds it, gives it back, and proves all three, with no process stopped",
    async () => {
      const worker = await Harness.startWorker(world, "netfilter.db", { config })
      const id = await begin(worker, 4)
      await Harness.holding(worker, id)
      assert.isAbove(tables().length, 0)
      assert.isTrue(Harness.nothingStopped(world))
      assert.isFalse(await Harness.writeCommits(world, 700), "a write committed without its quorum")
      const end = await Harness.ended(worker, id)
      const { evidence } = await Harness.detail(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify([evidence.verdicts, evidence.notes]))
      assert.deepStrictEqual([...new Set(evidence.fences.map(({ grade }) => grade))], ["Kernel"])
      assert.deepStrictEqual(tables(), [])
      worker.kill("SIGTERM")
      await worker.ended
    },
    Harness.within(60_000)
  )

  it(
    "is ended by the kernel when the worker is killed and stays dead",
    async () => {
      const worker = await Harness.startWorker(world, "netfilter-dead.db", { config })
      const id = await begin(worker, 8)
      await Harness.holding(worker, id)
      worker.kill("SIGKILL")
      await worker.ended
      assert.isFalse(await Harness.writeCommits(world, 500), "a dead worker must not end the hold")
      await Harness.until("writes commit again", 20_000, () => Harness.writeCommits(world, 1000))
      // A fence whose deadline the worker had no time to bring forward ends a moment after the other one.
      await Harness.until("no table is left by a sweep", 10_000, async () => {
        const after = Harness.startInq(["doctor", "--sweep"])
        assert.strictEqual((await after.done).code, 0, after.stdout())
        return tables().length === 0
      })
      assert.isTrue(fs.existsSync(world.fences))
    },
    Harness.within(60_000)
  )
})
