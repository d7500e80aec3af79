/**
 * Finds the clusters that a person may want to break: those of the addresses that were named, or of the servers that
 * run on this host. Nothing is written, and no password goes to a server that anybody could have put there.
 */
import { describeHostError, type Host } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as net from "node:net"
import * as EtcdFinding from "./EtcdFinding.ts"
import type { Found, Wishes } from "./Finding.ts"
import * as HostServers from "./HostServers.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as PostgresFinding from "./PostgresFinding.ts"

/** What a look for servers is given, and what it finds. */
export type { Found, FoundCluster, FoundMember, FoundSetting, Reference, Wishes } from "./Finding.ts"

/** Looks for clusters. `host` is this machine. */
export const find = Effect.fnUntraced(function* (host: Host, wishes: Wishes): Effect.fn.Return<Found> {
  const looked = yield* Effect.result(HostServers.find(host, lookTimeout))
  const { crowds, servers } = Result.getOrElse(looked, () => ({ crowds: [], servers: [] }))
  const kinds = yield* Effect.forEach(wishes.addresses, systemAt, { concurrency: 8 })
  const of = (system: "etcd" | "postgres") => ({
    named: wishes.addresses.filter((_, index) => kinds[index] === system),
    servers: servers.filter((server) => server.system === system)
  })
  const isNamed = wishes.addresses.length > 0
  const found = yield* Effect.forEach(
    [
      ["etcd", EtcdFinding.find],
      ["postgres", PostgresFinding.find]
    ] as const,
    ([system, look]) => {
      const { named, servers } = of(system)
      return isNamed && named.length === 0 ? Effect.succeed({ clusters: [], notes: [] }) : look(named, servers, wishes)
    }
  )
  return {
    clusters: found.flatMap(({ clusters }) => clusters),
    notes: [
      ...(Result.isFailure(looked)
        ? [`this machine could not be looked at: ${describeHostError(looked.failure)}`]
        : []),
      ...crowds.map(
        (user) =>
          `${user === null ? "users with a namespace of their own run" : `user ${user} runs`} more servers than are looked at: name where the others answer (inq init HOST:PORT)`
      ),
      ...wishes.addresses
        .filter((_, index) => kinds[index] === null)
        .map((address) => `nobody takes connections at ${address}`),
      ...found.flatMap(({ notes }) => notes)
    ]
  }
})

// --- internal ---

/** How long the look at this host may take, in milliseconds. */
const lookTimeout = 10_000
/** How long an address may take to show what it speaks, in milliseconds. */
const patience = 1000

// Only PostgreSQL answers its own question for TLS, with one letter. Null where nobody takes the connection.
const systemAt = (address: string): Effect.Effect<"etcd" | "postgres" | null> =>
  address.startsWith("/")
    ? Effect.succeed("postgres")
    : Effect.callback<"etcd" | "postgres" | null>((resume) => {
        const socket = net.connect(MemberAddress.split(address))
        const done = (system: "etcd" | "postgres" | null): void => {
          socket.destroy()
          resume(Effect.succeed(system))
        }
        let isReached = false
        socket.once("connect", () => {
          isReached = true
          socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
        })
        socket.once("data", (data) =>
          done(data.length === 1 && /[SN]/.test(data.toString("latin1")) ? "postgres" : "etcd")
        )
        socket.once("error", () => done(isReached ? "etcd" : null))
        socket.once("close", () => done(isReached ? "etcd" : null))
        socket.setTimeout(patience, () => done(isReached ? "etcd" : null))
        return Effect.sync(() => socket.destroy())
      })
