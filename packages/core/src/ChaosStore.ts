/**
 * The port of what chaos stores: one state, moved by compare-and-set, and its events, which are only ever appended. Of
 * the workers that share a store, one at a time drives chaos, under a lease with an epoch of its own. A worker that
 * lost the lease can change nothing any more.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ChaosEvent, ChaosEventQuery, NumberedChaosEvent } from "./Chaos.ts"
import type { ChaosState } from "./ChaosRun.ts"
import type { StoreError } from "./OperationStore.ts"
import type { Instant, Millis } from "./Time.ts"

/** The state as stored: `version` grows with every write, `epoch` with every change of the driver. */
export interface StoredChaos {
  readonly state: ChaosState
  readonly version: number
  readonly driver: string | null
  readonly epoch: number
}

/** What chaos stores. */
export class ChaosStore extends Context.Service<
  ChaosStore,
  {
    /** The store's own clock, by which every moment of chaos is stored and looked at. */
    readonly now: Effect.Effect<Instant, StoreError>
    /** The state; `initialState` of version 0 before the first write. */
    readonly read: Effect.Effect<StoredChaos, StoreError>
    /**
     * Replaces the state and appends events in one transaction, if its version is still `stored.version` and, where `as`
     * is given, its driver and epoch are still those. Durable when it returns; else `Conflict` or `Fenced`.
     */
    readonly save: (
      stored: StoredChaos,
      state: ChaosState,
      events: ReadonlyArray<ChaosEvent>,
      as: { readonly driver: string; readonly epoch: number } | null
    ) => Effect.Effect<StoredChaos, StoreError>
    /**
     * Takes or renews the right to drive for `lease` milliseconds on the store's clock, and gives the state; null while
     * another driver's lease lives. A driver's name is never used by two.
     */
    readonly drive: (driver: string, lease: Millis) => Effect.Effect<StoredChaos | null, StoreError>
    /** Gives the right back at once, where this driver has it. */
    readonly release: (driver: string) => Effect.Effect<void, StoreError>
    /** Events in the order they were stored. */
    readonly events: (query: ChaosEventQuery) => Effect.Effect<ReadonlyArray<NumberedChaosEvent>, StoreError>
    /** Removes the oldest events beyond the newest `keepAtMost`; gives how many. */
    readonly prune: (keepAtMost: number) => Effect.Effect<number, StoreError>
  }
>()("@inquorate/core/ChaosStore") {}
