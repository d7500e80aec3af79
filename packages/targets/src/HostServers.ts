/**
 * Which servers of etcd and PostgreSQL run on a host, as one program on the host tells it (`host/look.pl`). What a
 * server says of itself (its words, the name under which it streams) helps a person to write a configuration. It proves
 * nothing.
 */
import type { Host, HostError } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import * as ListeningProcess from "./ListeningProcess.ts"

/** A server that runs on a host. */
export interface HostServer {
  readonly system: "etcd" | "postgres"
  readonly pid: number
  /** Its effective user; null where our user may not see it. */
  readonly user: number | null
  /** The name of its user's account on the host; null where there is none, or our user may not see it. */
  readonly account: string | null
  /** True where our user may see which program it runs, and so which sockets are its own. */
  readonly isOpen: boolean
  /** True where it is in another network namespace, so that its addresses may mean another place here. */
  readonly isApart: boolean
  /** True where its control group is that of a container. */
  readonly isContained: boolean
  /** The words that it was started with. */
  readonly words: ReadonlyArray<string>
  /**
   * Where it listens, `host:port`. An address that stands for all addresses is told as loopback's. Where our user may
   * not see the server's sockets, these are all that its user listens on.
   */
  readonly addresses: ReadonlyArray<string>
  /** PostgreSQL's data directory; null where our user may not see it. */
  readonly dataDirectory: string | null
  /** The identifier of PostgreSQL's cluster, in decimal digits. */
  readonly identifier: string | null
  /** True for a standby of PostgreSQL. */
  readonly isStandby: boolean
  /** The `application_name` with which a standby streams. */
  readonly streamsAs: string | null
  /** The folder of PostgreSQL's Unix socket with its port, `/run/postgresql:5432`. */
  readonly socket: string | null
}

/** What a look at a host found. */
export interface HostServers {
  readonly servers: ReadonlyArray<HostServer>
  /**
   * The users of whom not every server was looked at, since they have so many, or make them slow to look at; null
   * stands for those who have a user namespace of their own.
   */
  readonly crowds: ReadonlyArray<number | null>
}

/** Looks at a host; bounded by `timeout` ms. */
export const find = (host: Host, timeout: number): Effect.Effect<HostServers, HostError> =>
  Effect.map(ListeningProcess.look(host, "servers", [], timeout), (facts) => ({
    servers: read(facts),
    crowds: facts.flatMap(([word, user = ""]) => (word === "crowd" ? [/^\d+$/.test(user) ? Number(user) : null] : []))
  }))

/** Reads what the program told. */
export const read = (facts: ListeningProcess.Facts): ReadonlyArray<HostServer> => {
  const servers = new Map<string, HostServer>()
  for (const [word = "", pid = "", ...words] of facts) {
    const server = servers.get(pid)
    const [first = ""] = words
    if (word === "server" && (first === "etcd" || first === "postgres")) {
      servers.set(pid, { ...nothing, system: first, pid: Number(pid) })
    } else if (server !== undefined) {
      servers.set(pid, { ...server, ...factOf(server, word, words, [pid, ...words]) })
    }
  }
  return [...servers.values()]
}

/** `host:port` from an address and a port in the form of `/proc/net/tcp`. An address for all becomes loopback. */
export const addressOf = (local: string): string | null => {
  const [hex = "", port = ""] = local.split(":")
  const words = hex.match(/.{8}/g)
  if (words === null || !/^[0-9A-F]{4}$/.test(port)) return null
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).reverse())
  const number = parseInt(port, 16)
  if (words.length === 1) {
    const parts = bytes.map((byte) => parseInt(byte, 16))
    return `${parts.every((part) => part === 0) ? "127.0.0.1" : parts.join(".")}:${number}`
  }
  if (/^0{32}$/.test(bytes.join(""))) return `127.0.0.1:${number}`
  const groups = bytes.join("").match(/.{4}/g) ?? []
  return `[${new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)}]:${number}`
}

// --- internal ---

const nothing: Omit<HostServer, "system" | "pid"> = {
  user: null,
  account: null,
  isOpen: false,
  isApart: false,
  isContained: false,
  words: [],
  addresses: [],
  dataDirectory: null,
  identifier: null,
  isStandby: false,
  streamsAs: null,
  socket: null
}

const factOf = (
  server: HostServer,
  word: string,
  [first = "", second]: ReadonlyArray<string>,
  all: ReadonlyArray<string>
): Partial<HostServer> => {
  switch (word) {
    case "process": {
      const { executable, user } = ListeningProcess.processOf(all, 0)
      return { user, isOpen: executable !== "" }
    }
    case "account":
      return { account: ListeningProcess.textOf(first) ?? null }
    case "words":
      return { words: wordsOf(first) }
    case "apart":
      return { isApart: true }
    case "contained":
      return { isContained: true }
    case "at": {
      const address = addressOf(first)
      const isNew = address !== null && !server.addresses.includes(address)
      return isNew ? { addresses: [...server.addresses, address] } : {}
    }
    case "directory":
      return { dataDirectory: ListeningProcess.textOf(first) ?? null }
    case "identifier":
      return /^[0-9a-f]{16}$/.test(first) ? { identifier: Buffer.from(first, "hex").readBigUInt64LE().toString() } : {}
    case "standby":
      return { isStandby: true }
    case "streams":
      return { streamsAs: ListeningProcess.textOf(first) ?? null }
    case "socket": {
      const folder = ListeningProcess.textOf(second)
      return folder?.startsWith("/") === true ? { socket: `${folder}:${Number(first)}` } : {}
    }
    default:
      return {}
  }
}

const wordsOf = (hex: string): ReadonlyArray<string> =>
  /^([0-9a-f]{2})+$/.test(hex) ? Buffer.from(hex, "hex").toString("utf8").split("\0") : []
