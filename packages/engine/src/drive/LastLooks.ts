/**
 * What a front planned right before it stored an operation, and the probe that it wrote by. The drive has the hosts begin by
 * that plan and writes by that probe, beside a look of its own at the group. A host that begins judges each process itself,
 * so the drive does not ask it once more what it thinks of one.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Guid } from "@inquorate/core/Guid"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import { monotonicNow } from "../Monotonic.ts"
import type { PreparedFence } from "../plan/Fences.ts"
import type { OpenProbe } from "./Prober.ts"

// --- models ---

/** What was planned for one operation: the fences to order, and what the hosts said of the processes. */
export interface LastLook {
  readonly fences: ReadonlyArray<PlannedFence>
  readonly looks: ReadonlyArray<PreparedFence>
  /** The probe of its group; null where none was opened. */
  readonly probe: OpenProbe | null
}

/** What fronts of this worker planned in the last second. */
export interface LastLooks {
  /** A scope for a probe that a drive may take. It ends with the engine at the latest. */
  readonly scope: Effect.Effect<Scope.Closeable>
  /** Keeps what was planned. A probe that nobody has taken after a second is closed. */
  readonly keep: (id: Guid, look: LastLook) => Effect.Effect<void>
  /** Gives what was planned for an operation once, or null where nothing was lately. Its probe is the taker's. */
  readonly take: (id: Guid) => Effect.Effect<LastLook | null>
}

// --- make ---

/** Nothing was planned yet. */
export const make: Effect.Effect<LastLooks, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const kept = new Map<Guid, { readonly at: Millis; readonly look: LastLook }>()
  const close = ({ probe }: LastLook): Effect.Effect<void> =>
    probe === null ? Effect.void : Scope.close(probe.scope, Exit.void)
  const take = (id: Guid): Effect.Effect<LastLook | null> =>
    Effect.flatMap(monotonicNow, (now) => {
      const found = kept.get(id)
      kept.delete(id)
      if (found === undefined) return Effect.succeed(null)
      // On a busy machine whoever forgets it may be late.
      return now - found.at <= lately ? Effect.succeed(found.look) : Effect.as(close(found.look), null)
    })
  const forgetLater = (id: Guid, look: LastLook): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (kept.get(id)?.look !== look) return Effect.void
      kept.delete(id)
      return close(look)
    }).pipe(Effect.delay(lately), Effect.forkIn(scope), Effect.asVoid)
  return {
    scope: Scope.fork(scope),
    keep: Effect.fnUntraced(function* (id, look) {
      const before = yield* take(id)
      if (before !== null) yield* close(before)
      kept.set(id, { at: yield* monotonicNow, look })
      yield* forgetLater(id, look)
    }),
    take
  }
})

// --- internal ---

const lately: Millis = 1000
