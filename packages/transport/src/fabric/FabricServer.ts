/**
 * The Service Fabric surface as a function: a parsed request in, a complete reply out, with the exact statuses, reason
 * phrases and bodies of the gateway. It knows no socket. Everything that it says comes from the port `Operations`.
 */
import { Chaos } from "@inquorate/core/Chaos"
import { table } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { Operations, type RecoverScope, type RequestRefused } from "@inquorate/core/Operations"
import type { FaultKind, FaultRequest } from "@inquorate/core/Request"
import { formatMillis } from "@inquorate/core/Time"
import * as Wire from "@inquorate/core/Wire"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import { randomUUID } from "node:crypto"
import * as FabricChaos from "./FabricChaos.ts"
import * as Chunk from "./FabricChunk.ts"
import * as Faults from "./FabricFaults.ts"
import * as EventStore from "./FabricEventStore.ts"
import * as History from "./FabricHistory.ts"
import * as Look from "./FabricLook.ts"
import type { QueryAnswer } from "./FabricPaging.ts"
import type { FabricCall, FabricRequest, WireError } from "./FabricCall.ts"
import * as Queries from "./FabricQueries.ts"
import type * as World from "./FabricWorld.ts"

// --- models ---

/**
 * The header lines of a reply: names and values in turn, which Node writes fastest. All replies of a kind share them.
 * The writer adds the length.
 */
export type FabricHeaders = ReadonlyArray<string>

/** A complete reply. `body` is empty if the wire has none. */
export interface FabricReply {
  readonly status: number
  readonly reason: string
  readonly headers: FabricHeaders
  readonly body: string
}

/** What a client needs to know to fetch a token for us from Azure Active Directory, under the wire's own names. */
export interface AadMetadata {
  readonly authority: string
  readonly client: string
  readonly cluster: string
  readonly login: string
  readonly redirect: string
  readonly tenant: string
}

/** The answer of `/$/GetAadMetadata`. It is null if tokens do not come from Azure Active Directory. */
export const AadSettings = Context.Reference<AadMetadata | null>("@inquorate/transport/FabricServer/AadSettings", {
  defaultValue: () => null
})

/** The Service Fabric surface of one worker. */
export interface FabricServer {
  /** Answers a call with its body, if it has one. It never fails, because every refusal is an answer. */
  readonly handle: (request: FabricRequest, body?: string) => Effect.Effect<FabricReply>
}

// --- make ---

/** How many operations the list shows at most. It keeps the newest, in the order in which they were received. */
export const operationListMax = 10_000

/** Makes the Service Fabric surface over `Operations`, and over `Chaos` if there is one. */
export const make: Effect.Effect<FabricServer, never, Operations> = Effect.gen(function* () {
  const operations = yield* Operations
  const chaos = yield* Effect.serviceOption(Chaos)
  const aad = yield* AadSettings
  const worker: Worker = {
    operations,
    chaos,
    aad,
    history: (yield* History.Shared) ?? History.make(),
    events: EventStore.make(operations, chaos),
    newId: randomGuid
  }
  return {
    // Suspended, so that an `Operations` that throws is a defect of this request and not of the server.
    handle: (request, body = "") =>
      Effect.catchTag(
        Effect.suspend(() =>
          FabricChaos.isChaosCall(request.call)
            ? Effect.map(FabricChaos.answer(chaos, request.call, body), chaosReply)
            : answer(worker, request.call, request.version, body)
        ),
        "RequestRefused",
        (refused) => Effect.succeed(refusalReply(refused))
      )
  }
})

/** True for a call whose body the server reads. It drops the body of every other call. */
export const readsBody = (call: FabricCall): boolean =>
  FabricChaos.readsBody(call) || Faults.readsBody(call) || call._tag === "GetClusterHealthChunk"

/** The reply for an error. An error without a message gets the default text of its code. */
export const errorReply = (error: WireError): FabricReply => {
  const { message, status } = table[error.code]
  return {
    status,
    reason: status === 400 ? "Bad Request" : status === 403 ? "Access Denied" : error.code,
    headers: jsonHeaders,
    body: JSON.stringify({ Error: { Code: error.code, Message: error.message === "" ? message : error.message } })
  }
}

// --- internal ---

type Port = Operations["Service"]

const randomGuid: Effect.Effect<Guid> = Effect.sync(() => randomUUID())

/** What one server answers its calls from. */
interface Worker {
  readonly operations: Port
  readonly chaos: Option.Option<Chaos["Service"]>
  readonly aad: AadMetadata | null
  readonly history: History.History
  readonly events: EventStore.EventStore
  /** Makes the id of an operation whose caller gives none. */
  readonly newId: Effect.Effect<Guid>
}
type Answer = Effect.Effect<FabricReply, RequestRefused>

const jsonHeaders: FabricHeaders = [
  "Content-Type",
  "application/json; charset=utf-8",
  "X-Content-Type-Options",
  "nosniff"
]

const htmlHeaders: FabricHeaders = [
  "Content-Type",
  "text/html; charset=utf-8",
  "X-Content-Type-Options",
  "nosniff",
  "Content-Security-Policy",
  "default-src 'none'"
]

const noHeaders: FabricHeaders = []

const accepted: FabricReply = { status: 202, reason: "Accepted", headers: noHeaders, body: "" }
const done: FabricReply = { status: 200, reason: "OK", headers: noHeaders, body: "" }
const noContent: FabricReply = { status: 204, reason: "No Content", headers: noHeaders, body: "" }

const json = (value: unknown): FabricReply => ({
  status: 200,
  reason: "OK",
  headers: jsonHeaders,
  body: JSON.stringify(value)
})

const rootPage: FabricReply = {
  status: 200,
  reason: "OK",
  headers: htmlHeaders,
  body:
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Inquorate</title></head><body>' +
    "<h1>Inquorate</h1><p>This worker speaks Service Fabric's fault surface here and its own under " +
    '<a href="/v1/docs">/v1</a>.</p></body></html>'
}

// For a hold that is too long, the words leave out the flag of `inq` that sets the limit aside: this surface has no
// such flag.
const refusalReply = ({ code, detail, refusal }: RequestRefused): FabricReply =>
  errorReply({
    code,
    message:
      refusal?._tag === "TooLong"
        ? `A hold of ${formatMillis(refusal.asked)} is longer than the ${formatMillis(refusal.limit)} that is allowed. Ask for less or raise limits.maxHold in the configuration.`
        : detail
  })

const chaosReply = (answered: FabricChaos.ChaosAnswer): FabricReply =>
  answered._tag === "Done" ? done : json(answered.value)

const answer = (
  worker: Worker,
  call: Exclude<FabricCall, FabricChaos.ChaosCall>,
  version: number,
  body: string
): Answer => {
  const { aad, operations } = worker
  switch (call._tag) {
    case "GetRootPage":
      return Effect.succeed(rootPage)
    case "GetAadMetadata":
      return Effect.succeed(json(aad === null ? { type: "none" } : { type: "aad", metadata: aad }))
    case "StartQuorumLoss":
    case "StartDataLoss":
    case "StartPartitionRestart":
    case "StartNodeTransition":
      return Effect.as(
        operations.start(call.operationId, requestOf(call), { guard: false, maxHold: "configured" }),
        accepted
      )
    case "GetQuorumLossProgress":
    case "GetDataLossProgress":
    case "GetPartitionRestartProgress":
    case "GetNodeTransitionProgress":
      return progress(operations, call.operationId, progressKinds[call._tag])
    case "GetFaultOperationList":
      // The list comes first: it is what finds the operations that cannot be read.
      return Effect.flatMap(operations.list(operationListMax), (list) =>
        Effect.map(operations.unreadable, (unreadable) =>
          json(
            [...list.map(Wire.statusOf), ...unreadable.map(Wire.statusOfUnreadable)].filter((status) =>
              Wire.passesFilter(status, call.typeFilter, call.stateFilter)
            )
          )
        )
      )
    case "CancelOperation":
      return Effect.as(operations.cancel(call.operationId, call.force), done)
    case "RecoverPartition":
    case "RecoverServicePartitions":
    case "RecoverSystemPartitions":
    case "RecoverAllPartitions":
      return Effect.as(operations.recover(scopeOf(call)), done)
    case "GetClusterHealthChunk": {
      const read = Chunk.read(body)
      if (Result.isFailure(read)) {
        return Effect.succeed(errorReply({ code: "E_INVALIDARG", message: read.failure }))
      }
      return Effect.map(worldOf(worker, version), (world) => queryReply(Queries.chunk(world, read.success)))
    }
    case "RestartNode":
    case "DeactivateNode":
    case "ActivateNode":
    case "RestartReplica":
    case "RemoveReplica":
      return Effect.gen(function* () {
        const world = yield* worldOf(worker, version)
        yield* Faults.begin(operations, world, call, { body, newId: yield* worker.newId })
        return done
      })
    case "GetEvents":
    case "GetCorrelatedEvents":
      return Effect.flatMap(worldOf(worker, version), (world) => Effect.map(worker.events.answer(world, call), json))
    default:
      return Effect.map(worldOf(worker, version), (world) => queryReply(Queries.answer(world, call)))
  }
}

type CallOf<Tag extends FabricCall["_tag"]> = Extract<FabricCall, { readonly _tag: Tag }>

type StartCall = CallOf<"StartQuorumLoss" | "StartDataLoss" | "StartPartitionRestart" | "StartNodeTransition">

const requestOf = (call: StartCall): FaultRequest => {
  switch (call._tag) {
    case "StartQuorumLoss": {
      const { duration, mode, partitionId, serviceName } = call
      return { kind: "PartitionQuorumLoss", serviceName, partitionId, mode, hold: duration * 1000 }
    }
    case "StartDataLoss": {
      const { mode, partitionId, serviceName } = call
      return { kind: "PartitionDataLoss", serviceName, partitionId, mode }
    }
    case "StartPartitionRestart": {
      const { mode, partitionId, serviceName } = call
      return { kind: "PartitionRestart", serviceName, partitionId, mode }
    }
    case "StartNodeTransition": {
      const { duration, instanceId, nodeName, transition } = call
      return transition === "Stop"
        ? { kind: "NodeTransition", transition, nodeName, instanceId, duration: duration * 1000 }
        : { kind: "NodeTransition", transition, nodeName, instanceId }
    }
  }
}

const progressKinds: Readonly<Record<ProgressCall["_tag"], FaultKind>> = {
  GetQuorumLossProgress: "PartitionQuorumLoss",
  GetDataLossProgress: "PartitionDataLoss",
  GetPartitionRestartProgress: "PartitionRestart",
  GetNodeTransitionProgress: "NodeTransition"
}

type ProgressCall = CallOf<
  "GetQuorumLossProgress" | "GetDataLossProgress" | "GetPartitionRestartProgress" | "GetNodeTransitionProgress"
>

// This call does not know an operation of another kind. The reference crashes on such a question.
const progress = (operations: Port, id: Guid, kind: FaultKind): Answer =>
  Effect.map(operations.get(id), (operation) =>
    operation.request.kind === kind
      ? json(Wire.progressOf(operation))
      : errorReply({ code: "FABRIC_E_KEY_NOT_FOUND", message: `OperationId '${id}' was not found` })
  )

type RecoverCall = CallOf<
  "RecoverPartition" | "RecoverServicePartitions" | "RecoverSystemPartitions" | "RecoverAllPartitions"
>

const scopeOf = (call: RecoverCall): RecoverScope => {
  switch (call._tag) {
    case "RecoverPartition":
      return { _tag: "Partition", partitionId: call.partitionId }
    case "RecoverServicePartitions":
      return { _tag: "Service", serviceName: call.serviceName }
    case "RecoverSystemPartitions":
      return { _tag: "System" }
    case "RecoverAllPartitions":
      return { _tag: "All" }
  }
}

const worldOf = ({ history, operations }: Worker, version: number): Effect.Effect<World.World, RequestRefused> =>
  Look.look(operations, history, version)

const queryReply = (answered: QueryAnswer): FabricReply => {
  switch (answered._tag) {
    case "Found":
      return json(answered.value)
    case "None":
      return noContent
    case "Refused":
      return errorReply({ code: answered.code, message: "" })
  }
}
