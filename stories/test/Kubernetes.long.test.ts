/**
 * Goal: the quorum of an etcd whose members are pods of a StatefulSet is taken, held and given back through a keeper
 * pod, also with its worker killed in the hold. When the keeper pod is killed, the kernel alone gives the quorum back.
 * Method: the bundled worker and a `kubectl` that runs pods as real containers by runc; the observer trusts /proc and
 * its own PUTs.
 */
import * as fs from "node:fs"
import * as KubectlDouble from "@inquorate/testkit/KubectlDouble"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as EtcdPods from "./EtcdPods.ts"
import * as Harness from "./Harness.ts"
import * as PodNetwork from "./PodNetwork.ts"

const { skip } = EtcdPods

describe.skipIf(skip !== undefined)(`etcd in pods${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  const scope = Scope.makeUnsafe()
  let double: KubectlDouble.KubectlDouble
  let network: PodNetwork.PodNetwork
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  beforeAll(async () => {
    double = await Effect.runPromise(Scope.provide(KubectlDouble.start(["one"]), scope))
    network = PodNetwork.make("198.19.252")
    world = await EtcdPods.start("pods", double, network, ["one", "one", "one"])
    worker = await Harness.startWorker(world, "pods.db")
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    worker?.kill("SIGTERM")
    await worker?.ended
    try {
      // The deletion of a worker's pod goes on after its end; that of the one that was killed may be left.
      await Harness.until("at most one pod is left", 15_000, () => (double?.pods("inquorate") ?? []).length <= 1)
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      network?.remove()
      fs.rmSync(world.folder, { recursive: true, force: true, maxRetries: 10 })
    }
  }, Harness.within(60_000))

  const begin = (seconds: number): Promise<string> => Harness.hold(worker, world, { partition, seconds })

  const confirmed = ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"]

  const isProven = async (id: string, by: ReadonlyArray<string>): Promise<void> => {
    const { evidence } = await Harness.detail(worker, id)
    const verdicts = evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`)
    assert.deepStrictEqual(verdicts, confirmed, JSON.stringify(evidence.notes))
    for (const { grade, liftedBy } of evidence.fences) {
      assert.strictEqual(grade, "Kernel")
      assert.include(by, liftedBy)
    }
  }

  it(
    "are found by a check of the configuration, which leaves no keeper pod behind",
    async () => {
      const before = double.pods("inquorate")
      const { code, stdout } = await Harness.inq("target", "check", world.config)
      assert.strictEqual(code, 0, stdout)
      assert.strictEqual(stdout.match(/pid \d+ on prod\/one/g)?.length, 3, stdout)
      await Harness.until("its pod is gone", 15_000, () => double.pods("inquorate").length <= before.length)
    },
    Harness.within(60_000)
  )

  it(
    "lose their quorum, are held, given back and found recovered",
    async () => {
      const id = await begin(4)
      assert.lengthOf(Harness.stoppedMembers(world), 2)
      assert.isFalse(await Harness.writeCommits(world, 700), "a write was acknowledged without its quorum")
      const end = await Harness.ended(worker, id, Harness.within(40_000))
      assert.strictEqual(end.State, "Completed", worker.log())
      await isProven(id, ["Worker"])
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(90_000)
  )

  it(
    "are given back by another worker, through a pod of its own, when theirs is killed in the hold",
    async () => {
      const id = await begin(8)
      worker.kill("SIGKILL")
      await worker.ended
      assert.lengthOf(Harness.stoppedMembers(world), 2)
      worker = await Harness.startWorker(world, "pods.db")
      const end = await Harness.ended(worker, id, Harness.within(60_000))
      assert.strictEqual(end.State, "Completed", worker.log())
      // On a busy machine it is there after the deadline.
      await isProven(id, ["Worker", "Keeper"])
    },
    Harness.within(120_000)
  )

  it(
    "are given back by the kernel when everything in the keeper pod is killed, and the loss is not called proven",
    async () => {
      const id = await begin(15)
      for (const pod of double.pods("inquorate")) double.kill("inquorate", pod)
      await Harness.until("no member is stopped", 5000, () => Harness.nothingStopped(world))
      await Harness.until("writes are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))
      const end = await Harness.ended(worker, id, Harness.within(60_000))
      assert.strictEqual(end.State, "Faulted")
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(120_000)
  )

  it(
    "are not held for longer than their kubelets would let them be",
    async () => {
      const refused = await Harness.call(worker, "POST", "/v1/plan", {
        serviceName: "fabric:/orders/raft",
        partitionId: partition,
        mode: "QuorumReplicas",
        hold: 60_000
      })
      assert.match(
        JSON.stringify(refused.body),
        /liveness probe of pod db\/etcd-[012] \(httpGet, 5 failures, every 10 s\)/
      )
    },
    Harness.within(60_000)
  )
})
