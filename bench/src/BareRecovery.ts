/**
 * The baseline of recovery: a program that knows nothing but signals and one write. It stops the same members as the
 * plan, with all of their processes, and waits for the same time with one write in flight. Then it sends SIGCONT and,
 * at that moment, one write, and takes the time until that write is acknowledged. A write that is not answered within a
 * second is sent again.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as BareGroup from "./BareGroup.ts"

/** Milliseconds from SIGCONT to the first acknowledged write that was sent after it. */
export const bareRecovery = async (lab: LabRecord, cut: ReadonlyArray<string>, hold: number): Promise<number> => {
  const group = await BareGroup.open(lab)
  const pids = BareGroup.processesOf(lab, cut)
  await group.send()
  try {
    BareGroup.signal(pids, "SIGSTOP")
    const hung = group.send().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, hold))
    const began = performance.now()
    BareGroup.signal(pids, "SIGCONT")
    for (let answered = false; !answered;) answered = await BareGroup.answeredWithin(group.send(), 1000)
    const took = performance.now() - began
    await Promise.race([hung, new Promise((resolve) => setTimeout(resolve, 1000).unref())])
    return took
  } finally {
    BareGroup.signal(pids, "SIGCONT")
    await group.close()
    // What follows is measured on a group that has settled.
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}
