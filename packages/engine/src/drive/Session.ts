/**
 * The session of one drive: its time, its journal, its probes, what its hosts make ready, and what it knows. It ends with
 * the drive.
 */
import * as Effect from "effect/Effect"
import type * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import type { Cluster } from "@inquorate/core/Cluster"
import { collect, type Evidence, type EvidenceEntry, type Fact } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { type Event, type Operation, standingOrder } from "@inquorate/core/Operation"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { type FaultRequest, isPartitionRequest } from "@inquorate/core/Request"
import type { Target } from "@inquorate/core/Target"
import type { Instant } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import { findCluster } from "../plan/Discovery.ts"
import type { PlanGround } from "../plan/Guards.ts"
import * as Figures from "../watch/Figures.ts"
import * as Attendance from "./Attendance.ts"
import * as Journal from "./Journal.ts"
import { type Known, lossBeganOf, type Place, recall } from "./Known.ts"
import type { LastLooks } from "./LastLooks.ts"
import type { LocalLease } from "./LocalLease.ts"
import * as Preparing from "./Preparing.ts"
import type { Presence } from "./Presence.ts"
import * as Prober from "./Prober.ts"
import type { StoreClock } from "./StoreClock.ts"
import * as Timeline from "./Timeline.ts"

// --- models ---

/** What every drive of a worker stands on. */
export interface Ground extends PlanGround {
  /** The store's time, by which every moment is stored. */
  readonly clock: StoreClock
  readonly worker: string
  readonly lease: LocalLease
  readonly presence: Presence
  readonly lastLooks: LastLooks
}

/** The session of one drive. Nothing in it changes; `known` is what was known when the present action began. */
export interface Session {
  readonly ground: Ground
  readonly epoch: number
  /** When this drive began. */
  readonly began: Instant
  readonly timeline: Timeline.Timeline
  readonly journal: Journal.Journal
  readonly attendance: Attendance.Attendance
  readonly preparing: Preparing.Preparing
  /** Another probe of this drive, of any group. */
  readonly probe: (target: Target, group: string) => Effect.Effect<Prober.Prober>
  readonly known: Known
  /** Keeps what an action has learned, whatever becomes of the action. The next action is given it. */
  readonly learn: (change: Partial<Known>) => void
}

/** The result of an action: what happened, and the facts to store with it. */
export interface Outcome {
  readonly event: Event
  readonly facts: ReadonlyArray<Fact>
}

// --- make ---

/**
 * Opens a drive's session on an operation that was just claimed, and gives the session of the next action each time.
 * `nudged` is opened when another worker is seen to own the operation.
 */
export const open = (
  ground: Ground,
  claimed: Stored,
  nudged: Latch.Latch
): Effect.Effect<() => Session, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const { epoch, operation } = claimed
    const timeline = yield* Timeline.make(ground.clock.now)
    // Nobody has driven what waits under its first epoch.
    const fresh = epoch === 1 && operation.stage._tag === "Advancing" && operation.stage.step._tag === "IntentSaved"
    const entries = fresh ? [] : yield* ground.store.evidence(operation.id, 0)
    const evidence = fresh ? nothingSeen : collect(entries)
    const journal = yield* Journal.make(ground.store, claimed, ground.worker, timeline, fresh, nudged)
    const scope = yield* Effect.scope
    let sequence = nextSequence(entries, ground.worker)
    const probe = (target: Target, group: string): Effect.Effect<Prober.Prober> =>
      Scope.provide(
        Prober.make(target, group, journal, timeline, () => sequence++),
        scope
      )
    const last = entries.at(-1)
    const since = last !== undefined && wasWatched(operation) ? last.at : null
    if (epoch > 1 && evidence.owners.length > 0) yield* Metric.update(Figures.takeovers, 1)
    journal.note({ _tag: "OwnerChanged", worker: ground.worker, epoch })
    let known: Known = {
      ...recall(operation, evidence),
      place: yield* recallPlace(ground, operation, evidence, probe),
      standingEpoch: yield* standingEpochOf(ground, operation)
    }
    const session = {
      ground,
      epoch,
      began: timeline.now(),
      timeline,
      journal,
      attendance: Attendance.make(journal, timeline, { unobserved: evidence.unobserved, since }),
      preparing: Preparing.make(journal, epoch, scope),
      probe,
      learn: (change: Partial<Known>): void => {
        known = { ...known, ...change }
      }
    }
    return () => {
      const { operation: stored } = journal.stored()
      known = { ...known, lossBegan: lossBeganOf(stored) ?? known.lossBegan }
      return { ...session, known }
    }
  })

/** The same session, watching the group that was found. */
export const settleOn = (
  session: Session,
  cluster: Cluster,
  topology: Topology
): Effect.Effect<Session & { readonly known: { readonly place: Place } }> =>
  Effect.gen(function* () {
    const { known } = session
    const { group } = topology
    const same = known.place?.cluster === cluster && known.place.group === group ? known.place.prober : null
    const prober = same ?? (yield* session.probe(cluster.target, group))
    const place: Place = { cluster, group, prober, topology }
    session.learn({ place })
    return { ...session, known: { ...known, place } }
  })

/** Keeps the probe writing, from now on or from when the cluster lets it be opened. The gap ends then. */
export const keepWatching = (prober: Prober.Prober, attendance: Attendance.Attendance): Effect.Effect<void> => {
  const again = Effect.andThen(
    Effect.sleep(watchRetry),
    Effect.suspend(() => keepWatching(prober, attendance))
  )
  return prober.watch.pipe(
    Effect.andThen(Effect.sync(attendance.resume)),
    Effect.matchEffect({ onFailure: () => again, onSuccess: () => Effect.void })
  )
}

// --- internal ---

const watchRetry = 500
const nothingSeen = collect([])

// Samples are told apart by worker and sequence, so a worker that comes back counts on.
const nextSequence = (entries: ReadonlyArray<EvidenceEntry>, worker: string): number => {
  let next = 1
  for (const { fact, worker: by } of entries) {
    if (fact._tag !== "Sampled" || by !== worker) continue
    for (const { sequence } of fact.samples) next = Math.max(next, sequence + 1)
  }
  return next
}

const recallPlace = (
  { clusters }: Ground,
  { request }: Operation,
  { topology }: Evidence,
  probe: Session["probe"]
): Effect.Effect<Place | null> => {
  const found = placeOf(clusters, request, topology)
  return found === undefined
    ? Effect.succeed(null)
    : Effect.map(probe(found.cluster.target, found.group), (prober) => ({ ...found, prober, topology }))
}

// What an earlier drive found tells the group best. Before that, a service name tells it for most systems.
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
