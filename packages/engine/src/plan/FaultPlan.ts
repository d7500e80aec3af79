/**
 * The plan of every kind of fault: finds what the request names, drafts what the kind needs of it, and asks every guard. It
 * touches nothing and stores nothing.
 */
import * as Effect from "effect/Effect"
import type { Cluster } from "@inquorate/core/Cluster"
import type { Fact, ProbeSample } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { StoreError } from "@inquorate/core/OperationStore"
import { type PlannedFence, Refusal } from "@inquorate/core/Plan"
import {
  type DataLossRequest,
  type FaultRequest,
  isNodeRequest,
  type NodeRequest,
  type PartitionRequest
} from "@inquorate/core/Request"
import type { TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import { takesWrites, type Topology } from "@inquorate/core/Topology"
import { draftCut } from "./Cut.ts"
import { discoverGroup, Unreachable } from "./Discovery.ts"
import { type Draft, noted, type PreparedFence, setAside, type Standing } from "./Fences.ts"
import {
  GuardRefused,
  type Guard,
  type Guards,
  mayLoseData,
  notProtected,
  pass,
  type PlanGround,
  storeOutside
} from "./Guards.ts"
import { draftNode } from "./NodePlan.ts"
import { discoverNode, type NodeSeen } from "./Nodes.ts"
import { type Asked, type Counting, type Others, uncrowded } from "./Others.ts"
import { draftRestart } from "./Restart.ts"

// --- models ---

/** A group that a request names, as it stands now. */
export interface FoundGroup {
  readonly _tag: "Group"
  readonly request: PartitionRequest
  readonly cluster: Cluster
  readonly topology: Topology
}

/** What a request names, as it stands now. */
export type Found = FoundGroup | { readonly _tag: "Node"; readonly request: NodeRequest; readonly seen: NodeSeen }

/** What a plan came to: the fences to order, or those of another operation that stand, and the facts to store. */
export interface Planned {
  readonly fences: ReadonlyArray<PlannedFence>
  readonly standing?: Standing
  /** How long the slowest host needed for its last look, where the loss has to show within a time. */
  readonly took?: Millis
  /** What the hosts said of each process, where a host that makes ready judges it once more. */
  readonly looks?: ReadonlyArray<PreparedFence>
  readonly facts: ReadonlyArray<Fact>
}

/** The writes that show before a fault that the group takes any. */
export interface SteadyProbe {
  readonly open: Effect.Effect<void, TargetError>
  readonly endpoints: () => number
  readonly once: (endpoint: number, timeout: Millis) => Effect.Effect<ProbeSample, TargetError>
}

// --- make ---

/** Finds what a request names. */
export const find = (
  { clusters }: PlanGround,
  request: FaultRequest
): Effect.Effect<Found, GuardRefused | Unreachable> =>
  isNodeRequest(request)
    ? Effect.map(discoverNode(clusters, request.nodeName), (seen) => ({ _tag: "Node", request, seen }) as const)
    : Effect.map(discoverGroup(clusters, request), (group) => ({ _tag: "Group", request, ...group }) as const)

/**
 * The fences of a fault after every guard: those of the place, which the draft asks, then those of the fences and of what
 * else runs. A refusal that the request sets aside by name stands among the facts. `lately` is what the hosts said of
 * its processes a moment ago.
 */
export const plan = (
  ground: PlanGround,
  others: Others,
  found: Found,
  asked: Asked,
  counting: Counting,
  lately?: ReadonlyArray<PreparedFence>
): Effect.Effect<Planned, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { facts, guards, ...draft } = yield* draftOf(ground, found, lately)
    const crowd = roomFor(ground.guards, others, found, asked, fencesToOrder(draft), counting)
    const aside = yield* pass(asked.request, topologiesOf(found)[0] ?? null, [...guards, crowd])
    return { ...draft, facts: facts(aside) }
  })

/** The fences that are to be ordered; none where those of another operation stand already. */
export const fencesToOrder = ({ fences, standing }: Pick<Planned, "fences" | "standing">): Planned["fences"] =>
  standing === undefined ? fences : []

/** There is room for what was found beside all others. */
export const roomFor = (
  guards: Guards,
  others: Others,
  found: Found,
  asked: Asked,
  fences: ReadonlyArray<PlannedFence>,
  counting: Counting
): Guard => {
  const there = found._tag === "Group" ? [found.cluster] : found.seen.groups.map(({ cluster }) => cluster)
  return uncrowded(guards, others, { ...asked, clusters: there.map(({ name }) => name) }, fences, counting)
}

/** The groups that were found. */
export const topologiesOf = (found: Found): ReadonlyArray<Topology> =>
  found._tag === "Group" ? [found.topology] : found.seen.groups.map(({ topology }) => topology)

/** True where the recovery will be told by writes, so that they have to commit beforehand. */
export const needsSteady = (request: FaultRequest, topology: Topology): boolean =>
  faultOf(request).losesQuorum || takesWrites(topology)

/**
 * How long a write takes that is acknowledged now, or the refusal of a group that takes none. An endpoint has at least
 * `atLeast` for it, and longer where there are few: on a busy machine a healthy group may need seconds.
 */
export const steady = (
  prober: SteadyProbe,
  topology: Topology,
  atLeast: Millis
): Effect.Effect<Millis, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    yield* prober.open
    const timeout = Math.max(atLeast, Math.round(steadyWithin / Math.max(1, prober.endpoints())))
    let last = "no endpoint to write to"
    for (let endpoint = 0; endpoint < prober.endpoints(); endpoint++) {
      const { endedAt, outcome, sentAt } = yield* prober.once(endpoint, timeout)
      if (outcome?._tag === "Acknowledged") return Math.max(0, (endedAt ?? sentAt) - sentAt)
      if (outcome !== null) last = outcome.detail
    }
    return yield* new GuardRefused({ refusal: Refusal.cases.NotSteady.make({ detail: last }), topology })
  }).pipe(
    Effect.catchTag("TargetError", ({ detail, reason }) =>
      Effect.fail(
        reason === "Unfit"
          ? new GuardRefused({ refusal: Refusal.cases.Unfit.make({ why: [detail] }), topology })
          : new Unreachable({ detail, retryable: reason === "Unreachable" || reason === "TimedOut" })
      )
    )
  )

// --- internal ---

/** How long the endpoints of a group may take together to acknowledge a write before its loss. */
const steadyWithin: Millis = 4000

const draftOf = (
  ground: PlanGround,
  found: Found,
  lately: ReadonlyArray<PreparedFence> | undefined
): Effect.Effect<Draft, GuardRefused | Unreachable | StoreError> => {
  if (found._tag === "Node") return draftNode(ground, found.seen, found.request)
  const { cluster, request, topology } = found
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return draftCut(ground.guards, cluster, topology, request, lately)
    case "PartitionDataLoss":
      return draftDataLoss(ground.guards, cluster, topology, request)
    case "PartitionRestart":
      return draftRestart(ground.guards, cluster, topology, request, lately)
  }
}

const draftDataLoss = (
  guards: Guards,
  cluster: Cluster,
  topology: Topology,
  request: DataLossRequest
): Effect.Effect<Draft, GuardRefused> =>
  Effect.as(pass(request, topology, [notProtected(cluster), mayLoseData(cluster), storeOutside(guards, topology)]), {
    fences: [],
    guards: [],
    facts: (aside) => [...setAside(aside), noted(lossOf(request, topology))]
  })

const lossOf = ({ member, mode }: DataLossRequest, { group }: Topology): string =>
  member === undefined ? `${mode} of the data of ${group}` : `Removal of ${member} of ${group} with its data`
