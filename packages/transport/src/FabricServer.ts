/**
 * The Service Fabric surface as a function: a parsed request in, a complete reply out, with the exact statuses, reason
 * phrases and bodies of the gateway. Knows no socket; asks the port `Operations` for everything it says.
 */
import { Chaos } from "@inquorate/core/Chaos"
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { type ClusterView, Operations, type RecoverScope, type RequestRefused } from "@inquorate/core/Operations"
import { type FaultKind, type FaultRequest, kindOf } from "@inquorate/core/Request"
import { serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Wire from "@inquorate/core/Wire"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FabricChaos from "./FabricChaos.ts"
import type * as Model from "./FabricModel.ts"
import { type FabricCall, type FabricRequest, nameToken, type Paging, type WireError } from "./FabricPath.ts"
import * as View from "./FabricView.ts"

// --- models ---

/**
 * The header lines of a reply as names and values in turn, which Node writes fastest. Shared by all replies of a kind; the
 * length is added by whoever writes it.
 */
export type FabricHeaders = ReadonlyArray<string>

/** A complete reply. `body` is empty where the wire has none. */
export interface FabricReply {
  readonly status: number
  readonly reason: string
  readonly headers: FabricHeaders
  readonly body: string
}

/** The Service Fabric surface of one worker. */
export interface FabricServer {
  /** Answers a call with its body, where it has one; every refusal is an answer, so it never fails. */
  readonly handle: (request: FabricRequest, body?: string) => Effect.Effect<FabricReply>
}

// --- make ---

/** How many operations the list shows at most: the newest, in the order they were received. */
export const operationListMax = 10_000

/** How many items a page has at most when the caller sets no limit. */
export const pageMax = 1000

/** The Service Fabric surface over `Operations`, and over `Chaos` where there is one. */
export const make: Effect.Effect<FabricServer, never, Operations> = Effect.gen(function* () {
  const operations = yield* Operations
  const chaos = yield* Effect.serviceOption(Chaos)
  return {
    // Suspended, so that even an `Operations` that throws becomes a defect of this request and not of the server.
    handle: (request, body = "") =>
      Effect.catchTag(
        Effect.suspend(() =>
          FabricChaos.isChaosCall(request.call)
            ? Effect.map(FabricChaos.answer(chaos, request.call, body), chaosReply)
            : answer(operations, request.call, request.version)
        ),
        "RequestRefused",
        (refused) => Effect.succeed(refusalReply(refused))
      )
  }
})

/** The reply that says an error, with its default text where it has none of its own. */
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

const refusalReply = (refused: RequestRefused): FabricReply =>
  errorReply({ code: refused.code, message: refused.detail })

const chaosReply = (answered: FabricChaos.ChaosAnswer): FabricReply =>
  answered._tag === "Done" ? done : json(answered.value)

const answer = (operations: Port, call: Exclude<FabricCall, FabricChaos.ChaosCall>, version: number): Answer => {
  switch (call._tag) {
    case "GetRootPage":
      return Effect.succeed(rootPage)
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
      return Effect.map(operations.list(operationListMax), (list) =>
        json(list.map(Wire.statusOf).filter((status) => Wire.passesFilter(status, call.typeFilter, call.stateFilter)))
      )
    case "CancelOperation":
      return Effect.as(operations.cancel(call.operationId, call.force), done)
    case "RecoverPartition":
    case "RecoverServicePartitions":
    case "RecoverSystemPartitions":
    case "RecoverAllPartitions":
      return Effect.as(operations.recover(scopeOf(call)), done)
    case "GetClusterVersion":
      return Effect.succeed(json({ Version: View.runtimeVersion }))
    default:
      return browse(operations, call, version)
  }
}

type StartCall = CallOf<"StartQuorumLoss" | "StartDataLoss" | "StartPartitionRestart" | "StartNodeTransition">

const requestOf = (call: StartCall): FaultRequest => {
  switch (call._tag) {
    case "StartQuorumLoss": {
      const { duration, mode, partitionId, serviceName } = call
      return { serviceName, partitionId, mode, hold: duration * 1000 }
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

// An operation of another kind is not one that this call knows; the reference falls over such a question.
const progress = (operations: Port, id: Guid, kind: FaultKind): Answer =>
  Effect.map(operations.get(id), (operation) =>
    kindOf(operation.request) === kind
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

type BrowseCall = Exclude<
  FabricCall,
  | FabricChaos.ChaosCall
  | StartCall
  | ProgressCall
  | RecoverCall
  | { readonly _tag: "GetRootPage" | "GetFaultOperationList" | "CancelOperation" | "GetClusterVersion" }
>

const browse = (operations: Port, call: BrowseCall, version: number): Answer =>
  Effect.gen(function* () {
    const clusters = yield* operations.clusters
    const held = View.losses(yield* operations.holders)
    const now = yield* Clock.currentTimeMillis
    switch (call._tag) {
      case "GetClusterManifest":
        return json({ Manifest: View.clusterManifest(clusters) } satisfies typeof Model.ClusterManifest.Type)
      case "GetClusterHealth":
        return json(View.clusterHealth(clusters, held, call))
      case "GetNodeList": {
        const nodes = View.nodes(clusters).filter((node) => nodeTaken(call.filter, View.isUp(node)))
        return pageReply(nodes, call.paging, (node) => node.id, View.nodeInfo)
      }
      case "GetNode":
        return oneOrNone(
          View.nodes(clusters).find((node) => node.name === call.nodeName),
          View.nodeInfo
        )
      case "GetApplicationList":
      case "GetApplication":
        return applications(call, clusters, held, version)
      case "GetServiceList":
      case "GetService":
      case "GetServiceDescription":
      case "GetApplicationName":
        return services(call, clusters, held, version)
      default:
        return partitions(call, clusters, held, { now, version })
    }
  })

type Held = ReadonlyMap<Guid, View.Loss>
type CallOf<Tag extends FabricCall["_tag"]> = Extract<FabricCall, { readonly _tag: Tag }>

const named = (cluster: ClusterView): string => View.applicationName(cluster.name)

const applications = (
  call: CallOf<"GetApplicationList" | "GetApplication">,
  clusters: ReadonlyArray<ClusterView>,
  held: Held,
  version: number
): FabricReply => {
  const info = (cluster: ClusterView) =>
    View.applicationInfo(cluster, held, { version, excludeParameters: call.excludeParameters })
  return call._tag === "GetApplication"
    ? oneOrNone(
        clusters.find((cluster) => named(cluster) === call.applicationName),
        info
      )
    : pageReply(
        sorted(
          clusters.filter((cluster) => call.typeName === null || cluster.system === call.typeName),
          named
        ),
        call.paging,
        named,
        info,
        nameToken
      )
}

const services = (
  call: CallOf<"GetServiceList" | "GetService" | "GetServiceDescription" | "GetApplicationName">,
  clusters: ReadonlyArray<ClusterView>,
  held: Held,
  version: number
): FabricReply => {
  const info = (topology: Topology) => View.serviceInfo(topology, held, version)
  switch (call._tag) {
    case "GetServiceList": {
      const cluster = clusters.find((cluster) => View.applicationName(cluster.name) === call.applicationName)
      if (cluster === undefined && call.applicationName !== "fabric:/System") {
        return errorReply({ code: "FABRIC_E_APPLICATION_NOT_FOUND", message: "" })
      }
      const groups = (cluster?.groups ?? []).filter((group) => call.typeName === null || group.system === call.typeName)
      return pageReply(sorted(groups, serviceNameOf), call.paging, serviceNameOf, info, nameToken)
    }
    case "GetService": {
      const group = groupOf(clusters, call.serviceName)
      return oneOrNone(
        group !== undefined && View.applicationName(group.cluster) === call.applicationName ? group : undefined,
        info
      )
    }
    case "GetServiceDescription":
      return oneOr("FABRIC_E_SERVICE_DOES_NOT_EXIST", groupOf(clusters, call.serviceName), View.serviceDescription)
    case "GetApplicationName":
      return oneOr("FABRIC_E_SERVICE_DOES_NOT_EXIST", groupOf(clusters, call.serviceName), (group) =>
        View.nameInfo(View.applicationName(group.cluster), version)
      )
  }
}

const partitions = (
  call: CallOf<"GetPartitionList" | "GetPartition" | "GetServiceName" | "GetReplicaList" | "GetReplica">,
  clusters: ReadonlyArray<ClusterView>,
  held: Held,
  { now, version }: { readonly now: number; readonly version: number }
): FabricReply => {
  const info = (topology: Topology) => View.partition(topology, held, now)
  if (call._tag === "GetPartitionList") {
    const group = groupOf(clusters, call.serviceName)
    return group === undefined
      ? errorReply({ code: "FABRIC_E_SERVICE_DOES_NOT_EXIST", message: "" })
      : pageReply([group], call.paging, (topology) => topology.partitionId, info)
  }
  const group = clusters.flatMap((cluster) => cluster.groups).find((group) => group.partitionId === call.partitionId)
  switch (call._tag) {
    case "GetPartition":
      return oneOrNone(group, info)
    case "GetServiceName":
      return oneOr("FABRIC_E_PARTITION_NOT_FOUND", group, (topology) => View.nameInfo(serviceNameOf(topology), version))
    case "GetReplica":
      return oneOrNone(
        group === undefined ? undefined : View.replicas(group).find((replica) => replica.ReplicaId === call.replicaId),
        (replica) => replica
      )
    case "GetReplicaList": {
      if (group === undefined) return errorReply({ code: "FABRIC_E_PARTITION_NOT_FOUND", message: "" })
      const after = call.paging.after === null ? -1n : BigInt(call.paging.after)
      const replicas = View.replicas(group).filter(
        (replica) => replicaTaken(call.statusFilter, replica.ReplicaStatus) && BigInt(replica.ReplicaId) > after
      )
      return pageReply(
        replicas,
        { ...call.paging, after: null },
        (replica) => replica.ReplicaId,
        (replica) => replica
      )
    }
  }
}

const groupOf = (clusters: ReadonlyArray<ClusterView>, name: string): Topology | undefined =>
  clusters.flatMap((cluster) => cluster.groups).find((group) => serviceNameOf(group) === name)

const oneOrNone = <A>(found: A | undefined, info: (found: A) => unknown): FabricReply =>
  found === undefined ? noContent : json(info(found))

const oneOr = <A>(code: FabricErrorCode, found: A | undefined, info: (found: A) => unknown): FabricReply =>
  found === undefined ? errorReply({ code, message: "" }) : json(info(found))

const sorted = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<A> =>
  [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1))

// Items come in the order of their keys; a page holds those strictly after the token.
const pageReply = <A>(
  items: ReadonlyArray<A>,
  paging: Paging,
  key: (item: A) => string,
  info: (item: A) => unknown,
  token: (key: string) => string = (key) => key
): FabricReply => {
  const after = paging.after
  const rest = after === null ? items : items.filter((item) => key(item) > after)
  const shown = rest.slice(0, paging.limit === 0 ? pageMax : Math.min(paging.limit, pageMax))
  const last = shown.at(-1)
  return json({
    ContinuationToken: shown.length < rest.length && last !== undefined ? token(key(last)) : "",
    Items: shown.map(info)
  })
}

const nodeTaken = (filter: string, up: boolean): boolean =>
  filter === "default" || filter === "all" || filter === (up ? "up" : "down")

// Bits: 4 Ready, 8 Down; 0 is all but Dropped, which no member of ours ever is.
const replicaTaken = (filter: number, status: string): boolean =>
  filter === 0 || (filter & (status === "Ready" ? 4 : 8)) !== 0
