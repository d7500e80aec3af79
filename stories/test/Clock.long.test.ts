/**
 * Goal: a wall clock that is stepped during a hold changes neither the hold's length nor what the evidence says, and a
 * clock that is wrong keeps new holds from beginning. Method: only the worker lives under this clock, which a signal
 * steps.
 */
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

let world: Harness.World
let worker: Harness.Worker
let partition: string

beforeAll(async () => {
  world = await Harness.open("etcd", "time")
  worker = await Harness.startWorker(world, "clock.db", {
    node: ["--import", path.join(import.meta.dirname, "steppedClock.mjs")]
  })
  partition = await Harness.partitionOf(worker, world)
}, Harness.within(120_000))

afterAll(() => Harness.close(world), Harness.within(60_000))

const stepTo = async (offset: number): Promise<void> => {
  const told = `the wall clock is off by ${offset} ms`
  const before = worker.log().split(told).length
  worker.kill("SIGUSR2")
  await Harness.until(told, 5000, () => worker.log().split(told).length > before)
}

describe("a wall clock that is stepped", () => {
  it(
    "forward and back by an hour during a hold leaves the hold and its evidence as they were",
    async () => {
      const id = randomUUID()
      const began = Date.now()
      assert.strictEqual((await Harness.startLoss(worker, world, { id, partition, seconds: 5 })).status, 202)
      await Harness.holding(worker, id)
      await stepTo(3_600_000)
      assert.isFalse(await Harness.writeCommits(world, 700), "the step ended the hold")
      await stepTo(-3_600_000)
      assert.isFalse(await Harness.writeCommits(world, 700), "the step ended the hold")
      const end = await Harness.ended(worker, id)
      const { evidence, operation } = await Harness.detail(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify(evidence.notes))
      assert.isAtLeast(evidence.hold!.measured, 5000)
      assert.isBelow(evidence.hold!.measured, Harness.within(7000))
      assert.isTrue(evidence.verdicts.every(({ outcome }) => outcome === "Confirmed"))
      assert.strictEqual(evidence.unobserved, 0)
      assert.isTrue(Harness.liftedInTime(evidence), JSON.stringify(evidence.fences))
      const moments = evidence.phases.map((phase) => phase.began)
      assert.deepStrictEqual(
        moments,
        [...moments].sort((a, b) => a - b)
      )
      for (const moment of [...moments, operation.endedAt!]) {
        assert.isAtLeast(moment, began - 1000)
        assert.isAtMost(moment, Date.now() + 1000)
      }
    },
    Harness.within(60_000)
  )

  it(
    "and stays wrong keeps the next hold from beginning, until it is right again",
    async () => {
      const refused = randomUUID()
      assert.strictEqual((await Harness.startLoss(worker, world, { id: refused, partition, seconds: 1 })).status, 202)
      const end = await Harness.ended(worker, refused)
      assert.strictEqual(end.InvokeQuorumLossResult?.ErrorCode, -2147017731, JSON.stringify(end))
      const { evidence } = await Harness.detail(worker, refused)
      assert.strictEqual(evidence.refusals[0]!._tag, "ClockSkew")
      assert.match(
        evidence.notes.map(({ text }) => text).join("\n"),
        /more than 1000 ms is not allowed\. Set the clocks/
      )
      await stepTo(0)
      const id = randomUUID()
      assert.strictEqual((await Harness.startLoss(worker, world, { id, partition, seconds: 1 })).status, 202)
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
    },
    Harness.within(60_000)
  )
})
