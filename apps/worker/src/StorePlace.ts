/**
 * Where our own store lies. It is compared with the group that a fault would break: a store behind a member's address
 * stalls with the group's writes, and a store's file in a member's data directory belongs to the member.
 */
import type { Topology } from "@inquorate/core/Topology"
import { stateDirectory } from "@inquorate/injectors/StateDirectory"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as dns from "node:dns/promises"
import * as fs from "node:fs"
import { isBuiltin } from "node:module"
import * as os from "node:os"
import * as path from "node:path"

/** Where our own store lies: a file on this machine, or the servers of an address. */
export type StorePlace =
  | { readonly _tag: "File"; readonly path: string }
  | { readonly _tag: "Servers"; readonly servers: ReadonlyArray<{ readonly host: string; readonly port: number }> }

/** The place of a file. */
export const ofFile = (file: string): StorePlace => ({ _tag: "File", path: file })

/** The place of a store in this process. No fault holds it. */
export const inMemory: StorePlace = { _tag: "Servers", servers: [] }

/** False on a Node without SQLite, where the embedded store on a file cannot be opened. */
export const hasSqlite = (): boolean => isBuiltin("node:sqlite")

/** The place behind a `postgres://` address; what cannot be read of it is no place. */
export const ofUrl = (url: Redacted.Redacted): StorePlace => {
  const text = Redacted.value(url)
  if (!URL.canParse(text)) return { _tag: "Servers", servers: [] }
  const { hostname, port, searchParams } = new URL(text)
  const host = decodeURIComponent(hostname || searchParams.get("host") || "localhost").replace(/^\[|\]$/g, "")
  return { _tag: "Servers", servers: [{ host, port: Number(port || searchParams.get("port") || 5432) }] }
}

/**
 * The member of a group that the store depends on, or null. Names are looked up each time, since their addresses may
 * change.
 */
export const inside =
  (place: StorePlace) =>
  (topology: Topology): Effect.Effect<string | null> =>
    place._tag === "File" ? Effect.sync(() => holderOf(place.path, topology)) : serverOf(place.servers, topology)

/** What a person should know of a store that keeps nothing, and undefined of any other. */
export const forgetful = (file: string): string | undefined =>
  file === ":memory:"
    ? "the store is in memory: when this worker ends, what is under way is forgotten with all else, and each fence stands until its own deadline. Give it a file, sqlite:PATH."
    : undefined

/**
 * Why a store cannot be in a file whose folder is not there. Only the state directory is made for it. Any other folder
 * that is missing was mistyped, and somebody would later miss a store that was made in it.
 */
export const missingFolder = (file: string): string | undefined => {
  const folder = path.dirname(path.resolve(file))
  const own = path.resolve(stateDirectory())
  if (fs.existsSync(folder) || folder === own || folder.startsWith(`${own}${path.sep}`)) return undefined
  return `the store's folder ${folder} is not there: mend the path of the store, or make the folder (mkdir -p ${quoted(folder)})`
}

/**
 * Why others could write what the store says, or put another store in its place; undefined where they cannot. The worker
 * carries out what stands in its store, with its own rights.
 */
export const openToOthers = (file: string): string | undefined => {
  const name = path.resolve(file)
  const own = real(name)
  // Where no link leads there, both ways are one.
  const folders = new Set([...above(name), ...above(own)])
  const reasons = [
    ...[...folders].flatMap((folder) => whyOpen(folder, folder === path.dirname(own))),
    ...["", "-wal", "-shm", "-journal", ".lock", ".lock-journal"].flatMap((end) => whyOpen(`${own}${end}`, false))
  ]
  return reasons.length === 0
    ? undefined
    : `others could write what the store ${file} says, and the worker would carry it out: ${reasons[0]}; name a place that is the worker's own`
}

// --- internal ---

// As a shell takes it.
const quoted = (name: string): string => (/^[\w./+-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`)

// All folders on the way to a file, and the links that lead there.
const above = (file: string): ReadonlyArray<string> => {
  const folder = path.dirname(file)
  return folder === file ? [] : [...above(folder), folder]
}

// In a folder like /tmp each may remove only what is his own, so it may be on the way, but no store may lie in it. A group
// may be its user's alone, as many systems make one for each user; root's own is another matter.
const whyOpen = (place: string, holds: boolean): ReadonlyArray<string> => {
  const stat = fs.lstatSync(place, { throwIfNoEntry: false })
  if (stat === undefined) return []
  const us = process.geteuid?.()
  // Who became root by sudo could write anything anyhow.
  const [asker, group] = ["SUDO_UID", "SUDO_GID"].map((name) => (us === 0 ? Number(process.env[name] ?? 0) : us))
  if (stat.uid !== 0 && stat.uid !== us && stat.uid !== asker) return [`${place} belongs to user ${stat.uid}`]
  if (stat.isSymbolicLink()) return []
  const isSticky = stat.isDirectory() && (stat.mode & 0o1000) !== 0 && !holds
  const isOpen =
    (stat.mode & 0o002) !== 0 || ((stat.mode & 0o020) !== 0 && us === 0 && stat.gid !== 0 && stat.gid !== group)
  return isOpen && !isSticky ? [`others may write to ${place}`] : []
}

const holderOf = (file: string, topology: Topology): string | null => {
  const own = real(file)
  const member = topology.members.find(({ process }) => {
    // A directory of another machine is another one, though it has the same name.
    if (process === null || process.host !== "local") return false
    const relative = path.relative(real(process.dataDirectory), own)
    return relative === "" || (!relative.startsWith("..") && !path.isAbsolute(relative))
  })
  return member?.name ?? null
}

// The file itself may not be there yet, and its directory may still stand behind a link.
const real = (file: string): string => {
  const absolute = path.resolve(file)
  try {
    return fs.realpathSync(absolute)
  } catch {
    const parent = path.dirname(absolute)
    return parent === absolute ? absolute : path.join(real(parent), path.basename(absolute))
  }
}

const serverOf = (
  servers: ReadonlyArray<{ readonly host: string; readonly port: number }>,
  topology: Topology
): Effect.Effect<string | null> =>
  Effect.gen(function* () {
    for (const server of servers) {
      const own = yield* addressesOf(server.host)
      for (const { address, name } of topology.members.flatMap(eachAddress)) {
        const colon = address.lastIndexOf(":")
        if (Number(address.slice(colon + 1)) !== server.port) continue
        const theirs = yield* addressesOf(address.slice(0, colon).replace(/^\[|\]$/g, ""))
        if (theirs.some((one) => own.includes(one))) return name
      }
    }
    return null
  })

const eachAddress = ({ address, name, otherAddresses = [] }: Topology["members"][number]) =>
  [address, ...otherAddresses].map((one) => ({ address: one, name }))

const lookUpWithin = 1000

// A server that listens in a folder of this machine runs on this machine, and may be reached at any of its addresses.
const addressesOf = (host: string): Effect.Effect<ReadonlyArray<string>> =>
  (host.startsWith("/") ? Effect.succeed([host, ...ofThisMachine()]) : resolved(host)).pipe(
    // On one machine 127.0.0.1 and ::1 reach the same server.
    Effect.map((all) => (all.includes("127.0.0.1") || all.includes("::1") ? [...all, "127.0.0.1", "::1"] : all))
  )

const ofThisMachine = (): ReadonlyArray<string> => [
  "127.0.0.1",
  ...Object.values(os.networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))
]

const resolved = (host: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.tryPromise(() => dns.lookup(host, { all: true })).pipe(
    Effect.map((found) => [host, ...found.map(({ address }) => address)]),
    Effect.timeout(lookUpWithin),
    Effect.orElseSucceed(() => [host])
  )
