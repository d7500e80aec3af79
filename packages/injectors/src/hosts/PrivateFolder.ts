/**
 * A folder for sockets that only this user may enter. Whoever may write to a folder above it could put another one in
 * its place, so every folder above is looked at too.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** Why a folder cannot be trusted, or the folder itself. */
export type Private = { readonly folder: string; readonly made: boolean } | { readonly problem: string }

/**
 * Opens `wanted`, and makes it where it is not there. It counts only if nobody but this user may enter it and its name
 * has at most `longest` bytes. Otherwise a new folder is made in the system's temporary one, with a name that nobody
 * could know before: `made` is then true, and the caller removes the folder.
 */
export const open = (wanted: string, longest: number): Private => {
  const problem = Buffer.byteLength(wanted) > longest ? "its name is too long for a socket" : prepare(wanted)
  if (problem === "") return { folder: wanted, made: false }
  const temporary = fs.realpathSync(os.tmpdir())
  const above =
    Buffer.byteLength(temporary) > longest - suffix ? "its name is too long for a socket" : ancestry(temporary)
  if (above !== "") return { problem: `${wanted}: ${problem}; ${temporary}: ${above}` }
  return { folder: fs.mkdtempSync(path.join(temporary, "inquorate-")), made: true }
}

/** Why others could enter this folder or put another one in its place; empty where they cannot. */
export const problemOf = (folder: string): string => {
  const stat = fs.lstatSync(folder)
  if (!stat.isDirectory()) return "it is no folder of its own, but a link or a file"
  if (stat.uid !== process.getuid?.()) return `it belongs to user ${stat.uid}`
  if ((stat.mode & 0o077) !== 0) return `others may enter it (mode ${(stat.mode & 0o777).toString(8)})`
  return ancestry(path.dirname(fs.realpathSync(folder)))
}

// --- internal ---

/** The bytes of `/inquorate-XXXXXX`. */
const suffix = 17

const prepare = (folder: string): string => {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    return problemOf(folder)
  } catch (cause) {
    return (cause as Error).message
  }
}

// The real path has no links. So the owners of its folders decide what lies in them, and nobody else.
const ancestry = (folder: string): string => {
  const stat = fs.lstatSync(folder)
  const isSticky = (stat.mode & 0o1000) !== 0
  if (stat.uid !== 0 && stat.uid !== process.getuid?.()) return `${folder} belongs to user ${stat.uid}`
  if ((stat.mode & 0o022) !== 0 && !isSticky) return `others may write to ${folder}`
  const above = path.dirname(folder)
  return above === folder ? "" : ancestry(above)
}
