/**
 * How a person names an operation: by its id, by the beginning of it, by `last`, or not at all where only one lives. A
 * command that got a whole id asks about it at once. For any other name it reads the list first.
 */
import { parse as parseGuid } from "@inquorate/core/Guid"
import { isTerminal } from "@inquorate/core/Operation"
import type { ApiError, OperationView } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Command from "effect/cli/Command"
import { type Answering, first } from "./Answering.ts"
import type { Known } from "./Operator.ts"
import { explain } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"

// --- make ---

/** How many of the newest operations a name is looked for among. */
export const lookedThrough = 1000

/** The id of an operation, whole. */
export const readId = (text: string): Effect.Effect<string, Failure> => {
  const id = parseGuid(text)
  return id === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `The operation id must be a GUID of 36 characters, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(id)
}

/** The name of an operation: its id, the beginning of it, `last`, or nothing for the only one that lives. */
export type OperationName = string | undefined

/** What a person named an operation by; checked before anybody is asked. */
export const readName = (said: Option.Option<string>): Effect.Effect<OperationName, Failure> => {
  const text = Option.getOrUndefined(said)?.toLowerCase()
  return text === undefined || text === "last" || /^[0-9a-f]{4}[0-9a-f-]{0,31}$/.test(text)
    ? Effect.succeed(text)
    : readId(text)
}

/** Asks about the operation of that name: `ask` is put to a worker, with the operation's id. */
export const ofOperation = <A, R>(
  doing: string,
  name: OperationName,
  ask: (client: Client.Client, id: string) => Effect.Effect<A, ApiError | Client.ClientError | Failure, R>
): Effect.Effect<Answering<A> & { readonly id: string }, Failure, Command.CommandContext<"inq"> | R> =>
  Effect.gen(function* () {
    if (name !== undefined && parseGuid(name) !== undefined) {
      return { ...(yield* first(doing, (client) => ask(client, name))), id: name }
    }
    const listed = yield* first(doing, (client) => client.list(lookedThrough))
    if (listed.surface === "fabric") return { ...listed, id: yield* pick(yield* listed.gateway.operations, name) }
    const id = yield* pick(knownOf(listed.answer), name)
    return { ...listed, id, answer: yield* ask(listed.client, id).pipe(explain(doing)) }
  })

/** What a worker's list says of each operation. */
export const knownOf = (all: ReadonlyArray<OperationView>): ReadonlyArray<Known> =>
  all.map(({ operation }) => ({ id: operation.id, lives: !isTerminal(operation) }))

// --- internal ---

/** The one operation that fits a name, among all that there are. */
const pick = Effect.fnUntraced(function* (all: ReadonlyArray<Known>, text: OperationName) {
  const fitting =
    text === undefined
      ? all.filter(({ lives }) => lives)
      : text === "last"
        ? all.slice(-1)
        : all.filter(({ id }) => id.startsWith(text))
  if (fitting.length === 1) return fitting[0]!.id
  const what =
    text === undefined
      ? fitting.length === 0
        ? "No operation lives now"
        : `${fitting.length} operations live`
      : text === "last"
        ? "There is no operation yet"
        : fitting.length === 0
          ? `No operation's id begins with ${text}`
          : `${fitting.length} operations' ids begin with ${text}`
  const names =
    fitting.length === 0
      ? ""
      : `: ${fitting
          .map(({ id }) => id)
          .slice(0, 10)
          .join(", ")}`
  return yield* new Failure({ exit: "refused", detail: `${what}${names}. Name one; "inq list" lists them.` })
})
