/**
 * The files and variables that a configuration names, looked for where it is read: a mistake in one of them shows before
 * anything is connected to.
 */
import * as fs from "node:fs"
import * as ConfigSlips from "./ConfigSlips.ts"
import type { ConfigText, Mistake } from "./ConfigText.ts"

/** Each named file that cannot be read here, and each named variable that is not set, with its line. */
export const mistakesOf = ({ document, locate }: ConfigText): ReadonlyArray<Mistake> =>
  ConfigSlips.entriesOf(document).flatMap((entry) => {
    const problem = namedProblem(entry)
    return problem === undefined ? [] : [{ line: locate(entry.path), key: entry.path.map(String).join("."), problem }]
  })

// --- internal ---

/** The keys whose value is a file that the worker reads. */
const fileKeys = new Set([
  "file",
  "passfile",
  "ca",
  "certificate",
  "key",
  "identity",
  "knownHosts",
  "configFile",
  "keys"
])

const namedProblem = ({ key, path, value }: ConfigSlips.Entry): string | undefined => {
  const named = (value as { readonly value?: unknown } | null)?.value
  if (typeof named !== "string") return undefined
  if (key === "env" && path.at(-2) === "password") {
    return process.env[named] === undefined ? `the environment variable ${named} is not set` : undefined
  }
  if (!fileKeys.has(key) || (key === "ca" && named === "system")) return undefined
  try {
    fs.accessSync(named, fs.constants.R_OK)
    return fs.statSync(named).isDirectory() ? `${named} is a folder, not a file` : undefined
  } catch (cause) {
    return `the file cannot be read: ${(cause as Error).message}`
  }
}
