/**
 * One connection to the PostgreSQL that several workers share. Nothing waits for a server longer than it is told to. A
 * statement that is given up is cancelled at the server too. What went wrong says whether the statement may have been
 * carried out. No password is in any message.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import { Client, DatabaseError, types } from "pg"
import { StoreError } from "@inquorate/core/OperationStore"
import type { Millis } from "@inquorate/core/Time"
import { bound, shorten, warningLimit } from "./StoreBounds.ts"

/** Where the shared store is, and how long it may take. */
export interface Site {
  /** Server, database and schema for a person; never the password. */
  readonly where: string
  readonly url: Redacted.Redacted
  readonly schema: string
  /** How long one statement may take at the server. */
  readonly statement: Millis
}

/**
 * What PostgreSQL, or the way to it, had against a statement.
 * `Unreachable`: no connection, so nothing was carried out. `Said`: the server answered with the error `code`. `Lost`: no
 * answer came, so a statement that ends a transaction may have been carried out.
 */
export class PostgresFailure extends Schema.TaggedError<PostgresFailure>()("PostgresFailure", {
  reason: Schema.Literals(["Unreachable", "Said", "Lost"]),
  /** PostgreSQL's or the system's code, or empty. */
  code: Schema.String,
  detail: Schema.String,
  /** Whether it happened while the transaction was being committed. */
  committing: Schema.Boolean
}) {}

/** The answer to a statement. */
export interface Reply<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly command: string
  readonly changed: number
  /** What the server warned of meanwhile. */
  readonly warnings: ReadonlyArray<string>
}

/** An open connection, for one statement at a time. */
export interface Connection {
  readonly query: <Row = Record<string, never>>(
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<Reply<Row>, PostgresFailure>
  readonly isOpen: () => boolean
  /** Drops the socket and has the server cancel what it still does for it. */
  readonly abandon: () => void
}

/** What hears of a connection beyond its answers. */
export interface Listener {
  readonly onNotification?: (payload: string) => void
  readonly onEnd?: () => void
}

/** Reads the address. Fails with `Unavailable` where it is none, and does not repeat it. */
export const siteOf = (
  url: string | Redacted.Redacted,
  schema: string,
  statement: Millis
): Effect.Effect<Site, StoreError> =>
  Effect.suspend(() => {
    const secret = typeof url === "string" ? Redacted.make(url) : url
    if (!schemaName.test(schema)) {
      return unusable(
        `The store's schema "${schema}" is no name we use. Choose lower-case letters, digits and _, 40 at most.`
      )
    }
    return Effect.try({
      try: (): Site => {
        const text = Redacted.value(secret)
        if (!/^postgres(ql)?:\/\//.test(text)) throw new Error("another scheme")
        const { database, host, port, user } = new Client({ connectionString: text })
        const where = `postgresql://${user ?? ""}@${host}:${port}/${database ?? ""} (schema ${schema})`
        return { where, url: secret, schema, statement }
      },
      // What was thrown may quote the address with its password.
      catch: () =>
        new StoreError({
          reason: "Unavailable",
          detail: "The store's address is no PostgreSQL URL. Write it as postgresql://user:password@host:5432/database."
        })
    })
  })

/**
 * Connects and sets the session up. A server that takes no writes counts as unreachable. The scope closes the
 * connection.
 */
export const open = (site: Site, listener: Listener = {}): Effect.Effect<Connection, PostgresFailure> =>
  Effect.callback<Connection, PostgresFailure>((resume) => {
    const client = new Client({
      connectionString: Redacted.value(site.url),
      application_name: applicationName,
      connectionTimeoutMillis: connectWithin,
      keepAlive: true,
      types: { getTypeParser: parserOf } as never
    })
    bound(client)
    checkCertificates(client)
    let isOpen = true
    const ended = (): void => {
      if (!isOpen) return
      isOpen = false
      listener.onEnd?.()
    }
    const abandon = (): void => {
      if (isOpen) hangUp(client, state.asked > 0)
      ended()
    }
    const state: SessionState = { asked: 0, warnings: [] }
    client.on("error", ended)
    client.on("end", ended)
    client.on("notice", ({ code, message, severity }) => {
      if (severity !== "WARNING" || state.warnings.length >= warningLimit) return
      state.warnings = [...state.warnings, `${shorten(message ?? "")} (${code ?? ""})`]
    })
    client.on("notification", ({ payload }) => listener.onNotification?.(payload ?? ""))
    client.connect().then(
      () => resume(Effect.succeed(connectionOf(client, site, () => isOpen, abandon, state))),
      (cause: unknown) => {
        client.connection.stream.destroy()
        ended()
        resume(Effect.fail(failureOf(cause, "Unreachable")))
      }
    )
    return Effect.sync(() => {
      client.connection.stream.destroy()
      ended()
    })
  }).pipe(
    Effect.tap((connection) => Effect.onError(setUp(connection, site), () => Effect.sync(() => connection.abandon())))
  )

/** A connection for one piece of work, closed with the scope. */
export const scoped = (site: Site): Effect.Effect<Connection, PostgresFailure, Scope.Scope> =>
  Effect.acquireRelease(open(site), (connection) => Effect.sync(() => connection.abandon()))

/**
 * Runs a body within one transaction. A failure while committing says so, because its outcome is unknown. After any
 * other failure nothing of it stands.
 */
export const transaction = <A, E>(
  connection: Connection,
  body: Effect.Effect<A, E | PostgresFailure>
): Effect.Effect<A, E | PostgresFailure> =>
  connection.query("BEGIN ISOLATION LEVEL READ COMMITTED").pipe(
    Effect.andThen(body),
    Effect.tap(() => commit(connection)),
    Effect.onError(() =>
      connection.isOpen()
        ? Effect.ignore(Effect.onError(connection.query("ROLLBACK"), () => Effect.sync(() => connection.abandon())))
        : Effect.void
    )
  )

/**
 * Runs one statement that is a transaction of its own, so that it takes one message and one answer. A failure says that
 * it may have been committed, unless PostgreSQL refused what the statement says.
 */
export const commitAtOnce = <Row = Record<string, never>>(
  connection: Connection,
  text: string,
  values: ReadonlyArray<unknown>
): Effect.Effect<Reply<Row>, PostgresFailure> =>
  connection.query<Row>(`/* a commit of its own */ ${text}`, values).pipe(
    Effect.filterOrFail(
      ({ warnings }) => warnings.length === 0,
      ({ warnings }) => lostCommit(warnings.join("; "))
    ),
    Effect.mapError(
      ({ code, detail, reason }) =>
        new PostgresFailure({ reason, code, detail, committing: reason === "Lost" || shutdown.test(code) })
    )
  )

/** True where the same statement may succeed a moment later: the server starts, fails over, is busy, or chose a victim. */
export const passes = ({ code, reason }: PostgresFailure): boolean =>
  reason === "Lost" || (reason === "Unreachable" && !lasting.test(code)) || passing.test(code)

/** The store's own words for what PostgreSQL had against a statement. */
export const unavailable = (site: Site, failure: PostgresFailure): StoreError =>
  new StoreError({ reason: "Unavailable", detail: `The store ${site.where} ${explain(failure)}` })

// --- internal ---

const applicationName = "inquorate worker"
const connectWithin: Millis = 3000
/** How much later than the server's own limit a statement is given up here. */
const answerSlack: Millis = 1000
const lockWithin: Millis = 1000
/** This ends the transaction of a worker that was frozen in it. Its locks would keep others from taking over. */
const idleInTransaction: Millis = 2000
const oldestServer = 12
const schemaName = /^[a-z_][a-z0-9_]{0,39}$/
const int8 = 20

const parserOf = (oid: number, format?: "text"): unknown => (oid === int8 ? Number : types.getTypeParser(oid, format))

/** Not reachable for good: the address, the password, the database or the server's kind is wrong. */
const lasting = /^(28|3D|ENOTFOUND|EACCES|notours|nopassword)/
/** Serialization, deadlock, locks, time-outs, shutdown and start, too many connections, a server that became a standby. */
const passing = /^(40|55P03|57P0|57014|25P03|53300|08|25006)/

/** The server ended the session, perhaps while a commit waited for its standbys. */
const shutdown = /^57P/

const unusable = (detail: string): Effect.Effect<never, StoreError> =>
  Effect.fail(new StoreError({ reason: "Unavailable", detail }))

interface SessionState {
  /** How many statements are unanswered. */
  asked: number
  warnings: ReadonlyArray<string>
}

const failureOf = (cause: unknown, otherwise: "Unreachable" | "Lost"): PostgresFailure => {
  const message = shorten(cause instanceof Error ? cause.message : String(cause))
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  if (cause instanceof DatabaseError) {
    // After these the server closes the connection; the statement itself was answered.
    return new PostgresFailure({
      reason: otherwise === "Unreachable" ? "Unreachable" : "Said",
      code,
      detail: message,
      committing: false
    })
  }
  const noPassword = /password must be a (non-empty )?string/i.test(message)
  return new PostgresFailure({
    reason: otherwise,
    code: noPassword ? "nopassword" : code,
    detail: message,
    committing: false
  })
}

const connectionOf = (
  client: Client,
  site: Site,
  isOpen: () => boolean,
  abandon: () => void,
  state: SessionState
): Connection => ({
  isOpen,
  abandon,
  query: <Row>(text: string, values: ReadonlyArray<unknown> = []) =>
    Effect.callback<Reply<Row>, PostgresFailure>((resume) => {
      state.warnings = []
      state.asked++
      const answer = values.length === 0 ? client.query(text) : client.query(text, [...values])
      answer.then(
        ({ command, rowCount, rows }) => {
          state.asked--
          const { warnings } = state
          resume(Effect.succeed({ rows: rows as ReadonlyArray<Row>, command, changed: rowCount ?? 0, warnings }))
        },
        (cause: unknown) => {
          state.asked--
          resume(Effect.fail(failureOf(cause, "Lost")))
        }
      )
      return Effect.sync(abandon)
    }).pipe(
      Effect.timeoutOrElse({
        duration: site.statement + answerSlack,
        orElse: () =>
          Effect.fail(
            new PostgresFailure({
              reason: "Lost",
              code: "",
              detail: `no answer within ${site.statement + answerSlack} ms`,
              committing: false
            })
          )
      })
    )
})

const lostCommit = (detail: string): PostgresFailure =>
  new PostgresFailure({ reason: "Lost", code: "", detail, committing: true })

const commit = (connection: Connection): Effect.Effect<void, PostgresFailure> =>
  connection.query("COMMIT").pipe(
    Effect.flatMap(({ command, warnings }) =>
      // A commit that was cancelled while it waited for its standbys succeeds with a warning, and may still be lost.
      command === "COMMIT" && warnings.length === 0
        ? Effect.void
        : Effect.fail(lostCommit(warnings.join("; ") || `COMMIT was answered with ${command}`))
    ),
    Effect.mapError(({ code, detail, reason }) => new PostgresFailure({ reason, code, detail, committing: true }))
  )

// The address says whether the server's certificate is checked. NODE_TLS_REJECT_UNAUTHORIZED in the worker's environment
// would turn that off. The key in these options cannot be copied, so they are changed where they stand.
const checkCertificates = (client: Client): void => {
  const wire = client.connection as unknown as { ssl: boolean | { rejectUnauthorized?: boolean } }
  if (wire.ssl === true) wire.ssl = { rejectUnauthorized: true }
  else if (typeof wire.ssl === "object") wire.ssl.rejectUnauthorized ??= true
}

const refuse = (code: string, detail: string): Effect.Effect<never, PostgresFailure> =>
  Effect.fail(new PostgresFailure({ reason: "Unreachable", code, detail, committing: false }))

// Role, database and environment may have set anything. So names are made PostgreSQL's own, a cancelled commit says so,
// a commit waits for what the cluster waits for, and nothing but the limits given here ends a session or a statement.
const setUp = (connection: Connection, site: Site): Effect.Effect<void, PostgresFailure> =>
  connection
    .query<{ standby: boolean; read_only: string; encoding: string; version: number }>(
      `SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),
         set_config('idle_in_transaction_session_timeout', $3, false),
         set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
           THEN 'on' ELSE current_setting('synchronous_commit') END, false),
         set_config('client_min_messages', 'warning', false),
         set_config('default_transaction_isolation', 'read committed', false), set_config('search_path', 'pg_catalog, pg_temp', false),
         set_config('standard_conforming_strings', 'on', false),
         (SELECT count(set_config(name, '0', false)) FROM pg_settings
           WHERE name IN ('idle_session_timeout', 'transaction_timeout')),
         pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only,
         current_setting('server_encoding') AS encoding, current_setting('server_version_num')::int AS version`,
      [String(site.statement), String(lockWithin), String(idleInTransaction)]
    )
    .pipe(
      Effect.flatMap(({ rows }) => {
        const found = rows[0]!
        if (found.standby) return refuse("25006", "it is a standby")
        if (found.read_only === "on") return refuse("25006", "its transactions are read-only")
        if (found.encoding !== "UTF8") return refuse("notours", `its encoding is ${found.encoding}, not UTF8`)
        return found.version < oldestServer * 10_000
          ? refuse("notours", `it runs PostgreSQL ${Math.trunc(found.version / 10_000)}, older than ${oldestServer}`)
          : Effect.void
      })
    )

// Says goodbye without waiting for the server to hear it. A socket that waits for a stopped server would keep the
// process from ending.
const hangUp = (client: Client, busy: boolean): void => {
  const stream = client.connection.stream as net.Socket
  if (busy) {
    cancel(client)
    stream.destroy()
  } else stream.end(Buffer.from([0x58, 0, 0, 0, 4]), () => stream.destroy())
}

// This is a request of its own over a connection of its own (protocol 3.0, CancelRequest). There is no answer to wait
// for.
const cancel = (client: Client): void => {
  const { host, port, processID, secretKey } = client as unknown as {
    readonly host: string
    readonly port: number
    readonly processID: number | null
    readonly secretKey: number | null
  }
  if (typeof processID !== "number" || typeof secretKey !== "number") return
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80_877_102, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = host.startsWith("/") ? net.connect(`${host}/.s.PGSQL.${port}`) : net.connect(port, host)
  socket.setTimeout(connectWithin, () => socket.destroy())
  socket.on("error", () => socket.destroy())
  socket.unref()
  socket.end(request)
}

const explain = ({ code, detail, reason }: PostgresFailure): string => {
  const said = code === "" || /^(notours|nopassword)$/.test(code) ? detail : `${detail}, ${code}`
  if (code === "notours") return `cannot be used: ${detail}. Name another database.`
  if (code === "nopassword") return "asks for a password and none was given. Put it into the address."
  if (code.startsWith("28")) return `refused to let us in (${said}). Check user and password, and pg_hba.conf.`
  if (code === "3D000") return `does not exist (${said}). Create the database, or name another.`
  if (code === "25006") return `takes no writes (${said}). Name the primary.`
  if (code === "42501") {
    return `does not let us (${said}). Grant CREATE on the database, or make the schema and grant ALL on it and its tables.`
  }
  if (code.startsWith("53")) return `has no room for us (${said}). Free disk space or connections on its server.`
  if (reason === "Unreachable") {
    return `cannot be reached (${said}). Check that PostgreSQL runs there and that the address is right.`
  }
  if (reason === "Lost") return `did not answer (${said}). Check that its server, and the standbys it waits for, run.`
  return `could not be read or written (${said}).`
}
