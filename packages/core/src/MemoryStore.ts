/**
 * A store in memory, gone with its process, for any number of workers. It has one database, and a connection of its own
 * for each process that opens it. It keeps the laws of `OperationStore` as the shared store on PostgreSQL does, with
 * its incarnations: the newest start under a worker's id takes the id, and the older one is fenced for good. The caller
 * says how a question gets there, so that a simulation can lose it, delay it or cut it short. `layer` is the plain
 * case: one worker, nothing in between, and chaos beside it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { ChaosStore } from "./ChaosStore.ts"
import type { EvidenceEntry } from "./Evidence.ts"
import type { Guid } from "./Guid.ts"
import * as MemoryChaos from "./MemoryChaos.ts"
import { dueAt, holdsPartition, isTerminal, type Operation, standingOrder } from "./Operation.ts"
import {
  type Change,
  type Elsewhere,
  isRival,
  type ListQuery,
  OperationStore,
  StoreError,
  type Stored,
  type Tally,
  urgencyOf,
  waitingUrgency
} from "./OperationStore.ts"
import { subjectOf } from "./Request.ts"
import type { Instant, Millis } from "./Time.ts"
import { stateOf } from "./Wire.ts"

/** The name of a question to the store: the method of the port. */
export type StoreQuestion = Exclude<keyof OperationStore["Service"], "changes">

/** How a question gets to the database and its answer back: as it is, or over a line that may lose either. */
export type Carry = <A>(
  question: StoreQuestion,
  serve: () => Result.Result<A, StoreError>
) => Effect.Effect<A, StoreError>

/** Something that truly happened in the database, told at the moment it did. */
export type StoreEvent =
  | { readonly _tag: "Created"; readonly operation: Operation }
  | {
      readonly _tag: "Saved"
      readonly incarnation: string
      readonly before: Stored
      readonly after: Stored
      readonly entries: ReadonlyArray<EvidenceEntry>
      readonly as: Guard
    }
  | {
      readonly _tag: "Appended"
      readonly before: Stored
      readonly entries: ReadonlyArray<EvidenceEntry>
      readonly as: Guard
    }
  | {
      readonly _tag: "Claimed"
      readonly worker: string
      readonly incarnation: string
      readonly before: Stored
      readonly after: Stored
    }
  | { readonly _tag: "Renewed"; readonly worker: string; readonly incarnation: string; readonly lease: Millis }
  | {
      readonly _tag: "Released"
      readonly worker: string
      readonly incarnation: string
      readonly freed: ReadonlyArray<Guid>
    }

/** In whose name a write comes; null for a caller's wish, which only the version guards. */
export type Guard = { readonly worker: string; readonly epoch: number } | null

/** How a database is made. */
export interface MemoryStoreOptions {
  /** The database's own clock. */
  readonly now: () => Instant
  /** How many live operations are stored before a fresh one is refused with `Full`; 10 000 unless given. */
  readonly queueBound?: number
  readonly observe?: (event: StoreEvent) => void
  /** What the store does wrong, to see that it is noticed; nothing unless given. */
  readonly defects?: Partial<StoreDefects>
}

/** What a store can be made to do wrong. */
export interface StoreDefects {
  /** Writes are taken whoever owns the operation. */
  readonly ignoresEpoch: boolean
  /** A claim takes what a live worker owns. */
  readonly ignoresLeases: boolean
  /** Two operations may stand on one partition. */
  readonly ignoresPartitions: boolean
  /** A save is taken whatever changed since. */
  readonly ignoresVersion: boolean
}

/** A database in memory. */
export interface MemoryStore {
  /** Opens a connection; `deliver` carries each hint of a change to its holder. */
  readonly connect: (
    incarnation: string,
    carry: Carry,
    deliver: (hint: () => void) => void
  ) => Effect.Effect<OperationStore["Service"]>
  /** Every operation as it is stored now, in the order of receipt. */
  readonly all: () => ReadonlyArray<Stored>
  readonly get: (id: Guid) => Stored | null
  readonly evidence: (id: Guid) => ReadonlyArray<EvidenceEntry>
  /** Loses operations, as a standby that was behind does: for planted faults. */
  readonly forget: (ids: ReadonlyArray<Guid>) => void
}

/** Both stores, empty, for one worker, on the clock that is current when the layer is built. */
export const layer = (options: { readonly queueBound?: number } = {}): Layer.Layer<OperationStore | ChaosStore> =>
  Layer.effectContext(
    Clock.clockWith((clock) =>
      Effect.gen(function* () {
        const now = (): Instant => Math.floor(clock.currentTimeMillisUnsafe())
        const store = yield* make({ now, ...options }).connect("memory", straight, (hint) => hint())
        return Context.make(OperationStore, store).pipe(Context.merge(MemoryChaos.make(now)))
      })
    )
  )

/** Makes an empty database. */
export const make = (options: MemoryStoreOptions): MemoryStore => {
  const database = makeDatabase(options)
  return {
    all: () => [...database.rows.values()],
    get: (id) => database.rows.get(id) ?? null,
    evidence: (id) => database.rows.get(id)?.evidence ?? [],
    forget: (ids) => ids.forEach((id) => database.rows.delete(id)),
    connect: (incarnation, carry, deliver) =>
      Effect.gen(function* () {
        const hints = yield* PubSub.sliding<Change>(hintsKept)
        database.listeners.push((change) => deliver(() => void PubSub.publishUnsafe(hints, change)))
        const of = database.as(incarnation)
        return OperationStore.of({
          now: carry("now", () => Result.succeed(options.now())),
          create: (operation) => carry("create", () => database.create(operation)),
          get: (id) => carry("get", () => Result.succeed(snapshot(database.rows.get(id)))),
          list: (query) => carry("list", () => Result.succeed(database.list(query))),
          unreadable: Effect.succeed([]),
          holding: carry("holding", () => Result.succeed(database.holding())),
          rivals: (subject, elsewhere) => carry("rivals", () => Result.succeed(database.rivals(subject, elsewhere))),
          census: carry("census", () => Result.succeed(database.census())),
          evidence: (id, from) =>
            carry("evidence", () => Result.succeed(database.rows.get(id)?.evidence.slice(from) ?? [])),
          save: (stored, operation, entries, as) => carry("save", () => of.save(stored, operation, entries, as)),
          append: (id, entries, as) => carry("append", () => of.append(id, entries, as)),
          heartbeat: (worker, lease) => carry("heartbeat", () => of.heartbeat(worker, lease)),
          claim: (worker, limit, reaches = () => true) => carry("claim", () => of.claim(worker, limit, reaches)),
          release: (worker) => carry("release", () => of.release(worker)),
          prune: (keepAtMost, endedBefore) =>
            carry("prune", () => Result.succeed(database.prune(keepAtMost, endedBefore))),
          changes: Stream.fromPubSub(hints)
        })
      })
  }
}

// --- internal ---

const straight: Carry = (_question, serve) => Effect.suspend(() => Effect.fromResult(serve()))

const hintsKept = 4096
const queueBoundDefault = 10_000

interface Row extends Stored {
  readonly evidence: Array<EvidenceEntry>
}

interface Lease {
  readonly incarnation: string
  readonly expires: Instant
}

const snapshot = (row: Row | undefined): Stored | null =>
  row === undefined ? null : { operation: row.operation, version: row.version, owner: row.owner, epoch: row.epoch }

const no = (reason: StoreError["reason"], detail: string): Result.Result<never, StoreError> =>
  Result.fail(new StoreError({ reason, detail }))

const makeDatabase = ({
  defects = {},
  now,
  observe = () => {},
  queueBound = queueBoundDefault
}: MemoryStoreOptions) => {
  const rows = new Map<Guid, Row>()
  const leases = new Map<string, Lease>()
  const listeners: Array<(change: Change) => void> = []

  const tell = (id: Guid, by: string | null = null): void => listeners.forEach((listener) => listener({ id, by }))
  const put = (row: Row, change: Partial<Stored>): Row => {
    const next = { ...row, ...change, version: row.version + 1 }
    rows.set(row.operation.id, next)
    return next
  }
  const guarded = (id: Guid, as: Guard): Result.Result<Row, StoreError> => {
    const row = rows.get(id)
    if (row === undefined) return no(as === null ? "Conflict" : "Fenced", `operation ${id} is gone`)
    if (as !== null && defects.ignoresEpoch !== true && (row.owner !== as.worker || row.epoch !== as.epoch)) {
      return no("Fenced", `operation ${id} belongs to another worker or epoch now`)
    }
    return Result.succeed(row)
  }
  const standsBeside = (operation: Operation): boolean =>
    standingOrder(operation) !== null &&
    defects.ignoresPartitions !== true &&
    [...rows.values()].some(
      (other) =>
        other.operation.id !== operation.id &&
        subjectOf(other.operation.request) === subjectOf(operation.request) &&
        standingOrder(other.operation) !== null
    )
  // A map keeps the order in which its keys first came.
  const inOrder = (): ReadonlyArray<Row> => [...rows.values()]

  return {
    rows,
    listeners,

    create: (operation: Operation): Result.Result<"Created" | "Duplicate", StoreError> => {
      if (rows.has(operation.id)) return Result.succeed("Duplicate")
      const live = [...rows.values()].filter((row) => !isTerminal(row.operation)).length
      if (live >= queueBound) return no("Full", `${live} operations are live and no more than ${queueBound} may be`)
      rows.set(operation.id, { operation, version: 1, owner: null, epoch: 0, evidence: [] })
      observe({ _tag: "Created", operation })
      tell(operation.id)
      return Result.succeed("Created")
    },

    list: ({ after, limit, newestFirst, states }: ListQuery): ReadonlyArray<Stored> => {
      const ordered = [...inOrder()]
      if (newestFirst) ordered.reverse()
      const cursor = after === null ? -1 : ordered.findIndex((row) => row.operation.id === after)
      // A cursor that was pruned stood among the oldest: nothing comes after it backward, everything does forward.
      if (after !== null && cursor < 0 && newestFirst) return []
      return ordered
        .slice(cursor + 1)
        .filter((row) => states.length === 0 || states.includes(stateOf(row.operation.stage)))
        .slice(0, limit)
        .map((row) => snapshot(row)!)
    },

    holding: (): ReadonlyArray<Stored> =>
      inOrder()
        .filter((row) => holdsPartition(row.operation))
        .map((row) => snapshot(row)!),

    rivals: (subject: Guid, elsewhere: Elsewhere): ReadonlyArray<Stored> =>
      inOrder()
        .filter(({ operation }) => isRival(operation, subject, elsewhere))
        .map((row) => snapshot(row)!),

    census: (): ReadonlyArray<Tally> => {
      const tallies = new Map<string, Tally>()
      for (const { operation } of rows.values()) {
        if (!holdsPartition(operation)) continue
        const state = stateOf(operation.stage)
        const waiting = urgencyOf(operation) === waitingUrgency
        const key = `${state} ${waiting}`
        tallies.set(key, { state, waiting, count: (tallies.get(key)?.count ?? 0) + 1 })
      }
      return [...tallies.values()]
    },

    prune: (keepAtMost: number, endedBefore: Instant): number => {
      const ended = inOrder()
        .filter((row) => isTerminal(row.operation) && !holdsPartition(row.operation))
        .sort((a, b) => a.operation.endedAt! - b.operation.endedAt!)
      const gone = ended
        .slice(0, Math.max(0, ended.length - keepAtMost))
        .filter((row) => row.operation.endedAt! < endedBefore)
      for (const { operation } of gone) rows.delete(operation.id)
      return gone.length
    },

    /** What depends on which process asks. */
    as: (incarnation: string) => {
      const entered = new Map<string, "Entered" | "Lost">()
      const lost = (worker: string): Result.Result<never, StoreError> => {
        entered.set(worker, "Lost")
        return no("Fenced", `The worker id "${worker}" was taken by a newer start.`)
      }
      const disown = (worker: string): ReadonlyArray<Guid> => {
        const freed: Array<Guid> = []
        for (const row of rows.values()) {
          if (row.owner !== worker || !holdsPartition(row.operation)) continue
          put(row, { owner: null })
          freed.push(row.operation.id)
        }
        observe({ _tag: "Released", worker, incarnation, freed })
        for (const id of freed) tell(id)
        return freed
      }
      const isFree = (row: Row, worker: string): boolean => {
        if (row.owner === null || defects.ignoresLeases === true) return true
        const lease = leases.get(row.owner)
        return lease === undefined || (row.owner !== worker && lease.expires <= now())
      }
      return {
        save: (
          stored: Stored,
          operation: Operation,
          entries: ReadonlyArray<EvidenceEntry>,
          as: Guard
        ): Result.Result<Stored, StoreError> => {
          const found = guarded(operation.id, as)
          if (Result.isFailure(found)) return Result.fail(found.failure)
          const row = found.success
          if (row.version !== stored.version && defects.ignoresVersion !== true) {
            return no("Conflict", `operation ${operation.id} changed since it was read`)
          }
          if (standsBeside(operation)) return no("Conflict", "another operation's fences stand on the partition")
          const before = snapshot(row)!
          row.evidence.push(...entries)
          const after = snapshot(put(row, { operation }))!
          observe({ _tag: "Saved", incarnation, before, after, entries, as })
          tell(operation.id, as?.worker)
          return Result.succeed(after)
        },
        append: (id: Guid, entries: ReadonlyArray<EvidenceEntry>, as: Guard): Result.Result<void, StoreError> => {
          const found = guarded(id, as)
          if (Result.isFailure(found)) return Result.fail(found.failure)
          found.success.evidence.push(...entries)
          observe({ _tag: "Appended", before: snapshot(found.success)!, entries, as })
          tell(id, as?.worker)
          return Result.succeed(undefined)
        },
        heartbeat: (worker: string, lease: Millis) => {
          const known = entered.get(worker)
          if (known === "Lost") return lost(worker)
          if (known === "Entered" && leases.get(worker)?.incarnation !== incarnation) return lost(worker)
          const expires = now() + lease
          leases.set(worker, { incarnation, expires })
          if (known === undefined) disown(worker)
          entered.set(worker, "Entered")
          observe({ _tag: "Renewed", worker, incarnation, lease })
          const owned = inOrder()
            .filter((row) => row.owner === worker && holdsPartition(row.operation))
            .map(({ epoch, operation, version }) => ({ id: operation.id, version, epoch }))
          return Result.succeed({ lease: { worker, expires }, owned })
        },
        claim: (
          worker: string,
          limit: number,
          reaches: (operation: Operation) => boolean
        ): Result.Result<ReadonlyArray<Stored>, StoreError> => {
          const lease = leases.get(worker)
          if (entered.get(worker) === "Lost" || (lease !== undefined && lease.incarnation !== incarnation)) {
            return lost(worker)
          }
          if (lease === undefined || lease.expires <= now()) return Result.succeed([])
          const due = inOrder()
            .filter(
              (row) => holdsPartition(row.operation) && dueAt(row.operation, now()) <= now() && isFree(row, worker)
            )
            .sort((a, b) => urgencyOf(a.operation) - urgencyOf(b.operation))
            .filter((row) => reaches(row.operation))
            .slice(0, limit)
          return Result.succeed(
            due.map((row) => {
              const before = snapshot(row)!
              const after = snapshot(put(row, { owner: worker, epoch: row.epoch + 1 }))!
              observe({ _tag: "Claimed", worker, incarnation, before, after })
              return after
            })
          )
        },
        release: (worker: string): Result.Result<void, StoreError> => {
          if (entered.get(worker) === "Lost") return Result.succeed(undefined)
          const lease = leases.get(worker)
          if (entered.get(worker) === "Entered" && lease?.incarnation !== incarnation) return Result.succeed(undefined)
          entered.set(worker, "Entered")
          leases.set(worker, { incarnation, expires: 0 })
          disown(worker)
          return Result.succeed(undefined)
        }
      }
    }
  }
}
