/**
 * The health of the cluster as Service Fabric tells it. Every entity has its own events and the entities below it. Its
 * health is the worst of them all, and the evaluations say which ones are to blame. Pure: it judges the world as it is
 * now. The reports are those that Service Fabric's own components make.
 */
import { toFileTime } from "@inquorate/core/Chaos"
import type { Instant } from "@inquorate/core/Time"
import { health, type Member, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type * as Model from "./FabricModel.ts"
import { formatTime } from "./FabricTime.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/**
 * Which events, and which of the entities below, an answer shows. 0 shows all. Else these bits: 1 none, 2 Ok, 4
 * Warning, 8 Error.
 */
export interface HealthFilters {
  readonly events: number
  readonly excludeStatistics: boolean
}

type Kind =
  | "Cluster"
  | "Node"
  | "Application"
  | "Service"
  | "Partition"
  | "Replica"
  | "DeployedApplication"
  | "DeployedServicePackage"

/** The entities of one kind below an entity. */
interface Below {
  readonly kind: "Nodes" | "Applications" | "Services" | "Partitions" | "Replicas" | "DeployedServicePackages"
  /** The name of the policy's limit in the evaluation. */
  readonly limit: string
  readonly entities: ReadonlyArray<Entity>
}

/** Something that has a health. An evaluation names it by `identity`. */
export interface Entity {
  readonly kind: Kind
  readonly identity: Readonly<Record<string, string>>
  readonly words: string
  readonly events: ReadonlyArray<Model.HealthEvent>
  readonly below: ReadonlyArray<Below>
  readonly state: Model.HealthState
}

// --- make ---

/** The cluster: its nodes and applications. */
export const ofCluster = (world: World.World): Entity =>
  entity(
    "Cluster",
    {},
    "the cluster",
    [],
    [
      below(
        "Nodes",
        "MaxPercentUnhealthyNodes",
        world.nodes.map((node) => ofNode(world, node))
      ),
      below(
        "Applications",
        "MaxPercentUnhealthyApplications",
        world.applications.map((application) => ofApplication(world, application))
      )
    ]
  )

/** A node. Its cluster says whether it is up. If the cluster does not say, its members decide. */
export const ofNode = (world: World.World, node: World.Node): Entity => {
  const up = World.isUp(node)
  const partly = node.facts === null && !node.members.every((member) => member.up)
  const [state, text]: readonly [Model.HealthState, string] = !up
    ? ["Error", "Fabric node is down."]
    : partly
      ? ["Warning", "Some members on the node are down."]
      : ["Ok", "Fabric node is up."]
  const known = World.turnedAt(world, node)
  return entity(
    "Node",
    { NodeName: node.name },
    `node ${node.name}`,
    [event(world, `node/${node.name}`, { source: "System.FM", property: "State", state, words: text, known })],
    []
  )
}

/** An application with its services. */
export const ofApplication = (world: World.World, application: World.Application): Entity => {
  const { problem } = application.view
  return entity(
    "Application",
    { ApplicationName: application.name },
    `application ${application.name}`,
    [
      event(world, application.name, created("System.CM", "Application has been created.")),
      ...(problem === ""
        ? []
        : [
            event(world, application.name, {
              source: "Inquorate",
              property: "Discovery",
              state: "Warning",
              words: problem,
              known: null
            })
          ])
    ],
    [
      below(
        "Services",
        "MaxPercentUnhealthyServices",
        World.servicesOf(application).map((service) => ofService(world, service))
      )
    ]
  )
}

/** A service with its partitions. */
export const ofService = (world: World.World, service: World.Service): Entity =>
  entity(
    "Service",
    { ServiceName: service.name },
    `service ${service.name}`,
    [event(world, service.name, created("System.FM", "Service has been created."))],
    [
      below(
        "Partitions",
        "MaxPercentUnhealthyPartitionsPerService",
        service.partitions.map((partition) => ofPartition(world, partition))
      )
    ]
  )

/**
 * A partition with its replicas. It is Error in quorum loss or not ready, Warning while it reconfigures or lacks a
 * replica.
 */
export const ofPartition = (world: World.World, topology: Topology): Entity => {
  const status = World.statusOf(world, topology)
  const degraded = health(topology) !== "Healthy"
  const [state, text]: readonly [Model.HealthState, string] =
    status === "InQuorumLoss"
      ? ["Error", "Partition is in quorum loss."]
      : status === "NotReady"
        ? ["Error", "Partition is below its minimum replica or instance count."]
        : status === "Reconfiguring" || degraded
          ? ["Warning", status === "Reconfiguring" ? "Partition is reconfiguring." : "A replica of it is not up."]
          : ["Ok", "Partition is healthy."]
  return entity(
    "Partition",
    { PartitionId: topology.partitionId },
    `partition ${topology.partitionId} of ${serviceNameOf(topology)}`,
    [
      event(world, topology.partitionId, {
        source: "System.FM",
        property: "State",
        state,
        words: text,
        known: World.statusSince(world, topology)
      })
    ],
    [
      below(
        "Replicas",
        "MaxPercentUnhealthyReplicasPerPartition",
        topology.members.filter(isShown).map((member) => ofReplica(world, topology, member))
      )
    ]
  )
}

/** A replica or an instance. It is Warning while it is down, because one alone takes nothing from anybody. */
export const ofReplica = (world: World.World, topology: Topology, member: Member): Entity => {
  const down = !member.up && (member.replica === undefined || member.replica.status === "Down")
  const id = World.replicaId(topology.partitionId, member)
  const known = member.replica?.since ?? World.takenAt(world, topology.partitionId, member)
  return entity(
    "Replica",
    { PartitionId: topology.partitionId, ReplicaOrInstanceId: id },
    `replica ${id} on ${member.node}`,
    [
      event(
        world,
        `${topology.partitionId}/${id}`,
        down
          ? { source: "System.FM", property: "State", state: "Warning", words: "Replica is down.", known }
          : { ...created("System.RA", "Replica has been created."), known }
      )
    ],
    []
  )
}

/** An application on a node. Its one package and its replicas are as healthy as the node. */
export const ofDeployed = (world: World.World, application: World.Application, node: World.Node): Entity => {
  const packageName = packageOf(application)
  const about = { ApplicationName: application.name, NodeName: node.name }
  const at = `${application.name} on ${node.name}`
  return entity(
    "DeployedApplication",
    about,
    `application ${at}`,
    [event(world, at, created("System.Hosting", "The application was activated successfully."))],
    [
      below("DeployedServicePackages", "", [
        entity(
          "DeployedServicePackage",
          { ...about, ServiceManifestName: packageName },
          `service package ${packageName} of ${at}`,
          [
            event(
              world,
              `${packageName} of ${at}`,
              created("System.Hosting", "The ServicePackage was activated successfully.")
            )
          ],
          []
        )
      ])
    ]
  )
}

/** The name of the one service package that every application has. */
export const packageOf = ({ view }: World.Application): string => `${view.application?.typeName ?? view.system}Pkg`

/** The nodes that carry a part of an application, in the order of their ids. */
export const nodesOf = (world: World.World, application: World.Application): ReadonlyArray<World.Node> => {
  const names = new Set(
    application.view.groups.flatMap(({ members }) => members.filter(isShown).map(({ node }) => node))
  )
  return world.nodes.filter(({ name }) => names.has(name))
}

/** True unless the replica was dropped. */
export const isShown = ({ replica }: Member): boolean => replica?.status !== "Dropped"

/** True if a filter of health states takes this one. 0 takes all. Else these bits: 1 none, 2 Ok, 4 Warning, 8 Error. */
export const takes = (filter: number, state: Model.HealthState): boolean =>
  filter === 0 || (filter & (state === "Ok" ? 2 : state === "Warning" ? 4 : 8)) !== 0

/** The properties that the health of every entity has. */
export const common = (of: Entity, filters: HealthFilters) => ({
  AggregatedHealthState: of.state,
  HealthEvents: of.events.filter(({ HealthState }) => takes(filters.events, HealthState)),
  UnhealthyEvaluations: evaluations(of),
  ...(filters.excludeStatistics ? {} : { HealthStatistics: { HealthStateCountList: statistics(of) } })
})

/** The entities of one kind below an entity that the filter takes. */
export const children = (of: Entity, kind: Below["kind"], filter: number): ReadonlyArray<Entity> =>
  of.below.flatMap((group) => (group.kind === kind ? group.entities : [])).filter(({ state }) => takes(filter, state))

// --- internal ---

const worst = (states: ReadonlyArray<Model.HealthState>): Model.HealthState =>
  states.includes("Error") ? "Error" : states.includes("Warning") ? "Warning" : "Ok"

const entity = (
  kind: Kind,
  identity: Entity["identity"],
  words: string,
  events: Entity["events"],
  groups: ReadonlyArray<Below>
): Entity => ({
  kind,
  identity,
  words,
  events,
  below: groups,
  state: worst([
    ...events.map(({ HealthState }) => HealthState),
    ...groups.flatMap(({ entities }) => entities.map(({ state }) => state))
  ])
})

const below = (kind: Below["kind"], limit: string, entities: ReadonlyArray<Entity>): Below => ({
  kind,
  limit,
  entities
})

/** The wire's "never expires". */
const forEver = "P10675199DT2H48M5.4775807S"

interface Report {
  readonly source: string
  readonly property: string
  readonly state: Model.HealthState
  readonly words: string
  /** The moment of the transition, or null if nobody tells it. */
  readonly known: Instant | null
}

const created = (source: string, words: string): Report => ({
  source,
  property: "State",
  state: "Ok",
  words,
  known: null
})

// The times are those of the transition, and the number follows from them. So none of them changes before the next one.
const event = (world: World.World, entity: string, report: Report): Model.HealthEvent => {
  const { property, source, state, words } = report
  const { since, transitions } = world.history.note(`${entity}/${property}`, report, world.now)
  return {
    SourceId: source,
    Property: property,
    HealthState: state,
    TimeToLiveInMilliSeconds: forEver,
    Description: words,
    SequenceNumber: toFileTime(since),
    RemoveWhenExpired: false,
    IsExpired: false,
    SourceUtcTimestamp: formatTime(since),
    LastModifiedUtcTimestamp: formatTime(since),
    LastOkTransitionAt: formatTime(transitions.Ok ?? null),
    LastWarningTransitionAt: formatTime(transitions.Warning ?? null),
    LastErrorTransitionAt: formatTime(transitions.Error ?? null)
  }
}

const evaluations = (of: Entity): ReadonlyArray<Model.HealthEvaluation> => [
  ...of.events
    .filter(({ HealthState }) => HealthState !== "Ok")
    .map((unhealthy) => ({
      HealthEvaluation: {
        Kind: "Event",
        AggregatedHealthState: unhealthy.HealthState,
        // The event itself carries its own words. A page that shows both would show them twice.
        Description: `'${unhealthy.SourceId}' reported ${unhealthy.HealthState} for property '${unhealthy.Property}'.`,
        ConsiderWarningAsError: false,
        UnhealthyEvent: unhealthy
      }
    })),
  ...of.below.flatMap(groupEvaluation)
]

const groupEvaluation = ({ entities, kind, limit }: Below): ReadonlyArray<Model.HealthEvaluation> => {
  const unhealthy = entities.filter(({ state }) => state !== "Ok")
  if (unhealthy.length === 0) return []
  const evaluation = {
    Kind: kind,
    AggregatedHealthState: worst(unhealthy.map(({ state }) => state)),
    Description: `${unhealthy.length} of ${entities.length} ${kind.toLowerCase()} are unhealthy.`,
    [limit]: 0,
    TotalCount: entities.length,
    UnhealthyEvaluations: unhealthy.map((one) => ({
      HealthEvaluation: {
        Kind: one.kind,
        AggregatedHealthState: one.state,
        Description: `The ${one.words} is in ${one.state}.`,
        ...one.identity,
        UnhealthyEvaluations: evaluations(one)
      }
    }))
  }
  return [{ HealthEvaluation: evaluation }]
}

const counted: ReadonlyArray<Kind> = ["Node", "Replica", "Partition", "Service", "Application"]

/** The kinds of entity that an entity counts below it, even if there are none. */
const countedBelow: Readonly<Record<Kind, ReadonlyArray<Kind>>> = {
  Cluster: counted,
  Application: ["Replica", "Partition", "Service"],
  Service: ["Replica", "Partition"],
  Partition: ["Replica"],
  Node: [],
  Replica: [],
  DeployedApplication: ["DeployedServicePackage"],
  DeployedServicePackage: []
}

const statistics = (of: Entity) => {
  const all = descendants(of)
  return countedBelow[of.kind].map((kind) => {
    const states = all.filter((one) => one.kind === kind).map(({ state }) => state)
    const count = (wanted: Model.HealthState) => states.filter((state) => state === wanted).length
    return {
      EntityKind: kind,
      HealthStateCount: { OkCount: count("Ok"), WarningCount: count("Warning"), ErrorCount: count("Error") }
    }
  })
}

const descendants = (of: Entity): ReadonlyArray<Entity> =>
  of.below.flatMap(({ entities }) => entities.flatMap((one) => [one, ...descendants(one)]))
