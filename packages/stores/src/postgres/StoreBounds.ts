/**
 * What the PostgreSQL of the store may send: so many bytes until it is ready for the next statement, and no more. Rows,
 * notices and errors without an end all end the connection. Little of them is kept for a person.
 */
import type { Client } from "pg"

/** Some times the longest answer there is: ten thousand operations, the most that a store keeps of what has ended. */
const answerLimit = 128 * 1024 * 1024

/** As much of what a server says as is kept for a person. */
export const shorten = (text: string): string => (text.length <= textLimit ? text : `${text.slice(0, textLimit)}…`)

/** How many warnings of one answer are kept. */
export const warningLimit = 20

/** Ends the client's connection where its server says too much. It has to be called before the client connects. */
export const bound = (client: Client): void => {
  const { connection } = client
  let bytes = 0
  const count = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > answerLimit) connection.stream.destroy(new Error(`its answer has more than ${answerLimit} bytes`))
  }
  // With TLS the stream is replaced once both sides speak it.
  for (const event of ["connect", "sslconnect"]) connection.once(event, () => connection.stream.on("data", count))
  // A connection that only listens hears of changes for as long as it lives, and asks nothing.
  for (const event of ["readyForQuery", "notificationResponse"]) {
    connection.on(event, () => {
      bytes = 0
    })
  }
}

// --- internal ---

const textLimit = 500
