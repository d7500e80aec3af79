/**
 * What a front planned right before it stored an operation. The drive has the hosts begin by it, beside a look of its own at
 * the group. A host that begins judges each process itself, so the drive does not ask it once more what it thinks of one.
 */
import * as Effect from "effect/Effect"
import type { Guid } from "@inquorate/core/Guid"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import { monotonicNow } from "../Monotonic.ts"
import type { PreparedFence } from "./Fences.ts"

// --- models ---

/** What was planned for one operation: the fences to order, and what the hosts said of the processes. */
export interface LastLook {
  readonly fences: ReadonlyArray<PlannedFence>
  readonly looks: ReadonlyArray<PreparedFence>
}

/** What fronts of this worker planned in the last second. */
export interface LastLooks {
  readonly keep: (id: Guid, look: LastLook) => Effect.Effect<void>
  /** Gives what was planned for an operation once, or null where nothing was lately. */
  readonly take: (id: Guid) => Effect.Effect<LastLook | null>
}

// --- make ---

/** Nothing was planned yet. */
export const make = (): LastLooks => {
  const kept = new Map<Guid, { readonly at: Millis; readonly look: LastLook }>()
  const forget = (now: Millis): void => {
    // They stand in the order in which they were kept.
    for (const [id, { at }] of kept) {
      if (now - at <= lately) return
      kept.delete(id)
    }
  }
  return {
    keep: (id, look) =>
      Effect.map(monotonicNow, (at) => {
        forget(at)
        kept.delete(id)
        kept.set(id, { at, look })
      }),
    take: (id) =>
      Effect.map(monotonicNow, (now) => {
        forget(now)
        const look = kept.get(id)?.look ?? null
        kept.delete(id)
        return look
      })
  }
}

// --- internal ---

const lately: Millis = 1000
