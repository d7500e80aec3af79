/**
 * Goal: what was accepted is never lost, and a store that cannot be written is named. Method: workers killed with
 * SIGKILL in the middle of many commits, over and over on one file; and a file system that takes no writes.
 */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

let world: Harness.World

beforeAll(async () => {
  world = await Harness.open("etcd", "abused")
}, Harness.within(120_000))

afterAll(async () => {
  await Harness.close(world)
}, Harness.within(60_000))

describe("a store that is abused", () => {
  it(
    "keeps every start that was accepted when its worker is killed in the middle of commits",
    async () => {
      const accepted: Array<string> = []
      let unanswered = 0
      let worker = await Harness.startWorker(world, "killed.db")
      for (let round = 0; round < 4; round++) {
        const target = accepted.length + 100 + Math.floor(Math.random() * 100)
        const load = { on: true }
        const loads = Array.from({ length: 16 }, async () => {
          while (load.on) {
            const id = randomUUID()
            try {
              // No such service: each is stored, looked up and ends Faulted, which makes the most commits.
              const { status } = await Harness.startLoss(worker, world, {
                id,
                partition: id,
                seconds: 1,
                service: "no~one"
              })
              assert.strictEqual(status, 202)
              accepted.push(id)
            } catch {
              unanswered++
              return
            }
          }
        })
        await Harness.until("enough to be accepted", 20_000, () => accepted.length >= target)
        worker.kill("SIGKILL")
        await worker.ended
        load.on = false
        await Promise.all(loads)
        worker = await Harness.startWorker(world, "killed.db")
      }
      for (const id of accepted) {
        const { InvokeQuorumLossResult, State } = await Harness.ended(worker, id)
        assert.strictEqual(State, "Faulted")
        assert.strictEqual(InvokeQuorumLossResult!.ErrorCode, -2147017779)
      }
      const listed = (await Harness.operations(worker)).map(({ OperationId }) => OperationId)
      assert.strictEqual(new Set(listed).size, listed.length, "an operation is listed twice")
      process.stdout.write(`${accepted.length} accepted before four kills and none lost, ${unanswered} unanswered\n`)
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
    },
    Harness.within(120_000)
  )

  it(
    "says which file cannot be written, and ends with 3, where its file system is read-only",
    async (context) => {
      const folder = path.join(world.folder, "read-only")
      fs.mkdirSync(folder)
      const file = path.join(folder, "worker.db")
      const first = await Harness.startWorker(world, "unused.db", { arguments: ["--store", `sqlite:${file}`] })
      first.kill("SIGTERM")
      await first.ended
      const mount = (...words: ReadonlyArray<string>) => spawnSync("mount", [...words]).status === 0
      if (!mount("--bind", folder, folder)) return context.skip("mounting is not permitted here")
      try {
        assert.isTrue(mount("-o", "remount,bind,ro", folder))
        const failure = await Harness.startWorker(world, "unused.db", {
          arguments: ["--store", `sqlite:${file}`]
        }).then(
          (worker) => worker.kill("SIGKILL"),
          (error: Error) => error.message
        )
        assert.match(String(failure), /ended with 3 .*worker\.db cannot be opened or written .*may write there/s)
      } finally {
        assert.strictEqual(spawnSync("umount", [folder]).status, 0)
      }
    },
    Harness.within(60_000)
  )
})
