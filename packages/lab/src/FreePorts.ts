/**
 * Ports of 127.0.0.1 that nobody listens on, for servers that must be told theirs. They lie below the ports that the
 * kernel gives to outgoing connections (32768 and up): such a connection could take a member's port while the member is
 * down.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as crypto from "node:crypto"
import * as net from "node:net"

/** A thousand tries gave too few free ports. */
export class NoFreePort extends Schema.TaggedError<NoFreePort>()("NoFreePort", {}) {}

/**
 * Finds so many different ports. They were all held at one moment and are free again. Another program may still be
 * quicker, so a server that finds its port taken is given another.
 */
export const freePorts = Effect.fnUntraced(function* (
  count: number
): Effect.fn.Return<ReadonlyArray<number>, NoFreePort> {
  const ports = yield* Effect.promise(() => chosen(count))
  return ports.length === count ? ports : yield* new NoFreePort()
})

// --- internal ---

const chosen = async (count: number): Promise<ReadonlyArray<number>> => {
  const held: Array<net.Server> = []
  const ports: Array<number> = []
  for (let tries = 0; ports.length < count && tries < 1000; tries++) {
    const port = crypto.randomInt(20_000, 32_000)
    const server = net.createServer()
    const bound = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false))
      server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(true))
    })
    if (!bound) continue
    held.push(server)
    ports.push(port)
  }
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
