/**
 * The embedded store: core's `OperationStore` in one SQLite file, directly on `node:sqlite`. To open the file proves,
 * through a lock of the kernel, that no other worker lives on it. So every lease that is found in it is a dead
 * worker's, and is ended at once: a restarted worker, under its old name or another, goes on without waiting.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DatabaseSync } from "node:sqlite"
import { ChaosStore } from "@inquorate/core/ChaosStore"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, type Operation, standingOrder } from "@inquorate/core/Operation"
import {
  type Change,
  type Elsewhere,
  type ListQuery,
  OperationStore,
  StoreError,
  type Stored,
  type Tally,
  unreadableEntry,
  type UnreadableRow,
  urgencyOf,
  waitingUrgency
} from "@inquorate/core/OperationStore"
import { subjectOf } from "@inquorate/core/Request"
import type { Instant } from "@inquorate/core/Time"
import { OperationState, stateOf } from "@inquorate/core/Wire"
import {
  brokenMost,
  dueOf,
  readEntry,
  readOperation,
  unreadableRow,
  writeEntry,
  writeOperation
} from "../OperationRows.ts"
import * as News from "../News.ts"
import * as GroupCommit from "./GroupCommit.ts"
import * as Holding from "./Holding.ts"
import * as Chaos from "./SqliteChaos.ts"
import { isUniqueViolation, open, unavailable } from "./SqliteFile.ts"
import * as SqliteOwners from "./SqliteOwners.ts"

/** How the embedded store is opened. */
export interface SqliteStoreOptions {
  /** The file. Its directory is made where it is missing. `:memory:` keeps nothing. */
  readonly path: string
  /** The clock by which leases are counted; the process's own unless given. */
  readonly now?: Effect.Effect<Instant>
  /** How many live operations are stored before a fresh one is refused with `Full`; 10 000 unless given. */
  readonly queueBound?: number
  /**
   * Hears why nothing can be written any more: another worker took the file over while this one stood still, or the
   * file was removed, replaced or cut while in use. It may be called again.
   */
  readonly onLost?: (detail: string) => void
  /** Hears of each commit with the number of commits so far, for measurements. */
  readonly onCommit?: (commits: () => number) => void
}

/** The embedded store. Fails with `Unavailable` where the file is held, newer than this code, damaged, or not writable. */
export const layer = (options: SqliteStoreOptions): Layer.Layer<OperationStore | ChaosStore, StoreError> =>
  Layer.effectContext(makeBoth(options))

/** Makes the embedded store of operations within a scope that closes it. */
export const make = (options: SqliteStoreOptions): Effect.Effect<OperationStore["Service"], StoreError, Scope.Scope> =>
  Effect.map(makeBoth(options), (both) => Context.get(both, OperationStore))

/** Makes the embedded store, of operations and of chaos, within a scope that closes it. */
export const makeBoth = (
  options: SqliteStoreOptions
): Effect.Effect<Context.Context<OperationStore | ChaosStore>, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const { path } = options
    const now = options.now ?? Clock.currentTimeMillis
    const held = yield* open(path, now)
    const { database } = held
    const statements = yield* Effect.try({
      try: () => {
        database.exec("DELETE FROM lease")
        return prepare(database)
      },
      catch: (thrown) => unavailable(path, thrown)
    })
    const commit = GroupCommit.make(path, held, options.onLost ?? (() => undefined))
    options.onCommit?.(commit.commits)
    const changes = yield* PubSub.sliding<Change>(changesKept)
    const owners = SqliteOwners.make(database)
    const rows = makeRows(path, statements, owners, options.queueBound ?? queueBoundDefault)
    const read = <A>(run: () => A): Effect.Effect<A, StoreError> =>
      Effect.try({ try: run, catch: (thrown) => (thrown instanceof StoreError ? thrown : unavailable(path, thrown)) })
    const publish = News.teller(changes)

    const chaos = yield* Chaos.make({ path, database, commit, now })
    const operations = OperationStore.of({
      now,
      create: (operation) =>
        commit
          .writeOne(() => rows.create(operation))
          .pipe(Effect.tap((answer) => (answer === "Created" ? publish(operation.id) : Effect.void))),
      get: (id) => read(() => rows.get(id)),
      list: (query) => read(() => rows.list(query)),
      holding: read(() => rows.holding()),
      unreadable: read(() => rows.unreadable()),
      rivals: (subject, elsewhere) => read(() => rows.rivals(subject, elsewhere)),
      census: read(() => rows.census()),
      evidence: (id, from) => read(() => rows.evidence(id, from)),
      save: (stored, operation, entries, as) =>
        commit
          .write(() => rows.save(stored, operation, entries, as))
          .pipe(Effect.tap(publish(operation.id, as?.worker))),
      append: (id, entries, as) =>
        commit.write(() => rows.append(id, entries, as)).pipe(Effect.tap(publish(id, as.worker))),
      heartbeat: (worker, lease) =>
        Effect.andThen(
          read(owners.look),
          Effect.flatMap(now, (instant) => commit.write(() => rows.heartbeat(worker, instant + lease)))
        ),
      claim: (worker, limit, reaches = () => true) =>
        Effect.andThen(
          read(owners.look),
          Effect.flatMap(now, (instant) => commit.write(() => rows.claim(worker, limit, instant, reaches)))
        ).pipe(Effect.flatMap(({ claimed, unreadable }) => Effect.as(reportUnreadable(unreadable), claimed))),
      release: (worker) =>
        commit
          .write(() => rows.release(worker))
          .pipe(Effect.flatMap((ids) => Effect.forEach(ids, (id) => publish(id), { discard: true }))),
      prune: (keepAtMost, endedBefore) => prune(commit, rows, keepAtMost, endedBefore),
      changes: Stream.fromPubSub(changes)
    })
    return Context.make(OperationStore, operations).pipe(Context.add(ChaosStore, chaos))
  })

// --- internal ---

const queueBoundDefault = 10_000
const changesKept = 4096
/** Rows removed in one commit, so that a large clean-up never keeps others waiting for long. */
const pruneBatch = 500

interface Row {
  readonly sequence: number
  readonly id: string
  readonly operation: string
  readonly version: number
  readonly owner: string | null
  readonly epoch: number
}

const columns = "sequence, id, operation, version, owner, epoch"

const prepare = (database: DatabaseSync) => ({
  insert: database.prepare(
    `INSERT INTO operation (id, operation, state, partition_id, version, owner, epoch, received_at, ended_at, not_before,
       holds, standing, urgency)
     VALUES (?, ?, ?, ?, 1, NULL, 0, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
  ),
  known: database.prepare("SELECT 1 FROM operation WHERE id = ?"),
  live: database.prepare("SELECT count(*) AS live FROM operation WHERE ended_at IS NULL"),
  get: database.prepare(`SELECT ${columns} FROM operation WHERE id = ?`),
  holdingSince: database.prepare(
    `SELECT ${columns} FROM operation WHERE holds = 1 AND sequence >= ? ORDER BY sequence`
  ),
  beside: database.prepare("SELECT state, partition_id AS subject, holds FROM operation WHERE id = ?"),
  census: database.prepare(
    `SELECT state, urgency = ${waitingUrgency} AS waiting, count(*) AS count FROM operation WHERE holds = 1
     GROUP BY state, waiting`
  ),
  up: database.prepare(`SELECT ${columns} FROM operation WHERE sequence > ? ORDER BY sequence LIMIT ?`),
  down: database.prepare(`SELECT ${columns} FROM operation WHERE sequence < ? ORDER BY sequence DESC LIMIT ?`),
  upByState: database.prepare(
    `SELECT ${columns} FROM operation WHERE state = ? AND sequence > ? ORDER BY sequence LIMIT ?`
  ),
  downByState: database.prepare(
    `SELECT ${columns} FROM operation WHERE state = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`
  ),
  save: database.prepare(
    `UPDATE operation SET operation = ?, state = ?, version = version + 1, ended_at = ?, not_before = ?, holds = ?,
       standing = ?, urgency = ? WHERE id = ?`
  ),
  evidence: database.prepare("SELECT seq, entry FROM evidence WHERE operation_id = ? AND seq > ? ORDER BY seq"),
  lastEntry: database.prepare("SELECT coalesce(max(seq), 0) AS last FROM evidence WHERE operation_id = ?"),
  append: database.prepare("INSERT INTO evidence (operation_id, seq, entry) VALUES (?, ?, ?)"),
  renew: database.prepare(
    "INSERT INTO lease (worker, expires) VALUES (?, ?) ON CONFLICT (worker) DO UPDATE SET expires = excluded.expires"
  ),
  alive: database.prepare("SELECT worker FROM lease WHERE expires > ?"),
  own: database.prepare("UPDATE operation SET owner = ?, epoch = epoch + 1, version = version + 1 WHERE id = ?"),
  disown: database.prepare(
    "UPDATE operation SET owner = NULL, version = version + 1 WHERE holds = 1 AND owner = ? RETURNING id"
  ),
  endLease: database.prepare("DELETE FROM lease WHERE worker = ?"),
  ended: database.prepare("SELECT count(*) AS ended FROM operation WHERE ended_at IS NOT NULL AND holds = 0"),
  prune: database.prepare(
    `DELETE FROM operation WHERE sequence IN (SELECT sequence FROM operation
       WHERE ended_at IS NOT NULL AND holds = 0 AND ended_at < ? ORDER BY ended_at LIMIT ?)`
  )
})

type Statements = ReturnType<typeof prepare>
type Guard = { readonly worker: string; readonly epoch: number } | null

const flag = (value: boolean): number => (value ? 1 : 0)

const fenced = (id: Guid): StoreError =>
  new StoreError({ reason: "Fenced", detail: `operation ${id} belongs to another worker or epoch now` })

const conflict = (detail: string): StoreError => new StoreError({ reason: "Conflict", detail })

/** Every read and write as a synchronous function of rows. Writes run within a commit. */
const makeRows = (path: string, statements: Statements, owners: SqliteOwners.Owners, queueBound: number) => {
  const remembered = new Map<Guid, { readonly text: string; readonly operation: Operation }>()
  // What holds a partition, in the order it was received. No other process writes the file, so only what was written
  // here since the last look is read again. With thousands held at once, each look would else read them all.
  const holding = Holding.make()
  const touched = new Set<Guid>()
  const touch = (id: Guid): void => {
    touched.add(id)
    owners.touch(id)
  }
  // Where the rows begin that were stored since the last look: they are read all at once, and at first these are all.
  let fresh = 0
  const reported = new Set<Guid>()

  const decode = (row: Row): Result.Result<Stored, StoreError> => {
    const { epoch, owner, version } = row
    const known = remembered.get(row.id)
    if (known?.text === row.operation) return Result.succeed({ operation: known.operation, version, owner, epoch })
    return Result.mapBoth(readOperation(row.operation), {
      onSuccess: (operation): Stored => {
        remember(row.id, row.operation, operation)
        return { operation, version, owner, epoch }
      },
      onFailure: (problem) => unreadableRow(path, `operation ${row.id}`, problem.message)
    })
  }
  // Only what still holds a partition is read again and again, and the queue bounds that. It is known by its text,
  // since a version that was rolled back is given out twice.
  const remember = (id: Guid, text: string, operation: Operation): void => {
    if (holdsPartition(operation)) remembered.set(id, { text, operation })
    else remembered.delete(id)
  }
  const recall = (row: Row): Stored => Result.getOrThrow(decode(row))
  // A row that cannot be read is left out and told, so that it takes nothing of the others with it.
  const broken = new Map<Guid, UnreadableRow>()
  const decodeAll = (rows: ReadonlyArray<unknown>): ReadonlyArray<Stored> =>
    (rows as ReadonlyArray<Row>).flatMap((row) => {
      const decoded = decode(row)
      if (Result.isSuccess(decoded)) broken.delete(row.id)
      else noteBroken(row.id, decoded.failure.detail)
      return Result.isSuccess(decoded) ? [decoded.success] : []
    })
  const noteBroken = (id: Guid, problem: string): void => {
    const beside = statements.beside.get(id) as unknown as
      | { readonly state: OperationState; readonly subject: Guid; readonly holds: number }
      | undefined
    if (beside === undefined) return
    if (broken.size >= brokenMost && !broken.has(id)) return
    broken.set(id, { id, state: beside.state, subject: beside.subject, holds: beside.holds === 1, problem })
  }
  /** As many readable rows as are wanted, from pages of any. */
  const pageOf = (from: number, limit: number, page: (from: number, limit: number) => ReadonlyArray<Row>) => {
    const found: Array<Stored> = []
    let cursor = from
    while (true) {
      const rows = page(cursor, limit)
      found.push(...decodeAll(rows))
      if (rows.length < limit || found.length >= limit) return found.slice(0, limit)
      cursor = rows.at(-1)!.sequence
    }
  }
  const find = (id: Guid): Stored | null => {
    const row = statements.get.get(id)
    return row === undefined ? null : recall(row as unknown as Row)
  }
  const guarded = (id: Guid, as: Guard): Row => {
    const row = statements.get.get(id) as unknown as Row | undefined
    if (row === undefined) throw as === null ? conflict(`operation ${id} is gone`) : fenced(id)
    if (as !== null && (row.owner !== as.worker || row.epoch !== as.epoch)) throw fenced(id)
    return row
  }
  const appendAll = (id: Guid, entries: ReadonlyArray<EvidenceEntry>): void => {
    if (entries.length === 0) return
    const { last } = statements.lastEntry.get(id) as { readonly last: number }
    entries.forEach((entry, index) => statements.append.run(id, last + 1 + index, writeEntry(entry)))
  }
  const sequenceOf = (id: Guid | null): number | undefined =>
    id === null ? undefined : (statements.get.get(id) as unknown as Row | undefined)?.sequence

  const lookAtHolding = (): void => {
    if (fresh < Infinity) for (const stored of decodeAll(statements.holdingSince.all(fresh))) holding.put(stored)
    for (const id of touched) {
      const row = statements.get.get(id)
      const [stored = null] = row === undefined ? [] : decodeAll([row])
      if (stored !== null && holdsPartition(stored.operation)) holding.put(stored)
      else holding.remove(id)
    }
    touched.clear()
    fresh = Infinity
  }

  // How many more may be created before the live ones must be counted again: counting them at each start would cost more
  // the longer the queue is.
  let spare = 0

  return {
    create: (operation: Operation): "Created" | "Duplicate" => {
      if (spare <= 0) {
        if (statements.known.get(operation.id) !== undefined) return "Duplicate"
        const { live } = statements.live.get() as { readonly live: number }
        if (live >= queueBound) {
          throw new StoreError({
            reason: "Full",
            detail: `${live} operations are live and no more than ${queueBound} may be`
          })
        }
        spare = queueBound - live
      }
      const { id, request, receivedAt, endedAt } = operation
      const text = writeOperation(operation)
      const { changes, lastInsertRowid } = statements.insert.run(
        id,
        text,
        stateOf(operation.stage),
        subjectOf(request),
        receivedAt,
        endedAt,
        dueOf(operation),
        flag(holdsPartition(operation)),
        flag(standingOrder(operation) !== null),
        urgencyOf(operation)
      )
      if (changes === 0) return "Duplicate"
      fresh = Math.min(fresh, Number(lastInsertRowid))
      owners.created(Number(lastInsertRowid))
      remember(id, text, operation)
      spare--
      return "Created"
    },

    get: find,

    list: (query: ListQuery): ReadonlyArray<Stored> => {
      const cursor = sequenceOf(query.after)
      // A cursor that was pruned stood among the oldest. Nothing comes after it backward, and everything does forward.
      if (query.newestFirst && query.after !== null && cursor === undefined) return []
      const from = cursor ?? (query.newestFirst ? Number.MAX_SAFE_INTEGER : 0)
      const [all, byState] = query.newestFirst
        ? [statements.down, statements.downByState]
        : [statements.up, statements.upByState]
      const wanted = [...new Set(query.states)]
      if (wanted.length === 0 || wanted.length >= OperationState.literals.length) {
        return pageOf(from, query.limit, (after, limit) => all.all(after, limit) as unknown as ReadonlyArray<Row>)
      }
      // One walk of the index for each state and a merge: a filter over several states never sorts the whole table.
      return pageOf(from, query.limit, (after, limit) =>
        wanted
          .flatMap((state) => byState.all(state, after, limit) as unknown as ReadonlyArray<Row>)
          .sort((a, b) => (query.newestFirst ? b.sequence - a.sequence : a.sequence - b.sequence))
          .slice(0, limit)
      )
    },

    unreadable: (): ReadonlyArray<UnreadableRow> => {
      // A row that was removed or mended since is none any more.
      for (const id of broken.keys()) {
        const row = statements.get.get(id)
        if (row === undefined || Result.isSuccess(decode(row as unknown as Row))) broken.delete(id)
      }
      return [...broken.values()]
    },

    holding: (): ReadonlyArray<Stored> => {
      lookAtHolding()
      return holding.all()
    },

    rivals: (subject: Guid, elsewhere: Elsewhere): ReadonlyArray<Stored> => {
      lookAtHolding()
      return holding.rivals(subject, elsewhere)
    },

    census: (): ReadonlyArray<Tally> =>
      statements.census.all().map((row) => ({
        state: row["state"] as OperationState,
        waiting: row["waiting"] === 1,
        count: Number(row["count"])
      })),

    evidence: (id: Guid, from: number): ReadonlyArray<EvidenceEntry> => {
      const entries: Array<EvidenceEntry> = []
      for (const row of statements.evidence.all(id, from)) {
        entries.push(
          Result.getOrElse(readEntry(row["entry"]), (problem) =>
            unreadableEntry(Number(row["seq"]), problem.message, entries.at(-1))
          )
        )
      }
      return entries
    },

    save: (stored: Stored, operation: Operation, entries: ReadonlyArray<EvidenceEntry>, as: Guard): Stored => {
      const { id } = operation
      const row = guarded(id, as)
      if (row.version !== stored.version) throw conflict(`operation ${id} changed since it was read`)
      const text = writeOperation(operation)
      try {
        statements.save.run(
          text,
          stateOf(operation.stage),
          operation.endedAt,
          dueOf(operation),
          flag(holdsPartition(operation)),
          flag(standingOrder(operation) !== null),
          urgencyOf(operation),
          id
        )
      } catch (thrown) {
        if (isUniqueViolation(thrown)) throw conflict("another operation's fences stand on the partition")
        throw thrown
      }
      appendAll(id, entries)
      touch(id)
      remember(id, text, operation)
      return { operation, version: row.version + 1, owner: row.owner, epoch: row.epoch }
    },

    append: (id: Guid, entries: ReadonlyArray<EvidenceEntry>, as: Guard): void => {
      guarded(id, as)
      appendAll(id, entries)
    },

    heartbeat: (worker: string, expires: Instant) => {
      statements.renew.run(worker, expires)
      owners.look()
      return { lease: { worker, expires }, owned: owners.ownedBy(worker) }
    },

    claim: (worker: string, limit: number, now: Instant, reaches: (operation: Operation) => boolean) => {
      const claimed: Array<Stored> = []
      const unreadable: Array<StoreError> = []
      const alive = new Set(statements.alive.all(now).map((row) => String(row["worker"])))
      owners.look()
      // A worker takes nothing from itself: if it asks it is alive, and a wall clock that was stepped says nothing else
      // of its lease.
      const claimable = owners.claimable(now, (owner) => owner === worker || alive.has(owner))
      // A row that cannot be read is told once and stepped over, or it would keep every other one waiting.
      for (const id of claimable) {
        if (claimed.length >= limit) break
        const row = statements.get.get(id) as unknown as Row
        const stored = decode({ ...row, owner: worker, epoch: row.epoch + 1, version: row.version + 1 })
        if (Result.isSuccess(stored)) {
          if (reaches(stored.success.operation)) claimed.push(stored.success)
        } else if (!reported.has(row.id)) {
          reported.add(row.id)
          noteBroken(row.id, stored.failure.detail)
          unreadable.push(stored.failure)
        }
      }
      for (const { operation } of claimed) {
        statements.own.run(worker, operation.id)
        touch(operation.id)
      }
      return { claimed, unreadable }
    },

    release: (worker: string): ReadonlyArray<Guid> => {
      const ids = statements.disown.all(worker).map((row) => String(row["id"]))
      statements.endLease.run(worker)
      for (const id of ids) touch(id)
      return ids
    },

    prune: (keepAtMost: number, endedBefore: Instant): number => {
      const { ended } = statements.ended.get() as { readonly ended: number }
      const excess = Math.min(ended - keepAtMost, pruneBatch)
      return excess <= 0 ? 0 : Number(statements.prune.run(endedBefore, excess).changes)
    }
  }
}

type Rows = ReturnType<typeof makeRows>

const reportUnreadable = (problems: ReadonlyArray<StoreError>): Effect.Effect<void> =>
  Effect.forEach(problems, (problem) => Effect.logError(problem.detail), { discard: true })

const prune = (
  commit: GroupCommit.GroupCommit,
  rows: Rows,
  keepAtMost: number,
  endedBefore: Instant
): Effect.Effect<number, StoreError> =>
  Effect.gen(function* () {
    let removed = 0
    while (true) {
      const batch = yield* commit.write(() => rows.prune(keepAtMost, endedBefore))
      removed += batch
      if (batch < pruneBatch) return removed
    }
  })
