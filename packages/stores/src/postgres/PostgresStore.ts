/**
 * The shared store: core's `OperationStore` on one PostgreSQL, for any number of workers. The database's clock counts
 * every lease. Each write carries its owner and epoch. Nothing here waits for a database longer than it is told to. A
 * worker has six connections: writes, heartbeats, claims, two for reads, and one that hears of changes.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ChaosStore } from "@inquorate/core/ChaosStore"
import type { Guid } from "@inquorate/core/Guid"
import { type Change, OperationStore, type StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import * as News from "../News.ts"
import * as Batch from "./PostgresBatch.ts"
import * as Changes from "./PostgresChanges.ts"
import * as Chaos from "./PostgresChaos.ts"
import * as Gather from "./Gather.ts"
import { siteOf } from "./StoreConnection.ts"
import * as Leases from "./PostgresLeases.ts"
import * as Line from "./PostgresLine.ts"
import * as Rows from "./PostgresRows.ts"
import { prepare } from "./PostgresSchema.ts"

/** How the shared store is opened. */
export interface PostgresStoreOptions {
  /** `postgresql://user:password@host:5432/database`; never printed with its password. Not through a pooler. */
  readonly url: string | Redacted.Redacted
  /** The schema of our tables, made where it is missing; `inquorate` unless given. */
  readonly schema?: string
  /**
   * How many live operations are stored before a fresh one is refused with `Full`; 10 000 unless given. Each of several
   * workers may pass it by an eighth of what was free when it last counted.
   */
  readonly queueBound?: number
  /** How long a call may take before it is `Unavailable`, in milliseconds; 5000 unless given. */
  readonly withinMs?: Millis
  /** How long one statement may take at the server, in milliseconds; 2000 unless given. */
  readonly statementMs?: Millis
  /** The most writes that share a commit; 256 unless given. */
  readonly batchMost?: number
  /** Hears of each commit of creates, saves and appends, for measurements. */
  readonly onCommit?: () => void
}

/**
 * The shared store. Fails with `Unavailable` where the database cannot be reached or written, refuses us, is not ours, or
 * was written by a newer version.
 */
export const layer = (options: PostgresStoreOptions): Layer.Layer<OperationStore | ChaosStore, StoreError> =>
  Layer.effectContext(makeBoth(options))

/** Makes the shared store of operations within a scope that closes its connections. */
export const make = (
  options: PostgresStoreOptions
): Effect.Effect<OperationStore["Service"], StoreError, Scope.Scope> =>
  Effect.map(makeBoth(options), (both) => Context.get(both, OperationStore))

/** Makes the shared store, of operations and of chaos, within a scope that closes its connections. */
export const makeBoth = (
  options: PostgresStoreOptions
): Effect.Effect<Context.Context<OperationStore | ChaosStore>, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const within = options.withinMs ?? withinDefault
    const site = yield* siteOf(options.url, options.schema ?? schemaDefault, options.statementMs ?? statementDefault)
    yield* prepare(site)
    const rows = Rows.make(site)
    const hints = yield* PubSub.sliding<Change>(hintsKept)
    const heard = (id: Guid): void => void PubSub.publishUnsafe(hints, { id, by: null })
    const readers = yield* Effect.all([Line.make(site), Line.make(site)])
    let turn = 0
    const read: Read = (work) => Effect.suspend(() => readers[turn++ % readers.length]!.repeatable(within, work))
    const { evidence, get, rivals } = yield* gathered(rows, read)
    const changes = yield* Changes.make(site, heard, read(rows.lively))
    const batch = yield* Batch.make(site, yield* Line.make(site), {
      queueBound: options.queueBound ?? queueBoundDefault,
      within,
      writesMost: options.batchMost ?? batchMostDefault,
      onCommit: options.onCommit ?? (() => {}),
      onStored: rows.remember
    })
    const { announcement } = changes
    const beats = yield* Line.make(site)
    const claims = yield* Line.make(site)
    const leases = Leases.make({ site, rows, beats, claims, within, announcement })
    const tell = News.teller(hints)
    const changed: News.Tell = (id, by) =>
      Effect.suspend(() => {
        changes.announce(id)
        return tell(id, by)
      })

    // This uses the line of claims, which nobody waits for: a write of chaos may wait for another worker's lock.
    const chaos = Chaos.make({ site, reads: readers[0], writes: claims, within })
    const operations = OperationStore.of({
      now: read((connection) =>
        Effect.map(
          connection.query<{ readonly now: Instant }>(`SELECT ${Rows.databaseNow} AS now`),
          (answer) => answer.rows[0]!.now
        )
      ),
      create: (operation) =>
        Effect.tap(batch.create(operation), (answer) => (answer === "Created" ? changed(operation.id) : Effect.void)),
      get,
      list: (query) => read((connection) => rows.list(connection, query)),
      holding: read(rows.holding),
      rivals: (subject, elsewhere) => rivals({ subject, elsewhere }),
      unreadable: Effect.suspend(() => (rows.allReadable() ? Effect.succeed([]) : read(rows.unreadable))),
      census: read(rows.census),
      evidence: (id, from) => evidence({ id, from }),
      save: (stored, operation, entries, as) =>
        Effect.tap(batch.save(stored, operation, entries, as), changed(operation.id, as?.worker)),
      append: (id, entries, as) => Effect.tap(batch.append(id, entries, as), changed(id, as.worker)),
      heartbeat: leases.heartbeat,
      claim: leases.claim,
      release: (worker) =>
        Effect.flatMap(leases.release(worker), (freed) => Effect.sync(() => freed.forEach((id) => heard(id)))),
      prune: (keepAtMost, endedBefore) => prune(read, site.schema, keepAtMost, endedBefore),
      changes: Stream.fromPubSub(hints)
    })
    return Context.make(OperationStore, operations).pipe(Context.add(ChaosStore, chaos))
  })

// --- internal ---

const schemaDefault = "inquorate"
const queueBoundDefault = 10_000
const withinDefault: Millis = 5000
const statementDefault: Millis = 2000
const batchMostDefault = 256
const hintsKept = 4096
/** How many operations' evidence is read with one message. It may be long, and many are taken over at once. */
const evidenceAtOnce = 16
/** Rows removed in one commit, so that a large clean-up never keeps others waiting for long. */
const pruneBatch = 500
/** How long the lease row of a worker that never came back is kept. */
const leaseKept: Millis = 7 * 24 * 60 * 60 * 1000

type Read = <A>(work: Line.Work<A>) => Effect.Effect<A, StoreError>

/** The questions that share messages. */
const gathered = (rows: Rows.Rows, read: Read) =>
  Effect.all({
    get: Gather.make((ids: ReadonlyArray<Guid>) =>
      Effect.map(
        read((connection) => rows.getAll(connection, ids)),
        (found) => ids.map((id): Result.Result<Stored | null, StoreError> => found.get(id) ?? Result.succeed(null))
      )
    ),
    rivals: Gather.make((questions: ReadonlyArray<Rows.RivalsQuestion>) =>
      Effect.map(
        read((connection) => rows.rivals(connection, questions)),
        (found) => found.map((stored) => Result.succeed(stored))
      )
    ),
    evidence: Gather.make(
      (questions: ReadonlyArray<Rows.EvidenceQuestion>) =>
        Effect.map(
          read((connection) => rows.evidence(connection, questions)),
          (found) => found.map((entries) => Result.succeed(entries))
        ),
      evidenceAtOnce
    )
  })

// The boundary is found by walking what is kept, not by counting all. It only ever rises, so that two workers that
// prune at once remove no more than one would.
const prune = (
  run: Read,
  schema: string,
  keepAtMost: number,
  endedBefore: Instant
): Effect.Effect<number, StoreError> =>
  Effect.gen(function* () {
    const operation = `"${schema}".operation`
    const ended = `${operation} WHERE ended_at IS NOT NULL AND NOT holds`
    yield* run((connection) =>
      connection.query(
        `DELETE FROM "${schema}".lease l WHERE expires < ${Rows.databaseNow} - ${leaseKept}
           AND NOT EXISTS (SELECT 1 FROM ${operation} o WHERE o.holds AND o.owner = l.worker)`
      )
    )
    let removed = 0
    while (true) {
      const { changed } = yield* run((connection) =>
        connection.query(
          `DELETE FROM ${operation} WHERE sequence IN (
             SELECT sequence FROM ${ended} AND ended_at < $1 AND (ended_at, sequence) <= (
               SELECT ended_at, sequence FROM ${ended} ORDER BY ended_at DESC, sequence DESC OFFSET $2 LIMIT 1)
             ORDER BY ended_at, sequence LIMIT ${pruneBatch} FOR UPDATE SKIP LOCKED)`,
          [endedBefore, keepAtMost]
        )
      )
      removed += changed
      if (changed < pruneBatch) return removed
    }
  })
