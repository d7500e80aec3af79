/**
 * What a look for servers finds, in the form that a person would write into a configuration: clusters with their
 * settings and members. Each has remarks that say why, and what is still missing.
 */
import type { HostServer } from "./HostServers.ts"
import * as MemberAddress from "./MemberAddress.ts"
import type { Secret } from "./Secret.ts"

/** A secret by reference. */
export type Reference = Extract<Secret, { readonly env: string } | { readonly file: string }>

/** What the person said before the look. */
export interface Wishes {
  /** Addresses of members, at least one of each cluster. Where there are none, the servers of this host count. */
  readonly addresses: ReadonlyArray<string>
  readonly user: string | undefined
  readonly password: Reference | undefined
  readonly database: string | undefined
  /** The files by which we trust servers over TLS, and by which they know us. */
  readonly tls: { readonly ca?: string; readonly certificate?: string; readonly key?: string } | undefined
  /** Our own user on this host; undefined where the platform has none. */
  readonly ownUser: number | undefined
  /** The addresses of this host's own network interfaces. */
  readonly ownAddresses: ReadonlyArray<string>
}

/** A setting of a cluster with what a person should know about it. */
export interface FoundSetting {
  readonly key: string
  readonly value: unknown
  readonly remark?: string
}

/** A member as it goes into the configuration. */
export interface FoundMember {
  readonly name: string
  readonly address: string
  /** True where it runs on this host. */
  readonly isLocal: boolean
  readonly dataDirectory?: string
  readonly remarks: ReadonlyArray<string>
}

/** A cluster as it goes into the configuration. */
export interface FoundCluster {
  readonly system: "etcd" | "postgres"
  readonly remarks: ReadonlyArray<string>
  readonly settings: ReadonlyArray<FoundSetting>
  readonly members: ReadonlyArray<FoundMember>
  /** What a person has to do before the cluster can be broken, in words for a person. */
  readonly missing: ReadonlyArray<string>
}

/** What was found. */
export interface Found {
  readonly clusters: ReadonlyArray<FoundCluster>
  /** What could not be seen, and why, in words for a person. */
  readonly notes: ReadonlyArray<string>
}

/** Where a look asks. */
export interface Place {
  readonly address: string
  /** True where a person named the address. */
  readonly isNamed: boolean
  /** The server of this host that serves it, if there is one. */
  readonly server: HostServer | undefined
}

/**
 * True where a password may be sent to a place: where a person named it, or where root runs its server, or we do, or
 * the account that distributions make for this very system. Any other account, a service's too, may start a program of
 * that name and listen.
 */
export const mayBeTold = ({ isNamed, server }: Place, { ownUser }: Wishes): boolean =>
  isNamed ||
  (server !== undefined &&
    server.user !== null &&
    (server.user === 0 || server.user === ownUser || server.account === server.system))

/**
 * The wishes that go into the configuration of a cluster at these places. The worker, too, must not send the password
 * to a server that nobody vouches for.
 */
export const wishesFor = (places: ReadonlyArray<Place>, wishes: Wishes): Wishes =>
  places.every((place) => mayBeTold(place, wishes)) ? wishes : { ...wishes, password: undefined }

/**
 * Why servers of this host were not asked, in words for a person: those that are apart, and those of which our user may
 * not see where they listen. `kind` is what they are, such as `an etcd`.
 */
export const unasked = (
  kind: string,
  servers: ReadonlyArray<HostServer>,
  isHidden: (server: HostServer) => boolean
): ReadonlyArray<string> => [
  ...servers
    .filter(({ isApart }) => isApart)
    .map(
      ({ isContained, pid }) =>
        `process ${pid} is ${kind} in ${isContained ? "a container" : "a network namespace of its own"}: name where its clients reach it (inq init HOST:PORT)${isContained ? ", and write container: NAME into its member" : ""}`
    ),
  ...servers
    .filter((server) => !server.isApart && isHidden(server))
    .map(
      ({ pid }) =>
        `process ${pid} is ${kind} of which our user may not see where it listens: run inq init as root, or name its address`
    )
]

/** The server of this host that serves an address, if there is one. */
export const serverAt = (
  servers: ReadonlyArray<HostServer>,
  address: string,
  { ownAddresses }: Wishes
): HostServer | undefined => {
  const { host, port } = MemberAddress.split(address)
  const isHere = /^(127(\.\d+){3}|::1|localhost)$/i.test(host) || ownAddresses.includes(host)
  return servers.find(
    ({ addresses, isApart }) =>
      addresses.includes(address) || (isHere && !isApart && addresses.some((one) => one.endsWith(`:${port}`)))
  )
}

/** What a person should know of a server that our user may not stop. */
export const rightsRemark = (server: HostServer | undefined, { ownUser }: Wishes): ReadonlyArray<string> =>
  server === undefined || server.user === null || ownUser === 0 || ownUser === undefined || server.user === ownUser
    ? []
    : [`its server runs as user ${server.user}: run the worker as root or as that user, or it cannot be stopped`]

/** What several servers say in the same words, said once, with all their addresses first. */
export const toldOnce = (
  said: ReadonlyArray<{ readonly address: string; readonly detail: string }>
): ReadonlyArray<string> => {
  const words = said.map(({ address, detail }) => ({
    address,
    detail: detail.startsWith(address) ? detail.slice(address.length) : `: ${detail}`
  }))
  return [...new Set(words.map(({ detail }) => detail))].map((detail) => {
    const addresses = words.flatMap((one) => (one.detail === detail ? [one.address] : []))
    return `${addresses.join(", ")}${detail}`
  })
}

/** What is said of a member that is no server of this host. */
export const elsewhere = "not on this machine: name its machine under hosts and as its host, or it can only be watched"
