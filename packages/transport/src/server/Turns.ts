/**
 * The requests of one connection, one after the other. A request begins when the answer to the one before it is
 * written. If a request ends its connection, the requests behind it are not carried out, because nobody could be told.
 */
import type * as Http from "node:http"
import type { Socket } from "node:net"

// --- models ---

/** Takes requests in their turn. */
export interface Turns {
  /** Begins `go` when it is the request's turn. If too many wait, it begins `crowded` instead. */
  readonly take: (
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    go: () => void,
    crowded: () => void
  ) => void
  /** How many requests of a connection wait for their answers. */
  readonly open: (socket: Socket) => number
}

// --- make ---

/** The turns for all connections of a server. Each connection may have `pipelined` requests without an answer. */
export const make = (pipelined: number): Turns => {
  const lines = new WeakMap<Socket, Line>()
  const lineOf = (socket: Socket): Line => {
    const known = lines.get(socket)
    if (known !== undefined) return known
    const line: Line = { waiting: [], running: false, ended: false, behind: 0 }
    lines.set(socket, line)
    return line
  }
  return {
    open: (socket) => {
      const line = lines.get(socket)
      return line === undefined ? 0 : line.waiting.length + (line.running ? 1 : 0)
    },
    take: (request, response, go, crowded) => {
      const { socket } = request
      const line = lineOf(socket)
      // The answer before this one closes the connection, and this request with it. A caller who keeps sending is cut
      // off.
      if (line.ended) return ++line.behind > behindMost ? void socket.destroy() : undefined
      const isCrowded = line.waiting.length + (line.running ? 1 : 0) >= pipelined
      if (isCrowded) line.ended = true
      const begin = (): void => {
        line.running = true
        response.once("close", () => next(line, socket, response))
        if (isCrowded) crowded()
        else go()
      }
      if (line.running) line.waiting.push(begin)
      else begin()
    }
  }
}

// --- internal ---

interface Line {
  readonly waiting: Array<() => void>
  running: boolean
  /** True once nothing more is taken from this connection. */
  ended: boolean
  /** How many requests came after that. */
  behind: number
}

/**
 * How many requests behind the last taken one the server bears before it cuts the connection. Node keeps each of them
 * in memory.
 */
const behindMost = 1000

const next = (line: Line, socket: Socket, { shouldKeepAlive }: Http.ServerResponse): void => {
  line.running = false
  if (!shouldKeepAlive || socket.destroyed) {
    line.ended = true
    line.waiting.length = 0
  }
  line.waiting.shift()?.()
}
