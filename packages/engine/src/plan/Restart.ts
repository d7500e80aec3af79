/**
 * The draft of a restart of a partition's replicas: which of them, and by which mechanism. The host ends every chosen member,
 * and the lift starts it again, or the fence's own expiry.
 */
import * as Effect from "effect/Effect"
import { type Cluster, restarterOf } from "@inquorate/core/Cluster"
import type { Injector } from "@inquorate/core/Injector"
import { Refusal } from "@inquorate/core/Plan"
import type { FaultRequest, RestartMode, RestartRequest } from "@inquorate/core/Request"
import type { Member, Topology } from "@inquorate/core/Topology"
import type { Unreachable } from "./Discovery.ts"
import { type Draft, factsOf, notTheServer, planFences, type PreparedFence } from "./Fences.ts"
import { answering, type GuardRefused, type Guards, notProtected, pass, restartable, storeOutside } from "./Guards.ts"

/** Drafts the restart of the replicas that the mode asks for, once the guards of the cluster and the group have passed. */
export const draftRestart = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology,
  request: RestartRequest,
  lately: ReadonlyArray<PreparedFence> | undefined
): Effect.Effect<Draft, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const { member, mode } = request
    const restarter = yield* restarterFor(guards, cluster, topology, request)
    const wanted = topology.members.filter(
      ({ name, role, up }) =>
        up && (member === undefined || name === member) && (mode === "AllReplicasOrInstances" || role !== "Primary")
    )
    const chosen = wanted.filter(({ process }) => process !== null)
    yield* pass(request, topology, [answering(chosen.length > 0 ? null : nobody(topology, mode, wanted))])
    const prepared = yield* planFences(restarter, chosen, topology, lately)
    const spared = wanted.filter(({ process }) => process === null)
    const warnings = spared.map(({ name, processProblem }) => `${name} is not restarted: ${processProblem}`)
    const told = prepared.map((one, index) => (index > 0 ? one : { ...one, warnings: [...one.warnings, ...warnings] }))
    return { fences: prepared.map(({ fence }) => fence), looks: prepared, guards: [], facts: factsOf("Restarts", told) }
  })

/** The mechanism that restarts members of a cluster, unless the cluster or our own store forbids it. */
export const restarterFor = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology,
  request: FaultRequest
): Effect.Effect<Injector, GuardRefused> =>
  Effect.as(
    pass(request, topology, [notProtected(cluster), storeOutside(guards, topology), restartable(cluster)]),
    // The last guard refuses a cluster that has none.
    restarterOf(cluster)!
  )

// --- internal ---

// A primary on its own has no secondaries, and a restart of none of them is done at once; it is no ground for a refusal.
const nobody = (topology: Topology, mode: RestartMode, wanted: ReadonlyArray<Member>): Refusal | null => {
  const [first] = wanted
  if (first !== undefined) return notTheServer(first)
  return mode === "AllReplicasOrInstances" ? Refusal.cases.AlreadyLost.make({ up: 0, needed: topology.needed }) : null
}
