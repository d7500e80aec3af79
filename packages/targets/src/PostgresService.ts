/**
 * The two files in which users of libpq keep their connections: the service file (`pg_service.conf`) and the password
 * file (`.pgpass`). Both are read for each connection.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NamedFile from "./NamedFile.ts"

/** The parameters of one service, by libpq's names, such as `host`, `port`, `dbname`, `user` and `sslmode`. */
export type Parameters = ReadonlyMap<string, string>

/** Where libpq looks for the service file when nobody names one. */
export const usualFiles = (environment: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> => [
  environment["PGSERVICEFILE"] ?? path.join(os.homedir(), ".pg_service.conf"),
  path.join(environment["PGSYSCONFDIR"] ?? "/etc/postgresql-common", "pg_service.conf")
]

/** The parameters of a service, from the first of these files that has it. Throws where none has it. */
export const read = (service: string, files: ReadonlyArray<string>): Parameters => {
  const problems: Array<string> = []
  for (const file of files) {
    try {
      const found = find(service, NamedFile.read(file).toString("utf8"))
      if (found !== undefined) return found
      problems.push(`${file} has no service ${service}`)
    } catch (cause) {
      problems.push((cause as Error).message)
    }
  }
  throw new Error(`the service ${service} was not found: ${problems.join("; ")}`)
}

/** The parameters of a service in the text of a service file. The first section of its name counts. */
const find = (service: string, text: string): Parameters | undefined => {
  let found: Map<string, string> | undefined
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line === "" || line.startsWith("#")) continue
    const section = /^\[([^\]]*)\]/.exec(line)
    if (section !== null) {
      if (found !== undefined) return found
      if (section[1] === service) found = new Map()
      continue
    }
    const at = line.indexOf("=")
    if (found === undefined || at < 0) continue
    const name = line.slice(0, at).trim()
    if (!found.has(name)) found.set(name, line.slice(at + 1).trim())
  }
  return found
}

/** The connection that a password is wanted for. A Unix socket's folder counts as its host. */
export interface PasswordFor {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

/**
 * The password that a password file has for a connection, by the first line that fits, or null. Throws where the file
 * cannot be read, or where others may read it: libpq ignores such a file.
 */
export const password = (file: string, wanted: PasswordFor): string | null => {
  const { mode } = fs.statSync(file)
  if ((mode & 0o077) !== 0) throw new Error(`${file} may be read by others, so it is not used: chmod 600 it`)
  const sought = [wanted.host, String(wanted.port), wanted.database, wanted.user]
  for (const line of NamedFile.read(file).toString("utf8").split(/\r?\n/)) {
    if (line === "" || line.startsWith("#")) continue
    const [, ...fields] = passwordLine.exec(line) ?? []
    const fits = sought.every((value, index) => {
      const field = fields[index]
      if (field === undefined) return false
      const plain = field.replaceAll(/\\(.)/g, "$1")
      // For libpq a connection over a Unix socket also is one to localhost.
      return field === "*" || plain === value || (index === 0 && value.startsWith("/") && plain === "localhost")
    })
    if (fits) return fields[4]!.replaceAll(/\\(.)/g, "$1")
  }
  return null
}

// --- internal ---

// Four fields, each of which ends at a colon that has no backslash before it. The password is all the rest.
const passwordLine = new RegExp(`^${String.raw`((?:[^:\\]|\\.)*):`.repeat(4)}(.*)$`)
