/**
 * One application of the simulated cluster as a `Target`. Each partition is a group. The cluster answers a write
 * exactly while the quorum rule allows it, and the failover manager speaks for the survivors.
 */
import * as Effect from "effect/Effect"
import type { ProbeOutcome, SurvivorsWord } from "@inquorate/core/Evidence"
import { type Probe, type Target, TargetError } from "@inquorate/core/Target"
import { type Member, serviceName, type Topology } from "@inquorate/core/Topology"
import { type ApplicationLayout, numberOf } from "./Layout.ts"
import * as PartitionState from "./PartitionState.ts"
import type { Partition, Place, Simulation } from "./Simulation.ts"

// --- make ---

/** Makes the target of an application. */
export const make = (simulation: Simulation, application: ApplicationLayout): Target => {
  const partitions = simulation.partitions.filter(({ placed }) => placed.application === application.name)
  const find = (group: string): Effect.Effect<Partition, TargetError> =>
    Effect.suspend(() => {
      const found = partitions.find(({ placed }) => placed.group === group)
      return found === undefined
        ? Effect.fail(
            new TargetError({
              cluster: application.name,
              endpoint: group,
              reason: "Misconfigured",
              detail: `The application has no group ${group}; there are ${partitions.map(({ placed }) => placed.group).join(", ")}.`
            })
          )
        : Effect.succeed(found)
    })
  const findPlace = ({ placed, places }: Partition, member: string): Effect.Effect<Place, TargetError> => {
    const place = places.find((one) => one.member === member)
    if (place !== undefined) return Effect.succeed(place)
    const detail = `The group ${placed.group} has no member ${member}; there are ${places.map((one) => one.member).join(", ")}.`
    return Effect.fail(
      new TargetError({ cluster: application.name, endpoint: placed.group, reason: "Misconfigured", detail })
    )
  }
  return {
    system: "simulated",
    cluster: application.name,
    discover: Effect.sync(() => {
      simulation.settle()
      return partitions.map((partition) => topologyOf(simulation, partition))
    }),
    probe: (group) => Effect.map(find(group), (partition) => probeOf(simulation, partition)),
    survivorsSpeak: true,
    application: {
      typeName: application.typeName,
      typeVersion: application.typeVersion,
      parameters: Object.entries(application.parameters).map(([key, value]) => ({ key, value }))
    },
    nodes: Effect.sync(simulation.nodes),
    loseData: (group, mode, member) =>
      Effect.gen(function* () {
        const partition = yield* find(group)
        const place = member === undefined ? undefined : yield* findPlace(partition, member)
        simulation.change((at) => {
          partition.state =
            place === undefined
              ? PartitionState.destroy(partition.state, mode, at, simulation.timing)
              : PartitionState.remove(partition.state, place.index, at, simulation.timing)
        })
        // The loss counts once the cluster has a configuration again, or no replica is left that could be in one.
        while ((simulation.settle(), partition.state.reconfiguredAt !== null)) yield* simulation.nextChange
      }),
    recover: (group) =>
      Effect.map(find(group), (partition) =>
        simulation.change((at) => {
          partition.state = PartitionState.recover(partition.state, at, simulation.timing)
        })
      ),
    recoveryBudget: 60_000,
    recoveryWriteTimeout: 1000
  }
}

// --- internal ---

/** How long a write takes, in milliseconds. */
const latency = 2

const probeOf = (simulation: Simulation, partition: Partition): Probe => ({
  // The naming service leads this name to the primary, whichever replica that is.
  endpoints: [serviceName(partition.placed.application, partition.placed.group)],
  write: () =>
    Effect.gen(function* () {
      while (true) {
        simulation.settle()
        if (PartitionState.takesWrites(partition.state)) {
          yield* Effect.sleep(latency)
          simulation.settle()
          if (PartitionState.takesWrites(partition.state)) return { _tag: "Acknowledged" } satisfies ProbeOutcome
        } else yield* simulation.nextChange
      }
    }),
  survivors: Effect.sync(() => {
    simulation.settle()
    return wordOf(partition)
  })
})

const wordOf = ({ state }: Partition): SurvivorsWord => {
  const configured = PartitionState.configuration(state)
  const up = configured.filter(PartitionState.isUp).length
  if (!state.replicas.some(PartitionState.isUp)) return { word: "Silent", detail: "no replica is up" }
  if (state.keeps === "Nothing" || !PartitionState.hasLostQuorum(state)) {
    return { word: "QuorumHeld", detail: `${up} of ${configured.length} replicas of the configuration are up` }
  }
  const needed = PartitionState.writeQuorum(configured.length)
  return {
    word: "QuorumLost",
    detail: `${up} of ${configured.length} replicas of the configuration are up, a write needs ${needed}`
  }
}

const topologyOf = (simulation: Simulation, partition: Partition): Topology => {
  const { placed, state } = partition
  const { service } = placed
  const size = PartitionState.configuration(state).length
  const needed = service.keeps === "Nothing" ? 1 : Math.max(1, PartitionState.writeQuorum(size))
  const since = state.lostSince
  return {
    cluster: placed.application,
    system: "simulated",
    group: placed.group,
    partitionId: placed.partitionId,
    observedAt: simulation.now(),
    needed,
    rule: service.keeps === "Nothing" ? "any instance" : `majority of ${size}`,
    members: partition.places.map((place) => memberOf(simulation, place)),
    service: {
      name: serviceName(placed.application, service.name),
      typeName: service.typeName,
      kind: service.keeps === "Nothing" ? "Stateless" : "Stateful",
      persisted: service.keeps === "Persisted",
      targetSize: service.size,
      minSize: service.minSize,
      key: placed.key,
      status: PartitionState.statusOf(state),
      statusSince: partition.since.at,
      configurationVersion: String(state.configurationVersion),
      dataLossVersion: String(state.dataLossVersion),
      lastQuorumLoss: since === null ? state.lastLoss : Math.max(0, simulation.now() - since)
    }
  }
}

const memberOf = (simulation: Simulation, place: Place): Member => {
  const { index, member, node, partition, pid } = place
  const replica = partition.state.replicas[index]!
  const address = simulation.layout.nodes.find(({ name }) => name === node)!.address
  return {
    name: member,
    node,
    address: `${address}:${19_000 + pid}`,
    role: replica.role,
    counts: partition.state.keeps === "Nothing" || replica.configured,
    // A replica that is being built is there, but it acknowledges nothing yet.
    up: replica.status === "Ready",
    cuttable: "Always",
    process: simulation.processOf(place),
    processProblem: "",
    replica: {
      id: numberOf(simulation.seed, `replica/${partition.placed.partitionId}/${index}`, replica.generation),
      status: replica.status,
      since: partition.since.replicas[index]!.at
    }
  }
}
