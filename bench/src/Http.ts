/**
 * Durable starts and progress reads per second: the worker against the bare handler, interleaved in one run.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { type Child, start, startWorker } from "./Child.ts"
import { type Figure, spread } from "./Figures.ts"
import * as Load from "./Load.ts"

const service = "/Faults/Services/a~b/$/GetPartitions/66666666-7777-8888-9999-aaaaaaaaaaaa/$"

const post = (id: string, port: number): string =>
  `POST ${service}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=1&timeout=60 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 0\r\n\r\n`

const get = (id: string, port: number): string =>
  `GET ${service}/GetQuorumLossProgress?api-version=6.0&OperationId=${id}&timeout=60 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`

/** The two HTTP figures. `folder` is a scratch folder, and `rounds` says how often each side has its turn. */
export const measure = async (folder: string, rounds: number): Promise<ReadonlyArray<Figure>> => {
  const starts: Array<number> = []
  const reads: Array<number> = []
  const rates = {
    starts: { ours: [] as Array<number>, bare: [] as Array<number> },
    reads: { ours: [] as Array<number>, bare: [] as Array<number> }
  }
  const silent = await silentServer()
  // What is measured is taking starts durably. So the one operation that may run at a time waits for a server that
  // accepts and never answers, and the others stay in the queue.
  fs.writeFileSync(
    path.join(folder, "queued.yaml"),
    JSON.stringify({
      limits: { concurrency: 1, queue: 1_000_000 },
      clusters: { a: { system: "etcd", members: [{ name: "m0", address: `127.0.0.1:${silent.port}` }] } }
    })
  )
  for (let round = 0; round < rounds; round++) {
    // A fresh store each round: ours refuses above its queue bound, and neither side shall grow into the other's noise.
    const ours = await startWorker(path.join(folder, "queued.yaml"), path.join(folder, `ours-${round}.db`))
    const bare = await start([path.join(import.meta.dirname, "BareServer.ts"), path.join(folder, `bare-${round}.db`)])
    const order = round % 2 === 0 ? [ours, bare] : [bare, ours]
    for (const side of order) {
      const rate = await startsOf(side)
      rates.starts[side === ours ? "ours" : "bare"].push(rate)
    }
    starts.push(rates.starts.ours.at(-1)! / rates.starts.bare.at(-1)!)
    for (const side of order) {
      const rate = await readsOf(side)
      rates.reads[side === ours ? "ours" : "bare"].push(rate)
    }
    reads.push(rates.reads.ours.at(-1)! / rates.reads.bare.at(-1)!)
    await ours.end()
    await bare.end()
  }
  silent.close()
  return [
    ratio(
      "durable starts per second, against a bare node:http + node:sqlite handler with a commit each",
      starts,
      rates.starts,
      2.5
    ),
    ratio("progress reads per second, against the same handler with the same codec", reads, rates.reads, 0.8)
  ]
}

// --- internal ---

const silentServer = (): Promise<{ readonly port: number; readonly close: () => void }> =>
  new Promise((resolve) => {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => undefined)
    })
    server.listen(0, "127.0.0.1", () =>
      resolve({
        port: (server.address() as net.AddressInfo).port,
        close: () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
      })
    )
  })

// The figure is of a worker in full run. The first seconds compile, so they are not counted.
const startsOf = async ({ port }: Child): Promise<number> => {
  await starts(port, warming)
  return starts(port, measuring)
}

// A group commit can share only what waits at once, so both sides have the same number of connections.
const connections = 128

const warming = 4000
const measuring = 2500

const starts = (port: number, millis: number): Promise<number> =>
  Load.run({ port, connections, millis, status: 202, request: () => post(randomUUID(), port) })

const readsOf = async ({ port }: Child): Promise<number> => {
  const id = randomUUID()
  const begun = await fetch(
    `http://127.0.0.1:${port}${service}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=1`,
    { method: "POST" }
  )
  if (begun.status !== 202) throw new Error(await begun.text())
  const read = (millis: number) => Load.run({ port, connections, millis, status: 200, request: () => get(id, port) })
  await read(warming)
  return read(measuring)
}

const ratio = (
  name: string,
  ratios: ReadonlyArray<number>,
  rates: { readonly ours: ReadonlyArray<number>; readonly bare: ReadonlyArray<number> },
  goal: number
): Figure => {
  const { max, min, p50 } = spread(ratios)
  const list = (values: ReadonlyArray<number>): string => values.map((value) => value.toFixed(0)).join(", ")
  return {
    name,
    measured: `${p50.toFixed(2)} × (${min.toFixed(2)} to ${max.toFixed(2)}); ours ${list(rates.ours)}; bare ${list(rates.bare)}`,
    goal: `≥ ${goal} ×`,
    met: p50 >= goal
  }
}
