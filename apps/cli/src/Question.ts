/**
 * What a command asks a person before it acts, and the flags that answer beforehand.
 */
import { type Millis, parseMillis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import { Failure } from "./Failure.ts"
import { canAsk, choose, screen, width } from "./Screen.ts"
import { fold } from "./Table.ts"

// --- models ---

/** The flags of a command that asks before it starts a fault. */
export const askFlags = {
  yes: Flag.Boolean("yes").pipe(
    Flag.withAlias("y"),
    Flag.withDescription("Do not ask first on a terminal"),
    Flag.withDefault(false)
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Show what would be done, and touch nothing"),
    Flag.withDefault(false)
  )
}

/** The flag of a command that asks before it does what cannot be undone. */
export const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do not ask before what cannot be undone"),
  Flag.withDefault(false)
)

// --- make ---

/** The length of a `--duration`. */
export const readDuration = (text: string): Effect.Effect<Millis, Failure> => {
  const millis = parseMillis(text)
  return millis === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `--duration: expected a length such as 5s, 2m or 500ms, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(millis)
}

/** Asks for a yes before something that cannot be undone; where nobody can be asked the command itself is the yes. */
export const confirm = Effect.fnUntraced(function* (question: string, yes: boolean) {
  if (yes || !canAsk()) return
  const answer = yield* choose(`${question} [y]es / [n]o `, ["y", "n"], { enter: "n", interrupted: "n" })
  if (answer === "n") return yield* new Failure({ exit: "refused", detail: "Nothing was done." })
})

/** A sentence in lines that the terminal need not break. */
export const folded = (text: string): ReadonlyArray<string> => (screen.terminal ? fold(text, width() - 1, 0) : [text])
