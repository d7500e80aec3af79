/**
 * The calls of `/v1` and `/healthz`, each declared when it is first asked for, and the errors that they answer. `Api` puts
 * them together. A client that asks one of them declares that one: making the codecs of all takes a tenth of a command's
 * start.
 */
import { ChaosScheduleDescription } from "@inquorate/core/Chaos"
import { FabricErrorCode } from "@inquorate/core/FabricError"
import { Guid } from "@inquorate/core/Guid"
import {
  ClusterView,
  OperationChange,
  OperationDetail,
  PartitionRecovery,
  PlanPreview,
  UnreadableOperation
} from "@inquorate/core/Operations"
import { Refusal } from "@inquorate/core/Plan"
import { FaultRequest } from "@inquorate/core/Request"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { ApiErrorBody, OperationView, StartReceipt } from "./Answers.ts"
import { ChaosEventPage, ChaosEventsAsked, ChaosRequest, ChaosView } from "./ChaosView.ts"
import { HealthSubject, HealthView } from "./HealthView.ts"
import { NodeView } from "./NodeView.ts"
import { RecoverRequest } from "./RecoverRequest.ts"

// --- errors ---

/**
 * A request that the worker did not take: the HTTP status, the wire's code, the sentence for a person and the typed
 * refusal.
 */
export class ApiError extends Schema.TaggedError<ApiError>()("ApiError", {
  status: Schema.Int,
  code: FabricErrorCode,
  detail: Schema.String,
  refusal: Schema.NullOr(Refusal)
}) {
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
}

/** Makes the body of an error. */
export const errorBody = (error: ApiError): ApiErrorBody => ({
  Error: { Code: error.code, Message: error.detail },
  ...(error.refusal === null ? {} : { Refusal: error.refusal })
})

/**
 * Turns a request that does not fit its schema into an `ApiError` that names the field. The 403 comes from the server
 * in front of every endpoint: it does not know the caller, or the caller's role is too low.
 */
export class SchemaErrors extends HttpApiMiddleware.Service<SchemaErrors>()("@inquorate/transport/Api/SchemaErrors", {
  error: [errorAt(400), errorAt(403)]
}) {}

// --- make ---

/** How many operations a list shows if the caller does not say, and at most. */
export const listLimit = { usual: 100, most: 10_000 } as const

/** The statuses that an `ApiError` can have. A code with any other status on the Service Fabric surface is 500 here. */
export const errorStatuses = [400, 403, 404, 409, 413, 422, 500, 502, 503, 504] as const

const OperationParams = { id: Guid }

// The middleware answers 400 as well, so every endpoint has all of them.
type Refusals = ReadonlyArray<ReturnType<typeof errorAt>>
let made: Refusals | undefined
const refusals = (): Refusals => (made ??= errorStatuses.map((status) => errorAt(status)))

/** The configured clusters with their groups. */
export const clusters = () =>
  HttpApiEndpoint.get("clusters", "/v1/clusters", {
    success: Schema.Array(ClusterView)
  }).annotate(OpenApi.Summary, "The configured clusters with their groups as last seen")

/** The plan of a fault. */
export const plan = (error = refusals()) =>
  HttpApiEndpoint.post("plan", "/v1/plan", {
    payload: FaultRequest,
    success: PlanPreview,
    error
  }).annotate(OpenApi.Summary, "Plan a fault without touching anything")

/** The start of a fault. */
export const start = (error = refusals()) =>
  HttpApiEndpoint.put("start", "/v1/operations/:id", {
    params: OperationParams,
    payload: FaultRequest,
    success: StartReceipt,
    error
  }).annotate(OpenApi.Summary, "Start a fault of any kind; repeating the same start is harmless")

/** The newest operations. */
export const list = (error = refusals()) =>
  HttpApiEndpoint.get("list", "/v1/operations", {
    query: {
      limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: listLimit.most }))).pipe(
        Schema.annotateKey({ description: `How many at most, 1 to ${listLimit.most}; ${listLimit.usual} unless given` })
      )
    },
    success: Schema.Array(OperationView),
    error
  }).annotate(OpenApi.Summary, "The newest operations in the order they were received")

/** The stored operations that cannot be read. */
export const unreadable = (error = refusals()) =>
  HttpApiEndpoint.get("unreadable", "/v1/unreadable", {
    success: Schema.Array(UnreadableOperation),
    error
  }).annotate(OpenApi.Summary, "The stored operations that cannot be read, which the list leaves out")

/** An operation with its evidence. */
export const detail = (error = refusals()) =>
  HttpApiEndpoint.get("detail", "/v1/operations/:id", {
    params: OperationParams,
    success: OperationDetail,
    error
  }).annotate(OpenApi.Summary, "An operation with its plan, phases, fences, samples and verdicts")

/** Every change of an operation, as server-sent events. */
export const events = (error = refusals()) =>
  HttpApiEndpoint.get("events", "/v1/operations/:id/events", {
    params: OperationParams,
    success: HttpApiSchema.StreamSse({ data: OperationChange }),
    error
  }).annotate(OpenApi.Summary, "Every change of an operation until it has ended, as server-sent events named `change`")

/** The end of an operation before its time. */
export const cancel = (error = refusals()) =>
  HttpApiEndpoint.post("cancel", "/v1/operations/:id/cancel", {
    params: OperationParams,
    query: {
      force: Schema.optionalKey(Schema.Literals(["true", "false"])).pipe(
        Schema.annotateKey({
          description: "After a graceful cancel: stop waiting for the lift; fences still end by themselves"
        })
      )
    },
    success: OperationView,
    error
  }).annotate(OpenApi.Summary, "Ask an operation to stop; force only after a graceful cancel")

/** Every node. */
export const nodes = (error = refusals()) =>
  HttpApiEndpoint.get("nodes", "/v1/nodes", {
    success: Schema.Array(NodeView),
    error
  }).annotate(OpenApi.Summary, "Every node with its status, its health and its instance id")

/** One node. */
export const node = (error = refusals()) =>
  HttpApiEndpoint.get("node", "/v1/nodes/:name", {
    params: { name: Schema.String.pipe(Schema.annotateKey({ description: "The name of a node" })) },
    success: NodeView,
    error
  }).annotate(OpenApi.Summary, "One node")

/** The health of everything, or of one thing. */
export const health = (error = refusals()) =>
  HttpApiEndpoint.get("health", "/v1/health", {
    query: HealthSubject.fields,
    success: HealthView,
    error
  }).annotate(OpenApi.Summary, "The health of everything, or of the one thing that is named")

/** The end of waiting for replicas that are lost. */
export const recover = (error = refusals()) =>
  HttpApiEndpoint.post("recover", "/v1/recover", {
    payload: RecoverRequest,
    success: Schema.Array(PartitionRecovery),
    error
  }).annotate(OpenApi.Summary, "Give up what partitions in quorum loss wait for; it lifts no fault of ours")

/** How chaos stands. */
export const chaos = (error = refusals()) =>
  HttpApiEndpoint.get("chaos", "/v1/chaos", {
    success: ChaosView,
    error
  }).annotate(OpenApi.Summary, "How chaos stands, with its parameters")

/** The start of chaos. */
export const startChaos = (error = refusals()) =>
  HttpApiEndpoint.post("startChaos", "/v1/chaos/start", {
    payload: ChaosRequest,
    success: ChaosView,
    error
  }).annotate(OpenApi.Summary, "Draw faults at random until the time is over or somebody stops it")

/** The end of chaos. */
export const stopChaos = (error = refusals()) =>
  HttpApiEndpoint.post("stopChaos", "/v1/chaos/stop", {
    success: ChaosView,
    error
  }).annotate(OpenApi.Summary, "Stop chaos, cancel what it began, and put its schedule out of use")

/** What chaos has done. */
export const chaosEvents = (error = refusals()) =>
  HttpApiEndpoint.get("chaosEvents", "/v1/chaos/events", {
    query: ChaosEventsAsked.fields,
    success: ChaosEventPage,
    error
  }).annotate(OpenApi.Summary, "What chaos has done, the oldest first, in pages")

/** When chaos runs by itself. */
export const chaosSchedule = (error = refusals()) =>
  HttpApiEndpoint.get("chaosSchedule", "/v1/chaos/schedule", {
    success: ChaosScheduleDescription,
    error
  }).annotate(OpenApi.Summary, "When chaos runs by itself")

/** The change of when chaos runs by itself. */
export const setChaosSchedule = (error = refusals()) =>
  HttpApiEndpoint.put("setChaosSchedule", "/v1/chaos/schedule", {
    payload: ChaosScheduleDescription,
    success: ChaosScheduleDescription,
    error
  }).annotate(OpenApi.Summary, "Replace when chaos runs by itself, where the version is still the one that was read")

/** Whether the worker answers. */
export const alive = () =>
  HttpApiEndpoint.get("alive", "/healthz", {
    success: Schema.Struct({ status: Schema.Literal("ok") })
  }).annotate(OpenApi.Summary, "Answers while the worker's HTTP server runs")

// --- internal ---

// There is one schema for each status. An encoder picks the schema by the error's status, a client by the status of the
// reply.
function errorAt(status: number) {
  return ApiErrorBody.pipe(
    Schema.decodeTo(
      Schema.toType(ApiError).check(Schema.makeFilter((error: ApiError) => error.status === status)),
      SchemaTransformation.transform({
        decode: (body) =>
          new ApiError({
            status,
            code: body.Error.Code,
            detail: body.Error.Message,
            refusal: body.Refusal ?? null
          }),
        encode: errorBody
      })
    ),
    HttpApiSchema.status(status)
  )
}
