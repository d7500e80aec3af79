/**
 * The configuration of a worker: one YAML file. The environment overrides the file, and flags override the environment.
 * Every mistake is told at once, each with its line and key and what would be right.
 */
import type { Millis } from "@inquorate/core/Time"
import { gentlest } from "@inquorate/core/Witness"
import { type HostSettings, localHost, problemsOf } from "@inquorate/injectors/HostSettings"
import * as Injectors from "@inquorate/injectors/Registry"
import * as MemberAddress from "@inquorate/targets/MemberAddress"
import { modules } from "@inquorate/targets/Registry"
import type { WitnessSettings } from "@inquorate/targets/Witness"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigSlips from "./ConfigSlips.ts"
import { ConfigError, type ConfigText, decode, type Locate, type Mistake, openYaml } from "./ConfigText.ts"
import { mistakesOf, SecuritySettings } from "./SecuritySettings.ts"
import {
  ClusterCommon,
  clusterName,
  expectedStore,
  parseListen,
  type PostgresStoreSettings,
  StoreAddress,
  WorkerFile
} from "./WorkerFile.ts"

// --- models ---

/** One configured cluster, with the settings that its target module decoded. */
export interface ClusterConfig {
  readonly name: string
  readonly module: (typeof modules)[number]
  readonly settings: unknown
  readonly injector: Injectors.InjectorModule
  /** The settings that the injector's module decoded; null where there are none. */
  readonly injectorSettings: unknown
  /** What restarts members, where the injector does not and this was configured beside it; else null. */
  readonly restarter: { readonly module: Injectors.InjectorModule; readonly settings: unknown } | null
  /** The hosts that the cluster's members name, each once. */
  readonly hosts: ReadonlyArray<string>
  readonly protected: boolean
  readonly maxHold: Millis | null
  readonly witnesses: ReadonlyArray<WitnessSettings>
}

/** Where operations are stored. A secret in it is still a reference, or redacted. */
export type StoreConfig =
  | { readonly _tag: "Sqlite"; readonly path: string }
  | { readonly _tag: "PostgresUrl"; readonly url: Redacted.Redacted }
  | { readonly _tag: "Postgres"; readonly settings: PostgresStoreSettings["postgres"] }

/** How the log is written: lines for a person, or one JSON value per line. */
export type LogFormat = "text" | "json"

/** The whole configuration of a worker, with every default filled in. */
export interface WorkerConfig {
  readonly listen: { readonly host: string; readonly port: number }
  readonly store: StoreConfig
  readonly workerId: string
  readonly maxHold: Millis
  readonly concurrency: number
  readonly queue: number
  readonly perCluster: number | null
  readonly perHost: number | null
  readonly overall: number | null
  readonly logFormat: LogFormat
  /** The settings of security. The files that they name are not read yet. */
  readonly security: SecuritySettings
  /** The machines and Kubernetes clusters that the file names. */
  readonly hosts: Readonly<Record<string, HostSettings>>
  readonly clusters: ReadonlyArray<ClusterConfig>
  /** What is not wrong, but unwise. */
  readonly warnings: ReadonlyArray<Mistake>
}

// --- make ---

/** What flags and environment may set; each wins over the file. */
export interface Overrides {
  readonly listen: string | undefined
  readonly store: string | undefined
  readonly workerId: string | undefined
  readonly logFormat?: string | undefined
}

/** The configuration that a file's text and its overrides give, or every mistake in them. */
export const parse = (
  text: string,
  source: string,
  overrides: Overrides,
  defaults: { readonly store: string; readonly workerId: string }
): Result.Result<WorkerConfig, ConfigError> =>
  Result.flatMap(openYaml(text, source), (opened) => read(opened, source, overrides, defaults))

/** The same of a text that is opened already. */
export const read = (
  { document, locate, value }: ConfigText,
  source: string,
  overrides: Overrides,
  defaults: { readonly store: string; readonly workerId: string }
): Result.Result<WorkerConfig, ConfigError> => {
  const slips = ConfigSlips.find(document, locate)
  const fail = (mistakes: ReadonlyArray<Mistake>) => Result.fail(new ConfigError({ source, mistakes }))
  const file = decode(WorkerFile, value, [], locate)
  // A mistake beside the clusters must not hide the mistakes within them until the next try.
  const named = Result.getOrElse(decode(ClustersAlone, value, [], locate, "ignore"), () => ({ clusters: undefined }))
  const clusters = Object.entries(named.clusters ?? {}).map(([name, raw]) => readCluster(name, raw, locate))
  const rawHosts = partOf(value, "hosts", RawHosts) ?? {}
  const mistakes = [
    ...slips.mistakes,
    ...(Result.isFailure(file) ? file.failure : []),
    ...clusters.flatMap((cluster) => (Result.isFailure(cluster) ? cluster.failure : [])),
    ...overrideMistakes(overrides),
    ...hostMistakes(rawHosts, locate),
    ...placeMistakes(rawHosts, named.clusters ?? {}, locate),
    ...nodeMistakes(named.clusters ?? {}, locate),
    ...securityMistakes(value, overrides, locate)
  ]
  if (Result.isFailure(file) || mistakes.length > 0)
    return fail(mistakes.toSorted((one, other) => one.line - other.line))
  const { hosts = {}, limits, log, security = {}, worker } = file.success
  const listen = parseListen(overrides.listen ?? file.success.listen ?? defaultListen)!
  const store = storeOf(overrides.store ?? file.success.store ?? defaults.store)
  // On a shared store the newest start under an id takes the id over. So two workers of one host need different ids.
  const ownName =
    store._tag === "Sqlite" || listen.port === 0 ? defaults.workerId : `${defaults.workerId}:${listen.port}`
  return Result.succeed({
    listen,
    store,
    workerId: overrides.workerId ?? worker?.id ?? ownName,
    perCluster: limits?.perCluster ?? null,
    perHost: limits?.perHost ?? 1,
    overall: limits?.overall ?? null,
    logFormat: (overrides.logFormat as LogFormat | undefined) ?? log?.format ?? "text",
    maxHold: limits?.maxHold ?? 900_000,
    concurrency: limits?.concurrency ?? 100,
    queue: limits?.queue ?? 10_000,
    security,
    hosts,
    clusters: clusters.flatMap((cluster) => (Result.isSuccess(cluster) ? [cluster.success] : [])),
    warnings: slips.warnings
  })
}

/** One key of a file, whatever is wrong beside it; undefined where the key is missing, or itself wrong. */
export const partOf = <A>(value: unknown, key: string, schema: Schema.ConstraintDecoder<A>): A | undefined => {
  const part =
    typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined
  return Result.getOrUndefined(decode(schema, part, [key], () => 0))
}

/** Where a worker would listen by a file and its overrides; undefined where the address cannot be read. */
export const listenOf = (value: unknown, { listen }: Overrides): WorkerConfig["listen"] | undefined =>
  parseListen(listen ?? partOf(value, "listen", Schema.String) ?? defaultListen)

// --- internal ---

const defaultListen = "127.0.0.1:19080"

const storeOf = (store: string | PostgresStoreSettings): StoreConfig =>
  typeof store !== "string"
    ? { _tag: "Postgres", settings: store.postgres }
    : store.startsWith("sqlite:")
      ? { _tag: "Sqlite", path: store.slice("sqlite:".length) }
      : { _tag: "PostgresUrl", url: Redacted.make(store) }

const RawHosts = Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown))

const ClustersAlone = Schema.Struct({ clusters: WorkerFile.fields.clusters })

const readCluster = (
  name: string,
  raw: Readonly<Record<string, unknown>>,
  locate: Locate
): Result.Result<ClusterConfig, ReadonlyArray<Mistake>> => {
  const path = ["clusters", name]
  if (!clusterName.test(name)) {
    const problem = "Expected a name of letters, digits, dots, dashes and underscores, at most 63"
    return Result.fail([{ line: locate(path), key: path.join("."), problem }])
  }
  const keys = Object.keys(ClusterCommon.fields)
  const own = Object.fromEntries(Object.entries(raw).filter(([key]) => keys.includes(key)))
  const rest = Object.fromEntries(Object.entries(raw).filter(([key]) => !keys.includes(key)))
  const common = decode(ClusterCommon, own, path, locate)
  if (Result.isFailure(common)) return Result.fail(common.failure)
  const module = modules.find(({ system }) => system === common.success.system)!
  const injector = Injectors.modules.find(({ name }) => name === (common.success.injector ?? "pause"))!
  const settingsOf = (name: string): unknown => (common.success as Readonly<Record<string, unknown>>)[name] ?? null
  const restarting = Injectors.modules.find(
    (one) => one.restarts === true && one !== injector && settingsOf(one.name) !== null
  )
  const settings = decode(module.config, rest, path, locate)
  if (Result.isFailure(settings)) return Result.fail(settings.failure)
  const members = membersOf(rest)
  const mistakes = injectorMistakes(
    injector,
    own,
    // Nobody knows here which pods there are and which members Patroni will name.
    rest["members"] === undefined ? null : members.map(({ name }) => name),
    path,
    locate
  )
  if (mistakes.length > 0) return Result.fail(mistakes)
  return Result.succeed({
    name,
    module,
    settings: settings.success,
    injector,
    injectorSettings: settingsOf(injector.name),
    restarter: restarting === undefined ? null : { module: restarting, settings: settingsOf(restarting.name) },
    hosts: [...new Set([...members.flatMap(({ host }) => host ?? []), ...patroniHosts(rest).map(([, host]) => host)])],
    protected: common.success.protected ?? false,
    maxHold: common.success.maxHold ?? null,
    witnesses: (common.success.witnesses ?? []).map((witness) => ({ every: gentlest, timeout: 2000, ...witness }))
  })
}

/** What the members of every system have in common. Their module has found nothing wrong with them before. */
const membersOf = (settings: Readonly<Record<string, unknown>>) =>
  (settings["members"] ?? []) as ReadonlyArray<{ readonly name: string; readonly host?: string }>

/** The hosts of the members that Patroni names, by their keys below `patroni`. */
const patroniHosts = (
  settings: Readonly<Record<string, unknown>>
): ReadonlyArray<readonly [key: string, host: string]> => {
  const { hosts } = (settings["patroni"] ?? {}) as { readonly hosts?: unknown }
  if (typeof hosts === "string") return [["", hosts]]
  return typeof hosts !== "object" || hosts === null
    ? []
    : Object.entries(hosts).filter((entry): entry is [string, string] => typeof entry[1] === "string")
}

const injectorMistakes = (
  injector: Injectors.InjectorModule,
  own: Readonly<Record<string, unknown>>,
  members: ReadonlyArray<string> | null,
  path: ReadonlyArray<string>,
  locate: Locate
): ReadonlyArray<Mistake> => {
  const mistake = (keys: ReadonlyArray<string>, problem: string): Mistake => ({
    line: locate([...path, ...keys]),
    key: [...path, ...keys].join("."),
    problem
  })
  const needed = injector.needsSettings && own[injector.name] === undefined
  const wanted = Injectors.modules.filter((one) => one === injector || one.restarts === true).map(({ name }) => name)
  const named = wanted.flatMap((name) =>
    Object.keys((own[name] as { readonly members?: object } | undefined)?.members ?? {}).map(
      (member) => [name, member] as const
    )
  )
  return [
    ...(needed
      ? [mistake(["injector"], `Expected the key ${injector.name} with the injector's settings beside it`)]
      : []),
    ...Injectors.modules
      .filter(({ name }) => !wanted.includes(name) && own[name] !== undefined)
      .map(({ name }) => mistake([name], `Expected no settings of ${name}, since the injector is ${injector.name}`)),
    ...named
      .filter(([, member]) => members?.includes(member) === false)
      .map(([name, member]) =>
        mistake([name, "members", member], `Expected a member of this cluster: ${members?.join(", ")}`)
      )
  ]
}

const hostMistakes = (hosts: typeof RawHosts.Type, locate: Locate): ReadonlyArray<Mistake> =>
  Object.entries(hosts).flatMap(([name, host]) => {
    const mistake = (path: ReadonlyArray<string>, problem: string): Mistake => ({
      line: locate(path),
      key: path.join("."),
      problem
    })
    if (!clusterName.test(name)) {
      const problem = "Expected a name of letters, digits, dots, dashes and underscores, at most 63"
      return [mistake(["hosts", name], problem)]
    }
    return problemsOf(name, host).map(({ key, problem }) => mistake(["hosts", name, key], problem))
  })

/** What can never be done to pods. `cluster` is what the file says of their Kubernetes cluster. */
const podMistakes = (
  name: string,
  settings: Readonly<Record<string, unknown>>,
  cluster: unknown,
  locate: Locate
): ReadonlyArray<Mistake> => {
  const mistake = (key: string, problem: string): ReadonlyArray<Mistake> => {
    const path = ["clusters", name, key]
    return [{ line: locate(path), key: path.join("."), problem }]
  }
  const { injector = "pause", kill, pods } = settings
  const mayCut = typeof cluster === "object" && cluster !== null && "cuts" in cluster && cluster.cuts === true
  if (injector === "kill" || injector === "command") {
    const why =
      injector === "kill" ? "a kubelet starts by itself what was ended" : "only the kernel may end a fence there"
    return mistake("injector", `Expected pause or netfilter, since the members are pods: ${why}`)
  }
  if (kill !== undefined) {
    return mistake("kill", "Expected no settings of kill, since the members are pods, which a kubelet starts by itself")
  }
  if (injector !== "netfilter" || mayCut) return []
  const host = (pods as { readonly host: string }).host
  return mistake(
    "injector",
    `Expected cuts: true of hosts.${host}.kubernetes, for without it a keeper pod may cut no network`
  )
}

const securityMistakes = (value: unknown, overrides: Overrides, locate: Locate): ReadonlyArray<Mistake> => {
  const security = partOf(value, "security", SecuritySettings)
  const listen = listenOf(value, overrides)
  if (security === undefined || listen === undefined) return []
  return mistakesOf(security, listen.host).map(({ path, problem }) => {
    const at = ["security", ...path]
    return { line: locate(at), key: at.join("."), problem }
  })
}

/** The members whose host the file does not name, with their lines, whatever else is wrong with their cluster. */
const placeMistakes = (
  configured: typeof RawHosts.Type,
  clusters: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  locate: Locate
): ReadonlyArray<Mistake> =>
  Object.entries(clusters).flatMap(([name, settings]) => {
    const { members, pods } = settings
    const isKubernetes = (host: string) => configured[host]?.["kubernetes"] !== undefined
    const [ofPods, others] = [true, false].map((is) =>
      Object.keys(configured).filter((one) => isKubernetes(one) === is)
    )
    const hosts = [localHost, ...others!.filter((host) => host !== localHost)]
    const podHost = typeof pods === "object" && pods !== null && "host" in pods ? pods.host : undefined
    if (typeof podHost === "string" && !isKubernetes(podHost)) {
      const path = ["clusters", name, "pods", "host"]
      const known = ofPods!.length === 0 ? "" : `: ${ofPods!.join(", ")}`
      const problem = `Expected a host of this configuration that is a Kubernetes cluster${known}, got ${JSON.stringify(podHost)}`
      return [{ line: locate(path), key: path.join("."), problem }]
    }
    if (typeof podHost === "string") return podMistakes(name, settings, configured[podHost]?.["kubernetes"], locate)
    const places = (Array.isArray(members) ? (members as ReadonlyArray<unknown>) : []).map(
      (member, index): readonly [ReadonlyArray<string | number>, unknown] => [
        ["members", index, "host"],
        typeof member === "object" && member !== null && "host" in member ? member.host : undefined
      ]
    )
    const named = patroniHosts(settings).map(([key, host]): readonly [ReadonlyArray<string | number>, unknown] => [
      ["patroni", "hosts", ...(key === "" ? [] : [key])],
      host
    ])
    return [...places, ...named].flatMap(([keys, host]) => {
      if (typeof host !== "string" || hosts.includes(host)) return []
      const path = ["clusters", name, ...keys]
      const problem = `Expected a host of this configuration: ${hosts.join(", ")}, got ${JSON.stringify(host)}`
      return [{ line: locate(path), key: path.join("."), problem }]
    })
  })

/** The nodes that two members would stand on under one name by chance: a stop of the one would stop the other. */
const nodeMistakes = (
  clusters: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  locate: Locate
): ReadonlyArray<Mistake> => {
  const stands = Object.entries(clusters).flatMap(([cluster, { members }]) => {
    const placed = Schema.is(Placeable)(members) ? members : []
    const all = placed.map((member) => ({ ...member, address: [member.address ?? []].flat()[0] ?? ":" }))
    return all.map((member, index) => {
      const path = ["clusters", cluster, "members", index, "name"]
      return { ...MemberAddress.nodeOf(cluster, all, member), cluster, name: member.name, path }
    })
  })
  return stands.flatMap(({ cluster, isOwn, name, node, path }, index) => {
    const other = stands.slice(0, index).find((before) => before.node === node && (isOwn || before.isOwn))
    if (other === undefined || other.cluster === cluster) return []
    const problem =
      `${name} of ${cluster} and ${other.name} of ${other.cluster} would both stand on a node called ${node}, ` +
      "and a stop of it would stop both: call a member, a cluster or a host otherwise"
    return [{ line: locate(path), key: path.join("."), problem }]
  })
}

const Placeable = Schema.Array(
  Schema.Struct({
    name: Schema.String,
    address: Schema.optionalKey(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
    host: Schema.optionalKey(Schema.String)
  })
)

const overrideMistakes = (overrides: Overrides): ReadonlyArray<Mistake> => [
  ...(overrides.listen === undefined || parseListen(overrides.listen) !== undefined
    ? []
    : [
        {
          line: 0,
          key: "--listen / INQUORATE_LISTEN",
          problem: `Expected HOST:PORT, such as ${defaultListen}, got ${JSON.stringify(overrides.listen)}`
        }
      ]),
  ...(overrides.store === undefined || Schema.is(StoreAddress)(overrides.store)
    ? []
    : [
        {
          line: 0,
          key: "--store / INQUORATE_STORE",
          // The value may hold a password.
          problem: expectedStore
        }
      ]),
  ...(overrides.logFormat === undefined || overrides.logFormat === "text" || overrides.logFormat === "json"
    ? []
    : [
        {
          line: 0,
          key: "--log-format / INQUORATE_LOG_FORMAT",
          problem: `Expected text or json, got ${JSON.stringify(overrides.logFormat)}`
        }
      ])
]
