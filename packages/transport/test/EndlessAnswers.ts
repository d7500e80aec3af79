/**
 * A worker, or whoever answers in its place, that never stops sending, and what each of our clients must do with it: its
 * call ends within its bounds, and memory does not grow with what is sent.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import type { AddressInfo } from "node:net"
import type * as NodeClient from "../src/client/NodeClient.ts"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as Client from "../src/v1/Client.ts"

export const O = "11111111-1111-4111-8111-111111111111"
export const MiB = 1024 * 1024

/** Sends the beginning, and then the same piece again and again for as long as somebody reads it. */
export const endless = (beginning: string, piece: string, every = 0) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket> }>((resume) => {
        const sockets = new Set<Net.Socket>()
        const server = Net.createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => {})
          socket.once("data", () => {
            socket.write(beginning)
            const send = (): void => {
              if (socket.destroyed) return
              if (every > 0) return void setTimeout(() => (socket.write(piece), send()), every)
              socket.write(piece, () => setImmediate(send))
            }
            send()
          })
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, sockets })))
      }),
      ({ server, sockets }) =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    ),
    ({ server }) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

export const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
export const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
export const events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
export const letters = "x".repeat(64 * 1024)

/** A client of HTTP. */
type Over = ReturnType<typeof NodeClient.layer>

/** What is asked over one, by what it shows. */
const askedOver = (layer: Over): Readonly<Record<string, Effect.Effect<void, unknown>>> => {
  const client = (endpoint: string, bounds = {}) => Effect.provide(Client.make({ endpoint, bounds }), layer)
  return {
    "in its body is cut off, and memory does not follow": Effect.gen(function* () {
      const endpoint = yield* endless(head, chunk(letters))
      const before = process.memoryUsage().rss
      const error = yield* Effect.flip((yield* client(endpoint)).clusters)
      assert.deepStrictEqual(error._tag === "ClientError" && [error.reason, error.detail], [
        "BadAnswer",
        `its answer has more than ${64 * MiB} bytes`
      ])
      assert.isBelow(process.memoryUsage().rss - before, 400 * MiB)
    }).pipe(Effect.scoped),

    "of the Service Fabric surface too": Effect.gen(function* () {
      const endpoint = yield* endless(head, chunk(letters))
      const fabric = yield* Effect.provide(FabricClient.make({ endpoint }), layer)
      const error = yield* Effect.flip(fabric.getNodes)
      assert.deepStrictEqual(error._tag === "FabricTransportError" && error.reason, "BadAnswer")
    }).pipe(Effect.scoped),

    "that comes drop by drop is given up in its time, head or body": Effect.gen(function* () {
      for (const [beginning, piece] of [
        [head, chunk(" ")],
        ["HTTP/1.1 200 OK\r\n", "X: y\r\n"],
        ["", "HTTP/1.1 102 Processing\r\n\r\n"]
      ] as const) {
        const endpoint = yield* endless(beginning, piece, 50)
        const error = yield* Effect.flip((yield* client(endpoint, { answerTime: 700 })).clusters)
        assert.deepStrictEqual(error._tag === "ClientError" && error.reason, "TimedOut", JSON.stringify(beginning))
      }
    }).pipe(Effect.scoped),

    "in its head is cut off": Effect.gen(function* () {
      const endpoint = yield* endless("HTTP/1.1 200 OK\r\nX: ", letters)
      const error = yield* Effect.flip((yield* client(endpoint, { answerTime: 20_000 })).clusters)
      assert.strictEqual(error._tag, "ClientError")
    }).pipe(Effect.scoped),

    "in a line of an event stream is cut off, and one that falls silent is left": Effect.gen(function* () {
      const cases = [
        [yield* endless(events, chunk(`data: ${letters}`)), {}],
        [yield* endless(events, chunk("data: x\n"), 3_600_000), { silence: 300 }]
      ] as const
      for (const [endpoint, bounds] of cases) {
        // The stream is given up, and the operation is asked for instead, which this one answers as badly.
        const watching = (yield* client(endpoint, { answerTime: 2000, ...bounds })).watch(O)
        const error = yield* Effect.flip(Stream.runDrain(watching))
        assert.strictEqual(error._tag, "ClientError")
      }
    }).pipe(Effect.scoped)
  }
}

/** Registers the tests of one client: all, or those that are chosen. */
export const endsOver = (over: string, layer: Over, isChosen: (title: string) => boolean = () => true): void => {
  describe(`an answer without an end, over ${over}`, () => {
    for (const [title, asking] of Object.entries(askedOver(layer))) {
      if (isChosen(title)) it.live(title, () => asking)
    }
  })
}

/** What is asked over fetch in the quick tests; the long ones ask the rest. */
export const isQuick = (title: string): boolean => title.startsWith("in its body is cut off")
