/**
 * Finds clusters of PostgreSQL. It asks the servers that listen here, or those that a person named, who streams from
 * whom under which name. Nothing is written. Of a server that does not let us in, we report what its data directory
 * says, where our user may see that.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
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
import * as PostgresAddress from "./PostgresAddress.ts"
import { ConnectionError, type Connection, open } from "./PostgresConnection.ts"
import * as PostgresLogin from "./PostgresLogin.ts"
import { Answer, question } from "./PostgresQuestion.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"

/** Finds the clusters of the named addresses, or, where there are none, of the servers of this host. */
export const find = Effect.fnUntraced(function* (
  named: ReadonlyArray<string>,
  servers: ReadonlyArray<HostServer>,
  wishes: Wishes
): Effect.fn.Return<Found> {
  const here = servers.filter(({ isApart }) => !isApart)
  const places: ReadonlyArray<Place> =
    named.length > 0
      ? named.map((address) => ({ address, isNamed: true, server: atAddress(servers, address, wishes) }))
      : here.flatMap((server) => {
          const address = addressOf(server, here)
          return address === undefined ? [] : [{ address, isNamed: false, server }]
        })
  const asked = yield* Effect.forEach(places, (place) => ask(place, wishes), { concurrency: 8 })
  // A server that was named twice is one member.
  const members = asked.filter(
    (one, index) => !asked.slice(0, index).some((before) => before.startedAt !== null && isOne(before, one))
  )
  const keys = [...new Set(members.map(({ identifier }) => identifier))]
  return {
    clusters: keys.map((key) =>
      clusterOf(
        members.filter(({ identifier }) => identifier === key),
        wishes
      )
    ),
    notes: named.length > 0 ? [] : unasked("a PostgreSQL", servers, (server) => addressOf(server, here) === undefined)
  }
})

// --- internal ---

/** How long one server may take, in milliseconds. */
const patience = 4000

interface Asked {
  readonly place: Place
  /** The cluster's identifier; empty where nobody tells it. */
  readonly identifier: string
  readonly isStandby: boolean
  readonly startedAt: string | null
  /** What the server answered, or why it did not let us in. */
  readonly answer: Result.Result<Answer, string>
  /** The name under which it streams; null where that is not known. */
  readonly streamsAs: string | null
  readonly isEncrypted: boolean
}

const isOne = (one: Asked, other: Asked): boolean =>
  one.identifier === other.identifier &&
  one.startedAt === other.startedAt &&
  one.isStandby === other.isStandby &&
  one.streamsAs === other.streamsAs

const atAddress = (servers: ReadonlyArray<HostServer>, address: string, wishes: Wishes): HostServer | undefined =>
  address.startsWith("/")
    ? servers.find(({ socket }) => socket !== null && PostgresAddress.all(address)[0] === socket)
    : serverAt(servers, address, wishes)

// Of a server that our user may not look into we know only what its user listens on, which several servers may share.
const addressOf = (server: HostServer, servers: ReadonlyArray<HostServer>): string | undefined => {
  if (server.isOpen)
    return server.addresses.find((one) => one.startsWith("127.")) ?? server.addresses[0] ?? server.socket ?? undefined
  const likes = servers.filter(({ isOpen, user }) => !isOpen && user === server.user)
  return server.addresses.filter((one) => !one.startsWith("["))[likes.indexOf(server)]
}

const More = Schema.Struct({
  clusterName: Schema.String,
  conninfo: Schema.NullOr(Schema.String),
  isEncrypted: Schema.NullOr(Schema.Boolean)
})

const moreQuestion = `select current_setting('cluster_name') as "clusterName",
  (select conninfo from pg_stat_wal_receiver) as "conninfo",
  (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as "isEncrypted"`

const ask = Effect.fnUntraced(function* (place: Place, wishes: Wishes): Effect.fn.Return<Asked> {
  const { server } = place
  const silent = {
    place,
    identifier: server?.identifier ?? "",
    isStandby: server?.isStandby ?? false,
    startedAt: null,
    streamsAs: server?.streamsAs ?? null,
    isEncrypted: false
  }
  const answered = yield* exchange(place, wishes).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(`no answer within ${patience / 1000} s`)
    }),
    Effect.result
  )
  if (Result.isFailure(answered)) return { ...silent, answer: Result.fail(answered.failure) }
  const { answer, more } = answered.success
  return {
    place,
    identifier: answer.systemIdentifier,
    isStandby: answer.inRecovery,
    startedAt: answer.startedAt,
    answer: Result.succeed(answer),
    streamsAs: answer.inRecovery ? (streamsAs(more) ?? silent.streamsAs) : null,
    isEncrypted: more.isEncrypted === true
  }
})

const exchange = Effect.fnUntraced(function* (
  place: Place,
  wishes: Wishes
): Effect.fn.Return<{ readonly answer: Answer; readonly more: typeof More.Type }, string> {
  const mayTell = mayBeTold(place, wishes)
  const logins = yield* PostgresLogin.make("init", {
    user: userOf(wishes),
    database: databaseOf(wishes),
    ...(wishes.password === undefined || !mayTell ? {} : { password: wishes.password }),
    ...(wishes.tls === undefined ? {} : { tls: wishes.tls }),
    members: [{ name: "server", address: place.address }]
  }).pipe(Effect.mapError(({ detail }) => detail))
  // A server that greets us without an end is left in the middle of its greeting.
  const talk = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(open(logins.members[0].connection("inquorate-init"))), (connection) =>
      restore(
        Effect.all({ answer: one(connection, question, Answer), more: one(connection, moreQuestion, More) })
      ).pipe(Effect.ensuring(Effect.sync(connection.destroy)))
    )
  )
  return yield* Effect.mapError(talk, ({ code, detail }) =>
    code === "28P01" && wishes.password !== undefined && !mayTell
      ? `it wants a password, which is sent to a server of another account than postgres only where its address is named (inq init HOST:PORT)`
      : detail
  )
})

const one = <A>(
  connection: Connection,
  text: string,
  schema: Schema.ConstraintDecoder<A>
): Effect.Effect<A, ConnectionError> =>
  Effect.flatMap(connection.query(text), ({ rows }) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(schema)(rows[0]),
      (error) => new ConnectionError({ reason: "Failed", code: "", detail: `it answered nonsense: ${error.message}` })
    )
  )

// Where the connection to the primary has no name of its own, PostgreSQL falls back to `cluster_name`, and then to
// `walreceiver`.
const streamsAs = ({ clusterName, conninfo }: typeof More.Type): string | null => {
  if (conninfo === null) return null
  const [, quoted, bare] = /(?<![a-z_])application_name=(?:'((?:[^'\\]|\\.)*)'|([^\s']+))/.exec(conninfo) ?? []
  return quoted?.replace(/\\(.)/g, "$1") ?? bare ?? (clusterName === "" ? "walreceiver" : clusterName)
}

const userOf = ({ user }: Wishes): string => user ?? "inquorate"

const databaseOf = ({ database }: Wishes): string => database ?? "postgres"

const clusterOf = (asked: ReadonlyArray<Asked>, wishes: Wishes): FoundCluster => {
  const primary = asked.find(({ isStandby }) => !isStandby)
  const word = primary !== undefined && Result.isSuccess(primary.answer) ? primary.answer.success : null
  const standbys = asked.filter((each) => each !== primary)
  const names = namesOf(standbys, word)
  const far = (word?.standbys ?? []).flatMap(({ from, name }) =>
    name === null || names.some((known) => SynchronousStandbyNames.sameName(known, name)) ? [] : [{ from, name }]
  )
  const members: ReadonlyArray<FoundMember> = [
    ...(primary === undefined ? [] : [memberOf(primary, freeName(names), wishes, primaryRemarks(word))]),
    ...standbys.map((standby, index) =>
      memberOf(
        standby,
        names[index]!,
        wishes,
        standby.streamsAs === null ? ["its name in synchronous_standby_names is a guess"] : []
      )
    ),
    ...far.map(({ from, name }): FoundMember => {
      const host = from.startsWith("a ") ? "127.0.0.1" : from.replace(/:\d+$/, "")
      return {
        name,
        address: PostgresAddress.print({ host, port: PostgresAddress.defaultPort }),
        isLocal: false,
        remarks: [
          `it streams from ${from}; that its clients reach it on port ${PostgresAddress.defaultPort} is a guess`,
          elsewhere
        ]
      }
    })
  ]
  const barred = barredOf(asked, wishes)
  return {
    system: "postgres",
    remarks: remarksOf(asked, word),
    settings: settingsOf(
      asked,
      barred.length > 0,
      wishesFor(
        asked.map(({ place }) => place),
        wishes
      )
    ),
    members,
    missing: [...barred, ...missingOf(primary, word, members)]
  }
}

const barredOf = (asked: ReadonlyArray<Asked>, { password }: Wishes): ReadonlyArray<string> => {
  const said = asked.flatMap(({ answer, place: { address } }) =>
    Result.isFailure(answer) ? [{ address, detail: answer.failure }] : []
  )
  return toldOnce(said).map((detail) =>
    password === undefined && isAboutPassword(detail)
      ? `${detail}. Give inq init --user NAME --password env:NAME (or file:PATH), or write them into the file`
      : detail
  )
}

const isAboutPassword = (detail: string): boolean => detail.endsWith("and none is configured")

const namesOf = (standbys: ReadonlyArray<Asked>, word: Answer | null): ReadonlyArray<string> => {
  const listed = word?.standbys.flatMap(({ name }) => name ?? []) ?? []
  const told = new Set(standbys.flatMap(({ streamsAs }) => streamsAs ?? []))
  const left = listed.filter((name) => !told.has(name))
  const unnamed = standbys.filter(({ streamsAs }) => streamsAs === null)
  const isPlain = unnamed.length === 1 && left.length === 1
  return standbys.map(({ streamsAs }, index) => streamsAs ?? (isPlain ? left[0]! : `s${index + 1}`))
}

const freeName = (taken: ReadonlyArray<string>): string => {
  const wanted = ["p", "p0", "p1"].find((name) => !taken.some((one) => SynchronousStandbyNames.sameName(one, name)))
  return wanted ?? "p2"
}

const primaryRemarks = (word: Answer | null): ReadonlyArray<string> =>
  word === null ? [] : ["the primary; give it here the name under which it would stream, should it ever be a standby"]

const memberOf = ({ place }: Asked, name: string, wishes: Wishes, remarks: ReadonlyArray<string>): FoundMember => {
  const { address, server } = place
  const isLocal = server !== undefined
  return {
    name,
    address,
    isLocal,
    ...(server?.dataDirectory == null ? {} : { dataDirectory: server.dataDirectory }),
    remarks: [...remarks, ...(isLocal ? rightsRemark(server, wishes) : [elsewhere])]
  }
}

const remarksOf = (asked: ReadonlyArray<Asked>, word: Answer | null): ReadonlyArray<string> => [
  ...(asked[0]!.identifier === ""
    ? ["who of them is of which cluster is a guess: nobody of them told it"]
    : [`system identifier ${asked[0]!.identifier}`]),
  ...(word === null || word.standbyNames === "" ? [] : [`synchronous_standby_names = '${word.standbyNames}'`])
]

const settingsOf = (
  asked: ReadonlyArray<Asked>,
  isBarred: boolean,
  { database, password, tls, user }: Wishes
): ReadonlyArray<FoundSetting> => {
  const role = user ?? "inquorate"
  return [
    {
      key: "user",
      value: role,
      remark: `it needs pg_monitor and no more: create role ${role} login password '…'; grant pg_monitor to ${role};`
    },
    ...(password !== undefined || isBarred
      ? [
          {
            key: "password",
            value: password ?? { env: "POSTGRES_PASSWORD" },
            remark: "by reference: { env: NAME }, { file: PATH } or { passfile: PATH }"
          }
        ]
      : []),
    { key: "database", value: database ?? "postgres" },
    ...(tls !== undefined
      ? [{ key: "tls", value: tls }]
      : asked.some(({ isEncrypted }) => isEncrypted)
        ? [
            {
              key: "tls",
              value: { mode: "prefer" },
              remark: "the server has TLS, and whose it is is not checked; { ca: PATH } has it checked"
            }
          ]
        : [])
  ]
}

const missingOf = (
  primary: Asked | undefined,
  word: Answer | null,
  members: ReadonlyArray<FoundMember>
): ReadonlyArray<string> => {
  if (primary === undefined) return ["no primary was found: add it to the members"]
  if (word === null) return []
  const standbys = members.filter(({ name }) => name !== members[0]!.name).map(({ name }) => name)
  if (word.standbyNames !== "")
    return word.rights.uses
      ? []
      : [`grant pg_monitor to ${word.rights.session}; then inq init --force tells the standbys' names`]
  if (standbys.length === 0) {
    return [
      "it has no standby and synchronous_standby_names is empty: no commit waits for anybody, so there is no quorum to lose"
    ]
  }
  const list = standbys.map((name) => `"${name.replaceAll('"', '""')}"`).join(", ")
  return [
    `synchronous_standby_names is empty: no commit waits for a standby, so there is no quorum to lose. On the primary: alter system set synchronous_standby_names = 'ANY 1 (${list.replaceAll("'", "''")})'; select pg_reload_conf();`
  ]
}
