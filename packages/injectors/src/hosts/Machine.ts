/**
 * Which machine a host label stands for. A label is a name in one worker's configuration. The machine's own id tells
 * whether an order that another worker stored is bound to a host that this worker reaches.
 */
import type { Host } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"

/** The machine id of a host (`/etc/machine-id`), or null where it has none or does not answer. */
export const identify = (host: Host): Effect.Effect<string | null> =>
  host.run(program, [], { timeout: askTimeout }).pipe(
    Effect.map(({ exitCode, stdout }) => (exitCode === 0 && stdout.trim() !== "" ? stdout.trim() : null)),
    Effect.catchTag("HostError", () => Effect.succeed(null))
  )

// --- internal ---

const askTimeout: Millis = 3000
const program = `first=/proc/1/root
{ read -r machine <"$first/etc/machine-id" || read -r machine </etc/machine-id; } 2>/dev/null && printf '%s' "$machine"`
