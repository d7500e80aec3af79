/**
 * How much a PostgreSQL server may send us: so many bytes until it is ready for the next question. Rows, notices or
 * errors without an end all end the connection. Only a short part of them is kept for a person.
 */
import type { Client } from "pg"

/**
 * The most bytes of an answer. No answer to our questions has as many; PostgreSQL's longest are the rows of its own
 * views.
 */
const answerLimit = 4 * 1024 * 1024

/** The part of what a server says that is kept for a person. */
export const shorten = (text: string): string => (text.length <= textLimit ? text : `${text.slice(0, textLimit)}…`)

/** How many warnings of one answer are kept. */
export const warningLimit = 20

/** Ends the client's connection when its server says too much. Call it before the client connects. */
export const bound = (client: Client): void => {
  const { connection } = client
  let bytes = 0
  const count = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > answerLimit) connection.stream.destroy(new Error(`its answer has more than ${answerLimit} bytes`))
  }
  // With TLS the client replaces its stream once both sides speak TLS.
  for (const event of ["connect", "sslconnect"]) connection.once(event, () => connection.stream.on("data", count))
  connection.on("readyForQuery", () => {
    bytes = 0
  })
}

// --- internal ---

const textLimit = 500
