/**
 * Since when each entity is in its present state. A simulated cluster tells it. For every other system it is the moment
 * at which this worker first saw that state, and asking again does not change it. Bounded: the history forgets an
 * entity that nobody has asked about for an hour.
 */
import * as Context from "effect/Context"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { HealthState } from "./FabricModel.ts"

// --- models ---

/**
 * The history that all surfaces of one server share, so that they tell the same. If this is null, each surface has its
 * own.
 */
export const Shared = Context.Reference<History | null>("@inquorate/transport/FabricHistory/Shared", {
  defaultValue: () => null
})

/** Since when an entity is in its present state, and when it last entered each state of health. */
export interface Standing {
  readonly since: Instant
  readonly transitions: Readonly<Partial<Record<HealthState, Instant>>>
}

/** The memory of all entities. */
export interface History {
  /**
   * Notes the state of an entity and gives back since when it is so. `known` is the moment of the transition if the
   * cluster tells it, else null.
   */
  readonly note: (entity: string, stands: Stands, now: Instant) => Standing
}

/** The present state of an entity: its state of health, and the words that say why. */
export interface Stands {
  readonly state: HealthState
  readonly words: string
  readonly known: Instant | null
}

// --- make ---

/** Makes a history that knows nothing yet. */
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
