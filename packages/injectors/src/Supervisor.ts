/**
 * Who watches over a process and would act on its silence: the systemd unit of its control group, where there is one and
 * systemd answers. A watchdog ends a paused server during the hold; a restart rule brings a killed one back. Only told,
 * never changed; what cannot be asked is not told.
 */
import type { Host } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Programs from "./Programs.ts"

/** What supervises a process: its systemd unit, how long it may be silent (0 for ever), and when it is started again. */
export interface Supervision {
  readonly unit: string
  readonly watchdog: Millis
  readonly restart: string
  /** True where the kill stops and starts the unit by itself. */
  readonly followed?: boolean
}

/** What a person should know before a process is paused, one sentence each; none where nothing was found. */
export const warningsOfPause = (host: Host, process: ProcessRef): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(ask(host, process.pid), describePause)

/** What a person should know before a process is killed and kept out, one sentence each; none where nothing was found. */
export const warningsOfKill = (host: Host, process: ProcessRef): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(ask(host, process.pid), describeKill)

/** Reads what the program printed: the unit, then `systemctl show`'s lines. */
export const parse = (text: string): Supervision | null => {
  const [unit = "", ...lines] = text.split("\n")
  if (!/\.(service|scope)$/.test(unit) || lines.every((line) => line === "")) return null
  const settings = new Map(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]))
  return {
    unit,
    watchdog: lengthOf(settings.get("WatchdogUSec") ?? ""),
    restart: settings.get("Restart") ?? "no",
    ...(settings.get("Followed") === "yes" ? { followed: true } : {})
  }
}

/** What a person should know of a supervision before the process is paused. */
export const describePause = (supervision: Supervision | null): ReadonlyArray<string> => {
  if (supervision === null) return []
  const { restart, unit, watchdog } = supervision
  const again = restart === "" || restart === "no" ? "" : ` and start it again (Restart=${restart})`
  if (watchdog > 0) {
    return [`systemd's watchdog would end ${unit} after ${watchdog} ms of silence${again}; a longer hold breaks there`]
  }
  return again === ""
    ? []
    : [`systemd would bring ${unit} back if it ended (Restart=${restart}); a pause does not end it`]
}

/** What a person should know of a supervision before the process is killed. */
export const describeKill = (supervision: Supervision | null): ReadonlyArray<string> =>
  supervision === null || supervision.followed === true || supervision.restart === "" || supervision.restart === "no"
    ? []
    : [
        `systemd would start ${supervision.unit} again during the hold (Restart=${supervision.restart}), which breaks it; name the unit in the settings of kill`
      ]

// --- internal ---

const ask = (host: Host, pid: number): Effect.Effect<Supervision | null> =>
  host.run(Programs.supervisor, [String(pid)], { timeout: askTimeout }).pipe(
    Effect.map(({ exitCode, stdout }) => (exitCode === 0 ? parse(stdout) : null)),
    Effect.catchTag("HostError", () => Effect.succeed(null))
  )

const askTimeout: Millis = 3000

// systemd writes lengths as 0, infinity, 500ms, 30s, 1min 30s or 1h.
const lengthOf = (text: string): Millis => {
  const units: Readonly<Record<string, number>> = {
    us: 0.001,
    ms: 1,
    s: 1000,
    min: 60_000,
    h: 3_600_000,
    d: 86_400_000
  }
  let length = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)\b/g)) {
    length += Number(number) * units[unit!]!
  }
  return Math.round(length)
}
