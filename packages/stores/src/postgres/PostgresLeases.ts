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
import { type Lease, StoreError, type Stored, waitingUrgency } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import { commitAtOnce, type Site, transaction } from "./StoreConnection.ts"
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

  // Nearly always nothing waits but what no worker has begun. That is read, judged, and then owned by a statement that
  // looks again whether it is still as it was read. What an owner let go or lost is taken under locks.
  const take =
    (worker: string, limit: number, reaches: (operation: Operation) => boolean, looks: number): Work<Taken> =>
    (connection) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const over = passedOver(worker)
        for (const [id, until] of over) if (until <= now) over.delete(id)
        const skipped = [...reported, ...over.keys()]
        const { rows: found } = yield* connection.query<Look & (Row | Record<keyof Row, null>)>(statements.look, [
          worker,
          incarnation,
          skipped,
          limit
        ])
        const { begun, live, mine } = found[0]!
        if (mine === false) return yield* lost(worker)
        if (live !== true) return nothing
        if (begun) return yield* transaction(connection, takeDue(worker, limit, skipped, reaches, looks)(connection))
        const waiting = found.filter((row): row is Look & Row => row.id !== null)
        const { readable, unreadable } = yield* judge(worker, waiting, reaches)
        if (waiting.length === 0) return { taken: [], unreadable }
        const { rows: own } =
          readable.length === 0
            ? { rows: [] }
            : yield* commitAtOnce<{ sequence: number }>(connection, statements.ownWaiting, [
                worker,
                incarnation,
                readable.map(({ row }) => row.sequence),
                readable.map(({ row }) => row.version)
              ])
        const owned = new Set(own.map(({ sequence }) => sequence))
        const taken = readable.filter(({ row }) => owned.has(row.sequence)).map(({ stored }) => stored)
        // Another worker was quicker, or some were stepped over. Behind them there may be more.
        if (looks === 0 || taken.length === waiting.length) return { taken, unreadable }
        const rest = yield* take(worker, limit - taken.length, reaches, looks - 1)(connection)
        return { taken: [...taken, ...rest.taken], unreadable: [...unreadable, ...rest.unreadable] }
      })

  /** Reads rows as they will be once this worker owns them. What it cannot read or reach is stepped over from now on. */
  const judge = (worker: string, found: ReadonlyArray<Row>, reaches: (operation: Operation) => boolean) =>
    Effect.map(Clock.currentTimeMillis, (now): Judged => {
      const readable: Array<Judged["readable"][number]> = []
      const unreadable: Array<StoreError> = []
      for (const row of found) {
        const one = rows.decode({ ...row, owner: worker, epoch: row.epoch + 1, version: row.version + 1 })
        if (Result.isFailure(one)) {
          // It is told once, or it would keep every other one waiting.
          reported.add(row.id)
          unreadable.push(one.failure)
        } else if (reaches(one.success.operation)) readable.push({ row, stored: one.success })
        else passedOver(worker).set(row.id, now + lookAgainAfter)
      }
      return { readable, unreadable }
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
        const { readable, unreadable } = yield* judge(worker, due, reaches)
        if (readable.length > 0)
          yield* connection.query(statements.own, [worker, readable.map(({ row }) => row.sequence)])
        const taken = readable.map(({ stored }) => stored)
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
        : claims.once(within, take(worker, limit, reaches, looksMore)).pipe(
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

/** Rows that a claim may take, and what could not be read. */
interface Judged {
  readonly readable: ReadonlyArray<{ readonly row: Row; readonly stored: Stored }>
  readonly unreadable: ReadonlyArray<StoreError>
}

/** What a claim sees before it takes anything. */
interface Look {
  /** Whether the worker's id is this process's; null where it has no lease. */
  readonly mine: boolean | null
  /** Whether its lease has not run out; null where it has none. */
  readonly live: boolean | null
  /** Whether anything is due that some worker has begun or owns. */
  readonly begun: boolean
}

const nothing: Taken = { taken: [], unreadable: [] }

const statementsOf = (schema: string) => {
  const operation = `"${schema}".operation`
  const lease = `"${schema}".lease`
  // An owner without a lease row is nobody.
  const free = (gone: string): string =>
    `(o.owner IS NULL OR ${gone} OR NOT EXISTS (SELECT 1 FROM ${lease} l WHERE l.worker = o.owner))`
  const waiting = `o.urgency = ${waitingUrgency} AND o.owner IS NULL`
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
      WITH begun AS MATERIALIZED (
        SELECT EXISTS (
          SELECT 1 FROM ${operation} o
          WHERE o.holds AND NOT (${waiting}) AND ${due} AND o.id <> ALL($3::text[])
            AND ${free(`EXISTS (SELECT 1 FROM ${lease} l WHERE l.worker = o.owner AND l.expires <= ${databaseNow})`)}
        ) AS any
      )
      SELECT l.incarnation = $2::uuid AS mine, l.expires > ${databaseNow} AS live, b.any AS begun, w.*
      FROM begun b LEFT JOIN ${lease} l ON l.worker = $1 LEFT JOIN LATERAL (
        SELECT ${columns} FROM ${operation} o
        WHERE NOT b.any AND o.holds AND ${waiting} AND ${due} AND o.id <> ALL($3::text[])
        ORDER BY o.sequence LIMIT $4
      ) w ON true ORDER BY w.sequence`,
    ownWaiting: `
      WITH mine AS MATERIALIZED (
        SELECT 1 FROM ${lease} WHERE worker = $1 AND incarnation = $2 AND expires > ${databaseNow} FOR KEY SHARE
      ), taken AS MATERIALIZED (
        SELECT o.sequence FROM ${operation} o
          JOIN unnest($3::bigint[], $4::bigint[]) AS w(sequence, version)
          ON w.sequence = o.sequence AND w.version = o.version
        WHERE EXISTS (SELECT 1 FROM mine) AND o.holds AND ${waiting}
        FOR NO KEY UPDATE OF o SKIP LOCKED
      )
      UPDATE ${operation} o SET owner = $1, epoch = epoch + 1, version = o.version + 1
      FROM taken t WHERE o.sequence = t.sequence RETURNING o.sequence`,
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
