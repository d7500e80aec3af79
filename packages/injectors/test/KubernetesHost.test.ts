/**
 * A node of a Kubernetes cluster, against a `kubectl` that runs pods as real containers: the contract of a host, and what
 * becomes of a fence when its pod is deleted. KubernetesHost.long.test.ts tells what else may become of the pod.
 */
import type { Host } from "@inquorate/core/Host"
import * as HostContract from "@inquorate/testkit/HostContract"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Kill from "../src/mechanisms/Kill.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as Kubernetes from "./KubernetesScene.ts"
import * as ProcessTree from "./ProcessTree.ts"

const bound = { timeout: 20_000 }

describe.skipIf(Kubernetes.skip !== undefined)(`a node of Kubernetes${Kubernetes.skipped}`, () => {
  const scene = Kubernetes.useScene()

  HostContract.hostContract(
    "keeps the contract of a host",
    Effect.map(scene, ({ node }) => node)
  )

  it.live("is reached through one pod, which sees the node's processes and has no right but the named ones", () =>
    Effect.gen(function* () {
      const { double, node } = yield* scene
      const { stdout } = yield* node.run("grep -h ^Cap /proc/self/status; cat /proc/1/comm; ls /run 2>&1", [], bound)
      const rights = Object.fromEntries(
        [...stdout.matchAll(/^(Cap\w+):\s*(\w+)$/gm)].map(([, key, bits]) => [key, bits])
      )
      // SYS_PTRACE (19), KILL (5), DAC_READ_SEARCH (2).
      const named = (1n << 19n) | (1n << 5n) | (1n << 2n)
      for (const key of ["CapPrm", "CapEff", "CapBnd"]) assert.strictEqual(BigInt(`0x${rights[key]}`), named, key)
      assert.notInclude(stdout, "containerd")
      assert.lengthOf(double.pods(Kubernetes.ours), 1)
    })
  )

  it.live("lifts a fence when its pod is deleted, and writes it down", () =>
    Effect.gen(function* () {
      const { double, hosts } = yield* scene
      const pause = Pause.make(hosts)
      const tree = yield* Kubernetes.treeIn(yield* scene)
      const order = yield* Bench.orderFor(tree)
      assert.strictEqual((yield* pause.arm(order)).grade, "Kernel")
      assert.isFalse(ProcessTree.runs(tree))
      double.kubectl(["delete", "pod", `--namespace=${Kubernetes.ours}`, ...double.pods(Kubernetes.ours)])
      assert.isTrue(ProcessTree.runs(tree))
      const state = yield* pause.inspect("prod/one", order.fence, 1)
      assert.strictEqual(state._tag === "Lifted" && state.by, "Keeper", JSON.stringify(state))
      assert.lengthOf(double.pods(Kubernetes.ours), 1)
    })
  )

  it.live("refuses a process that somebody froze, and says so, though it sees no control group but its own", () =>
    Effect.gen(function* () {
      const { double, hosts } = yield* scene
      const pause = Pause.make(hosts)
      const tree = yield* Kubernetes.treeIn(yield* scene)
      const seen = Effect.map(pause.preflight(tree.process), (found) => JSON.stringify(found))
      assert.include(yield* seen, "Ready")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* double.freeze("db", tree.member)
          assert.include(yield* seen, "is frozen by")
        })
      )
      assert.include(yield* seen, "Ready")
    })
  )

  it.live("takes no fence that only a keeper would end", () =>
    Effect.gen(function* () {
      const { hosts, node } = yield* scene
      const tree = yield* Kubernetes.treeIn(yield* scene)
      const kill = yield* Kill.make(hosts).preflight(tree.process, tree.member)
      assert.match(kill._tag === "Impossible" ? kill.problem : kill._tag, /the kubelet starts a pod's container again/)
      const blind: Host = { ...node, run: (program, words, options) => node.run(withoutPerl(program), words, options) }
      const pause = Pause.make(new Map([["prod/one", blind]]))
      const seen = yield* pause.preflight(tree.process, tree.member)
      assert.match(seen._tag === "Impossible" ? seen.problem : seen._tag, /only the kernel may end a fence/)
      const refused = yield* Effect.flip(pause.arm(yield* Bench.orderFor(tree)))
      assert.match(refused.detail, /only the kernel may end a fence/)
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live(
    "has a cluster that reads what a person asked of an operator, and tells the API's words where it may not",
    () =>
      Effect.gen(function* () {
        const { double, hosts } = yield* scene
        const read = (name: string) => hosts.get("prod")!.resource!("clusters.postgresql.cnpg.io", "db", name)
        assert.match((yield* Effect.flip(read("orders"))).detail, /\(Forbidden\).*clusters\.postgresql\.cnpg\.io/)
        const cluster = (namespace: string) => ({ metadata: { name: "orders", namespace }, spec: { instances: 3 } })
        const file = path.join(double.folder, "clusters.postgresql.cnpg.io")
        fs.writeFileSync(file, JSON.stringify([cluster("other"), cluster("db")]))
        assert.deepStrictEqual(yield* read("orders"), cluster("db"))
        assert.isNull(yield* read("nobody"))
        assert.isNull(yield* read("a,metadata.name=orders"))
      })
  )

  it.live("that is not there says so in the API's words", () =>
    Effect.gen(function* () {
      const { hosts } = yield* scene
      const error = yield* Effect.flip(hosts.get("prod/two")!.run("true", [], bound))
      assert.strictEqual(error.reason, "Unreachable")
      assert.match(error.detail, /nodes "two" not found/)
      assert.isUndefined(hosts.get("prod/Not A Node"))
      assert.isUndefined(hosts.get("other/one"))
      assert.match((yield* Effect.flip(hosts.get("prod")!.run("true", [], bound))).detail, /its nodes are hosts/)
    })
  )
})

/** A program that finds no perl, nor does what it starts. */
const withoutPerl = (program: string): string => program.replaceAll("command -v perl", "command -v no-perl")
