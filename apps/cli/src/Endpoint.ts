/**
 * The worker a command talks to, and the two forms its answer may take.
 */
import { nearest } from "@inquorate/core/Nearest"
import { type ClusterView, isUnknown } from "@inquorate/core/Operations"
import { serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import type { SecretSource } from "@inquorate/transport/Credentials"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import * as Command from "effect/cli/Command"
import * as Contexts from "./Contexts.ts"
import { Failure } from "./Failure.ts"
import { screen } from "./Screen.ts"

// --- models ---

const usual = "http://127.0.0.1:19080"

/** The flags that every command takes. */
const shared = {
  endpoint: Flag.String("endpoint").pipe(
    Flag.withDescription(`The worker's address (INQUORATE_ENDPOINT; ${usual})`),
    Flag.withMetavar("URL"),
    Flag.optional
  ),
  context: Flag.String("context").pipe(
    Flag.withDescription("The flags that ~/.config/inquorate/config.yaml has by this name (INQUORATE_CONTEXT)"),
    Flag.withMetavar("NAME"),
    Flag.optional
  ),
  surface: Flag.Literals("surface", ["auto", "inquorate", "fabric"]).pipe(
    Flag.withDescription("What answers there: a worker, a Service Fabric gateway, or as the first answer tells (auto)"),
    Flag.optional
  ),
  ca: Flag.String("ca").pipe(
    Flag.withDescription("A file of authorities that the worker's certificate may come from (INQUORATE_CA)"),
    Flag.optional
  ),
  cert: Flag.String("cert").pipe(
    Flag.withDescription("A file with your client certificate, PEM (INQUORATE_CERT)"),
    Flag.optional
  ),
  key: Flag.String("key").pipe(
    Flag.withDescription("A file with the certificate's private key, PEM (INQUORATE_KEY)"),
    Flag.optional
  ),
  token: Flag.String("token").pipe(
    Flag.withDescription("Where your bearer token is, file:PATH or env:NAME (env:INQUORATE_TOKEN where that is set)"),
    Flag.optional
  ),
  output: Flag.Literals("output", ["table", "json"]).pipe(
    Flag.withAlias("o"),
    Flag.withDescription("How to print the answer (table)"),
    Flag.withDefault("table")
  )
}

/** The words of these flags, each of which has a value. */
export const flagsOfAll: ReadonlySet<string> = new Set([...Object.keys(shared).map((name) => `--${name}`), "-o"])

/** `inq` itself, whose flags its commands read. */
export const root = Command.make("inq").pipe(
  Command.withSharedFlags(shared),
  Command.withDescription("Takes a partition's quorum away on purpose, holds it, gives it back, and proves all three")
)

/** A group that a command names, with the cluster it belongs to. */
export interface Chosen {
  readonly topology: Topology
  readonly serviceName: string
}

// --- make ---

/** Where the worker is and what answers there: by the flags, else the environment, else the context. */
export const place = Effect.gen(function* () {
  const flags = yield* root
  const context = yield* Contexts.find(
    Option.getOrElse(flags.context, () => process.env.INQUORATE_CONTEXT || undefined)
  )
  const said = Option.getOrElse(flags.endpoint, () => process.env.INQUORATE_ENDPOINT || undefined)
  const endpoint = withScheme(said ?? context.endpoint ?? usual)
  const surface = Option.getOrElse(flags.surface, () => context.surface ?? "auto")
  if (surface !== "auto" && surface !== "inquorate" && surface !== "fabric") {
    return yield* usage(`surface: expected auto, inquorate or fabric in the context, got ${JSON.stringify(surface)}.`)
  }
  return { flags, context, endpoint, surface } as const
})

/** Where the endpoint is, and what is to be shown there; everything that is wrong with the flags is said here. */
export const connection = Effect.gen(function* () {
  const { context, endpoint, flags } = yield* place
  if (!/^https?:\/\/[^/\s]+\/?$/.test(endpoint) || !URL.canParse(endpoint)) {
    return yield* usage(`--endpoint: expected http://HOST:PORT or https://HOST:PORT, got ${JSON.stringify(endpoint)}.`)
  }
  const named = (flag: Option.Option<string>, variable: string, inContext: string | undefined) =>
    Option.getOrElse(flag, () => process.env[variable] || inContext)
  const ca = named(flags.ca, "INQUORATE_CA", context.ca)
  const certificate = named(flags.cert, "INQUORATE_CERT", context.cert)
  const key = named(flags.key, "INQUORATE_KEY", context.key)
  if ((certificate === undefined) !== (key === undefined)) {
    const missing = certificate === undefined ? "--cert (INQUORATE_CERT)" : "--key (INQUORATE_KEY)"
    return yield* usage(`A client certificate and its key go together; give ${missing} too.`)
  }
  const token = tokenAt(Option.getOrUndefined(flags.token), context.token)
  // What was given may be the token itself, which must not be repeated.
  if (token === null)
    return yield* usage("--token: expected file:PATH or env:NAME, where the token is, and not a token.")
  const plain = endpoint.startsWith("http:")
  if (plain && Option.isSome(Option.orElse(flags.cert, () => flags.ca))) {
    return yield* usage("--cert, --key and --ca have no meaning without TLS; give --endpoint https://….")
  }
  if (plain && token !== undefined && !/^(127(\.\d+){3}|localhost|\[::1\])$/.test(new URL(endpoint).hostname)) {
    return yield* usage("A token sent without TLS can be read by everyone on the way; give --endpoint https://….")
  }
  const pair = certificate === undefined || key === undefined ? undefined : { certificate, key }
  return { address: endpoint.replace(/\/$/, ""), options: { ca, pair, token } }
})

/** The client of the worker at the endpoint. */
export const connect = Effect.gen(function* () {
  const { address, options } = yield* connection
  const worker = yield* Effect.promise(() => import("./Worker.ts"))
  return yield* worker.connect(address, options).pipe(Effect.mapError(({ detail }) => usage(detail)))
})

/** Prints a value as JSON, or its lines where a table is wanted. */
export const print = Effect.fnUntraced(function* (value: unknown, lines: () => ReadonlyArray<string>) {
  const { output } = yield* root
  yield* output === "json" ? screen.json(value, 2) : screen.lines(lines())
})

/** The failure that a client's error means to a person. */
export const explain =
  (doing: string) =>
  <A, R>(self: Effect.Effect<A, ApiError | Client.ClientError | Failure, R>) =>
    Effect.catch(self, (error) =>
      Effect.gen(function* () {
        if (error._tag === "Failure") return yield* error
        const { endpoint } = yield* place
        return yield* failureOf(error, doing, endpoint)
      })
    )

/** The group that `name` means: a partition id, a service name, `cluster/group`, or a cluster with one group. */
export const choose = Effect.fnUntraced(function* (clusters: ReadonlyArray<ClusterView>, name: string) {
  const groups = clusters.flatMap(({ groups }) => groups)
  const found = groups.filter(
    (topology) =>
      topology.partitionId === name.toLowerCase() ||
      serviceNameOf(topology) === name ||
      serviceNameOf(topology) === `fabric:/${name}` ||
      `${topology.cluster}/${topology.group}` === name ||
      topology.cluster === name
  )
  if (found.length === 1) {
    const topology = found[0]!
    return { topology, serviceName: serviceNameOf(topology) } satisfies Chosen
  }
  const first = name.replace(/^fabric:\//, "").split("/")[0]
  const named = clusters.find((cluster) => cluster.name === first && cluster.groups.length === 0)
  // A partition's id may be that of a cluster which nobody has seen.
  const unseen = named ?? (groups.length === 0 ? clusters.find(isUnknown) : undefined)
  const detail =
    found.length > 1
      ? `${name} has ${found.length} groups; name one: ${found.map(({ cluster, group }) => `${cluster}/${group}`).join(", ")}.`
      : unseen !== undefined
        ? `The groups of ${unseen.name} are not known: ${unseen.problem}`
        : `There is no partition ${name}${meantOf(name, groups)} ${
            groups.length === 0
              ? "No cluster is configured, or none has a group."
              : `There are: ${groups.map(({ cluster, group }) => `${cluster}/${group}`).join(", ")}.`
          }`
  return yield* new Failure({ exit: "refused", detail })
})

/** The failure that an error of `/v1` means. */
export const failureOf = (error: ApiError | Client.ClientError, doing: string, endpoint: string): Failure => {
  if (error._tag === "ApiError") {
    return new Failure({ exit: "refused", detail: `${doing}: ${error.detail} (${error.code})` })
  }
  const { detail, reason } = error
  if (reason === "BadRequest") return new Failure({ exit: "usage", detail: `${doing}: ${detail}` })
  // A connection that breaks at once is what a server that waits for TLS does with plain HTTP.
  const hint = endpoint.startsWith("http:") && detail === "socket hang up" ? " If it speaks TLS, say https://." : ""
  const sentence = {
    Unreachable: `no worker answers at ${endpoint} (${detail}).${hint} Start one, or name another with --endpoint.`,
    Untrusted: `${endpoint} is not trusted: ${detail}.`,
    TimedOut: `what answers at ${endpoint} does not come to an end (${detail}). Ask again, or name another with --endpoint.`,
    NotAWorker: `what answers at ${endpoint} is not a worker. Name another with --endpoint.`,
    BadAnswer: `what answers at ${endpoint} is not a worker${detail.endsWith("bytes") ? ` (${detail})` : ""}. Name another with --endpoint.`
  }[reason]
  return new Failure({ exit: "unreachable", detail: `${doing}: ${sentence}` })
}

// --- internal ---

const meantOf = (name: string, groups: ReadonlyArray<Topology>): string => {
  const known = groups.flatMap((topology) => [topology.cluster, `${topology.cluster}/${topology.group}`])
  const meant = nearest(name.replace(/^fabric:\//, ""), known)
  return meant === undefined ? "." : `; did you mean ${meant}?`
}

// The environment's token needs no flag; null for a flag that is no place.
const tokenAt = (flag: string | undefined, inContext: string | undefined): SecretSource | undefined | null => {
  if (flag === undefined && process.env.INQUORATE_TOKEN) return { env: "INQUORATE_TOKEN" }
  if (flag === undefined) return inContext === undefined ? undefined : tokenAt(inContext, undefined)
  const [, kind, place = ""] = /^(file|env):(.+)$/s.exec(flag) ?? []
  return kind === "file" ? { file: place } : kind === "env" ? { env: place } : null
}

// An address alone is meant for a worker without TLS; one of another kind is left for the check to refuse.
const withScheme = (said: string): string =>
  /^(?:\[[0-9a-f:]+\]|[\w.-]+):\d+\/?$/i.test(said) ? `http://${said}` : said

const usage = (detail: string) => new Failure({ exit: "usage", detail })
