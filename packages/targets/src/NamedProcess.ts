/**
 * The process on a host that a number, or a file with a number, names, and what makes it that process and no other.
 * Before the process is touched, the host proves again that it serves the data directory.
 */
import type { Host } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import { type Located, unseen } from "./Located.ts"
import * as Programs from "./Programs.ts"

/** What names the process. */
export interface Named {
  readonly dataDirectory: string
  /** The process number, where it is known. */
  readonly pid: number | undefined
  /** The absolute path of a file whose first line is the number. */
  readonly pidFile: string | undefined
}

/** Looks on the host; bounded by `timeout` ms. */
export const locate = (host: Host, named: Named, timeout: number): Effect.Effect<Located> => {
  const { dataDirectory, pid, pidFile } = named
  if (pid === undefined && pidFile === undefined) {
    return Effect.succeed(problem("neither the look command tells its pid nor is a pidFile configured"))
  }
  return host.run(Programs.namedProcess, [dataDirectory, pidFile ?? "", String(pid ?? "")], { timeout }).pipe(
    Effect.map(({ stdout }) => judge(host.label, named, stdout)),
    Effect.catch((error) => Effect.succeed({ process: null, ...unseen(error) }))
  )
}

// --- internal ---

const problem = (text: string): Located => ({ process: null, problem: text })

const judge = (host: string, { dataDirectory, pid, pidFile }: Named, output: string): Located => {
  const lines = output.split("\n")
  const [word = "", number = "", startTime = ""] = (lines[0] ?? "").split(" ")
  const told = pid ?? (number === "" ? pidFile : number)
  if (word === "folder") return problem(`${dataDirectory} is no folder on host ${host} that our user may see`)
  if (word === "file") return problem(`${pidFile} on host ${host} holds no process number, or cannot be read`)
  if (word === "stranger") {
    return problem(
      `a link of another user than the server's leads to ${dataDirectory} on host ${host}: name the folder itself as dataDirectory`
    )
  }
  if (word !== "process") return problem(`process ${told} is not there on host ${host}, or cannot be looked at`)
  const [, directory = "", executable = "", ...rest] = lines
  if (!executable.startsWith("/") || !directory.startsWith("/") || rest.join("") !== "") {
    return problem(`process ${told} runs a file whose name cannot be taken`)
  }
  return { process: { host, pid: Number(number), startTime, executable, dataDirectory: directory }, problem: "" }
}
