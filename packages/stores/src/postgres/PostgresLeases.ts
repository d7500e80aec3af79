/**
 * Who owns what on the shared store, by the database's own clock. A worker has one lease row under its stable id. The
 * process that has it has an incarnation of its own. The newest start under an id takes the id, with a higher epoch on
 * all that the older one owned. The older one, be it a copy or a ghost, is fenced for good.
 * The locks make it exact. A claim locks the leases that it found run out. So a heartbeat either comes before, and the
 * lease is not run out, or waits and then sees what was taken. A claim also locks its own lease's key, so that nothing
 * can be claimed under an id that a newer start is just taking.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as crypto from "node:crypto"
import type { Guid } from "@inquorate/core/Guid"
import { type Operation, pauseMost } from "@inquorate/core/Operation"
import { type Lease, StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import { type Site, transaction } from "./StoreConnection.ts"
import type { Line, Work } from "./PostgresLine.ts"
import { columns, databaseNow, type Row, type Rows } from "./PostgresRows.ts"
import { markTable, newer, schemaVersion } from "./PostgresSchema.ts"

/** What a worker owns, as a heartbeat tells it. */
export interface Owned {
  readonly id: Guid
  readonly version: number
  readonly epoch: number
}

/** Leases, claims and releases of the workers of one process. */
export interface Leases {
  readonly heartbeat: (
    worker: string,
    lease: Millis
  ) => Effect.Effect<{ readonly lease: Lease; readonly owned: ReadonlyArray<Owned> }, StoreError>
  readonly claim: (
    worker: string,
    limit: number,
    reaches?: (operation: Operation) => boolean
  ) => Effect.Effect<ReadonlyArray<Stored>, StoreError>
  readonly release: (worker: string) => Effect.Effect<ReadonlyArray<Guid>, StoreError>
}

/** What leases stand on. */
export interface LeasesOptions {
  readonly site: Site
  readonly rows: Rows
  /** For heartbeats and releases, so that they wait for no claim. */
  readonly beats: Line
  readonly claims: Line
  readonly within: Millis
  /** Hears within the transaction what became free, so that its commit wakes the others. */
  readonly announcement: (ids: ReadonlyArray<Guid>) => readonly [string, ReadonlyArray<unknown>]
}

/** Makes the leases of one process, under an incarnation of its own. */
export const make = ({ announcement, beats, claims, rows, site, within }: LeasesOptions): Leases => {
  const incarnation = crypto.randomUUID()
  const entered = new Map<string, "Entered" | "Lost">()
  const reported = new Set<Guid>()
  // An operation that we cannot reach is stepped over for a while, so that it keeps nothing behind it waiting.
  const outOfReach = new Map<string, Map<Guid, Instant>>()
  const passedOver = (worker: string): Map<Guid, Instant> => {
    const known = outOfReach.get(worker) ?? new Map<Guid, Instant>()
    outOfReach.set(worker, known)
    return known
  }
  const statements = statementsOf(site.schema)

  const lost = (worker: string): StoreError => {
    entered.set(worker, "Lost")
    return new StoreError({
      reason: "Fenced",
      detail:
        `The worker id "${worker}" was taken by a newer start on the store ${site.where}. Stop this worker, or give it ` +
        "an id of its own."
    })
  }

  /** Takes the id for this process, and lets go everything that an earlier process owned under it. */
  const enter =
    (worker: string, lease: Millis): Work<{ expires: Instant; freed: ReadonlyArray<Guid> }> =>
    (connection) =>
      Effect.gen(function* () {
        const { rows: entries } = yield* connection.query<{ expires: Instant }>(statements.enter, [
          worker,
          incarnation,
          lease
        ])
        const { rows: freed } = yield* connection.query<{ id: Guid }>(statements.disown, [worker])
        if (freed.length > 0) yield* connection.query(...announcement(freed.map(({ id }) => id)))
        return { expires: entries[0]!.expires, freed: freed.map(({ id }) => id) }
      }).pipe((body) => transaction(connection, body))

  const renew =
    (worker: string, lease: Millis): Work<Instant> =>
    (connection) =>
      Effect.gen(function* () {
        const { rows: renewed } = yield* connection.query<{ expires: Instant }>(statements.renew, [
          worker,
          incarnation,
          lease
        ])
        return renewed[0]?.expires ?? (yield* lost(worker))
      })

  const heartbeat = (worker: string, lease: Millis) =>
    beats.repeatable(Math.min(within, Math.max(lease, beatLeast)), (connection) =>
      Effect.gen(function* () {
        if (entered.get(worker) === "Lost") return yield* lost(worker)
        const { rows: marks } = yield* connection.query<{ version: number }>(statements.version)
        if ((marks[0]?.version ?? 0) > schemaVersion) return yield* newer(site, marks[0]!.version)
        const expires =
          entered.get(worker) === "Entered"
            ? yield* renew(worker, lease)(connection)
            : (yield* enter(worker, lease)(connection)).expires
        entered.set(worker, "Entered")
        // This is a statement of its own after the lease is renewed: from then on nobody takes anything away.
        const { rows: owned } = yield* connection.query<Owned>(statements.owned, [worker])
        return { lease: { worker, expires }, owned }
      })
    )

  const release = (worker: string) =>
    beats.repeatable(within, (connection) =>
      Effect.gen(function* () {
        if (entered.get(worker) === "Lost") return []
        if (entered.get(worker) === undefined) {
          const { freed } = yield* enter(worker, 0)(connection)
          entered.set(worker, "Entered")
          return freed
        }
        return yield* transaction(
          connection,
          Effect.gen(function* () {
            const { changed } = yield* connection.query(statements.end, [worker, incarnation])
            if (changed === 0) return []
            const { rows: freed } = yield* connection.query<{ id: Guid }>(statements.disown, [worker])
            if (freed.length > 0) yield* connection.query(...announcement(freed.map(({ id }) => id)))
            return freed.map(({ id }) => id)
          })
        )
      })
    )

  const take =
    (
      worker: string,
      limit: number,
      reaches: (operation: Operation) => boolean
    ): Work<{ taken: ReadonlyArray<Stored>; unreadable: ReadonlyArray<StoreError> }> =>
    (connection) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const over = passedOver(worker)
        for (const [id, until] of over) if (until <= now) over.delete(id)
        const skipped = [...reported, ...over.keys()]
        const { rows: looks } = yield* connection.query<{ mine: boolean | null; due: boolean }>(statements.look, [
          worker,
          incarnation,
          skipped
        ])
        if (looks[0]!.mine === false) return yield* lost(worker)
        if (!looks[0]!.due) return { taken: [], unreadable: [] }
        return yield* transaction(connection, takeDue(worker, limit, skipped, reaches, looksMore)(connection))
      })

  const takeDue =
    (
      worker: string,
      limit: number,
      skipped: ReadonlyArray<Guid>,
      reaches: (operation: Operation) => boolean,
      looks: number
    ): Work<Taken> =>
    (connection) =>
      Effect.gen(function* () {
        const { rows: locked } = yield* connection.query<{ live: boolean; gone: ReadonlyArray<string> }>(
          statements.lockLeases,
          [worker, incarnation]
        )
        if (!locked[0]!.live) return nothing
        const { rows: due } = yield* connection.query<Row>(statements.due, [locked[0]!.gone, skipped, limit])
        const read = due.map((row) =>
          rows.decode({ ...row, owner: worker, epoch: row.epoch + 1, version: row.version + 1 })
        )
        // A row that cannot be read is told once and stepped over, or it would keep every other one waiting.
        due.forEach(({ id }, index) => Result.isFailure(read[index]!) && reported.add(id))
        const now = yield* Clock.currentTimeMillis
        const within = read.map((one) => Result.isSuccess(one) && reaches(one.success.operation))
        due.forEach(({ id }, index) => {
          if (Result.isSuccess(read[index]!) && !within[index]!) passedOver(worker).set(id, now + lookAgainAfter)
        })
        const sequences = due.filter((_, index) => within[index]!).map(({ sequence }) => sequence)
        if (sequences.length > 0) yield* connection.query(statements.own, [worker, sequences])
        const taken = read
          .filter((_, index) => within[index]!)
          .filter(Result.isSuccess)
          .map(({ success }) => success)
        const unreadable = read.filter(Result.isFailure).map(({ failure }) => failure)
        // Behind what was stepped over there may be more. The next poll finds what a few looks do not.
        if (looks === 0 || taken.length === due.length) return { taken, unreadable }
        const further = [...skipped, ...due.map(({ id }) => id)]
        const rest = yield* takeDue(worker, limit - taken.length, further, reaches, looks - 1)(connection)
        return { taken: [...taken, ...rest.taken], unreadable: [...unreadable, ...rest.unreadable] }
      })

  return {
    heartbeat,
    release,
    claim: (worker, limit, reaches = () => true) =>
      entered.get(worker) === "Lost"
        ? Effect.suspend(() => lost(worker))
        : claims.once(within, take(worker, limit, reaches)).pipe(
            Effect.flatMap(({ taken, unreadable }) =>
              Effect.as(
                Effect.forEach(unreadable, ({ detail }) => Effect.logError(detail), { discard: true }),
                taken
              )
            )
          )
  }
}

// --- internal ---

/** How long a heartbeat may take however short its lease is. */
const beatLeast: Millis = 1000
/** How long an operation that could not be reached is left to others before it is looked at again. */
const lookAgainAfter: Millis = 5000
/** How often one claim looks on behind what it stepped over. */
const looksMore = 8

interface Taken {
  readonly taken: ReadonlyArray<Stored>
  readonly unreadable: ReadonlyArray<StoreError>
}

const nothing: Taken = { taken: [], unreadable: [] }

const statementsOf = (schema: string) => {
  const operation = `"${schema}".operation`
  const lease = `"${schema}".lease`
  // An owner without a lease row is nobody.
  const free = (gone: string): string =>
    `(o.owner IS NULL OR ${gone} OR NOT EXISTS (SELECT 1 FROM ${lease} l WHERE l.worker = o.owner))`
  // A wrong clock wrote a moment that is further ahead than any pause. Nobody waits for it.
  const due = `(o.not_before <= ${databaseNow} OR o.not_before > ${databaseNow} + ${pauseMost})`
  return {
    version: `SELECT version FROM "${schema}".${markTable}`,
    enter: `
      INSERT INTO ${lease} (worker, incarnation, expires) VALUES ($1, $2, ${databaseNow} + $3::bigint)
      ON CONFLICT (worker) DO UPDATE SET incarnation = excluded.incarnation, expires = excluded.expires
      RETURNING expires`,
    renew: `
      INSERT INTO ${lease} AS l (worker, incarnation, expires) VALUES ($1, $2, ${databaseNow} + $3::bigint)
      ON CONFLICT (worker) DO UPDATE SET expires = excluded.expires WHERE l.incarnation = excluded.incarnation
      RETURNING expires`,
    end: `UPDATE ${lease} SET expires = 0 WHERE worker = $1 AND incarnation = $2`,
    owned: `SELECT id, version, epoch FROM ${operation} WHERE holds AND owner = $1 ORDER BY sequence`,
    disown: `
      UPDATE ${operation} SET owner = NULL, version = version + 1
      WHERE sequence IN (
        SELECT sequence FROM ${operation} WHERE holds AND owner = $1 ORDER BY id FOR NO KEY UPDATE)
      RETURNING id`,
    // This only reads, so a poll that finds nothing to do writes nothing.
    look: `
      SELECT (SELECT l.incarnation = $2::uuid FROM ${lease} l WHERE l.worker = $1) AS mine, EXISTS (
        SELECT 1 FROM ${operation} o WHERE o.holds AND ${due} AND o.id <> ALL($3::text[])
          AND ${free(`EXISTS (SELECT 1 FROM ${lease} l WHERE l.worker = o.owner AND l.expires <= ${databaseNow})`)}
      ) AS due`,
    lockLeases: `
      WITH mine AS MATERIALIZED (
        SELECT 1 FROM ${lease} WHERE worker = $1 AND incarnation = $2 AND expires > ${databaseNow} FOR KEY SHARE
      ), gone AS MATERIALIZED (
        SELECT worker FROM ${lease} WHERE worker <> $1 AND expires <= ${databaseNow}
          AND EXISTS (SELECT 1 FROM ${operation} o WHERE o.holds AND o.owner = worker)
        FOR NO KEY UPDATE SKIP LOCKED
      )
      SELECT EXISTS (SELECT 1 FROM mine) AS live, ARRAY(SELECT worker FROM gone) AS gone`,
    due: `
      SELECT ${columns} FROM ${operation} o
      WHERE o.holds AND ${due} AND ${free("o.owner = ANY($1::text[])")}
        AND o.id <> ALL($2::text[])
      ORDER BY urgency, sequence LIMIT $3 FOR NO KEY UPDATE OF o SKIP LOCKED`,
    own: `UPDATE ${operation} SET owner = $1, epoch = epoch + 1, version = version + 1 WHERE sequence = ANY($2::bigint[])`
  }
}
