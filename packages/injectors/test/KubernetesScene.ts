/** A Kubernetes cluster of one node for the tests of this package: pods are containers of this machine, by a double of kubectl. */
import * as fs from "node:fs"
import type { Host } from "@inquorate/core/Host"
import * as KubectlDouble from "@inquorate/testkit/KubectlDouble"
import { afterAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as KubernetesHost from "../src/hosts/KubernetesHost.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

/** Why none of this can run here, or undefined. */
export const { skip } = KubectlDouble

/** What is said of it in a suite's name. */
export const skipped = skip === undefined ? "" : ` (skipped: ${skip})`

/** A cluster with its only node. */
export interface Scene {
  readonly double: KubectlDouble.KubectlDouble
  readonly hosts: ReadonlyMap<string, Host>
  readonly node: Host
}

/** The namespace of keeper pods. */
export const ours = "inquorate"

/** Opens the cluster as another worker would. */
export const open = (double: KubectlDouble.KubectlDouble, changes: { readonly life?: number } = {}) =>
  KubernetesHost.make({
    label: "prod",
    kubectl: {},
    namespace: ours,
    image: "none",
    state: double.state,
    cuts: false,
    life: changes.life ?? 3_600_000
  })

/** One scene for all tests of a file, since a pod costs a second. */
export const useScene = (): Effect.Effect<Scene> => {
  const scope = Scope.makeUnsafe()
  let made: Scene | undefined
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.suspend(() =>
    made === undefined
      ? Effect.gen(function* () {
          const double = yield* KubectlDouble.start(["one"])
          const hosts = KubernetesHost.hostsOf([], [yield* open(double)])
          return (made = { double, hosts, node: hosts.get("prod/one")! })
        }).pipe(Scope.provide(scope))
      : Effect.succeed(made)
  )
}

/** A pod that holds a tree of processes, and its main process as a member's. */
export const treeIn = ({ double }: Scene): Effect.Effect<ProcessTree.ProcessTree, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const member = `m${counter++}`
      const folder = fs.mkdtempSync(`${double.folder}/data-`)
      double.kubectl(["create", "--filename=-"], JSON.stringify(podOf(member, folder)))
      const pid = double.pidOf(theirs, member)
      // Until then the runtime's own program is there.
      yield* Bench.until("the tree stands", () => ProcessTree.pidsOf(pid).length === 6)
      const tree: ProcessTree.ProcessTree = {
        member,
        process: {
          host: "prod/one",
          pid,
          startTime: ProcessTree.look(pid)!.startTime,
          executable: fs.readlinkSync(`/proc/${pid}/exe`),
          dataDirectory: "/data",
          container: { engine: "cri", id: double.idOf(theirs, member) }
        }
      }
      return tree
    }),
    ({ member }) => Effect.sync(() => void double.kubectl(["delete", "pod", `--namespace=${theirs}`, member]))
  )

// --- internal ---

/** The namespace of the trees. */
const theirs = "db"

let counter = 0

const podOf = (name: string, folder: string) => ({
  metadata: { name, namespace: theirs, labels: { app: "tree" } },
  spec: {
    nodeName: "one",
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: "tree",
        command: ["sh", "-c", "for i in 1 2 3 4 5; do sleep 1000 & done; wait"],
        workingDir: "/data",
        volumeMounts: [{ name: "data", mountPath: "/data" }]
      }
    ],
    volumes: [{ name: "data", hostPath: { path: folder } }]
  }
})
