/**
 * A node of a Kubernetes cluster, against a `kubectl` that runs pods as real containers: what becomes of a fence and of
 * its pod when the pod is killed, left by its worker, or old.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as KubernetesHost from "../src/hosts/KubernetesHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as Kubernetes from "./KubernetesScene.ts"
import * as ProcessTree from "./ProcessTree.ts"

const bound = { timeout: 20_000 }

describe.skipIf(Kubernetes.skip !== undefined)(`a node of Kubernetes${Kubernetes.skipped}`, () => {
  const scene = Kubernetes.useScene()

  it.live(
    "lets the kernel lift when everything in its pod is killed, tells that it broke, and takes the next order",
    () =>
      Effect.gen(function* () {
        const { double, hosts } = yield* scene
        const pause = Pause.make(hosts)
        const tree = yield* Kubernetes.treeIn(yield* scene)
        const order = yield* Bench.orderFor(tree)
        yield* pause.arm(order)
        for (const pod of double.pods(Kubernetes.ours)) double.kill(Kubernetes.ours, pod)
        yield* Bench.until("the tree runs again", () => ProcessTree.runs(tree))
        // That the way to the killed pod has ended may be seen by the first question alone.
        const state = yield* Effect.retry(pause.inspect("prod/one", order.fence, 1), {
          times: 1,
          while: ({ reason }) => reason === "Unknown"
        })
        assert.isTrue(state._tag === "Armed" && state.broken && state.keepers === 0, JSON.stringify(state))
        assert.isTrue((yield* pause.lift("prod/one", order.fence, 1)).broken)
        const next = yield* Bench.orderFor(tree)
        yield* pause.arm(next)
        assert.isFalse(ProcessTree.runs(tree))
        yield* pause.lift("prod/one", next.fence, 1)
      })
  )

  it.live("leaves the pod of a fence alone when its worker ends, and another worker lifts it", () =>
    Effect.gen(function* () {
      const { double } = yield* scene
      const tree = yield* Kubernetes.treeIn(yield* scene)
      const order = yield* Bench.orderFor(tree)
      const before = double.pods(Kubernetes.ours)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const hosts = KubernetesHost.hostsOf([], [yield* Kubernetes.open(double)])
          yield* Pause.make(hosts).arm(order)
        })
      )
      assert.isFalse(ProcessTree.runs(tree))
      assert.lengthOf(double.pods(Kubernetes.ours), before.length + 1)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const hosts = KubernetesHost.hostsOf([], [yield* Kubernetes.open(double)])
          assert.isFalse((yield* Pause.make(hosts).lift("prod/one", order.fence, 1)).broken)
          assert.isTrue(ProcessTree.runs(tree))
        })
      )
      // This one held nothing, so it went with its worker.
      yield* Bench.until("one pod fewer", () => double.pods(Kubernetes.ours).length === before.length + 1)
    })
  )

  it.live("gets another pod once half of the first one's life is over", () =>
    Effect.gen(function* () {
      const { double } = yield* scene
      const hosts = KubernetesHost.hostsOf([], [yield* Kubernetes.open(double, { life: 2 })])
      const node = hosts.get("prod/one")!
      const name = Effect.map(node.run("cat /proc/sys/kernel/hostname", [], bound), ({ stdout }) => stdout.trim())
      const [first, second] = [yield* name, yield* name]
      assert.notStrictEqual(first, second)
      assert.includeMembers([...double.pods(Kubernetes.ours)], [first, second])
    }).pipe(Effect.scoped)
  )
})
