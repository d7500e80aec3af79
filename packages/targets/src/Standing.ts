/**
 * How a member's process stands on its host while the member itself says nothing. The host's own process table tells
 * it, which nobody but the kernel writes.
 */
import type { Host } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"

/**
 * How a process stands. `Frozen`: its control group keeps it from running. `Gone`: nobody, or another process, now has
 * its number.
 */
export type Standing = "Runs" | "Stopped" | "Frozen" | "Gone" | "Unknown"

/** True for a process that is there and kept from running. */
export const standsStill = (standing: Standing): boolean => standing === "Stopped" || standing === "Frozen"

/** Says of a member that its process is kept from running, and by what; null where it is not. */
export const stillInWords = (standing: Standing, process: ProcessRef | null): string | null => {
  if (standing === "Stopped") return `is stopped: process ${process?.pid} stands still, by a signal or a debugger`
  if (standing !== "Frozen") return null
  return `is frozen: process ${process?.pid} stands still, by the freezer of its control group, as docker pause does: thaw it first`
}

/**
 * How much longer than a whole look we wait for the word of a silent member's host, in milliseconds. A busy host that
 * starts a shell late would otherwise leave it open whether the member stands still.
 */
export const standingGrace: Millis = 1000

/** Looks at the process that a member had when it last answered; bounded by `timeout` ms. */
export const standingOf = (host: Host | null, process: ProcessRef | null, timeout: number): Effect.Effect<Standing> => {
  if (host === null || process === null) return Effect.succeed("Unknown")
  return host.run(looking, [String(process.pid)], { timeout }).pipe(
    Effect.map(({ stdout }): Standing => {
      const [before = "", ...rest] = stdout.split(line)
      const after = rest.pop() ?? ""
      // The name in parentheses may hold anything. Behind it the state is the first field and the start time the
      // twentieth. On the next line is what the process waits for, where our user may know.
      const seen = rest.join(line)
      const [stat = "", wait = ""] = seen.slice(seen.lastIndexOf(")") + 2).split("\n")
      const fields = stat.split(" ")
      if (fields[19] !== process.startTime) return "Gone"
      if (/^[Tt]$/.test(fields[0] ?? "")) return "Stopped"
      const isFrozen = frozen.test(`${fields[0]}/${wait.trim()}`)
      // State and wait are two readings. They are of one moment where the process did not run in between.
      return isFrozen && turnsOf(before) === turnsOf(after) ? "Frozen" : "Runs"
    }),
    Effect.orElseSucceed(() => "Unknown" as const)
  )
}

// --- internal ---

// No file of the kernel's but the one with the name in it can hold such a line.
const line = "\n---\n"
const looking = [
  'cat "/proc/$1/status"',
  "echo ---",
  'cat "/proc/$1/stat" "/proc/$1/wchan"',
  "echo",
  "echo ---",
  'cat "/proc/$1/status"'
].join("\n")

/** How often the process has left its processor. */
const turnsOf = (status: string): string => (status.match(/^(non)?voluntary_ctxt_switches:.*$/gm) ?? []).join()

/**
 * A state and what the kernel waits for, in a process that is frozen. Version 1 of control groups shows a sleeper as D where
 * a signal could end its wait, and nobody else is D there. Version 2 keeps it in the delivery of signals. The injectors'
 * `facts.sh` judges by the same words.
 */
const frozen =
  /^(D\/.*(refrigerator|epoll|ep_poll|futex|nanosleep|poll_schedule|do_poll|do_select|do_wait|sigsuspend|sigtimedwait).*|S\/(get_signal|do_freezer_trap))$/
