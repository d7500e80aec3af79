/**
 * The store of chaos in memory: its state and its events, gone with the process, under the laws of `ChaosStore`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { ChaosEventQuery, NumberedChaosEvent } from "./Chaos.ts"
import { initialState } from "./ChaosRun.ts"
import { ChaosStore, type StoredChaos } from "./ChaosStore.ts"
import { StoreError } from "./OperationStore.ts"
import type { Instant } from "./Time.ts"

// --- make ---

/** Chaos that has never run, on a clock. */
export const make = (now: () => Instant): Context.Context<ChaosStore> => Context.make(ChaosStore, serviceOf(now))

// --- internal ---

const refuse = (reason: StoreError["reason"], detail: string) => Effect.fail(new StoreError({ reason, detail }))

const serviceOf = (now: () => Instant): ChaosStore["Service"] => {
  let stored: StoredChaos = { state: initialState, version: 0, driver: null, epoch: 0 }
  let expires: Instant = 0
  let events: Array<NumberedChaosEvent> = []
  let last = 0
  return {
    now: Effect.sync(now),
    read: Effect.sync(() => stored),
    save: (before, state, told, as) =>
      Effect.suspend(() => {
        if (as !== null && (stored.driver !== as.driver || stored.epoch !== as.epoch)) {
          return refuse("Fenced", "Another worker drives chaos now.")
        }
        if (before.version !== stored.version) return refuse("Conflict", "Chaos has changed since it was read.")
        events = [...events, ...told.map((event) => ({ sequence: ++last, event }))]
        stored = { ...stored, state, version: stored.version + 1 }
        return Effect.succeed(stored)
      }),
    drive: (driver, lease) =>
      Effect.sync(() => {
        const at = now()
        const held = stored.driver !== null && stored.driver !== driver && expires > at
        if (held) return null
        if (stored.driver !== driver) stored = { ...stored, driver, epoch: stored.epoch + 1 }
        expires = at + lease
        return stored
      }),
    release: (driver) =>
      Effect.sync(() => {
        if (stored.driver === driver) expires = 0
      }),
    events: ({ after, from, limit, to }: ChaosEventQuery) =>
      Effect.sync(() =>
        events
          .filter(({ event, sequence }) => {
            const at = Date.parse(event.TimeStampUtc)
            return sequence > after && (from === null || at >= from) && (to === null || at <= to)
          })
          .slice(0, limit === 0 ? undefined : limit)
      ),
    prune: (keepAtMost) =>
      Effect.sync(() => {
        const gone = Math.max(0, events.length - keepAtMost)
        events = events.slice(gone)
        return gone
      })
  }
}
