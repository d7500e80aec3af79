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
import * as PostgresAddress from "./PostgresAddress.ts"
import * as PostgresFinding from "./PostgresFinding.ts"

/** What a look for servers is given, and what it finds. */
export type { Found, FoundCluster, FoundMember, FoundSetting, Reference, Wishes } from "./Finding.ts"

/** Looks for clusters. `host` is this machine. */
export const find = Effect.fnUntraced(function* (host: Host, wishes: Wishes): Effect.fn.Return<Found> {
  const looked = yield* Effect.result(HostServers.find(host, lookTimeout))
  const { crowds, servers } = Result.getOrElse(looked, () => ({ crowds: [], servers: [] }))
  const kinds = yield* Effect.forEach(wishes.addresses, systemAt, { concurrency: 8 })
  const of = (system: "etcd" | "postgres") => ({
    named: wishes.addresses.filter((_, index) => kinds[index]?.system === system),
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
      ...wishes.addresses.flatMap((address, index) =>
        kinds[index]?.system === null ? [`nobody takes connections at ${address}${kinds[index].problem}`] : []
      ),
      ...found.flatMap(({ notes }) => notes)
    ]
  }
})

// --- internal ---

/** How long the look at this host may take, in milliseconds. */
const lookTimeout = 10_000
/** How long an address may take to show what it speaks, in milliseconds. */
const patience = 1000

/** What an address speaks; null where nobody takes the connection, with why where that says more. */
interface Kind {
  readonly system: "etcd" | "postgres" | null
  readonly problem: string
}

// Only PostgreSQL answers its own question for TLS, with one letter, and only it has a Unix socket.
const systemAt = (address: string): Effect.Effect<Kind> =>
  Effect.callback<Kind>((resume) => {
    const { host, port } = PostgresAddress.endpoint(address)
    const isSocket = host.startsWith("/")
    const socket = net.connect(isSocket ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
    let isReached = false
    const done = (system: Kind["system"], problem = ""): void => {
      socket.destroy()
      resume(Effect.succeed({ system, problem }))
    }
    const ended = (problem: string): void => done(isReached ? "etcd" : null, problem)
    socket.once("connect", () => {
      isReached = true
      if (isSocket) done("postgres")
      else socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
    })
    socket.once("data", (data) => done(data.length === 1 && /[SN]/.test(data.toString("latin1")) ? "postgres" : "etcd"))
    // A socket that is there and closed to us is PostgreSQL's all the same, which says whose it is when it is asked.
    socket.once("error", ({ code = "" }: NodeJS.ErrnoException) =>
      isSocket && code === "EACCES" ? done("postgres") : ended(reasons[code] ?? "")
    )
    socket.once("close", () => ended(""))
    socket.setTimeout(patience, () => ended(`: no answer within ${patience / 1000} s`))
    return Effect.sync(() => socket.destroy())
  })

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: ": its name has no address",
  EAI_AGAIN: ": its name could not be looked up",
  ENOENT: ": the folder has no socket of a PostgreSQL, .s.PGSQL.PORT",
  EHOSTUNREACH: ": no way leads there",
  ENETUNREACH: ": no way leads there"
}
