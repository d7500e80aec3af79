/**
 * Witnesses as a configuration names them: an HTTP address to read, a statement for a PostgreSQL, or a command. Each
 * question is bounded. While a statement hangs, it is not sent a second time.
 */
import type { WitnessAnswer } from "@inquorate/core/Evidence"
import type { TargetError } from "@inquorate/core/Target"
import type { Witness } from "@inquorate/core/Witness"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CommandRun from "./CommandRun.ts"
import * as NamedFile from "./NamedFile.ts"
import * as OpenQuestion from "./OpenQuestion.ts"
import { Password, Service } from "./PostgresSettings.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import { type Connection, ConnectionError, open } from "./PostgresConnection.ts"
import * as PostgresLogin from "./PostgresLogin.ts"
import * as PostgresTls from "./PostgresTls.ts"
import * as Secret from "./Secret.ts"
import * as WebRead from "./WebRead.ts"

/** An HTTP address. The witness serves while it answers a GET with a status below 400. */
export const Web = Schema.Struct({
  url: Schema.String.check(
    Schema.makeFilter((url) => isWebAddress(url) || "Expected an address that begins with http:// or https://", {
      toJsonSchema: () => ({ pattern: "^https?://" })
    })
  ).annotateKey({ description: "The address; a GET that is answered with a status below 400 counts as served." }),
  ca: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The file with the authorities that its certificate may come from, in PEM."
  }),
  certificate: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The file with our own certificate, its chain after it, in PEM; with key."
  }),
  key: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The file with the private key that belongs to it, in PEM without a passphrase."
  }),
  token: Schema.optionalKey(Secret.Reference).annotateKey({
    description: "The bearer token that goes with the question, by reference; a file is read each time."
  })
}).check(
  Schema.makeFilter(
    ({ certificate, key }: { readonly certificate?: string; readonly key?: string }) =>
      (certificate === undefined) === (key === undefined),
    { expected: "certificate and key, both or none" }
  )
)

/** A statement for a PostgreSQL, in a session with the user's own settings. The witness serves while it succeeds. */
export const Statement = Schema.Struct({
  address: PostgresAddress.Address.annotateKey({ description: "The server's address, or several." }),
  user: Schema.optionalKey(Schema.String).annotateKey({ description: "The user; that of the service unless given." }),
  password: Schema.optionalKey(Password).annotateKey({ description: "The password, or where it is." }),
  database: Schema.optionalKey(Schema.String).annotateKey({
    description: "The database; that of the service, or named like the user, unless given."
  }),
  tls: Schema.optionalKey(PostgresTls.TlsSettings),
  service: Schema.optionalKey(Service),
  statement: Schema.NonEmptyString.annotateKey({
    description: "One statement, such as an update of a row of your own; it counts as served where it succeeds."
  })
})

/** What a witness is asked. */
export const Question = Schema.Struct({
  http: Schema.optionalKey(Schema.Union([Web.fields.url, Web])).annotateKey({
    description: "An HTTP address, or { url, ca, certificate, key, token }."
  }),
  postgres: Schema.optionalKey(Statement).annotateKey({ description: "A statement on a PostgreSQL." }),
  command: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "A shell command that the worker runs; it counts as served where it exits with 0."
  })
})
export type Question = typeof Question.Type

/** True where exactly one question is named. */
export const isOne = ({ command, http, postgres }: Question): boolean =>
  [command, http, postgres].filter((one) => one !== undefined).length === 1

/** A witness with its times, as configured. */
export interface WitnessSettings extends Question {
  readonly name: string
  readonly every: number
  readonly timeout: number
}

/** Opens a witness of a cluster. Connects to nothing yet. */
export const make = (cluster: string, settings: WitnessSettings): Effect.Effect<Witness, TargetError, Scope.Scope> => {
  const { command, every, http, name, postgres, timeout } = settings
  const of = (ask: Effect.Effect<WitnessAnswer>): Witness => ({ name, every, ask })
  if (postgres !== undefined) return Effect.map(askStatement(cluster, name, postgres, timeout), of)
  return Effect.succeed(of(http === undefined ? askCommand(command ?? "false", timeout) : askWeb(http, timeout)))
}

// --- internal ---

const isWebAddress = (url: string): boolean => /^https?:\/\//i.test(url) && URL.canParse(url)

/** How many characters of an answer are kept. */
const toldMost = 200

const serves = (detail: string): WitnessAnswer => ({ _tag: "Serves", detail })
const fails = (detail: string): WitnessAnswer => ({ _tag: "Fails", detail: shorten(detail) })
const silent = (detail: string): WitnessAnswer => ({ _tag: "Silent", detail: shorten(detail) })
const shorten = (text: string): string => {
  const line = text.trim().replace(/\s+/g, " ")
  return line.length <= toldMost ? line : `${line.slice(0, toldMost)}…`
}

// Files are read for each question, so that what is renewed is used without a restart.
const askWeb = (http: NonNullable<Question["http"]>, timeout: number): Effect.Effect<WitnessAnswer> => {
  const { ca, certificate, key, token, url } = typeof http === "string" ? { url: http } : http
  const pem = (what: string, file: string | undefined) =>
    file === undefined ? Effect.succeed({}) : Effect.map(fileOf(what, file), (read) => ({ [what]: read }))
  return Effect.gen(function* () {
    const tls = { ...(yield* pem("ca", ca)), ...(yield* pem("cert", certificate)), ...(yield* pem("key", key)) }
    const bearer = token === undefined ? null : yield* Effect.mapError(Secret.read("token", token), unreadable)
    const headers = bearer === null ? {} : { authorization: `Bearer ${Redacted.value(bearer)}` }
    const { body, status } = yield* WebRead.get(url, { timeout, most: bodyMost, isCut: true, tls, headers })
    return status < 400 ? serves(`HTTP ${status}`) : fails(`HTTP ${status}: ${body}`)
  }).pipe(Effect.catchTag("NoAnswer", ({ detail }) => Effect.succeed(silent(detail))))
}

const bodyMost = 64 * 1024

const unreadable = (detail: string) => new WebRead.NoAnswer({ reason: "Unreachable", detail })

const fileOf = (what: string, file: string): Effect.Effect<Buffer, WebRead.NoAnswer> =>
  Effect.try({
    try: () => NamedFile.read(file),
    catch: (cause) =>
      unreadable(`its ${what === "cert" ? "certificate" : what} cannot be read: ${(cause as Error).message}`)
  })

const askCommand = (command: string, timeout: number): Effect.Effect<WitnessAnswer> =>
  CommandRun.run(command, {}, timeout).pipe(
    Effect.match({
      onFailure: ({ detail }) => silent(detail),
      onSuccess: ({ exitCode, said }) => (exitCode === 0 ? serves("exit 0") : fails(`exit ${exitCode}: ${said}`))
    })
  )

// A statement that waits goes on alone, and whoever asks next waits for the same answer. So none pile up on the server.
const askStatement = (
  cluster: string,
  name: string,
  { address, statement, ...login }: typeof Statement.Type,
  timeout: number
): Effect.Effect<Effect.Effect<WitnessAnswer>, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const { members } = yield* PostgresLogin.make(cluster, { ...login, members: [{ name, address }] })
    const settings = members[0].connection("inquorate-witness")
    let connection: Connection | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => connection?.destroy()))
    const exchange = Effect.gen(function* () {
      if (connection?.isOpen() !== true) {
        yield* Effect.uninterruptibleMask((restore) =>
          Effect.map(restore(open(settings)), (opened) => {
            connection = opened
          })
        )
        // Sets the session back to its user's own settings, away from those that our questions need.
        yield* connection!.query("reset all")
      }
      const current = connection!
      return yield* Effect.onInterrupt(current.query(statement), () => Effect.sync(current.destroy))
    })
    const late = (after: number) =>
      new ConnectionError({ reason: "TimedOut", code: "", detail: `no answer within ${after} ms` })
    const ask = yield* OpenQuestion.make(exchange, { giveUp: () => giveUp, late })
    return ask(timeout).pipe(
      Effect.match({
        onFailure: ({ detail, reason }) =>
          reason === "Failed" || reason === "Rejected" ? fails(detail) : silent(detail),
        onSuccess: ({ warnings }) => serves(warnings.length === 0 ? "succeeded" : shorten(warnings.join("; ")))
      })
    )
  })

/** A statement that is open this long, in milliseconds, is given up and sent over another connection. */
const giveUp = 60_000
