/**
 * Goal: a store whose disk is full refuses what is new, loses nothing of what it took, and goes on when there is space
 * again. Method: a file system of four megabytes under the store, filled while an operation holds. Needs the right to mount.
 */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const small = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-small-"))
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", small]).status === 0

afterAll(() => {
  if (mounted) assert.strictEqual(spawnSync("umount", [small]).status, 0)
  fs.rmSync(small, { recursive: true, force: true, maxRetries: 10 })
})

describe.skipIf(!mounted)("a full disk under the store, skipped where mounting is not permitted", () => {
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  beforeAll(async () => {
    world = await Harness.open("etcd", "full")
    worker = await Harness.startWorker(world, "unused.db", {
      arguments: ["--store", `sqlite:${path.join(small, "worker.db")}`]
    })
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    // Where it did not start, the lab has to go all the same.
    worker?.kill("SIGKILL")
    await worker?.ended
    await Harness.close(world)
  }, Harness.within(60_000))

  const start = (id: string, seconds: number) => Harness.startLoss(worker, world, { id, partition, seconds })

  const told = /worker\.db cannot grow .*Free space on its disk/

  /** Writes until nothing more goes in. */
  const fill = (): void => {
    const file = fs.openSync(path.join(small, "filler"), "a")
    for (const size of [65_536, 4096, 512]) {
      try {
        for (;;) fs.writeSync(file, Buffer.alloc(size))
      } catch (error) {
        assert.strictEqual((error as NodeJS.ErrnoException).code, "ENOSPC")
      }
    }
    fs.closeSync(file)
  }

  it(
    "refuses starts with 503 and a sentence, lets the hold end, and goes on when there is space",
    async () => {
      const before = randomUUID()
      assert.strictEqual((await start(before, 1)).status, 202)
      assert.strictEqual((await Harness.ended(worker, before)).State, "Completed")

      fill()
      const own = await Harness.call(worker, "PUT", `/v1/operations/${randomUUID()}`, {
        serviceName: "fabric:/full/raft",
        partitionId: partition,
        mode: "QuorumReplicas",
        hold: 1000
      })
      assert.strictEqual(own.status, 503, own.message)
      assert.match(own.message, told)
      const inq = await Harness.inq("--endpoint", worker.endpoint, "start", "full", "--duration", "1s")
      assert.strictEqual(inq.code, 3)
      assert.match(inq.stderr, told)
      fs.rmSync(path.join(small, "filler"))

      const during = randomUUID()
      assert.strictEqual((await start(during, 6)).status, 202)
      await Harness.holding(worker, during)
      fill()
      const refused: Array<string> = []
      // What the log has room for in itself is still taken; it is soon at its end.
      const accepted: Array<string> = []
      await Harness.until("a start is refused", 20_000, async () => {
        const id = randomUUID()
        const { body, status } = await start(id, 0)
        if (status === 202) accepted.push(id)
        else {
          assert.strictEqual(status, 503, body)
          assert.match(body, told)
          refused.push(id)
        }
        return status === 503
      })
      assert.strictEqual((await Harness.call(worker, "GET", "/healthz")).status, 200)
      assert.strictEqual((await Harness.progress(worker, before)).State, "Completed", "reading goes on")
      await Harness.until("every fence off", 20_000, () => Harness.nothingStopped(world))
      await Harness.until("PUTs are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))

      fs.rmSync(path.join(small, "filler"))
      const end = await Harness.ended(worker, during, 30_000)
      assert.include(["Completed", "Faulted"], end.State, JSON.stringify(end))
      for (const id of accepted) await Harness.ended(worker, id)
      await Harness.whole(worker, world)
      const after = randomUUID()
      assert.strictEqual((await start(after, 1)).status, 202)
      const last = await Harness.ended(worker, after)
      assert.strictEqual(last.State, "Completed", JSON.stringify((await Harness.detail(worker, after)).evidence.notes))
      assert.deepStrictEqual(
        (await Harness.operations(worker)).map(({ OperationId }) => OperationId),
        [before, during, ...accepted, after]
      )
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(120_000)
  )
})
