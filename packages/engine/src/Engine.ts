/**
 * The engine of one worker: it takes its lease and renews it, claims operations and drives them, answers a front as
 * core's `Operations`, and gives everything back when its scope closes. What it was in the middle of when it died, the
 * next engine continues from the store and the hosts' own records.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Clusters } from "@inquorate/core/Cluster"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, isTerminal, type Operation, standingOrder } from "@inquorate/core/Operation"
import { Operations } from "@inquorate/core/Operations"
import { type Change, OperationStore, type StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import * as Browse from "./watch/Browse.ts"
import { drive } from "./drive/Drive.ts"
import * as Figures from "./watch/Figures.ts"
import { type Guards, unguarded } from "./plan/Guards.ts"
import * as LocalLease from "./drive/LocalLease.ts"
import * as Presence from "./drive/Presence.ts"
import * as Requests from "./front/Requests.ts"
import type { Ground } from "./drive/Session.ts"
import * as StoreClock from "./drive/StoreClock.ts"
import * as Survey from "./watch/Survey.ts"
import { monotonicMillis } from "./drive/Timeline.ts"

/** How an engine is set up. Everything but the worker's stable id has a default. */
export interface EngineOptions {
  /** The worker's name, the same after a restart, so that it reclaims its own operations at once. */
  readonly workerId: string
  /** How long a lease lasts without a heartbeat; 2500 ms unless given. */
  readonly leaseMs?: Millis
  /** How often it is renewed; 500 ms unless given. */
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
   * How long the start waits for a first look at every cluster, so that the first caller is told what there is; nobody is
   * waited for unless given. A cluster that has not answered by then is shown as not looked at yet.
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
    const ground: Ground = { worker: options.workerId, store, clock, clusters, lease, presence, guards }
    // Registered first and so run last: no drive acts any more when the operations are handed over.
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(store.release(options.workerId), releaseWithin)))
    const worker = yield* makeWorker(ground, options)
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

const defaultLease: Millis = 2500
const defaultBeat: Millis = 500
const defaultConcurrency = 100
const defaultMaxHold: Millis = 900_000
const defaultRetention = { rows: 10_000, age: 7 * 24 * 60 * 60 * 1000 }
const pruneEvery: Millis = 60 * 60 * 1000
const releaseWithin: Millis = 2000
const storeRetry: Millis = 200
/** The most operations taken by one claim. */
const claimAtOnce = 32

interface Driven {
  readonly epoch: number
  readonly nudged: Latch.Latch
  version: number
  ended: boolean
}

interface Worker {
  /** Gives back what a former life of this worker owned, so that its epochs rise at once. */
  readonly begin: Effect.Effect<void>
  readonly beat: Effect.Effect<never>
  readonly claim: Effect.Effect<never>
  /** Somebody changed an operation. */
  readonly changed: (change: Change) => void
}

const makeWorker = (ground: Ground, options: EngineOptions): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { lease, store, worker } = ground
    const leaseMs = options.leaseMs ?? defaultLease
    const beatMs = options.beatMs ?? defaultBeat
    const concurrency = options.concurrency ?? defaultConcurrency
    const driven = new Map<Guid, Driven>()
    const scope = yield* Effect.scope
    const fibers = yield* FiberMap.make<Guid>()
    const wake = yield* Latch.make(true)
    // What an answer of the store names may have been driven to its end by the time the answer is heard: each question
    // is told which drives ended since it was asked.
    const asking = new Set<Set<string>>()
    let lost = false

    const onFailure = ({ detail, reason }: StoreError): Effect.Effect<void> => {
      // Nothing but a heartbeat is fenced here, and that for good: the id has another holder.
      if (reason !== "Fenced") return Effect.logWarning(`The store did not answer: ${detail}`)
      if (lost) return Effect.void
      lost = true
      return Effect.andThen(
        Effect.logError(detail),
        Effect.sync(() => options.onLost?.(detail))
      )
    }
    const tolerate = (asked: Effect.Effect<void, StoreError>): Effect.Effect<void> =>
      Effect.catchTag(asked, "StoreError", onFailure)
    const persist = (asked: Effect.Effect<void, StoreError>): Effect.Effect<void> =>
      Effect.catchTag(asked, "StoreError", (error) =>
        onFailure(error).pipe(
          Effect.andThen(Effect.sleep(storeRetry)),
          Effect.andThen(Effect.suspend(() => persist(asked)))
        )
      )

    const run = (claimed: Stored): Effect.Effect<void> => {
      const { id } = claimed.operation
      const entry: Driven = {
        epoch: claimed.epoch,
        nudged: Latch.makeUnsafe(false),
        version: claimed.version,
        ended: isTerminal(claimed.operation)
      }
      const ended = Effect.andThen(
        Effect.sync(() => void (entry.ended = true)),
        wake.open
      )
      const whole = drive(ground, claimed, entry.nudged, ended).pipe(
        // What is still owned after this is driven again by the next heartbeat.
        Effect.catchCause((cause) => Effect.logWarning("A drive ended before its operation", cause)),
        Effect.ensuring(
          Effect.suspend(() => {
            if (driven.get(id) === entry) driven.delete(id)
            for (const endedSince of asking) endedSince.add(driveName(id, claimed.epoch))
            return wake.open
          })
        )
      )
      driven.set(id, entry)
      return Effect.asVoid(FiberMap.run(fibers, id, whole))
    }

    const drop = (id: Guid): Effect.Effect<unknown> =>
      Effect.andThen(
        Effect.logWarning("Another worker owns the operation now").pipe(
          Effect.annotateLogs({ operationId: id, worker })
        ),
        // Interrupted before anything else runs; how long it takes to end must not hold up the lease of the others.
        Effect.forkIn(FiberMap.remove(fibers, id), scope, { startImmediately: true })
      )

    const noticeEnds = <A>(
      ask: (endedSince: ReadonlySet<string>) => Effect.Effect<A, StoreError>
    ): Effect.Effect<A, StoreError> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const endedSince = new Set<string>()
          asking.add(endedSince)
          return endedSince
        }),
        ask,
        (endedSince) => Effect.sync(() => void asking.delete(endedSince))
      )

    const heartbeat = noticeEnds((endedSince) => beatOnce(endedSince))
    const beatOnce = Effect.fnUntraced(function* (endedSince: ReadonlySet<string>) {
      // Read before the store is asked: our own reckoning ends sooner than the store's, never later.
      const monotonic = Clock.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))
      const sentAt = yield* monotonic
      const before = [...driven]
      const { lease: renewed, owned } = yield* store.heartbeat(worker, leaseMs)
      ground.clock.heard(renewed.expires - leaseMs, sentAt, yield* monotonic)
      const mine = new Map(owned.map((one) => [one.id, one]))
      for (const [id, entry] of before) {
        // Another drive of it that was begun meanwhile, by a claim, is none that this answer knows of.
        if (driven.get(id) !== entry) continue
        const one = mine.get(id)
        // What holds nothing any more is owned no more: the drive itself is just about to end.
        if (one === undefined ? !(yield* holdsNothing(store, id)) : one.epoch !== entry.epoch) yield* drop(id)
        else if (one !== undefined && one.version > entry.version) {
          entry.version = one.version
          entry.nudged.openUnsafe()
        }
      }
      lease.renew(sentAt + leaseMs)
      for (const { epoch, id } of owned) {
        if (driven.has(id) || endedSince.has(driveName(id, epoch))) continue
        const stored = yield* store.get(id)
        if (stored === null || stored.owner !== worker || stored.epoch !== epoch) continue
        if (!driven.has(id) && !endedSince.has(driveName(id, epoch))) yield* run(stored)
      }
    })

    const claimSome = Effect.gen(function* () {
      while (true) {
        const running = [...driven.values()].filter(({ ended }) => !ended).length
        const room = Math.min(claimAtOnce, concurrency - running)
        if (room <= 0) return
        yield* lease.permit
        const claimed = yield* noticeEnds((endedSince) =>
          Effect.gen(function* () {
            const answer = yield* store.claim(worker, room, (operation) => isWithinReach(operation, options.reaches))
            for (const stored of answer) {
              const { id } = stored.operation
              if (!endedSince.has(driveName(id, stored.epoch)) && driven.get(id)?.epoch !== stored.epoch)
                yield* run(stored)
            }
            return answer.length
          })
        )
        if (claimed < room) return
      }
    })

    return {
      begin: persist(Effect.andThen(store.release(worker), heartbeat)),
      beat: Effect.forever(
        Effect.sleep(beatMs).pipe(
          Effect.andThen(tolerate(heartbeat)),
          Effect.andThen(lease.isLive),
          Effect.flatMap((live) => Metric.update(Figures.leaseHeld, live ? 1 : 0))
        )
      ),
      claim: Effect.forever(
        Effect.gen(function* () {
          yield* wake.close
          yield* tolerate(claimSome)
          // Twice a beat, so that a dead worker's lease is found over soon after it is.
          yield* Effect.timeoutOption(wake.await, beatMs / 2)
        })
      ),
      changed: ({ by, id }) => {
        // What the drive of an operation writes itself, it knows.
        if (by === worker) return
        const entry = driven.get(id)
        if (entry === undefined) wake.openUnsafe()
        else entry.nudged.openUnsafe()
      }
    }
  })

const driveName = (id: Guid, epoch: number): string => `${id}/${epoch}`

const holdsNothing = (store: OperationStore["Service"], id: Guid): Effect.Effect<boolean, StoreError> =>
  Effect.map(store.get(id), (stored) => stored === null || !holdsPartition(stored.operation))

// What has no fences yet may be looked up by any worker: all that share a store have the same clusters.
const isWithinReach = (operation: Operation, reaches: EngineOptions["reaches"]): boolean =>
  reaches === undefined || (standingOrder(operation)?.fences.every(reaches) ?? true)

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
