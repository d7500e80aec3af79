/**
 * Core's `ChaosStore` on the PostgreSQL that several workers share. Whoever writes the state locks its row, and the
 * database's clock counts the right to drive.
 */
import * as Effect from "effect/Effect"
import { ChaosStore, type StoredChaos } from "@inquorate/core/ChaosStore"
import type { StoreError } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import {
  chaosConflict,
  type ChaosEventRow,
  chaosFenced,
  type ChaosRow,
  initialJson,
  readEvent,
  readState,
  writeEvent,
  writeState
} from "../ChaosRows.ts"
import { type Connection, type PostgresFailure, type Site, transaction } from "./StoreConnection.ts"
import type { Line } from "./PostgresLine.ts"
import { databaseNow } from "./PostgresRows.ts"

/** What stands under it. Its lines may be those of other work. */
export interface PostgresChaosOptions {
  readonly site: Site
  readonly reads: Line
  readonly writes: Line
  readonly within: Millis
}

/** Makes the store of chaos on a schema that is up to date. */
export const make = ({ reads, site, within, writes }: PostgresChaosOptions): ChaosStore["Service"] => {
  const chaos = `"${site.schema}".chaos`
  const event = `"${site.schema}".chaos_event`
  const columns = "state, version, driver, epoch"
  const decode = (row: ChaosRow): Effect.Effect<StoredChaos, StoreError> =>
    Effect.fromResult(readState(site.where, row))

  /** The row under a lock; written first where there is none yet. */
  const locked = (connection: Connection): Effect.Effect<ChaosRow & { readonly live: boolean }, PostgresFailure> =>
    Effect.gen(function* () {
      const look = `SELECT ${columns}, expires > ${databaseNow} AS live FROM ${chaos} FOR UPDATE`
      const { rows } = yield* connection.query<ChaosRow & { readonly live: boolean }>(look)
      if (rows[0] !== undefined) return rows[0]
      yield* connection.query(
        `INSERT INTO ${chaos} (single, state, version, epoch, expires) VALUES (true, $1, 0, 0, 0) ON CONFLICT DO NOTHING`,
        [initialJson]
      )
      return (yield* connection.query<ChaosRow & { readonly live: boolean }>(look)).rows[0]!
    })

  return ChaosStore.of({
    now: reads.repeatable(within, (connection) =>
      Effect.map(
        connection.query<{ readonly now: Instant }>(`SELECT ${databaseNow} AS now`),
        ({ rows }) => rows[0]!.now
      )
    ),
    read: reads.repeatable(within, (connection) =>
      Effect.flatMap(connection.query<ChaosRow>(`SELECT ${columns} FROM ${chaos}`), ({ rows }) =>
        decode(rows[0] ?? { state: initialJson, version: 0, driver: null, epoch: 0 })
      )
    ),
    save: (stored, state, events, as) =>
      // It is not done again once its commit was sent: a repeated append would tell everything twice.
      writes.once(within, (connection) =>
        transaction(
          connection,
          Effect.gen(function* () {
            const { driver, epoch, version } = yield* locked(connection)
            if (as !== null && (driver !== as.driver || epoch !== as.epoch)) return yield* chaosFenced()
            if (version !== stored.version) return yield* chaosConflict()
            yield* connection.query(`UPDATE ${chaos} SET state = $1, version = version + 1`, [writeState(state)])
            if (events.length > 0) {
              yield* connection.query(
                `INSERT INTO ${event} (at, event) SELECT at, event
                   FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS given (at, event, place) ORDER BY place`,
                [events.map(({ TimeStampUtc }) => Date.parse(TimeStampUtc)), events.map((one) => writeEvent(one))]
              )
            }
            return { state, version: version + 1, driver, epoch }
          })
        )
      ),
    drive: (driver, lease) =>
      writes.repeatable(within, (connection) =>
        transaction(
          connection,
          Effect.gen(function* () {
            const before = yield* locked(connection)
            if (before.driver !== null && before.driver !== driver && before.live) return null
            const epoch = before.driver === driver ? before.epoch : before.epoch + 1
            yield* connection.query(
              `UPDATE ${chaos} SET driver = $1, epoch = $2, expires = ${databaseNow} + $3::bigint`,
              [driver, epoch, lease]
            )
            return yield* decode({ ...before, driver, epoch })
          })
        )
      ),
    release: (driver) =>
      Effect.asVoid(
        writes.repeatable(within, (connection) =>
          connection.query(`UPDATE ${chaos} SET driver = NULL, expires = 0 WHERE driver = $1`, [driver])
        )
      ),
    events: ({ after, from, limit, to }) =>
      reads.repeatable(within, (connection) =>
        connection
          .query<ChaosEventRow>(
            `SELECT sequence, at, event FROM ${event}
               WHERE sequence > $1 AND ($2::bigint IS NULL OR at >= $2) AND ($3::bigint IS NULL OR at <= $3)
               ORDER BY sequence LIMIT $4`,
            [after, from, to, limit]
          )
          .pipe(Effect.map(({ rows }) => rows.map((row) => readEvent(site.where, row))))
      ),
    prune: (keepAtMost) =>
      writes.repeatable(within, (connection) =>
        Effect.map(
          connection.query(
            `DELETE FROM ${event} WHERE sequence <= (
               SELECT sequence FROM ${event} ORDER BY sequence DESC LIMIT 1 OFFSET $1)`,
            [keepAtMost]
          ),
          ({ changed }) => changed
        )
      )
  })
}
