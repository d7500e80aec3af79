/**
 * The handlers of `/v1`, `/healthz`, `/readyz` and `/metrics` over the port `Operations`. The OpenAPI document is at
 * `/v1/openapi.json`. `/v1/docs` is a page to read and try it, which loads nothing from elsewhere. Every error that
 * leaves here is JSON.
 */
import { Chaos } from "@inquorate/core/Chaos"
import { describe, phaseOf } from "@inquorate/core/Describe"
import { table } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal, type Operation } from "@inquorate/core/Operation"
import {
  type ClusterView,
  OperationChange,
  type OperationDetail,
  Operations,
  RequestRefused
} from "@inquorate/core/Operations"
import { describeRefusal, type Refusal } from "@inquorate/core/Plan"
import { faultKinds, faultOf } from "@inquorate/core/Fault"
import { FaultRequest, placeOf } from "@inquorate/core/Request"
import { standingFaults } from "@inquorate/core/Standing"
import { formatInstant, formatMillis, type Instant } from "@inquorate/core/Time"
import * as Wire from "@inquorate/core/Wire"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpApiSchemaError } from "effect/http-api/HttpApiError"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiScalar from "effect/http-api/HttpApiScalar"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Api, ApiError, errorBody, errorStatuses, listLimit, type OperationView, SchemaErrors } from "./Api.ts"
import { unreadableHeader } from "./Answers.ts"
import * as BrowseCalls from "./BrowseCalls.ts"
import * as ChaosCalls from "./ChaosCalls.ts"
import { Documented, viewer } from "./Documentation.ts"
import { scopeOf } from "./RecoverRequest.ts"
import * as History from "../fabric/FabricHistory.ts"
import * as MetricsText from "../server/MetricsText.ts"

// --- models ---

/**
 * The whole surface as one effect: it takes the request from its context and gives a response. It fails only by
 * interruption.
 */
export type ApiHandler = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  Scope.Scope | HttpServerRequest.HttpServerRequest
>

// --- make ---

/** Makes the surface over `Operations`. `heartbeat` is how often a silent event stream says that it is still alive. */
export const make = (options: {
  readonly heartbeat: Duration.Input
}): Effect.Effect<ApiHandler, never, Operations | Scope.Scope> => {
  const routes = Layer.mergeAll(
    HttpApiBuilder.layer(Documented, { openapiPath: "/v1/openapi.json" }).pipe(
      Layer.provide(handlers(options.heartbeat)),
      Layer.provide(schemaErrors),
      Layer.provide(HttpServer.layerServices)
    ),
    docs,
    watching
  )
  return HttpRouter.toHttpEffect(routes).pipe(
    Effect.provideService(HttpRouter.RouterConfig, routerConfig),
    Effect.map((handler) => handler.pipe(Effect.map(asJsonError), Effect.catchCause(answerCause)))
  )
}

/** The error for a refused request: 409 if the state of things says no, 422 if the request itself is wrong. */
export const toApiError = (refused: RequestRefused): ApiError => {
  const { code, refusal } = refused
  const sentence = refusal === null ? table[code].message : describeRefusal(refusal)
  const status = refusal === null ? (conflicts.get(code) ?? table[code].status) : refusalStatus[refusal._tag]
  return new ApiError({
    status: errorStatuses.find((known) => known === status) ?? 500,
    code,
    detail: refused.detail === "" ? sentence : refused.detail,
    refusal
  })
}

// --- internal ---

const routerConfig = { caseSensitive: true, ignoreTrailingSlash: false, ignoreDuplicateSlashes: false }

const refusalStatus: Readonly<Record<Refusal["_tag"], 409 | 422>> = {
  UnknownService: 422,
  UnknownPartition: 422,
  Degraded: 409,
  AlreadyLost: 409,
  NoPrimary: 409,
  NotSteady: 409,
  Unfit: 409,
  CannotLoseQuorum: 422,
  NotTheServer: 422,
  NotSupported: 422,
  Protected: 422,
  TooLong: 422,
  Impatient: 422,
  Busy: 409,
  StoreInside: 422,
  ClockSkew: 409,
  TooMany: 409,
  HostBusy: 409,
  Stateless: 422,
  Volatile: 422,
  NoSecondaries: 422,
  UnknownNode: 422,
  NodeUp: 409,
  NodeDown: 409,
  NodeStopped: 409,
  InstanceMismatch: 409,
  CannotRestart: 422,
  DataProtected: 422
}

// The gateway answers 400 to a call that comes in the wrong order. Here it is a conflict.
const conflicts: ReadonlyMap<string, number> = new Map([
  ["FABRIC_E_INVALID_TEST_COMMAND_STATE", 409],
  ["FABRIC_E_CHAOS_ALREADY_RUNNING", 409]
])

const view = (operation: Operation, now: Instant): OperationView => ({
  operation,
  state: Wire.stateOf(operation.stage),
  summary: isTerminal(operation) ? describe(operation, null) : phaseOf(operation, now),
  received: formatInstant(operation.receivedAt),
  ended: operation.endedAt === null ? null : formatInstant(operation.endedAt)
})

const viewNow = (operation: Operation): Effect.Effect<OperationView> =>
  Effect.map(Clock.currentTimeMillis, (now) => view(operation, now))

const withSummary = (detail: OperationDetail): Effect.Effect<OperationDetail> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const { evidence, operation } = detail
    return { ...detail, summary: isTerminal(operation) ? describe(operation, evidence) : phaseOf(operation, now) }
  })

const sameRequest = Schema.toEquivalence(FaultRequest)

const handlers = (heartbeat: Duration.Input) =>
  Layer.mergeAll(
    operationHandlers(heartbeat),
    clusterHandlers,
    chaosHandlers,
    HttpApiBuilder.group(Api, "worker", (handlers) =>
      handlers.handleAll({ alive: () => Effect.succeed({ status: "ok" as const }) })
    )
  )

const operationHandlers = (heartbeat: Duration.Input) =>
  HttpApiBuilder.group(
    Api,
    "operations",
    Effect.fnUntraced(function* (handlers) {
      const operations = yield* Operations
      return handlers.handleAll({
        plan: ({ payload }) => Effect.mapError(operations.plan(payload), toApiError),
        start: ({ params, payload }) => Effect.mapError(start(operations, params.id, payload), toApiError),
        list: ({ query }) =>
          operations.list(query.limit ?? listLimit.usual).pipe(
            Effect.tap(() => tellUnreadable(operations)),
            Effect.flatMap((list) =>
              Effect.map(Clock.currentTimeMillis, (now) => list.map((operation) => view(operation, now)))
            ),
            Effect.mapError(toApiError)
          ),
        unreadable: () => Effect.mapError(operations.unreadable, toApiError),
        detail: ({ params }) => Effect.mapError(Effect.flatMap(operations.detail(params.id), withSummary), toApiError),
        cancel: ({ params, query }) =>
          Effect.mapError(Effect.flatMap(operations.cancel(params.id, query.force === "true"), viewNow), toApiError),
        // We look the operation up first, so that an unknown id is a 404 and not a stream that breaks.
        events: ({ params }) =>
          operations.get(params.id).pipe(
            Effect.map(() => eventStream(operations, params.id, heartbeat)),
            Effect.mapError(toApiError)
          )
      })
    })
  )

// Whoever lists them wants to know this too. Without an answer of the store they ask for themselves.
const tellUnreadable = (operations: Port) =>
  Effect.matchEffect(operations.unreadable, {
    onFailure: () => Effect.void,
    onSuccess: ({ length }) =>
      HttpEffect.appendPreResponseHandler((_request, response) =>
        Effect.succeed(HttpServerResponse.setHeader(response, unreadableHeader, String(length)))
      )
  })

const clusterHandlers = HttpApiBuilder.group(
  Api,
  "clusters",
  Effect.fnUntraced(function* (handlers) {
    const operations = yield* Operations
    const browse = BrowseCalls.make(operations, (yield* History.Shared) ?? History.make())
    return handlers.handleAll({
      clusters: () => clustersWithFaults(operations),
      nodes: () => Effect.mapError(browse.nodes, toApiError),
      node: ({ params }) => Effect.mapError(browse.node(params.name), toApiError),
      health: ({ query }) => Effect.mapError(browse.health(query), toApiError),
      recover: ({ payload }) => Effect.mapError(operations.recover(scopeOf(payload)), toApiError)
    })
  })
)

const chaosHandlers = HttpApiBuilder.group(
  Api,
  "chaos",
  Effect.fnUntraced(function* (handlers) {
    const chaos = ChaosCalls.make(yield* Effect.serviceOption(Chaos))
    return handlers.handleAll({
      chaos: () => Effect.mapError(chaos.get, toApiError),
      startChaos: ({ payload }) => Effect.mapError(chaos.start(payload), toApiError),
      stopChaos: () => Effect.mapError(chaos.stop, toApiError),
      chaosEvents: ({ query }) => Effect.mapError(chaos.events(query), toApiError),
      chaosSchedule: () => Effect.mapError(chaos.schedule, toApiError),
      setChaosSchedule: ({ payload }) => Effect.mapError(chaos.setSchedule(payload), toApiError)
    })
  })
)

type Port = Operations["Service"]

/** How many of the newest operations are searched for the one that stopped a node. */
const recentOperations = 500

// The answer about clusters includes our own faults, so that nobody takes a loss that we made for the system's own. If
// the store does not answer just then, the clusters are shown without them.
const clustersWithFaults = Effect.fnUntraced(function* (operations: Port) {
  const none = Effect.orElseSucceed((): ReadonlyArray<Operation> => [])
  const [views, holders, recent] = yield* Effect.all(
    [operations.clusters, none(operations.holders), none(operations.list(recentOperations))],
    { concurrency: "unbounded" }
  )
  const faults = standingFaults(holders, recent, yield* Clock.currentTimeMillis)
  return views.map((view): ClusterView => {
    const groups = new Set(view.groups.map(({ partitionId }) => partitionId))
    const nodes = new Set(view.groups.flatMap(({ members }) => members.map(({ node }) => node)))
    return {
      ...view,
      faults: faults.filter(
        ({ nodeName, partitionId }) =>
          (partitionId !== null && groups.has(partitionId)) || (nodeName !== null && nodes.has(nodeName))
      )
    }
  })
})

const replay = (existing: Operation, request: FaultRequest) =>
  sameRequest(existing.request, request)
    ? Effect.map(viewNow(existing), (found) => ({ ...found, replayed: true }))
    : Effect.fail(
        new RequestRefused({
          code: duplicate,
          detail: `OperationId '${existing.id}' already exists with another request (${wordsOf(existing.request)}). Give another id, or none`,
          refusal: null
        })
      )

const wordsOf = (request: FaultRequest): string => {
  const lasting = faultOf(request).duration
  const mode = "mode" in request ? `, ${request.mode}` : ""
  return `${request.kind} on ${placeOf(request)}${mode}${lasting > 0 ? `, for ${formatMillis(lasting)}` : ""}`
}

const duplicate = "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS"

// We look the operation up first: the guards would refuse a repeated start, because the operation itself holds the
// partition.
const start = Effect.fnUntraced(function* (operations: Port, id: Guid, request: FaultRequest) {
  const find = Effect.catchIf(
    operations.get(id),
    (refused) => refused.code === "FABRIC_E_KEY_NOT_FOUND",
    () => Effect.undefined
  )
  const existing = yield* find
  if (existing !== undefined) return yield* replay(existing, request)
  return yield* operations.start(id, request, { guard: true, maxHold: "configured" }).pipe(
    Effect.flatMap((operation) => Effect.map(viewNow(operation), (found) => ({ ...found, replayed: false }))),
    Effect.catchIf(
      (refused) => refused.code === duplicate,
      (refused) =>
        Effect.flatMap(find, (winner) => (winner === undefined ? Effect.fail(refused) : replay(winner, request)))
    )
  )
})

// The last change says how the operation ended. That takes all of the evidence.
const ended = (operations: Port, change: OperationChange): Effect.Effect<OperationChange> =>
  operations.detail(change.operation.id).pipe(
    Effect.map(({ evidence, operation }) => ({ ...change, summary: describe(operation, evidence) })),
    Effect.orElseSucceed(() => ({ ...change, summary: describe(change.operation, null) }))
  )

const encodeChange = Schema.encodeSync(Schema.fromJsonString(OperationChange))

const eventStream = (operations: Port, id: Guid, heartbeat: Duration.Input): HttpServerResponse.HttpServerResponse => {
  const changes = operations.watch(id).pipe(
    Stream.mapEffect((change) => (isTerminal(change.operation) ? ended(operations, change) : Effect.succeed(change))),
    Stream.map((change) => `event: change\ndata: ${encodeChange(change)}\n\n`),
    Stream.catch((refused) =>
      Stream.succeed(`event: error\ndata: ${JSON.stringify(errorBody(toApiError(refused)))}\n\n`)
    )
  )
  const beats = Stream.map(Stream.tick(heartbeat), () => ": alive\n\n")
  return HttpServerResponse.stream(Stream.encodeText(Stream.merge(changes, beats, { haltStrategy: "left" })), {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
  })
}

const schemaErrors = HttpApiMiddleware.layerSchemaErrorTransform(SchemaErrors, (error) => {
  // If our own answer does not fit its schema, that is a defect here, and not the caller's mistake.
  if (error.kind === "Body" || error.kind === "ResponseHeaders") return Effect.die(error.cause)
  return Effect.fail(new ApiError({ status: 400, code: "E_INVALIDARG", detail: fieldsOf(error), refusal: null }))
})

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const slots: Readonly<Record<string, string>> = { Params: "path", Query: "query", Payload: "body", Headers: "headers" }

const fieldsOf = (error: HttpApiSchemaError): string => {
  const fields = formatIssues(error.cause.issue).issues.map(({ message, path }) => {
    const keys = (path ?? []).map((segment) => String(typeof segment === "object" ? segment.key : segment))
    return { field: [slots[error.kind] ?? error.kind, ...keys].join("."), message }
  })
  // The union also reports that the fault is no quorum loss. Leave that out if there is a more exact problem.
  const told = fields.filter(({ field }) => field !== "body.kind")
  return told.length > 0 || fields.length === 0
    ? [...new Set(told.map(({ field, message }) => `${field}: ${message}`))].join("; ")
    : `body.kind: ${kinds}`
}

const quoted = faultKinds.map((kind) => JSON.stringify(kind))
const kinds = `Expected ${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}, the last with a "transition" of "Stop", "Start" or "Restart"`

// The page's script is 3 MB. It is loaded when somebody first asks for the page, and on most workers nobody does.
const docs = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const scope = yield* Effect.scope
    const page = yield* HttpRouter.toHttpEffect(
      HttpApiScalar.layer(Documented, { path: "/v1/docs", scalar: viewer })
    ).pipe(
      Effect.provideService(HttpRouter.RouterConfig, routerConfig),
      Effect.provideService(Scope.Scope, scope),
      Effect.cached
    )
    yield* router.add("GET", "/v1/docs", Effect.map(Effect.flatten(page), HttpServerResponse.setHeaders(docsHeaders)))
  })
)

/** The one metric that must always be zero: our fences that stand past their deadline. */
const firstMetric = "inquorate_fault_past_deadline"

// Balancers and monitoring ask for these. They want plain text and a status rather than our errors.
const watching = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const operations = yield* Operations
    const ready = Effect.map(operations.unready, (problems) =>
      problems.length === 0
        ? HttpServerResponse.jsonUnsafe({ status: "ready" })
        : HttpServerResponse.jsonUnsafe({ status: "not ready", problems }, { status: 503 })
    )
    const metrics = Effect.map(MetricsText.write(firstMetric), (text) =>
      HttpServerResponse.text(text, { contentType: MetricsText.contentType })
    )
    yield* router.add("GET", "/readyz", Effect.map(ready, HttpServerResponse.setHeaders(watchingHeaders)))
    yield* router.add("GET", "/metrics", Effect.map(metrics, HttpServerResponse.setHeaders(watchingHeaders)))
  })
)

const watchingHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const docsHeaders = {
  // The viewer's script and styles stand in the page itself. They compile what they show.
  "content-security-policy":
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
  "x-content-type-options": "nosniff"
}

const errorResponse = (error: ApiError): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(errorBody(error), {
    status: error.status,
    headers: { "x-content-type-options": "nosniff" }
  })

const plain = (status: number, code: ApiError["code"], detail: string): HttpServerResponse.HttpServerResponse =>
  errorResponse(new ApiError({ status, code, detail, refusal: null }))

// The router answers a few things by itself in plain text (415, for one). A client gets our JSON for all of them.
const asJsonError = (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse => {
  if (response.status < 400 || response.headers["content-type"]?.startsWith("application/json") === true) {
    return HttpServerResponse.setHeader(response, "x-content-type-options", "nosniff")
  }
  const sentence =
    response.status === 415 ? "Send the body as application/json." : `The request failed with ${response.status}.`
  return plain(response.status, response.status < 500 ? "E_INVALIDARG" : "E_FAIL", sentence)
}

const answerCause = (
  cause: Cause.Cause<HttpServerError.HttpServerError>
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  for (const reason of cause.reasons) {
    const error = reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : undefined
    if (!HttpServerError.isHttpServerError(error)) continue
    if (error.reason._tag === "RouteNotFound") {
      return Effect.succeed(plain(404, "E_INVALIDARG", "No such path. /v1/docs lists the ones there are."))
    }
    if (error.reason._tag === "RequestParseError") {
      return Effect.succeed(
        error.reason.reason === "BodyTooLarge"
          ? plain(413, "FABRIC_E_MESSAGE_TOO_LARGE", table.FABRIC_E_MESSAGE_TOO_LARGE.message)
          : plain(400, "E_INVALIDARG", "The body could not be read to its end.")
      )
    }
  }
  return Effect.as(
    Effect.logError("A request to /v1 died", cause),
    plain(500, "E_FAIL", "The worker failed on this request; its log says why.")
  )
}
