/**
 * Everything that the worker prints: its log, and what it says at its start and end. Nothing that servers, hosts or
 * callers say can act on the terminal that shows it. A line of JSON keeps its exact meaning.
 */
import { printable, printableJson, printableLines } from "@inquorate/core/Printable"
import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"

/**
 * Makes the worker outlive whoever reads what it prints. When a terminal is closed, or nobody reads a pipe any longer,
 * the worker loses the lines and not the operations.
 */
export const outliveReaders = (): void => {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})
}

/** The log in one of its two forms, one line for each message, to standard error. */
export const layer = (format: "text" | "json"): Layer.Layer<never> =>
  Logger.layer([
    Logger.withConsoleError(
      format === "json" ? Logger.map(Logger.formatJson, printableJson) : Logger.map(Logger.formatLogFmt, printable)
    )
  ])

/** Says something on standard output; it may have several lines. */
export const say = (text: string): Effect.Effect<void> => Console.log(printableLines(text))

/** Says on standard error why the worker does not run. What more there is to say follows in lines of its own. */
export const complain = (text: string, more: ReadonlyArray<string> = []): Effect.Effect<void> =>
  Console.error(`worker: ${[text, ...more].map(printable).join("\n")}`)
