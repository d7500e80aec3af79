/**
 * The port of the durable store of operations: one embedded file for one worker, or one PostgreSQL for many. Every
 * write of a worker carries its owner and epoch. So a worker that lost an operation can change nothing of it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { EvidenceEntry } from "./Evidence.ts"
import type { Guid } from "./Guid.ts"
import { holdsPartition, type Operation, standingOrder, standsAlone } from "./Operation.ts"
import { subjectOf } from "./Request.ts"
import type { Instant, Millis } from "./Time.ts"
import type { OperationState } from "./Wire.ts"

/** An operation as stored: `version` grows with every write, `epoch` with every change of owner. */
export interface Stored {
  readonly operation: Operation
  readonly version: number
  readonly owner: string | null
  readonly epoch: number
}

/**
 * The store said no or could not be asked.
 * `Fenced`: another worker owns the operation now; stop acting. `Conflict`: it changed since it was read; read again.
 * `Full`: the queue is at its bound. `Unavailable`: the store cannot be reached or written.
 */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: Schema.Literals(["Fenced", "Conflict", "Full", "Unavailable"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A row of the store that cannot be read. It is damaged, or a version wrote it that this one does not know. The columns
 * beside the operation tell its id, its state, what it is about and whether it still holds that.
 */
export interface UnreadableRow {
  readonly id: Guid
  readonly state: OperationState
  readonly subject: Guid
  readonly holds: boolean
  readonly problem: string
}

/** The entry that stands in the place of an entry of the evidence which cannot be read. */
export const unreadableEntry = (
  sequence: number,
  problem: string,
  before: EvidenceEntry | undefined
): EvidenceEntry => ({
  at: before?.at ?? 0,
  monotonic: before?.monotonic ?? 0,
  worker: before?.worker ?? "",
  fact: { _tag: "Noted", text: `Entry ${sequence} of this evidence cannot be read: ${problem}` }
})

/**
 * Which operations to list. No `states` mean all. `after` is the last id of the page before, and null for the first
 * page.
 */
export interface ListQuery {
  readonly states: ReadonlyArray<OperationState>
  readonly limit: number
  readonly newestFirst: boolean
  readonly after: Guid | null
}

/** How many operations that hold their partition are in one state. `waiting` tells that they were never taken. */
export interface Tally {
  readonly state: OperationState
  readonly waiting: boolean
  readonly count: number
}

/**
 * Which operations to look for beside those of a partition or node: none, those whose fences stand on processes that no
 * other fault may share, or all whose fences stand.
 */
export type Elsewhere = "None" | "Exclusive" | "Standing"

/** Whether `rivals` names an operation. Every store keeps this law, each in its own way. */
export const isRival = (operation: Operation, subject: Guid, elsewhere: Elsewhere): boolean =>
  (holdsPartition(operation) && subjectOf(operation.request) === subject) ||
  (elsewhere === "Exclusive" && standsAlone(operation)) ||
  (elsewhere === "Standing" && standingOrder(operation) !== null)

/** The urgency of what no worker has begun. */
export const waitingUrgency = 2

/** In which order a claim takes operations: undoing and sweeping first, then what was begun, then what waits. */
export const urgencyOf = ({ stage }: Operation): number =>
  stage._tag !== "Advancing" ? 0 : stage.step._tag !== "IntentSaved" ? 1 : waitingUrgency

/** An operation that changed, and the worker that wrote it as its owner, where that is known. */
export interface Change {
  readonly id: Guid
  readonly by: string | null
}

/** A worker's right to move operations, until `expires`. */
export interface Lease {
  readonly worker: string
  readonly expires: Instant
}

/** The durable store of operations. */
export class OperationStore extends Context.Service<
  OperationStore,
  {
    /** The store's own clock, by which leases are counted. */
    readonly now: Effect.Effect<Instant, StoreError>
    /** Stores a fresh operation unless its id is taken. Durable when it returns. */
    readonly create: (operation: Operation) => Effect.Effect<"Created" | "Duplicate", StoreError>
    readonly get: (id: Guid) => Effect.Effect<Stored | null, StoreError>
    /** Operations in the order they were received. A row that cannot be read is left out; `unreadable` tells of it. */
    readonly list: (query: ListQuery) => Effect.Effect<ReadonlyArray<Stored>, StoreError>
    /** Every operation that still holds its partition, with at most one per partition that is past IntentSaved. */
    readonly holding: Effect.Effect<ReadonlyArray<Stored>, StoreError>
    /**
     * What of `holding` is in the way of a fault on this partition or node: what holds the same one, and what stands
     * elsewhere as far as it is asked for. As many operations may hold as there are partitions, so nothing is read that
     * is not needed.
     */
    readonly rivals: (subject: Guid, elsewhere: Elsewhere) => Effect.Effect<ReadonlyArray<Stored>, StoreError>
    /**
     * The rows that cannot be read, and that `list`, `holding`, `rivals` and claims have left out since the store was
     * opened.
     */
    readonly unreadable: Effect.Effect<ReadonlyArray<UnreadableRow>, StoreError>
    /** How many operations still hold their partition, by state and by whether they wait to be taken. */
    readonly census: Effect.Effect<ReadonlyArray<Tally>, StoreError>
    /** The entries of an operation's evidence in the order they were stored, those after `from` (0 for all). */
    readonly evidence: (id: Guid, from: number) => Effect.Effect<ReadonlyArray<EvidenceEntry>, StoreError>
    /**
     * Replaces an operation and appends evidence in one transaction, if its version is still `stored.version` and, where
     * `as` is given, its owner and epoch are still those. Durable when it returns.
     */
    readonly save: (
      stored: Stored,
      operation: Operation,
      entries: ReadonlyArray<EvidenceEntry>,
      as: { readonly worker: string; readonly epoch: number } | null
    ) => Effect.Effect<Stored, StoreError>
    /** Appends evidence without moving the operation, under the same guard. */
    readonly append: (
      id: Guid,
      entries: ReadonlyArray<EvidenceEntry>,
      as: { readonly worker: string; readonly epoch: number }
    ) => Effect.Effect<void, StoreError>
    /** Takes or renews the worker's lease and gives back the operations it owns, changed ones included. */
    readonly heartbeat: (
      worker: string,
      lease: Millis
    ) => Effect.Effect<
      {
        readonly lease: Lease
        readonly owned: ReadonlyArray<{ readonly id: Guid; readonly version: number; readonly epoch: number }>
      },
      StoreError
    >
    /**
     * Takes up to `limit` operations that are due and that nobody with a live lease owns, and raises the epoch of each.
     * Operations that are being undone come first, then those that were begun, then the oldest. What `reaches` denies
     * is left to other workers, and keeps nothing behind it waiting.
     */
    readonly claim: (
      worker: string,
      limit: number,
      reaches?: (operation: Operation) => boolean
    ) => Effect.Effect<ReadonlyArray<Stored>, StoreError>
    /** Gives all operations of the worker back at once, so that another may take them without waiting. */
    readonly release: (worker: string) => Effect.Effect<void, StoreError>
    /** Removes ended operations beyond `keepAtMost` that ended before `endedBefore` and hold no partition. */
    readonly prune: (keepAtMost: number, endedBefore: Instant) => Effect.Effect<number, StoreError>
    /** The operations as they change, by whoever changes them. This is a hint to look, never the truth. */
    readonly changes: Stream.Stream<Change>
  }
>()("@inquorate/core/OperationStore") {}
