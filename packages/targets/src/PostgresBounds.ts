/**
 * What a PostgreSQL server may send us: so many bytes until it is ready for the next question, and no more. Rows, notices
 * and errors without an end all end the connection; what is kept of them for a person is short.
 */
import type { Client } from "pg"

/** More than any answer to a question of ours; PostgreSQL's longest are the rows of its own views. */
const answerLimit = 4 * 1024 * 1024

/** As much of what a server says as is kept for a person. */
export const shorten = (text: string): string => (text.length <= textLimit ? text : `${text.slice(0, textLimit)}…`)

/** How many warnings of one answer are kept. */
export const warningLimit = 20

/** Ends the client's connection where its server says too much; to be called before it connects. */
export const bound = (client: Client): void => {
  const { connection } = client
  let bytes = 0
  const count = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > answerLimit) connection.stream.destroy(new Error(`its answer has more than ${answerLimit} bytes`))
  }
  // With TLS the stream is replaced once both sides speak it.
  for (const event of ["connect", "sslconnect"]) connection.once(event, () => connection.stream.on("data", count))
  connection.on("readyForQuery", () => {
    bytes = 0
  })
}

// --- internal ---

const textLimit = 500
