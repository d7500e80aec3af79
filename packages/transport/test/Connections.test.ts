/**
 * Goal: what a client of Node's asks one after another goes over one connection, which is no longer kept than a moment.
 * Method: a server that counts its connections and tells when one of them has ended.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as NodeClient from "../src/client/NodeClient.ts"
import * as Client from "../src/v1/Client.ts"

/** Answers that it is alive, and never ends a connection itself. */
const counting = Effect.acquireRelease(
  Effect.callback<{ readonly server: Http.Server; readonly seen: { connections: number; ended: Promise<void> } }>(
    (resume) => {
      const seen = { connections: 0, ended: Promise.resolve() }
      const server = Http.createServer({ keepAliveTimeout: 0 }, (_request, response) => {
        response.setHeader("Content-Type", "application/json").setHeader("Inquorate-Api", "1").end('{"status":"ok"}')
      })
      server.on("connection", (socket) => {
        seen.connections++
        seen.ended = new Promise((ended) => socket.once("close", () => ended()))
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, seen })))
    }
  ),
  ({ server }) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

describe("a client's connection", () => {
  it.live("is that of the question before, and ends when no other comes", () =>
    Effect.gen(function* () {
      const { seen, server } = yield* counting
      const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const client = yield* Effect.provide(Client.make({ endpoint }), NodeClient.layer({}))
      yield* client.alive
      yield* client.alive
      yield* Effect.flip(client.nodes)
      assert.strictEqual(seen.connections, 1)
      yield* Effect.promise(() => seen.ended)
      yield* client.alive
      assert.strictEqual(seen.connections, 2)
    }).pipe(Effect.scoped)
  )
})
