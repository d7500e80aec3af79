/**
 * The engine of one worker. It takes its lease and renews it, claims operations and drives them, answers a front as
 * core's `Operations`, and gives everything back when its scope closes. If it dies in the middle of something, the next
 * engine goes on from the store and the hosts' own records.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Clusters } from "@inquorate/core/Cluster"
import { Operations } from "@inquorate/core/Operations"
import { OperationStore } from "@inquorate/core/OperationStore"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import * as Browse from "./watch/Browse.ts"
import * as Figures from "./watch/Figures.ts"
import { type Guards, unguarded } from "./plan/Guards.ts"
import * as LastLooks from "./drive/LastLooks.ts"
import * as LocalLease from "./drive/LocalLease.ts"
import * as Presence from "./drive/Presence.ts"
import * as Requests from "./front/Requests.ts"
import type { Ground } from "./drive/Session.ts"
import * as StoreClock from "./drive/StoreClock.ts"
import * as Survey from "./watch/Survey.ts"
import * as Worker from "./Worker.ts"

/** How an engine is set up. Everything but the worker's stable id has a default. */
export interface EngineOptions {
  /** The worker's name, the same after a restart, so that it reclaims its own operations at once. */
  readonly workerId: string
  /** How long a lease lasts without a heartbeat; 1800 ms unless given. */
  readonly leaseMs?: Millis
  /** How often it is renewed; 300 ms unless given. */
  readonly beatMs?: Millis
  /** How many operations run at once; 100 unless given. */
  readonly concurrency?: number
  /** What is kept of ended operations: the newest `rows`, and everything younger than `age`; 10 000 and 7 days unless given. */
  readonly retention?: { readonly rows: number; readonly age: Millis }
  /** The longest hold on a cluster that is not configured; 900 000 ms unless given. */
  readonly defaultMaxHold?: Millis
  /** What is allowed at once, and where the store lies; nothing is limited unless given. */
  readonly guards?: Partial<Guards>
  /**
   * Whether this worker can reach the host of a fence; any unless given. An operation that has a fence on another host
   * is left to other workers.
   */
  readonly reaches?: (fence: PlannedFence) => boolean
  /** How often hosts are looked at for fences past their deadline, and operations are counted; never unless given. */
  readonly surveyEvery?: Millis
  /**
   * How long the start waits for a first look at every cluster, so that the first caller is told what there is. It
   * waits for nobody unless given. A cluster that has not answered by then is shown as not looked at yet.
   */
  readonly lookFirst?: Millis
  /** Hears, at most once, that a newer start took this worker's id: it must end. */
  readonly onLost?: (detail: string) => void
}

/** Runs the engine in the layer's scope and provides `Operations`. The bound of the queue is the store's. */
export const layer = (options: EngineOptions): Layer.Layer<Operations, never, OperationStore | Clusters> =>
  Layer.effect(Operations, make(options))

/** Runs the engine in the scope and gives back what a front may ask of it. */
export const make = (
  options: EngineOptions
): Effect.Effect<Operations["Service"], never, OperationStore | Clusters | Scope.Scope> =>
  Effect.gen(function* () {
    yield* Figures.begin
    const store = Figures.timed(yield* OperationStore)
    const clusters = (yield* Clusters).all
    const lease = yield* LocalLease.make
    const guards = { ...unguarded, ...options.guards }
    const presence = yield* Presence.make
    const clock = yield* StoreClock.make(store)
    const lastLooks = yield* LastLooks.make
    const ground: Ground = { worker: options.workerId, store, clock, clusters, lease, presence, guards, lastLooks }
    // This is registered first and so runs last: no drive acts any more when the operations are handed over.
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(store.release(options.workerId), releaseWithin)))
    const worker = yield* Worker.make(ground, {
      leaseMs: options.leaseMs ?? defaultLease,
      beatMs: options.beatMs ?? defaultBeat,
      concurrency: options.concurrency ?? defaultConcurrency,
      reaches: options.reaches,
      onLost: options.onLost
    })
    yield* Effect.forkScoped(
      Stream.runForEach(store.changes, (change) => Effect.sync(() => worker.changed(change))),
      {
        startImmediately: true
      }
    )
    yield* Effect.forkScoped(
      Effect.andThen(worker.begin, Effect.all([worker.beat, worker.claim], { concurrency: "unbounded", discard: true }))
    )
    yield* Effect.forkScoped(prune(store, options))
    if (options.surveyEvery !== undefined)
      yield* Effect.forkScoped(Survey.run(clusters, store, clock.now, options.surveyEvery))
    const browse = yield* Browse.make(clusters)
    if (options.lookFirst !== undefined) yield* browse.lookFirst(options.lookFirst)
    return Requests.make(ground, browse.views, options.defaultMaxHold ?? defaultMaxHold)
  })

// --- internal ---

const defaultLease: Millis = 1800
const defaultBeat: Millis = 300
const defaultConcurrency = 100
const defaultMaxHold: Millis = 900_000
const defaultRetention = { rows: 10_000, age: 7 * 24 * 60 * 60 * 1000 }
const pruneEvery: Millis = 60 * 60 * 1000
const releaseWithin: Millis = 2000

const prune = (store: OperationStore["Service"], options: EngineOptions): Effect.Effect<never> => {
  const { age, rows } = options.retention ?? defaultRetention
  return Effect.gen(function* () {
    const now = yield* store.now
    const removed = yield* store.prune(rows, Math.max(0, now - age))
    if (removed > 0) yield* Effect.logInfo(`Removed ${removed} ended operations`)
  }).pipe(
    Effect.catchTag("StoreError", ({ detail }) => Effect.logWarning(`The store did not answer: ${detail}`)),
    Effect.andThen(Effect.sleep(pruneEvery)),
    Effect.forever
  )
}
