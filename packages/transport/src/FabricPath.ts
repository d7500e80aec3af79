/**
 * The URL grammar of Service Fabric's HTTP gateway as one pure parser: method and request target in, one tagged call or
 * one error out. Ids may hold raw `/` or `~`, literal segments are compared with case, the first query value wins, and
 * whatever matches no template is 400 `E_INVALIDARG`, never 404 or 405. One row of `rows` is one call; the fields of
 * a row are read in the order in which the gateway checks them, and the first failure is the answer.
 * Source of the rules: the gateway's own parser (MIT, 6.4 era) and its 8.2 specification.
 */
import { type ChaosEventQuery, fromFileTime } from "@inquorate/core/Chaos"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import { table } from "@inquorate/core/FabricError"
import * as Guid from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import * as Result from "effect/Result"

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

/** The shortest and the longest `StopDurationInSeconds`: the reference's own limits, checked before anything is stored. */
export const stopDurationLimits = { minimum: 300, maximum: 14_400 } as const

/** The longest name, token or other string of a request, in characters. */
export const stringLengthMax = 4096

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

interface Versions {
  readonly minimum: number
  readonly maximum: number
}

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

// A piece that is not exactly two non-empty parts is as good as absent: `OperationId=` is missing, `a=b=c` is lost.
const parseQuery = (query: string): ReadonlyMap<string, string> => {
  const parameters = new Map<string, string>()
  if (query === "") return parameters
  for (const piece of query.split("&")) {
    const parts = piece.split("=")
    if (parts.length !== 2 || parts[0] === "" || parts[1] === "" || parameters.has(parts[0]!)) continue
    parameters.set(parts[0]!, parts[1]!)
  }
  return parameters
}

const decode = (text: string): string | undefined => {
  if (!text.includes("%")) return text
  // decodeURIComponent has no form that does not throw on a broken escape.
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const withoutScheme = (name: string): string => (name.startsWith("fabric:/") ? name.slice("fabric:/".length) : name)

const quote = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

const uint32 = (text: string): number | undefined => {
  const value = /^[0-9]+$/.test(text) ? Number(text) : /^0x[0-9a-f]+$/i.test(text) ? Number.parseInt(text, 16) : NaN
  return value <= 4294967295 ? value : undefined
}

const int64Max = 9223372036854775807n
const uint64Max = 18446744073709551615n

const nodeStatuses: ReadonlyArray<NodeStatusFilter> = [
  "default",
  "all",
  "up",
  "down",
  "enabling",
  "disabling",
  "disabled",
  "unknown",
  "removed"
]

// oxlint-disable-next-line no-control-regex -- a name with a control character is exactly what is looked for
const notInNames = /[?#\u0000-\u001f\u007f]/

/** Reads parameters and remembers the first failure; what is read after it does not matter any more. */
class Reader {
  failure: WireError | undefined = undefined
  private readonly keys: Readonly<Record<string, string>>
  private readonly parameters: ReadonlyMap<string, string>

  constructor(keys: Readonly<Record<string, string>>, parameters: ReadonlyMap<string, string>) {
    this.keys = keys
    this.parameters = parameters
  }

  version({ maximum, minimum }: Versions): number {
    const raw = this.parameters.get("api-version")
    if (raw === undefined) return this.refuse("E_INVALIDARG", "The query parameter api-version is missing.", 0)
    const text = raw.endsWith("-preview") ? raw.slice(0, -"-preview".length) : raw
    const version = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN
    return version >= minimum && version <= maximum
      ? version
      : this.refuse(
          "E_INVALIDARG",
          `The api-version ${quote(raw)} is not one of ${minimum.toFixed(1)} to ${maximum}.`,
          0
        )
  }

  timeout(): number {
    const text = this.parameters.get("timeout")
    // Hex is not taken here, and what cannot be read counts as absent.
    const value = text !== undefined && /^[0-9]+$/.test(text) ? Number(text) : 60
    if (value === 0) {
      return this.refuse("E_INVALIDARG", "The timeout specified for client APIs must be greater than zero", 60)
    }
    return value <= 4294967295 ? value : 60
  }

  /** A path key that is a `fabric:/` name. */
  name(key: string): string {
    const text = decode(this.keys[key]!)
    const bare = text?.replaceAll("~", "/")
    if (bare === undefined || notInNames.test(bare) || bare.split("/").includes("")) {
      return this.refuse("FABRIC_E_INVALID_NAME_URI", `The ${key} ${quote(this.keys[key]!)} is not a valid name.`, "")
    }
    return bare.length > stringLengthMax ? this.tooLarge(key) : `fabric:/${bare}`
  }

  /** A path key that is plain text. */
  text(key: string): string {
    const text = decode(this.keys[key]!) ?? this.keys[key]!
    return text.length > stringLengthMax ? this.tooLarge(key) : text
  }

  /** A path key that is a GUID. */
  keyGuid(key: string): Guid.Guid {
    return this.toGuid(key, this.keys[key]!)
  }

  /** A path key that is a positive 64-bit number, in decimal without leading zeros. */
  replicaId(key: string): string {
    const text = this.keys[key]!
    const value = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : 0n
    return value > 0n && value <= int64Max
      ? value.toString()
      : this.refuse("E_INVALIDARG", `The ${key} ${quote(text)} is not a replica id.`, "0")
  }

  /** A required query parameter that is a GUID. */
  guid(parameter: string): Guid.Guid {
    const text = this.required(parameter)
    return text === undefined ? Guid.nil : this.toGuid(parameter, text)
  }

  /** A required query parameter that is one of the words, spelt exactly. */
  word<A>(parameter: string, words: Readonly<Record<string, A>>, otherwise: A): A {
    const text = this.required(parameter)
    if (text === undefined) return otherwise
    if (Object.hasOwn(words, text)) return words[text]!
    const known = Object.keys(words).join(", ")
    return this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not one of ${known}.`, otherwise)
  }

  /** A required query parameter that is an unsigned 32-bit number of at most `maximum`. */
  uint32(parameter: string, maximum: number): number {
    const text = this.required(parameter)
    if (text === undefined) return 0
    const value = uint32(text)
    return value !== undefined && value <= maximum
      ? value
      : this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not a number from 0 to ${maximum}.`, 0)
  }

  /** The required instance id of a node: an unsigned 64-bit number that is not 0, given back in decimal. */
  instanceId(parameter: string): string {
    const text = this.required(parameter)
    if (text === undefined) return "0"
    const value = /^(?:[0-9]{1,20}|0x[0-9a-f]{1,16})$/i.test(text) ? BigInt(text) : -1n
    if (value < 0n || value > uint64Max) {
      return this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not a number of 64 bits.`, "0")
    }
    return value === 0n
      ? this.refuse("FABRIC_E_INVALID_INSTANCE_ID", `The ${parameter} is 0. The node query shows the one to give.`, "0")
      : value.toString()
  }

  /** The required time that a node is stopped for, in seconds. */
  stopDuration(parameter: string): number {
    const { maximum, minimum } = stopDurationLimits
    const value = this.uint32(parameter, 4294967295)
    return this.failure !== undefined || (value >= minimum && value <= maximum)
      ? value
      : this.refuse(
          "FABRIC_E_INVALID_DURATION",
          `${parameter} is out of range: ${value} is not from ${minimum} to ${maximum}.`,
          minimum
        )
  }

  /** An optional bit mask; absent is 0. */
  filter(parameter: string): number {
    const text = this.optional(parameter)
    if (text === null) return 0
    return (
      uint32(text) ??
      this.refuse(
        "E_INVALIDARG",
        `The specified filter value is invalid: ${quote(text)}. Please specify a valid number. (${parameter})`,
        0
      )
    )
  }

  /** An optional boolean; absent is false. */
  flag(parameter: string): boolean {
    const text = this.optional(parameter)?.toLowerCase()
    if (text === undefined || text === "false") return false
    return (
      text === "true" || this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not true or false.`, false)
    )
  }

  optionalText(parameter: string): string | null {
    const text = this.optional(parameter)
    return text !== null && text.length > stringLengthMax ? this.tooLarge(parameter) : text
  }

  nodeStatus(parameter: string): NodeStatusFilter {
    const text = this.optional(parameter)?.toLowerCase()
    if (text === undefined) return "default"
    return (
      nodeStatuses.find((word) => word === text) ??
      this.refuse(
        "E_INVALIDARG",
        `The ${parameter} ${quote(text)} is not one of ${nodeStatuses.join(", ")}.`,
        "default"
      )
    )
  }

  paging(token: RegExp): Paging {
    const after = this.optionalText("ContinuationToken")
    if (after !== null && !token.test(after)) {
      this.refuse(
        "E_INVALIDARG",
        `The continuation token '${quote(after)}' is not valid. Repeat the one you were given.`,
        0
      )
    }
    return { after, ...this.maxResults() }
  }

  private maxResults(): { readonly limit: number } {
    const text = this.optional("MaxResults")
    const limit = text === null ? 0n : /^[0-9]{1,19}$/.test(text) ? BigInt(text) : -1n
    if (limit < 0n || limit > int64Max) {
      this.refuse("E_INVALIDARG", `The MaxResults ${quote(text ?? "")} is not a number of at least 0.`, 0)
    }
    return { limit: limit > 4294967295n || limit < 0n ? 0 : Number(limit) }
  }

  /** Which chaos events: from a time to a time, or on from a token, which carries its times. */
  chaosEvents(limitUsual: number): ChaosEventQuery {
    const token = this.optional("ContinuationToken")
    const [start, end] = [this.fileTime("StartTimeUtc"), this.fileTime("EndTimeUtc")]
    const { limit: asked } = this.maxResults()
    const limit = asked === 0 ? limitUsual : asked
    if (token === null) return { after: 0, from: start, to: end, limit }
    if (this.parameters.has("StartTimeUtc") || this.parameters.has("EndTimeUtc")) {
      this.refuse(
        "E_INVALIDARG",
        "Invalid argument combination in GetChaosEvents; use either ChaosEventsFilter or ContinuationToken, but not both.",
        0
      )
    }
    const match = /^([0-9]{1,15})_(n|-?[0-9]{1,15})_(n|-?[0-9]{1,15})$/.exec(token)
    if (match === null) {
      this.refuse(
        "E_INVALIDARG",
        `The continuation token '${quote(token)}' is not valid. Repeat the one you were given.`,
        0
      )
    }
    const [, after = "0", from = "n", to = "n"] = match ?? []
    const time = (text: string): number | null => (text === "n" ? null : Number(text))
    return { after: Number(after), from: time(from), to: time(to), limit }
  }

  private fileTime(parameter: string): number | null {
    const text = this.optional(parameter)
    if (text === null) return null
    return (
      fromFileTime(text) ??
      this.refuse(
        "E_INVALIDARG",
        `The ${parameter} ${quote(text)} is not a Windows file time, the ticks of 100 ns since 1601.`,
        null
      )
    )
  }

  private optional(parameter: string): string | null {
    const text = this.parameters.get(parameter)
    return text === undefined ? null : (decode(text) ?? text)
  }

  private required(parameter: string): string | undefined {
    const text = this.optional(parameter)
    if (text !== null) return text
    const missing = `${table.FABRIC_E_NAME_DOES_NOT_EXIST.message} The query parameter ${parameter} is missing.`
    return this.refuse("FABRIC_E_NAME_DOES_NOT_EXIST", missing, undefined)
  }

  private toGuid(name: string, raw: string): Guid.Guid {
    return (
      Guid.parse(decode(raw) ?? raw) ??
      this.refuse("E_INVALIDARG", `The ${name} ${quote(raw)} is not a GUID of 36 characters.`, Guid.nil)
    )
  }

  private tooLarge(name: string): string {
    return this.refuse("FABRIC_E_VALUE_TOO_LARGE", `The ${name} is longer than ${stringLengthMax} characters.`, "")
  }

  private refuse<A>(code: FabricErrorCode, message: string, otherwise: A): A {
    this.failure ??= { code, message }
    return otherwise
  }
}
