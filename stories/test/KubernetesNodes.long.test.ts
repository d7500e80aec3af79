/**
 * Goal: a group whose members live on several nodes is taken through a keeper pod on each of them: the loss holds on all,
 * the death of one keeper pod lifts what stands in it and no more, and a node that does not answer ends the plan by its
 * name. Method: the bundled worker, and a `kubectl` whose three nodes are this machine with files of their own.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as KubectlDouble from "@inquorate/testkit/KubectlDouble"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as EtcdPods from "./EtcdPods.ts"
import * as Harness from "./Harness.ts"
import * as PodNetwork from "./PodNetwork.ts"

const { skip } = EtcdPods

describe.skipIf(skip !== undefined)(`etcd on three nodes${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  const scope = Scope.makeUnsafe()
  let double: KubectlDouble.KubectlDouble
  let network: PodNetwork.PodNetwork
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  beforeAll(async () => {
    double = await Effect.runPromise(Scope.provide(KubectlDouble.start(["one", "two", "three"]), scope))
    network = PodNetwork.make("198.19.250")
    world = await EtcdPods.start("nodes", double, network, ["one", "two", "three"])
    worker = await Harness.startWorker(world, "nodes.db")
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    worker?.kill("SIGTERM")
    await worker?.ended
    await Effect.runPromise(Scope.close(scope, Exit.void)).finally(() => {
      network?.remove()
      fs.rmSync(world.folder, { recursive: true, force: true, maxRetries: 10 })
    })
  }, Harness.within(60_000))

  const begin = (seconds: number, mode: string): Promise<string> =>
    Harness.hold(worker, world, { partition, seconds, mode })

  /** The keeper pods that run on a node. */
  const keepersOn = (node: string): ReadonlyArray<string> => {
    const { items } = JSON.parse(double.kubectl(["get", "pods", "--namespace=inquorate", "--output=json"])) as {
      readonly items: ReadonlyArray<{
        readonly metadata: { readonly name: string }
        readonly spec: { readonly nodeName: string }
      }>
    }
    return items.flatMap(({ metadata, spec }) => (spec.nodeName === node ? [metadata.name] : []))
  }

  it(
    "loses its quorum on the nodes of the cut, each through a keeper pod of its own, and is given back",
    async () => {
      const id = await begin(4, "QuorumReplicas")
      const stopped = Harness.stoppedMembers(world)
      assert.lengthOf(stopped, 2)
      for (const node of ["one", "two", "three"]) assert.lengthOf(keepersOn(node), 1, node)
      assert.isFalse(await Harness.writeCommits(world, 700), "a write was acknowledged without its quorum")
      const end = await Harness.ended(worker, id, Harness.within(40_000))
      assert.strictEqual(end.State, "Completed", worker.log())
      const { evidence } = await Harness.detail(worker, id)
      const nodes = stopped.map((name) => `prod/${["one", "two", "three"][Number(name.slice(-1))]}`)
      assert.sameMembers(
        evidence.fences.map(({ host }) => host),
        nodes
      )
      for (const { grade, liftedBy } of evidence.fences) assert.deepStrictEqual([grade, liftedBy], ["Kernel", "Worker"])
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(90_000)
  )

  it(
    "has only those members back whose keeper pod died, and the rest when the worker sees it",
    async () => {
      const id = await begin(20, "AllReplicas")
      assert.lengthOf(Harness.stoppedMembers(world), 3)
      // Nobody but the keeper pods themselves may act while we look.
      worker.kill("SIGSTOP")
      const [keeper] = keepersOn("two")
      double.kill("inquorate", keeper!)
      await Harness.until("the member of that node runs", 5000, () => !Harness.stoppedMembers(world).includes("etcd-1"))
      assert.sameMembers([...Harness.stoppedMembers(world)], ["etcd-0", "etcd-2"])
      worker.kill("SIGCONT")
      const end = await Harness.ended(worker, id, Harness.within(60_000))
      assert.strictEqual(end.State, "Faulted", worker.log())
      const { evidence } = await Harness.detail(worker, id)
      const lifted = Object.fromEntries(evidence.fences.map(({ host, liftedBy }) => [host, liftedBy]))
      assert.deepInclude(lifted, { "prod/one": "Worker", "prod/three": "Worker" }, JSON.stringify(evidence))
      assert.isTrue(Harness.nothingStopped(world))
      await Harness.until("writes are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))
    },
    Harness.within(120_000)
  )

  it(
    "is not planned while a node does not answer, which is named",
    async () => {
      await Effect.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const [keeper] = keepersOn("three")
            yield* double.freeze("inquorate", keeper!)
            const plan = { serviceName: "fabric:/orders/raft", partitionId: partition, mode: "AllReplicas", hold: 2000 }
            const planned = yield* Effect.promise(() => Harness.call(worker, "POST", "/v1/plan", plan))
            assert.strictEqual(planned.code, "FABRIC_E_COMMUNICATION_ERROR")
            assert.match(JSON.stringify(planned.body), /"host prod\/three: .*kubectl exec/)
          })
        )
      )
    },
    Harness.within(60_000)
  )

  it(
    "is told by a check to be out of reach on a node whose kubelet starts no keeper pod, and seen on the others",
    async () => {
      fs.writeFileSync(path.join(double.folder, "silent"), "three")
      const { code, stdout } = await Harness.inq("target", "check", world.config)
      fs.rmSync(path.join(double.folder, "silent"))
      assert.strictEqual(code, 3, stdout)
      assert.match(stdout, /- etcd-2 cannot be taken out: .*\bprod\/three\b/)
      for (const node of ["one", "two"]) assert.match(stdout, new RegExp(`pid \\d+ on prod/${node}`), stdout)
    },
    Harness.within(90_000)
  )
})
