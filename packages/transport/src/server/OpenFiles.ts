/**
 * How many connections a server may hold, by the number of files that this process may open. Half of the files stay
 * free for its store, probes, hosts and their children.
 */
import { readFileSync } from "node:fs"

/** As many connections as there is room for, but never more than `most`. */
export const connections = (most: number, limit: number | undefined = limitOf(ownLimits())): number =>
  limit === undefined ? most : Math.max(1, Math.min(most, Math.floor(limit / 2)))

/** The soft limit of open files in the text of `/proc/PID/limits`, or undefined if it has none. */
export const limitOf = (text: string): number | undefined => {
  const soft = /^Max open files +(\S+)/m.exec(text)?.[1]
  return soft === undefined || !/^\d+$/.test(soft) ? undefined : Number(soft)
}

// --- internal ---

// Empty if there is no /proc.
const ownLimits = (): string => {
  try {
    return readFileSync("/proc/self/limits", "utf8")
  } catch {
    return ""
  }
}
