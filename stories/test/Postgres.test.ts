/**
 * Goal: the main job on a real PostgreSQL quorum group, seen from outside, also where its worker dies. Method: a lab, the
 * bundled worker as a process, and the wire by hand; the observer trusts /proc and its own writes.
 */
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { deadlineOf, fresh, onOneLab, partition, takeQuorum, withWorker, world } from "./PostgresLosses.ts"

onOneLab()

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
})
