/**
 * A typed client of the Service Fabric surface, against a worker of ours or a real gateway. It puts requests on the wire
 * as Microsoft's generated clients do: one fixed api-version per call, ids in the path without encoding, an empty
 * body on every POST. Only GETs are repeated, and only when nothing was answered or the answer was 503 or 504.
 */
import type { Guid } from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import { OperationStatusList, PartitionQuorumLossProgress } from "@inquorate/core/Wire"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Model from "./FabricModel.ts"
import * as TransportCause from "./TransportCause.ts"

// --- models ---

/** Where the gateway is, such as `http://127.0.0.1:19080`. */
export interface Options {
  readonly endpoint: string
  /** The server's time for one request, in seconds; 60 unless given. */
  readonly timeout?: number
  readonly token?: Redacted.Redacted
}

/** A request to start a quorum loss; `duration` in whole seconds. */
export interface StartQuorumLoss {
  readonly serviceId: string
  readonly partitionId: Guid
  readonly operationId: Guid
  readonly mode: QuorumLossMode
  readonly duration: number
}

// --- errors ---

/** The gateway said no: `code` is its word (a real gateway has codes that ours never sends). */
export class FabricApiError extends Schema.TaggedError<FabricApiError>()("FabricApiError", {
  code: Schema.String,
  status: Schema.Int,
  message: Schema.String
}) {}

/**
 * The gateway gave no answer that could be understood. `Unreachable`: no connection; a request that may have been sent
 * counts as well. `TimedOut`: no answer in time. After either a start may or may not have happened: ask for its
 * progress. `Untrusted`: TLS refused one side, and nothing happened. `BadAnswer`: an answer of another shape.
 */
export class FabricTransportError extends Schema.TaggedError<FabricTransportError>()("FabricTransportError", {
  reason: Schema.Literals(["Unreachable", "Untrusted", "TimedOut", "BadAnswer"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.reason}: ${this.detail}`
  }
}

/** What can go wrong with a call. */
export type FabricClientError = FabricApiError | FabricTransportError

type Call<A> = Effect.Effect<A, FabricClientError>

/** The calls. An entity that does not exist is null where the gateway answers 204, else a `FabricApiError`. */
export interface FabricClient {
  readonly startQuorumLoss: (request: StartQuorumLoss) => Call<void>
  readonly getQuorumLossProgress: (
    request: Pick<StartQuorumLoss, "serviceId" | "partitionId" | "operationId">
  ) => Call<PartitionQuorumLossProgress>
  readonly getFaultOperationList: (filters?: {
    readonly typeFilter?: number
    readonly stateFilter?: number
  }) => Call<typeof OperationStatusList.Type>
  readonly cancelOperation: (operationId: Guid, force: boolean) => Call<void>
  readonly getClusterVersion: Call<string>
  readonly getClusterManifest: Call<string>
  readonly getClusterHealth: Call<Model.ClusterHealth>
  /** All pages of the list. */
  readonly getNodes: Call<ReadonlyArray<Model.NodeInfo>>
  readonly getNode: (nodeName: string) => Call<Model.NodeInfo | null>
  /** All pages of the list. */
  readonly getApplications: Call<ReadonlyArray<Model.ApplicationInfo>>
  readonly getApplication: (applicationId: string) => Call<Model.ApplicationInfo | null>
  /** All pages of the list. */
  readonly getServices: (applicationId: string) => Call<ReadonlyArray<Model.ServiceInfo>>
  readonly getService: (applicationId: string, serviceId: string) => Call<Model.ServiceInfo | null>
  readonly getServiceDescription: (serviceId: string) => Call<Model.ServiceDescription>
  readonly getApplicationName: (serviceId: string) => Call<Model.NameInfo>
  /** All pages of the list. */
  readonly getPartitions: (serviceId: string) => Call<ReadonlyArray<Model.Partition>>
  readonly getPartition: (partitionId: Guid) => Call<Model.Partition | null>
  readonly getServiceName: (partitionId: Guid) => Call<Model.NameInfo>
  /** All pages of the list. */
  readonly getReplicas: (partitionId: Guid) => Call<ReadonlyArray<Model.Replica>>
  readonly getReplica: (partitionId: Guid, replicaId: string) => Call<Model.Replica | null>
}

// --- make ---

/** A client of one endpoint over whatever `HttpClient` there is. */
export const make = (options: Options): Effect.Effect<FabricClient, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (http) => {
    const wire = makeWire(TransportCause.withToken(http, options.token), options)
    return {
      startQuorumLoss: (request) =>
        wire.post(`${ofPartition(request)}/StartQuorumLoss`, "6.0", {
          OperationId: request.operationId,
          QuorumLossMode: request.mode,
          QuorumLossDuration: request.duration
        }),
      getQuorumLossProgress: (request) =>
        wire.get(
          `${ofPartition(request)}/GetQuorumLossProgress`,
          "6.0",
          { OperationId: request.operationId },
          PartitionQuorumLossProgress
        ),
      getFaultOperationList: (filters) =>
        wire.get(
          "/Faults/",
          "6.0",
          { TypeFilter: filters?.typeFilter ?? 65535, StateFilter: filters?.stateFilter ?? 65535 },
          OperationStatusList
        ),
      cancelOperation: (operationId, force) =>
        wire.post("/Faults/$/Cancel", "6.0", { OperationId: operationId, Force: force }),
      getClusterVersion: Effect.map(
        wire.get("/$/GetClusterVersion", "6.4", {}, Model.ClusterVersion),
        (answer) => answer.Version
      ),
      getClusterManifest: Effect.map(
        wire.get("/$/GetClusterManifest", "6.0", {}, Model.ClusterManifest),
        (answer) => answer.Manifest
      ),
      getClusterHealth: wire.get("/$/GetClusterHealth", "6.0", {}, Model.ClusterHealth),
      getNodes: wire.all("/Nodes", "6.3", Model.NodeInfo),
      getNode: (nodeName) => wire.maybe(`/Nodes/${path(nodeName)}`, "6.0", Model.NodeInfo),
      getApplications: wire.all("/Applications", "6.1", Model.ApplicationInfo),
      getApplication: (id) => wire.maybe(`/Applications/${path(id)}`, "6.0", Model.ApplicationInfo),
      getServices: (id) => wire.all(`/Applications/${path(id)}/$/GetServices`, "6.0", Model.ServiceInfo),
      getService: (id, serviceId) =>
        wire.maybe(`/Applications/${path(id)}/$/GetServices/${path(serviceId)}`, "6.0", Model.ServiceInfo),
      getServiceDescription: (id) =>
        wire.get(`/Services/${path(id)}/$/GetDescription`, "6.0", {}, Model.ServiceDescription),
      getApplicationName: (id) => wire.get(`/Services/${path(id)}/$/GetApplicationName`, "6.0", {}, Model.NameInfo),
      getPartitions: (id) => wire.all(`/Services/${path(id)}/$/GetPartitions`, "6.4", Model.Partition),
      getPartition: (id) => wire.maybe(`/Partitions/${path(id)}`, "6.0", Model.Partition),
      getServiceName: (id) => wire.get(`/Partitions/${path(id)}/$/GetServiceName`, "6.0", {}, Model.NameInfo),
      getReplicas: (id) => wire.all(`/Partitions/${path(id)}/$/GetReplicas`, "6.0", Model.Replica),
      getReplica: (id, replicaId) =>
        wire.maybe(`/Partitions/${path(id)}/$/GetReplicas/${path(replicaId)}`, "6.0", Model.Replica)
    }
  })

// --- internal ---

type Query = Readonly<Record<string, string | number | boolean>>

/** How often a GET is repeated, after 100, 200 and 400 ms. */
const repeats = 3

/** How many pages of a list are read before it counts as endless. */
const pagesMax = 1000

/** How much longer than the server's own time an answer is waited for, in seconds. */
const patience = 5

// Ids go as they are. Only what would end the path is escaped; such a name is not a valid one, and the server says so.
const path = (id: string): string => id.replaceAll("?", "%3F").replaceAll("#", "%23")

const ofPartition = (request: { readonly serviceId: string; readonly partitionId: Guid }): string =>
  `/Faults/Services/${path(request.serviceId)}/$/GetPartitions/${path(request.partitionId)}/$`

const makeWire = (http: HttpClient.HttpClient, options: Options) => {
  const base = options.endpoint.replace(/\/+$/, "")
  const timeout = options.timeout ?? 60
  const url = (target: string, version: string, query: Query): string => {
    const pairs = Object.entries(query).map(([name, value]) => `${name}=${value}`)
    return `${base}${target}?${[`api-version=${version}`, ...pairs, `timeout=${timeout}`].join("&")}`
  }
  const send = (request: HttpClientRequest.HttpClientRequest) =>
    http.execute(HttpClientRequest.acceptJson(request)).pipe(
      Effect.mapError(transportError),
      Effect.tap((response) => (response.status < 400 ? Effect.void : apiError(response))),
      Effect.timeoutOrElse({
        duration: `${timeout + patience} seconds`,
        orElse: () =>
          new FabricTransportError({ reason: "TimedOut", detail: `no answer within ${timeout + patience} s` })
      })
    )
  const fetch = (target: string, version: string, query: Query) =>
    send(HttpClientRequest.get(url(target, version, query))).pipe(
      Effect.retry({ times: repeats, schedule: Schedule.exponential("100 millis"), while: isRepeatable })
    )
  const get = <S extends Schema.Codec<unknown, unknown>>(target: string, version: string, query: Query, schema: S) =>
    Effect.flatMap(fetch(target, version, query), (response) => decode(response, schema))
  return {
    get,
    post: (target: string, version: string, query: Query) =>
      Effect.asVoid(send(HttpClientRequest.post(url(target, version, query)))),
    maybe: <S extends Schema.Codec<unknown, unknown>>(target: string, version: string, schema: S) =>
      Effect.flatMap(fetch(target, version, {}), (response) =>
        response.status === 204 ? Effect.succeed(null) : decode(response, schema)
      ),
    all: <S extends Schema.Codec<unknown, unknown>>(target: string, version: string, item: S) =>
      Effect.gen(function* () {
        const items: Array<S["Type"]> = []
        const schema = Model.page(item)
        let token = ""
        for (let pages = 0; pages < pagesMax; pages++) {
          const answer = yield* get(target, version, token === "" ? {} : { ContinuationToken: token }, schema)
          items.push(...answer.Items)
          token = answer.ContinuationToken ?? ""
          if (token === "") return items
        }
        return yield* new FabricTransportError({ reason: "BadAnswer", detail: `${target} has no last page` })
      })
  }
}

const isRepeatable = (error: FabricClientError): boolean =>
  error._tag === "FabricApiError" ? error.status === 503 || error.status === 504 : error.reason === "Unreachable"

const transportError = (error: HttpClientError.HttpClientError): FabricTransportError =>
  new FabricTransportError(TransportCause.of(error))

const badAnswer = (error: { readonly message: string }): FabricTransportError =>
  new FabricTransportError({ reason: "BadAnswer", detail: error.message })

const decode = <S extends Schema.Codec<unknown, unknown>>(
  response: HttpClientResponse.HttpClientResponse,
  schema: S
): Effect.Effect<S["Type"], FabricTransportError> =>
  response.json.pipe(Effect.flatMap(Schema.decodeUnknownEffect(schema)), Effect.mapError(badAnswer))

const decodeError = Schema.decodeUnknownEffect(Model.FabricErrorBody)

// A real gateway answers failed authentication with an empty body: the status is all there is to say then.
const apiError = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, FabricApiError> =>
  response.json.pipe(
    Effect.flatMap(decodeError),
    Effect.matchEffect({
      onFailure: () =>
        new FabricApiError({ code: "UNKNOWN", status: response.status, message: `HTTP status ${response.status}` }),
      onSuccess: ({ Error }) =>
        new FabricApiError({ code: Error.Code, status: response.status, message: Error.Message ?? "" })
    })
  )
