/**
 * Where the state of this machine's own programs stands. This is `$INQUORATE_STATE`. Where that is not set, it is
 * `/var/lib/inquorate` for root, and for others `$XDG_STATE_HOME/inquorate` or `~/.local/state/inquorate`. The programs
 * on hosts find theirs by the same variables (`open_root` in `host/records.sh`), read in the same way: an empty
 * variable counts as not set, and only an absolute `$XDG_STATE_HOME` counts.
 */
import * as os from "node:os"
import * as path from "node:path"

/** The state directory of this process's user, by its environment. */
export const stateDirectory = (environment: NodeJS.ProcessEnv = process.env): string => {
  const { INQUORATE_STATE: own = "", XDG_STATE_HOME: states = "" } = environment
  if (own !== "") return own
  if (process.geteuid?.() === 0) return "/var/lib/inquorate"
  const home = environment["HOME"] ?? ""
  return path.join(
    states.startsWith("/") ? states : path.join(home === "" ? os.homedir() : home, ".local/state"),
    "inquorate"
  )
}
