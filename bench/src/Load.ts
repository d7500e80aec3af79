/**
 * A closed-loop load on one HTTP server: each of `connections` sockets sends its next request when the last was
 * answered. The sockets are raw and the requests are written out beforehand, so that the server is what is measured.
 */
import * as net from "node:net"

/** What to send. `request(n)` is the n-th request as bytes; every answer must have the wanted status. */
export interface Load {
  readonly port: number
  readonly connections: number
  readonly millis: number
  readonly status: number
  readonly request: (sequence: number) => string
}

/** How many requests were answered per second. Throws on any answer of another status. */
export const run = async ({ connections, millis, port, request, status }: Load): Promise<number> => {
  let sequence = 0
  let answered = 0
  const began = performance.now()
  const until = began + millis
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = net.connect({ host: "127.0.0.1", port, noDelay: true })
      let buffer = ""
      const send = (): void => {
        if (performance.now() >= until) {
          socket.end()
          return resolve()
        }
        socket.write(request(sequence++))
      }
      socket.on("connect", send)
      socket.on("error", reject)
      socket.setEncoding("latin1")
      socket.on("data", (data: string) => {
        buffer += data
        const head = buffer.indexOf("\r\n\r\n")
        if (head < 0) return
        const length = Number(/content-length: *(\d+)/i.exec(buffer.slice(0, head))?.[1] ?? 0)
        if (buffer.length < head + 4 + length) return
        if (!buffer.startsWith(`HTTP/1.1 ${status} `)) return reject(new Error(buffer.slice(0, 300)))
        buffer = buffer.slice(head + 4 + length)
        answered++
        send()
      })
    })
  await Promise.all(Array.from({ length: connections }, one))
  return answered / ((performance.now() - began) / 1000)
}
