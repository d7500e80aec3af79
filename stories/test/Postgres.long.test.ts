/**
 * Goal: a loss on a real PostgreSQL quorum group ends as it should, also of all replicas, and whenever processes die or
 * freeze. Method: a lab, the bundled worker as a process, the wire by hand, and processes killed and frozen at chosen
 * moments; the observer trusts /proc and its own writes.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { deadlineOf, fresh, onOneLab, partition, takeQuorum, withWorker, world } from "./PostgresLosses.ts"

onOneLab()

describe("a quorum loss on PostgreSQL", () => {
  it(
    "of all replicas is Confirmed although nobody is left to say it",
    () =>
      withWorker(async (worker) => {
        const id = randomUUID()
        const asked = { id, partition, seconds: 3, mode: "AllReplicas" }
        assert.strictEqual((await Harness.startLoss(worker, world, asked)).status, 202)
        await Harness.taken(worker, world, id, 3)
        const end = await Harness.ended(worker, id)
        const { evidence } = await Harness.detail(worker, id)
        assert.strictEqual(end.State, "Completed", JSON.stringify(evidence.notes))
        assert.isTrue(evidence.verdicts.every(({ outcome }) => outcome === "Confirmed"))
        assert.isFalse(evidence.survivors.some(({ word }) => word !== "Silent"))
      }),
    Harness.within(60_000)
  )
})

describe("when the worker is killed during the hold", () => {
  it(
    "together with one keeper of its fences, the other keeper ends them",
    async () => {
      const worker = await Harness.startWorker(world, fresh())
      const id = await takeQuorum(worker, 3)
      await Harness.holding(worker, id)
      const deadline = await deadlineOf(worker, id)
      worker.kill("SIGKILL")
      await worker.ended
      // One pair and one holder stand by both members. A keeper that starts a command is seen twice for a moment.
      let pair: ReadonlyArray<number> = []
      await Harness.until("one pair of keepers", 2000, () => (pair = keepersOf(world)).length === 2)
      const [doomed, other] = pair
      process.kill(doomed!, "SIGKILL")
      await Harness.until("one keeper left", 2000, () => keepersOf(world).join() === String(other))
      await Harness.until("every fence off", deadline - Date.now() + 5000, () => Harness.nothingStopped(world))
      await Harness.until("writes commit again", 10_000, () => Harness.writeCommits(world, 1000))
    },
    Harness.within(60_000)
  )

  it(
    "and started again, the operation goes on with the time that remains",
    async () => {
      const name = fresh()
      const first = await Harness.startWorker(world, name)
      const id = await takeQuorum(first, 8)
      await Harness.holding(first, id)
      const deadline = await deadlineOf(first, id)
      first.kill("SIGKILL")
      await first.ended
      const second = await Harness.startWorker(world, name)
      assert.strictEqual((await Harness.progress(second, id)).State, "Running")
      const end = await Harness.ended(second, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify((await Harness.detail(second, id)).evidence.notes))
      const { evidence } = await Harness.detail(second, id)
      assert.isAbove(evidence.unobserved, 0)
      assert.isAtLeast(evidence.hold!.measured, 8000)
      assert.isTrue(evidence.fences.every(({ offAt }) => offAt! <= deadline + Harness.overrunMost))
      assert.isAtLeast(evidence.owners.length, 2)
      second.kill("SIGTERM")
      await second.ended
    },
    Harness.within(60_000)
  )

  it(
    "and started again after the keepers ended it, the operation ends and nothing is stopped again",
    async () => {
      const name = fresh()
      const first = await Harness.startWorker(world, name)
      const id = await takeQuorum(first, 2)
      await Harness.holding(first, id)
      first.kill("SIGKILL")
      await first.ended
      await Harness.until("every fence off", 10_000, () => Harness.nothingStopped(world))
      const second = await Harness.startWorker(world, name)
      const end = await Harness.ended(second, id)
      // The keepers' record shows that the hold was kept and nothing was acknowledged while somebody watched.
      assert.strictEqual(end.State, "Completed")
      assert.isAbove((await Harness.detail(second, id)).evidence.unobserved, 0)
      assert.isTrue(Harness.nothingStopped(world))
      second.kill("SIGTERM")
      await second.ended
    },
    Harness.within(60_000)
  )
})

describe("when the worker is frozen past its lease", () => {
  it(
    "another instance finishes, and the thawed one stops nothing and writes nothing",
    async () => {
      const name = fresh()
      const frozen = await Harness.startWorker(world, name)
      const id = await takeQuorum(frozen, 6)
      await Harness.holding(frozen, id)
      frozen.kill("SIGSTOP")
      const other = await startSoon(name)
      assert.strictEqual((await Harness.ended(other, id)).State, "Completed")
      const before = await Harness.detail(other, id)
      frozen.kill("SIGCONT")
      const began = Date.now()
      await Harness.until("the thawed worker to stay harmless", 5000, () => {
        assert.isTrue(Harness.nothingStopped(world), "the thawed worker stopped something again")
        return Date.now() - began > 3000
      })
      const after = await Harness.detail(other, id)
      assert.deepStrictEqual(after.operation, before.operation)
      assert.strictEqual(after.evidence.phases.length, before.evidence.phases.length)
      other.kill("SIGTERM")
      await other.ended
      frozen.kill("SIGKILL")
      await frozen.ended
    },
    Harness.within(60_000)
  )
})

/** Starts another instance on a store whose holder is frozen, again and again until its lease has run out. */
const startSoon = async (name: string): Promise<Harness.Worker> => {
  for (let tries = 0; ; tries++) {
    try {
      return await Harness.startWorker(world, name)
    } catch (error) {
      if (tries === 40) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

/** The keepers alone, told by the word after their fences' folder. */
const keepersOf = (world: Harness.World): ReadonlyArray<number> =>
  Harness.keepers(world).filter((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[7] === "keep"
    } catch {
      return false
    }
  })
