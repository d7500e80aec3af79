/**
 * Who watches over a process and would act on its silence: the systemd unit of its control group, where there is one
 * and systemd answers. A watchdog ends a paused server during the hold. A restart rule brings a killed server back.
 * Units are only read, never changed. Where systemd cannot be asked, nobody is named, but for a unit of a user's own
 * systemd: that one is known to be there, so it counts as one that may act at once.
 */
import type { Supervisor } from "@inquorate/core/Supervision"
import type { Millis } from "@inquorate/core/Time"

/**
 * A process's systemd unit: how long it may be silent (0 means for ever), and whether and how soon systemd starts it
 * again.
 */
export interface Unit {
  readonly unit: string
  readonly watchdog: Millis
  readonly restart: string
  readonly restartAfter: Millis
  /** True where the kill stops and starts the unit by itself. */
  readonly followed?: boolean
  /** The number of the user whose own systemd has the unit; left out where it is the machine's. */
  readonly user?: string
  /** Why that systemd was not read. */
  readonly unread?: string
}

/** Who would act on a process that is taken out, and what a person should know of those who would not. */
export interface Watchers {
  readonly supervisors: ReadonlyArray<Supervisor>
  readonly warnings: ReadonlyArray<string>
}

/** Reads what a host says after the answer to a preflight: the unit, then `systemctl show`'s lines. */
export const parse = (text: string): Unit | null => {
  const [unit = "", ...lines] = text.split("\n")
  if (!/\.(service|scope)$/.test(unit) || lines.every((line) => line === "")) return null
  const settings = new Map(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]))
  return {
    unit,
    watchdog: lengthOf(settings.get("WatchdogUSec") ?? ""),
    restart: settings.get("Restart") ?? "no",
    restartAfter: lengthOf(settings.get("RestartUSec") ?? ""),
    ...(settings.get("Followed") === "yes" ? { followed: true } : {}),
    ...optional("user", settings.get("User")),
    ...optional("unread", settings.get("Unread"))
  }
}

/** Who would act on a unit's process that is paused. */
export const describePause = (found: Unit | null): Watchers => {
  if (found === null) return nobody
  if (found.unread !== undefined) return describeUnread(found)
  const { restart, watchdog } = found
  const unit = nameOf(found)
  const restarts = restart !== "" && restart !== "no"
  if (watchdog > 0) {
    const again = restarts ? ` and start it again (Restart=${restart})` : ""
    const warning = `systemd's watchdog would end ${unit} when it has not notified for ${watchdog} ms${again}`
    // A service notifies once in half that time (sd_watchdog_enabled), so its last notice may already be that old.
    const source = `systemd's WatchdogSec of ${unit} (${watchdog} ms, of which half may have passed)`
    return {
      supervisors: [{ watches: unit, source, patience: Math.floor(watchdog / 2), reaction: "RestartsMember" }],
      warnings: [warning]
    }
  }
  return restarts
    ? {
        supervisors: [],
        warnings: [`systemd would bring ${unit} back if it ended (Restart=${restart}); a pause does not end it`]
      }
    : nobody
}

/** Who would act on a unit's process that is killed and kept out. */
export const describeKill = (found: Unit | null): Watchers => {
  if (found?.unread !== undefined) return describeUnread(found)
  if (found === null || found.followed === true || !afterAKill.has(found.restart)) return nobody
  const { restart, restartAfter, user } = found
  const unit = nameOf(found)
  const advice =
    user === undefined
      ? "name the unit in the settings of kill"
      : "set its Restart to no for the time of the fault, or take it out by a pause"
  const source = `systemd's Restart=${restart} of ${unit}`
  return {
    supervisors: [{ watches: unit, source, patience: restartAfter, reaction: "RestartsMember" }],
    warnings: [`systemd would start ${unit} again during the hold (Restart=${restart}), which breaks it; ${advice}`]
  }
}

// --- internal ---

const nobody: Watchers = { supervisors: [], warnings: [] }

const nameOf = ({ unit, user }: Unit): string => (user === undefined ? unit : `${unit} of user ${user}'s own systemd`)

const describeUnread = (found: Unit): Watchers => {
  const source = `${nameOf(found)}, whose watchdog and Restart were not read (${found.unread}),`
  return { supervisors: [{ watches: found.unit, source, patience: 0, reaction: "RestartsMember" }], warnings: [] }
}

const optional = <Key extends string>(key: Key, value: string | undefined): { readonly [_ in Key]?: string } =>
  value === undefined ? {} : ({ [key]: value } as { readonly [_ in Key]?: string })

/** The `Restart=` rules by which systemd starts a unit again whose process was ended by SIGKILL. */
const afterAKill: ReadonlySet<string> = new Set(["always", "on-failure", "on-abnormal", "on-abort"])

// systemd writes lengths as 0, infinity, 500ms, 1min 30s, 1h, 1w 2d, 1month, 1y. A length that is not 0 counts as 1 ms
// at least.
const lengthOf = (text: string): Millis => {
  const units: Readonly<Record<string, number>> = {
    us: 0.001,
    ms: 1,
    s: 1000,
    min: 60_000,
    h: 3_600_000,
    d: 86_400_000,
    w: 604_800_000,
    month: 2_629_800_000,
    y: 31_557_600_000
  }
  let length = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(us|month|ms|min|s|h|d|w|y)\b/g)) {
    length += Number(number) * units[unit!]!
  }
  return length > 0 ? Math.max(1, Math.floor(length)) : 0
}
