/**
 * The URL grammar of Service Fabric's HTTP gateway as one pure parser: method and request target in, one tagged call or
 * one error out. Ids may hold raw `/` or `~`, literal segments are compared with case, the first query value wins, and
 * whatever matches no template is 400 `E_INVALIDARG`, never 404 or 405. One row of `rows` is one call; the fields of
 * a row are read in the order in which the gateway checks them, and the first failure is the answer.
 * Source of the rules: the gateway's own parser (MIT, 6.4 era) and its 8.2 specification.
 */
import type { ChaosEventQuery } from "@inquorate/core/Chaos"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import * as Guid from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import * as Result from "effect/Result"
import { parseQuery, quote, Reader, type Versions } from "./FabricParameters.ts"

// --- models ---

/** Which page of a list: strictly after `after` (null for the first), at most `limit` items (0 for no limit). */
export interface Paging {
  readonly after: string | null
  readonly limit: number
}

/** The words of `NodeStatusFilter`; `default` is every node except unknown and removed ones. */
export type NodeStatusFilter =
  | "default"
  | "all"
  | "up"
  | "down"
  | "enabling"
  | "disabling"
  | "disabled"
  | "unknown"
  | "removed"

/** One call of the Service Fabric surface, with every parameter read and checked. Names carry their `fabric:/`. */
export type FabricCall =
  | { readonly _tag: "GetRootPage" }
  | { readonly _tag: "GetAadMetadata" }
  | {
      readonly _tag: "StartQuorumLoss"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: QuorumLossMode
      /** Seconds. */
      readonly duration: number
    }
  | { readonly _tag: "GetQuorumLossProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartDataLoss"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: DataLossMode
    }
  | { readonly _tag: "GetDataLossProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartPartitionRestart"
      readonly serviceName: string
      readonly partitionId: Guid.Guid
      readonly operationId: Guid.Guid
      readonly mode: RestartMode
    }
  | { readonly _tag: "GetPartitionRestartProgress"; readonly operationId: Guid.Guid }
  | {
      readonly _tag: "StartNodeTransition"
      readonly nodeName: string
      readonly operationId: Guid.Guid
      /** 64 bits in decimal, never 0. */
      readonly instanceId: string
      readonly transition: "Start" | "Stop"
      /** Seconds, from 300 to 14400; 0 where the node is started. */
      readonly duration: number
    }
  | { readonly _tag: "GetNodeTransitionProgress"; readonly operationId: Guid.Guid }
  | { readonly _tag: "RecoverPartition"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "RecoverServicePartitions"; readonly serviceName: string }
  | { readonly _tag: "RecoverSystemPartitions" }
  | { readonly _tag: "RecoverAllPartitions" }
  | { readonly _tag: "GetFaultOperationList"; readonly typeFilter: number; readonly stateFilter: number }
  | { readonly _tag: "CancelOperation"; readonly operationId: Guid.Guid; readonly force: boolean }
  | { readonly _tag: "StartChaos" }
  | { readonly _tag: "StopChaos" }
  | { readonly _tag: "GetChaos" }
  /** A limit of 0 is none. */
  | { readonly _tag: "GetChaosEvents"; readonly events: ChaosEventQuery }
  | { readonly _tag: "GetChaosReport"; readonly events: ChaosEventQuery }
  | { readonly _tag: "GetChaosSchedule" }
  | { readonly _tag: "PostChaosSchedule" }
  | { readonly _tag: "GetClusterVersion" }
  | { readonly _tag: "GetClusterManifest" }
  | {
      readonly _tag: "GetClusterHealth"
      readonly nodesFilter: number
      readonly applicationsFilter: number
      readonly events: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetNodeHealth"
      readonly nodeName: string
      readonly events: number
      readonly excludeStatistics: true
    }
  | {
      readonly _tag: "GetApplicationHealth"
      readonly applicationName: string
      readonly events: number
      readonly servicesFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetServiceHealth"
      readonly serviceName: string
      readonly events: number
      readonly partitionsFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetPartitionHealth"
      readonly partitionId: Guid.Guid
      readonly events: number
      readonly replicasFilter: number
      readonly excludeStatistics: boolean
    }
  | {
      readonly _tag: "GetReplicaHealth"
      readonly partitionId: Guid.Guid
      readonly replicaId: string
      readonly events: number
      readonly excludeStatistics: true
    }
  | { readonly _tag: "GetNodeList"; readonly filter: NodeStatusFilter; readonly paging: Paging }
  | { readonly _tag: "GetNode"; readonly nodeName: string }
  | {
      readonly _tag: "GetApplicationList"
      readonly typeName: string | null
      /** Bits: 1 Service Fabric, 2 Docker Compose; 0 and 65535 are all. */
      readonly kindFilter: number
      readonly excludeParameters: boolean
      readonly paging: Paging
    }
  | { readonly _tag: "GetApplication"; readonly applicationName: string; readonly excludeParameters: boolean }
  | {
      readonly _tag: "GetServiceList"
      readonly applicationName: string
      readonly typeName: string | null
      readonly paging: Paging
    }
  | { readonly _tag: "GetService"; readonly applicationName: string; readonly serviceName: string }
  | { readonly _tag: "GetServiceDescription"; readonly serviceName: string }
  | { readonly _tag: "GetApplicationName"; readonly serviceName: string }
  | { readonly _tag: "GetPartitionList"; readonly serviceName: string; readonly paging: Paging }
  | { readonly _tag: "GetPartition"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "GetServiceName"; readonly partitionId: Guid.Guid }
  | {
      readonly _tag: "GetReplicaList"
      readonly partitionId: Guid.Guid
      readonly statusFilter: number
      readonly paging: Paging
    }
  | { readonly _tag: "GetReplica"; readonly partitionId: Guid.Guid; readonly replicaId: string }

/** A call with what every call carries: `version` decides the spelling of ids, `timeout` (seconds) bounds the request. */
export interface FabricRequest {
  readonly call: FabricCall
  readonly version: number
  readonly timeout: number
}

/** An error as the wire says it; the HTTP status follows from the code. */
export interface WireError {
  readonly code: FabricErrorCode
  readonly message: string
}

// --- make ---

/** The newest api-version that is accepted, which is the version of the runtime that we announce. */
export const apiVersionMax = 8.2

/** The longest `QuorumLossDuration` in seconds: the reference keeps it as signed 32-bit milliseconds. */
export const quorumLossDurationMax = 2147483

/** The call that a method and a request target (`/path?query`, or absolute) mean, or why they mean none. Never throws. */
export const parse = (method: string, target: string): Result.Result<FabricRequest, WireError> => {
  const { path, query } = split(target)
  const segments = path.split("/").filter((segment) => segment !== "")
  for (const row of rowsFor(method, segments)) {
    const keys = match(row.template, segments)
    if (keys === undefined) continue
    const parameters = parseQuery(query)
    const reader = new Reader(keys, parameters)
    const version = row.versioned ? reader.version(row.versions) : apiVersionMax
    const timeout = reader.timeout()
    const call = row.read(reader)
    return reader.failure === undefined ? Result.succeed({ call, version, timeout }) : Result.fail(reader.failure)
  }
  return Result.fail({ code: "E_INVALIDARG", message: `No call matches ${quote(method)} ${quote(path)}.` })
}

/** The id of a `fabric:/` name as it stands in a URL or a reply: inner `/` is `~` from api-version 6.0 on. */
export const idOf = (name: string, version: number): string => {
  const escaped = withoutScheme(name).split("/").map(encodeURIComponent)
  return escaped.join(version >= 6 ? "~" : "/")
}

/** The continuation token of a `fabric:/` name, safe in a URL as it is. */
export const nameToken = (name: string): string =>
  `fabric:/${withoutScheme(name).split("/").map(encodeURIComponent).join("/")}`

// --- internal ---

interface Row {
  readonly method: string
  readonly template: ReadonlyArray<string>
  readonly versioned: boolean
  /** The api-versions that know the call, both ends included. */
  readonly versions: Versions
  readonly read: (reader: Reader) => FabricCall
}

const row = (
  method: string,
  template: string,
  read: (reader: Reader) => FabricCall,
  versions: Partial<Versions> = {}
): Row => ({
  method,
  template: template.split("/").filter((segment) => segment !== ""),
  versioned: template !== "/",
  versions: { minimum: 1, maximum: apiVersionMax, ...versions },
  read
})

const quorumLossModes: Readonly<Record<string, QuorumLossMode>> = {
  QuorumReplicas: "QuorumReplicas",
  // The word the open-source gateway compares with; the published one is the line above.
  QuorumLossReplicas: "QuorumReplicas",
  AllReplicas: "AllReplicas"
}

// Words of the wire that need no translation, each mapped to itself.
const words = <Word extends string>(...all: ReadonlyArray<Word>): Readonly<Record<string, Word>> =>
  Object.fromEntries(all.map((word) => [word, word]))

const dataLossModes = words<DataLossMode>("PartialDataLoss", "FullDataLoss")
const restartModes = words<RestartMode>("AllReplicasOrInstances", "OnlyActiveSecondaries")
const transitions = words<"Start" | "Stop">("Start", "Stop")

const ofNode = "/Faults/Nodes/{NodeName}/$"
const ofPartition = "/Faults/Services/{ServiceId}/$/GetPartitions/{PartitionId}/$"

const chaosVersions: Partial<Versions> = { minimum: 6.2 }
const chaosReportPage = 100

const recoverService = (read: Reader): FabricCall => ({
  _tag: "RecoverServicePartitions",
  serviceName: read.name("ServiceId")
})

const rows: ReadonlyArray<Row> = [
  row("GET", "/", () => ({ _tag: "GetRootPage" })),
  row("POST", `${ofPartition}/StartQuorumLoss`, (read) => ({
    _tag: "StartQuorumLoss",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("QuorumLossMode", quorumLossModes, "QuorumReplicas"),
    duration: read.uint32("QuorumLossDuration", quorumLossDurationMax)
  })),
  // Only OperationId selects the operation: the rest of a progress path is matched for shape and not looked at.
  row("GET", `${ofPartition}/GetQuorumLossProgress`, (read) => ({
    _tag: "GetQuorumLossProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofPartition}/StartDataLoss`, (read) => ({
    _tag: "StartDataLoss",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("DataLossMode", dataLossModes, "PartialDataLoss")
  })),
  row("GET", `${ofPartition}/GetDataLossProgress`, (read) => ({
    _tag: "GetDataLossProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofPartition}/StartRestart`, (read) => ({
    _tag: "StartPartitionRestart",
    serviceName: read.name("ServiceId"),
    partitionId: read.keyGuid("PartitionId"),
    operationId: read.guid("OperationId"),
    mode: read.word("RestartPartitionMode", restartModes, "AllReplicasOrInstances")
  })),
  row("GET", `${ofPartition}/GetRestartProgress`, (read) => ({
    _tag: "GetPartitionRestartProgress",
    operationId: read.guid("OperationId")
  })),
  row("POST", `${ofNode}/StartTransition`, (read) => {
    const nodeName = read.text("NodeName")
    const operationId = read.guid("OperationId")
    const instanceId = read.instanceId("NodeInstanceId")
    const transition = read.word("NodeTransitionType", transitions, "Start")
    const duration = transition === "Stop" ? read.stopDuration("StopDurationInSeconds") : 0
    return { _tag: "StartNodeTransition", nodeName, operationId, instanceId, transition, duration }
  }),
  row("GET", `${ofNode}/GetTransitionProgress`, (read) => ({
    _tag: "GetNodeTransitionProgress",
    operationId: read.guid("OperationId")
  })),
  row("GET", "/Faults", (read) => ({
    _tag: "GetFaultOperationList",
    typeFilter: read.filter("TypeFilter"),
    stateFilter: read.filter("StateFilter")
  })),
  row("POST", "/Faults/$/Cancel", (read) => ({
    _tag: "CancelOperation",
    operationId: read.guid("OperationId"),
    force: read.flag("Force")
  })),
  row("GET", "/$/GetAadMetadata", () => ({ _tag: "GetAadMetadata" })),
  row("GET", "/$/GetClusterVersion", () => ({ _tag: "GetClusterVersion" })),
  row("GET", "/$/GetClusterManifest", () => ({ _tag: "GetClusterManifest" })),
  row("GET", "/$/GetClusterHealth", (read) => {
    const nodesFilter = read.filter("NodesHealthStateFilter")
    const applicationsFilter = read.filter("ApplicationsHealthStateFilter")
    const events = read.filter("EventsHealthStateFilter")
    const excludeStatistics = read.flag("ExcludeHealthStatistics")
    // The system application is this worker, which answers: it is in no statistics. Checked, not used.
    read.flag("IncludeSystemApplicationHealthStatistics")
    return { _tag: "GetClusterHealth", nodesFilter, applicationsFilter, events, excludeStatistics }
  }),
  row("GET", "/Nodes", (read) => ({
    _tag: "GetNodeList",
    filter: read.nodeStatus("NodeStatusFilter"),
    paging: read.paging(/^[0-9a-f]{1,32}$/)
  })),
  row("GET", "/Nodes/{NodeName}", (read) => ({ _tag: "GetNode", nodeName: read.text("NodeName") })),
  row("GET", "/Nodes/{NodeName}/$/GetHealth", (read) => ({
    _tag: "GetNodeHealth",
    nodeName: read.text("NodeName"),
    events: read.filter("EventsHealthStateFilter"),
    excludeStatistics: true
  })),
  row("GET", "/Applications", (read) => {
    const kindFilter = read.filter("ApplicationDefinitionKindFilter")
    return {
      _tag: "GetApplicationList",
      typeName: read.optionalText("ApplicationTypeName"),
      kindFilter,
      excludeParameters: read.flag("ExcludeApplicationParameters"),
      paging: read.paging(nameTokenPattern)
    }
  }),
  row("GET", "/Applications/{ApplicationId}", (read) => ({
    _tag: "GetApplication",
    applicationName: read.name("ApplicationId"),
    excludeParameters: read.flag("ExcludeApplicationParameters")
  })),
  row("GET", "/Applications/{ApplicationId}/$/GetHealth", (read) => {
    const applicationName = read.name("ApplicationId")
    const events = read.filter("EventsHealthStateFilter")
    // No application of ours is deployed as packages: checked, not used.
    read.filter("DeployedApplicationsHealthStateFilter")
    const servicesFilter = read.filter("ServicesHealthStateFilter")
    const excludeStatistics = read.flag("ExcludeHealthStatistics")
    return { _tag: "GetApplicationHealth", applicationName, events, servicesFilter, excludeStatistics }
  }),
  row("GET", "/Applications/{ApplicationId}/$/GetServices", (read) => ({
    _tag: "GetServiceList",
    applicationName: read.name("ApplicationId"),
    typeName: read.optionalText("ServiceTypeName"),
    paging: read.paging(nameTokenPattern)
  })),
  row("GET", "/Applications/{ApplicationId}/$/GetServices/{ServiceId}", (read) => ({
    _tag: "GetService",
    applicationName: read.name("ApplicationId"),
    serviceName: read.name("ServiceId")
  })),
  row("GET", "/Services/{ServiceId}/$/GetDescription", (read) => ({
    _tag: "GetServiceDescription",
    serviceName: read.name("ServiceId")
  })),
  row("GET", "/Services/{ServiceId}/$/GetApplicationName", (read) => ({
    _tag: "GetApplicationName",
    serviceName: read.name("ServiceId")
  })),
  row("GET", "/Services/{ServiceId}/$/GetHealth", (read) => ({
    _tag: "GetServiceHealth",
    serviceName: read.name("ServiceId"),
    events: read.filter("EventsHealthStateFilter"),
    partitionsFilter: read.filter("PartitionsHealthStateFilter"),
    excludeStatistics: read.flag("ExcludeHealthStatistics")
  })),
  row("GET", "/Services/{ServiceId}/$/GetPartitions", (read) => ({
    _tag: "GetPartitionList",
    serviceName: read.name("ServiceId"),
    paging: read.paging(guidPattern)
  })),
  row("GET", "/Partitions/{PartitionId}", (read) => ({
    _tag: "GetPartition",
    partitionId: read.keyGuid("PartitionId")
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetHealth", (read) => ({
    _tag: "GetPartitionHealth",
    partitionId: read.keyGuid("PartitionId"),
    events: read.filter("EventsHealthStateFilter"),
    replicasFilter: read.filter("ReplicasHealthStateFilter"),
    excludeStatistics: read.flag("ExcludeHealthStatistics")
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetReplicas/{ReplicaId}/$/GetHealth", (read) => ({
    _tag: "GetReplicaHealth",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: read.replicaId("ReplicaId"),
    events: read.filter("EventsHealthStateFilter"),
    excludeStatistics: true
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetServiceName", (read) => ({
    _tag: "GetServiceName",
    partitionId: read.keyGuid("PartitionId")
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetReplicas", (read) => ({
    _tag: "GetReplicaList",
    partitionId: read.keyGuid("PartitionId"),
    statusFilter: read.filter("ReplicaStatusFilter"),
    paging: read.paging(/^[0-9]{1,19}$/)
  })),
  row("GET", "/Partitions/{PartitionId}/$/GetReplicas/{ReplicaId}", (read) => ({
    _tag: "GetReplica",
    partitionId: read.keyGuid("PartitionId"),
    replicaId: read.replicaId("ReplicaId")
  })),
  row("POST", "/Partitions/{PartitionId}/$/Recover", (read) => ({
    _tag: "RecoverPartition",
    partitionId: read.keyGuid("PartitionId")
  })),
  // The extra `$` is a slip of the specification that every generated client copies; the gateway itself has the other.
  row("POST", "/Services/$/{ServiceId}/$/GetPartitions/$/Recover", recoverService),
  row("POST", "/Services/{ServiceId}/$/GetPartitions/$/Recover", recoverService),
  row("POST", "/$/RecoverSystemPartitions", () => ({ _tag: "RecoverSystemPartitions" })),
  row("POST", "/$/RecoverAllPartitions", () => ({ _tag: "RecoverAllPartitions" })),
  row("POST", "/Tools/Chaos/$/Start", () => ({ _tag: "StartChaos" })),
  row("POST", "/Tools/Chaos/$/Stop", () => ({ _tag: "StopChaos" })),
  row("GET", "/Tools/Chaos", () => ({ _tag: "GetChaos" }), chaosVersions),
  row("GET", "/Tools/Chaos/Events", (read) => ({ _tag: "GetChaosEvents", events: read.chaosEvents(0) }), chaosVersions),
  row("GET", "/Tools/Chaos/Schedule", () => ({ _tag: "GetChaosSchedule" }), chaosVersions),
  row("POST", "/Tools/Chaos/Schedule", () => ({ _tag: "PostChaosSchedule" }), chaosVersions),
  // What the calls above took the place of; it pages by 100.
  row(
    "GET",
    "/Tools/Chaos/$/Report",
    (read) => ({ _tag: "GetChaosReport", events: read.chaosEvents(chaosReportPage) }),
    { maximum: 6.1 }
  )
]

const nameTokenPattern = /^fabric:\/.+$/
const guidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

// Rows by method and first segment, so that a request is compared with a few templates and not with all.
const index: ReadonlyMap<string, ReadonlyArray<Row>> = (() => {
  const map = new Map<string, Array<Row>>()
  for (const entry of rows) {
    const key = `${entry.method} ${entry.template[0] ?? ""}`
    const group = map.get(key)
    if (group === undefined) map.set(key, [entry])
    else group.push(entry)
  }
  return map
})()

const rowsFor = (method: string, segments: ReadonlyArray<string>): ReadonlyArray<Row> =>
  index.get(`${method} ${dollar(segments[0] ?? "")}`) ?? []

const dollar = (segment: string): string => (segment === "%24" ? "$" : segment)

// A key swallows segments up to the next `$`, which is why an id may hold a raw `/`; it is never swallowed across one.
const match = (
  template: ReadonlyArray<string>,
  segments: ReadonlyArray<string>
): Readonly<Record<string, string>> | undefined => {
  const keys: Record<string, string> = {}
  let at = 0
  for (const expected of template) {
    const segment = dollar(segments[at] ?? "")
    if (!expected.startsWith("{")) {
      if (segment !== expected) return undefined
      at++
      continue
    }
    const from = at
    while (at < segments.length && dollar(segments[at]!) !== "$") at++
    if (at === from) return undefined
    keys[expected.slice(1, -1)] = segments.slice(from, at).join("/")
  }
  return at === segments.length ? keys : undefined
}

const split = (target: string): { readonly path: string; readonly query: string } => {
  const hash = target.indexOf("#")
  const whole = hash === -1 ? target : target.slice(0, hash)
  const mark = whole.indexOf("?")
  const path = mark === -1 ? whole : whole.slice(0, mark)
  return {
    path: path.startsWith("/") ? path : path.replace(/^https?:\/\/[^/]*/i, ""),
    query: mark === -1 ? "" : whole.slice(mark + 1)
  }
}

const withoutScheme = (name: string): string => (name.startsWith("fabric:/") ? name.slice("fabric:/".length) : name)
