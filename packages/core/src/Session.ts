/**
 * How a program that stays on a host is told one order after another, by its standard input, and how its answers end.
 */

import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Channel, Host, HostError } from "./Host.ts"
import type { Millis } from "./Time.ts"

/** The line that ends each answer, the greeting too. No answer holds it. */
export const endMark = "-- inquorate --"

/** An order: how many words, and each on a line of its own. One of no words is answered by the end alone. */
export const textOf = (words: ReadonlyArray<string>): string =>
  `${[String(words.length), ...words.map(lineOf)].join("\n")}\n`

/**
 * Opens a program on a host that stays, and gives it once it has said its greeting, within `fresh` at most. One that the
 * host kept from before may be frozen or gone: it is asked nothing, and if it does not answer within `kept`, another is
 * taken.
 */
export const open = Effect.fnUntraced(function* (
  start: NonNullable<Host["open"]>,
  program: string,
  within: { readonly kept: Millis; readonly fresh: Millis }
): Effect.fn.Return<Channel, HostError, Scope.Scope> {
  while (true) {
    const channel = yield* start(program, ["session"])
    const isKept = channel.isKept === true
    const greeting = isKept ? textOf([]) : ""
    const said = yield* Effect.result(channel.ask(greeting, endMark, { timeout: isKept ? within.kept : within.fresh }))
    if (Result.isSuccess(said)) return channel
    if (!isKept) return yield* said.failure
  }
})

// --- internal ---

/** A word as one line, since a session reads one word a line. */
const lineOf = (word: string): string => word.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
