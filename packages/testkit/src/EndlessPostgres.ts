/**
 * A server that lets everybody in as PostgreSQL does and then never stops answering. It sends rows, notices, an error,
 * or words before anybody asked.
 */
import * as Effect from "effect/Effect"
import * as net from "node:net"

/** What the server sends without end. */
export type Endless = "rows" | "notices" | "an error" | "a row" | "greetings" | "notices unasked"

/** Serves until the scope ends; gives its port. */
export const serve = (endless: Endless) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly server: net.Server; readonly sockets: Set<net.Socket> }>((resume) => {
        const sockets = new Set<net.Socket>()
        const server = net.createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => {})
          let asked = 0
          socket.on("data", () => {
            asked++
            if (asked === 1) greet(socket, endless)
            if (asked === 2) answer(socket, endless)
          })
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, sockets })))
      }),
      ({ server, sockets }) =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    ),
    ({ server }) => (server.address() as net.AddressInfo).port
  )

// --- internal ---

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.write(type, 0, "latin1")
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const letters = "x".repeat(16 * 1024)

const notice = message("N", Buffer.from(`SWARNING\0VWARNING\0C01000\0M${letters}\0\0`))

const row = message("D", Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 8]), Buffer.from("abcdefgh")]))

// One column `x` of type text.
const columns = message("T", Buffer.from([0, 1, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0, 0, 0, 0, 0, 0]))

const ready = message("Z", Buffer.from("I"))

const repeat = (socket: net.Socket, piece: Buffer): void => {
  const send = (): void => {
    if (!socket.destroyed) socket.write(piece, () => setImmediate(send))
  }
  send()
}

const greet = (socket: net.Socket, endless: Endless): void => {
  socket.write(message("R", Buffer.alloc(4)))
  socket.write(message("S", Buffer.from("server_version\u000017.0\0")))
  socket.write(message("K", Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])))
  if (endless === "greetings") return repeat(socket, notice)
  socket.write(ready)
  if (endless === "notices unasked") repeat(socket, notice)
}

const answer = (socket: net.Socket, endless: Endless): void => {
  const endlessMessage = (type: string, begin: Buffer): void => {
    socket.write(Buffer.concat([Buffer.from(type), Buffer.from([0x7f, 0xff, 0xff, 0xff]), begin]))
    repeat(socket, Buffer.from(letters))
  }
  switch (endless) {
    case "rows":
      socket.write(columns)
      return repeat(socket, Buffer.concat(Array.from({ length: 500 }, () => row)))
    case "notices":
      return repeat(socket, notice)
    case "an error":
      return endlessMessage("E", Buffer.from("SERROR\0CXX000\0M"))
    case "a row":
      socket.write(columns)
      return endlessMessage("D", Buffer.from([0, 1, 0x7f, 0xff, 0xff, 0xf0]))
    default:
  }
}
