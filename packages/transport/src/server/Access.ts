/**
 * Who may do what: the role that each call of both surfaces asks of its caller. On the Service Fabric surface it is the
 * gateway's own default (`Security/ClientAccess`). On ours, reading asks for User and everything else for Admin. A call
 * without an entry does not compile, and a request that no entry knows asks for Admin.
 */
import type { FabricCall } from "../fabric/FabricCall.ts"

// --- models ---

/** What a caller may be: an Admin may do everything, a User may only look. */
export type Role = "Admin" | "User"

/** What a call asks for: nobody in particular, or at least this role. */
export type Access = "Anonymous" | Role

// --- make ---

/** True if a caller of this role may make a call that asks for `access`. */
export const permits = (role: Role, access: Access): boolean => access !== "Admin" || role === "Admin"

/** The role that a call of the Service Fabric surface asks for. */
export const ofFabric = (call: FabricCall): Access => fabricAccess[call._tag]

/**
 * The role that a request to our own surface asks for. The probes of balancers ask for nobody. Reading and the dry run
 * ask for a User, and everything else, even what does not exist yet, for an Admin. Chaos asks for an Admin even to
 * read, as on the other surface.
 */
export const ofApi = (method: string, target: string): Access => {
  const path = (target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/?#]*/i, "")).replace(/[?#].*$/s, "")
  const reads = method === "GET" || method === "HEAD" || method === "OPTIONS"
  if (reads && (path === "/healthz" || path === "/readyz")) return "Anonymous"
  if (isChaos(path)) return "Admin"
  return reads || (method === "POST" && path === "/v1/plan") ? "User" : "Admin"
}

/**
 * The role of each call by name, even of the calls that this server does not have yet. Every entry is the reference's
 * own. Chaos looks odd there too: only its report has an entry, so the default of Admin holds even for reading.
 */
export const fabricAccess = {
  GetRootPage: "User",
  GetAadMetadata: "Anonymous",
  StartQuorumLoss: "Admin",
  StartDataLoss: "Admin",
  StartPartitionRestart: "Admin",
  StartNodeTransition: "Admin",
  CancelOperation: "Admin",
  GetQuorumLossProgress: "User",
  GetDataLossProgress: "User",
  GetPartitionRestartProgress: "User",
  GetNodeTransitionProgress: "User",
  GetFaultOperationList: "User",
  StartChaos: "Admin",
  StopChaos: "Admin",
  GetChaosReport: "User",
  GetChaos: "Admin",
  GetChaosEvents: "Admin",
  GetChaosSchedule: "Admin",
  PostChaosSchedule: "Admin",
  RecoverPartition: "Admin",
  RecoverServicePartitions: "Admin",
  RecoverSystemPartitions: "Admin",
  RecoverAllPartitions: "Admin",
  ResetPartitionLoad: "User",
  GetClusterVersion: "User",
  GetClusterManifest: "User",
  GetClusterHealth: "User",
  GetNodeList: "User",
  GetNode: "User",
  GetNodeHealth: "User",
  GetApplicationList: "User",
  GetApplication: "User",
  GetApplicationHealth: "User",
  GetServiceList: "User",
  GetService: "User",
  GetServiceHealth: "User",
  GetServiceDescription: "User",
  GetApplicationName: "User",
  GetPartitionList: "User",
  GetPartition: "User",
  GetPartitionHealth: "User",
  GetServiceName: "User",
  GetReplicaList: "User",
  GetReplica: "User",
  GetReplicaHealth: "User",
  GetClusterHealthChunk: "User",
  GetClusterUpgradeProgress: "User",
  GetClusterLoad: "User",
  GetRepairTaskList: "User",
  GetFailoverManagerManager: "User",
  GetApplicationTypeList: "User",
  GetServiceTypeList: "User",
  GetApplicationManifest: "User",
  GetServiceManifest: "User",
  GetApplicationUpgradeProgress: "User",
  GetApplicationLoad: "User",
  GetNodeLoad: "User",
  GetPartitionLoad: "User",
  GetDeployedApplicationList: "User",
  GetDeployedApplication: "User",
  GetDeployedApplicationHealth: "User",
  GetDeployedServicePackageList: "User",
  GetDeployedServicePackageHealth: "User",
  GetDeployedServiceTypeList: "User",
  GetDeployedCodePackageList: "User",
  GetDeployedReplicaList: "User",
  GetDeployedReplicaDetail: "User",
  ResolvePartition: "User",
  GetBackupPolicyList: "User",
  GetBackupPolicy: "User",
  GetBackupList: "User",
  GetPartitionBackup: "User",
  GetEvents: "User",
  GetCorrelatedEvents: "User",
  RestartNode: "Admin",
  DeactivateNode: "Admin",
  ActivateNode: "Admin",
  RestartReplica: "Admin",
  RemoveReplica: "Admin"
} as const satisfies Readonly<Record<FabricCall["_tag"], Access>> & Readonly<Record<string, Access>>

// --- internal ---

// The path may be written in any way, because a router may undo dots and escapes.
const isChaos = (path: string): boolean => {
  if (!URL.canParse(path, "http://worker")) return true
  const { pathname } = new URL(path, "http://worker")
  try {
    return /^\/+v1\/+chaos(?:\/|$)/i.test(decodeURIComponent(pathname))
  } catch {
    return true
  }
}
