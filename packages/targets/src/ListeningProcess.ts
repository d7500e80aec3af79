/**
 * Which processes of a host listen on which ports, and what proves who they are, as one program on the host tells it
 * (`host/look.pl`). This is for servers that write no file with their process number. In another network namespace only
 * a process is seen that listens on exactly the address asked for: whatever listens there on all addresses, as in a
 * container, could be anyone's. The program tells names in hexadecimal, so that what a name says never changes how an
 * answer is read.
 */
import { describeHostError, type Host, HostError } from "@inquorate/core/Host"
import * as Session from "@inquorate/core/Session"
import type { ContainerRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Container from "./Container.ts"
import * as net from "node:net"
import { type Unseen, unseen } from "./Located.ts"
import * as Programs from "./Programs.ts"

/** A file of the wanted name that a process has open for writing, and that the host has under this very name. */
export interface HeldFile {
  /** The folder that the file lies below, by its real name. */
  readonly folder: string
  readonly device: string
  readonly inode: string
  readonly owner: number
  /** The process that holds the lock on the file by this descriptor; 0 where none does. */
  readonly lockedBy: number
}

/** A process that listens on a port that was asked about. */
export interface Listener {
  readonly pid: number
  /** Field 22 of `/proc/<pid>/stat`, in clock ticks since boot. */
  readonly startTime: string
  /** The start time in seconds since 1970 by the host's clock, accurate to a second. */
  readonly began: number
  readonly parent: number
  /** Its effective user; null where our user may not see it. */
  readonly user: number | null
  /** False where the process lives in a user namespace of its own. */
  readonly isOurs: boolean
  /** True where another user made the socket, which means that it was handed on. */
  readonly isHeir: boolean
  readonly executable: string
  readonly files: ReadonlyArray<HeldFile>
  /** True where the process holds a file of the wanted name that this host does not have under that name. */
  readonly isBeyond: boolean
}

/** What a host showed. */
export interface Listening {
  /**
   * The processes that take connections to this address (`host:port`). `hidden` is true where a process does that our
   * user may not look at.
   */
  readonly on: (address: string) => { readonly listeners: ReadonlyArray<Listener>; readonly hidden: boolean }
  /** A folder that was asked about, with its links resolved; unchanged where our user cannot enter it. */
  readonly resolved: (folder: string) => string
}

/** What to look for on a host. */
export interface Sought {
  /** `host:port` each. */
  readonly addresses: ReadonlyArray<string>
  /** The path, from its data directory, of a file that the server keeps open for writing, such as `member/snap/db`. */
  readonly openFile: string
  /** Folders whose links are to be resolved. */
  readonly folders: ReadonlyArray<string>
}

/** Looks at a host; bounded by `timeout` ms. */
export const find = (host: Host, sought: Sought, timeout: number): Effect.Effect<Listening, HostError> => {
  const words = [
    sought.addresses.map(placeInHex).join("|"),
    sought.addresses.flatMap(ownInHex).join(" "),
    sought.openFile,
    ...sought.folders
  ]
  return Effect.map(look(host, "listeners", words, timeout), (facts) => read(facts, sought.folders))
}

/**
 * Looks into a container for its processes that listen in their own network namespace, on any address. Fails where
 * there is no such container.
 */
export const findInside = (
  host: Host,
  place: Container.Place,
  openFile: string,
  timeout: number
): Effect.Effect<{ readonly container: ContainerRef; readonly listening: Listening }, Unseen> =>
  look(host, "inside", [openFile], timeout, place).pipe(
    Effect.mapError((error) => unseenIn(place, error)),
    Effect.flatMap((facts) => {
      const container = Container.found(place, facts)
      if (typeof container === "string") return Effect.fail({ problem: container })
      return Effect.succeed({ container, listening: { ...read(facts), on: () => all(facts) } })
    })
  )

/** What an error of a host makes of a look into a container. */
export const unseenIn = (place: Container.Place, error: HostError): Unseen =>
  unseen(error, `${place.called}: ${describeHostError(error)}`)

/** What the program on the host says, as the words of each of its lines. */
export type Facts = ReadonlyArray<ReadonlyArray<string>>

/** Asks the program on a host, about one container where one is given. Fails where the answer has no end. */
export const look = (
  host: Host,
  verb: string,
  words: ReadonlyArray<string>,
  timeout: number,
  place: Container.Place | null = null
): Effect.Effect<Facts, HostError> => {
  const once = Effect.map(
    host.run(Programs.look, [...(place?.words ?? []), verb, ...words], { timeout }),
    ({ stderr, stdout }): Said => ({ lines: stdout.split("\n").filter((line) => line !== ""), complaint: stderr })
  )
  // An engine is asked by the shell's part of the program, which does not stay.
  const stays = place === null ? overKept(host, [verb, ...words], timeout) : Effect.succeed(null)
  return stays.pipe(
    Effect.flatMap((said): Effect.Effect<Said, HostError> => (said === null ? once : Effect.succeed(said))),
    Effect.flatMap(({ complaint, lines }) => {
      const [last = ""] = lines.slice(-1)
      if (last.startsWith("trouble ")) {
        return Effect.fail(new HostError({ host: host.label, reason: "Unable", detail: last.slice("trouble ".length) }))
      }
      if (last === "whole") return Effect.succeed(lines.slice(0, -1).map((line) => line.split(" ")))
      if (last === "perlless") {
        const detail = "the host has no perl, by which servers are found: install its package perl-base, or perl"
        return Effect.fail(new HostError({ host: host.label, reason: "Unable", detail }))
      }
      const detail = `the look at the host's processes was cut short: ${complaint.trim().slice(-200)}`
      return Effect.fail(new HostError({ host: host.label, reason: "LostAnswer", detail }))
    })
  )
}

/** The text that a word stands for; undefined for what cannot be kept as text. */
export const textOf = (word: string | undefined): string | undefined => {
  if (word === undefined || word === "-" || !/^([0-9a-f]{2})+$/.test(word)) return undefined
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(
      Uint8Array.from(word.match(/../g) ?? [], (pair) => parseInt(pair, 16))
    )
    // An order carries the text as a line.
    return /\p{Cc}/u.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

/** A socket that listens: its address and port in hexadecimal, its number and the user who made it. */
export interface ListeningSocket {
  readonly local: string
  readonly inode: string
  readonly user: number
}

/** Reads what the program told. */
export const read = (facts: Facts, asked: ReadonlyArray<string> = []): Listening => {
  const { apart, folders, holders, listeners, sockets } = collect(facts, asked)
  return {
    on: (address) => {
      const [own] = ownInHex(address)
      const serving = [...answering(sockets, address), ...apart.filter(({ local }) => local === own)]
      return servingBy(serving, holders, listeners)
    },
    resolved: (path) => folders.get(path) || path
  }
}

const all = (facts: Facts): ReturnType<Listening["on"]> => {
  const { holders, listeners, sockets } = collect(facts, [])
  return servingBy(sockets, holders, listeners)
}

const servingBy = (
  serving: ReadonlyArray<ListeningSocket>,
  holders: ReadonlyMap<string, ReadonlySet<number>>,
  listeners: ReadonlyMap<number, Listener>
): ReturnType<Listening["on"]> => {
  const pairs = serving.flatMap(({ inode, user }) =>
    [...(holders.get(inode) ?? [])].flatMap((pid) => {
      const listener = listeners.get(pid)
      return listener === undefined ? [] : [{ listener, user }]
    })
  )
  const found = new Map(
    pairs.map(({ listener, user }) => [
      listener.pid,
      { ...listener, isHeir: user !== 0 && listener.user !== null && listener.user !== user }
    ])
  )
  return { listeners: [...found.values()], hidden: serving.some(({ inode }) => !holders.has(inode)) }
}

const collect = (facts: Facts, asked: ReadonlyArray<string>) => {
  const sockets: Array<ListeningSocket> = []
  const apart: Array<ListeningSocket> = []
  const holders = new Map<string, Set<number>>()
  const listeners = new Map<number, Listener>()
  const folders = new Map<string, string>()
  let booted = 0
  for (const [word, ...words] of facts) {
    const listener = listeners.get(Number(words[0]))
    if (word === "boot") booted = Number(words[0])
    else if (word === "folder") folders.set(asked[Number(words[0])] ?? "", textOf(words[1]) ?? "")
    else if (word === "listen") sockets.push(socketOf(words))
    else if (word === "apart") apart.push(socketOf(words))
    else if (word === "holds") holders.set(words[1]!, (holders.get(words[1]!) ?? new Set()).add(Number(words[0])))
    else if (word === "process") {
      const process = processOf(words, booted)
      listeners.set(process.pid, process)
    } else if (listener === undefined) continue
    else if (word === "beyond") listeners.set(listener.pid, { ...listener, isBeyond: true })
    else if (word === "file") {
      const [, folder, device = "", inode = "", owner, lockedBy] = words
      const name = textOf(folder)
      const known = listener.files.some((file) => file.device === device && file.inode === inode)
      const held = { folder: name ?? "", device, inode, owner: Number(owner), lockedBy: Number(lockedBy) }
      if (name === undefined) listeners.set(listener.pid, { ...listener, isBeyond: true })
      else if (!known) listeners.set(listener.pid, { ...listener, files: [...listener.files, held] })
    }
  }
  return { apart, folders, holders, listeners, sockets }
}

/**
 * Of the sockets that listen in our network namespace, those that take connections to an address. A socket that is
 * bound to exactly this address comes before one that is bound to all. For names and for IPv6 only the port is
 * compared.
 */
export const answering = (sockets: ReadonlyArray<ListeningSocket>, address: string): ReadonlyArray<ListeningSocket> => {
  const ranked = sockets.map((socket) => ({ socket, rank: rankOf(socket.local, address) }))
  const best = Math.max(0, ...ranked.map(({ rank }) => rank))
  return ranked.flatMap(({ rank, socket }) => (best > 0 && rank === best ? [socket] : []))
}

/** A socket from its words. */
export const socketOf = ([local = "", inode = "", user]: ReadonlyArray<string>): ListeningSocket => ({
  local,
  inode,
  user: Number(user)
})

/** A process from its words. */
export const processOf = (
  [pid, startTime = "", parent, user, ours, executable]: ReadonlyArray<string>,
  booted: number
): Listener => ({
  pid: Number(pid),
  startTime,
  began: booted + Number(startTime) / ticksPerSecond,
  parent: Number(parent),
  user: user === undefined || !/^\d+$/.test(user) ? null : Number(user),
  isOurs: ours === "1",
  isHeir: false,
  executable: textOf(executable) ?? "",
  files: [],
  isBeyond: false
})

/**
 * An address in the form of `/proc/net/tcp`, where it is an IPv4 address that means the same in every network
 * namespace.
 */
const ownInHex = (address: string): ReadonlyArray<string> =>
  address.startsWith("127.") || !isNumeric(address) ? [] : [placeInHex(address)]

/** An address in the form of `/proc/net/tcp`; a star for the address where it is no IPv4 address. */
export const placeInHex = (address: string): string => {
  const bytes = isNumeric(address) ? address.slice(0, address.lastIndexOf(":")).split(".").map(Number) : []
  const hex = bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"))
  return `${hex.length === 0 ? "*" : hex.reverse().join("")}:${portInHex(address)}`
}

const isNumeric = (address: string): boolean => net.isIPv4(address.slice(0, address.lastIndexOf(":")))

// --- internal ---

/** The lines that the program printed, and what it complained of. */
interface Said {
  readonly lines: ReadonlyArray<string>
  readonly complaint: string
}

/** For how long a program that was kept is believed to answer. One that does not is frozen or gone. */
const keptAnswersWithin = 500

// The same program where the host keeps it: neither a shell nor Perl has to start. Null where that gave no answer.
const overKept = ({ keeps, open }: Host, words: ReadonlyArray<string>, timeout: number): Effect.Effect<Said | null> => {
  if (keeps !== true || open === undefined) return Effect.succeed(null)
  return Session.open(open, Programs.look, { kept: keptAnswersWithin, fresh: timeout }).pipe(
    Effect.flatMap((channel) => channel.ask(Session.textOf(words), Session.endMark, { timeout })),
    Effect.map((lines): Said => ({ lines, complaint: "" })),
    Effect.scoped,
    Effect.orElseSucceed(() => null)
  )
}

/** USER_HZ, the unit of `/proc/<pid>/stat`: 100 on every Linux where servers run. */
const ticksPerSecond = 100

const portInHex = (address: string): string => Number(portOf(address)).toString(16).toUpperCase().padStart(4, "0")

const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1)

// How well a socket that is bound to `local` answers for an address. 0: not at all. 1: it is bound to every address of
// IPv6. 2: it is bound to every address of IPv4. 3: it is bound to exactly this address.
const rankOf = (local: string, address: string): number => {
  const [bound = "", port = ""] = local.split(":")
  if (parseInt(port, 16) !== Number(portOf(address))) return 0
  const asked = address.slice(0, address.lastIndexOf(":"))
  if (!/^\d+(\.\d+){3}$/.test(asked)) return 1
  if (/^0+$/.test(bound)) return bound.length === 8 ? 2 : 1
  if (bound.length !== 8 && !bound.startsWith("0000000000000000FFFF0000")) return 0
  const bytes = (bound.slice(-8).match(/../g) ?? []).map((byte) => parseInt(byte, 16))
  return bytes.reverse().join(".") === asked ? 3 : 0
}
