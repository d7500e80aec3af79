/**
 * Finds clusters of etcd. It asks the servers that listen here, or those that a person named, who is in their cluster.
 * Nothing is written. A member that does not let us in is reported with what it wants.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as EtcdClient from "./EtcdClient.ts"
import { EtcdError } from "./EtcdError.ts"
import {
  elsewhere,
  type Found,
  type FoundCluster,
  type FoundMember,
  type FoundSetting,
  mayBeTold,
  type Place,
  rightsRemark,
  serverAt,
  toldOnce,
  unasked,
  type Wishes,
  wishesFor
} from "./Finding.ts"
import type { HostServer } from "./HostServers.ts"
import * as MemberAddress from "./MemberAddress.ts"

/** Finds the clusters of the named addresses, or, where there are none, of the servers of this host. */
export const find = Effect.fnUntraced(function* (
  named: ReadonlyArray<string>,
  servers: ReadonlyArray<HostServer>,
  wishes: Wishes
): Effect.fn.Return<Found> {
  const places =
    named.length > 0
      ? named.map((address): Place => ({ address, isNamed: true, server: serverAt(servers, address, wishes) }))
      : placesOf(servers.filter(({ isApart }) => !isApart))
  const asked = yield* Effect.forEach(places, (place) => ask(place, wishes), { concurrency: 8 })
  const told = asked.flatMap((one) => (one._tag === "Told" ? [one] : []))
  const clusters = [...new Set(told.map(({ clusterId }) => clusterId))].map((id) =>
    clusterOf(
      told.filter(({ clusterId }) => clusterId === id),
      servers,
      wishes
    )
  )
  const known = new Set(clusters.flatMap(({ members }) => members.map(({ address }) => address)))
  const barred = asked.flatMap((one) =>
    one._tag === "Barred" && !known.has(one.place.address) && !told.some(({ place }) => isSame(place, one.place))
      ? [one]
      : []
  )
  const barredPlaces = barred.map(({ place }) => place)
  const guessed = barred.length === 0 ? [] : [guess(onePerServer(barred), wishesFor(barredPlaces, wishes))]
  const silent = asked.flatMap((one) =>
    one._tag === "Other" && one.place.isNamed ? [`${one.place.address}: ${one.detail}`] : []
  )
  return {
    clusters: [...clusters, ...guessed],
    notes: [
      ...silent,
      ...(named.length > 0 ? [] : unasked("an etcd", servers, ({ addresses }) => addresses.length === 0))
    ]
  }
})

// --- internal ---

/** How long one member may take to answer, in milliseconds. */
const patience = 3000

type Asked =
  | {
      readonly _tag: "Told"
      readonly place: Place
      readonly clusterId: string
      readonly entries: ReadonlyArray<EtcdClient.Entry>
      readonly isSecure: boolean
      /** What the user may not do; null where nothing is denied. */
      readonly denied: EtcdError | null
    }
  /** It is etcd, or at least speaks TLS, and does not let us in. */
  | {
      readonly _tag: "Barred"
      readonly place: Place
      readonly isSecure: boolean
      /** True where it is our certificates that do not let us in; nobody asked for a user then. */
      readonly byTls: boolean
      readonly detail: string
    }
  | { readonly _tag: "Other"; readonly place: Place; readonly detail: string }

const placesOf = (servers: ReadonlyArray<HostServer>): ReadonlyArray<Place> => {
  const places = new Map<string, Place>()
  for (const server of servers) {
    for (const address of server.addresses) {
      if (!places.has(address)) places.set(address, { address, isNamed: false, server })
    }
  }
  return [...places.values()]
}

const isSame = (one: Place, other: Place): boolean => one.server !== undefined && one.server === other.server

const ask = (place: Place, wishes: Wishes): Effect.Effect<Asked> =>
  Effect.gen(function* () {
    const plain = yield* askBy(place, wishes, false)
    if (plain._tag !== "Barred" || !plain.isSecure) return plain
    return wishes.tls === undefined ? plain : yield* askBy(place, wishes, true)
  })

const askBy = (place: Place, wishes: Wishes, isSecure: boolean): Effect.Effect<Asked> =>
  Effect.scoped(
    Effect.gen(function* () {
      const mayTell = mayBeTold(place, wishes)
      const client = yield* EtcdClient.make(place.address, {
        tls: isSecure ? (wishes.tls ?? {}) : null,
        user: mayTell && wishes.password !== undefined ? (wishes.user ?? null) : null,
        password: mayTell && wishes.user !== undefined ? (wishes.password ?? null) : null
      })
      const late = new EtcdError({ reason: "TimedOut", detail: `no answer within ${patience / 1000} s` })
      const within = <A>(self: Effect.Effect<A, EtcdError>) =>
        Effect.result(Effect.timeoutOrElse(self, { duration: patience, orElse: () => Effect.fail(late) }))
      const list = yield* within(Effect.all([client.status, client.memberList]))
      if (Result.isFailure(list)) {
        const { detail, reason } = list.failure
        const speaksTls = reason === "Distrusted"
        return speaksTls || reason === "Unauthorized" || reason === "Forbidden"
          ? { _tag: "Barred", place, isSecure: isSecure || speaksTls, byTls: speaksTls, detail }
          : { _tag: "Other", place, detail }
      }
      const [{ clusterId }, entries] = list.success
      const entered = yield* within(client.confirmQuorum)
      const denied =
        Result.isFailure(entered) && ["Unauthorized", "Forbidden"].includes(entered.failure.reason)
          ? entered.failure
          : null
      return { _tag: "Told", place, clusterId, entries, isSecure, denied }
    })
  )

// One answer tells the whole cluster. The other answers only tell at which of its addresses a member is reached from
// here.
const clusterOf = (
  told: ReadonlyArray<Extract<Asked, { readonly _tag: "Told" }>>,
  servers: ReadonlyArray<HostServer>,
  wishes: Wishes
): FoundCluster => {
  const [first] = told
  const { denied, entries, isSecure } = first!
  const byName = [...entries].sort((one, other) => one.name.localeCompare(other.name))
  const members = byName.flatMap((entry, index): ReadonlyArray<FoundMember> => {
    const addresses = entry.clientUrls.flatMap(addressOfUrl)
    const asked = new Set(told.map(({ place }) => place.address))
    const address =
      addresses.find((one) => asked.has(one)) ??
      addresses.find((one) => serverAt(servers, one, wishes) !== undefined) ??
      addresses[0]
    if (address === undefined) return []
    const server = serverAt(servers, address, wishes)
    const isLocal = server !== undefined && server.system === "etcd"
    return [
      {
        name: isName(entry.name) ? entry.name : `m${index}`,
        address,
        isLocal,
        remarks: [
          ...(entry.isLearner ? ["a learner: it does not count for the quorum"] : []),
          ...(isLocal ? rightsRemark(server, wishes) : [elsewhere])
        ]
      }
    ]
  })
  const unseen = entries.length - members.length
  return {
    system: "etcd",
    remarks: [`cluster ${first!.clusterId}: ${counted(entries.filter(({ isLearner }) => !isLearner).length)}`],
    settings: [
      ...(isSecure ? [tlsOf(wishes, "")] : []),
      ...(wishes.user === undefined && denied === null ? [] : loginOf(wishes))
    ],
    members,
    missing: [
      ...(denied === null ? [] : [denied.detail]),
      ...(unseen === 0
        ? []
        : [`${unseen} of its members tell no address of their clients yet: add them once they have started`])
    ]
  }
}

const guess = (barred: ReadonlyArray<Extract<Asked, { readonly _tag: "Barred" }>>, wishes: Wishes): FoundCluster => {
  const isSecure = barred.some((one) => one.isSecure)
  const names = barred.map(({ place }, index) => nameOf(place.server) ?? `m${index}`)
  return {
    system: "etcd",
    remarks: ["these members do not let us in yet, so that they are of one cluster, and all of it, is a guess"],
    settings: [
      ...(isSecure ? [tlsOf(wishes, flag(barred[0]!.place.server, "trusted-ca-file") ?? "")] : []),
      ...(wishes.user !== undefined || barred.some(({ byTls }) => !byTls) ? loginOf(wishes) : [])
    ],
    members: barred.map(({ place }, index) => ({
      name: new Set(names).size === names.length ? names[index]! : `m${index}`,
      address: place.address,
      isLocal: place.server !== undefined,
      remarks: place.server === undefined ? [elsewhere] : rightsRemark(place.server, wishes)
    })),
    missing: toldOnce(barred.map(({ detail, place: { address } }) => ({ address, detail }))).map((detail) =>
      isSecure && wishes.tls === undefined
        ? `${detail}. Give inq init --server-ca FILE, and --server-cert FILE and --server-key FILE, or write them into the file`
        : detail
    )
  }
}

// From outside nobody can tell the port for clients from the port for peers over TLS. The port that the server was
// started with for clients counts, or else etcd's default, or else the lowest.
const onePerServer = <A extends { readonly place: Place }>(asked: ReadonlyArray<A>): ReadonlyArray<A> => {
  const port = ({ place }: A): number => Number(place.address.slice(place.address.lastIndexOf(":") + 1))
  const sorted = [...asked].sort((one, other) => rank(one) - rank(other) || port(one) - port(other))
  return sorted.filter(
    (one, index) => one.place.isNamed || !sorted.slice(0, index).some((before) => isSame(before.place, one.place))
  )
}

const rank = ({ place: { address, server } }: { readonly place: Place }): number => {
  const urls = flag(server, "listen-client-urls")?.split(",") ?? []
  if (urls.some((url) => url.endsWith(address.slice(address.lastIndexOf(":"))))) return 0
  return address.endsWith(":2379") ? 1 : 2
}

const counted = (voters: number): string =>
  voters === 1
    ? "1 voter, whose loss is the whole loss: there is nobody to see it go"
    : `${voters} voters, of which ${Math.floor(voters / 2) + 1} are a quorum`

const tlsOf = ({ tls }: Wishes, ca: string): FoundSetting =>
  tls === undefined
    ? {
        key: "tls",
        value: { ca: "/path/to/ca.pem", certificate: "/path/to/client.pem", key: "/path/to/client-key.pem" },
        remark: `it speaks TLS: name the authority of its certificates${ca === "" ? "" : ` (it trusts ${ca} itself)`}, and where it asks for one a certificate of ours with its key, else leave them out`
      }
    : { key: "tls", value: tls }

const loginOf = ({ password, user }: Wishes): ReadonlyArray<FoundSetting> => [
  {
    key: "user",
    value: user ?? "inquorate",
    remark:
      "etcdctl role add inquorate; etcdctl role grant-permission inquorate readwrite inquorate/probe; etcdctl user add inquorate; etcdctl user grant-role inquorate inquorate"
  },
  {
    key: "password",
    value: password ?? { env: "ETCD_PASSWORD" },
    remark: "by reference, so that it stands in no file that others read"
  }
]

// What is found goes into a configuration, which takes these names and addresses and no others.
const memberFields = MemberAddress.fields("127.0.0.1:2379")
const isName = Schema.is(memberFields.name)
const isAddress = Schema.is(memberFields.address)

const addressOfUrl = (url: string): ReadonlyArray<string> => {
  if (!URL.canParse(url)) return []
  const { hostname, port } = new URL(url)
  const host = hostname === "0.0.0.0" || hostname === "[::]" ? "127.0.0.1" : hostname
  return [`${host}:${port}`].filter(isAddress)
}

const nameOf = (server: HostServer | undefined): string | undefined => {
  const name = flag(server, "name")
  return name !== undefined && isName(name) ? name : undefined
}

// Flags are read as Go reads them: with one dash or two, the value behind `=` or in the next word.
const flag = (server: HostServer | undefined, name: string): string | undefined => {
  const words = server?.words ?? []
  for (const [index, word] of words.entries()) {
    const [, found, value] = /^--?([a-z-]+)(?:=(.*))?$/s.exec(word) ?? []
    if (found === name) return value ?? words[index + 1]
  }
  return undefined
}
