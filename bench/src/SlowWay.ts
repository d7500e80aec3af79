/**
 * A TCP proxy on 127.0.0.1 that delays what goes either way, as a long way does: the bytes come whole and in their order,
 * so many milliseconds late.
 */
import * as net from "node:net"

/** A way that is open. */
export interface SlowWay {
  readonly port: number
  /** How many connections took it. */
  readonly connections: () => number
  readonly close: () => void
}

/** Opens a way to a port of this machine. */
export const open = (to: number, delay: number): Promise<SlowWay> =>
  new Promise((resolve, reject) => {
    const sockets = new Set<net.Socket>()
    let connections = 0
    const server = net.createServer({ noDelay: true }, (near) => {
      const far = net.connect({ host: "127.0.0.1", port: to, noDelay: true })
      connections++
      join(near, far, delay)
      join(far, near, delay)
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
      }
    })
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () =>
      resolve({
        port: (server.address() as net.AddressInfo).port,
        connections: () => connections,
        close: () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
      })
    )
  })

// --- internal ---

/** Timers of one length fire in the order in which they were set. */
const join = (from: net.Socket, to: net.Socket, delay: number): void => {
  from.on("data", (data) => setTimeout(() => to.write(data), delay))
  from.on("end", () => setTimeout(() => to.end(), delay))
  from.on("error", () => setTimeout(() => to.destroy(), delay))
}
