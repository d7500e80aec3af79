/**
 * What one drive of one operation knows beyond the stored operation: its time, its journal, its probe, and what the
 * evidence of earlier drives told. Lost with the drive, and rebuilt from evidence and hosts by the next one.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import { type Cluster, restarterOf } from "@inquorate/core/Cluster"
import { collect, type EvidenceEntry, type Fact, type SurvivorsWord } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { type FenceId, type FenceState, type Injector, InjectorError } from "@inquorate/core/Injector"
import { type Event, type Operation, type Order, standingOrder, verifyBudget } from "@inquorate/core/Operation"
import type { OperationStore, StoreError, Stored } from "@inquorate/core/OperationStore"
import type { PlannedFence } from "@inquorate/core/Plan"
import { type FaultRequest, isPartitionRequest } from "@inquorate/core/Request"
import type { Target } from "@inquorate/core/Target"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import * as Journal from "./Journal.ts"
import * as Figures from "../watch/Figures.ts"
import type { Guards } from "../plan/Guards.ts"
import type { LocalLease } from "./LocalLease.ts"
import { findCluster } from "../plan/LookUp.ts"
import type { Preparation } from "./Preparing.ts"
import type { Presence } from "./Presence.ts"
import * as Prober from "./Prober.ts"
import type { StoreClock } from "./StoreClock.ts"
import * as Timeline from "./Timeline.ts"

/** What every drive of a worker stands on. */
export interface Ground {
  /** The store's time, by which every moment is stored. */
  readonly clock: StoreClock
  readonly worker: string
  readonly store: OperationStore["Service"]
  readonly clusters: ReadonlyArray<Cluster>
  readonly lease: LocalLease
  readonly presence: Presence
  readonly guards: Guards
}

/** What one drive knows beyond the stored operation. The fields that change are this drive's memory. */
export interface Session {
  readonly ground: Ground
  readonly epoch: number
  readonly timeline: Timeline.Timeline
  readonly journal: Journal.Journal
  /**
   * The cluster of the partition and its probe: null where none of that name is configured, and for a node, whose members
   * may be of several.
   */
  cluster: Cluster | null
  group: string | null
  prober: Prober.Prober | null
  /** Another probe of this drive, of any group. */
  readonly probe: (target: Target, group: string) => Effect.Effect<Prober.Prober>
  /** What the epochs on the hosts of another operation's fences begin at, which this one lifts. */
  standingEpoch: number
  /** When this drive began. */
  readonly began: Instant
  topology: Topology | null
  /** The attempt whose fences this drive ordered itself; arming is never begun for an order of another drive. */
  orderedAttempt: number | null
  /** How long the loss may take to show, by what the hosts were last seen to need. */
  verifyWithin: Millis
  /** What the hosts make ready, or have ready, for an attempt. */
  prepared: Preparation | null
  /** Ends with the drive. */
  readonly scope: Scope.Scope
  /** Since when, on the monotonic clock, the order of an attempt has come late everywhere. */
  waiting: { readonly attempt: number; readonly since: Millis } | null
  /** The attempt whose fences this drive knows to be armed, by their hosts' own reports, and since when. */
  confirmed: { readonly attempt: number; readonly at: Instant } | null
  /** When the lift of the present attempt was first sent, by this drive or as stored by an earlier one. */
  liftSentAt: Instant | null
  lossBegan: Instant | null
  liftedAt: Instant | null
  readonly survivors: Array<SurvivorsWord>
  unobserved: Millis
  /** How long this drive itself was frozen. */
  frozen: Millis
  /** The last stored entry of an earlier drive, while the gap since then is still open. */
  unwatchedSince: Instant | null
}

/** The result of an action: what happened, and the facts to store with it. */
export interface Outcome {
  readonly event: Event
  readonly facts: ReadonlyArray<Fact>
}

/** Opens a drive's session on an operation that was just claimed. */
export const open = (ground: Ground, claimed: Stored): Effect.Effect<Session, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const { operation } = claimed
    const timeline = yield* Timeline.make(ground.clock.now)
    // Nobody has driven what waits under its first epoch.
    const fresh =
      claimed.epoch === 1 && operation.stage._tag === "Advancing" && operation.stage.step._tag === "IntentSaved"
    const entries = fresh ? [] : yield* ground.store.evidence(operation.id, 0)
    const evidence = collect(entries)
    const journal = yield* Journal.make(ground.store, claimed, ground.worker, timeline)
    const scope = yield* Effect.scope
    let sequence = nextSequence(entries, ground.worker)
    const probe = (target: Target, group: string): Effect.Effect<Prober.Prober> =>
      Scope.provide(
        Prober.make(target, group, journal, timeline, () => sequence++),
        scope
      )
    const found = placeOf(ground.clusters, operation.request, evidence.topology)
    const prober = found === undefined ? null : yield* probe(found.cluster.target, found.group)
    const last = entries.at(-1)
    const verifying = evidence.phases.findLast(({ phase }) => phase === "Verifying")
    const lifting = evidence.phases.findLast(({ phase }) => phase === "Lifting" || phase === "Undoing")
    if (claimed.epoch > 1 && evidence.owners.length > 0) yield* Metric.update(Figures.takeovers, 1)
    journal.note({ _tag: "OwnerChanged", worker: ground.worker, epoch: claimed.epoch })
    return {
      ground,
      epoch: claimed.epoch,
      timeline,
      journal,
      cluster: found?.cluster ?? null,
      group: found?.group ?? null,
      prober,
      probe,
      standingEpoch: yield* standingEpochOf(ground, operation),
      began: timeline.now(),
      topology: evidence.topology,
      orderedAttempt: null,
      verifyWithin: verifyBudget,
      prepared: null,
      scope,
      waiting: null,
      confirmed: null,
      liftSentAt: lifting !== undefined && lifting.attempt === operation.attempt ? lifting.began : null,
      lossBegan: lossBeganOf(operation),
      liftedAt: null,
      survivors: evidence.survivors
        .filter(({ at }) => verifying !== undefined && at >= verifying.began)
        .map(({ detail, word }) => ({ detail, word })),
      unobserved: evidence.unobserved,
      frozen: 0,
      unwatchedSince: last !== undefined && wasWatched(operation) ? last.at : null
    }
  })

/** The name of a fence on its host. */
export const fenceId = (operation: Operation, order: Order, fence: PlannedFence): FenceId => ({
  operationId: order.of?.operationId ?? operation.id,
  attempt: order.of?.attempt ?? operation.attempt,
  member: fence.member
})

/** The epoch by which this drive speaks to the hosts of an order: above that of whoever armed it. */
export const epochOf = (session: Session, order: Order): number =>
  order.of === undefined ? session.epoch : session.standingEpoch + session.epoch

/** The mechanism that a fence names, in the cluster it belongs to or in any that has its host; null where none has. */
export const injectorOf = (session: Session, fence: PlannedFence): Injector | null =>
  injectorAmong(session.ground.clusters, session.cluster, fence)

/** The same of these clusters, `of` first where the fence names none itself. */
export const injectorAmong = (
  clusters: ReadonlyArray<Cluster>,
  of: Cluster | null,
  fence: PlannedFence
): Injector | null => {
  const own = fence.cluster === undefined ? of : clusters.find(({ name }) => name === fence.cluster)
  const called = (cluster: Cluster): Injector | undefined =>
    [cluster.injector, restarterOf(cluster)].find((one) => one?.name === fence.injector)
  const injector = own == null ? undefined : called(own)
  if (injector !== undefined) return injector
  for (const cluster of clusters) {
    const other = cluster.hosts.includes(fence.process.host) ? called(cluster) : undefined
    if (other !== undefined) return other
  }
  return null
}

/** Makes the group that was found the one that this drive watches. */
export const settleOn = (session: Session, cluster: Cluster, topology: Topology): Effect.Effect<void> =>
  Effect.gen(function* () {
    session.topology = topology
    if (session.prober !== null && session.cluster === cluster && session.group === topology.group) return
    session.cluster = cluster
    session.group = topology.group
    session.prober = yield* session.probe(cluster.target, topology.group)
  })

/** How one fence stands; null where the host could not say. Makes this drive's epoch the least the host obeys. */
export const inspect = (session: Session, order: Order, fence: PlannedFence): Effect.Effect<FenceState | null> => {
  const injector = injectorOf(session, fence)
  if (injector === null) return Effect.succeed(null)
  const id = fenceId(session.journal.stored().operation, order, fence)
  return bounded(fence, injector.inspect(fence.process.host, id, epochOf(session, order))).pipe(
    Effect.match({ onFailure: () => null, onSuccess: (state): FenceState | null => state })
  )
}

/** An answer of a host, or `Unknown` where it took too long. */
export const bounded = <A>(
  fence: PlannedFence,
  asked: Effect.Effect<A, InjectorError>,
  within: Millis = hostTimeout
): Effect.Effect<A, InjectorError> =>
  Effect.timeoutOrElse(asked, {
    duration: within,
    orElse: () =>
      Effect.fail(
        new InjectorError({
          host: fence.process.host,
          member: fence.member,
          reason: "Unknown",
          detail: `no answer within ${within} ms`
        })
      )
  })

/** How every fence of an order stands, in the order's own order. */
export const inspectAll = (
  session: Session,
  order: Order
): Effect.Effect<ReadonlyArray<readonly [PlannedFence, FenceState | null]>> =>
  Effect.andThen(
    session.ground.lease.permit,
    Effect.forEach(
      order.fences,
      (fence) => Effect.map(inspect(session, order, fence), (state) => [fence, state] as const),
      {
        concurrency: "unbounded"
      }
    )
  )

/** Closes the gap that opened when the last owner stopped watching, and stores how long it was. */
export const closeGap = (session: Session): void => {
  if (session.unwatchedSince === null) return
  const span = Math.max(0, session.timeline.now() - session.unwatchedSince)
  session.unwatchedSince = null
  if (span === 0) return
  session.unobserved += span
  session.journal.note({ _tag: "Unobserved", span })
}

/** Keeps the probe writing, from now or from when the cluster lets it be opened; the gap ends when it does. */
export const keepWatching = (session: Session): Effect.Effect<void> => {
  const { prober } = session
  if (prober === null) return Effect.never
  const again = Effect.andThen(
    Effect.sleep(watchRetry),
    Effect.suspend(() => keepWatching(session))
  )
  return prober.watch.pipe(
    Effect.andThen(Effect.sync(() => closeGap(session))),
    Effect.matchEffect({ onFailure: () => again, onSuccess: () => Effect.void })
  )
}

/** How long a host may take to arm a fence before its answer counts as lost: the more, the slower it was seen to be. */
export const armingWithin = ({ verifyWithin }: Session): Millis => hostTimeout + 2 * (verifyWithin - verifyBudget)

// --- internal ---

const watchRetry = 500
/** How long a host may take before its answer counts as lost. */
const hostTimeout: Millis = 5000

// Samples are told apart by worker and sequence, so a worker that comes back counts on.
const nextSequence = (entries: ReadonlyArray<EvidenceEntry>, worker: string): number => {
  let next = 1
  for (const { fact, worker: by } of entries) {
    if (fact._tag !== "Sampled" || by !== worker) continue
    for (const { sequence } of fact.samples) next = Math.max(next, sequence + 1)
  }
  return next
}

// What an earlier drive found tells the group best; before that a service name tells it for most systems.
const placeOf = (
  clusters: ReadonlyArray<Cluster>,
  request: FaultRequest,
  seen: Topology | null
): { readonly cluster: Cluster; readonly group: string } | undefined => {
  if (!isPartitionRequest(request)) return undefined
  if (seen?.partitionId !== request.partitionId) return findCluster(clusters, request.serviceName)
  const cluster = clusters.find(({ name }) => name === seen.cluster)
  return cluster === undefined ? undefined : { cluster, group: seen.group }
}

const standingEpochOf = (ground: Ground, operation: Operation): Effect.Effect<number, StoreError> => {
  const of = standingOrder(operation)?.of
  if (of === undefined) return Effect.succeed(0)
  return Effect.map(ground.store.get(of.operationId), (stored) => stored?.epoch ?? 0)
}

const phaseTag = ({ stage }: Operation): string | null =>
  stage._tag === "Advancing" && stage.step._tag === "PerformingActions" ? stage.step.phase._tag : null

const wasWatched = (operation: Operation): boolean =>
  faultOf(operation.request).losesQuorum && ["Verifying", "Holding", "Lifting"].includes(phaseTag(operation) ?? "")

const lossBeganOf = ({ stage }: Operation): Instant | null =>
  stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && "lossBegan" in stage.step.phase
    ? stage.step.phase.lossBegan
    : null
