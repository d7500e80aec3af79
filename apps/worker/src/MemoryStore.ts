/**
 * The store of a simulated cluster on a Node without SQLite: operations and chaos in the memory of this process, gone with
 * the cluster that they are about. It keeps the laws of both ports for the one worker there is.
 */
import type { ChaosEventQuery, NumberedChaosEvent } from "@inquorate/core/Chaos"
import { initialState } from "@inquorate/core/ChaosRun"
import { ChaosStore, type StoredChaos } from "@inquorate/core/ChaosStore"
import { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { Instant } from "@inquorate/core/Time"
import * as SimulatedStore from "@inquorate/testkit/SimulatedStore"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isBuiltin } from "node:module"

// --- make ---

/** True on a Node that has no SQLite, where the embedded store on a file cannot be opened. */
export const isNeeded = (): boolean => !isBuiltin("node:sqlite")

/** Both stores, empty, on the clock that is current when the layer is built. */
export const layer = (options: { readonly queueBound: number }): Layer.Layer<OperationStore | ChaosStore> =>
  Layer.effectContext(
    Clock.clockWith((clock) =>
      Effect.gen(function* () {
        const now = (): Instant => Math.floor(clock.currentTimeMillisUnsafe())
        const operations = SimulatedStore.make({ now, ...options })
        const store = yield* operations.connect("memory", carry, (hint) => hint())
        return Context.make(OperationStore, store).pipe(Context.add(ChaosStore, makeChaos(now)))
      })
    )
  )

// --- internal ---

const carry: SimulatedStore.Carry = (_question, serve) => Effect.suspend(() => Effect.fromResult(serve()))

const refuse = (reason: StoreError["reason"], detail: string) => Effect.fail(new StoreError({ reason, detail }))

const makeChaos = (now: () => Instant): ChaosStore["Service"] => {
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
