/**
 * The draft of a loss of the quorum: which members go, by which fences, with the arithmetic.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Cluster } from "@inquorate/core/Cluster"
import { verifyBudget, verifyBudgetOn } from "@inquorate/core/Operation"
import { chooseCut, explain, type Plan, smallestCut } from "@inquorate/core/Plan"
import type { QuorumLossRequest } from "@inquorate/core/Request"
import { concerned, longestHold, type Supervisor } from "@inquorate/core/Supervision"
import { formatMillis } from "@inquorate/core/Time"
import type { Member, Topology } from "@inquorate/core/Topology"
import type { Unreachable } from "./Discovery.ts"
import { type Draft, planFences, type PreparedFence } from "./Fences.ts"
import {
  answering,
  fit,
  GuardRefused,
  type Guards,
  notProtected,
  notTooLong,
  overrides,
  pass,
  patient,
  type SetAside,
  storeOutside
} from "./Guards.ts"

/**
 * Drafts the loss of a group's quorum, once the guards of the group itself have passed; `lately` is what was said of its
 * processes a moment ago.
 */
export const draftCut = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology,
  request: QuorumLossRequest,
  lately: ReadonlyArray<PreparedFence> | undefined
): Effect.Effect<Draft, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const chosen = chooseCut(topology, request.mode)
    const before = yield* pass(request, topology, [
      notProtected(cluster),
      storeOutside(guards, topology),
      fit(topology),
      answering(Result.isFailure(chosen) ? chosen.failure : null),
      // Whoever does not ask to go beyond the limit was checked when the request came, by the limit of that moment.
      ...(overrides(request, "tooLong") ? [notTooLong(request, cluster.maxHold)] : [])
    ])
    const cut = Result.isFailure(chosen) ? smallestCut(topology, request.mode) : chosen
    if (Result.isFailure(cut)) return yield* new GuardRefused({ refusal: cut.failure, topology })
    const prepared = yield* planFences(cluster.injector, cut.success, topology, lately)
    const silent = cut.success.map(({ name }) => name)
    const supervisors = [
      ...concerned(topology.supervisors ?? [], silent),
      ...prepared.flatMap((one) => one.supervisors),
      ...(yield* cluster.supervisors?.(topology) ?? Effect.succeed([]))
    ]
    return {
      fences: prepared.map(({ fence }) => fence),
      took: Math.max(0, ...prepared.map((one) => one.took)),
      looks: prepared,
      guards: [patient(request, supervisors)],
      facts: (aside) => [
        {
          _tag: "Planned",
          plan: planOf(request, topology, { cut: cut.success, prepared, supervisors, aside: [...before, ...aside] })
        }
      ]
    }
  })

// --- internal ---

const planOf = (
  { hold, mode }: QuorumLossRequest,
  topology: Topology,
  {
    aside,
    cut,
    prepared,
    supervisors
  }: {
    readonly aside: ReadonlyArray<SetAside>
    readonly cut: ReadonlyArray<Member>
    readonly prepared: ReadonlyArray<PreparedFence>
    readonly supervisors: ReadonlyArray<Supervisor>
  }
): Plan => {
  const longest = longestHold(supervisors)
  const warnings = [...(topology.warnings ?? []), ...prepared.flatMap((one) => one.warnings), ...slowness(prepared)]
  const counting = topology.members.filter((member) => member.counts)
  return {
    mode,
    hold,
    configured: counting.length,
    up: counting.filter((member) => member.up).length,
    needed: topology.needed,
    rule: topology.rule,
    fences: prepared.map(({ fence }) => fence),
    arithmetic: explain(topology, cut),
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(longest === null ? {} : { supervisors, longestHold: longest }),
    ...(aside.length === 0 ? {} : { overridden: aside })
  }
}

// What a slow host makes of the plan is said before anything is touched.
const slowness = (prepared: ReadonlyArray<PreparedFence>): ReadonlyArray<string> => {
  const slowest = prepared.reduce<PreparedFence | null>(
    (most, one) => (most === null || one.took > most.took ? one : most),
    null
  )
  const within = verifyBudgetOn(slowest?.took ?? 0)
  if (slowest === null || within === verifyBudget) return []
  const { host } = slowest.fence.process
  return [
    `host ${host} is slow: it took ${formatMillis(Math.round(slowest.took))} to look at ${slowest.fence.member}, so the loss may take ${formatMillis(within)} to show instead of ${formatMillis(verifyBudget)}`
  ]
}
