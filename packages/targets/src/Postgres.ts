/**
 * PostgreSQL with quorum commit as a target: one group, `quorum`, whose voters are the standbys that
 * `synchronous_standby_names = 'ANY k (…)'` lists. All members are asked at once and none is waited for longer than
 * 800 ms, so that discovery ends within a second while members are stopped.
 */
import type { Host } from "@inquorate/core/Host"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as MemberAddress from "./MemberAddress.ts"
import { ConnectionError, type ConnectionSettings, type Session, session } from "./PostgresConnection.ts"
import * as PostgresProbe from "./PostgresProbe.ts"
import * as PostgresProcess from "./PostgresProcess.ts"
import * as PostgresTopology from "./PostgresTopology.ts"
import * as TargetModule from "./TargetModule.ts"

/** A secret, or where it is: an environment variable, or a file whose last line break is not part of it. */
export const Secret = Schema.Union([
  Schema.RedactedFromValue(Schema.String, { label: "secret" }),
  Schema.Struct({ env: Schema.String }),
  Schema.Struct({ file: Schema.String })
]).annotate({ expected: "a secret, { env: name } or { file: path }" })

/** PostgreSQL keeps no more bytes of an `application_name`, so a longer name would never be found again. */
const nameMost = 63

/** One member of a PostgreSQL cluster; its name in `synchronous_standby_names` is its `application_name` in replication. */
export const PostgresMember = Schema.Struct(MemberAddress.fields("127.0.0.1:5432", nameMost)).annotate({
  identifier: "PostgresMember"
})
/** One member of a PostgreSQL cluster. */
export type PostgresMember = typeof PostgresMember.Type

/** What a PostgreSQL cluster holds in a configuration file. The user needs pg_monitor, no more. */
export const PostgresSettings = Schema.Struct({
  user: Schema.String,
  password: Schema.optionalKey(Secret),
  database: Schema.String,
  /** All members, the primary among them, in any order. */
  members: Schema.NonEmptyArray(PostgresMember).check(
    Schema.makeFilter(
      (members: ReadonlyArray<PostgresMember>) =>
        new Set(members.map(({ name }) => name.toLowerCase())).size === members.length,
      {
        expected: "members with names of their own"
      }
    ),
    Schema.makeFilter(
      (members: ReadonlyArray<PostgresMember>) =>
        new Set(members.map(({ address }) => address)).size === members.length,
      {
        expected: "members with addresses of their own"
      }
    )
  )
}).annotate({ identifier: "PostgresSettings" })
/** What a PostgreSQL cluster holds in a configuration file. */
export type PostgresSettings = typeof PostgresSettings.Type

/** PostgreSQL with quorum commit. */
export const postgres = TargetModule.make({
  system: "postgres",
  config: PostgresSettings,
  make: Effect.fn("Postgres.make")(function* (cluster, settings, hosts): Effect.fn.Return<
    Target,
    TargetError,
    Scope.Scope
  > {
    const connectionTo = yield* connectionSettings(cluster, settings)
    const members = yield* Effect.forEach(settings.members, (member) =>
      memberOf(cluster, settings, member, hosts, connectionTo)
    )
    let known: PostgresTopology.Known | null = null

    const discover = Effect.gen(function* () {
      const asked = yield* Effect.forEach(members, ask, { concurrency: "unbounded" })
      const read = PostgresTopology.interpret(cluster, asked, known)
      if (Result.isFailure(read)) return yield* read.failure
      known = read.success
      return [PostgresTopology.topology(cluster, asked, known, yield* Clock.currentTimeMillis)]
    })
    const endpoints = (): readonly [string, ...ReadonlyArray<string>] => {
      const primary = settings.members.find(({ name }) => name === known?.primary)
      if (primary !== undefined) return [primary.address]
      const [first, ...rest] = settings.members
      return [first.address, ...rest.map(({ address }) => address)]
    }
    return {
      system: "postgres",
      cluster,
      discover,
      probe: Effect.fn("Postgres.probe")(function* (group) {
        if (group !== PostgresTopology.group) {
          const detail = `a PostgreSQL cluster has one group, ${PostgresTopology.group}, and no ${group}`
          return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
        }
        // While nobody answers every member is tried: a probe is wanted then too, to see the writes come back.
        if (known === null) yield* Effect.ignore(discover)
        return yield* PostgresProbe.make(endpoints, connectionTo(`inquorate-probe-${yield* probeNumber}`))
      }),
      survivorsSpeak: true,
      // The primary sees its commits wait; a standby knows nothing of them.
      canSpeak: ({ role }) => role === "Primary",
      recoveryBudget: 60_000,
      recoveryWriteTimeout: 1000
    }
  })
})

// --- internal ---

const answerTimeout = 800
/** A question that stays open this long is dropped and asked over a new connection, in milliseconds. */
const reconnectAfter = 5000
/** What discovery may take in all, the look at processes included, in milliseconds. */
const discoveryTimeout = 950

type ConnectionTo = (applicationName: string) => (address: string) => ConnectionSettings

// Tells the backends of one probe from those of every other, on every worker.
const probeNumber = Effect.sync(() => crypto.randomUUID().slice(0, 8))

const connectionSettings = Effect.fnUntraced(function* (
  cluster: string,
  { database, password, user }: PostgresSettings
): Effect.fn.Return<ConnectionTo, TargetError> {
  const secret = password === undefined ? null : yield* secretOf(cluster, password)
  return (applicationName) => (address) => ({ address, user, password: secret, database, applicationName })
})

const secretOf = (cluster: string, secret: typeof Secret.Type): Effect.Effect<Redacted.Redacted, TargetError> => {
  const missing = (detail: string) => new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
  if (Redacted.isRedacted(secret)) return Effect.succeed(secret)
  return "env" in secret
    ? Effect.mapError(Config.Redacted(secret.env), () =>
        missing(`the environment variable ${secret.env} of the password is not set`)
      )
    : Effect.try({
        try: () => Redacted.make(fs.readFileSync(secret.file, "utf8").replace(/\r?\n$/, "")),
        catch: (cause) => missing(`the password's file cannot be read: ${(cause as Error).message}`)
      })
}

/** A member with what is kept between two discoveries. */
interface OpenMember {
  readonly member: PostgresMember
  readonly node: string
  readonly host: Host | null
  readonly session: Session
  located: { readonly key: string; readonly process: ProcessRef } | null
}

const memberOf = Effect.fnUntraced(function* (
  cluster: string,
  { members }: PostgresSettings,
  member: PostgresMember,
  hosts: ReadonlyMap<string, Host>,
  connectionTo: ConnectionTo
): Effect.fn.Return<OpenMember, TargetError, Scope.Scope> {
  const { host, node } = yield* MemberAddress.place(cluster, members, member, hosts)
  return {
    member,
    node,
    host,
    session: yield* session(connectionTo("inquorate-discovery")(member.address), PostgresTopology.question, {
      patience: answerTimeout,
      giveUp: reconnectAfter
    }),
    located: null
  }
})

const ask = Effect.fnUntraced(function* (open: OpenMember): Effect.fn.Return<PostgresTopology.Asked> {
  const { address, name } = open.member
  const began = yield* Clock.currentTimeMillis
  const reply = yield* Effect.result(open.session.ask)
  const answer = Result.flatMap(reply, ({ rows }) => decode(address, rows))
  const left = discoveryTimeout - ((yield* Clock.currentTimeMillis) - began)
  const located = yield* locate(open, answer, Result.isSuccess(reply) ? reply.success.backend : 0, left)
  return { name, node: open.node, address, answer, process: located.process, processProblem: located.problem }
})

const decode = (
  address: string,
  rows: ReadonlyArray<unknown>
): Result.Result<PostgresTopology.Answer, ConnectionError> =>
  Result.mapError(
    Schema.decodeUnknownResult(PostgresTopology.Answer)(rows[0]),
    (error) =>
      new ConnectionError({ reason: "Failed", code: "", detail: `${address} answered nonsense: ${error.message}` })
  )

// The process cannot have changed while its server's start time has not; a member that is silent keeps the one it had.
const locate = Effect.fnUntraced(function* (
  open: OpenMember,
  answer: Result.Result<PostgresTopology.Answer, ConnectionError>,
  backend: number,
  timeout: number
): Effect.fn.Return<PostgresProcess.Located> {
  if (open.host === null) return { process: null, problem: "no host is configured for this member" }
  if (Result.isFailure(answer)) {
    return open.located === null
      ? { process: null, problem: `the member did not answer: ${answer.failure.detail}` }
      : { process: open.located.process, problem: "" }
  }
  const { dataDirectory, startedAt } = answer.success
  const key = JSON.stringify([startedAt, dataDirectory])
  if (open.located?.key === key) return { process: open.located.process, problem: "" }
  const { address, dataDirectory: configured = "" } = open.member
  const { port } = MemberAddress.split(address)
  const located = yield* PostgresProcess.locate(open.host, { dataDirectory, configured, port, backend }, timeout)
  open.located = located.process === null ? null : { key, process: located.process }
  return located
})
