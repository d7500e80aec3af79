/**
 * What is on a node, as the wire shows it: applications with their one package, code packages, and replicas with what
 * their process is doing. An application is on a node as long as one of its replicas is.
 */
import type { Guid } from "@inquorate/core/Guid"
import { type Member, type ProcessRef, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Health from "./FabricHealth.ts"
import * as Partitions from "./FabricPartitions.ts"
import * as Services from "./FabricServices.ts"
import { formatTime } from "./FabricTime.ts"
import * as Types from "./FabricTypes.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/** An application on a node, with its replicas on that node. */
export interface Deployed {
  readonly application: World.Application
  readonly node: World.Node
  readonly replicas: ReadonlyArray<Placed>
}

/** A replica in its partition. */
export interface Placed {
  readonly topology: Topology
  readonly member: Member
}

// --- make ---

/** The applications on a node in the order of their names, without the system application. */
export const onNode = (world: World.World, node: World.Node): ReadonlyArray<Deployed> =>
  world.applications.flatMap((application) => {
    const replicas = replicasThere(application, node)
    return replicas.length === 0 ? [] : [{ application, node, replicas }]
  })

/** Finds an application on a node. Gives `undefined` if it is not there. */
export const find = (world: World.World, node: World.Node, applicationName: string): Deployed | undefined => {
  const application = World.findApplication(world, applicationName)
  if (application === undefined) return undefined
  const replicas = replicasThere(application, node)
  return replicas.length === 0 ? undefined : { application, node, replicas }
}

/** An application on a node. */
export const applicationInfo = (world: World.World, { application, node }: Deployed) => ({
  ...Services.nameInfo(application.name, world.version),
  TypeName: Services.applicationType(application),
  TypeVersion: Services.applicationVersion(application),
  Status: "Active",
  WorkDirectory: "",
  LogDirectory: "",
  TempDirectory: "",
  HealthState: Health.ofDeployed(world, application, node).state
})

/** The one package of an application on a node. It is as healthy as the application there. */
export const packageInfo = (world: World.World, { application, node }: Deployed) => ({
  Name: Health.packageOf(application),
  Version: Services.applicationVersion(application),
  Status: "Active",
  ServicePackageActivationId: "",
  HealthState: Health.ofDeployed(world, application, node).state
})

/** The types of the services that have a replica on the node. */
export const serviceTypes = ({ application, replicas }: Deployed) => {
  const names = [...new Set(replicas.map(({ topology }) => World.factsOf(topology).typeName))].sort()
  return names.map((ServiceTypeName) => ({
    ServiceTypeName,
    ServiceManifestName: Health.packageOf(application),
    CodePackageName: Types.codePackage,
    Status: "Registered",
    ServicePackageActivationId: ""
  }))
}

/** The code package of an application on a node. The first process of its replicas stands for all. */
export const codePackage = ({ application, replicas }: Deployed) => {
  const process = replicas.find(({ member }) => member.process !== null)?.member.process ?? null
  return {
    Name: Types.codePackage,
    Version: Services.applicationVersion(application),
    ServiceManifestName: Health.packageOf(application),
    ServicePackageActivationId: "",
    HostType: "ExeHost",
    HostIsolationMode: "None",
    Status: "Active",
    RunFrequencyInterval: "0",
    HasSetupEntryPoint: false,
    SetupEntryPoint: entryPoint(null),
    MainEntryPoint: entryPoint(process)
  }
}

/** A replica of an application on a node. */
export const replicaInfo = (application: World.Application, { member, topology }: Placed) => {
  const facts = World.factsOf(topology)
  const id = World.replicaId(topology.partitionId, member)
  return {
    ServiceKind: facts.kind,
    ServiceName: serviceNameOf(topology),
    ServiceTypeName: facts.typeName,
    ServiceManifestName: Health.packageOf(application),
    ServiceManifestVersion: Services.applicationVersion(application),
    CodePackageName: Types.codePackage,
    PartitionId: topology.partitionId,
    ReplicaStatus: Partitions.replicaStatus(member),
    Address: member.address,
    ServicePackageActivationId: "",
    HostProcessId: String(member.process?.pid ?? 0),
    LastInBuildDurationInSeconds: "0",
    ...(facts.kind === "Stateless"
      ? { InstanceId: id }
      : {
          ReplicaId: id,
          ReplicaRole: member.role,
          ReconfigurationInformation: {
            PreviousConfigurationRole: "None",
            ReconfigurationPhase: "None",
            ReconfigurationType: "None",
            ReconfigurationStartTimeUtc: formatTime(null)
          }
        })
  }
}

/**
 * What the process of a replica is doing. Clients read the replica itself by several names, and all of them are there.
 */
export const replicaDetail = (world: World.World, application: World.Application, placed: Placed) => {
  const { member, topology } = placed
  const facts = World.factsOf(topology)
  const id = World.replicaId(topology.partitionId, member)
  const info = replicaInfo(application, placed)
  const common = {
    ServiceKind: facts.kind,
    ServiceName: serviceNameOf(topology),
    PartitionId: topology.partitionId,
    CurrentServiceOperation: "None",
    CurrentServiceOperationStartTimeUtc: formatTime(null),
    ReportedLoad: [],
    DeployedServiceReplicaQueryResult: info
  }
  if (facts.kind === "Stateless") return { ...common, InstanceId: id, DeployedServiceReplicaInstance: info }
  // A replica grants access while it serves: only the primary reads and writes, and only with its quorum.
  const serves = member.role === "Primary" && member.up && World.statusOf(world, topology) === "Ready"
  const status = (granted: boolean): string =>
    granted
      ? "Granted"
      : member.role !== "Primary"
        ? "NotPrimary"
        : member.up
          ? "NoWriteQuorum"
          : "ReconfigurationPending"
  return {
    ...common,
    ReplicaId: id,
    CurrentReplicatorOperation: "None",
    ReadStatus: status(serves),
    WriteStatus: status(serves),
    ReplicatorStatus: replicatorStatus(member),
    DeployedServiceReplica: info
  }
}

/** Finds the replica with this id on this node. */
export const findReplica = (
  world: World.World,
  about: { readonly nodeName: string; readonly partitionId: Guid; readonly replicaId: string }
): { readonly application: World.Application; readonly placed: Placed } | undefined => {
  for (const application of [...world.applications, world.system]) {
    const topology = application.view.groups.find(({ partitionId }) => partitionId === about.partitionId)
    if (topology === undefined) continue
    const member = topology.members.find(
      (one) => one.node === about.nodeName && World.replicaId(topology.partitionId, one) === about.replicaId
    )
    return member === undefined ? undefined : { application, placed: { topology, member } }
  }
  return undefined
}

// --- internal ---

const entryPoint = (process: ProcessRef | null) => ({
  EntryPointLocation: process?.executable ?? "",
  ProcessId: String(process?.pid ?? 0),
  RunAsUserName: "",
  CodePackageEntryPointStatistics: {
    LastExitCode: "0",
    LastActivationTime: formatTime(null),
    LastExitTime: formatTime(null),
    LastSuccessfulActivationTime: formatTime(null),
    LastSuccessfulExitTime: formatTime(null),
    ActivationCount: process === null ? "0" : "1",
    ActivationFailureCount: "0",
    ContinuousActivationFailureCount: "0",
    ExitCount: "0",
    ExitFailureCount: "0",
    ContinuousExitFailureCount: "0"
  },
  Status: process === null ? "Stopped" : "Started",
  NextActivationTime: formatTime(null),
  InstanceId: process === null ? "0" : "1"
})

// No system tells how its replication streams are doing, but readers of the wire expect these fields.
const queue = {
  QueueUtilizationPercentage: 0,
  QueueMemorySize: "0",
  FirstSequenceNumber: "0",
  CompletedSequenceNumber: "0",
  CommittedSequenceNumber: "0",
  LastSequenceNumber: "0"
}

const replicatorStatus = ({ role }: Member) =>
  role === "Primary"
    ? { Kind: role, ReplicationQueueStatus: queue, RemoteReplicators: [] }
    : {
        Kind: role,
        ReplicationQueueStatus: queue,
        CopyQueueStatus: queue,
        IsInBuild: role === "IdleSecondary",
        LastReplicationOperationReceivedTimeUtc: formatTime(null),
        LastCopyOperationReceivedTimeUtc: formatTime(null),
        LastAcknowledgementSentTimeUtc: formatTime(null)
      }

const replicasThere = ({ view }: World.Application, { name }: World.Node): ReadonlyArray<Placed> =>
  view.groups.flatMap((topology) =>
    topology.members
      .filter((member) => member.node === name && Health.isShown(member))
      .map((member) => ({ topology, member }))
  )
