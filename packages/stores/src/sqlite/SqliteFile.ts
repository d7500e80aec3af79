/**
 * The file under the embedded store: one SQLite database in WAL mode with synchronous FULL. One worker at a time has
 * it, by a lock of the kernel. The lock is an exclusive transaction that a second connection keeps open on
 * `<path>.lock`: it dies with the process, and no pid file can go stale. The file tells which lock its worker has, by
 * device and inode, so that a lock that was removed or another name of the file lets nobody in. At every commit the
 * file, its log with its index, and its lock are compared with those that were opened: a file that is gone accepts
 * nothing. A stopped
 * process keeps the file. Once its lease has long run out another process may take the file over; from then on every
 * write of the stopped one is refused. A file that a newer version wrote, that is corrupt, or that is not ours is
 * refused before anything in it is changed.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { DatabaseSync } from "node:sqlite"
import { StoreError } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"

/** One step of the schema. Step n takes a file from version n to n + 1. */
const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE operation (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    partition_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    owner TEXT,
    epoch INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    ended_at INTEGER,
    not_before INTEGER NOT NULL,
    holds INTEGER NOT NULL,
    standing INTEGER NOT NULL,
    urgency INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX operation_by_state ON operation (state, sequence);
  CREATE INDEX operation_to_do ON operation (urgency, sequence) WHERE holds = 1;
  CREATE INDEX operation_live ON operation (sequence) WHERE ended_at IS NULL;
  CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL AND holds = 0;
  CREATE UNIQUE INDEX operation_standing ON operation (partition_id) WHERE standing = 1;
  CREATE TABLE evidence (
    operation_id TEXT NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (operation_id, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lease (
    worker TEXT PRIMARY KEY,
    expires INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE holder (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    token TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE chaos (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    state TEXT NOT NULL,
    version INTEGER NOT NULL,
    driver TEXT,
    epoch INTEGER NOT NULL,
    expires INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE chaos_event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    event TEXT NOT NULL
  ) STRICT;
  `
]

/** The newest schema version that this code can read and write. */
const schemaVersion = migrations.length

/** A file that this process holds. `lost` is asked around each transaction, before anybody hears that it is done. */
export interface Held {
  readonly database: DatabaseSync
  /**
   * Why what is written reaches nobody any more, or null. Another process has taken the file over while this one stood
   * still; or the file, its log, the log's index or the lock was removed, replaced or cut while it was in use.
   */
  readonly lost: () => string | null
}

/**
 * Opens the file for this process alone, brings its schema up to date, and closes it with the scope. Fails with
 * `Unavailable` where another worker has it, a newer version wrote it, or it cannot be opened, and says which and what
 * to do. A worker that has not renewed its lease for long is stopped, not dead; then the file is taken over.
 */
export const open = (given: string, now: Effect.Effect<Instant>): Effect.Effect<Held, StoreError, Scope.Scope> =>
  Effect.mapError(openNamed(given, now), (error) =>
    error.detail === heldByAnother(given).detail
      ? new StoreError({ reason: error.reason, detail: `${error.detail}${holderIn(given)}` })
      : error
  )

const openNamed = (given: string, now: Effect.Effect<Instant>): Effect.Effect<Held, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = given === inMemory ? inMemory : yield* attempt(given, () => checkPath(given))
    if (path !== inMemory) {
      yield* Effect.acquireRelease(
        Effect.catchIf(
          lock(path),
          (error) => error.detail === heldByAnother(path).detail,
          (error) => Effect.flatMap(now, (instant) => takeOver(path, instant, error))
        ),
        (held) => Effect.sync(() => held.close())
      )
    }
    const database = yield* Effect.acquireRelease(
      attempt(path, () => new DatabaseSync(path, { timeout: busyTimeout, enableForeignKeyConstraints: true })),
      (opened) => Effect.sync(() => opened.close())
    )
    yield* refuseForeign(path, database)
    const locked = path === inMemory ? "" : yield* attempt(path, () => identityOf(`${path}.lock`))
    if (path !== inMemory && (yield* heldUnderAnotherLock(path, database, locked, now))) {
      return yield* heldByAnother(path)
    }
    // The lock that its holder has stands beside its name, so that who comes by another lock knows that it is another.
    const token = `${randomUUID()} ${locked} ${process.pid}`
    const holder = yield* attempt(path, () => {
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = ${busyTimeout}`)
      migrate(database)
      database.prepare("INSERT OR REPLACE INTO holder (single, token) VALUES (1, ?)").run(token)
      return database.prepare("SELECT token FROM holder")
    })
    const changed = path === inMemory ? () => null : watchFiles(path)
    return { database, lost: () => (holder.get()?.token === token ? changed() : takenOver(path)) }
  })

/** The store's own words for what SQLite threw. */
export const unavailable = (path: string, thrown: unknown): StoreError =>
  new StoreError({ reason: "Unavailable", detail: `The store ${path} ${explain(thrown)}` })

/** True for SQLite's "a unique index forbids this row". */
export const isUniqueViolation = (thrown: unknown): boolean => errcodeOf(thrown) === constraintUnique

// --- internal ---

const inMemory = ":memory:"
const busyTimeout = 5000
/** "INQU": marks the file as ours, so that no other program's database is ever migrated. */
const applicationId = 0x494e5155
const busy = 5
const constraintUnique = 2067

const attempt = <A>(path: string, run: () => A): Effect.Effect<A, StoreError> =>
  Effect.try({ try: run, catch: (thrown) => unavailable(path, thrown) })

// This makes the folders level by level. Where a file system allows no directory at all (/proc), Node's own recursive
// mkdir tries for ever.
const makeDirectory = (directory: string): void => {
  if (NodeFs.existsSync(directory)) return
  makeDirectory(NodePath.dirname(directory))
  NodeFs.mkdirSync(directory)
}

/** The file's own path, whatever links lead to it: beside it stand the log and the lock. */
const checkPath = (given: string): string => {
  const directory = NodePath.dirname(NodePath.resolve(given))
  makeDirectory(directory)
  const path = NodeFs.existsSync(given)
    ? NodeFs.realpathSync(given)
    : NodePath.join(NodeFs.realpathSync(directory), NodePath.basename(given))
  const found = NodeFs.statSync(path, { throwIfNoEntry: false })
  if (found !== undefined && !found.isFile()) {
    throw new Error("is not a file. Name a file in a directory that the worker may write to.")
  }
  // Its lock and its log stand beside one name of it. Under another name they would not be found.
  if (found !== undefined && found.nlink > 1) {
    throw new Error(
      `is one of ${found.nlink} names of a file (hard links), and beside another one may stand its lock and its log. Remove the others, or copy the file instead.`
    )
  }
  return path
}

/** A file by its device and inode, which no other name of it changes. */
const identityOf = (path: string): string => {
  const { dev, ino } = NodeFs.statSync(path, { bigint: true })
  return `${dev}:${ino}`
}

/**
 * True where the lease of a worker lives that has another lock than ours: ours was removed, or its name is another one.
 */
const heldUnderAnotherLock = (
  path: string,
  database: DatabaseSync,
  locked: string,
  now: Effect.Effect<Instant>
): Effect.Effect<boolean, StoreError> =>
  Effect.gen(function* () {
    const instant = yield* now
    return yield* attempt(path, () => {
      // An empty file has no tables yet.
      if (numberOf(database, "PRAGMA user_version") === 0) return false
      const token = database.prepare("SELECT token FROM holder").get()?.token
      const theirs = typeof token === "string" ? token.split(" ")[1] : undefined
      if (theirs === undefined || theirs === locked) return false
      const expires = database.prepare("SELECT max(expires) AS expires FROM lease").get()?.expires
      return typeof expires === "number" && instant < expires + frozenAfter
    })
  })

interface Seen {
  readonly identity: string
  readonly size: bigint
}

/**
 * Looks whether the file, its log, the index of its log and its lock are those that were opened, by device and inode,
 * and no shorter than they were. None of them ever shrinks while it is open. By the index connections know of one
 * another: whoever opens the file beside an index that is gone makes one of its own, and writes over what we write.
 */
const watchFiles = (path: string): (() => string | null) => {
  const seen = new Map<string, Seen>()
  const look = (name: string, called: string): string | null => {
    const found = NodeFs.statSync(name, { bigint: true, throwIfNoEntry: false })
    const before = seen.get(name)
    const what =
      found === undefined
        ? before === undefined
          ? null
          : "was removed"
        : before !== undefined && before.identity !== `${found.dev}:${found.ino}`
          ? "was replaced"
          : before !== undefined && found.size < before.size
            ? "was cut"
            : null
    if (found !== undefined && what === null)
      seen.set(name, { identity: `${found.dev}:${found.ino}`, size: found.size })
    return what === null ? null : `${called} ${what}`
  }
  const changed = (): string | null =>
    look(path, "its file") ??
    look(`${path}-wal`, "its log (-wal)") ??
    look(`${path}-shm`, "the index of its log (-shm)") ??
    look(`${path}.lock`, "its lock (.lock)")
  const all = (): string | null => {
    try {
      const what = changed()
      return what === null
        ? null
        : `The store ${path} is not the one that was opened: ${what} while this worker used it. This worker must end; restore a copy, or start with a new file.`
    } catch (thrown) {
      return `The store ${path} cannot be looked at any more (${thrown instanceof Error ? thrown.message : String(thrown)}). This worker must end.`
    }
  }
  all()
  return all
}

const takenOver = (path: string): string =>
  `The store ${path} was taken over by another worker while this one stood still. This one must end.`

/** How long after its lease a worker is taken to be stopped for good: well above any pause of a living process. */
const frozenAfter: Millis = 2500

const heldByAnother = (path: string): StoreError =>
  new StoreError({
    reason: "Unavailable",
    detail: `The store ${path} is held by another worker. Stop that worker, or give this one a store of its own.`
  })

/**
 * Takes the file over from a worker that stands still. That one's lock lies on the file it opened, so the name is given
 * to a fresh file. A lock of their own tells two apart who try at once.
 */
const takeOver = (path: string, now: Instant, held: StoreError): Effect.Effect<DatabaseSync, StoreError> =>
  Effect.acquireUseRelease(
    lock(`${path}.takeover`),
    () =>
      Effect.suspend(() => {
        const expired = leaseOf(path)
        if (expired === undefined || now < expired + frozenAfter) return Effect.fail(held)
        return Effect.andThen(
          attempt(path, () => NodeFs.rmSync(`${path}.lock`, { force: true })),
          lock(path)
        )
      }),
    (mutex) => Effect.sync(() => mutex.close())
  ).pipe(Effect.mapError((error) => (error.detail === heldByAnother(`${path}.takeover`).detail ? held : error)))

/** Which worker has the file, by its name and process, as a sentence; empty where the file cannot tell. */
const holderIn = (path: string): string => {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    const { worker } = database.prepare("SELECT worker FROM lease ORDER BY expires DESC LIMIT 1").get() ?? {}
    const { token } = database.prepare("SELECT token FROM holder").get() ?? {}
    const pid = typeof token === "string" ? token.split(" ")[2] : undefined
    const known = [
      ...(typeof worker === "string" ? [`the worker ${worker}`] : []),
      ...(pid === undefined ? [] : [`process ${pid}`])
    ]
    return known.length === 0 ? "" : ` It is ${known.join(", ")}.`
  } catch {
    return ""
  } finally {
    database?.close()
  }
}

/** When the worker's lease ran or runs out; undefined where it has none yet or the file cannot tell. */
const leaseOf = (path: string): Instant | undefined => {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    const row = database.prepare("SELECT max(expires) AS expires FROM lease").get()
    return typeof row?.expires === "number" ? row.expires : undefined
  } catch {
    // A file that cannot be read tells nothing. Then it stays with its worker.
    return undefined
  } finally {
    database?.close()
  }
}

const lock = (path: string): Effect.Effect<DatabaseSync, StoreError> =>
  Effect.suspend(() => {
    let held: DatabaseSync | undefined
    return Effect.try({
      try: () => {
        held = new DatabaseSync(`${path}.lock`, { timeout: 0 })
        held.exec("BEGIN EXCLUSIVE")
        return held
      },
      catch: (thrown) => {
        held?.close()
        return errcodeOf(thrown) === busy ? heldByAnother(path) : unavailable(path, thrown)
      }
    })
  })

const refuseForeign = (path: string, database: DatabaseSync): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const [version, mark, tables] = yield* attempt(path, () => [
      numberOf(database, "PRAGMA user_version"),
      numberOf(database, "PRAGMA application_id"),
      numberOf(database, "SELECT count(*) FROM sqlite_schema")
    ])
    if (mark !== applicationId && tables! > 0) {
      return yield* new StoreError({
        reason: "Unavailable",
        detail: `The store ${path} is a database of another program. Name another file.`
      })
    }
    if (version! > schemaVersion) {
      return yield* new StoreError({
        reason: "Unavailable",
        detail:
          `The store ${path} was written by a newer version of Inquorate (schema ${version}, this one reads up to ` +
          `${schemaVersion}). It was left untouched: use the newer version, or give this one a store of its own.`
      })
    }
  })

const migrate = (database: DatabaseSync): void => {
  for (let version = numberOf(database, "PRAGMA user_version"); version < schemaVersion; version++) {
    database.exec("BEGIN IMMEDIATE")
    try {
      database.exec(migrations[version]!)
      database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version + 1}`)
      database.exec("COMMIT")
    } catch (thrown) {
      database.exec("ROLLBACK")
      throw thrown
    }
  }
}

const numberOf = (database: DatabaseSync, sql: string): number =>
  Number(Object.values(database.prepare(sql).get() ?? {})[0] ?? 0)

const errcodeOf = (thrown: unknown): number | undefined =>
  typeof thrown === "object" && thrown !== null && "errcode" in thrown ? Number(thrown.errcode) : undefined

const explain = (thrown: unknown): string => {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  switch (errcodeOf(thrown)) {
    case 11:
    case 26:
      return `is damaged or not a database (${message}). Move it away and restore a copy, or start with a new file.`
    case 13:
      return `cannot grow (${message}). Free space on its disk.`
    case 8:
    case 14:
      return `cannot be opened or written (${message}). Check that its directory exists and that the worker may write there.`
    case undefined:
      return message.startsWith("is ") || message.startsWith("holds ")
        ? message
        : `cannot be opened (${message}). Check that its directory exists and that the worker may write there.`
    default:
      return `could not be read or written (${message}).`
  }
}
