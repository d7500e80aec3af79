/**
 * How a worker takes operations on the shared store. Nearly always nothing waits but what no worker has begun. That is
 * read, judged, and then owned by a statement that looks again whether it is still as it was read: two messages, and no
 * lock on anybody's lease. What an owner let go or lost is taken in a transaction, under locks that make it exact: a claim
 * locks the leases that it found run out. So a heartbeat either comes before, and the lease is not run out, or waits and
 * then sees what was taken. Either way a claim locks its own lease's key, so that nothing can be claimed under an id that
 * a newer start is just taking.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Guid } from "@inquorate/core/Guid"
import { type Operation, pauseMost } from "@inquorate/core/Operation"
import { type StoreError, type Stored, waitingUrgency } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import { commitAtOnce, type Connection, type PostgresFailure, transaction } from "./StoreConnection.ts"
import type { Work } from "./PostgresLine.ts"
import { columns, databaseNow, type Row, type Rows } from "./PostgresRows.ts"

/** What a claim took, and what it found and could not read. */
export interface Taken {
  readonly taken: ReadonlyArray<Stored>
  readonly unreadable: ReadonlyArray<StoreError>
}

/** Takes up to `limit` operations for a worker; null where the worker's id is another process's now. */
export type Take = (worker: string, limit: number, reaches: Reaches) => Work<Taken | null>

/** Makes the claims of one process, which owns its leases under this incarnation. */
export const make = (schema: string, rows: Rows, incarnation: string): Take => {
  const context: Claims = {
    rows,
    incarnation,
    statements: statementsOf(schema),
    reported: new Set(),
    outOfReach: new Map()
  }
  return (worker, limit, reaches) => (connection) =>
    take(context, { worker, limit, reaches, looks: looksMore }, connection)
}

// --- internal ---

type Reaches = (operation: Operation) => boolean

interface Claims {
  readonly rows: Rows
  readonly incarnation: string
  readonly statements: ReturnType<typeof statementsOf>
  /** What could not be read, and was told. */
  readonly reported: Set<Guid>
  /** Until when what a worker cannot reach is stepped over, by worker, so that it keeps nothing behind it waiting. */
  readonly outOfReach: Map<string, Map<Guid, Instant>>
}

interface Wish {
  readonly worker: string
  readonly limit: number
  readonly reaches: Reaches
  /** How often it is looked on behind what was stepped over. */
  readonly looks: number
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

/** How long an operation that could not be reached is left to others before it is looked at again. */
const lookAgainAfter: Millis = 5000
/** How often one claim looks on behind what it stepped over. */
const looksMore = 8

const take = (claims: Claims, wish: Wish, connection: Connection): Effect.Effect<Taken | null, PostgresFailure> =>
  Effect.gen(function* () {
    const { limit, looks, worker } = wish
    const { incarnation, statements } = claims
    const skipped = yield* steppedOver(claims, worker)
    const { rows: found } = yield* connection.query<Look & (Row | Record<keyof Row, null>)>(statements.look, [
      worker,
      incarnation,
      skipped,
      limit
    ])
    const { begun, live, mine } = found[0]!
    if (mine === false) return null
    if (live !== true) return nothing
    if (begun) return yield* transaction(connection, takeDue(claims, wish, skipped, connection))
    const waiting = found.filter((row): row is Look & Row => row.id !== null)
    if (waiting.length === 0) return nothing
    const { readable, unreadable } = yield* judge(claims, wish, waiting)
    const owned = yield* ownWaiting(claims, worker, readable, connection)
    const taken = readable.filter(({ row }) => owned.has(row.sequence)).map(({ stored }) => stored)
    // Another worker was quicker, or some were stepped over. Behind them there may be more.
    if (looks === 0 || taken.length === waiting.length) return { taken, unreadable }
    return both({ taken, unreadable }, yield* take(claims, further(wish, taken), connection))
  })

/** Owns those of these rows that nobody has changed since they were read. Gives their sequences. */
const ownWaiting = (
  { incarnation, statements }: Claims,
  worker: string,
  readable: Judged["readable"],
  connection: Connection
): Effect.Effect<ReadonlySet<number>, PostgresFailure> =>
  readable.length === 0
    ? Effect.succeed(new Set())
    : Effect.map(
        commitAtOnce<{ sequence: number }>(connection, statements.ownWaiting, [
          worker,
          incarnation,
          readable.map(({ row }) => row.sequence),
          readable.map(({ row }) => row.version)
        ]),
        ({ rows }) => new Set(rows.map(({ sequence }) => sequence))
      )

const takeDue = (
  claims: Claims,
  wish: Wish,
  skipped: ReadonlyArray<Guid>,
  connection: Connection
): Effect.Effect<Taken, PostgresFailure> =>
  Effect.gen(function* () {
    const { limit, looks, worker } = wish
    const { incarnation, statements } = claims
    const { rows: locked } = yield* connection.query<{ live: boolean; gone: ReadonlyArray<string> }>(
      statements.lockLeases,
      [worker, incarnation]
    )
    if (!locked[0]!.live) return nothing
    const { rows: due } = yield* connection.query<Row>(statements.due, [locked[0]!.gone, skipped, limit])
    const { readable, unreadable } = yield* judge(claims, wish, due)
    if (readable.length > 0) {
      yield* connection.query(statements.own, [worker, readable.map(({ row }) => row.sequence)])
    }
    const taken = readable.map(({ stored }) => stored)
    // Behind what was stepped over there may be more. The next poll finds what a few looks do not.
    if (looks === 0 || taken.length === due.length) return { taken, unreadable }
    const seen = [...skipped, ...due.map(({ id }) => id)]
    return both({ taken, unreadable }, yield* takeDue(claims, further(wish, taken), seen, connection))
  })

/** Reads rows as they will be once the worker owns them. What it cannot read or reach is stepped over from now on. */
const judge = (claims: Claims, { reaches, worker }: Wish, found: ReadonlyArray<Row>): Effect.Effect<Judged> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const readable: Array<Judged["readable"][number]> = []
    const unreadable: Array<StoreError> = []
    for (const row of found) {
      const one = claims.rows.decode({ ...row, owner: worker, epoch: row.epoch + 1, version: row.version + 1 })
      if (Result.isFailure(one)) {
        // It is told once, or it would keep every other one waiting.
        claims.reported.add(row.id)
        unreadable.push(one.failure)
      } else if (reaches(one.success.operation)) readable.push({ row, stored: one.success })
      else passedOver(claims, worker).set(row.id, now + lookAgainAfter)
    }
    return { readable, unreadable }
  })

const passedOver = ({ outOfReach }: Claims, worker: string): Map<Guid, Instant> => {
  const known = outOfReach.get(worker) ?? new Map<Guid, Instant>()
  outOfReach.set(worker, known)
  return known
}

const steppedOver = (claims: Claims, worker: string): Effect.Effect<ReadonlyArray<Guid>> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const over = passedOver(claims, worker)
    for (const [id, until] of over) if (until <= now) over.delete(id)
    return [...claims.reported, ...over.keys()]
  })

const further = (wish: Wish, taken: ReadonlyArray<Stored>): Wish => ({
  ...wish,
  limit: wish.limit - taken.length,
  looks: wish.looks - 1
})

const both = (first: Taken, rest: Taken | null): Taken =>
  rest === null
    ? first
    : { taken: [...first.taken, ...rest.taken], unreadable: [...first.unreadable, ...rest.unreadable] }

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
      ), locked AS MATERIALIZED (
        -- By the key alone, or a planner that believes that nothing waits would look through all that does.
        SELECT o.sequence, o.version, o.holds, o.urgency, o.owner FROM ${operation} o
        WHERE o.sequence = ANY($3::bigint[]) AND EXISTS (SELECT 1 FROM mine)
        FOR NO KEY UPDATE OF o SKIP LOCKED
      ), taken AS MATERIALIZED (
        SELECT o.sequence FROM locked o
          JOIN unnest($3::bigint[], $4::bigint[]) AS w(sequence, version)
          ON w.sequence = o.sequence AND w.version = o.version
        WHERE o.holds AND ${waiting}
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
