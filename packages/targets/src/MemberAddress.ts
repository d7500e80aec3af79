/**
 * What every configured member of every system has: a name, and the `host:port` on which clients reach it, with an IPv6
 * address in brackets. A member that may be taken out also has the host that it runs on.
 */
import type { Host } from "@inquorate/core/Host"
import { bytesOf, fenceNameMost } from "@inquorate/core/Plan"
import { TargetError } from "@inquorate/core/Target"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The fields of a member. `example` is an address such as the system's own, and messages name it. A name has at most
 * `nameMost` bytes: hosts keep no record under a name longer than `fenceNameMost`, and some systems allow less.
 */
export const fields = (example: string, nameMost = fenceNameMost) => ({
  /** The name that we give the member, unless the system asks for its own. */
  name: Schema.String.check(
    Schema.isMinLength(1, { expected: "a member's name" }),
    Schema.makeFilter((name) => bytesOf(name) <= nameMost || `Expected a member's name of at most ${nameMost} bytes`, {
      toJsonSchema: () => ({ maxLength: nameMost })
    }),
    Schema.isPattern(/^[^\p{Cc}\p{Cs}]*$/u, { expected: "a member's name without control characters" })
  ),
  /** The client address. */
  address: Schema.String.check(
    Schema.isPattern(/^([^:\s[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/, { expected: `an address such as ${example}` }),
    Schema.makeFilter((address) => isPort(split(address).port) || "Expected a port from 1 to 65535", {
      toJsonSchema: () => ({})
    })
  ),
  /** The label of the host that it runs on. A member without one can be watched but not taken out. */
  host: Schema.optionalKey(Schema.String),
  /** Its data directory on that host, where the host must be told it or must check it. */
  dataDirectory: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\//, { expected: "an absolute path" })))
})

const isPort = (port: number): boolean => port >= 1 && port <= 65_535

/**
 * Says that two members have the same name or address, and where the second one stands; undefined where each has its
 * own.
 */
export const shared = <Member extends { readonly name: string }>(
  members: ReadonlyArray<Member>,
  key: "name" | "address",
  valuesOf: (member: Member) => ReadonlyArray<string>
): { readonly path: ReadonlyArray<PropertyKey>; readonly issue: string } | undefined => {
  for (const [index, member] of members.entries()) {
    for (const [before, other] of members.slice(0, index).entries()) {
      const same = valuesOf(member).find((value) => valuesOf(other).includes(value))
      if (same === undefined) continue
      const who = key === "name" ? `members ${before + 1} and ${index + 1}` : `${other.name} and ${member.name}`
      const what = key === "name" ? member.name : same
      return { path: [index, key], issue: `${who} have the same ${key} ${what}: each has one of its own` }
    }
  }
  return undefined
}

/**
 * Says that two members have the same data directory on one host, or the same container, and where the second one
 * stands; undefined where each has its own. A line that was copied for another member often still names them.
 */
export const sharedPlace = (
  members: ReadonlyArray<Settled>
): { readonly path: ReadonlyArray<PropertyKey>; readonly issue: string } | undefined => {
  const seen = new Map<string, string>()
  for (const [index, member] of members.entries()) {
    const { compose, container, dataDirectory, engine = "docker", host, name, namespace = "default" } = member
    if (host === undefined) continue
    const [key, what, called] =
      compose !== undefined
        ? (["compose", "container", `${compose.project}/${compose.service}`] as const)
        : container !== undefined
          ? (["container", "container", engine === "containerd" ? `${namespace}/${container}` : container] as const)
          : (["dataDirectory", "data directory", dataDirectory?.replace(/(?<=.)\/+$/, "")] as const)
    if (called === undefined) continue
    const place = JSON.stringify([host, key, key === "dataDirectory" ? "" : engine, called])
    const other = seen.get(place)
    if (other !== undefined) {
      const issue = `${other} and ${name} have the same ${what} ${called} on host ${host}: each has one of its own`
      return { path: [index, key], issue }
    }
    seen.set(place, name)
  }
  return undefined
}

/** What tells where a member's server stands on its host. */
export interface Settled {
  readonly name: string
  readonly host?: string
  readonly dataDirectory?: string
  readonly container?: string
  readonly compose?: { readonly project: string; readonly service: string }
  readonly engine?: string
  readonly namespace?: string
}

/** The part of a configured member that tells its place. */
export interface Placed {
  readonly name: string
  readonly address: string
  readonly host?: string
}

/**
 * The node that a member stands on: the host's label, or a node of its own, `<cluster>-<member>`, for a member without
 * a host and for one that shares its host or its address with another member.
 */
export const nodeOf = (
  cluster: string,
  members: ReadonlyArray<Placed>,
  member: Placed
): { readonly node: string; readonly isOwn: boolean } => {
  const own = split(member.address).host
  const shares = members.some(
    (other) => other !== member && (other.host === member.host || split(other.address).host === own)
  )
  return member.host === undefined || shares
    ? { node: `${cluster}-${member.name}`, isOwn: true }
    : { node: member.host.replaceAll("/", "."), isOwn: false }
}

/** The host of a member, and the node that it stands on. Fails for a host that is not configured. */
export const place = (
  cluster: string,
  members: ReadonlyArray<Placed>,
  member: Placed,
  hosts: ReadonlyMap<string, Host>
): Effect.Effect<{ readonly host: Host | null; readonly node: string }, TargetError> => {
  const host = member.host === undefined ? null : hosts.get(member.host)
  if (host === undefined) {
    const detail = `${member.name} runs on host "${member.host}", which is not configured`
    return Effect.fail(new TargetError({ cluster, endpoint: member.address, reason: "Misconfigured", detail }))
  }
  const { isOwn, node } = nodeOf(cluster, members, member)
  return Effect.succeed({ host, node: isOwn || host === null ? node : host.label.replaceAll("/", ".") })
}

/** The two parts of an address, the host without brackets. */
export const split = (address: string): { readonly host: string; readonly port: number } => {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(colon + 1)) }
}
