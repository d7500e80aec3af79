/**
 * A replicated group as seen at one moment: its members, their roles, who counts for its quorum, who is up, and which
 * process each one is. Targets make it; the plan, the browse calls and the evidence read it.
 */
import * as Schema from "effect/Schema"
import * as Guid from "./Guid.ts"
import { Supervisor } from "./Supervision.ts"
import { Instant, Millis } from "./Time.ts"

/** A replica's part in its group, in Service Fabric's words; learners and observers are IdleSecondary. */
export const Role = Schema.Literals(["Primary", "ActiveSecondary", "IdleSecondary"])
export type Role = typeof Role.Type

/**
 * The endpoints, `address:port` with numbers only, over which the members of a group speak to each other: where this
 * one listens, and where the others do. A mechanism that cuts traffic goes by them. Without them it looks for itself.
 */
export class PeerEndpoints extends Schema.Opaque<PeerEndpoints>()(
  Schema.Struct({
    own: Schema.Array(Schema.String),
    others: Schema.Array(Schema.String)
  }).annotate({ identifier: "PeerEndpoints" })
) {}

/**
 * A container on a host: its engine, and the 64 hexadecimal digits by which the engine knows it, or, of containerd
 * itself, its namespace there and its name. `cri` stands for whatever runtime a kubelet uses; we do not start and end its
 * containers.
 */
export class ContainerRef extends Schema.Opaque<ContainerRef>()(
  Schema.Struct({
    engine: Schema.Literals(["docker", "podman", "nerdctl", "containerd", "cri"]),
    id: Schema.String.check(Schema.isPattern(/^(?:[0-9a-f]{64}|[A-Za-z0-9._-]{1,76}\/[A-Za-z0-9._-]{1,76})$/))
  }).annotate({ identifier: "ContainerRef" })
) {}

/**
 * The server process of a member, named so that no other process can be taken for it. `startTime` is field 22 of
 * `/proc/<pid>/stat` in clock ticks since boot, so a reused pid never matches.
 */
export class ProcessRef extends Schema.Opaque<ProcessRef>()(
  Schema.Struct({
    /** The label of the host the process runs on. */
    host: Schema.String,
    pid: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
    startTime: Schema.String,
    /** The absolute path of the executable that the process runs. */
    executable: Schema.String,
    /** The data directory that makes it this server and no other. */
    dataDirectory: Schema.String,
    /** The container that it runs in: `executable` and `dataDirectory` are then as that sees them, `pid` as the host does. */
    container: Schema.optionalKey(ContainerRef),
    /** How the members speak to each other, where the target knows it. */
    peers: Schema.optionalKey(PeerEndpoints)
  }).annotate({ identifier: "ProcessRef" })
) {}

/** When a member may be taken out: in every mode, only when all replicas are asked for, or never. */
export const Cuttable = Schema.Literals(["Always", "OnlyInAllReplicas", "Never"])
export type Cuttable = typeof Cuttable.Type

/** The state of a replica in Service Fabric's words. */
export const ReplicaStatus = Schema.Literals(["InBuild", "Standby", "Ready", "Down", "Dropped"])
export type ReplicaStatus = typeof ReplicaStatus.Type

/** What a simulated cluster knows of a replica beyond what every system tells: its id (63 bits, decimal) and status. */
export class ReplicaFacts extends Schema.Opaque<ReplicaFacts>()(
  Schema.Struct({
    id: Schema.String,
    status: ReplicaStatus,
    /** Since when it is in that status. */
    since: Schema.optionalKey(Instant)
  }).annotate({ identifier: "ReplicaFacts" })
) {}

/** One member of a group. */
export class Member extends Schema.Opaque<Member>()(
  Schema.Struct({
    /** The name within its group, such as `s1` or `m0`. */
    name: Schema.String,
    /** The node it stands on: its host label, or `<cluster>-<member>` where members share an address. */
    node: Schema.String,
    /** The client address, `host:port`. */
    address: Schema.String,
    /** The further addresses that it takes clients at, where it has several. */
    otherAddresses: Schema.optionalKey(Schema.Array(Schema.String)),
    role: Role,
    /** True for a member whose acknowledgement counts towards the quorum. */
    counts: Schema.Boolean,
    up: Schema.Boolean,
    /** Why it is not up, in words for a person; left out where it is, or where the target tells no reason. */
    downBecause: Schema.optionalKey(Schema.String),
    cuttable: Cuttable,
    /** The server process, where it was found and checked. */
    process: Schema.NullOr(ProcessRef),
    /** Why the process was not found or not believed, in words for a person; empty where it was. */
    processProblem: Schema.String,
    /** True where that was not told in time, by the host or by the member: nothing speaks against its process. */
    processLate: Schema.optionalKey(Schema.Boolean),
    /** True where nobody told which process it is, in time or at all. `processProblem` says why then. */
    processUnknown: Schema.optionalKey(Schema.Boolean),
    /** What a simulated cluster adds. */
    replica: Schema.optionalKey(ReplicaFacts)
  }).annotate({ identifier: "Member" })
) {}

/** Which part of a service's keys a partition holds; 64-bit keys in decimal. */
export const PartitionKey = Schema.TaggedUnion({
  Singleton: {},
  Int64Range: { low: Schema.String, high: Schema.String },
  Named: { name: Schema.String }
})
export type PartitionKey = typeof PartitionKey.Type

/** The state of a partition in Service Fabric's words. */
export const PartitionStatus = Schema.Literals(["Ready", "NotReady", "InQuorumLoss", "Reconfiguring", "Deleting"])
export type PartitionStatus = typeof PartitionStatus.Type

/**
 * What a simulated Service Fabric cluster knows of the service that a group is a partition of; a group of another system
 * is a stateful persisted service of its own with one Singleton partition. The two versions are the partition's epoch.
 */
export class ServiceFacts extends Schema.Opaque<ServiceFacts>()(
  Schema.Struct({
    name: Schema.String,
    typeName: Schema.String,
    kind: Schema.Literals(["Stateful", "Stateless"]),
    persisted: Schema.Boolean,
    /** Replicas, or instances of a stateless service. */
    targetSize: Schema.Int,
    minSize: Schema.Int,
    key: PartitionKey,
    status: PartitionStatus,
    /** Since when the partition is in that status. */
    statusSince: Schema.optionalKey(Instant),
    configurationVersion: Schema.String,
    dataLossVersion: Schema.String,
    /** How long the last loss of the quorum lasted, or the present one so far. */
    lastQuorumLoss: Millis
  }).annotate({ identifier: "ServiceFacts" })
) {}

/** What a simulated cluster knows of a node; other systems' nodes follow from their members. Times are null for never. */
export class NodeFacts extends Schema.Opaque<NodeFacts>()(
  Schema.Struct({
    name: Schema.String,
    address: Schema.String,
    type: Schema.String,
    /** 63 bits in decimal; another one after every start. */
    instanceId: Schema.String,
    up: Schema.Boolean,
    /** True for a node that was stopped on purpose. */
    stopped: Schema.Boolean,
    seed: Schema.Boolean,
    upgradeDomain: Schema.String,
    faultDomain: Schema.String,
    upAt: Schema.NullOr(Instant),
    downAt: Schema.NullOr(Instant)
  }).annotate({ identifier: "NodeFacts" })
) {}

/** A replicated group at one moment. `needed` of the members that count must acknowledge a write. */
export class Topology extends Schema.Opaque<Topology>()(
  Schema.Struct({
    cluster: Schema.String,
    /** The system, such as `postgres` or `etcd`. */
    system: Schema.String,
    group: Schema.String,
    partitionId: Guid.Guid,
    observedAt: Instant,
    /** How many acknowledgements a write needs from the members that count. */
    needed: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
    /** The system's own words for the rule, such as `ANY 1 (s1, s2)` or `majority of 3`. */
    rule: Schema.String,
    members: Schema.Array(Member),
    /** What a person should know before a loss of this quorum and nothing refuses, each in a sentence. */
    warnings: Schema.optionalKey(Schema.Array(Schema.String)),
    /** Who watches over the group itself and would act on the loss, as its system tells; left out where nobody does. */
    supervisors: Schema.optionalKey(Schema.Array(Supervisor)),
    /** Why a loss of this quorum could not be planned truly or proven as things stand, each in words for a person. */
    unfit: Schema.optionalKey(Schema.Array(Schema.String)),
    /** What a simulated cluster adds. */
    service: Schema.optionalKey(ServiceFacts)
  }).annotate({ identifier: "Topology", title: "A group with its members" })
) {}

/** The name of the service that a group stands for, or is a partition of. */
export const serviceNameOf = (topology: Topology): string =>
  topology.service?.name ?? serviceName(topology.cluster, topology.group)

/**
 * The instance id of a node as the node query shows it and as a transition has to name it. A simulated node has its
 * own. Other systems count no instances, so theirs is a number that follows from the node's name for ever.
 */
export const nodeInstanceId = (nodeName: string, facts?: NodeFacts): string =>
  facts?.instanceId ?? Guid.number63(nodeNamespace, `instance/${nodeName}`)

/** The id of a node: 32 hexadecimal digits that follow from its name. */
export const nodeId = (nodeName: string): string => Guid.v5(nodeNamespace, `node/${nodeName}`).replaceAll("-", "")

/** The name of the service that stands for a group: `fabric:/<cluster>/<group>`. */
export const serviceName = (cluster: string, group: string): string => `fabric:/${cluster}/${group}`

/**
 * How the group stands. `Lost` has fewer counting members up than a write needs. `Reconfiguring` has enough, and no
 * primary up, as while it elects one. `Degraded` can take writes with some member down, learners (IdleSecondary) aside.
 */
export type Health = "Healthy" | "Degraded" | "Reconfiguring" | "Lost"

/** How a group stands, by the members that are up and nothing else. It asks nobody. */
export const health = (topology: Topology): Health => {
  const counting = topology.members.filter((member) => member.counts)
  const up = counting.filter((member) => member.up).length
  if (up < topology.needed) return "Lost"
  if (!topology.members.some((member) => member.role === "Primary" && member.up)) return "Reconfiguring"
  return topology.members.every((member) => member.up || member.role === "IdleSecondary") ? "Healthy" : "Degraded"
}

/** True for a group that can take writes as it stands: it has its quorum and a primary. */
export const isServing = (topology: Topology): boolean => ["Healthy", "Degraded"].includes(health(topology))

/** True for a group that should take writes as it stands: it keeps state and is serving. */
export const takesWrites = (topology: Topology): boolean =>
  topology.service?.kind !== "Stateless" && isServing(topology)

// --- internal ---

/** Drawn once for Inquorate; changing it would give every node a new id. */
const nodeNamespace: Guid.Guid = "2f0f8a3c-52d1-4a86-9f0e-3d6b0a7b6c15"
