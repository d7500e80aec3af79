/**
 * Who owns what on the shared store, by the database's own clock. A worker has one lease row under its stable id. The
 * process that has it has an incarnation of its own. The newest start under an id takes the id, with a higher epoch on
 * all that the older one owned. The older one, be it a copy or a ghost, is fenced for good.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as crypto from "node:crypto"
import type { Guid } from "@inquorate/core/Guid"
import type { Operation } from "@inquorate/core/Operation"
import { type Lease, StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import { type Site, transaction } from "./StoreConnection.ts"
import * as Claims from "./PostgresClaims.ts"
import type { Line, Work } from "./PostgresLine.ts"
import { databaseNow, type Rows } from "./PostgresRows.ts"
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
  const statements = statementsOf(site.schema)
  const take = Claims.make(site.schema, rows, incarnation)

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

  return {
    heartbeat,
    release,
    claim: (worker, limit, reaches = () => true) =>
      entered.get(worker) === "Lost"
        ? Effect.suspend(() => lost(worker))
        : claims.once(within, take(worker, limit, reaches)).pipe(
            Effect.filterOrElse(Predicate.isNotNull, () => Effect.fail(lost(worker))),
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

const statementsOf = (schema: string) => {
  const operation = `"${schema}".operation`
  const lease = `"${schema}".lease`
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
      RETURNING id`
  }
}
