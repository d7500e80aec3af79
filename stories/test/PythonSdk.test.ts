/**
 * Goal: Microsoft's own Python client lives a whole life of operations against a real worker that breaks a real PostgreSQL
 * group, without knowing that we are not Service Fabric. Method: `sdk_life.py`, which judges each of its calls.
 */
import { execFile, spawnSync } from "node:child_process"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const python = "/usr/bin/python3"
const missing = spawnSync(python, ["-c", "import azure.servicefabric"]).status !== 0

describe.skipIf(missing)("the Python client (azure.servicefabric), skipped where it is not installed", () => {
  let world: Harness.World
  let worker: Harness.Worker

  beforeAll(async () => {
    world = await Harness.open("postgres", "books")
    worker = await Harness.startWorker(world, "sdk.db")
  }, 120_000)

  afterAll(() => Harness.close(world), 60_000)

  it("starts, watches, browses, lists, cancels and forces, each call as it expects", async () => {
    const partition = await Harness.partitionOf(worker, world)
    const script = path.join(import.meta.dirname, "sdk_life.py")
    const output = await new Promise<string>((resolve, reject) => {
      const arguments_ = [script, worker.endpoint, "books~quorum", partition]
      execFile(python, arguments_, { timeout: 100_000 }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`))
      )
    })
    const calls = output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as readonly [name: string, passed: boolean, came: string])
    const failed = calls.filter(([, passed]) => !passed)
    console.log(`${calls.length - failed.length} of ${calls.length} calls passed`)
    assert.deepStrictEqual(failed, [])
    assert.isAtLeast(calls.length, 100)
    assert.isTrue(Harness.nothingStopped(world))
    assert.isTrue(await Harness.writeCommits(world, 3000))
  }, 120_000)
})
