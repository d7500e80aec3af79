/**
 * The calls of a quorum loss as they go over the wire, and how many of them a server answers in a second. Every server
 * is asked by as many callers at once.
 */
import { randomUUID } from "node:crypto"
import * as Load from "./Load.ts"

/** How many starts a server answers in a second. */
export const starts = ({ port }: Server): Promise<number> =>
  rate({ port, connections, status: 202, request: () => start(randomUUID(), port) })

/** How many questions about the progress of one operation it answers in a second. */
export const reads = async ({ port }: Server): Promise<number> => {
  // What is read waits behind others for the whole time, and stays what it is.
  const ids = Array.from({ length: waiting }, () => randomUUID())
  for (const id of ids) {
    const answer = await fetch(`http://127.0.0.1:${port}${startPath(id)}`, { method: "POST" })
    if (answer.status !== 202) throw new Error(await answer.text())
  }
  return rate({ port, connections, status: 200, request: () => progress(ids.at(-1)!, port) })
}

// --- internal ---

interface Server {
  readonly port: number
}

/** A group commit can share only what waits at once. */
const connections = 128
// The figure is of a server in full run. The first seconds compile, so they are not counted.
const warming = 4000
const measuring = 2500
const waiting = 100

const rate = async (load: Omit<Load.Load, "millis">): Promise<number> => {
  await Load.run({ ...load, millis: warming })
  return Load.run({ ...load, millis: measuring })
}

const service = "/Faults/Services/a~b/$/GetPartitions/66666666-7777-8888-9999-aaaaaaaaaaaa/$"

const startPath = (id: string): string =>
  `${service}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=1&timeout=60`

const start = (id: string, port: number): string =>
  `POST ${startPath(id)} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 0\r\n\r\n`

const progress = (id: string, port: number): string =>
  `GET ${service}/GetQuorumLossProgress?api-version=6.0&OperationId=${id}&timeout=60 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`
