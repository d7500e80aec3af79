/**
 * A file that a person named in the configuration: a certificate, a key, a password. It is read when it is used. The
 * read is bounded, whatever kind of file it is.
 */
import * as fs from "node:fs"

/** The bytes of the file. Throws, in words for a person, where there are too many of them or none can be read. */
export const read = (path: string): Buffer => {
  // Without O_NONBLOCK a pipe to which nobody writes would block the whole worker.
  const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  try {
    const bytes = Buffer.alloc(limit + 1)
    let length = 0
    while (length < bytes.length) {
      const count = fs.readSync(descriptor, bytes, length, bytes.length - length, null)
      if (count === 0) return bytes.subarray(0, length)
      length += count
    }
    throw new Error(`${path} has more than ${limit} bytes`)
  } finally {
    fs.closeSync(descriptor)
  }
}

// --- internal ---

/** The most bytes of a file. No bundle of certificates has as many. */
const limit = 1024 * 1024
