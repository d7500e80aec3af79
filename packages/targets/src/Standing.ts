/**
 * How a member's process stands on its host while the member itself says nothing. One line of the host's own process
 * table tells it, which nobody but the kernel writes.
 */
import type { Host } from "@inquorate/core/Host"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"

/** How a process stands. `Gone` means that nobody, or another process, now has its number. */
export type Standing = "Runs" | "Stopped" | "Gone" | "Unknown"

/** Looks at the process that a member had when it last answered; bounded by `timeout` ms. */
export const standingOf = (host: Host | null, process: ProcessRef | null, timeout: number): Effect.Effect<Standing> => {
  if (host === null || process === null) return Effect.succeed("Unknown")
  return host.run('cat "/proc/$1/stat"', [String(process.pid)], { timeout }).pipe(
    Effect.map(({ stdout }): Standing => {
      // The name in parentheses may hold anything. Behind it the state is the first field and the start time the
      // twentieth.
      const fields = stdout.slice(stdout.lastIndexOf(")") + 2).split(" ")
      if (fields[19] !== process.startTime) return "Gone"
      return /^[Tt]$/.test(fields[0] ?? "") ? "Stopped" : "Runs"
    }),
    Effect.orElseSucceed(() => "Unknown" as const)
  )
}
