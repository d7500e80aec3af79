/**
 * What a worker looks at every few seconds beside its operations: which fences stand past their deadline on the hosts it
 * can ask, and how many operations the store holds. A fence found late is told, counted and lifted by a sweep.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Cluster, restarterOf } from "@inquorate/core/Cluster"
import type { FenceReport, Injector } from "@inquorate/core/Injector"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import * as Figures from "./Figures.ts"
import { skewMost } from "../plan/Fences.ts"

/** Looks again and again. Never takes more than a twentieth of the time, however many fences a host has on record. */
export const run = (
  clusters: ReadonlyArray<Cluster>,
  store: OperationStore["Service"],
  clock: Effect.Effect<Instant, StoreError>,
  every: Millis
): Effect.Effect<never> =>
  Effect.all([repeat(every, lookAtFences(clusters, clock)), repeat(every, countOperations(store))], {
    concurrency: "unbounded",
    discard: true
  }).pipe(Effect.andThen(Effect.never))

/**
 * Counts the fences that stand past their deadline, and has each host lift its own. `clock` is the store's: no fence is
 * late only because our own clock is ahead of it.
 */
export const lookAtFences = (
  clusters: ReadonlyArray<Cluster>,
  clock: Effect.Effect<Instant, StoreError>
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const looked = yield* Effect.forEach(placesOf(clusters), (place) => lookAtPlace(place, clock), {
      concurrency: "unbounded"
    })
    const answered = looked.filter((late) => late !== null)
    yield* Metric.update(
      Figures.pastDeadline,
      answered.reduce((sum, late) => sum + late, 0)
    )
    yield* Metric.update(Figures.hostsSilent, looked.length - answered.length)
  })

// --- internal ---

interface Place {
  readonly injector: Injector
  readonly host: string
}

const share = 20

const repeat = (every: Millis, look: Effect.Effect<void>): Effect.Effect<never> =>
  Effect.forever(
    Effect.gen(function* () {
      const began = yield* Clock.currentTimeMillis
      yield* Effect.catchCause(look, (cause) => Effect.logWarning("A look around failed", cause))
      const took = Math.max(0, (yield* Clock.currentTimeMillis) - began)
      yield* Effect.sleep(Math.max(every, share * took))
    })
  )

// A fence on a host is the host's, whichever cluster's settings its mechanism was made with.
const placesOf = (clusters: ReadonlyArray<Cluster>): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  for (const cluster of clusters) {
    const restarter = restarterOf(cluster)
    for (const injector of restarter === undefined ? [cluster.injector] : [cluster.injector, restarter]) {
      for (const host of cluster.hosts) {
        if (places.some((place) => place.injector.name === injector.name && place.host === host)) continue
        places.push({ injector, host })
      }
    }
  }
  return places
}

// A host tells deadlines by its own clock, which may differ from ours by what is allowed. Nothing within that is late.
const isLate = (report: FenceReport, now: number): boolean =>
  report.state._tag === "Armed" && report.state.deadline + skewMost < now

const lookAtPlace = (
  { host, injector }: Place,
  clock: Effect.Effect<Instant, StoreError>
): Effect.Effect<number | null> =>
  Effect.gen(function* () {
    const reports = yield* injector.sweep(host, { clear: false })
    const own = yield* Clock.currentTimeMillis
    const now = Math.min(own, yield* Effect.orElseSucceed(clock, () => own))
    const late = reports.filter((report) => isLate(report, now))
    for (const { fence } of late) {
      yield* Effect.logError(
        `A fence of ${fence.member} stands past its deadline on host ${host}; it is lifted now`
      ).pipe(Effect.annotateLogs({ operationId: fence.operationId, host }))
    }
    if (late.length > 0) yield* Effect.ignore(injector.sweep(host, { clear: true }))
    return late.length
  }).pipe(Effect.catchTag("InjectorError", () => Effect.succeed(null)))

const countOperations = (store: OperationStore["Service"]): Effect.Effect<void> =>
  store.census.pipe(
    Effect.flatMap(Figures.census),
    Effect.catchTag("StoreError", () => Effect.void)
  )
