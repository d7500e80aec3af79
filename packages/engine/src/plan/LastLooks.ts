/**
 * The fences that a front planned right before it stored an operation. The drive has the hosts begin by them, beside a look
 * of its own, which judges the plan anew.
 */
import * as Effect from "effect/Effect"
import type { Guid } from "@inquorate/core/Guid"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import { monotonicNow } from "../Monotonic.ts"

// --- models ---

/** What fronts of this worker planned in the last second. */
export interface LastLooks {
  readonly keep: (id: Guid, fences: ReadonlyArray<PlannedFence>) => Effect.Effect<void>
  /** Gives the fences of an operation once, or null where none were planned lately. */
  readonly take: (id: Guid) => Effect.Effect<ReadonlyArray<PlannedFence> | null>
}

// --- make ---

/** Nothing was planned yet. */
export const make = (): LastLooks => {
  const kept = new Map<Guid, { readonly at: Millis; readonly fences: ReadonlyArray<PlannedFence> }>()
  const forget = (now: Millis): void => {
    // They stand in the order in which they were kept.
    for (const [id, { at }] of kept) {
      if (now - at <= lately) return
      kept.delete(id)
    }
  }
  return {
    keep: (id, fences) =>
      Effect.map(monotonicNow, (at) => {
        forget(at)
        kept.delete(id)
        kept.set(id, { at, fences })
      }),
    take: (id) =>
      Effect.map(monotonicNow, (now) => {
        forget(now)
        const fences = kept.get(id)?.fences ?? null
        kept.delete(id)
        return fences
      })
  }
}

// --- internal ---

const lately: Millis = 1000
