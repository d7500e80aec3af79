/**
 * Since when each entity stands as it does. A simulated cluster tells it; of every other system it is the moment at which
 * this worker first saw it so, which stands still however often is asked. Bounded: what has not been asked about for an
 * hour is forgotten.
 */
import * as Context from "effect/Context"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { HealthState } from "./FabricModel.ts"

// --- models ---

/** The history that all surfaces of one server note in, so that they tell the same; each has its own where this is null. */
export const Shared = Context.Reference<History | null>("@inquorate/transport/FabricHistory/Shared", {
  defaultValue: () => null
})

/** Since when an entity stands as it does, and when it last came into each state of health. */
export interface Standing {
  readonly since: Instant
  readonly transitions: Readonly<Partial<Record<HealthState, Instant>>>
}

/** What is remembered of all entities. */
export interface History {
  /**
   * Notes how an entity stands and gives back since when. `known` is the moment of the transition where the cluster tells
   * it, null where nobody does.
   */
  readonly note: (entity: string, stands: Stands, now: Instant) => Standing
}

/** How an entity stands: its state of health, and the words that say why. */
export interface Stands {
  readonly state: HealthState
  readonly words: string
  readonly known: Instant | null
}

// --- make ---

/** A history that knows nothing yet. */
export const make = (): History => {
  const remembered = new Map<string, Remembered>()
  let swept: Instant = 0
  const sweep = (now: Instant): void => {
    if (remembered.size < sweepFrom || now - swept < forgetAfter) return
    swept = now
    for (const [entity, { asked }] of remembered) if (now - asked > forgetAfter) remembered.delete(entity)
  }
  return {
    note: (entity, { known, state, words }, now) => {
      sweep(now)
      const before = remembered.get(entity)
      const same = before !== undefined && before.state === state && before.words === words
      const since = Math.min(now, known ?? (same ? before.since : now))
      const turned = before === undefined || before.state !== state
      const transitions =
        turned || known !== null
          ? { ...before?.transitions, [state]: turned ? since : Math.min(since, before.transitions[state] ?? since) }
          : before.transitions
      remembered.set(entity, { state, words, since, transitions, asked: now })
      return { since, transitions }
    }
  }
}

// --- internal ---

const forgetAfter: Millis = 60 * 60 * 1000
const sweepFrom = 1000

interface Remembered extends Standing {
  readonly state: HealthState
  readonly words: string
  readonly asked: Instant
}
