/**
 * Goal: the main job on a real PostgreSQL quorum group, seen from outside. Method: a lab, the bundled worker as a process,
 * the wire by hand, and processes killed and frozen at chosen moments; the observer trusts /proc and its own writes.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

let world: Harness.World
let partition: string
let store = 0

const fresh = () => `worker-${++store}.db`

beforeAll(async () => {
  world = await Harness.open("postgres", "orders")
  const worker = await Harness.startWorker(world, fresh())
  partition = await Harness.partitionOf(worker, world)
  worker.kill("SIGTERM")
  assert.strictEqual(await worker.ended, 0)
}, Harness.within(120_000))

afterAll(async () => {
  await Harness.close(world)
}, Harness.within(60_000))

/** Runs a story with a worker of its own and ends it politely. */
const withWorker = async (story: (worker: Harness.Worker) => Promise<void>): Promise<void> => {
  const worker = await Harness.startWorker(world, fresh())
  try {
    await story(worker)
  } finally {
    worker.kill("SIGTERM")
    await worker.ended
    await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
    await Harness.until("writes commit again", 20_000, () => Harness.writeCommits(world, 1000))
  }
}

/** Starts a loss and waits until both standbys are really stopped. */
const takeQuorum = async (worker: Harness.Worker, seconds: number): Promise<string> => {
  const id = randomUUID()
  assert.deepStrictEqual(await Harness.startLoss(worker, world, { id, partition, seconds }), { status: 202, body: "" })
  await Harness.taken(worker, world, id, 2)
  return id
}

const deadlineOf = async (worker: Harness.Worker, id: string): Promise<number> => {
  const { stage } = (await Harness.detail(worker, id)).operation
  assert.isTrue(stage._tag === "Advancing" && stage.step._tag === "PerformingActions")
  return stage._tag === "Advancing" && stage.step._tag === "PerformingActions" ? stage.step.order.deadline : 0
}

describe("a quorum loss on PostgreSQL", () => {
  it(
    "is taken, held, lifted and found recovered",
    () =>
      withWorker(async (worker) => {
        const id = await takeQuorum(worker, 3)
        assert.deepStrictEqual([...Harness.stoppedMembers(world)].sort(), ["s1", "s2"])
        assert.isFalse(await Harness.writeCommits(world, 700), "a write committed without its quorum")
        assert.deepStrictEqual(await Harness.progress(worker, id), { State: "Running" })
        assert.deepStrictEqual(await Harness.ended(worker, id), {
          State: "Completed",
          InvokeQuorumLossResult: {
            ErrorCode: 0,
            SelectedPartition: { ServiceName: "fabric:/orders/quorum", PartitionId: partition }
          }
        })
        assert.isTrue(Harness.nothingStopped(world))
        assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)))
        const { evidence } = await Harness.detail(worker, id)
        assert.deepStrictEqual(
          evidence.verdicts.map(({ about, outcome }) => [about, outcome]),
          [
            ["Loss", "Confirmed"],
            ["Hold", "Confirmed"],
            ["Recovery", "Confirmed"]
          ]
        )
        assert.deepStrictEqual(
          evidence.fences.map(({ grade, member }) => [member, grade]),
          [
            ["s1", "Kernel"],
            ["s2", "Kernel"]
          ]
        )
        assert.isTrue(Harness.liftedInTime(evidence), JSON.stringify(evidence.fences))
        assert.strictEqual(evidence.hold!.asked, 3000)
        assert.isAtLeast(evidence.hold!.measured, 3000)
        assert.match(evidence.plan!.arithmetic, /ANY 1 \(s1, ?s2\).*2 − 1 \+ 1 = 2 must go/)
        assert.isTrue(
          evidence.survivors.some(({ detail, word }) => word === "QuorumLost" && detail.includes("SyncRep"))
        )
        await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      }),
    Harness.within(60_000)
  )

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

  it(
    "lifts at once when it is cancelled, and ends Cancelled",
    () =>
      withWorker(async (worker) => {
        const id = await takeQuorum(worker, 60)
        await Harness.holding(worker, id)
        assert.deepStrictEqual(await Harness.cancel(worker, id, true), {
          status: 400,
          code: "FABRIC_E_INVALID_TEST_COMMAND_STATE"
        })
        assert.strictEqual((await Harness.cancel(worker, id, false)).status, 200)
        await Harness.until("the lift", 3000, () => Harness.nothingStopped(world))
        assert.deepStrictEqual(await Harness.ended(worker, id), { State: "Cancelled" })
        assert.deepStrictEqual(await Harness.cancel(worker, id, false), { status: 404, code: "FABRIC_E_KEY_NOT_FOUND" })
      }),
    Harness.within(60_000)
  )

  it(
    "that is broken from outside is Faulted with a Mismatch, never Completed",
    () =>
      withWorker(async (worker) => {
        const id = await takeQuorum(worker, 30)
        await Harness.holding(worker, id)
        Harness.wake(world.lab.members[1]!.pid)
        const end = await Harness.ended(worker, id)
        assert.strictEqual(end.State, "Faulted")
        assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, -2147467260)
        const { evidence } = await Harness.detail(worker, id)
        assert.isTrue(
          evidence.verdicts.some(({ outcome }) => outcome === "Mismatch"),
          JSON.stringify(evidence.verdicts)
        )
        assert.isTrue(Harness.nothingStopped(world))
      }),
    Harness.within(60_000)
  )
})

describe("when the worker is killed during the hold", () => {
  it(
    "and stays dead, every fence is off by the deadline and the group takes writes again",
    async () => {
      const worker = await Harness.startWorker(world, fresh())
      const id = await takeQuorum(worker, 3)
      await Harness.holding(worker, id)
      const deadline = await deadlineOf(worker, id)
      worker.kill("SIGKILL")
      await worker.ended
      assert.isFalse(
        Harness.nothingStopped(world) && Date.now() < deadline,
        "a dead worker must not end the hold before its time"
      )
      await Harness.until("every fence off", deadline - Date.now() + 5000, () => Harness.nothingStopped(world))
      await Harness.until("writes commit again", 10_000, () => Harness.writeCommits(world, 1000))
      await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
    },
    Harness.within(60_000)
  )

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
