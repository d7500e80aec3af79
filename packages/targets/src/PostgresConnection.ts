/**
 * One connection to one PostgreSQL server, and the session that asks one question over it again and again. An asker
 * waits for a server that is stopped only as long as he was told to. The question goes on alone, and whoever asks while
 * it is still open waits for the same answer. What a connection needs (password, certificates, service) is read anew
 * for each connection, so that a rotated secret is used without a restart.
 */
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client, type ClientConfig, DatabaseError } from "pg"
import { monotonicMillis } from "./Monotonic.ts"
import * as OpenQuestion from "./OpenQuestion.ts"
import type * as Patience from "./Patience.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import * as PostgresBounds from "./PostgresBounds.ts"
import * as PostgresSession from "./PostgresSession.ts"
import * as PostgresTls from "./PostgresTls.ts"

/** Where and as whom to connect, as read for one connection. */
export interface Login {
  /** The endpoints, tried in this order until one takes the connection. */
  readonly endpoints: readonly [PostgresAddress.Endpoint, ...ReadonlyArray<PostgresAddress.Endpoint>]
  readonly user: string
  /** The password for this endpoint, or null. Throws where it cannot be read from its place. */
  readonly password: (endpoint: PostgresAddress.Endpoint) => Redacted.Redacted | null
  readonly database: string
  readonly tls: PostgresTls.TlsSettings
}

/** How to connect to one member. */
export interface ConnectionSettings {
  /** The member's address, for a person. */
  readonly address: string
  readonly applicationName: string
  /** Reads what the next connection needs. Throws, in words for a person, where that cannot be read. */
  readonly login: () => Login
}

/**
 * `Unreachable`: no connection. `Rejected`: the server or the configuration did not let us in. `Lost`: the connection
 * ended while the question was open, which the server may have carried out. `Failed`: the server answered with an
 * error. `TimedOut`: no answer in time; with code `ETIMEDOUT` not even a connection. `code` is PostgreSQL's or the
 * system's; it may be empty.
 */
export class ConnectionError extends Schema.TaggedError<ConnectionError>()("ConnectionError", {
  reason: Schema.Literals(["Unreachable", "Rejected", "Lost", "Failed", "TimedOut"]),
  code: Schema.String,
  detail: Schema.String
}) {}

/** What a statement gave. `warnings` holds what else the server said, above the level of a notice. */
export interface Reply {
  readonly rows: ReadonlyArray<unknown>
  readonly warnings: ReadonlyArray<string>
}

/** An open connection, for one statement at a time. */
export interface Connection {
  /** The number of the server's process that serves this connection. */
  readonly backend: number
  /** Sends a statement. Interruption gives up the wait, not the statement. */
  readonly query: (text: string, values?: ReadonlyArray<unknown>) => Effect.Effect<Reply, ConnectionError>
  readonly isOpen: () => boolean
  /** Drops the socket at once. A server that is stopped may not notice. */
  readonly destroy: () => void
}

/**
 * Connects, however long that takes, and makes the session one of ours. Interruption drops the socket. `onReached` is
 * called once the network has made a connection, whoever answers on it.
 */
export const open = (
  settings: ConnectionSettings,
  onReached: () => void = () => {}
): Effect.Effect<Connection, ConnectionError> =>
  Effect.gen(function* () {
    const login = yield* Effect.try({ try: settings.login, catch: unreadable })
    const problems: Array<ConnectionError> = []
    for (const endpoint of login.endpoints) {
      const tried = openAt(settings, login, endpoint, onReached)
      const isLast = endpoint === login.endpoints.at(-1)
      const made = yield* Effect.result(
        isLast ? tried : Effect.timeoutOrElse(tried, { duration: nextAddressAfter, orElse: () => notYet })
      )
      if (Result.isSuccess(made)) return made.success
      const problem = made.failure
      // The first server that answers decides. The next address is tried only where none answers.
      if (problem.reason !== "Unreachable" || /^\d/.test(problem.code)) return yield* problem
      problems.push(problem)
    }
    const [first] = problems
    if (problems.length === 1) return yield* first!
    const detail = problems
      .map((problem, index) => `${PostgresAddress.print(login.endpoints[index]!)}: ${problem.detail}`)
      .join("; ")
    return yield* new ConnectionError({ reason: "Unreachable", code: first!.code, detail })
  })

/** Asks one question over one connection, which it opens when there is none. */
export interface Session {
  /** The answer, within the session's patience. Everyone who asks while the question is open gets the same answer. */
  readonly ask: Effect.Effect<Reply & { readonly backend: number }, ConnectionError>
  /** The session's connection, where it is open. */
  readonly connection: () => Connection | undefined
  /** How long its last connection took to be made, in milliseconds; 0 before the first. */
  readonly connecting: () => Millis
}

/**
 * A session with a question. After `patience` an asker gets `TimedOut`. After `giveUp` ms the next asker reconnects.
 * The patience is told how long each answer took.
 */
export const session = Effect.fnUntraced(function* (
  settings: ConnectionSettings,
  text: string,
  { giveUp, patience }: { readonly patience: Pick<Patience.Patience, "within" | "took">; readonly giveUp: number }
): Effect.fn.Return<Session, never, Scope.Scope> {
  let connection: Connection | undefined
  let reached = false
  let connecting = 0
  yield* Effect.addFinalizer(() => Effect.sync(() => connection?.destroy()))

  const exchange = Effect.gen(function* () {
    if (connection?.isOpen() !== true) {
      reached = false
      const onReached = (): void => {
        reached = true
      }
      const began = yield* monotonicMillis
      yield* Effect.uninterruptibleMask((restore) =>
        Effect.map(restore(open(settings, onReached)), (opened) => {
          connection = opened
        })
      )
      connecting = (yield* monotonicMillis) - began
    }
    const current = connection!
    const reply = yield* Effect.onInterrupt(current.query(text), () => Effect.sync(current.destroy))
    return { ...reply, backend: current.backend }
  })
  const late = (after: number): ConnectionError =>
    new ConnectionError({
      reason: "TimedOut",
      code: reached ? "" : "ETIMEDOUT",
      detail: reached
        ? `${settings.address} did not answer within ${after} ms`
        : `no connection to ${settings.address} was made within ${after} ms`
    })
  const ask = yield* OpenQuestion.make(exchange, { giveUp: () => giveUp, late, took: patience.took })
  return {
    ask: Effect.suspend(() => ask(patience.within())),
    connection: () => (connection?.isOpen() === true ? connection : undefined),
    connecting: () => connecting
  }
})

// --- internal ---

/** How long an address may take to let us in before we try the member's next one, in milliseconds. */
const nextAddressAfter = 300

const notYet = Effect.fail(
  new ConnectionError({
    reason: "Unreachable",
    code: "ETIMEDOUT",
    detail: `no connection within ${nextAddressAfter} ms`
  })
)

const unreadable = (cause: unknown): ConnectionError =>
  new ConnectionError({ reason: "Rejected", code: "", detail: (cause as Error).message })

/** A refusal, and what decides whether the other kind of connection is tried. */
interface Failure {
  readonly error: ConnectionError
  /** True where the server has no TLS, the handshake failed, or the server let nobody in. */
  readonly otherKindMayHelp: boolean
  readonly lacksTls: boolean
}

const openAt = (
  settings: ConnectionSettings,
  login: Login,
  endpoint: PostgresAddress.Endpoint,
  onReached: () => void
): Effect.Effect<Connection, ConnectionError> =>
  Effect.gen(function* () {
    const mode = PostgresAddress.isSocket(endpoint) ? "disable" : PostgresTls.modeOf(login.tls)
    const failures: Array<Failure> = []
    for (const attempt of PostgresTls.attempts(mode)) {
      // Nothing may interrupt between the opening of a connection and the setup of what drops it.
      const made = yield* Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Effect.result(restore(connect(settings, login, endpoint, attempt, onReached))),
          (made): Effect.Effect<Result.Result<Connection, Failure>, ConnectionError> =>
            Result.isFailure(made)
              ? Effect.succeed(Result.fail(made.failure))
              : Effect.map(begin(made.success, restore), Result.succeed)
        )
      )
      if (Result.isSuccess(made)) return made.success
      failures.push(made.failure)
      if (!made.failure.otherKindMayHelp) break
    }
    return yield* told(mode, PostgresAddress.isSocket(endpoint), failures)
  })

// What the person reads where both kinds of connection failed, or the only one that was allowed.
const told = (mode: PostgresTls.TlsMode, isSocket: boolean, failures: ReadonlyArray<Failure>): ConnectionError => {
  const last = failures.at(-1)!
  if (last.lacksTls) {
    const detail =
      mode === "allow" && failures.length > 1
        ? `${failures[0]!.error.detail}; and the server has TLS off (ssl = off)`
        : `the server has TLS off (ssl = off), which tls.mode "${mode}" demands: turn it on, or allow less`
    return new ConnectionError({ reason: "Rejected", code: "", detail })
  }
  if (isSocket || last.error.code !== "28000") {
    const [first] = failures
    if (failures.length < 2 || first!.lacksTls || first!.error.detail === last.error.detail) return last.error
    return new ConnectionError({
      ...last.error,
      detail: `${first!.error.detail}; and ${mode === "allow" ? "over" : "without"} TLS: ${last.error.detail}`
    })
  }
  const why =
    mode === "disable"
      ? 'tls.mode is "disable", and pg_hba.conf may let this user in over TLS only (hostssl): set tls: { mode: require }'
      : failures.length < 2
        ? ""
        : failures[0]!.lacksTls
          ? "the server has TLS off (ssl = off), so a hostssl line of pg_hba.conf lets nobody in"
          : "neither over TLS nor without"
  return why === "" ? last.error : new ConnectionError({ ...last.error, detail: `${last.error.detail} (${why})` })
}

const connect = (
  settings: ConnectionSettings,
  login: Login,
  endpoint: PostgresAddress.Endpoint,
  attempt: PostgresTls.Attempt,
  onReached: () => void
): Effect.Effect<Client, Failure> =>
  Effect.callback((resume) => {
    let asked: "No" | "Given" | "Missing" | Error = "No"
    let reached = false
    let secured = false
    const fail = (error: ConnectionError, of: Partial<Failure> = {}): void =>
      resume(Effect.fail({ error, otherKindMayHelp: false, lacksTls: false, ...of }))
    let client: Client
    try {
      client = new Client({
        host: endpoint.host,
        port: endpoint.port,
        user: login.user,
        database: login.database,
        application_name: settings.applicationName,
        // Otherwise pg would take these from the worker's own environment.
        options: PostgresSession.greeting,
        client_encoding: "UTF8",
        sslnegotiation: "postgres",
        password: () => {
          try {
            const password = login.password(endpoint)
            asked = password === null ? "Missing" : "Given"
            return password === null ? "" : Redacted.value(password)
          } catch (cause) {
            asked = cause as Error
            throw cause
          }
        },
        keepAlive: true,
        ssl: attempt === "Encrypted" ? PostgresTls.options(login.tls, endpoint) : false
      } as ClientConfig)
    } catch (cause) {
      return fail(unreadable(cause))
    }
    PostgresBounds.bound(client)
    const destroy = (): void => {
      client.connection.stream.destroy()
    }
    client.on("error", destroy)
    client.connection.once("connect", () => {
      reached = true
      onReached()
    })
    client.connection.once("sslconnect", () => {
      secured = true
    })
    client.connection.on("parameterStatus", ({ parameterName, parameterValue }: ParameterStatus) => {
      if (parameterName === "server_version") versions.set(client, parameterValue)
    })
    client.connect().then(
      () => resume(Effect.succeed(client)),
      (cause: unknown) => {
        destroy()
        const error = refusal(cause, asked)
        const answered = cause instanceof DatabaseError
        // The library gives no code for "no TLS here", so we compare its words. Its version is pinned, and a test
        // checks the words.
        const noHandshake = attempt === "Encrypted" && reached && !secured && error.code === "" && !answered
        const lacksTls = noHandshake && error.detail.includes("does not support SSL")
        fail(error, {
          lacksTls,
          otherKindMayHelp:
            noHandshake || (answered ? error.code.startsWith("28") : secured && asked === "No" && error.code !== "")
        })
      }
    )
    return Effect.sync(destroy)
  })

interface ParameterStatus {
  readonly parameterName: string
  readonly parameterValue: string
}

/** What each server said of its version in its greeting. */
const versions = new WeakMap<Client, string>()

// A session is one of ours once it has our settings. The server that it speaks to is then the one that greeted it.
const begin = (
  client: Client,
  restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
): Effect.Effect<Connection, ConnectionError> => {
  let isOpen = true
  const destroy = (): void => {
    isOpen = false
    client.connection.stream.destroy()
  }
  client.on("error", destroy)
  client.on("end", destroy)
  const connection = connectionOf(client, () => isOpen, destroy)
  const rejected = (detail: string): ConnectionError => new ConnectionError({ reason: "Rejected", code: "", detail })
  const settled = Effect.gen(function* () {
    const version = versions.get(client) ?? ""
    const release = PostgresSession.release(version)
    if (release < PostgresSession.oldest) {
      return yield* rejected(
        `the server is PostgreSQL ${version || "of an unknown version"}; PostgreSQL ${PostgresSession.oldest} or later is needed`
      )
    }
    const { rows } = yield* connection.query(
      `${PostgresSession.prelude(release)}; select pg_catalog.pg_backend_pid() as pid`
    )
    if ((rows[0] as { readonly pid: number }).pid !== connection.backend) {
      return yield* rejected(
        "a pooler stands between us and the server, which gives each statement to another session: name the server's own address"
      )
    }
    return connection
  })
  return Effect.onExit(restore(settled), (exit) => (exit._tag === "Failure" ? Effect.sync(destroy) : Effect.void))
}

// The process number comes with the greeting. The client keeps it in a field that its types do not show.
const backendOf = (client: Client): number => (client as Client & { readonly processID?: number }).processID ?? 0

const connectionOf = (client: Client, isOpen: () => boolean, destroy: () => void): Connection => {
  let warnings: Array<string> = []
  client.on("notice", ({ code, message }) => {
    // Class 00 is success, notices and infos. Any other class means that something went wrong.
    if (code?.startsWith("00") === true || warnings.length >= PostgresBounds.warningLimit) return
    warnings.push(PostgresBounds.shorten(`${code}: ${message}`))
  })
  return {
    backend: backendOf(client),
    isOpen,
    destroy,
    query: (text, values) =>
      Effect.callback((resume) => {
        warnings = []
        // Without values we send a simple query, which may be several statements.
        const sent = values === undefined ? client.query(text) : client.query({ text, values: [...values] })
        sent.then(
          // Several statements give several answers. The last one counts.
          (result: Answered | ReadonlyArray<Answered>) =>
            resume(Effect.succeed({ rows: ("rows" in result ? result : result.at(-1)!).rows, warnings })),
          (cause: unknown) => resume(Effect.fail(failure(cause)))
        )
      })
  }
}

interface Answered {
  readonly rows: ReadonlyArray<unknown>
}

const detailOf = (cause: unknown): { readonly code: string; readonly detail: string } => {
  const error = cause as Partial<NodeJS.ErrnoException> & { readonly errors?: ReadonlyArray<Error> }
  const inner = error.errors?.map(({ message }) => message).join("; ") ?? ""
  const detail = error.message === undefined || error.message === "" ? inner || String(error.code) : error.message
  return { code: error.code ?? "", detail: PostgresBounds.shorten(detail) }
}

const refusal = (cause: unknown, asked: "No" | "Given" | "Missing" | Error): ConnectionError => {
  if (asked === "Missing") {
    return new ConnectionError({
      reason: "Rejected",
      code: "28P01",
      detail: "the server asks for a password and none is configured"
    })
  }
  if (asked instanceof Error) return unreadable(asked)
  const { code, detail } = detailOf(cause)
  const untrusted = cause instanceof DatabaseError ? undefined : PostgresTls.explain(code, detail)
  if (untrusted !== undefined) return new ConnectionError({ reason: "Rejected", code, detail: untrusted })
  // Authorization, an unknown database, privileges: these fail every time. Anything else may pass, such as "starting
  // up".
  const isFinal = cause instanceof DatabaseError && /^(28|3D|42)/.test(code)
  const advice = code === "28P01" && asked === "Given" ? ": correct the password that is configured for this user" : ""
  return new ConnectionError({ reason: isFinal ? "Rejected" : "Unreachable", code, detail: `${detail}${advice}` })
}

const failure = (cause: unknown): ConnectionError =>
  new ConnectionError({ reason: cause instanceof DatabaseError ? "Failed" : "Lost", ...detailOf(cause) })
