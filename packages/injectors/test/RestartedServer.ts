/**
 * Servers that may come back as another process: found by executable and data directory as they are now, and ended to
 * the last of them at the end of the scope, whoever started them.
 */
import { factor } from "@inquorate/testkit/Pace"
import * as fs from "node:fs"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ProcessTree from "./ProcessTree.ts"

/** Starts a tree whose later incarnations are ended with it. */
export const start = (
  tree: Effect.Effect<ProcessTree.ProcessTree, never, Scope.Scope> = ProcessTree.start("still")
): Effect.Effect<ProcessTree.ProcessTree, never, Scope.Scope> =>
  Effect.acquireRelease(tree, (tree) =>
    Effect.promise(async () => {
      for (let turn = 0; turn < 50 * factor; turn++) {
        const pids = within(tree.process.dataDirectory)
        if (pids.length === 0) return
        for (const pid of pids) kill(pid)
        await new Promise((resume) => setTimeout(resume, 10))
      }
    })
  )

/** The servers of this data directory now; more than one is what must never be. */
export const serversOf = ({ dataDirectory, executable }: ProcessRef): ReadonlyArray<number> => {
  const pids = within(dataDirectory).filter((pid) => executableOf(pid) === executable)
  return pids.filter((pid) => !pids.includes(ProcessTree.look(pid)?.parent ?? 0))
}

/** The process that the server is now. */
export const current = (process: ProcessRef): ProcessRef => {
  const [pid, other] = serversOf(process)
  if (other !== undefined) throw new Error(`two servers: ${pid} and ${other}`)
  if (pid === undefined) return process
  return { ...process, pid, startTime: ProcessTree.look(pid)!.startTime }
}

/** True while one server runs; two are an error. */
export const runs = (process: ProcessRef): boolean => {
  const pids = serversOf(process)
  if (pids.length > 1) throw new Error(`two servers: ${pids.join(", ")}`)
  return pids.length === 1 && ProcessTree.runs({ process: { ...process, pid: pids[0]! } })
}

// --- internal ---

const within = (folder: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || !ProcessTree.isThere(Number(name))) return []
    try {
      return fs.readlinkSync(`/proc/${name}/cwd`).replace(/ \(deleted\)$/, "") === folder ? [Number(name)] : []
    } catch {
      return []
    }
  })

const executableOf = (pid: number): string => {
  try {
    return fs.readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return ""
  }
}

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It ended by itself.
  }
}
