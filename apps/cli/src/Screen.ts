/**
 * Where a command writes: lines to standard output, and on a terminal one live line under them that is painted over.
 * Colour is used only on a terminal and never where NO_COLOR is set. Nothing that others say acts on the terminal: whatever
 * is printed is made harmless here, and nowhere else is anything printed.
 */
import { printable, printableJson } from "@inquorate/core/Printable"
import * as Effect from "effect/Effect"

/** Where a command writes. */
export interface Screen {
  /** True where somebody sits before it. */
  readonly terminal: boolean
  readonly lines: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  /** A value as JSON, on one line or, with `indent`, on several. */
  readonly json: (value: unknown, indent?: number) => Effect.Effect<void>
  /** Replaces the live line; does nothing where there is no terminal. An empty text removes it. */
  readonly live: (text: string) => Effect.Effect<void>
}

/** The screen of this process. */
export const screen: Screen = {
  terminal: process.stdout.isTTY === true,
  lines: (lines) =>
    Effect.sync(() => {
      if (lines.length === 0) return
      process.stdout.write(`${erase()}${lines.map(printable).join("\n")}\n`)
    }),
  json: (value, indent) =>
    Effect.sync(() => void process.stdout.write(`${erase()}${printableJson(JSON.stringify(value, null, indent))}\n`)),
  live: (text) =>
    Effect.sync(() => {
      if (process.stdout.isTTY !== true) return
      const width = Math.max(20, process.stdout.columns ?? 80) - 1
      process.stdout.write(text === "" ? erase() : `${erase()}${emphasise(printable(text).slice(0, width))}`)
    })
}

/** True where a person can be asked: both ends are a terminal. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true

/** Tells on standard error what is wrong, and what more there is to say in lines of their own. */
export const complain = (text: string, more: ReadonlyArray<string> = []): void =>
  void process.stderr.write(`inq: ${[text, ...more].map(printable).join("\n")}\n`)

// --- internal ---

const erase = (): string => (process.stdout.isTTY === true ? "\r\u001B[K" : "")

const emphasise = (text: string): string =>
  (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb" ? `\u001B[1m${text}\u001B[0m` : text
