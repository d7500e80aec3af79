/**
 * A node as it stands now: every member on it, of all groups of all clusters, and whether a stop of ours holds it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type Cluster, injectorOfFence } from "@inquorate/core/Cluster"
import type { Guid } from "@inquorate/core/Guid"
import { grace, type Operation, type Order } from "@inquorate/core/Operation"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { Refusal } from "@inquorate/core/Plan"
import { nodeSubject, subjectOf } from "@inquorate/core/Request"
import type { Member, NodeFacts, Topology } from "@inquorate/core/Topology"
import { discover, discoverNodes, reachHosts, Unreachable } from "./Discovery.ts"
import { GuardRefused, type PlanGround } from "./Guards.ts"

/** A group that has members on a node. */
export interface GroupThere {
  readonly cluster: Cluster
  readonly topology: Topology
  /** Its members on the node. */
  readonly members: ReadonlyArray<Member>
}

/** A node with everything on it. `facts` is there where the cluster tells more of it than its members do. */
export interface NodeSeen {
  readonly nodeName: string
  readonly facts: NodeFacts | undefined
  readonly groups: ReadonlyArray<GroupThere>
  readonly up: boolean
}

/** A stop of ours that has Completed, whose fences may stand. */
export interface StandingStop {
  readonly operation: Operation
  readonly epoch: number
  readonly order: Order
}

/**
 * The node as it stands now. A cluster that cannot be seen is a failure where it may have members on this node: what
 * stops a node stops all of it.
 */
export const discoverNode = (
  clusters: ReadonlyArray<Cluster>,
  nodeName: string
): Effect.Effect<NodeSeen, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const seen = yield* Effect.forEach(
      clusters,
      (cluster) =>
        Effect.result(
          Effect.andThen(
            reachHosts(cluster),
            Effect.all([discover(cluster.target), discoverNodes(cluster.target)], { concurrency: "unbounded" })
          )
        ),
      { concurrency: "unbounded" }
    )
    const groups: Array<GroupThere> = []
    let facts: NodeFacts | undefined
    let unseen: Unreachable | undefined
    for (const [index, cluster] of clusters.entries()) {
      const answer = seen[index]!
      if (Result.isFailure(answer)) {
        const mayHave = cluster.hosts.includes(nodeName) || nodeName.startsWith(`${cluster.name}-`)
        if (mayHave) return yield* answer.failure
        unseen = answer.failure
        continue
      }
      facts ??= answer.success[1].find(({ name }) => name === nodeName)
      for (const topology of answer.success[0]) {
        const members = topology.members.filter(({ node }) => node === nodeName)
        if (members.length > 0) groups.push({ cluster, topology, members })
      }
    }
    if (facts === undefined && groups.length === 0) {
      if (unseen !== undefined) return yield* unseen
      return yield* new GuardRefused({ refusal: Refusal.cases.UnknownNode.make({ nodeName }), topology: null })
    }
    const up = facts?.up ?? groups.some(({ members }) => members.some((member) => member.up))
    return { nodeName, facts, groups, up }
  })

/**
 * The stop of ours that holds a node, or null. The store tells which stop it was, and only the hosts tell whether its fences
 * stand.
 */
export const standingStop = (
  ground: PlanGround,
  { nodeName, up }: NodeSeen
): Effect.Effect<StandingStop | null, StoreError | Unreachable> =>
  Effect.gen(function* () {
    const stop = yield* newestStop(ground, nodeName)
    if (stop === null) return null
    // A node without members has no fence that could tell: its stop is over when its time is.
    if (stop.order.fences.length === 0) return up ? null : stop
    const states = yield* Effect.forEach(
      stop.order.fences,
      (fence) => {
        const injector = injectorOfFence(ground.clusters, null, fence)
        const { attempt, id: operationId } = stop.operation
        const asked = injector?.inspect(fence.process.host, { operationId, attempt, member: fence.member }, stop.epoch)
        return asked === undefined ? Effect.succeed(null) : Effect.result(asked)
      },
      { concurrency: "unbounded" }
    )
    if (states.some((state) => state?._tag === "Success" && state.success._tag === "Armed")) return stop
    const silent = stop.order.fences.find((_, index) => states[index]?._tag !== "Success")
    const over = stop.order.deadline + grace < (yield* ground.clock.now)
    if (silent === undefined || (up && over)) return null
    const { host } = silent.process
    const detail = `host ${host} does not say whether the stop by operation ${stop.operation.id} still stands`
    return yield* new Unreachable({ detail, retryable: true })
  })

// --- internal ---

const pageSize = 500

// The newest stop of this node that has Completed and left its fences standing by the store, or null.
const newestStop = (
  { store }: Pick<PlanGround, "store">,
  nodeName: string
): Effect.Effect<StandingStop | null, StoreError> =>
  Effect.gen(function* () {
    const subject = nodeSubject(nodeName)
    let after: Guid | null = null
    while (true) {
      const page: ReadonlyArray<Stored> = yield* store.list({
        states: ["Completed"],
        limit: pageSize,
        newestFirst: true,
        after
      })
      for (const { epoch, operation } of page) {
        const { stage } = operation
        if (stage._tag !== "Completed" || stage.standing === undefined) continue
        if (subjectOf(operation.request) === subject) return { operation, epoch, order: stage.standing }
      }
      if (page.length < pageSize) return null
      after = page.at(-1)!.operation.id
    }
  })
