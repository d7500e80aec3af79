/**
 * The floor under "accepted to loss proven": the least time that it can take, in one process that does nothing else and
 * has its connections open already. The process asks the group who is who, sends SIGSTOP to every process of the cut,
 * reads of every thread that it stands still, and waits until an open write has been silent for 50 ms.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as fs from "node:fs"
import * as BareGroup from "./BareGroup.ts"

/** Milliseconds from the first question to the end of the silence. Everything runs again when it returns. */
export const floor = async (lab: LabRecord, cut: ReadonlyArray<string>): Promise<number> => {
  const group = await BareGroup.open(lab)
  await group.send()
  let stopped: ReadonlyArray<number> = []
  try {
    const began = performance.now()
    await group.look()
    stopped = BareGroup.processesOf(lab, cut)
    BareGroup.signal(stopped, "SIGSTOP")
    while (!stopped.every(standsStill)) await new Promise((resolve) => setImmediate(resolve))
    while (await BareGroup.answeredWithin(group.send(), silence)) {
      // A write that was under way when the last thread stopped may still be acknowledged.
    }
    return performance.now() - began
  } finally {
    BareGroup.signal(stopped, "SIGCONT")
    await settled(group)
    await group.close()
    // What follows is measured on a group that has settled.
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

// --- internal ---

const silence = 50

const standsStill = (pid: number): boolean => {
  try {
    return fs.readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8")
      return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
    })
  } catch {
    // A process or thread that ended runs no more.
    return !fs.existsSync(`/proc/${pid}`)
  }
}

/** Writes until a write is acknowledged, so that the next measurement finds the group as it was. */
const settled = async (group: BareGroup.BareGroup): Promise<void> => {
  for (let tries = 0; tries < 30; tries++) if (await BareGroup.answeredWithin(group.send(), 1000)) return
  throw new Error("the group took no write for 30 s after it was let go")
}
