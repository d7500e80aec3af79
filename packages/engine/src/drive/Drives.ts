/**
 * The drives of one worker: which operations it drives, by which epoch, and whether each has ended. The store may name
 * an operation that was driven to its end before the answer was heard. Whoever asks the store hears of those ends.
 */
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal } from "@inquorate/core/Operation"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { drive } from "./Drive.ts"
import type { Ground } from "./Session.ts"

// --- models ---

/** One drive that runs. */
export interface Driven {
  readonly epoch: number
  /** Open while somebody may have changed the operation. */
  readonly nudged: Latch.Latch
  /** The newest version of the operation that the drive was nudged for. */
  version: number
}

/** Tells whether the drive of an operation by an epoch has ended since the store was asked. */
export type HasEnded = (id: Guid, epoch: number) => boolean

/** The drives of one worker. */
export interface Drives {
  /** Drives an operation that was just claimed, in the background. */
  readonly run: (claimed: Stored) => Effect.Effect<void>
  /** Ends the drive of an operation that another worker owns now. */
  readonly drop: (id: Guid) => Effect.Effect<void>
  readonly get: (id: Guid) => Driven | undefined
  readonly all: () => ReadonlyArray<readonly [Guid, Driven]>
  /** How many of them have not ended. */
  readonly running: () => number
  /** Asks the store, and tells the question which drives have ended since it was asked. */
  readonly noticeEnds: <A>(ask: (hasEnded: HasEnded) => Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
}

// --- make ---

/**
 * No drives yet. Those that are begun end with the scope. `onEnd` hears of every end of an operation and of a drive.
 */
export const make = (ground: Ground, onEnd: Effect.Effect<unknown>): Effect.Effect<Drives, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const fibers = yield* FiberMap.make<Guid>()
    const driven = new Map<Guid, Driven>()
    const asking = new Set<Set<string>>()
    // Those that have not ended. Of one that has, something may still be swept.
    const running = new Set<Driven>()
    return {
      run: (claimed) => {
        const { epoch, operation, version } = claimed
        const { id } = operation
        const entry: Driven = { epoch, version, nudged: Latch.makeUnsafe(false) }
        const ended = Effect.andThen(
          Effect.sync(() => void running.delete(entry)),
          Effect.asVoid(onEnd)
        )
        const whole = drive(ground, claimed, entry.nudged, ended).pipe(
          // If the worker still owns the operation, the next heartbeat has it driven again.
          Effect.catchCause((cause) => Effect.logWarning("A drive ended before its operation", cause)),
          Effect.ensuring(
            Effect.suspend(() => {
              if (driven.get(id) === entry) driven.delete(id)
              running.delete(entry)
              for (const endedSince of asking) endedSince.add(nameOf(id, epoch))
              return onEnd
            })
          )
        )
        const before = driven.get(id)
        if (before !== undefined) running.delete(before)
        driven.set(id, entry)
        if (!isTerminal(operation)) running.add(entry)
        return Effect.asVoid(FiberMap.run(fibers, id, whole))
      },
      drop: (id) =>
        Effect.logWarning("Another worker owns the operation now").pipe(
          Effect.annotateLogs({ operationId: id, worker: ground.worker }),
          // The drive is interrupted before anything else runs. How long it takes to end must not hold up the lease of
          // the others.
          Effect.andThen(Effect.forkIn(FiberMap.remove(fibers, id), scope, { startImmediately: true })),
          Effect.asVoid
        ),
      get: (id) => driven.get(id),
      all: () => [...driven],
      running: () => running.size,
      noticeEnds: (ask) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            const endedSince = new Set<string>()
            asking.add(endedSince)
            return endedSince
          }),
          (endedSince) => ask((id, epoch) => endedSince.has(nameOf(id, epoch))),
          (endedSince) => Effect.sync(() => void asking.delete(endedSince))
        )
    }
  })

// --- internal ---

const nameOf = (id: Guid, epoch: number): string => `${id}/${epoch}`
