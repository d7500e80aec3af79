/**
 * The typed client of `/v1`, made from the same declaration as the server. `watch` follows an operation over
 * server-sent events. If the stream breaks, or a proxy does not let it through, the client asks again and again
 * instead.
 */
import { ChaosScheduleDescription } from "@inquorate/core/Chaos"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal } from "@inquorate/core/Operation"
import {
  type ClusterView,
  OperationChange,
  type OperationDetail,
  type PartitionRecovery,
  type PlanPreview,
  type UnreadableOperation
} from "@inquorate/core/Operations"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import { FaultRequest } from "@inquorate/core/Request"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { withToken } from "../client/BearerToken.ts"
import * as Bounded from "../client/Bounded.ts"
import { ApiErrorBody, apiHeader, type OperationView, type StartReceipt, unreadableHeader } from "./Answers.ts"
import type { Api, ApiError } from "./Api.ts"
import { type ChaosEventPage, ChaosEventsAsked, ChaosRequest, type ChaosView } from "./ChaosView.ts"
import * as Endpoints from "./Endpoints.ts"
import { HealthSubject, type HealthView } from "./HealthView.ts"
import type { NodeView } from "./NodeView.ts"
import { RecoverRequest } from "./RecoverRequest.ts"
import * as TransportCause from "../client/TransportCause.ts"

// --- errors ---

/**
 * The worker gave no answer that the client understands. `Unreachable`: there is no connection, or it broke. The worker
 * may have taken the request all the same, and repeating a start does no harm. `Untrusted`: TLS refused the worker, or
 * the worker refused our certificate, and nothing was taken. `TimedOut`: the answer was not complete in time.
 * `BadAnswer`: the answer has another shape, or no end. `NotAWorker`: an error, or an answer of another shape, that
 * carries no `Inquorate-Api` header. A Service Fabric gateway answers so. `BadRequest`: an argument of the caller's own
 * does not have the shape of its type, and nothing was sent.
 */
export class ClientError extends Schema.TaggedError<ClientError>()("ClientError", {
  reason: Schema.Literals(["Unreachable", "Untrusted", "TimedOut", "BadAnswer", "NotAWorker", "BadRequest"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.reason}: ${this.detail}`
  }
}

type Call<A> = Effect.Effect<A, ApiError | ClientError>

/** What a caller of `watch` can hear besides changes. */
export interface WatchOptions {
  readonly onAway?: (away: boolean) => Effect.Effect<void>
}

/** A list of operations. */
export interface Listing {
  /** The newest operations, in the order in which they were received. */
  readonly operations: ReadonlyArray<OperationView>
  /** How many stored operations cannot be read, which the list leaves out. A worker before 0.2 does not say. */
  readonly unreadableCount: number | undefined
}

/** The calls of `/v1`. */
export interface Client {
  readonly clusters: Call<ReadonlyArray<ClusterView>>
  readonly plan: (request: FaultRequest) => Call<PlanPreview>
  /** Starts an operation. If the same start began one before, gives back that one. */
  readonly start: (id: Guid, request: FaultRequest) => Call<StartReceipt>
  /** The newest operations, in the order in which they were received. */
  readonly list: (limit?: number) => Call<ReadonlyArray<OperationView>>
  /** The same with what the worker says of the list besides, so that nobody asks for `unreadable` where there is none. */
  readonly listing: (limit?: number) => Call<Listing>
  /** The stored operations that cannot be read, which `list` leaves out. */
  readonly unreadable: Call<ReadonlyArray<UnreadableOperation>>
  readonly detail: (id: Guid) => Call<OperationDetail>
  readonly cancel: (id: Guid, force: boolean) => Call<OperationView>
  readonly nodes: Call<ReadonlyArray<NodeView>>
  readonly node: (name: string) => Call<NodeView>
  /** The health of everything that the worker knows, or of the one thing that the subject names. */
  readonly health: (subject?: HealthSubject) => Call<HealthView>
  /**
   * Makes partitions in quorum loss stop waiting for their lost replicas. Says of each whether there was anything to
   * do.
   */
  readonly recover: (request: RecoverRequest) => Call<ReadonlyArray<PartitionRecovery>>
  readonly chaos: {
    readonly get: Call<ChaosView>
    /** A parameter that is left out has the default of Service Fabric. */
    readonly start: (request: ChaosRequest) => Call<ChaosView>
    /** Does no harm where chaos does not run. Afterwards the schedule is out of use. */
    readonly stop: Call<ChaosView>
    readonly events: (asked?: ChaosEventsAsked) => Call<ChaosEventPage>
    readonly schedule: Call<ChaosScheduleDescription>
    /** Replaces the schedule if its version is still that of the description, and gives back the new one. */
    readonly setSchedule: (description: ChaosScheduleDescription) => Call<ChaosScheduleDescription>
  }
  /** Succeeds while the worker's HTTP server runs. */
  readonly alive: Call<void>
  /**
   * The operation as it is now, and every change until it has ended. While the client asks again instead of listening,
   * changes carry no entries: the evidence is in `detail`. `onAway` hears when the worker stops answering, and when it
   * answers again.
   */
  readonly watch: (id: Guid, options?: WatchOptions) => Stream.Stream<OperationChange, ApiError | ClientError>
}

// --- make ---

/**
 * Makes a client of the worker at `endpoint`, such as `http://127.0.0.1:19080`, over the given `HttpClient`. For client
 * certificates, give it `NodeClient`'s.
 */
export const make = (options: {
  readonly endpoint: string
  readonly token?: Redacted.Redacted
  /** How many bytes an answer may have and how long it may take, if the usual bounds do not fit. */
  readonly bounds?: Partial<Bounded.Bounds>
}): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const unbounded = withToken(yield* HttpClient.HttpClient, options.token)
    const http = listening(Bounded.make(unbounded, options.bounds))
    const endpoint = options.endpoint.replace(/\/+$/, "")
    const api = endpointsOf({ baseUrl: endpoint, httpClient: http })
    const detail = (id: Guid) => again(answered(api.detail({ params: { id } })))
    const queryOf = (limit: number | undefined) => (limit === undefined ? {} : { limit })
    return {
      clusters: again(answered(api.clusters())),
      plan: (payload) => Effect.andThen(fits(payload), again(answered(api.plan({ payload })))),
      start: (id, payload) => Effect.andThen(fits(payload), again(answered(api.start({ params: { id }, payload })))),
      list: (limit) => again(answered(api.list({ query: queryOf(limit) }))),
      listing: (limit) =>
        Effect.map(
          again(answered(api.list({ query: queryOf(limit), responseMode: "decoded-and-response" }))),
          ([operations, { headers }]) => ({ operations, unreadableCount: countOf(headers[unreadableHeader]) })
        ),
      unreadable: again(answered(api.unreadable())),
      detail,
      cancel: (id, force) => answered(api.cancel({ params: { id }, query: force ? { force: "true" } : {} })),
      nodes: again(answered(api.nodes())),
      node: (name) => again(answered(api.node({ params: { name } }))),
      health: (query = {}) => Effect.andThen(fitsSubject(query), again(answered(api.health({ query })))),
      recover: (payload) => Effect.andThen(fitsRecover(payload), answered(api.recover({ payload }))),
      chaos: {
        get: again(answered(api.chaos())),
        start: (payload) => Effect.andThen(fitsChaos(payload), answered(api.startChaos({ payload }))),
        stop: answered(api.stopChaos()),
        events: (query = {}) => Effect.andThen(fitsEvents(query), again(answered(api.chaosEvents({ query })))),
        schedule: again(answered(api.chaosSchedule())),
        setSchedule: (payload) => Effect.andThen(fitsSchedule(payload), answered(api.setChaosSchedule({ payload })))
      },
      alive: Effect.asVoid(answered(api.alive())),
      watch: (id, options) => {
        const changes = Stream.suspend(() => listen(http, `${endpoint}/v1/operations/${id}/events`))
        return watch(changes, detail(id), options)
      }
    }
  })

/** An error of one code, as `/v1` answers it. */
export type ApiErrorOf<Code extends FabricErrorCode> = ApiError & { readonly code: Code }

/**
 * Handles the errors of one code and leaves all others. It does for `/v1` what catching an error by its tag does for
 * `FabricClient`.
 */
export const catchCode =
  <const Code extends FabricErrorCode, B, E2, R2>(
    code: Code,
    handle: (error: ApiErrorOf<Code>) => Effect.Effect<B, E2, R2>
  ) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A | B, E | E2, R | R2> =>
    Effect.catchIf(
      self,
      (error: E): boolean => error instanceof Endpoints.ApiError && error.code === code,
      (error) => handle(error as unknown as ApiErrorOf<Code>)
    )

// --- internal ---

/**
 * Declares an endpoint, and makes its codecs, when the endpoint is first asked. Most programs, and every command, ask one
 * or two endpoints.
 */
const whenAsked = <Ask extends (...asked: never) => Effect.Effect<unknown, unknown>>(
  make: () => Effect.Effect<Ask>
): Ask => {
  type Plain = (...asked: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>
  let made: Plain | undefined
  const ask: Plain = (...asked) =>
    Effect.suspend(() =>
      made === undefined
        ? Effect.flatMap(make() as unknown as Effect.Effect<Plain>, (endpoint) => (made = endpoint)(...asked))
        : made(...asked)
    )
  return ask as unknown as Ask
}

/** Our surface as far as one endpoint needs it. */
const only = (group: string, endpoint: HttpApiEndpoint.Constraint) =>
  HttpApi.make("inquorate").add(HttpApiGroup.make(group, { topLevel: true }).add(endpoint)) as unknown as typeof Api

// Each is declared without its errors, of which one is read when it comes (`refused`): their codecs would take longer to
// make than that of the answer.
const endpointsOf = (to: { readonly baseUrl: string; readonly httpClient: HttpClient.HttpClient }) => ({
  plan: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.plan([])), { ...to, group: "operations", endpoint: "plan" })
  ),
  start: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.start([])), { ...to, group: "operations", endpoint: "start" })
  ),
  list: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.list([])), { ...to, group: "operations", endpoint: "list" })
  ),
  detail: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.detail([])), { ...to, group: "operations", endpoint: "detail" })
  ),
  cancel: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.cancel([])), { ...to, group: "operations", endpoint: "cancel" })
  ),
  unreadable: whenAsked(() =>
    HttpApiClient.endpoint(only("operations", Endpoints.unreadable([])), {
      ...to,
      group: "operations",
      endpoint: "unreadable"
    })
  ),
  clusters: whenAsked(() =>
    HttpApiClient.endpoint(only("clusters", Endpoints.clusters()), { ...to, group: "clusters", endpoint: "clusters" })
  ),
  nodes: whenAsked(() =>
    HttpApiClient.endpoint(only("clusters", Endpoints.nodes([])), { ...to, group: "clusters", endpoint: "nodes" })
  ),
  node: whenAsked(() =>
    HttpApiClient.endpoint(only("clusters", Endpoints.node([])), { ...to, group: "clusters", endpoint: "node" })
  ),
  health: whenAsked(() =>
    HttpApiClient.endpoint(only("clusters", Endpoints.health([])), { ...to, group: "clusters", endpoint: "health" })
  ),
  recover: whenAsked(() =>
    HttpApiClient.endpoint(only("clusters", Endpoints.recover([])), { ...to, group: "clusters", endpoint: "recover" })
  ),
  chaos: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.chaos([])), { ...to, group: "chaos", endpoint: "chaos" })
  ),
  startChaos: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.startChaos([])), { ...to, group: "chaos", endpoint: "startChaos" })
  ),
  stopChaos: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.stopChaos([])), { ...to, group: "chaos", endpoint: "stopChaos" })
  ),
  chaosEvents: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.chaosEvents([])), { ...to, group: "chaos", endpoint: "chaosEvents" })
  ),
  chaosSchedule: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.chaosSchedule([])), {
      ...to,
      group: "chaos",
      endpoint: "chaosSchedule"
    })
  ),
  setChaosSchedule: whenAsked(() =>
    HttpApiClient.endpoint(only("chaos", Endpoints.setChaosSchedule([])), {
      ...to,
      group: "chaos",
      endpoint: "setChaosSchedule"
    })
  ),
  alive: whenAsked(() =>
    HttpApiClient.endpoint(only("worker", Endpoints.alive()), { ...to, group: "worker", endpoint: "alive" })
  )
})

/** How many times the client repeats a call that got no answer, if the call may be repeated. */
const repeats = 3

/** How long the client waits before it asks again for an operation whose stream broke. */
const pollInterval = "1 second"

/** How many times the client asks again in vain, one interval apart, before it takes the worker for gone. */
const pollsInVain = 30

// Every call but a cancel may be repeated. A start carries its id, so the worker recognises a repeated one.
const again = <A, E extends ApiError | ClientError>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.retry(call, {
    times: repeats,
    schedule: Schedule.exponential("100 millis"),
    while: (error) =>
      error._tag === "ClientError" ? error.reason === "Unreachable" : error.status === 503 || error.status === 504
  })

// Without this check, a wrong argument of a program without types would look like an answer that nobody understands.
const fitting = <S extends Schema.Codec<unknown, unknown>>(schemaOf: () => S) => {
  let encode: ((payload: unknown) => Effect.Effect<unknown, Schema.SchemaError>) | undefined
  return (payload: unknown): Effect.Effect<void, ClientError> =>
    Effect.suspend(() => (encode ??= Schema.encodeUnknownEffect(schemaOf()))(payload)).pipe(
      Effect.mapError(({ message }) => new ClientError({ reason: "BadRequest", detail: message })),
      Effect.asVoid
    )
}

const fits = fitting(() => FaultRequest)
const fitsSubject = fitting(() => HealthSubject)
const fitsRecover = fitting(() => RecoverRequest)
const fitsChaos = fitting(() => ChaosRequest)
const fitsEvents = fitting(() => ChaosEventsAsked)
const fitsSchedule = fitting(() => ChaosScheduleDescription)

/** Whether a worker gave the answer to a call. Null before there is an answer. */
const Heard = Context.Reference<{ worker: boolean | null }>("@inquorate/transport/Client/Heard", {
  defaultValue: () => ({ worker: null })
})

const isOfWorker = ({ headers }: HttpClientResponse.HttpClientResponse): boolean => apiHeader.name in headers

/** The same client. It notes for each call whether a worker answered. */
const listening = (http: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.tap(http, (response) =>
    Effect.map(Heard, (heard) => {
      heard.worker = isOfWorker(response)
    })
  )

const isSuccess = ({ status }: HttpClientResponse.HttpClientResponse): boolean => status >= 200 && status <= 299

const countOf = (told: string | undefined): number | undefined =>
  told !== undefined && /^\d+$/.test(told) ? Number(told) : undefined

const unreachable = (error: { readonly message: string }) => new ClientError(TransportCause.of(error))

const badAnswer = (error: { readonly message: string }) =>
  new ClientError({ reason: "BadAnswer", detail: error.message })

const answered = <A, E extends { readonly _tag: string; readonly message: string }>(
  call: Effect.Effect<A, E>
): Call<A> =>
  Effect.suspend(() => {
    const heard = { worker: null as boolean | null }
    return call.pipe(
      Effect.provideService(Heard, heard),
      Effect.catch((error): Call<never> => {
        if (HttpClientError.isHttpClientError(error)) {
          const { reason, response } = error
          if (reason._tag === "TransportError") return Effect.fail(unreachable(error))
          // No endpoint is declared with its errors, so every other status comes here.
          if (response !== undefined && !isSuccess(response)) return refused(response)
        }
        return Effect.fail(heard.worker === false ? notAWorker(error.message) : badAnswer(error))
      })
    )
  })

const notAWorker = (detail: string) => new ClientError({ reason: "NotAWorker", detail })

const toApiError = (body: ApiErrorBody, status: number): ApiError =>
  new Endpoints.ApiError({ status, code: body.Error.Code, detail: body.Error.Message, refusal: body.Refusal ?? null })

const failed = (text: string, status: number): Effect.Effect<never, ApiError | ClientError> =>
  Effect.matchEffect(Schema.decodeUnknownEffect(Schema.fromJsonString(ApiErrorBody))(text), {
    onFailure: badAnswer,
    onSuccess: (body) => toApiError(body, status)
  })

/** The error that an answer with another status than that of a success stands for. */
const refused = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, ApiError | ClientError> =>
  isOfWorker(response)
    ? Effect.flatMap(Effect.mapError(response.text, unreachable), (text) => failed(text, response.status))
    : Effect.fail(notAWorker(`HTTP status ${response.status}`))

const listen = (http: HttpClient.HttpClient, url: string): Stream.Stream<OperationChange, ApiError | ClientError> => {
  const decodeChange = Schema.decodeUnknownEffect(Schema.fromJsonString(OperationChange))
  return http.execute(HttpClientRequest.accept(HttpClientRequest.get(url), "text/event-stream")).pipe(
    Effect.mapError(unreachable),
    Effect.map((response) =>
      response.status !== 200
        ? Stream.fromEffect(refused(response))
        : response.stream.pipe(
            Stream.decodeText,
            Stream.pipeThroughChannel(Sse.decode()),
            Stream.mapError((error) =>
              unreachable("message" in error ? error : { message: "told to come back later" })
            ),
            Stream.mapEffect((event) =>
              event.event === "error" ? failed(event.data, 500) : Effect.mapError(decodeChange(event.data), badAnswer)
            )
          )
    ),
    Stream.unwrap
  )
}

// A stream that fails, or that ends while the operation goes on, was cut off. Then ask again until the operation has
// ended.
const watch = (
  changes: Stream.Stream<OperationChange, ApiError | ClientError>,
  detail: Call<OperationDetail>,
  { onAway = () => Effect.void }: WatchOptions = {}
): Stream.Stream<OperationChange, ApiError | ClientError> =>
  Stream.suspend(() => {
    let seen = ""
    let ended = false
    const remember = (change: OperationChange): void => {
      seen = JSON.stringify(change.operation)
      ended = isTerminal(change.operation)
    }
    const patiently = detail.pipe(
      Effect.tapError(() => onAway(true)),
      Effect.retry({
        times: pollsInVain,
        schedule: Schedule.spaced(pollInterval),
        // If the worker was there before, a proxy may answer for it while it is away.
        while: (error) =>
          error._tag === "ClientError"
            ? error.reason === "Unreachable" || (error.reason === "NotAWorker" && seen !== "")
            : error.status >= 500
      }),
      Effect.tap(() => onAway(false))
    )
    const asked = Stream.fromEffectRepeat(Effect.delay(patiently, pollInterval)).pipe(
      Stream.map(({ operation, state, summary }): OperationChange => ({
        operation,
        state,
        entries: [],
        ...(summary === undefined || !isTerminal(operation) ? {} : { summary })
      })),
      Stream.filter((change) => JSON.stringify(change.operation) !== seen)
    )
    const rest = Stream.suspend(() => (ended ? Stream.empty : asked))
    return changes.pipe(
      Stream.catch((error) => (error._tag === "ApiError" && error.status < 500 ? Stream.fail(error) : Stream.empty)),
      Stream.concat(rest),
      Stream.tap((change) => Effect.sync(() => remember(change))),
      Stream.takeUntil((change) => isTerminal(change.operation))
    )
  })
