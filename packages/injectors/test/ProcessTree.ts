/**
 * Trees of real processes for the tests to stop: started in a data directory of their own, looked at through /proc,
 * killed to the last by pid at the end of the scope.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** `still`: a shell and five sleepers. `forking`: shells that fork without end. `threads`: a busy program of many threads. */
export type Kind = "still" | "forking" | "threads"

export interface ProcessTree {
  readonly member: string
  readonly process: ProcessRef
}

/** Starts a tree; with a `uid`, as that user. */
export const start = (
  kind: Kind,
  options: { readonly uid?: number } = {}
): Effect.Effect<ProcessTree, never, Scope.Scope> => startWith(programs[kind], options)

/** Starts a program that says something once it is ready. */
export const startWith = (
  [file, arguments_]: readonly [string, ReadonlyArray<string>],
  { uid }: { readonly uid?: number } = {}
): Effect.Effect<ProcessTree, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const dataDirectory = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-data-"))
      if (uid !== undefined) fs.chownSync(dataDirectory, uid, uid)
      const child = spawn(file, arguments_, {
        cwd: dataDirectory,
        stdio: ["ignore", "pipe", "ignore"],
        ...(uid === undefined ? {} : { uid, gid: uid })
      })
      await new Promise((ready) => child.stdout.once("data", ready))
      const pid = child.pid!
      const tree: ProcessTree = {
        member: `m${pid}`,
        process: {
          host: "here",
          pid,
          startTime: look(pid)!.startTime,
          executable: fs.readlinkSync(`/proc/${pid}/exe`),
          dataDirectory
        }
      }
      return tree
    }),
    (tree) => Effect.promise(() => end(tree))
  )

/** True where no process of the tree is stopped, false where every thread of every one is; anything between is an error. */
export const runs = (tree: { readonly process: ProcessRef }): boolean => {
  const states = threadStates(pidsOf(tree.process.pid)).filter((state) => state !== "Z")
  const stopped = states.filter((state) => state === "T" || state === "t").length
  if (stopped > 0 && stopped < states.length) throw new Error(`half stopped: ${states.join("")}`)
  return stopped === 0
}

/** The process and all its descendants. */
export const pidsOf = (pid: number): ReadonlyArray<number> => {
  const parents = new Map<number, number>()
  for (const name of fs.readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue
    const seen = look(Number(name))
    if (seen !== undefined) parents.set(Number(name), seen.parent)
  }
  const pids = [pid]
  for (const elder of pids) for (const [child, parent] of parents) if (parent === elder) pids.push(child)
  return pids
}

export const look = (
  pid: number
): { readonly state: string; readonly parent: number; readonly startTime: string } | undefined => {
  const fields = fieldsOf(`/proc/${pid}/stat`)
  return fields === undefined ? undefined : { state: fields[0]!, parent: Number(fields[1]), startTime: fields[19]! }
}

/** The words of a process, each with a zero behind it; nothing where it is gone. */
export const commandOf = (pid: number): string => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1")
  } catch {
    return ""
  }
}

/** The processes but this one that carry a mark in their words, whoever their parent is. */
export const carrying = (mark: string): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandOf(pid).includes(mark))

/** True while a process of this pid runs or is stopped; a dead one that nobody has collected is gone. */
export const isThere = (pid: number): boolean => !["Z", "X", undefined].includes(look(pid)?.state)

/** The process that traces this one, 0 where none does. */
export const tracerOf = (pid: number): number =>
  Number(/^TracerPid:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))![1])

// --- internal ---

const programs: Readonly<Record<Kind, readonly [string, ReadonlyArray<string>]>> = {
  still: ["sh", ["-c", "for i in 1 2 3 4 5; do sleep 1000 & done; echo ready; wait"]],
  forking: ["sh", ["-c", "for i in 1 2 3; do (while :; do sleep 0.02 & sleep 0.01; done) & done; echo ready; wait"]],
  threads: [
    process.execPath,
    [
      "-e",
      `const { Worker } = require("node:worker_threads")
       let ready = 0
       for (let i = 0; i < 3; i++) {
         new Worker("require('node:worker_threads').parentPort.postMessage(1); setInterval(() => { const until = performance.now() + 2; while (performance.now() < until); }, 10)", { eval: true })
           .on("message", () => { if (++ready === 3) console.log("ready") })
       }`
    ]
  ]
}

const fieldsOf = (file: string): ReadonlyArray<string> | undefined => {
  try {
    const text = fs.readFileSync(file, "latin1")
    return text.slice(text.lastIndexOf(")") + 2).split(" ")
  } catch {
    return undefined
  }
}

const threadStates = (pids: ReadonlyArray<number>): ReadonlyArray<string> =>
  pids.flatMap((pid) => {
    try {
      return fs
        .readdirSync(`/proc/${pid}/task`)
        .flatMap((task) => fieldsOf(`/proc/${pid}/task/${task}/stat`)?.[0] ?? [])
    } catch {
      return []
    }
  })

/** Sends each of them a signal. One that has ended since it was listed needs none. */
export const signalAll = (pids: Iterable<number>, name: NodeJS.Signals): void => {
  for (const pid of pids) signal(pid, name)
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}

// What forks is stopped before it is killed, or its children would get away. Where it ended long ago, its number may be
// another process's by now.
const end = async (tree: ProcessTree): Promise<void> => {
  const { pid, startTime } = tree.process
  let pids: ReadonlyArray<number> = look(pid)?.startTime === startTime ? [pid] : []
  for (let turn = 0; turn < 5; turn++) {
    for (const pid of pids) signal(pid, "SIGSTOP")
    await new Promise((resume) => setTimeout(resume, 10))
    pids = [...new Set([...pids, ...pids.flatMap(pidsOf)])]
  }
  for (const pid of pids) signal(pid, "SIGKILL")
  fs.rmSync(tree.process.dataDirectory, { recursive: true, force: true, maxRetries: 10 })
}
