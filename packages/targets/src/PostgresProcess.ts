/**
 * Which process a PostgreSQL member is, found on its host from its data directory and believed only if everything agrees:
 * the executable is postgres, it works in that directory, it is told to listen on the member's port, and it is the parent
 * of the very process that answers us over the network, so that no server of another machine is taken for it.
 */
import type { Host, HostError } from "@inquorate/core/Host"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"

/** What is known of a member before its process is looked for. */
export interface Sought {
  /** The data directory by the server's own word; empty where our user may not see it. */
  readonly dataDirectory: string
  /** The data directory by the configuration; empty where it names none. */
  readonly configured: string
  readonly port: number
  /** The process number of the server's process that serves our connection. */
  readonly backend: number
}

/** The process, or in words for a person why it was not found or not believed. */
export type Located =
  | { readonly process: ProcessRef; readonly problem: "" }
  | { readonly process: null; readonly problem: string }

/** Looks for the process on the host; bounded by `timeout` ms. */
export const locate = (host: Host, sought: Sought, timeout: number): Effect.Effect<Located> =>
  host
    .run(
      program,
      [
        sought.dataDirectory === "" ? sought.configured : sought.dataDirectory,
        sought.configured,
        String(sought.backend)
      ],
      { timeout }
    )
    .pipe(
      Effect.map((output) => judge(host.label, sought, output.stdout)),
      Effect.catch((error: HostError) =>
        Effect.succeed(problem(`host ${host.label}: ${error.reason}, ${error.detail}`))
      )
    )

/** Judges what the program printed. */
export const judge = (host: string, sought: Sought, output: string): Located => {
  const facts = new Map(
    output.split("\n").map((line) => {
      const at = line.indexOf("=")
      return [line.slice(0, at), line.slice(at + 1)] as const
    })
  )
  const fact = (name: string): string => facts.get(name) ?? ""
  const directory = fact("directory")
  if (sought.dataDirectory === "" && sought.configured === "") {
    return problem("the user may not see data_directory: grant it pg_read_all_settings, or configure dataDirectory")
  }
  if (directory === "") {
    return problem(
      `${sought.dataDirectory || sought.configured} is no folder on host ${host}: is the server in a container, or elsewhere?`
    )
  }
  if (sought.configured !== "" && sought.dataDirectory !== "" && fact("configured") !== directory) {
    return problem(`the server's data directory is ${directory}, but ${sought.configured} is configured`)
  }
  if (fact("pid") === "") return problem(`${directory}/postmaster.pid cannot be read on host ${host}`)
  if (fact("port") !== String(sought.port)) {
    return problem(`the server in ${directory} listens on port ${fact("port")}, not ${sought.port}`)
  }
  const executable = fact("executable")
  if (executable === "") return problem(`process ${fact("pid")} of ${directory} cannot be looked at, or is gone`)
  if (!/\/(postgres|postmaster)( \(deleted\))?$/.test(executable))
    return problem(`process ${fact("pid")} runs ${executable}, not postgres`)
  if (fact("cwd") !== directory) return problem(`process ${fact("pid")} works in ${fact("cwd")}, not in ${directory}`)
  if (fact("parent") !== fact("pid")) {
    return problem(`process ${fact("pid")} of ${directory} is not the server that answers on port ${sought.port}`)
  }
  const ref = { host, pid: Number(fact("pid")), startTime: fact("start"), executable, dataDirectory: directory }
  return { process: ref, problem: "" }
}

// --- internal ---

const problem = (text: string): Located => ({ process: null, problem: text })

// Lines 1 and 4 of postmaster.pid are the process and the port. In /proc/<pid>/stat the name in parentheses may hold
// anything; after it the state is field 1, the parent field 2 and the start time field 20.
const program = `
field() { shift "$1"; echo "$1"; }
directory=$(cd -P -- "$1" 2>/dev/null && pwd -P) || exit 0
echo "directory=$directory"
[ -z "$2" ] || echo "configured=$(cd -P -- "$2" 2>/dev/null && pwd -P)"
{ read -r pid && read -r d && read -r s && read -r port; } <"$directory/postmaster.pid" 2>/dev/null || exit 0
case $pid in ''|*[!0-9]*) exit 0;; esac
echo "pid=$pid"
echo "port=$port"
read -r stat 2>/dev/null <"/proc/$pid/stat" || exit 0
echo "start=$(field 20 \${stat##*) })"
echo "executable=$(readlink "/proc/$pid/exe")"
echo "cwd=$(readlink "/proc/$pid/cwd")"
read -r stat 2>/dev/null <"/proc/$3/stat" || exit 0
echo "parent=$(field 2 \${stat##*) })"
`
