/**
 * A file that a person names, read as text. It is bounded, because a configuration or a credential is short, and a
 * device or a pipe may have no end.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"

/** More than any configuration, certificate or schedule. */
export const limit = 4 * 1024 * 1024

/**
 * The text of a file, or of standard input for 0. Throws the system's error, or one that says that the file is too
 * long.
 */
export const read = (file: string | 0): string => {
  const descriptor = file === 0 ? 0 : openSync(file, "r")
  try {
    if (fstatSync(descriptor).isDirectory()) throw new Error("it is a folder, not a file")
    const chunks: Array<Buffer> = []
    for (let length = 0; ;) {
      const chunk = Buffer.alloc(64 * 1024)
      const bytes = readSync(descriptor, chunk)
      if (bytes === 0) return Buffer.concat(chunks).toString("utf8")
      length += bytes
      if (length > limit) throw new Error(`it has more than ${limit} bytes`)
      chunks.push(chunk.subarray(0, bytes))
    }
  } finally {
    if (file !== 0) closeSync(descriptor)
  }
}
