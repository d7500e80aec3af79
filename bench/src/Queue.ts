/**
 * The configuration of a worker that takes and stores what is asked and runs next to nothing: the one operation that may
 * run at a time waits for a server that accepts and never answers, and the others stay in the queue.
 */
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"

/** Uses such a configuration, for as many workers as there are. */
export const withQueue = async <A>(folder: string, use: (config: string) => Promise<A>): Promise<A> => {
  const silent = await silentServer()
  const config = path.join(folder, "queued.yaml")
  fs.writeFileSync(
    config,
    JSON.stringify({
      limits: { concurrency: 1, queue: 1_000_000 },
      clusters: { a: { system: "etcd", members: [{ name: "m0", address: `127.0.0.1:${silent.port}` }] } }
    })
  )
  try {
    return await use(config)
  } finally {
    silent.close()
  }
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
