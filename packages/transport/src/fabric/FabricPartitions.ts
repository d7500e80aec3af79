/**
 * Partitions and their replicas or instances as the wire shows them.
 */
import type { Member, Topology } from "@inquorate/core/Topology"
import * as Health from "./FabricHealth.ts"
import type * as Model from "./FabricModel.ts"
import { formatDuration } from "./FabricTime.ts"
import * as World from "./FabricWorld.ts"

// --- make ---

/** A partition. If the gateway and the specification have different names for something, both are there. */
export const partitionInfo = (world: World.World, topology: Topology): Model.Partition => {
  const facts = World.factsOf(topology)
  const common = {
    ServiceKind: facts.kind,
    PartitionInformation: information(topology),
    HealthState: Health.ofPartition(world, topology).state,
    PartitionStatus: World.statusOf(world, topology)
  }
  if (facts.kind === "Stateless") return { ...common, InstanceCount: facts.targetSize }
  const epoch = { ConfigurationVersion: facts.configurationVersion, DataLossVersion: facts.dataLossVersion }
  const lost = World.lossOf(world, topology)
  return {
    ...common,
    TargetReplicaSetSize: facts.targetSize,
    MinReplicaSetSize: facts.minSize,
    PrimaryEpoch: epoch,
    CurrentConfigurationEpoch: epoch,
    LastQuorumLossDuration: formatDuration(lost),
    LastQuorumLossDurationInSeconds: String(Math.floor(lost / 1000))
  }
}

/** A replica with its id, which the wire gives one of two names. */
export interface ReplicaInfo {
  readonly id: string
  readonly info: Model.Replica
}

/** The replicas or instances of a partition in the order of their ids. */
export const replicas = (world: World.World, topology: Topology): ReadonlyArray<ReplicaInfo> => {
  const { kind } = World.factsOf(topology)
  return topology.members
    .map((member): ReplicaInfo => {
      const id = World.replicaId(topology.partitionId, member)
      const common = {
        ReplicaStatus: replicaStatus(member),
        HealthState: Health.ofReplica(world, topology, member).state,
        NodeName: member.node,
        Address: member.address,
        LastInBuildDurationInSeconds: "0"
      }
      return {
        id,
        info:
          kind === "Stateless"
            ? { ServiceKind: kind, InstanceId: id, ...common }
            : { ServiceKind: kind, ReplicaId: id, ReplicaRole: member.role, PreviousReplicaRole: "None", ...common }
      }
    })
    .sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1))
}

/** The status of a replica. Its cluster says it, else it follows from what can be seen of the member. */
export const replicaStatus = (member: Member): Model.Replica["ReplicaStatus"] =>
  member.replica?.status ?? (member.up ? "Ready" : "Down")

/**
 * True if the filter takes the status. 0 takes all but Dropped. Else these bits: InBuild 1, Standby 2, Ready 4, Down 8,
 * Dropped 16.
 */
export const takesReplica = (filter: number, status: Model.Replica["ReplicaStatus"]): boolean =>
  filter === 0 ? status !== "Dropped" : (filter & (statusBits[status] ?? 0)) !== 0

// --- internal ---

const statusBits: Partial<Record<Model.Replica["ReplicaStatus"], number>> = {
  InBuild: 1,
  Standby: 2,
  Ready: 4,
  Down: 8,
  Dropped: 16
}

const information = (topology: Topology): Model.Partition["PartitionInformation"] => {
  const { key } = World.factsOf(topology)
  const Id = topology.partitionId
  switch (key._tag) {
    case "Singleton":
      return { ServicePartitionKind: "Singleton", Id }
    case "Int64Range":
      return { ServicePartitionKind: "Int64Range", Id, LowKey: key.low, HighKey: key.high }
    case "Named":
      return { ServicePartitionKind: "Named", Id, Name: key.name }
  }
}
