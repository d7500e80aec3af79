/**
 * What is looked at before the replicas of a partition are restarted: which of them, by which mechanism, and the guards.
 * Every chosen member is ended by its host and started again by the lift, or by the fence's own expiry.
 */
import * as Effect from "effect/Effect"
import { type Cluster, restarterOf } from "@inquorate/core/Cluster"
import type { Injector } from "@inquorate/core/Injector"
import { Refusal } from "@inquorate/core/Plan"
import type { RestartMode, RestartRequest } from "@inquorate/core/Request"
import type { Member, Topology } from "@inquorate/core/Topology"
import { type Guards, storeRefusal } from "./Guards.ts"
import { fenceProblem, GuardRefused, planFence, type PreparedFence, type Unreachable } from "./LookUp.ts"

/** The fences that restart the replicas that the mode asks for, after the guards of the cluster and the group. */
export const planRestart = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology,
  { member, mode }: Pick<RestartRequest, "member" | "mode">
): Effect.Effect<ReadonlyArray<PreparedFence>, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const restarter = yield* restarterFor(guards, cluster, topology)
    const wanted = topology.members.filter(
      ({ name, role, up }) =>
        up && (member === undefined || name === member) && (mode === "AllReplicasOrInstances" || role !== "Primary")
    )
    const chosen = wanted.filter(({ process }) => process !== null)
    const refusal = chosen.length > 0 ? null : nobody(topology, mode, wanted)
    if (refusal !== null) return yield* new GuardRefused({ refusal, topology })
    const prepared = yield* Effect.forEach(
      chosen,
      (member) => Effect.mapError(planFence(restarter, member), (problem) => fenceProblem(problem, topology)),
      { concurrency: "unbounded" }
    )
    const spared = wanted.filter(({ process }) => process === null)
    const [first, ...others] = prepared
    if (first === undefined || spared.length === 0) return prepared
    const warnings = spared.map(({ name, processProblem }) => `${name} is not restarted: ${processProblem}`)
    return [{ ...first, warnings: [...first.warnings, ...warnings] }, ...others]
  })

/** The mechanism that restarts members of a cluster, unless the cluster or our own store forbids it. */
export const restarterFor = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology
): Effect.Effect<Injector, GuardRefused> =>
  Effect.gen(function* () {
    const refuse = (refusal: Refusal): GuardRefused => new GuardRefused({ refusal, topology })
    if (cluster.protected) return yield* refuse(Refusal.cases.Protected.make({ cluster: cluster.name }))
    const inside = yield* storeRefusal(guards, topology)
    if (inside !== null) return yield* refuse(inside)
    const restarter = restarterOf(cluster)
    if (restarter !== undefined) return restarter
    const problem = `its mechanism "${cluster.injector.name}" takes members out without ending them`
    return yield* refuse(Refusal.cases.CannotRestart.make({ cluster: cluster.name, problem }))
  })

// --- internal ---

// A primary on its own has no secondaries, and a restart of none of them is done at once; it is no ground for a refusal.
const nobody = (topology: Topology, mode: RestartMode, wanted: ReadonlyArray<Member>): Refusal | null => {
  const [first] = wanted
  if (first !== undefined) {
    return Refusal.cases.NotTheServer.make({ member: first.name, problem: first.processProblem })
  }
  return mode === "AllReplicasOrInstances" ? Refusal.cases.AlreadyLost.make({ up: 0, needed: topology.needed }) : null
}
