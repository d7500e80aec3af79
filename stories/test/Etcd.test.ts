/**
 * Goal: the main job on a real etcd cluster with etcd's own timing, on its own, cancelled, broken from outside and with the
 * worker killed. Method: the bundled worker as a process; the observer trusts /proc and its own PUTs at every member.
 */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

let world: Harness.World
let worker: Harness.Worker
let partition: string

beforeAll(async () => {
  world = await Harness.open("etcd", "keys")
  worker = await Harness.startWorker(world, "etcd.db")
  partition = await Harness.partitionOf(worker, world)
}, Harness.within(120_000))

afterAll(async () => {
  await Harness.close(world)
}, Harness.within(60_000))

/** Starts a loss and waits until its members are really stopped. */
const take = async (seconds: number, mode: "QuorumReplicas" | "AllReplicas" = "QuorumReplicas"): Promise<string> => {
  const id = randomUUID()
  const started = await Harness.startLoss(worker, world, { id, partition, seconds, mode })
  assert.deepStrictEqual(started, { status: 202, body: "" })
  await Harness.taken(worker, world, id, mode === "AllReplicas" ? 3 : 2)
  return id
}

const recovered = async (): Promise<void> => {
  await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
  await Harness.until("PUTs are acknowledged again", 20_000, () => Harness.writeCommits(world, 1000))
  // A member may hear of the new leader after the PUTs, and the next loss is refused until then.
  await Harness.whole(worker, world)
}

const verdictsOf = async (id: string): Promise<ReadonlyArray<string>> =>
  (await Harness.detail(worker, id)).evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`)

const confirmed = ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"]

describe("a quorum loss on etcd", () => {
  it(
    "is taken, held, lifted and found recovered, and the leader that was left says so",
    async () => {
      const id = await take(4)
      assert.isFalse(await Harness.writeCommits(world, 700), "a PUT was acknowledged without its quorum")
      assert.deepStrictEqual(await Harness.progress(worker, id), { State: "Running" })
      assert.deepStrictEqual(await Harness.ended(worker, id), {
        State: "Completed",
        InvokeQuorumLossResult: {
          ErrorCode: 0,
          SelectedPartition: { ServiceName: "fabric:/keys/raft", PartitionId: partition }
        }
      })
      assert.isTrue(Harness.nothingStopped(world))
      assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)))
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      const { evidence } = await Harness.detail(worker, id)
      assert.isAtLeast(evidence.hold!.measured, 4000)
      assert.match(evidence.plan!.arithmetic, /majority of 3: 3 count, 3 up.*3 − 2 \+ 1 = 2 must go.*is spared/)
      assert.isTrue(
        evidence.survivors.some(({ detail, word }) => word === "QuorumLost" && detail.includes("no leader"))
      )
      assert.isTrue(Harness.liftedInTime(evidence), JSON.stringify(evidence.fences))
      await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
    },
    Harness.within(60_000)
  )

  it(
    "is Confirmed in a hold that ends before the leader can have stepped down",
    async () => {
      const id = await take(2)
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "of all replicas is Confirmed although nobody is left to say it",
    async () => {
      const id = await take(3, "AllReplicas")
      assert.isFalse(await Harness.writeCommits(world, 700), "a PUT was acknowledged by stopped members")
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
      assert.deepStrictEqual(await verdictsOf(id), confirmed)
      const { evidence } = await Harness.detail(worker, id)
      assert.isFalse(evidence.survivors.some(({ word }) => word !== "Silent"))
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "lifts at once when it is cancelled, and ends Cancelled",
    async () => {
      const id = await take(60)
      await Harness.holding(worker, id)
      assert.strictEqual((await Harness.cancel(worker, id, true)).status, 400)
      assert.strictEqual((await Harness.cancel(worker, id, false)).status, 200)
      await Harness.until("the lift", 3000, () => Harness.nothingStopped(world))
      assert.deepStrictEqual(await Harness.ended(worker, id), { State: "Cancelled" })
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "that is broken from outside is Faulted with a Mismatch, never Completed",
    async () => {
      const id = await take(30)
      await Harness.holding(worker, id)
      const stopped = Harness.stoppedMembers(world)[0]!
      Harness.wake(world.lab.members.find(({ name }) => name === stopped)!.pid)
      const end = await Harness.ended(worker, id)
      assert.strictEqual(end.State, "Faulted")
      assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, -2147467260)
      assert.include(await verdictsOf(id), "Hold Mismatch")
      await recovered()
    },
    Harness.within(60_000)
  )

  it(
    "outlives a killed worker until its deadline, and a new one finds how it ended",
    async () => {
      const id = await take(4)
      await Harness.holding(worker, id)
      worker.kill("SIGKILL")
      await worker.ended
      assert.isFalse(Harness.nothingStopped(world), "a dead worker must not end the hold")
      await Harness.until("every fence off", 10_000, () => Harness.nothingStopped(world))
      await Harness.until("PUTs are acknowledged again", 20_000, () => Harness.writeCommits(world, 1000))
      worker = await Harness.startWorker(world, "etcd.db")
      const end = await Harness.ended(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify((await Harness.detail(worker, id)).evidence.notes))
      assert.isAbove((await Harness.detail(worker, id)).evidence.unobserved, 0)
      await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      await recovered()
    },
    Harness.within(60_000)
  )
})
