/**
 * What is looked at before a node is stopped or started: the node with every member on it, of all groups of all clusters;
 * whether a stop of ours holds it, by the store and the hosts' own records; and the fences of a stop, one for each server
 * process.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Cluster } from "@inquorate/core/Cluster"
import { type Guid, v5 } from "@inquorate/core/Guid"
import { type Operation, type Order } from "@inquorate/core/Operation"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { isFenceName, Refusal } from "@inquorate/core/Plan"
import { nodeSubject, subjectOf, type NodeRequest } from "@inquorate/core/Request"
import { type Member, type NodeFacts, nodeInstanceId, type Topology } from "@inquorate/core/Topology"
import {
  discover,
  discoverNodes,
  fenceProblem,
  GuardRefused,
  planFence,
  type PreparedFence,
  processKey,
  reachHosts,
  Unreachable
} from "./LookUp.ts"
import { restarterFor } from "./Restarting.ts"
import type { Ground } from "../drive/Session.ts"

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
      return yield* refuse(Refusal.cases.UnknownNode.make({ nodeName }))
    }
    const up = facts?.up ?? groups.some(({ members }) => members.some((member) => member.up))
    return { nodeName, facts, groups, up }
  })

/** The newest stop of this node that has Completed and left its fences standing by the store, or null. */
export const newestStop = (
  { store }: Pick<Ground, "store">,
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

/** The fences of a node's stop: one for each server process on it, after the guards of every cluster they are of. */
export const planStop = (
  { guards }: Pick<Ground, "guards">,
  seen: NodeSeen
): Effect.Effect<ReadonlyArray<PreparedFence>, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const prepared: Array<PreparedFence> = []
    const processes = new Set<string>()
    const name = namesOf(seen.groups)
    for (const there of seen.groups) {
      const { cluster, members, topology } = there
      const restarter = yield* restarterFor(guards, cluster, topology)
      // What runs without serving, as a replica that is being built, goes with the node as well.
      for (const member of members.filter(({ process, up }) => up || process !== null)) {
        const key = member.process === null ? null : processKey(member.process)
        if (key !== null && processes.has(key)) continue
        if (key !== null) processes.add(key)
        const planned = yield* Effect.result(planFence(restarter, member))
        if (Result.isFailure(planned)) {
          if (!member.up && planned.failure._tag === "FenceRefused") continue
          return yield* fenceProblem(planned.failure, topology)
        }
        const { fence, ...others } = planned.success
        const called = name(there, member)
        const named = called === member.name ? {} : { named: member.name }
        prepared.push({ fence: { ...fence, member: called, cluster: cluster.name, ...named }, ...others })
      }
    }
    return prepared
  })

/** Why a node cannot be stopped as it stands, or null. `stopped` tells that a stop of ours holds it. */
export const stopRefusal = (request: NodeRequest, seen: NodeSeen, stopped: boolean): Refusal | null => {
  const { nodeName } = request
  if (stopped || (!seen.up && seen.facts?.stopped === true)) return Refusal.cases.NodeStopped.make({ nodeName })
  return seen.up ? instanceRefusal(request, seen) : Refusal.cases.NodeDown.make({ nodeName })
}

/** Why a node cannot be started as it stands, or null. `stopped` tells that a stop of ours holds it. */
export const startRefusal = (request: NodeRequest, seen: NodeSeen, stopped: boolean): Refusal | null => {
  const { nodeName } = request
  if (stopped) return instanceRefusal(request, seen)
  return seen.up ? Refusal.cases.NodeUp.make({ nodeName }) : Refusal.cases.NodeDown.make({ nodeName })
}

// --- internal ---

const pageSize = 500
/** Drawn once for Inquorate; the short names of fences whose full ones are too long follow from it. */
const longNames: Guid = "5c0f6f0e-8a53-4c0c-9a3e-5f8f4f0b7d21"

const refuse = (refusal: Refusal): GuardRefused => new GuardRefused({ refusal, topology: null })

const instanceRefusal = ({ instanceId, nodeName }: NodeRequest, { facts }: NodeSeen): Refusal | null => {
  const found = nodeInstanceId(nodeName, facts)
  return found === instanceId ? null : Refusal.cases.InstanceMismatch.make({ nodeName, asked: instanceId, found })
}

// A fence is known on its host by its operation and member, and members of different groups may have one name.
const namesOf = (groups: ReadonlyArray<GroupThere>): ((there: GroupThere, member: Member) => string) => {
  const forms = ({ cluster, topology }: GroupThere, { name }: Member): ReadonlyArray<string> => [
    name,
    `${cluster.name}/${name}`,
    `${cluster.name}/${topology.group}/${name}`
  ]
  const all = groups.flatMap((there) => there.members.flatMap((member) => forms(there, member)))
  return (there, member) => {
    const own = forms(there, member)
    const found = own.find((form) => all.filter((other) => other === form).length === 1) ?? own.at(-1)!
    // With the cluster and the group before it a name may grow longer than a host can keep.
    return isFenceName(found) ? found : `${member.name.slice(0, 12)} ${v5(longNames, found)}`
  }
}
