/**
 * The URL grammar of Service Fabric's HTTP gateway as one pure parser: method and request target in, one tagged call or
 * one error out. Ids may hold raw `/` or `~`, literal segments are compared with case, the first query value wins, and
 * whatever matches no template is 400 `E_INVALIDARG`, never 404 or 405. The calls are the rows of `FabricRoutes.ts`; their
 * fields are read in the order in which the gateway checks them, and the first failure is the answer.
 * Source of the rules: the gateway's own parser (MIT, 6.4 era) and its 8.2 specification.
 */
import type { ChaosEventQuery } from "@inquorate/core/Chaos"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import * as Guid from "@inquorate/core/Guid"
import type { QuorumLossMode } from "@inquorate/core/Plan"
import type { DataLossMode, RestartMode } from "@inquorate/core/Request"
import type { Instant } from "@inquorate/core/Time"
import * as Result from "effect/Result"
import { parseQuery, quote, Reader } from "./FabricParameters.ts"
import { type Row, rows } from "./FabricRoutes.ts"

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
      readonly deployedFilter: number
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
  | ExplorerCall
  | OneCallFault

/** What Service Fabric Explorer and others ask besides: upgrades, loads, types, what stands on a node, events, backups. */
export type ExplorerCall =
  | { readonly _tag: "GetClusterHealthChunk" }
  | { readonly _tag: "GetClusterUpgradeProgress" }
  | { readonly _tag: "GetClusterLoad" }
  | { readonly _tag: "GetRepairTaskList" }
  | { readonly _tag: "GetFailoverManagerManager" }
  | {
      readonly _tag: "GetApplicationTypeList"
      readonly typeName: string | null
      readonly typeVersion: string | null
      readonly excludeParameters: boolean
      readonly paging: Paging
    }
  | {
      readonly _tag: "GetServiceTypeList"
      readonly typeName: string
      readonly typeVersion: string
      readonly serviceTypeName: string | null
    }
  | { readonly _tag: "GetApplicationManifest"; readonly typeName: string; readonly typeVersion: string }
  | {
      readonly _tag: "GetServiceManifest"
      readonly typeName: string
      readonly typeVersion: string
      readonly manifestName: string
    }
  | { readonly _tag: "GetApplicationUpgradeProgress"; readonly applicationName: string }
  | { readonly _tag: "GetApplicationLoad"; readonly applicationName: string }
  | { readonly _tag: "GetNodeLoad"; readonly nodeName: string }
  | { readonly _tag: "GetPartitionLoad"; readonly partitionId: Guid.Guid }
  | { readonly _tag: "GetDeployedApplicationList"; readonly nodeName: string; readonly paging: Paging }
  | (OnNode & { readonly _tag: "GetDeployedApplication" })
  | (OnNode & {
      readonly _tag: "GetDeployedApplicationHealth"
      readonly events: number
      readonly packagesFilter: number
      readonly excludeStatistics: boolean
    })
  | (OnNode & { readonly _tag: "GetDeployedServicePackageList"; readonly packageName: string | null })
  | (OnNode & {
      readonly _tag: "GetDeployedServicePackageHealth"
      readonly packageName: string
      readonly events: number
      readonly excludeStatistics: true
    })
  | (OnNode & { readonly _tag: "GetDeployedServiceTypeList"; readonly packageName: string | null })
  | (OnNode & {
      readonly _tag: "GetDeployedCodePackageList"
      readonly packageName: string | null
      readonly codePackageName: string | null
    })
  | (OnNode & {
      readonly _tag: "GetDeployedReplicaList"
      readonly packageName: string | null
      readonly partitionId: Guid.Guid | null
    })
  | (ReplicaOnNode & { readonly _tag: "GetDeployedReplicaDetail" })
  | {
      readonly _tag: "ResolvePartition"
      readonly serviceName: string
      /** The key that is looked for; null for the one partition of a service that has no keys. */
      readonly key: ResolveKey | null
    }
  | { readonly _tag: "GetBackupPolicyList"; readonly paging: Paging }
  | { readonly _tag: "GetBackupPolicy"; readonly policyName: string }
  | { readonly _tag: "GetBackupList"; readonly of: BackupSubject }
  | {
      readonly _tag: "GetPartitionBackup"
      readonly partitionId: Guid.Guid
      readonly of: "GetBackupConfigurationInfo" | "GetBackupProgress" | "GetRestoreProgress"
    }
  | (EventWindow & { readonly _tag: "GetEvents"; readonly of: EventSubject })
  | { readonly _tag: "GetCorrelatedEvents"; readonly eventId: Guid.Guid }

/** A fault that is begun by one call without an operation id, as the buttons of Service Fabric Explorer do. */
export type OneCallFault =
  | { readonly _tag: "RestartNode"; readonly nodeName: string }
  | { readonly _tag: "DeactivateNode"; readonly nodeName: string }
  | { readonly _tag: "ActivateNode"; readonly nodeName: string }
  | (ReplicaOnNode & { readonly _tag: "RestartReplica" })
  | (ReplicaOnNode & { readonly _tag: "RemoveReplica" })

/** An application on a node. */
export interface OnNode {
  readonly nodeName: string
  readonly applicationName: string
}

/** A replica on a node. */
export interface ReplicaOnNode {
  readonly nodeName: string
  readonly partitionId: Guid.Guid
  readonly replicaId: string
}

/** A key of a partition: a number of 64 bits in decimal, or a name. */
export type ResolveKey =
  | { readonly _tag: "Int64Range"; readonly value: string }
  | { readonly _tag: "Named"; readonly value: string }

/** Whose backups are asked for. */
export type BackupSubject =
  | { readonly _tag: "Application"; readonly name: string }
  | { readonly _tag: "Service"; readonly name: string }
  | { readonly _tag: "Partition"; readonly partitionId: Guid.Guid }

/** Whose events are asked for; null for those of all of the kind. */
export type EventSubject =
  | { readonly _tag: "Cluster" }
  | { readonly _tag: "Containers" }
  | { readonly _tag: "Nodes"; readonly nodeName: string | null }
  | { readonly _tag: "Applications"; readonly applicationName: string | null }
  | { readonly _tag: "Services"; readonly serviceName: string | null }
  | { readonly _tag: "Partitions"; readonly partitionId: Guid.Guid | null }
  | { readonly _tag: "Replicas"; readonly partitionId: Guid.Guid; readonly replicaId: string | null }

/** From when to when, both included, and of which kinds; none means all. */
export interface EventWindow {
  readonly from: Instant
  readonly to: Instant
  readonly kinds: ReadonlyArray<string>
}

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

/**
 * The newest api-version whose forms are known here, which is the version of the runtime that we announce. What a newer
 * client asks is taken and answered in this one's forms.
 */
export const apiVersionMax = 8.2

/** The call that a method and a request target (`/path?query`, or absolute) mean, or why they mean none. Never throws. */
export const parse = (method: string, target: string): Result.Result<FabricRequest, WireError> => {
  const { path, query } = split(target)
  const segments = path.split("/").filter((segment) => segment !== "")
  for (const row of rowsFor(method, segments)) {
    const keys = match(row.template, segments)
    if (keys === undefined) continue
    const parameters = parseQuery(query)
    const reader = new Reader(keys, parameters)
    const version = row.versioned ? Math.min(reader.version(row.versions), apiVersionMax) : apiVersionMax
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
