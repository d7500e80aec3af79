/**
 * The tables of the shared store, in a schema of their own. Several workers may start at once. One of them makes or
 * changes the tables within one transaction, while the others wait for its lock. A schema that a newer version wrote,
 * or that is not ours, is refused before anything in it is read or changed.
 */
import * as Effect from "effect/Effect"
import { StoreError } from "@inquorate/core/OperationStore"
import {
  type Connection,
  type PostgresFailure,
  scoped,
  type Site,
  transaction,
  unavailable
} from "./StoreConnection.ts"

/** One step of the schema, within the schema as search path. Step n takes it from version n to n + 1. */
const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE operation (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    operation text NOT NULL,
    state text COLLATE "C" NOT NULL,
    partition_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    -- The write that made this content; tells a write whose answer was lost from another one.
    written uuid NOT NULL,
    owner text COLLATE "C",
    epoch bigint NOT NULL,
    received_at bigint NOT NULL,
    ended_at bigint,
    not_before bigint NOT NULL,
    holds boolean NOT NULL,
    standing boolean NOT NULL,
    urgency smallint NOT NULL
  );
  CREATE INDEX operation_by_state ON operation (state, sequence);
  CREATE INDEX operation_to_do ON operation (urgency, sequence) WHERE holds;
  CREATE INDEX operation_by_owner ON operation (owner) WHERE holds;
  CREATE INDEX operation_live ON operation (sequence) WHERE ended_at IS NULL;
  CREATE INDEX operation_ended ON operation (ended_at, sequence) WHERE ended_at IS NOT NULL AND NOT holds;
  CREATE UNIQUE INDEX operation_standing ON operation (partition_id) WHERE standing;
  CREATE TABLE evidence (
    operation_id text COLLATE "C" NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    written uuid NOT NULL,
    entry text NOT NULL,
    PRIMARY KEY (operation_id, seq)
  );
  CREATE TABLE lease (
    worker text COLLATE "C" PRIMARY KEY,
    incarnation uuid NOT NULL,
    expires bigint NOT NULL,
    -- Makes the incarnation part of a key: a claim can lock it against a copy that takes the id, yet let heartbeats pass.
    UNIQUE (worker, incarnation)
  );
  `,
  `
  CREATE TABLE chaos (
    single boolean PRIMARY KEY CHECK (single),
    state text NOT NULL,
    version bigint NOT NULL,
    driver text COLLATE "C",
    epoch bigint NOT NULL,
    expires bigint NOT NULL
  );
  CREATE TABLE chaos_event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    event text NOT NULL
  );
  `,
  `
  -- False of what an earlier version wrote, which is then looked at; the rules decide.
  ALTER TABLE operation ADD COLUMN shares boolean NOT NULL DEFAULT false;
  CREATE INDEX operation_by_subject ON operation (partition_id) WHERE holds;
  CREATE INDEX operation_exclusive ON operation (sequence) WHERE standing AND NOT shares;
  -- Room beside a row for its next versions, so that a move that changes no indexed column changes no index.
  ALTER TABLE operation SET (fillfactor = 70);
  `
]

/** The newest schema version that this code can read and write. */
export const schemaVersion = migrations.length

/** The table that marks a schema as ours and holds its version in one row. */
export const markTable = "inquorate_schema"

/** Checks that the schema is ours and not newer, and brings it up to date. */
export const prepare = (site: Site): Effect.Effect<void, StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* scoped({ ...site, statement: migrateWithin })
      if ((yield* look(connection, site)) === schemaVersion) return
      yield* transaction(connection, migrate(connection, site))
    })
  ).pipe(Effect.catchTag("PostgresFailure", (failure) => Effect.fail(unavailable(site, failure))))

/** The refusal of a schema that a newer version wrote. */
export const newer = (site: Site, version: number): StoreError =>
  refusal(
    site,
    `was written by a newer version of Inquorate (schema ${version}, this one reads up to ${schemaVersion}). It was left ` +
      "untouched: use the newer version, or give this one a schema of its own."
  )

// --- internal ---

const migrateWithin = 60_000

const refusal = (site: Site, detail: string): StoreError =>
  new StoreError({ reason: "Unavailable", detail: `The store ${site.where} ${detail}` })

/** The version found, 0 for an empty schema, -1 for none. */
const look = (connection: Connection, site: Site): Effect.Effect<number, StoreError | PostgresFailure> =>
  Effect.gen(function* () {
    const { schema } = site
    const { rows } = yield* connection.query<{ there: boolean; marked: boolean; relations: number }>(
      `SELECT n.oid IS NOT NULL AS there, count(c.oid) AS relations,
         coalesce(bool_or(c.relname = $2), false) AS marked
       FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = $1
         LEFT JOIN pg_class c ON c.relnamespace = n.oid
       GROUP BY n.oid`,
      [schema, markTable]
    )
    const { marked, relations, there } = rows[0]!
    if (!there) return -1
    if (!marked && relations > 0) {
      return yield* refusal(site, "holds another program's tables. Name another schema.")
    }
    if (!marked) return 0
    const { rows: versions } = yield* connection.query<{ version: number }>(
      `SELECT version FROM "${schema}".${markTable}`
    )
    const version = versions[0]?.version ?? 0
    return version > schemaVersion ? yield* newer(site, version) : version
  })

const migrate = (connection: Connection, site: Site): Effect.Effect<void, StoreError | PostgresFailure> =>
  Effect.gen(function* () {
    const { schema } = site
    // This waits as long as one statement may take: another worker's migration is waited for here.
    yield* connection.query(`SET LOCAL lock_timeout = ${migrateWithin}`)
    yield* connection.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`inquorate schema ${schema}`])
    const found = yield* look(connection, site)
    if (found === schemaVersion) return
    if (found === -1) yield* connection.query(`CREATE SCHEMA "${schema}"`)
    yield* connection.query(`SET LOCAL search_path = "${schema}"`)
    if (found <= 0) {
      yield* connection.query(
        `CREATE TABLE ${markTable} (version integer NOT NULL); INSERT INTO ${markTable} VALUES (0)`
      )
    }
    for (let version = Math.max(0, found); version < schemaVersion; version++) {
      yield* connection.query(migrations[version]!)
      yield* connection.query(`UPDATE ${markTable} SET version = ${version + 1}`)
    }
  })
