/**
 * One connection to one PostgreSQL server, and the session that asks one question over it again and again. Nothing waits
 * for a server that is stopped longer than it is told to: the question goes on alone, and who asks next while it is
 * still unanswered waits for the same answer.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client, DatabaseError } from "pg"
import * as MemberAddress from "./MemberAddress.ts"
import * as OpenQuestion from "./OpenQuestion.ts"
import * as PostgresBounds from "./PostgresBounds.ts"

/** Where and as whom to connect. */
export interface ConnectionSettings {
  /** `host:port`; an IPv6 address stands in brackets. */
  readonly address: string
  readonly user: string
  readonly password: Redacted.Redacted | null
  readonly database: string
  readonly applicationName: string
}

/**
 * `Unreachable`: no connection. `Rejected`: the server or the configuration refused to let us in. `Lost`: the connection
 * ended while the question was open, which may have been carried out. `Failed`: the server answered with an error.
 * `TimedOut`: no answer in time. `code` is PostgreSQL's or the system's, or empty.
 */
export class ConnectionError extends Schema.TaggedError<ConnectionError>()("ConnectionError", {
  reason: Schema.Literals(["Unreachable", "Rejected", "Lost", "Failed", "TimedOut"]),
  code: Schema.String,
  detail: Schema.String
}) {}

/** What a statement gave. `warnings` holds what the server said beside it, above the level of a notice. */
export interface Reply {
  readonly rows: ReadonlyArray<unknown>
  readonly warnings: ReadonlyArray<string>
}

/** An open connection, for one statement at a time. */
export interface Connection {
  /** The number of the server's process that serves it. */
  readonly backend: number
  /** Sends a statement. Interruption abandons the wait, not the statement. */
  readonly query: (text: string, values?: ReadonlyArray<unknown>) => Effect.Effect<Reply, ConnectionError>
  readonly isOpen: () => boolean
  /** Drops the socket at once; the server may not notice while it is stopped. */
  readonly destroy: () => void
}

/** Connects, for as long as it takes; interruption drops the socket. */
export const open = (settings: ConnectionSettings): Effect.Effect<Connection, ConnectionError> =>
  Effect.callback((resume) => {
    const { host, port } = MemberAddress.split(settings.address)
    const { password } = settings
    let asked = false
    const client = new Client({
      host,
      port,
      user: settings.user,
      database: settings.database,
      application_name: settings.applicationName,
      password: () => {
        asked = true
        return password === null ? "" : Redacted.value(password)
      },
      keepAlive: true,
      ssl: false
    })
    PostgresBounds.bound(client)
    let isOpen = true
    const destroy = (): void => {
      isOpen = false
      client.connection.stream.destroy()
    }
    client.on("error", destroy)
    client.on("end", destroy)
    client.connect().then(
      () => resume(Effect.succeed(connectionOf(client, () => isOpen, destroy))),
      (cause: unknown) => {
        destroy()
        resume(Effect.fail(refusal(cause, asked && password === null)))
      }
    )
    return Effect.sync(destroy)
  })

/** Asks one question over one connection, which it opens when it has none. */
export interface Session {
  /** The answer, within the session's patience. Everyone who asks while it is open gets the same. */
  readonly ask: Effect.Effect<Reply & { readonly backend: number }, ConnectionError>
}

/** A session with a question. After `patience` ms the asker is told `TimedOut`; after `giveUp` ms the next one reconnects. */
export const session = Effect.fnUntraced(function* (
  settings: ConnectionSettings,
  text: string,
  { giveUp, patience }: { readonly patience: number; readonly giveUp: number }
): Effect.fn.Return<Session, never, Scope.Scope> {
  let connection: Connection | undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => connection?.destroy()))

  const exchange = Effect.gen(function* () {
    if (connection?.isOpen() !== true) connection = yield* open(settings)
    const current = connection
    const reply = yield* Effect.onInterrupt(current.query(text), () => Effect.sync(current.destroy))
    return { ...reply, backend: current.backend }
  })
  const late = (after: number): ConnectionError =>
    new ConnectionError({
      reason: "TimedOut",
      code: "",
      detail: `${settings.address} did not answer within ${after} ms`
    })
  return { ask: (yield* OpenQuestion.make(exchange, { giveUp, late }))(patience) }
})

// --- internal ---

// The process number arrives with the greeting; the client keeps it in a field that its types do not show.
const backendOf = (client: Client): number => (client as Client & { readonly processID?: number }).processID ?? 0

const connectionOf = (client: Client, isOpen: () => boolean, destroy: () => void): Connection => {
  let warnings: Array<string> = []
  client.on("notice", ({ code, message }) => {
    // Class 00 is success, its notices and infos; above it something did not go as asked.
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
        client.query({ text, values: [...(values ?? [])] }).then(
          ({ rows }) => resume(Effect.succeed({ rows, warnings })),
          (cause: unknown) => resume(Effect.fail(failure(cause)))
        )
      })
  }
}

const detailOf = (cause: unknown): { readonly code: string; readonly detail: string } => {
  const error = cause as Partial<NodeJS.ErrnoException>
  return {
    code: error.code ?? "",
    detail:
      error.message === undefined || error.message === "" ? String(error.code) : PostgresBounds.shorten(error.message)
  }
}

const refusal = (cause: unknown, passwordMissing: boolean): ConnectionError => {
  if (passwordMissing) {
    return new ConnectionError({
      reason: "Rejected",
      code: "28P01",
      detail: "the server asks for a password and none is configured"
    })
  }
  const { code, detail } = detailOf(cause)
  // Authorization, unknown database, privileges: the same every time. All else may pass, such as "starting up".
  const isFinal = cause instanceof DatabaseError && /^(28|3D|42)/.test(code)
  return new ConnectionError({ reason: isFinal ? "Rejected" : "Unreachable", code, detail })
}

const failure = (cause: unknown): ConnectionError =>
  new ConnectionError({ reason: cause instanceof DatabaseError ? "Failed" : "Lost", ...detailOf(cause) })
