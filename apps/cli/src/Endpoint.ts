/**
 * The worker a command talks to, and the two forms its answer may take.
 */
import type { ClusterView } from "@inquorate/core/Operations"
import { serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import type * as FabricClient from "@inquorate/transport/FabricClient"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Command from "effect/cli/Command"
import { Failure } from "./Failure.ts"
import { screen } from "./Screen.ts"

// --- models ---

/** The flags that every command takes. */
export const shared = {
  endpoint: Flag.String("endpoint").pipe(
    Flag.withDescription("The worker's address (INQUORATE_ENDPOINT)"),
    Flag.withDefault(process.env.INQUORATE_ENDPOINT ?? "http://127.0.0.1:19080")
  ),
  surface: Flag.Literals("surface", ["auto", "inquorate", "fabric"]).pipe(
    Flag.withDescription("What answers there: a worker, a Service Fabric gateway, or ask"),
    Flag.withDefault("auto")
  ),
  output: Flag.Literals("output", ["table", "json"]).pipe(
    Flag.withDescription("How to print the answer"),
    Flag.withDefault("table")
  )
}

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

/** The client of the worker at the endpoint. */
export const connect = Effect.gen(function* () {
  const endpoint = yield* address
  const worker = yield* Effect.promise(() => import("./Worker.ts"))
  return yield* worker.connect(endpoint)
})

/** The client of the Service Fabric surface at the endpoint, which a worker has too. */
export const connectFabric = Effect.gen(function* () {
  const endpoint = yield* address
  const worker = yield* Effect.promise(() => import("./Worker.ts"))
  return yield* worker.connectFabric(endpoint)
})

/** Prints a value as JSON, or its lines where a table is wanted. */
export const print = Effect.fnUntraced(function* (value: unknown, lines: () => ReadonlyArray<string>) {
  const { output } = yield* root
  yield* screen.lines(output === "json" ? [JSON.stringify(value, null, 2)] : lines())
})

/** The failure that a client's error means to a person. */
export const explain =
  (doing: string) =>
  <A, R>(self: Effect.Effect<A, ApiError | Client.ClientError, R>) =>
    Effect.catch(self, (error) =>
      Effect.gen(function* () {
        const { endpoint } = yield* root
        return yield* failureOf(error, doing, endpoint)
      })
    )

/** The same for an error of the Service Fabric surface. */
export const explainFabric =
  (doing: string) =>
  <A, E extends FabricClient.FabricClientError | Failure, R>(self: Effect.Effect<A, E, R>) =>
    Effect.catch(self, (error) =>
      Effect.gen(function* () {
        const { endpoint } = yield* root
        return yield* fabricFailureOf(error, doing, endpoint)
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
  const unseen = clusters.find((cluster) => cluster.name === name.split("/")[0] && cluster.groups.length === 0)
  const detail =
    found.length > 1
      ? `${name} has ${found.length} groups; name one: ${found.map(({ cluster, group }) => `${cluster}/${group}`).join(", ")}.`
      : unseen !== undefined
        ? `The groups of ${unseen.name} are not known: ${unseen.problem}`
        : `There is no partition ${name}. ${
            groups.length === 0
              ? "No cluster is configured, or none answered."
              : `There are: ${groups.map(({ cluster, group }) => `${cluster}/${group}`).join(", ")}.`
          }`
  return yield* new Failure({ exit: "refused", detail })
})

/** The failure that an error of `/v1` means. */
export const failureOf = (error: ApiError | Client.ClientError, doing: string, endpoint: string): Failure =>
  error._tag === "ApiError"
    ? new Failure({ exit: "refused", detail: `${doing}: ${error.detail} (${error.code})` })
    : new Failure({
        exit: "unreachable",
        detail:
          error.reason === "Unreachable"
            ? `${doing}: no worker answers at ${endpoint} (${error.detail}). Start one, or name another with --endpoint.`
            : `${doing}: what answers at ${endpoint} is not a worker (${error.detail}). Name another with --endpoint.`
      })

// --- internal ---

const address = Effect.gen(function* () {
  const { endpoint } = yield* root
  if (/^https?:\/\/[^/\s]+\/?$/.test(endpoint)) return endpoint.replace(/\/$/, "")
  return yield* new Failure({
    exit: "usage",
    detail: `--endpoint: expected http://HOST:PORT, got ${JSON.stringify(endpoint)}.`
  })
})

const fabricFailureOf = (error: FabricClient.FabricClientError | Failure, doing: string, endpoint: string): Failure => {
  if (error._tag === "Failure") return error
  if (error._tag !== "FabricTransportError") {
    const said = error.message === "" || error.message === "Null" ? `HTTP status ${error.status}` : error.message
    return new Failure({ exit: "refused", detail: `${doing}: ${said} (${error.code})` })
  }
  return new Failure({
    exit: "unreachable",
    detail:
      error.reason === "BadAnswer"
        ? `${doing}: what answers at ${endpoint} does not speak Service Fabric (${error.detail}). Name another with --endpoint.`
        : `${doing}: nobody answers at ${endpoint} (${error.detail}). Name another with --endpoint.`
  })
}
