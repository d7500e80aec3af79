/**
 * A typed client of the Service Fabric surface, for a worker of ours or a real gateway. It puts requests on the wire as
 * Microsoft's generated clients do: a fixed api-version for each call, ids in the path without encoding, an empty body
 * on every POST. It repeats only GETs, and only if no answer came or the answer was 503 or 504.
 */
import type { Guid } from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Answers from "./FabricAnswers.ts"
import * as ChaosClient from "./ChaosClient.ts"
import * as Model from "./FabricModel.ts"
import type { FabricApiError } from "./FabricRefusal.ts"
import * as FabricRefusal from "./FabricRefusal.ts"
import { withToken } from "../client/BearerToken.ts"
import * as Bounded from "../client/Bounded.ts"
import * as TransportCause from "../client/TransportCause.ts"

// --- models ---

/** Where the gateway is, such as `http://127.0.0.1:19080`. */
export interface Options {
  readonly endpoint: string
  /** The server's time for one request, in seconds. The usual time is 60. */
  readonly timeout?: number
  readonly token?: Redacted.Redacted
}

/** Names the partition of a fault by its service and its own id, and the operation by an id that the caller chooses. */
export interface OfPartition {
  readonly serviceId: string
  readonly partitionId: Guid
  readonly operationId: Guid
}

/** Names the node of a fault, and the operation by an id that the caller chooses. */
export interface OfNode {
  readonly nodeName: string
  readonly operationId: Guid
}

/** A request to start a quorum loss and hold it for whole seconds. */
export interface StartQuorumLoss extends OfPartition {
  readonly mode: QuorumLossMode
  readonly durationSeconds: number
}

/** A request to start a data loss. */
export interface StartDataLoss extends OfPartition {
  readonly mode: DataLossMode
}

/** A request to restart the replicas of a partition. */
export interface StartPartitionRestart extends OfPartition {
  readonly mode: RestartMode
}

/**
 * A request to stop or start a node. `instanceId` is the `InstanceId` of the node query. `durationSeconds` is from 300
 * to 14400.
 */
export type StartNodeTransition = OfNode & { readonly instanceId: string } & (
    | { readonly transition: "Stop"; readonly durationSeconds: number }
    | { readonly transition: "Start" }
  )

/** Names an operation by its kind. Only `operationId` selects it, but the wire wants the rest of the path too. */
export type FaultRef =
  | (OfPartition & { readonly kind: "PartitionQuorumLoss" | "PartitionDataLoss" | "PartitionRestart" })
  | (OfNode & { readonly kind: "NodeTransition" })

/** The progress of each kind of fault. The result is there once the state is Completed or Faulted. */
export interface ProgressByKind {
  readonly PartitionQuorumLoss: typeof Answers.QuorumLossProgress.Type
  readonly PartitionDataLoss: typeof Answers.DataLossProgress.Type
  readonly PartitionRestart: typeof Answers.RestartProgress.Type
  readonly NodeTransition: typeof Answers.NodeTransitionProgress.Type
}

/** Which partitions to recover: one, those of a service, those of the system services, or all of them. */
export type Recover =
  | { readonly partitionId: Guid }
  | { readonly serviceId: string }
  | "SystemPartitions"
  | "AllPartitions"

// --- errors ---

/** Every error that a gateway can answer. The tag is the gateway's code. */
export type { FabricApiError } from "./FabricRefusal.ts"

/**
 * The gateway gave no answer that the client understands. `Unreachable`: the connection failed, perhaps after the
 * request was sent. `TimedOut`: no answer came in time. After either of these, a start may or may not have happened:
 * ask for its progress. `Untrusted`: TLS refused one side, and nothing happened. `BadAnswer`: the answer has another
 * shape.
 */
export class FabricTransportError extends Schema.TaggedError<FabricTransportError>()("FabricTransportError", {
  reason: Schema.Literals(["Unreachable", "Untrusted", "TimedOut", "BadAnswer"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.reason}: ${this.detail}`
  }
}

/** What can go wrong with a call: an error under the gateway's own code, or no answer. */
export type FabricClientError = FabricApiError | FabricTransportError

type Call<A> = Effect.Effect<A, FabricClientError>

/**
 * The calls. If an entity does not exist, the call gives null where the gateway answers 204, else it fails with the
 * gateway's code. The client never repeats a start. Whoever interrupts a call aborts its request.
 */
export interface FabricClient extends ChaosClient.ChaosClient<FabricClientError> {
  readonly startQuorumLoss: (request: StartQuorumLoss) => Call<void>
  readonly getQuorumLossProgress: (request: OfPartition) => Call<ProgressByKind["PartitionQuorumLoss"]>
  readonly startDataLoss: (request: StartDataLoss) => Call<void>
  readonly getDataLossProgress: (request: OfPartition) => Call<ProgressByKind["PartitionDataLoss"]>
  readonly startPartitionRestart: (request: StartPartitionRestart) => Call<void>
  readonly getPartitionRestartProgress: (request: OfPartition) => Call<ProgressByKind["PartitionRestart"]>
  readonly startNodeTransition: (request: StartNodeTransition) => Call<void>
  readonly getNodeTransitionProgress: (request: OfNode) => Call<ProgressByKind["NodeTransition"]>
  /** Asks for the progress of any kind of fault, by the call of that kind. */
  readonly getProgress: <const Ref extends FaultRef>(ref: Ref) => Call<ProgressByKind[Ref["kind"]]>
  /**
   * The progress now and after every change of state, until the operation has ended. The client asks again after each
   * `interval`, usually one second. If the gateway is away or busy, the client tries up to 30 times, one interval
   * apart.
   */
  readonly watchProgress: <const Ref extends FaultRef>(
    ref: Ref,
    options?: { readonly interval?: Duration.Input }
  ) => Stream.Stream<ProgressByKind[Ref["kind"]], FabricClientError>
  /** The operations, filtered by masks of `Wire.typeBits` and `Wire.stateBits`. Without masks, all of them. */
  readonly getFaultOperationList: (filters?: {
    readonly typeFilter?: number
    readonly stateFilter?: number
  }) => Call<typeof Answers.OperationStatusList.Type>
  /** Records the wish to stop. `force` is for after a graceful cancel only. */
  readonly cancelOperation: (operationId: Guid, force: boolean) => Call<void>
  /** Makes partitions in quorum loss stop waiting for their lost replicas. On a real cluster this may lose data. */
  readonly recover: (scope: Recover) => Call<void>
  readonly getAadMetadata: Call<Answers.AadMetadata>
  readonly getClusterVersion: Call<string>
  readonly getClusterManifest: Call<string>
  readonly getClusterHealth: Call<Answers.ClusterHealth>
  /** All pages of the list. */
  readonly getNodes: Call<ReadonlyArray<Answers.NodeInfo>>
  readonly getNode: (nodeName: string) => Call<Answers.NodeInfo | null>
  readonly getNodeHealth: (nodeName: string) => Call<Answers.NodeHealth>
  /** All pages of the list. */
  readonly getApplications: Call<ReadonlyArray<Answers.ApplicationInfo>>
  readonly getApplication: (applicationId: string) => Call<Answers.ApplicationInfo | null>
  readonly getApplicationHealth: (applicationId: string) => Call<Answers.ApplicationHealth>
  /** All pages of the list. */
  readonly getServices: (applicationId: string) => Call<ReadonlyArray<Answers.ServiceInfo>>
  readonly getService: (applicationId: string, serviceId: string) => Call<Answers.ServiceInfo | null>
  readonly getServiceHealth: (serviceId: string) => Call<Answers.ServiceHealth>
  readonly getServiceDescription: (serviceId: string) => Call<Answers.ServiceDescription>
  readonly getApplicationName: (serviceId: string) => Call<Model.NameInfo>
  /** All pages of the list. */
  readonly getPartitions: (serviceId: string) => Call<ReadonlyArray<Answers.Partition>>
  readonly getPartition: (partitionId: Guid) => Call<Answers.Partition | null>
  readonly getPartitionHealth: (partitionId: Guid) => Call<Answers.PartitionHealth>
  readonly getServiceName: (partitionId: Guid) => Call<Model.NameInfo>
  /** All pages of the list. */
  readonly getReplicas: (partitionId: Guid) => Call<ReadonlyArray<Answers.Replica>>
  readonly getReplica: (partitionId: Guid, replicaId: string) => Call<Answers.Replica | null>
  readonly getReplicaHealth: (partitionId: Guid, replicaId: string) => Call<Answers.ReplicaHealth>
}

// --- make ---

/** Makes a client of one endpoint over the given `HttpClient`. */
export const make = (options: Options): Effect.Effect<FabricClient, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (http) => {
    const answerTime = 1000 * ((options.timeout ?? 60) + patience)
    const wire = makeWire(Bounded.make(withToken(http, options.token), { answerTime }), options)
    return { ...faults(wire), ...queries(wire), ...ChaosClient.make(wire) }
  })

// --- internal ---

type Query = Readonly<Record<string, string | number | boolean>>

/** How many times the client repeats a GET: after 100, 200 and 400 ms. */
const repeats = 3

/** How long the client waits before it asks again for an operation that it watches. */
const pollInterval = "1 second"

/** How many polls in a row may fail, one interval apart, before the client takes the gateway for gone. */
const pollsInVain = 30

/** How many pages of a list the client reads before it takes the list for endless. */
const pagesMax = 1000

/**
 * How many items the client takes before it takes the list for endless: ten times as many as the largest clusters have.
 */
const itemsMax = 1_000_000

/** How many seconds longer than the server's own time the client waits for an answer. */
const patience = 5

// Ids go into the path as they are. Only a character that would end the path is escaped. A name with such a character
// is not valid, and the server says so.
const path = (id: string): string => id.replaceAll("?", "%3F").replaceAll("#", "%23")

const ofPartition = (request: OfPartition): string =>
  `/Faults/Services/${path(request.serviceId)}/$/GetPartitions/${path(request.partitionId)}/$`

const ofNode = (nodeName: string): string => `/Faults/Nodes/${path(nodeName)}/$`

type Wire = ReturnType<typeof makeWire>
const recoverPath = (scope: Recover): string =>
  typeof scope === "string"
    ? `/$/Recover${scope}`
    : "partitionId" in scope
      ? `/Partitions/${path(scope.partitionId)}/$/Recover`
      : `/Services/$/${path(scope.serviceId)}/$/GetPartitions/$/Recover`

const faults = (
  wire: Wire
): Omit<FabricClient, keyof ReturnType<typeof queries> | keyof ChaosClient.ChaosClient<never>> => {
  const progress = <S extends Schema.Codec<unknown, unknown>>(target: string, operationId: Guid, schema: S) =>
    wire.get(target, "6.0", { OperationId: operationId }, schema)
  const getters = {
    PartitionQuorumLoss: (ref: OfPartition) =>
      progress(`${ofPartition(ref)}/GetQuorumLossProgress`, ref.operationId, Answers.QuorumLossProgress),
    PartitionDataLoss: (ref: OfPartition) =>
      progress(`${ofPartition(ref)}/GetDataLossProgress`, ref.operationId, Answers.DataLossProgress),
    PartitionRestart: (ref: OfPartition) =>
      progress(`${ofPartition(ref)}/GetRestartProgress`, ref.operationId, Answers.RestartProgress),
    NodeTransition: (ref: OfNode) =>
      progress(`${ofNode(ref.nodeName)}/GetTransitionProgress`, ref.operationId, Answers.NodeTransitionProgress)
  }
  const getProgress = <const Ref extends FaultRef>(ref: Ref): Call<ProgressByKind[Ref["kind"]]> =>
    (ref.kind === "NodeTransition" ? getters.NodeTransition(ref) : getters[ref.kind](ref)) as Call<
      ProgressByKind[Ref["kind"]]
    >
  return {
    startQuorumLoss: (request) =>
      wire.post(`${ofPartition(request)}/StartQuorumLoss`, "6.0", {
        OperationId: request.operationId,
        QuorumLossMode: request.mode,
        QuorumLossDuration: request.durationSeconds
      }),
    getQuorumLossProgress: getters.PartitionQuorumLoss,
    startDataLoss: (request) =>
      wire.post(`${ofPartition(request)}/StartDataLoss`, "6.0", {
        OperationId: request.operationId,
        DataLossMode: request.mode
      }),
    getDataLossProgress: getters.PartitionDataLoss,
    startPartitionRestart: (request) =>
      wire.post(`${ofPartition(request)}/StartRestart`, "6.0", {
        OperationId: request.operationId,
        RestartPartitionMode: request.mode
      }),
    getPartitionRestartProgress: getters.PartitionRestart,
    startNodeTransition: (request) =>
      wire.post(`${ofNode(request.nodeName)}/StartTransition/`, "6.0", {
        OperationId: request.operationId,
        NodeTransitionType: request.transition,
        NodeInstanceId: request.instanceId,
        // The specification always asks for this. The gateway reads it only for a stop.
        StopDurationInSeconds: request.transition === "Stop" ? request.durationSeconds : 0
      }),
    getNodeTransitionProgress: getters.NodeTransition,
    getProgress,
    watchProgress: (ref, options) => watch(getProgress(ref), options?.interval ?? pollInterval),
    getFaultOperationList: (filters) =>
      wire.get(
        "/Faults/",
        "6.0",
        { TypeFilter: filters?.typeFilter ?? 65535, StateFilter: filters?.stateFilter ?? 65535 },
        Answers.OperationStatusList
      ),
    cancelOperation: (operationId, force) =>
      wire.post("/Faults/$/Cancel", "6.0", { OperationId: operationId, Force: force }),
    recover: (scope) => {
      const asked = wire.post(recoverPath(scope), "6.0", {})
      if (typeof scope === "string" || "partitionId" in scope) return asked
      // The specification's path has one `$` more than the open-source gateway's. That gateway says that it knows no
      // such path.
      const other = `/Services/${path(scope.serviceId)}/$/GetPartitions/$/Recover`
      return Effect.catchTag(asked, "E_INVALIDARG", () => wire.post(other, "6.0", {}))
    }
  }
}

const ended: ReadonlySet<string> = new Set(["Completed", "Faulted", "Cancelled", "ForceCancelled"])

const watch = <A extends { readonly State: string }>(
  ask: Call<A>,
  interval: Duration.Input
): Stream.Stream<A, FabricClientError> => {
  const patiently = Effect.retry(ask, {
    times: pollsInVain,
    schedule: Schedule.spaced(interval),
    while: (error) => isRepeatable(error) || (error._tag === "FabricTransportError" && error.reason === "TimedOut")
  })
  return Stream.concat(Stream.fromEffect(patiently), Stream.fromEffectRepeat(Effect.delay(patiently, interval))).pipe(
    Stream.changesWith((one, other) => one.State === other.State),
    Stream.takeUntil(({ State }) => ended.has(State))
  )
}

const queries = (wire: Wire) =>
  ({
    getAadMetadata: wire.get("/$/GetAadMetadata", "6.0", {}, Answers.AadMetadata),
    getClusterVersion: Effect.map(
      wire.get("/$/GetClusterVersion", "6.4", {}, Model.ClusterVersion),
      (answer) => answer.Version
    ),
    getClusterManifest: Effect.map(
      wire.get("/$/GetClusterManifest", "6.0", {}, Model.ClusterManifest),
      (answer) => answer.Manifest
    ),
    getClusterHealth: wire.get("/$/GetClusterHealth", "6.0", {}, Answers.ClusterHealth),
    getNodes: wire.all("/Nodes", "6.3", Answers.NodeInfo),
    getNode: (nodeName: string) => wire.maybe(`/Nodes/${path(nodeName)}`, "6.0", Answers.NodeInfo),
    getNodeHealth: (nodeName: string) =>
      wire.get(`/Nodes/${path(nodeName)}/$/GetHealth`, "6.0", {}, Answers.NodeHealth),
    getApplications: wire.all("/Applications", "6.1", Answers.ApplicationInfo),
    getApplication: (id: string) => wire.maybe(`/Applications/${path(id)}`, "6.0", Answers.ApplicationInfo),
    getApplicationHealth: (id: string) =>
      wire.get(`/Applications/${path(id)}/$/GetHealth`, "6.0", {}, Answers.ApplicationHealth),
    getServices: (id: string) => wire.all(`/Applications/${path(id)}/$/GetServices`, "6.0", Answers.ServiceInfo),
    getService: (id: string, serviceId: string) =>
      wire.maybe(`/Applications/${path(id)}/$/GetServices/${path(serviceId)}`, "6.0", Answers.ServiceInfo),
    getServiceHealth: (id: string) => wire.get(`/Services/${path(id)}/$/GetHealth`, "6.0", {}, Answers.ServiceHealth),
    getServiceDescription: (id: string) =>
      wire.get(`/Services/${path(id)}/$/GetDescription`, "6.0", {}, Answers.ServiceDescription),
    getApplicationName: (id: string) =>
      wire.get(`/Services/${path(id)}/$/GetApplicationName`, "6.0", {}, Answers.NameInfo),
    getPartitions: (id: string) => wire.all(`/Services/${path(id)}/$/GetPartitions`, "6.4", Answers.Partition),
    getPartition: (id: Guid) => wire.maybe(`/Partitions/${path(id)}`, "6.0", Answers.Partition),
    getPartitionHealth: (id: Guid) =>
      wire.get(`/Partitions/${path(id)}/$/GetHealth`, "6.0", {}, Answers.PartitionHealth),
    getServiceName: (id: Guid) => wire.get(`/Partitions/${path(id)}/$/GetServiceName`, "6.0", {}, Answers.NameInfo),
    getReplicas: (id: Guid) => wire.all(`/Partitions/${path(id)}/$/GetReplicas`, "6.0", Answers.Replica),
    getReplica: (id: Guid, replicaId: string) =>
      wire.maybe(`/Partitions/${path(id)}/$/GetReplicas/${path(replicaId)}`, "6.0", Answers.Replica),
    getReplicaHealth: (id: Guid, replicaId: string) =>
      wire.get(`/Partitions/${path(id)}/$/GetReplicas/${path(replicaId)}/$/GetHealth`, "6.0", {}, Answers.ReplicaHealth)
  }) satisfies Partial<FabricClient>

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
    post: (target: string, version: string, query: Query, body?: unknown) => {
      const request = HttpClientRequest.post(url(target, version, query))
      return Effect.asVoid(
        send(
          body === undefined
            ? request
            : HttpClientRequest.bodyText(request, JSON.stringify(body), "application/json; charset=utf-8")
        )
      )
    },
    maybe: <S extends Schema.Codec<unknown, unknown>>(target: string, version: string, schema: S) =>
      Effect.flatMap(fetch(target, version, {}), (response) =>
        response.status === 204 ? Effect.succeed(null) : decode(response, schema)
      ),
    all: <S extends Schema.Codec<unknown, unknown>>(target: string, version: string, item: S) =>
      Effect.gen(function* () {
        const items: Array<S["Type"]> = []
        const schema = Answers.page(item)
        let token = ""
        for (let pages = 0; pages < pagesMax; pages++) {
          const answer = yield* get(target, version, token === "" ? {} : { ContinuationToken: token }, schema)
          for (const one of answer.Items) items.push(one)
          if (items.length > itemsMax) break
          token = answer.ContinuationToken ?? ""
          if (token === "") return items
        }
        return yield* new FabricTransportError({ reason: "BadAnswer", detail: `${target} has no last page` })
      })
  }
}

const isRepeatable = (error: FabricClientError): boolean =>
  error._tag === "FabricTransportError" ? error.reason === "Unreachable" : error.status === 503 || error.status === 504

const transportError = (error: HttpClientError.HttpClientError): FabricTransportError =>
  new FabricTransportError(TransportCause.of(error))

const badAnswer = (error: { readonly message: string }): FabricTransportError => {
  const { detail, reason } = TransportCause.of(error)
  return new FabricTransportError(
    reason === "TimedOut" || reason === "BadAnswer"
      ? { reason, detail }
      : { reason: "BadAnswer", detail: error.message }
  )
}

const decode = <S extends Schema.Codec<unknown, unknown>>(
  response: HttpClientResponse.HttpClientResponse,
  schema: S
): Effect.Effect<S["Type"], FabricTransportError> =>
  response.json.pipe(Effect.flatMap(Answers.decode(schema)), Effect.mapError(badAnswer))

const decodeError = Schema.decodeUnknownEffect(Model.FabricErrorBody)

// A real gateway answers failed authentication with an empty body. Then only the status says what was wrong.
const apiError = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, FabricApiError> =>
  response.json.pipe(
    Effect.flatMap(decodeError),
    Effect.matchEffect({
      onFailure: () => Effect.fail(FabricRefusal.make("UNKNOWN", response.status, `HTTP status ${response.status}`)),
      onSuccess: ({ Error }) => Effect.fail(FabricRefusal.make(Error.Code, response.status, Error.Message ?? ""))
    })
  )
