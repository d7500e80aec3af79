/**
 * The draft of what a node is to suffer: the fences of its stop or restart, one for each server process on it, or the
 * fences of an earlier stop that a start takes off.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type Guid, v5 } from "@inquorate/core/Guid"
import type { StoreError } from "@inquorate/core/OperationStore"
import { isFenceName, Refusal } from "@inquorate/core/Plan"
import type { NodeRequest } from "@inquorate/core/Request"
import { type Member, nodeInstanceId } from "@inquorate/core/Topology"
import type { Unreachable } from "./Discovery.ts"
import { type Draft, factsOf, fenceProblem, noted, planFence, type PreparedFence } from "./Fences.ts"
import { answering, type GuardRefused, type Guards, pass, type PlanGround } from "./Guards.ts"
import { type GroupThere, type NodeSeen, type StandingStop, standingStop } from "./Nodes.ts"
import { processKey } from "./Others.ts"
import { restarterFor } from "./Restart.ts"

/** Drafts the transition of a node, once the guards of the node itself have passed. */
export const draftNode = (
  ground: PlanGround,
  seen: NodeSeen,
  request: NodeRequest
): Effect.Effect<Draft, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const stop = yield* standingStop(ground, seen)
    const refusal = (request.transition === "Start" ? startRefusal : stopRefusal)(request, seen, stop !== null)
    yield* pass(request, null, [answering(refusal), answering(dataRefusal(request, seen))])
    if (stop !== null) return endOf(stop)
    const prepared = yield* planStop(ground.guards, seen, request)
    const verb = request.transition === "Restart" ? "Restarts" : "Stops"
    return { fences: prepared.map(({ fence }) => fence), guards: [], facts: factsOf(verb, prepared) }
  })

// --- internal ---

/** Drawn once for Inquorate; the short names of fences whose full ones are too long follow from it. */
const longNames: Guid = "5c0f6f0e-8a53-4c0c-9a3e-5f8f4f0b7d21"

const endOf = ({ epoch, operation, order }: StandingStop): Draft => ({
  fences: order.fences,
  guards: [],
  facts: () => [noted(`Ends the stop that operation ${operation.id} began`)],
  standing: {
    operationId: operation.id,
    attempt: operation.attempt,
    deadline: order.deadline,
    armedAt: order.armedAt,
    epoch
  }
})

// One fence for each server process on the node, after the guards of every cluster they are of.
const planStop = (
  guards: Guards,
  seen: NodeSeen,
  request: NodeRequest
): Effect.Effect<ReadonlyArray<PreparedFence>, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const prepared: Array<PreparedFence> = []
    const processes = new Set<string>()
    const name = namesOf(seen.groups)
    for (const there of seen.groups) {
      const { cluster, members, topology } = there
      const restarter = yield* restarterFor(guards, cluster, topology, request)
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

// Why a node cannot be stopped as it stands, or null. `stopped` tells that a stop of ours holds it.
const stopRefusal = (request: NodeRequest, seen: NodeSeen, stopped: boolean): Refusal | null => {
  const { nodeName } = request
  if (stopped || (!seen.up && seen.facts?.stopped === true)) return Refusal.cases.NodeStopped.make({ nodeName })
  return seen.up ? instanceRefusal(request, seen) : Refusal.cases.NodeDown.make({ nodeName })
}

// Why a node cannot be started as it stands, or null.
const startRefusal = (request: NodeRequest, seen: NodeSeen, stopped: boolean): Refusal | null => {
  const { nodeName } = request
  if (stopped) return instanceRefusal(request, seen)
  return seen.up ? Refusal.cases.NodeUp.make({ nodeName }) : Refusal.cases.NodeDown.make({ nodeName })
}

// A node whose data is to go may be deactivated only where the data of all that stands on it may be destroyed.
const dataRefusal = (request: NodeRequest, { groups }: NodeSeen): Refusal | null => {
  const intent = "intent" in request ? request.intent : undefined
  if (intent !== "RemoveData" && intent !== "RemoveNode") return null
  const kept = groups.find(({ cluster }) => cluster.target.loseData === undefined)?.cluster
  return kept === undefined
    ? null
    : Refusal.cases.DataProtected.make({ cluster: kept.name, system: kept.target.system })
}

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
