/**
 * A Kubernetes cluster of one machine for tests: a `kubectl` on the PATH (`kubectl-double.ts`) that runs pods as real
 * containers by runc. Everything that it started ends with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { factor } from "./Pace.ts"

/** Why no such cluster can run here, or undefined. */
export const skip: string | undefined =
  process.getuid?.() !== 0
    ? "containers are for root"
    : childProcess.spawnSync("runc", ["--version"]).status !== 0
      ? "no runc; apt-get install runc"
      : undefined

if (skip !== undefined && process.env["INQUORATE_FORBID_SKIPS"] !== undefined) throw new Error(skip)

/** A running cluster. */
export interface KubectlDouble {
  readonly folder: string
  /** Where the nodes keep what fences leave. */
  readonly state: string
  /** Runs `kubectl` once and gives what it printed. */
  readonly kubectl: (words: ReadonlyArray<string>, input?: string) => string
  /** The names of the pods of a namespace. */
  readonly pods: (namespace: string) => ReadonlyArray<string>
  /** The number that the first process of a pod has on this machine. */
  readonly pidOf: (namespace: string, pod: string) => number
  /** The id by which the runtime knows a pod's container. */
  readonly idOf: (namespace: string, pod: string) => string
  /** Freezes a pod as its runtime's `pause` does, until the end of the scope. */
  readonly freeze: (namespace: string, pod: string) => Effect.Effect<void, never, Scope.Scope>
  /** Ends everything of a pod at once, as a node that runs out of memory might. */
  readonly kill: (namespace: string, pod: string) => void
}

/** Starts a cluster with these nodes. Until the end of the scope, `kubectl` on this process's PATH belongs to it. */
export const start = (nodes: ReadonlyArray<string>): Effect.Effect<KubectlDouble, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-kubectl-"))
      for (const name of ["bin", "pods", "bundles", "runc", "state"]) fs.mkdirSync(path.join(folder, name))
      fs.writeFileSync(path.join(folder, "nodes"), nodes.join("\n"))
      const program = path.join(import.meta.dirname, "kubectl-double.ts")
      fs.writeFileSync(
        path.join(folder, "bin/kubectl"),
        `#!/bin/sh\nINQUORATE_KUBECTL_DOUBLE=${folder} exec ${process.execPath} --no-warnings ${program} "$@"\n`,
        { mode: 0o755 }
      )
      const usual = process.env["PATH"] ?? ""
      process.env["PATH"] = `${path.join(folder, "bin")}:${usual}`
      return { usual, double: doubleIn(folder) }
    }),
    ({ double, usual }) =>
      Effect.promise(async () => {
        process.env["PATH"] = usual
        for (const file of fs.readdirSync(path.join(double.folder, "pods"))) endPod(double.folder, file)
        // A `kubectl delete` that nobody waits for still writes there, and would make the folder anew.
        for (let turn = 0; turn < 500 * factor && inUse(double.folder); turn++) {
          await new Promise((resume) => setTimeout(resume, 20))
        }
        for (const at of fs.globSync("/sys/fs/cgroup{,/*}/inquorate-pods")) removeGroup(at)
        fs.rmSync(double.folder, { recursive: true, force: true, maxRetries: 10 })
      })
  ).pipe(Effect.map(({ double }) => double))

// --- internal ---

const doubleIn = (folder: string): KubectlDouble => {
  const keptOf = (namespace: string, pod: string): { readonly id: string } =>
    JSON.parse(fs.readFileSync(path.join(folder, "pods", `${namespace}.${pod}.json`), "utf8")) as {
      readonly id: string
    }
  return {
    folder,
    state: path.join(folder, "state"),
    kubectl: (words, input) => {
      const { status, stderr, stdout } = childProcess.spawnSync(path.join(folder, "bin/kubectl"), words, {
        encoding: "utf8",
        ...(input === undefined ? {} : { input })
      })
      if (status !== 0) throw new Error(stderr)
      return stdout
    },
    pods: (namespace) =>
      fs
        .readdirSync(path.join(folder, "pods"))
        .filter((file) => file.startsWith(`${namespace}.`))
        .map((file) => file.slice(namespace.length + 1, -".json".length)),
    pidOf: (namespace, pod) => {
      const { stdout } = runc(folder, "state", keptOf(namespace, pod).id)
      return (JSON.parse(stdout) as { readonly pid: number }).pid
    },
    idOf: (namespace, pod) => keptOf(namespace, pod).id,
    freeze: (namespace, pod) =>
      Effect.acquireRelease(
        Effect.sync(() => void runc(folder, "pause", keptOf(namespace, pod).id)),
        () => Effect.sync(() => void runc(folder, "resume", keptOf(namespace, pod).id))
      ),
    kill: (namespace, pod) => void runc(folder, "kill", "--all", keptOf(namespace, pod).id, "KILL")
  }
}

/** True while a program of the double runs: each has the folder in its environment. */
const inUse = (folder: string): boolean =>
  fs.readdirSync("/proc").some((name) => {
    try {
      const environment = /^\d+$/.test(name) ? fs.readFileSync(`/proc/${name}/environ`, "latin1") : ""
      return environment.split("\0").includes(`INQUORATE_KUBECTL_DOUBLE=${folder}`)
    } catch {
      return false
    }
  })

const runc = (folder: string, ...words: ReadonlyArray<string>) =>
  childProcess.spawnSync("runc", ["--root", path.join(folder, "runc"), ...words], { encoding: "utf8" })

const endPod = (folder: string, file: string): void => {
  let text: string
  try {
    text = fs.readFileSync(path.join(folder, "pods", file), "utf8")
  } catch {
    // It was being deleted, and has gone meanwhile.
    return
  }
  const { id, uid } = JSON.parse(text) as { readonly id: string; readonly uid: string }
  runc(folder, "kill", "--all", id, "KILL")
  runc(folder, "delete", "--force", id)
  for (const at of fs.globSync(`/sys/fs/cgroup{,/*}/inquorate-pods/pod${uid}`)) removeGroup(at)
}

// Some hierarchies of control groups have two names, and another suite may have pods of its own beside ours.
const removeGroup = (at: string): void => {
  try {
    fs.rmdirSync(at)
  } catch {
    // It is gone, or not empty.
  }
}
