/**
 * One worker: it takes its lease and renews it, claims operations and has them driven, and lets go what another worker owns.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, type Operation, standingOrder } from "@inquorate/core/Operation"
import type { Change, OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import * as Drives from "./drive/Drives.ts"
import type { Ground } from "./drive/Session.ts"
import { monotonicNow } from "./Monotonic.ts"
import * as Pace from "./Pace.ts"
import { together } from "./Together.ts"
import * as Figures from "./watch/Figures.ts"

// --- models ---

/** How a worker takes operations on. */
export interface WorkerOptions {
  readonly leaseMs: Millis
  readonly beatMs: Millis
  readonly concurrency: number
  readonly reaches: ((fence: PlannedFence) => boolean) | undefined
  readonly onLost: ((detail: string) => void) | undefined
}

/** One worker. */
export interface Worker {
  /** Gives back what a former life of this worker owned, so that its epochs rise at once. */
  readonly begin: Effect.Effect<void>
  /** Renews the lease again and again. */
  readonly beat: Effect.Effect<never>
  /** Takes operations again and again, as many as there is room for. */
  readonly claim: Effect.Effect<never>
  /** Says that somebody changed an operation. */
  readonly changed: (change: Change) => void
}

// --- make ---

/** A worker that has no lease yet. */
export const make = (ground: Ground, options: WorkerOptions): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { lease, store, worker } = ground
    const wake = yield* Latch.make(true)
    const drives = yield* Drives.make(ground, wake.open)
    const onFailure = onceLost(options.onLost)
    const beat = heartbeat(ground, drives, options.leaseMs)
    const claiming = claimAll(ground, drives, options)
    return {
      begin: persist(Effect.andThen(store.release(worker), beat), onFailure),
      beat: Effect.forever(
        Effect.sleep(options.beatMs).pipe(
          Effect.andThen(Effect.catchTag(beat, "StoreError", onFailure)),
          Effect.andThen(lease.isLive),
          Effect.flatMap((live) => Metric.update(Figures.leaseHeld, live ? 1 : 0))
        )
      ),
      claim: Effect.forever(
        Effect.gen(function* () {
          yield* wake.close
          yield* Effect.catchTag(claiming, "StoreError", onFailure)
          // Twice a beat, so that a dead worker's lease is found over soon after it is.
          yield* Effect.timeoutOption(wake.await, options.beatMs / 2)
        })
      ),
      changed: ({ by, id }) => {
        // A drive knows what it writes itself.
        if (by === worker) return
        const entry = drives.get(id)
        if (entry === undefined) wake.openUnsafe()
        else entry.nudged.openUnsafe()
      }
    }
  })

// --- internal ---

const storeRetry: Millis = 200
type OnFailure = (error: StoreError) => Effect.Effect<void>

const onceLost = (onLost: WorkerOptions["onLost"]): OnFailure => {
  let lost = false
  return ({ detail, reason }) => {
    // Only a heartbeat is fenced here, and for good: another process has taken the id.
    if (reason !== "Fenced") return Effect.logWarning(`The store did not answer: ${detail}`)
    if (lost) return Effect.void
    lost = true
    return Effect.andThen(
      Effect.logError(detail),
      Effect.sync(() => onLost?.(detail))
    )
  }
}

const persist = (asked: Effect.Effect<void, StoreError>, onFailure: OnFailure): Effect.Effect<void> =>
  Effect.catchTag(asked, "StoreError", (error) =>
    onFailure(error).pipe(
      Effect.andThen(Effect.sleep(storeRetry)),
      Effect.andThen(Effect.suspend(() => persist(asked, onFailure)))
    )
  )

const heartbeat = (
  { clock, lease, store, worker }: Ground,
  drives: Drives.Drives,
  leaseMs: Millis
): Effect.Effect<void, StoreError> =>
  drives.noticeEnds((hasEnded) =>
    Effect.gen(function* () {
      // Our clock is read before the store is asked: our own reckoning ends sooner than the store's, never later.
      const sentAt = yield* monotonicNow
      const before = drives.all()
      const { lease: renewed, owned } = yield* store.heartbeat(worker, leaseMs)
      clock.heard(renewed.expires - leaseMs, sentAt, yield* monotonicNow)
      const mine = new Map(owned.map((one) => [one.id, one]))
      const unlisted: Array<readonly [Guid, Drives.Driven]> = []
      for (const [id, entry] of before) {
        // A claim may have begun another drive of it meanwhile, of which this answer does not know.
        if (drives.get(id) !== entry) continue
        const one = mine.get(id)
        if (one === undefined) unlisted.push([id, entry])
        else if (one.epoch !== entry.epoch) yield* drives.drop(id)
        else if (one.version > entry.version) {
          entry.version = one.version
          entry.nudged.openUnsafe()
        }
      }
      // The store is asked of all at once. A worker that thaws may have lost thousands, and would miss its next beat, and
      // lose the rest as well, if it asked of one after the other.
      yield* together(unlisted, ([id, entry]) =>
        Effect.flatMap(holdsNothing(store, id), (nothing) =>
          nothing || drives.get(id) !== entry ? Effect.void : drives.drop(id)
        )
      )
      lease.renew(sentAt + leaseMs)
      const isDriven = ({ epoch, id }: (typeof owned)[number]): boolean =>
        drives.get(id) !== undefined || hasEnded(id, epoch)
      yield* together(
        owned.filter((one) => !isDriven(one)),
        (one) =>
          Effect.flatMap(store.get(one.id), (stored) =>
            stored?.owner !== worker || stored.epoch !== one.epoch || isDriven(one) ? Effect.void : drives.run(stored)
          )
      )
    })
  )

const claimAll = (
  { lease, store, worker }: Ground,
  drives: Drives.Drives,
  { concurrency, reaches }: WorkerOptions
): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    while (true) {
      const pace = yield* Pace.atOnce(drives.running())
      const room = Math.min(pace, concurrency - drives.running())
      if (room <= 0) return
      yield* lease.permit
      const claimed = yield* drives.noticeEnds((hasEnded) =>
        Effect.gen(function* () {
          const answer = yield* store.claim(worker, room, (operation) => isWithinReach(operation, reaches))
          for (const stored of answer) {
            const { epoch, operation } = stored
            if (!hasEnded(operation.id, epoch) && drives.get(operation.id)?.epoch !== epoch) yield* drives.run(stored)
          }
          return answer.length
        })
      )
      if (claimed < room) return
    }
  })

// Our heartbeat does not list an operation that has ended and holds nothing: its drive stops by itself. Any other that it
// does not list has another owner.
const holdsNothing = (store: OperationStore["Service"], id: Guid): Effect.Effect<boolean, StoreError> =>
  Effect.map(store.get(id), (stored) => stored === null || !holdsPartition(stored.operation))

// Any worker may look up an operation that has no fences yet: all that share a store have the same clusters.
const isWithinReach = (operation: Operation, reaches: WorkerOptions["reaches"]): boolean =>
  reaches === undefined || (standingOrder(operation)?.fences.every(reaches) ?? true)
