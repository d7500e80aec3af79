/**
 * The answers of `/v1` about nodes and health. They come from the same queries as Service Fabric's calls and are put
 * into our own words. So both surfaces agree on what is not known yet and on what does not exist.
 */
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import { type Operations, RequestRefused } from "@inquorate/core/Operations"
import { formatInstant } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import type * as History from "../fabric/FabricHistory.ts"
import * as Look from "../fabric/FabricLook.ts"
import type * as Model from "../fabric/FabricModel.ts"
import * as Queries from "../fabric/FabricQueries.ts"
import * as World from "../fabric/FabricWorld.ts"
import type { HealthKind, HealthSubject, HealthView, HealthWord } from "./HealthView.ts"
import type { NodeView } from "./NodeView.ts"
import { nameOf } from "./RecoverRequest.ts"

// --- models ---

/** The answers about nodes and health. */
export interface BrowseCalls {
  readonly nodes: Effect.Effect<ReadonlyArray<NodeView>, RequestRefused>
  readonly node: (name: string) => Effect.Effect<NodeView, RequestRefused>
  readonly health: (subject: HealthSubject) => Effect.Effect<HealthView, RequestRefused>
}

// --- make ---

/** Makes the answers from the world as it is now. */
export const make = (operations: Operations["Service"], history: History.History): BrowseCalls => {
  const world = Look.look(operations, history, Look.newestVersion)
  return {
    nodes: Effect.flatMap(world, (seen) => Effect.map(allNodes(seen), (all) => all.map((node) => viewOf(seen, node)))),
    node: (name) =>
      Effect.flatMap(world, (seen) =>
        Effect.map(
          asked<Model.NodeInfo>(seen, { _tag: "GetNode", nodeName: name }, [
            "FABRIC_E_NODE_NOT_FOUND",
            `No configured cluster has the node ${name}. GET /v1/nodes lists the ones there are.`
          ]),
          (node) => viewOf(seen, node)
        )
      ),
    health: (subject) => Effect.flatMap(world, (seen) => healthOf(seen, subject))
  }
}

// --- internal ---

const refuse = (code: FabricErrorCode, detail: string): Effect.Effect<never, RequestRefused> =>
  Effect.fail(new RequestRefused({ code, detail, refusal: null }))

/** The answer to a query call. If the thing is not there, `absent` says so. */
const asked = <A>(
  world: World.World,
  call: Queries.QueryCall,
  absent: readonly [FabricErrorCode, string]
): Effect.Effect<A, RequestRefused> => {
  const answer = Queries.answer(world, call)
  if (answer._tag === "Found") return Effect.succeed(answer.value as A)
  if (answer._tag === "Refused" && answer.code === "FABRIC_E_NOT_READY") {
    const unseen = World.unknown(world)[0]
    return refuse(
      answer.code,
      unseen === undefined
        ? table[answer.code].message
        : `The cluster ${unseen.view.name} has not been seen: ${unseen.view.problem || "the first look at it has not ended"}`
    )
  }
  return refuse(...absent)
}

interface NodePage {
  readonly ContinuationToken: string
  readonly Items: ReadonlyArray<Model.NodeInfo>
}

const allNodes = (world: World.World): Effect.Effect<ReadonlyArray<Model.NodeInfo>, RequestRefused> =>
  Effect.gen(function* () {
    const found: Array<Model.NodeInfo> = []
    for (let after: string | null = null; ;) {
      const page: NodePage = yield* asked<NodePage>(
        world,
        { _tag: "GetNodeList", filter: "default", paging: { after, limit: 0 } },
        ["FABRIC_E_NODE_NOT_FOUND", ""]
      )
      found.push(...page.Items)
      if (page.ContinuationToken === "") return found
      after = page.ContinuationToken
    }
  })

const viewOf = (world: World.World, node: Model.NodeInfo): NodeView => {
  const deactivation = world.deactivated.get(node.Name)
  const place = world.nodes.find(({ name }) => name === node.Name)!
  return {
    name: node.Name,
    instanceId: node.InstanceId,
    // No node of ours is ever enabling, unknown or removed.
    status: node.NodeStatus as NodeView["status"],
    since: formatInstant(World.upSince(world, place)),
    health: node.HealthState as HealthWord,
    stopped: node.IsStopped,
    address: node.IpAddressOrFQDN,
    type: node.Type,
    faultDomain: node.FaultDomain,
    upgradeDomain: node.UpgradeDomain,
    ...(deactivation === undefined
      ? {}
      : {
          deactivation: {
            operationId: deactivation.operationId,
            intent: deactivation.intent,
            until: deactivation.until === null ? null : formatInstant(deactivation.until)
          }
        })
  }
}

/** The properties that health calls of any kind may answer. */
type Told = Omit<
  Partial<Model.ClusterHealth & Model.ApplicationHealth & Model.ServiceHealth & Model.PartitionHealth>,
  "Name"
> &
  Pick<Model.NodeHealth, "AggregatedHealthState">

interface Question {
  readonly kind: HealthKind
  readonly name: string
  readonly call: Queries.QueryCall
}

const all = { events: 0, excludeStatistics: true } as const

/** One question for each thing that a subject names. If it names nothing, the question is about the whole. */
const questionsOf = ({ application, node, partition, service }: HealthSubject): ReadonlyArray<Question> => {
  const named: Array<Question> = []
  if (node !== undefined)
    named.push({ kind: "Node", name: node, call: { _tag: "GetNodeHealth", nodeName: node, ...all } })
  if (application !== undefined) {
    const name = nameOf(application)
    const filters = { servicesFilter: 0, deployedFilter: 0 }
    named.push({
      kind: "Application",
      name,
      call: { _tag: "GetApplicationHealth", applicationName: name, ...filters, ...all }
    })
  }
  if (service !== undefined) {
    const name = nameOf(service)
    named.push({
      kind: "Service",
      name,
      call: { _tag: "GetServiceHealth", serviceName: name, partitionsFilter: 0, ...all }
    })
  }
  if (partition !== undefined) {
    const call = { _tag: "GetPartitionHealth", partitionId: partition, replicasFilter: 0, ...all } as const
    named.push({ kind: "Partition", name: partition, call })
  }
  const whole: Question = {
    kind: "Cluster",
    name: "",
    call: { _tag: "GetClusterHealth", nodesFilter: 0, applicationsFilter: 0, ...all }
  }
  return named.length === 0 ? [whole] : named
}

const healthOf = (world: World.World, subject: HealthSubject): Effect.Effect<HealthView, RequestRefused> =>
  Effect.gen(function* () {
    const [question, second] = questionsOf(subject)
    if (question === undefined || second !== undefined) {
      return yield* refuse("E_INVALIDARG", "Give one of node, application, service and partition, or none.")
    }
    const { call, kind, name } = question
    const told: Told = yield* asked<Told>(world, call, [
      "FABRIC_E_HEALTH_ENTITY_NOT_FOUND",
      `No configured cluster has the ${kind.toLowerCase()} ${name}.`
    ])
    return {
      kind,
      name,
      state: told.AggregatedHealthState as HealthWord,
      reports: reportsOf(told),
      below: belowOf(told)
    }
  })

const belowOf = (told: Told): HealthView["below"] => {
  const one = (kind: HealthKind, name: string, { AggregatedHealthState }: Pick<Told, "AggregatedHealthState">) => ({
    kind,
    name,
    state: AggregatedHealthState as HealthWord
  })
  return [
    ...(told.ApplicationHealthStates ?? []).map((state) => one("Application", state.Name, state)),
    ...(told.NodeHealthStates ?? []).map((state) => one("Node", state.Name, state)),
    ...(told.ServiceHealthStates ?? []).map((state) => one("Service", state.ServiceName, state)),
    ...(told.PartitionHealthStates ?? []).map((state) => one("Partition", state.PartitionId, state)),
    ...(told.ReplicaHealthStates ?? []).map((state) => one("Replica", state.ReplicaId ?? state.InstanceId ?? "", state))
  ]
}

const reportsOf = ({ HealthEvents = [] }: Told): HealthView["reports"] =>
  HealthEvents.map((event) => ({
    source: event.SourceId,
    property: event.Property,
    state: event.HealthState as HealthWord,
    description: event.Description ?? "",
    since: event.SourceUtcTimestamp ?? ""
  }))
