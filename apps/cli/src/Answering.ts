/**
 * Who answers at the endpoint: a worker over `/v1`, or a Service Fabric gateway (a real cluster's, or any that speaks as
 * one). A command sends its first question to `/v1`. The answer tells whether a worker gave it, so no extra request asks
 * for that. `--surface` decides it beforehand.
 */
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Command from "effect/cli/Command"
import { choose, connect, explain, failureOf, place } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { follow } from "./Follow.ts"
import type { Gateway } from "./Gateway.ts"
import type { Asked, NamedPartition, Operator } from "./Operator.ts"

// --- models ---

/** A worker with its answer to the first question, or a gateway, which was asked nothing yet. */
export type Answering<A> =
  | { readonly surface: "inquorate"; readonly client: Client.Client; readonly answer: A }
  | { readonly surface: "fabric"; readonly gateway: Gateway }

// --- make ---

/**
 * Puts the first question of a command. If no worker answered it, the endpoint is taken for a gateway. The question did
 * nothing there: a gateway does not know our paths. Only the first question may decide this. Once a worker has answered, a
 * later answer of another kind comes from a proxy, and sending a fault to a gateway instead would be a second fault.
 */
export const first = <A, R>(
  doing: string,
  ask: (client: Client.Client) => Effect.Effect<A, ApiError | Client.ClientError | Failure, R>
): Effect.Effect<Answering<A>, Failure, Command.CommandContext<"inq"> | R> =>
  Effect.gen(function* () {
    const { endpoint, surface } = yield* place
    if (surface === "fabric") return { surface, gateway: yield* gatewayInstead(undefined) }
    const client = yield* connect
    const asked = yield* Effect.result(ask(client))
    if (Result.isSuccess(asked)) return { surface: "inquorate", client, answer: asked.success }
    const error = asked.failure
    if (error._tag === "Failure") return yield* error
    const failure = failureOf(error, doing, endpoint)
    if (surface !== "auto" || error._tag !== "ClientError" || error.reason !== "NotAWorker") return yield* failure
    return { surface: "fabric", gateway: yield* gatewayInstead(failure) }
  })

/** What acts on the faults of whoever answered. */
export const operatorOf = (answering: Answering<unknown>): Operator =>
  answering.surface === "fabric" ? answering.gateway : workerOperator(answering.client)

/** The partition of that name, and who answers for it. */
export const findPartition = (
  doing: string,
  name: string
): Asked<{ readonly about: NamedPartition; readonly answering: Answering<unknown> }> =>
  Effect.gen(function* () {
    const answering = yield* first(doing, (client) => client.clusters)
    if (answering.surface === "fabric") return { about: yield* answering.gateway.partition(name), answering }
    const { serviceName, topology } = yield* choose(answering.answer, name)
    return { about: { serviceName, partitionId: topology.partitionId }, answering }
  })

// --- internal ---

// Evaluated for a Service Fabric cluster only. `failure` is why there is no worker.
const gatewayInstead = (failure: Failure | undefined): Asked<Gateway> =>
  Effect.flatMap(
    Effect.promise(() => import("./Gateway.ts")),
    ({ connect }) => connect(failure)
  )

const workerOperator = (client: Client.Client): Operator => ({
  start: (doing, id, request) =>
    client.start(id, request).pipe(
      explain(doing),
      Effect.map((receipt) => ({ replayed: receipt.replayed, value: receipt }))
    ),
  cancel: (id, force) =>
    client.cancel(id, force).pipe(
      explain("cancel"),
      Effect.map((view) => ({ state: view.state, value: view }))
    ),
  follow: (id, options) => explain("watch")(follow(client, id, options))
})
