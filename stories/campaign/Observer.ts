/**
 * The campaign's own eyes: every few milliseconds, by /proc alone, whether each member of a lab is stopped. It knows
 * nothing of operations; what it saw is compared with the evidence afterwards. A moment is only claimed as stopped
 * while a look saw it, so a busy machine can make an interval too short by the time between two looks, which is kept.
 */
import * as fs from "node:fs"
import type { World } from "../test/Harness.ts"

/** One time that a member was seen stopped, in UTC milliseconds; `until` is the first look that saw it run again. */
export interface Stop {
  readonly member: string
  readonly from: number
  readonly until: number | null
}

/** An observer that looks until it is ended. */
export interface Observer {
  readonly stops: () => ReadonlyArray<Stop>
  /** The longest time between two looks: nothing shorter can be told from these figures. */
  readonly longestGap: () => number
  readonly end: () => void
}

/** Looks at the members of a lab from now on. */
export const watch = ({ lab }: World): Observer => {
  const stops: Array<{ member: string; from: number; until: number | null }> = []
  const open = new Map<string, { member: string; from: number; until: number | null }>()
  let last = Date.now()
  let longestGap = 0
  const look = (): void => {
    const now = Date.now()
    longestGap = Math.max(longestGap, now - last)
    last = now
    for (const { name, pid } of lab.members) {
      const stopped = isStopped(pid)
      const known = open.get(name)
      if (stopped && known === undefined) {
        const stop = { member: name, from: now, until: null }
        stops.push(stop)
        open.set(name, stop)
      } else if (!stopped && known !== undefined) {
        known.until = now
        open.delete(name)
      }
    }
  }
  const timer = setInterval(look, 5)
  return { stops: () => stops, longestGap: () => longestGap, end: () => clearInterval(timer) }
}

// --- internal ---

// The main process is stopped first and let go first; whether its children were too is the keepers' own check.
const isStopped = (pid: number): boolean => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const state = stat[stat.lastIndexOf(")") + 2]
    return state === "T" || state === "t"
  } catch {
    return false
  }
}
