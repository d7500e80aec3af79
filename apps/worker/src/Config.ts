/**
 * The configuration of a worker: one YAML file, overridden by the environment, overridden by flags. Every mistake is
 * told at once, each with its line and key and what would be right.
 */
import { type Millis, parseMillis } from "@inquorate/core/Time"
import { gentlest } from "@inquorate/core/Witness"
import * as Injectors from "@inquorate/injectors/Registry"
import { modules } from "@inquorate/targets/Registry"
import { isOne, Question, type WitnessSettings } from "@inquorate/targets/Witness"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as YAML from "yaml"
import { mistakesOf, SecuritySettings } from "./Security.ts"

// --- models ---

/** A length such as `5s`, `15m` or a bare number of seconds, as milliseconds. */
const lengthOf = (description: string) =>
  Schema.Union([Schema.String, Schema.Int])
    .annotate({ description })
    .check(
      Schema.makeFilter(
        (value) => parseMillis(String(value)) !== undefined || "Expected a length such as 30s, 15m or 1h",
        {
          toJsonSchema: () => ({ pattern: "^\\s*\\d+(\\.\\d+)?\\s*(ms|s|m|min|h)?\\s*$", minimum: 0 })
        }
      )
    )
    .pipe(
      Schema.decodeTo(
        Schema.Int,
        SchemaTransformation.transform({
          decode: (value) => parseMillis(String(value)) ?? 0,
          encode: (millis) => `${millis}ms`
        })
      )
    )

const expectedStore = "Expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE"

const isStoreAddress = (value: string): boolean =>
  /^sqlite:./.test(value) || (/^postgres(ql)?:\/\//.test(value) && URL.canParse(value))

const atOnce = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

/** Where to listen, as `HOST:PORT`; port 0 takes a free one. */
const Listen = Schema.String.check(
  Schema.makeFilter((value) => parseListen(value) !== undefined || "Expected HOST:PORT, such as 127.0.0.1:19080", {
    toJsonSchema: () => ({ pattern: "^(\\[[0-9a-fA-F:.]+\\]|[^\\s:[\\]]+):\\d{1,5}$" })
  })
)

/** Where operations are stored, on one line: a file for one worker, or a PostgreSQL for any number of them. */
const StoreAddress = Schema.String.check(
  Schema.makeFilter((value) => isStoreAddress(value) || expectedStore, {
    toJsonSchema: () => ({ pattern: "^(sqlite:.|postgres(ql)?://.)" })
  })
)

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

/** Where a secret is: in an environment variable, or in a file whose last line break is not part of it. */
const SecretReference = Schema.Union([
  Schema.Struct({ env: Schema.NonEmptyString }),
  Schema.Struct({ file: Schema.NonEmptyString })
]).annotate({ expected: "{ env: NAME } or { file: PATH }" })
/** Where a secret is. */
export type SecretReference = typeof SecretReference.Type

/** The PostgreSQL that several workers share, in parts, so that no secret stands in the file. */
const PostgresStoreSettings = Schema.Struct({
  postgres: Schema.Struct({
    host: Schema.NonEmptyString.annotateKey({ description: "The server's name or address." }),
    port: described(
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
      "Its port; 5432 unless given."
    ),
    database: Schema.NonEmptyString.annotateKey({ description: "The database." }),
    user: Schema.NonEmptyString.annotateKey({
      description: "The user; it needs CREATE on the database, or all on the schema."
    }),
    password: described(SecretReference, "The user's password, by reference."),
    schema: described(
      Schema.String.check(
        Schema.isPattern(/^[a-z_][a-z0-9_]{0,39}$/, { expected: "lower-case letters, digits and _, 40 at most" })
      ),
      "The schema of our tables, made where it is missing; inquorate unless given."
    )
  }).annotateKey({ description: "A PostgreSQL that any number of workers share." })
})
/** The PostgreSQL that several workers share. */
export type PostgresStoreSettings = typeof PostgresStoreSettings.Type

/** The name of the worker's own machine among the hosts. */
export const localHost = "local"

/** The name of a cluster; it stands in `fabric:/<cluster>/<group>`. */
export const clusterName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

const absolutePath = Schema.String.check(Schema.isPattern(/^\/[^\r\n"]*$/))

/** Something that depends on a cluster and is asked through every operation on it. */
const WitnessFile = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(63)).annotateKey({ description: "What the evidence calls it." }),
  every: Schema.optionalKey(
    lengthOf("How long after an answer it is asked again, 1s at the least; 1s unless given.").check(
      Schema.makeFilter((millis: number) => millis >= gentlest || "Expected 1s or longer", { toJsonSchema: () => ({}) })
    )
  ),
  timeout: Schema.optionalKey(
    lengthOf("How long it may take to answer, 10s at the most; 2s unless given.").check(
      Schema.makeFilter(
        (millis: number) => (millis > 0 && millis <= 10_000) || "Expected more than 0 and at most 10s",
        {
          toJsonSchema: () => ({})
        }
      )
    )
  ),
  ...Question.fields
}).check(
  Schema.makeFilter((witness: Question) => isOne(witness) || "Expected one of http, postgres and command", {
    toJsonSchema: () => ({})
  })
)
/** Something that depends on a cluster and is asked through every operation on it. */
export type WitnessFile = typeof WitnessFile.Type

/** What every cluster holds in a configuration file, whatever its system. */
export const ClusterCommon = Schema.Struct({
  system: Schema.Literals(modules.map((module) => module.system)).annotateKey({
    description: "The system; it decides which further keys the cluster has."
  }),
  injector: described(
    Schema.Literals(Injectors.modules.map(({ name }) => name)),
    "The mechanism that takes members out: pause stops their processes, netfilter drops their peer traffic, kill kills them and starts them again, command runs commands of yours; pause unless given."
  ),
  ...Object.fromEntries(
    Injectors.modules.flatMap(({ name, restarts = false, settings }) => {
      const beside = restarts ? " Beside another injector: how members are restarted and nodes stopped." : ""
      return settings === null ? [] : [[name, described(settings, `The settings of the injector ${name}.${beside}`)]]
    })
  ),
  protected: described(
    Schema.Boolean,
    "True for a cluster that may be looked at but never broken; false unless given."
  ),
  maxHold: Schema.optionalKey(
    lengthOf("The longest hold allowed on this cluster, such as 30s; limits.maxHold unless given.")
  ),
  witnesses: described(
    Schema.Array(WitnessFile).check(
      Schema.isMaxLength(20),
      Schema.makeFilter(
        (witnesses: ReadonlyArray<{ readonly name: string }>) =>
          new Set(witnesses.map(({ name }) => name)).size === witnesses.length ||
          "Expected witnesses with names of their own",
        { toJsonSchema: () => ({}) }
      )
    ),
    "Who depends on the cluster: asked gently through every operation on it, and the evidence says what they suffered."
  )
})

/** A machine reached over ssh. */
const SshHostSettings = Schema.Struct({
  ssh: Schema.String.check(Schema.isPattern(/^[^-\s][^\s]*$/)).annotateKey({
    description: "What ssh takes: a host, USER@HOST, or a name of its own configuration."
  }),
  port: described(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
    "The port, where not ssh's own."
  ),
  identity: described(absolutePath, "A private key file to use instead of all others."),
  knownHosts: described(absolutePath, "The file of host keys to trust instead of the user's own."),
  configFile: described(absolutePath, "A configuration file of ssh instead of the user's own."),
  connectTimeout: Schema.optionalKey(lengthOf("How long a connection may take; 5s unless given."))
})
/** A machine reached over ssh. */
export type SshHostSettings = typeof SshHostSettings.Type

/** The configuration file of a worker; what a cluster holds beside the common keys is its target module's own. */
export const WorkerFile = Schema.Struct({
  listen: described(
    Listen,
    "Where to answer, as HOST:PORT; beyond loopback only with security. Port 0 takes a free one. 127.0.0.1:19080 unless given."
  ),
  security: described(SecuritySettings, "Who may reach the worker, and as what; on loopback everyone unless given."),
  store: described(
    Schema.Union([StoreAddress, PostgresStoreSettings]),
    "Where operations are stored: sqlite:PATH for one worker at a time, postgres://… or its parts for any number; worker.db in the state directory unless given."
  ),
  worker: described(
    Schema.Struct({
      id: described(
        Schema.NonEmptyString,
        "This worker's name, the same at every start and no other's. The host's name unless given, with the port on a shared store."
      )
    }),
    "The worker itself."
  ),
  limits: described(
    Schema.Struct({
      maxHold: Schema.optionalKey(
        lengthOf("The longest hold that may be asked for, on a cluster without a limit of its own; 15m unless given.")
      ),
      concurrency: described(
        Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
        "How many operations run at once; the rest wait and show Running. 100 unless given."
      ),
      queue: described(
        Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
        "How many operations may be unfinished; one more is refused as too busy. 10000 unless given."
      ),
      perCluster: described(
        atOnce,
        "How many operations may run at once on one cluster, whichever worker runs them; any number unless given."
      ),
      perHost: described(atOnce, "How many operations may have fences on one host at once; 1 unless given."),
      overall: described(
        atOnce,
        "How many operations may run at once in all, whichever worker runs them; any number unless given."
      )
    }),
    "What the worker takes on."
  ),
  log: described(
    Schema.Struct({
      format: described(Schema.Literals(["text", "json"]), "How the log is written; text unless given.")
    }),
    "The worker's log."
  ),
  hosts: described(
    Schema.Record(Schema.String, SshHostSettings),
    "The machines that members run on, by the name that members give as their host; local, this one, is always there."
  ),
  clusters: described(
    Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown)),
    "The clusters that may be broken, by name."
  )
})

/** One configured cluster, with the settings its target module decoded. */
export interface ClusterConfig {
  readonly name: string
  readonly module: (typeof modules)[number]
  readonly settings: unknown
  readonly injector: Injectors.InjectorModule
  /** What the injector's module decoded; null where it was given none. */
  readonly injectorSettings: unknown
  /** What restarts members where the injector does not and this was configured beside it; else null. */
  readonly restarter: { readonly module: Injectors.InjectorModule; readonly settings: unknown } | null
  /** The hosts that its members name, each once. */
  readonly hosts: ReadonlyArray<string>
  readonly protected: boolean
  readonly maxHold: Millis | null
  readonly witnesses: ReadonlyArray<WitnessSettings>
}

/** Where operations are stored; what is secret in it is still a reference, or redacted. */
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
  /** Its files are not read yet. */
  readonly security: SecuritySettings
  readonly hosts: Readonly<Record<string, SshHostSettings>>
  readonly clusters: ReadonlyArray<ClusterConfig>
}

/** One mistake: where it stands and what would be right. `line` is 0 for one that is in no file. */
export interface Mistake {
  readonly line: number
  readonly key: string
  readonly problem: string
}

// --- errors ---

/** The configuration cannot be used; `message` tells every mistake on a line of its own. */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  source: Schema.String,
  mistakes: Schema.Array(Schema.Struct({ line: Schema.Int, key: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    return this.mistakes
      .map(
        ({ key, line, problem }) =>
          `${this.source}${line > 0 ? `:${line}` : ""}: ${key === "" ? "" : `${key}: `}${problem}`
      )
      .join("\n")
  }
}

// --- make ---

/** What flags and environment may set; each wins over the file. */
export interface Overrides {
  readonly listen: string | undefined
  readonly store: string | undefined
  readonly workerId: string | undefined
  readonly logFormat?: string | undefined
}

/** The host and port of `HOST:PORT` or `[HOST]:PORT`, or `undefined` for anything else. */
export const parseListen = (text: string): { readonly host: string; readonly port: number } | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port }
}

/** What a YAML text says by a schema, or every mistake in it with its line. */
export const readYaml = <A>(
  schema: Schema.ConstraintDecoder<A>,
  text: string,
  source: string
): Result.Result<A, ConfigError> => {
  const lines = new YAML.LineCounter()
  const document = YAML.parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    key: "",
    problem: error.message
  }))
  if (mistakes.length > 0) return Result.fail(new ConfigError({ source, mistakes }))
  return Result.mapError(
    decode(schema, document.toJS() ?? {}, [], locator(document, lines)),
    (found) => new ConfigError({ source, mistakes: found })
  )
}

/** The configuration told by a file's text and what overrides it, or every mistake in it. */
export const parse = (
  text: string,
  source: string,
  overrides: Overrides,
  defaults: { readonly store: string; readonly workerId: string }
): Result.Result<WorkerConfig, ConfigError> => {
  const lines = new YAML.LineCounter()
  const document = YAML.parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fail = (mistakes: ReadonlyArray<Mistake>) => Result.fail(new ConfigError({ source, mistakes }))
  if (document.errors.length > 0) {
    return fail(
      document.errors.map((error) => ({ line: lines.linePos(error.pos[0]).line, key: "", problem: error.message }))
    )
  }
  const locate = locator(document, lines)
  const raw: unknown = document.toJS() ?? {}
  const file = decode(WorkerFile, raw, [], locate)
  // A mistake beside the clusters is no reason to keep those within them for the next try.
  const named = Result.getOrElse(decode(ClustersAlone, raw, [], locate, "ignore"), () => ({ clusters: undefined }))
  const clusters = Object.entries(named.clusters ?? {}).map(([name, raw]) => readCluster(name, raw, locate))
  const mistakes = [
    ...(Result.isFailure(file) ? file.failure : []),
    ...clusters.flatMap((cluster) => (Result.isFailure(cluster) ? cluster.failure : [])),
    ...overrideMistakes(overrides),
    ...hostMistakes(Result.isSuccess(file) ? (file.success.hosts ?? {}) : {}, locate),
    ...(Result.isSuccess(file)
      ? placeMistakes([localHost, ...Object.keys(file.success.hosts ?? {})], named.clusters ?? {}, locate)
      : [])
  ]
  if (Result.isFailure(file) || mistakes.length > 0) return fail(mistakes)
  const { hosts = {}, limits, log, security = {}, worker } = file.success
  const listen = parseListen(overrides.listen ?? file.success.listen ?? defaultListen)!
  const insecure = mistakesOf(security, listen.host).map(({ path, problem }) => {
    const at = ["security", ...path]
    return { line: locate(at), key: at.join("."), problem }
  })
  if (insecure.length > 0) return fail(insecure)
  const store = storeOf(overrides.store ?? file.success.store ?? defaults.store)
  // On a shared store the newest start under an id takes it, so two workers of one host need names of their own.
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
    clusters: clusters.flatMap((cluster) => (Result.isSuccess(cluster) ? [cluster.success] : []))
  })
}

// --- internal ---

const defaultListen = "127.0.0.1:19080"

const storeOf = (store: string | PostgresStoreSettings): StoreConfig =>
  typeof store !== "string"
    ? { _tag: "Postgres", settings: store.postgres }
    : store.startsWith("sqlite:")
      ? { _tag: "Sqlite", path: store.slice("sqlite:".length) }
      : { _tag: "PostgresUrl", url: Redacted.make(store) }

type Locate = (path: ReadonlyArray<PropertyKey>) => number

const formatter = SchemaIssue.makeFormatterStandardSchemaV1()

/** The line of the deepest node that a path still finds, so that a missing key is told where it should stand. */
const locator =
  (document: YAML.Document, lines: YAML.LineCounter): Locate =>
  (path) => {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
      if (YAML.isMap(parent)) {
        const pair = parent.items.find(
          (item) => String(YAML.isScalar(item.key) ? item.key.value : item.key) === String(path[length - 1])
        )
        if (pair !== undefined && YAML.isNode(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
      }
      const node = document.getIn(path.slice(0, length), true)
      if (YAML.isNode(node) && node.range) return lines.linePos(node.range[0]).line
    }
    return 1
  }

const ClustersAlone = Schema.Struct({ clusters: WorkerFile.fields.clusters })

const decode = <A>(
  schema: Schema.ConstraintDecoder<A>,
  input: unknown,
  prefix: ReadonlyArray<PropertyKey>,
  locate: Locate,
  onExcessProperty: "error" | "ignore" = "error"
): Result.Result<A, ReadonlyArray<Mistake>> => {
  const decoded = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty, reportInput: true })(input)
  return Result.mapError(decoded, (error) =>
    formatter(error.issue).issues.map((issue) => {
      const path = [...prefix, ...(issue.path ?? []).map((part) => (typeof part === "object" ? part.key : part))]
      // What was given for the store may hold a password.
      const problem = path[0] === "store" ? issue.message.replace(/,? got [\s\S]*$/, "") : issue.message
      return { line: locate(path), key: path.map(String).join("."), problem }
    })
  )
}

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
    members.map(({ name }) => name),
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
    hosts: [...new Set(members.flatMap(({ host }) => host ?? []))],
    protected: common.success.protected ?? false,
    maxHold: common.success.maxHold ?? null,
    witnesses: (common.success.witnesses ?? []).map((witness) => ({ every: gentlest, timeout: 2000, ...witness }))
  })
}

/** What every system's members have in common, once their module has found nothing wrong with them. */
const membersOf = (settings: Readonly<Record<string, unknown>>) =>
  (settings["members"] ?? []) as ReadonlyArray<{ readonly name: string; readonly host?: string }>

const injectorMistakes = (
  injector: Injectors.InjectorModule,
  own: Readonly<Record<string, unknown>>,
  members: ReadonlyArray<string>,
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
      .filter(([, member]) => !members.includes(member))
      .map(([name, member]) =>
        mistake([name, "members", member], `Expected a member of this cluster: ${members.join(", ")}`)
      )
  ]
}

const hostMistakes = (hosts: Readonly<Record<string, unknown>>, locate: Locate): ReadonlyArray<Mistake> =>
  Object.keys(hosts)
    .filter((name) => name === localHost || !clusterName.test(name))
    .map((name) => ({
      line: locate(["hosts", name]),
      key: `hosts.${name}`,
      problem:
        name === localHost
          ? `Expected another name: ${localHost} is the worker's own machine`
          : "Expected a name of letters, digits, dots, dashes and underscores, at most 63"
    }))

/** The members whose host the file does not name, told with their lines, whatever else is wrong with their cluster. */
const placeMistakes = (
  hosts: ReadonlyArray<string>,
  clusters: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  locate: Locate
): ReadonlyArray<Mistake> =>
  Object.entries(clusters).flatMap(([name, { members }]) =>
    (Array.isArray(members) ? (members as ReadonlyArray<unknown>) : []).flatMap((member, index) => {
      const host = typeof member === "object" && member !== null && "host" in member ? member.host : undefined
      if (typeof host !== "string" || hosts.includes(host)) return []
      const path = ["clusters", name, "members", index, "host"]
      const problem = `Expected a host of this configuration: ${hosts.join(", ")}, got ${JSON.stringify(host)}`
      return [{ line: locate(path), key: path.join("."), problem }]
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
          // What was given may hold a password.
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
