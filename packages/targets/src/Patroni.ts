/**
 * Patroni as the supervisor of a PostgreSQL cluster, read from its REST API: its members with their roles, and the
 * settings that decide what it does when standbys go quiet. Reads are bounded in time and bytes. Nothing is ever
 * changed.
 */
import type { Supervisor } from "@inquorate/core/Supervision"
import type { Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as NamedFile from "./NamedFile.ts"
import * as Secret from "./Secret.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"
import * as WebRead from "./WebRead.ts"

const Address = Schema.String.check(
  Schema.makeFilter(
    (url) =>
      (/^https?:\/\/[^/?#]+\/?$/i.test(url) && URL.canParse(url)) ||
      "Expected an address such as http://127.0.0.1:8008",
    { toJsonSchema: () => ({ pattern: "^https?://[^/?#]+/?$" }) }
  )
)

/** Where Patroni's REST API answers, and how we log in to it. Reading needs no user unless a proxy asks for one. */
export const PatroniSettings = Schema.Union([
  Address,
  Schema.NonEmptyArray(Address),
  Schema.Struct({
    /** One address or several, of any members. The first that answers is believed. */
    api: Schema.Union([Address, Schema.NonEmptyArray(Address)]),
    /**
     * Where `members` are left out: the host that each member runs on, by the member's name, or one host for all. A
     * member without a host can be watched but not taken out.
     */
    hosts: Schema.optionalKey(Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)])),
    user: Schema.optionalKey(Schema.String),
    /** The password of the user, or where it is. */
    password: Schema.optionalKey(Secret.Secret),
    /** The file with the authorities that the API's certificate may come from, in PEM. */
    ca: Schema.optionalKey(Schema.NonEmptyString),
    /** The file with our own certificate. */
    certificate: Schema.optionalKey(Schema.NonEmptyString),
    /** The file with its private key. */
    key: Schema.optionalKey(Schema.NonEmptyString)
  })
]).annotate({ expected: "an address such as http://127.0.0.1:8008, a list of such, or { api, user, password, ca }" })
export type PatroniSettings = typeof PatroniSettings.Type

/** One member by Patroni's word. */
export const PatroniMember = Schema.Struct({
  name: Schema.String,
  role: Schema.String,
  state: Schema.String,
  /** Where its PostgreSQL takes connections. Patroni leaves it out for a member that it has just begun to start. */
  host: Schema.optionalKey(Schema.String),
  port: Schema.optionalKey(Schema.Finite)
})
export type PatroniMember = typeof PatroniMember.Type

const Cluster = Schema.Struct({ members: Schema.Array(PatroniMember), pause: Schema.optionalKey(Schema.Boolean) })

/** The dynamic settings that count here. For what is left out, Patroni's own default counts. */
const Config = Schema.Struct({
  ttl: Schema.optionalKey(Schema.Finite),
  loop_wait: Schema.optionalKey(Schema.Finite),
  synchronous_mode: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Boolean, Schema.String]))),
  synchronous_mode_strict: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Boolean, Schema.String]))),
  failsafe_mode: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Boolean, Schema.String])))
})

/** What Patroni says of its cluster. */
export interface Look {
  readonly members: ReadonlyArray<PatroniMember>
  readonly ttl: Millis
  readonly loopWait: Millis
  readonly mode: "Off" | "On" | "Quorum"
  readonly strict: boolean
  readonly failsafe: boolean
  /** True while Patroni is paused: a person has told it to leave the cluster alone. */
  readonly paused: boolean
}

/** Reads what Patroni says, from the first of its addresses that answers. A failure is a sentence for a person. */
export const look = (settings: PatroniSettings, timeout: Millis): Effect.Effect<Look, string> =>
  Effect.gen(function* () {
    const { apis, asking } = yield* accessOf(settings)
    const read = (path: string, api: string) =>
      WebRead.get(`${api.replace(/\/$/, "")}${path}`, { ...asking, timeout, most: answerMost }).pipe(
        Effect.mapError(({ detail }) => `Patroni at ${api} says nothing: ${detail}`),
        Effect.flatMap(({ body, status }) =>
          status === 200
            ? Effect.succeed(body)
            : Effect.fail(
                `Patroni at ${api} answers ${path} with HTTP ${status}${status === 401 ? ": name user and password" : ""}`
              )
        )
      )
    const lookAt = (api: string) =>
      Effect.flatMap(
        Effect.all([read("/cluster", api), read("/config", api)], { concurrency: 2 }),
        ([cluster, config]) => Effect.mapError(Effect.fromResult(parse(cluster, config)), (why) => `${api}: ${why}`)
      )
    return yield* Effect.firstSuccessOf(apis.map(lookAt))
  })

/** Reads the two answers, `/cluster` and `/config`. */
export const parse = (cluster: string, config: string): Result.Result<Look, string> =>
  Result.gen(function* () {
    const seen = yield* decode(Cluster, "/cluster", cluster)
    const settings = yield* decode(Config, "/config", config)
    const mode = settings.synchronous_mode
    return {
      members: seen.members,
      ttl: seconds(settings.ttl, 30),
      loopWait: seconds(settings.loop_wait, 10),
      mode: String(mode).toLowerCase() === "quorum" ? "Quorum" : isOn(mode) ? "On" : "Off",
      strict: isOn(settings.synchronous_mode_strict),
      failsafe: isOn(settings.failsafe_mode),
      paused: seen.pause === true
    }
  })

/**
 * Who acts on a loss of this group. Patroni takes a silent standby out of `synchronous_standby_names` once the standby's key in
 * the store has run out. That is at the earliest `ttl` less two `loop_wait` after the loss began: a member looks at its key
 * once a loop, and with etcd it renews the key only where the last renewal is a whole loop ago, so the key may be nearly two
 * loops old by then. In strict mode Patroni then lets any standby count (`ANY 1 (*)`, seen with 4.0.7). So commits wait on
 * only where no other standby streams, and one that is marked `nosync` counts too.
 */
export const supervisors = (
  { loopWait, members, mode, paused, strict, ttl }: Look,
  topology: Pick<Topology, "group" | "members">
): ReadonlyArray<Supervisor> => {
  // Outside synchronous mode a person sets the parameter, and a paused Patroni changes nothing.
  if (mode === "Off" || paused) return []
  const counted = (name: string): boolean =>
    topology.members.some((member) => member.counts && SynchronousStandbyNames.sameName(member.name, name))
  const others = members.filter(({ name, role }) => isStandby(role) && !counted(name))
  if (strict && others.length === 0) return []
  const replaces = `lets ${others.map(({ name }) => name).join(", ")} take the place of a silent standby, also in strict mode`
  return [
    {
      watches: topology.group,
      source:
        `Patroni's ttl (${ttl / 1000} s, less two loop_wait, ${loopWait / 1000} s each` +
        (strict ? `; it ${replaces})` : "; without synchronous_mode_strict)"),
      patience: Math.max(0, ttl - 2 * loopWait),
      reaction: "EmptiesQuorum"
    }
  ]
}

/** What a person should know of Patroni, apart from its patience. */
export const warnings = ({ failsafe, mode, paused, strict, ttl }: Look): ReadonlyArray<string> => [
  ...(paused ? ["Patroni is paused: it neither fails over nor changes synchronous_standby_names"] : []),
  ...(mode === "Off"
    ? ["Patroni runs without synchronous_mode: synchronous_standby_names is set by hand, and Patroni leaves it alone"]
    : []),
  ...(mode !== "Off" && !paused && strict
    ? ["Patroni runs in strict mode: it keeps commits waiting however long the standbys are silent"]
    : []),
  `Patroni ${failsafe ? "has failsafe_mode: a loss of its own store" : "has no failsafe_mode: a loss of its own store (etcd) demotes the primary within"} ${
    failsafe ? "leaves the primary in place while it reaches all members" : `${ttl / 1000} s`
  }`
]

/** The roles and states of all members in a few words. The words stay the same as long as nothing changes. */
export const inWords = (members: ReadonlyArray<PatroniMember>): string =>
  members
    .map(({ name, role, state }) => `${name} ${role.replaceAll("_", " ")} ${state}`)
    .sort()
    .join(", ")

// --- internal ---

/** The most bytes of an answer. A cluster of a hundred members needs a tenth of it. */
const answerMost = 256 * 1024

const isOn = (value: boolean | string | null | undefined): boolean =>
  value === true || (typeof value === "string" && /^(on|true|yes|1|quorum)$/i.test(value))

const isStandby = (role: string): boolean => /^(replica|sync_standby|quorum_standby)$/.test(role)

const seconds = (value: number | undefined, otherwise: number): Millis =>
  Math.round(Math.min(Math.max(0, value ?? otherwise), 1e6) * 1000)

const decode = <A>(schema: Schema.ConstraintDecoder<A>, path: string, text: string): Result.Result<A, string> =>
  Result.mapError(
    Schema.decodeResult(Schema.fromJsonString(schema))(text),
    () => `what Patroni answers to ${path} is not its form`
  )

const accessOf = (
  settings: PatroniSettings
): Effect.Effect<
  { readonly apis: readonly [string, ...ReadonlyArray<string>]; readonly asking: Partial<WebRead.Asking> },
  string
> =>
  Effect.gen(function* () {
    if (typeof settings === "string") return { apis: [settings], asking: {} }
    if (!("api" in settings)) return { apis: settings, asking: {} }
    const { api, ca, certificate, key, password, user } = settings
    const secret =
      password === undefined ? "" : Redacted.value(yield* Secret.read("password of Patroni's API", password))
    const file = (path: string | undefined) =>
      path === undefined
        ? Effect.succeed(undefined)
        : Effect.try({ try: () => NamedFile.read(path), catch: (cause) => (cause as Error).message })
    const [authority, cert, own] = yield* Effect.all([file(ca), file(certificate), file(key)])
    const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`
    return {
      apis: typeof api === "string" ? [api] : api,
      asking: {
        headers: user === undefined ? {} : { authorization },
        tls: {
          ...(authority === undefined ? {} : { ca: authority }),
          ...(cert === undefined ? {} : { cert }),
          ...(own === undefined ? {} : { key: own })
        }
      }
    }
  })
