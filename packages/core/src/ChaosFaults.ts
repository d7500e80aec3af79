/**
 * Which faults chaos may draw, and when clusters count as healthy. It is pure: what is seen of the clusters and a seed
 * give the faults, the same for the same. The faults are safe: after each of them every group has the quorum it needs,
 * unless the run's own context allows a loss. No group has two faults at a time, and what is protected is never
 * touched.
 */
import { allowsQuorumLoss, type ChaosParameters, quorumLossKey } from "./Chaos.ts"
import type { ChaosFault } from "./ChaosRun.ts"
import { type Guid, v5 } from "./Guid.ts"
import type { ClusterView } from "./Operations.ts"
import { type FaultRequest, nodeSubject } from "./Request.ts"
import type { Instant, Millis } from "./Time.ts"
import { health, type Health, type Member, nodeInstanceId, serviceNameOf, type Topology } from "./Topology.ts"

// --- models ---

/** What chaos sees when it draws. */
export interface Sight {
  readonly clusters: ReadonlyArray<ClusterView>
  /** The names of the clusters whose members some mechanism can restart. */
  readonly restartable: ReadonlySet<string>
  /** The names of the clusters whose replicas may be removed with their data; none unless given. */
  readonly removable?: ReadonlySet<string>
  /** The subjects of the operations that live or left something behind, with their ids. */
  readonly busy: ReadonlyMap<Guid, Guid>
}

/** What is drawn for: the run, the iteration and the moment. */
export interface Draw {
  readonly runId: Guid
  readonly iteration: number
  readonly at: Instant
  readonly parameters: ChaosParameters
}

// --- make ---

/** The most faults that are drawn at once, whatever is asked. */
export const faultsMax = 100
/** By when a node that chaos stopped starts by itself, if nobody starts it: the least that a stop may last. */
export const nodeStopDuration: Millis = 300_000
/** How long chaos holds a quorum loss, where it may cause one. */
export const quorumLossHold: Millis = 10_000
/** The type of a node of a cluster that does not tell of node types. */
export const nodeTypeUsual = "InquorateNode"

/** The name of the application that stands for a cluster. */
export const applicationNameOf = (cluster: ClusterView): string => `fabric:/${cluster.name}`

/** What the filter of the parameters names that no cluster has, in a sentence; `undefined` where all of it is there. */
export const unknownTargets = (
  parameters: ChaosParameters,
  clusters: ReadonlyArray<ClusterView>
): string | undefined => {
  const filter = parameters.ChaosTargetFilter
  const types = new Set(nodesOf(clusters).map(({ type }) => type))
  const type = filter?.NodeTypeInclusionList?.find((name) => !types.has(name))
  if (type !== undefined) {
    return `The NodeTypeInclusionList names ${JSON.stringify(type)}. The node types are: ${listed([...types])}.`
  }
  const applications = clusters.map(applicationNameOf)
  const application = filter?.ApplicationInclusionList?.find((name) => !applications.includes(name))
  return application === undefined
    ? undefined
    : `The ApplicationInclusionList names ${JSON.stringify(application)}. The applications are: ${listed(applications)}.`
}

/**
 * Why the clusters are not healthy and stable enough to be broken, a sentence each; none where they are. Protected
 * clusters are not looked at, nor those that the filter leaves out.
 */
export const unhealthy = (sight: Sight, parameters: ChaosParameters): ReadonlyArray<string> => {
  const policy = parameters.ClusterHealthPolicy
  const clusters = sight.clusters.filter((cluster) => isConcerned(cluster, sight.clusters, parameters))
  const busy = clusters.flatMap(({ groups }) =>
    groups.flatMap((group) => {
      const holder = sight.busy.get(group.partitionId)
      return holder === undefined ? [] : [`The partition of ${serviceNameOf(group)} is busy with operation ${holder}.`]
    })
  )
  const bad = (state: Health): boolean => state === "Lost" || (state === "Degraded" && policy.ConsiderWarningAsError)
  const applications = clusters.map((cluster) => {
    const [state, why] = applicationHealth(cluster)
    const type = cluster.application?.typeName ?? cluster.system
    return { type, sick: bad(state) ? `The application ${applicationNameOf(cluster)} is ${words[state]}: ${why}.` : "" }
  })
  const nodes = nodesOf(clusters).map((node) => ({
    type: node.type,
    sick: node.up ? "" : `The node ${node.name} is down.`
  }))
  return [
    ...busy,
    ...beyond(applications, policy.MaxPercentUnhealthyApplications, policy.ApplicationTypeHealthPolicyMap ?? []),
    ...beyond(nodes, policy.MaxPercentUnhealthyNodes, policy.NodeTypeHealthPolicyMap ?? [])
  ]
}

/** The faults of one iteration, drawn by the run's id and the iteration, at most as many as the parameters allow. */
export const drawFaults = (sight: Sight, draw: Draw): ReadonlyArray<ChaosFault> => {
  const { at, iteration, parameters, runId } = draw
  const random = seeded(v5(runId, `draw/${iteration}`))
  const most = Math.min(parameters.MaxConcurrentFaults, faultsMax)
  const taken = new Set<Guid>()
  const faults: Array<ChaosFault> = []
  for (const candidate of shuffled(candidatesOf(sight, parameters), random)) {
    if (faults.length >= most) break
    if (candidate.subjects.some((subject) => taken.has(subject))) continue
    for (const subject of candidate.subjects) taken.add(subject)
    const index = faults.length
    const steps = candidate.requests.map((request, step) => ({
      operationId: v5(runId, `operation/${iteration}/${index}/${step}`),
      request
    }))
    faults.push({
      text: `ID:{${steps[0]!.operationId}}:${candidate.text}`,
      steps,
      startAt: at + index * parameters.WaitTimeBetweenFaultsInSeconds * 1000,
      state: "Open"
    })
  }
  return faults
}

/** Why nothing was drawn from healthy clusters, or what was asked and has no counterpart; empty for neither. */
export const noteOf = (sight: Sight, parameters: ChaosParameters, drawn: number, iteration: number): string => {
  const nothing =
    drawn > 0
      ? ""
      : parameters.MaxConcurrentFaults === 0
        ? "No fault was drawn: MaxConcurrentFaults is 0."
        : "No fault was drawn: no cluster that may be broken has a fault that leaves every quorum. " +
          (sight.clusters.some(({ name }) => sight.restartable.has(name))
            ? `"${quorumLossKey}": "allow" in the Context's Map lets quorum losses be drawn.`
            : "No cluster has a mechanism that restarts its members.")
  // Told once in a run, for whoever reads why no replica ever moves.
  const moves =
    iteration === 0 && parameters.EnableMoveReplicaFaults
      ? "Move replica faults are not applicable: no system here moves replicas on request, and none is drawn."
      : ""
  return [nothing, moves].filter((part) => part !== "").join(" ")
}

// --- internal ---

interface Node {
  readonly name: string
  readonly type: string
  readonly up: boolean
  readonly stopped: boolean
  readonly instanceId: string
  readonly members: ReadonlyArray<{ readonly cluster: ClusterView; readonly group: Topology; readonly member: Member }>
}

interface Candidate {
  readonly text: string
  readonly requests: ReadonlyArray<FaultRequest>
  /** What no other fault of the iteration may touch. */
  readonly subjects: ReadonlyArray<Guid>
}

const words: Readonly<Record<Health, string>> = {
  Healthy: "Ok",
  Degraded: "in Warning",
  Reconfiguring: "in Warning",
  Lost: "in Error"
}

const listed = (names: ReadonlyArray<string>): string => (names.length === 0 ? "none" : names.join(", "))

const nodesOf = (clusters: ReadonlyArray<ClusterView>): ReadonlyArray<Node> => {
  const places = new Map<string, Array<Node["members"][number]>>()
  for (const cluster of clusters) {
    for (const { name } of cluster.nodes ?? []) places.set(name, places.get(name) ?? [])
    for (const group of cluster.groups) {
      for (const member of group.members) {
        const there = places.get(member.node) ?? []
        there.push({ cluster, group, member })
        places.set(member.node, there)
      }
    }
  }
  const facts = new Map(clusters.flatMap(({ nodes = [] }) => nodes.map((node) => [node.name, node] as const)))
  return [...places].map(([name, members]) => {
    const known = facts.get(name)
    return {
      name,
      type: known?.type ?? nodeTypeUsual,
      up: known?.up ?? members.some(({ member }) => member.up),
      stopped: known?.stopped ?? false,
      instanceId: nodeInstanceId(name, known),
      members
    }
  })
}

// A stateless service has no primary. The arithmetic of quorums takes that for a loss, so the service's own word counts
// instead.
const healthOf = (group: Topology): Health => {
  const { service } = group
  if (service === undefined) return health(group)
  if (service.status === "InQuorumLoss") return "Lost"
  return service.status === "Ready" && group.members.every(({ up }) => up) ? "Healthy" : "Degraded"
}

const applicationHealth = (cluster: ClusterView): readonly [Health, string] => {
  const states = cluster.groups.map((group) => [healthOf(group), serviceNameOf(group)] as const)
  const lost = states.find(([state]) => state === "Lost")
  if (lost !== undefined) return ["Lost", `${lost[1]} has no quorum`]
  if (cluster.problem !== "") return ["Degraded", cluster.problem.replace(/\.$/, "")]
  const unwell = states.find(([state]) => state !== "Healthy")
  if (unwell === undefined) return ["Healthy", ""]
  return unwell[0] === "Reconfiguring"
    ? ["Degraded", `${unwell[1]} has no primary now`]
    : ["Degraded", `${unwell[1]} is degraded`]
}

// Shares are rounded up, as the reference does, so that one of a few may be sick under a small percentage.
const beyond = (
  entities: ReadonlyArray<{ readonly type: string; readonly sick: string }>,
  percent: number,
  byType: ReadonlyArray<{ readonly Key: string; readonly Value: number }>
): ReadonlyArray<string> => {
  const judged = (some: typeof entities, allowed: number): ReadonlyArray<string> => {
    const sick = some.filter((entity) => entity.sick !== "").map((entity) => entity.sick)
    return sick.length > Math.ceil((some.length * allowed) / 100) ? sick : []
  }
  const apart = new Set(byType.map(({ Key }) => Key))
  return [
    ...byType.flatMap(({ Key, Value }) =>
      judged(
        entities.filter(({ type }) => type === Key),
        Value
      )
    ),
    ...judged(
      entities.filter(({ type }) => !apart.has(type)),
      percent
    )
  ]
}

const includesApplication = (cluster: ClusterView, { ChaosTargetFilter: filter }: ChaosParameters): boolean =>
  filter === undefined || (filter.ApplicationInclusionList?.includes(applicationNameOf(cluster)) ?? false)

const includesNode = (node: Node, { ChaosTargetFilter: filter }: ChaosParameters): boolean =>
  filter === undefined || (filter.NodeTypeInclusionList?.includes(node.type) ?? false)

const isConcerned = (cluster: ClusterView, all: ReadonlyArray<ClusterView>, parameters: ChaosParameters): boolean =>
  !cluster.protected &&
  (includesApplication(cluster, parameters) ||
    nodesOf(all).some(
      (node) => includesNode(node, parameters) && node.members.some((one) => one.cluster.name === cluster.name)
    ))

const candidatesOf = (sight: Sight, parameters: ChaosParameters): ReadonlyArray<Candidate> => [
  ...nodesOf(sight.clusters).flatMap((node) => nodeCandidate(sight, parameters, node)),
  ...sight.clusters.flatMap((cluster) =>
    cluster.protected || cluster.problem !== "" || !includesApplication(cluster, parameters)
      ? []
      : cluster.groups.flatMap((group) => [
          ...groupCandidates(sight, parameters, cluster, group),
          ...replicaCandidates(sight, cluster, group)
        ])
  )
]

/** Healthy, idle, and left with its quorum when these members of it go. */
const survives = (sight: Sight, group: Topology, gone: ReadonlyArray<Member>): boolean => {
  const left = group.members.filter((member) => member.counts && member.up && !gone.includes(member)).length
  return (
    healthOf(group) === "Healthy" &&
    !sight.busy.has(group.partitionId) &&
    gone.every(({ cuttable }) => cuttable === "Always") &&
    left >= group.needed
  )
}

// A node may carry one replica and no more. That is how a single replica is restarted, and it is a fault of the
// replica.
const nodeCandidate = (sight: Sight, parameters: ChaosParameters, node: Node): ReadonlyArray<Candidate> => {
  const [only] = node.members
  const single = node.members.length === 1 && only !== undefined
  const groups = [...new Set(node.members.map(({ group }) => group))]
  const included = includesNode(node, parameters) || (single && includesApplication(only.cluster, parameters))
  const breakable =
    node.up &&
    !node.stopped &&
    groups.length > 0 &&
    !sight.busy.has(nodeSubject(node.name)) &&
    node.members.every(
      ({ cluster }) =>
        !cluster.protected &&
        cluster.problem === "" &&
        sight.restartable.has(cluster.name) &&
        (cluster.maxHold === null || cluster.maxHold >= nodeStopDuration)
    ) &&
    groups.every((group) =>
      survives(
        sight,
        group,
        group.members.filter((member) => member.node === node.name)
      )
    )
  if (!included || !breakable) return []
  const { instanceId, name: nodeName } = node
  return [
    {
      text: single
        ? `ActionType: RestartReplica, ServiceName: ${serviceNameOf(only.group)}, PartitionId: ${only.group.partitionId}, Replica: ${only.member.name}, NodeName: ${nodeName}`
        : `ActionType: RestartNode, NodeName: ${nodeName}, NodeInstanceId: ${instanceId}`,
      requests: [
        { kind: "NodeTransition", transition: "Stop", nodeName, instanceId, duration: nodeStopDuration },
        { kind: "NodeTransition", transition: "Start", nodeName, instanceId }
      ],
      subjects: [nodeSubject(nodeName), ...groups.map(({ partitionId }) => partitionId)]
    }
  ]
}

/**
 * One replica of a simulated cluster is restarted where it keeps its state. Where it may be removed, it is, and another
 * is built. A replica that is alone on its node is restarted with the node, as those of other systems are.
 */
const replicaCandidates = (sight: Sight, cluster: ClusterView, group: Topology): ReadonlyArray<Candidate> => {
  const { partitionId, service } = group
  if (service === undefined) return []
  const serviceName = serviceNameOf(group)
  const all = sight.clusters.flatMap(({ groups }) => groups.flatMap(({ members }) => members))
  const crowded = ({ node }: Member): boolean => all.filter((other) => other.node === node).length > 1
  const persisted = service.kind === "Stateful" && service.persisted
  return group.members
    .filter((member) => member.up && crowded(member) && survives(sight, group, [member]))
    .flatMap((member): ReadonlyArray<Candidate> => {
      const place = `ServiceName: ${serviceName}, PartitionId: ${partitionId}, Replica: ${member.name}, NodeName: ${member.node}`
      const about = { serviceName, partitionId, member: member.name }
      const subjects = [partitionId, nodeSubject(member.node)]
      return [
        ...(persisted && sight.restartable.has(cluster.name)
          ? [
              {
                text: `ActionType: RestartReplica, ${place}`,
                requests: [{ kind: "PartitionRestart" as const, ...about, mode: "AllReplicasOrInstances" as const }],
                subjects
              }
            ]
          : []),
        ...(sight.removable?.has(cluster.name) === true
          ? [
              {
                text: `ActionType: RemoveReplica, ${place}`,
                requests: [{ kind: "PartitionDataLoss" as const, ...about, mode: "PartialDataLoss" as const }],
                subjects
              }
            ]
          : [])
      ]
    })
}

const groupCandidates = (
  sight: Sight,
  parameters: ChaosParameters,
  cluster: ClusterView,
  group: Topology
): ReadonlyArray<Candidate> => {
  const { partitionId } = group
  const serviceName = serviceNameOf(group)
  const place = `ServiceName: ${serviceName}, PartitionId: ${partitionId}`
  const subjects = [partitionId, ...new Set(group.members.map(({ node }) => nodeSubject(node)))]
  const secondaries = group.members.filter(({ role, up }) => role === "ActiveSecondary" && up)
  const stateful = group.service === undefined || group.service.kind === "Stateful"
  const persisted = group.service === undefined || group.service.persisted
  const restart: ReadonlyArray<Candidate> =
    sight.restartable.has(cluster.name) && stateful && secondaries.length > 0 && survives(sight, group, secondaries)
      ? [
          {
            text: `ActionType: RestartPartition, ${place}, Mode: OnlyActiveSecondaries`,
            requests: [{ kind: "PartitionRestart", serviceName, partitionId, mode: "OnlyActiveSecondaries" }],
            subjects
          }
        ]
      : []
  const mayLose = allowsQuorumLoss(parameters) && stateful && persisted && survives(sight, group, [])
  const hold = Math.min(quorumLossHold, cluster.maxHold ?? quorumLossHold)
  return mayLose
    ? [
        ...restart,
        {
          text: `ActionType: InvokeQuorumLoss, ${place}, Mode: QuorumReplicas, DurationInSeconds: ${hold / 1000}`,
          requests: [{ kind: "PartitionQuorumLoss", serviceName, partitionId, mode: "QuorumReplicas", hold }],
          subjects
        }
      ]
    : restart
}

/** Numbers from 0 to 1 that follow from a GUID (mulberry32: short, and even enough to draw by). */
const seeded = (seed: Guid): (() => number) => {
  let state = Number.parseInt(seed.slice(0, 8), 16) | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const shuffled = <A>(items: ReadonlyArray<A>, random: () => number): ReadonlyArray<A> => {
  const mixed = [...items]
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1))
    ;[mixed[index], mixed[other]] = [mixed[other]!, mixed[index]!]
  }
  return mixed
}
