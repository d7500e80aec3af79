/**
 * Where a command writes: lines to standard output, and on a terminal one live line under them that is painted over.
 * Colour is used only on a terminal and never where NO_COLOR is set. Nothing that others say acts on the terminal: whatever
 * is printed is made harmless here, and nowhere else is anything printed. While a question is asked nothing is painted over
 * it; what is to be said meanwhile is said after the answer.
 */
import { printable, printableJson } from "@inquorate/core/Printable"
import type * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { format } from "node:util"

// --- models ---

/** Where a command writes. */
export interface Screen {
  /** True where somebody sits before it. */
  readonly terminal: boolean
  readonly lines: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  /** A value as JSON, on one line or, with `indent`, on several. */
  readonly json: (value: unknown, indent?: number) => Effect.Effect<void>
  /** Replaces the live line; does nothing where there is no terminal. An empty text removes it. */
  readonly live: (text: string) => Effect.Effect<void>
  /** Replaces the lines of the frame before it; where there is no terminal they are written under it. */
  readonly frame: (lines: ReadonlyArray<string>) => Effect.Effect<void>
}

// --- make ---

/** The screen of this process. */
export const screen: Screen = {
  terminal: process.stdout.isTTY === true,
  lines: (lines) =>
    Effect.sync(() => {
      if (lines.length > 0) write(`${lines.map(printable).join("\n")}\n`)
    }),
  json: (value, indent) => Effect.sync(() => write(`${printableJson(JSON.stringify(value, null, indent))}\n`)),
  live: (text) =>
    Effect.sync(() => {
      if (process.stdout.isTTY !== true || asked !== undefined) return
      process.stdout.write(text === "" ? erase() : `${erase()}${emphasise(printable(text).slice(0, width() - 1))}`)
    }),
  frame: (lines) =>
    Effect.sync(() => {
      const shown = lines.map((line) => printable(line).slice(0, width() - 1))
      const back = process.stdout.isTTY === true && framed > 0 ? `\u001B[${framed}A\u001B[J` : ""
      framed = shown.length
      write(`${back}${shown.join("\n")}\n`)
    })
}

/** How many characters a line may have, 80 where nobody can tell. */
export const width = (): number => Math.max(20, process.stdout.columns ?? 80)

/** True where a person can be asked: both ends are a terminal. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true

/**
 * The key that answers a question, one of `keys`; `enter` is what the enter key means, and `interrupted` what a Ctrl-C or
 * a terminal that is gone does.
 */
export const choose = <Key extends string>(
  question: string,
  keys: ReadonlyArray<Key>,
  { enter, interrupted }: { readonly enter: Key; readonly interrupted: Key }
): Effect.Effect<Key> =>
  Effect.callback<Key>((resume) => {
    const { stdin, stdout } = process
    stdout.write(`${erase()}${printable(question)}`)
    asked = []
    const close = (answer: string): void => {
      if (asked === undefined) return
      stdin.off("data", hear)
      stdin.off("end", gone)
      // A terminal that is gone may tell so once more.
      stdin.off("error", gone)
      stdin.on("error", () => {})
      setRaw(false)
      stdin.pause()
      const missed = asked
      asked = undefined
      stdout.write(`${answer}\n${missed.join("")}`)
    }
    const answer = (key: Key): void => {
      close(key)
      resume(Effect.succeed(key))
    }
    const hear = (data: Buffer): void => {
      for (const character of data.toString("utf8").toLowerCase()) {
        // In raw mode a Ctrl-C is a character, and no signal.
        if (character === "\u0003") return answer(interrupted)
        if (character === "\r" || character === "\n") return answer(enter)
        const key = keys.find((one) => one === character)
        if (key !== undefined) return answer(key)
      }
    }
    const gone = (): void => answer(interrupted)
    setRaw(true)
    stdin.on("data", hear)
    stdin.on("end", gone)
    stdin.on("error", gone)
    stdin.resume()
    return Effect.sync(() => close(""))
  })

/** Tells on standard error what is wrong, and what more there is to say in lines of their own. */
export const complain = (text: string, more: ReadonlyArray<string> = []): void =>
  void process.stderr.write(`${erase()}inq: ${[text, ...more].map(printable).join("\n")}\n`)

/** A console that writes as everything else here does: Node's own says nothing of an output that is full or gone. */
export const console: Console.Console = Object.assign(Object.create(globalThis.console) as Console.Console, {
  log: (...words: ReadonlyArray<unknown>) => void process.stdout.write(`${format(...words)}\n`),
  error: (...words: ReadonlyArray<unknown>) => void process.stderr.write(`${format(...words)}\n`)
})

/** Tells on standard error what is wrong as JSON. */
export const complainJson = (value: unknown): void =>
  void process.stderr.write(`${printableJson(JSON.stringify(value))}\n`)

// --- internal ---

/** What is to be written once the question that is asked now has its answer; undefined while none is. */
let asked: Array<string> | undefined

/** How many lines the last frame had. */
let framed = 0

// A terminal that is gone has no mode.
const setRaw = (raw: boolean): void => {
  try {
    process.stdin.setRawMode(raw)
  } catch {
    return
  }
}

const write = (text: string): void => {
  if (asked === undefined) process.stdout.write(`${erase()}${text}`)
  else asked.push(text)
}

const erase = (): string => (process.stdout.isTTY === true ? "\r\u001B[K" : "")

const emphasise = (text: string): string =>
  (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb" ? `\u001B[1m${text}\u001B[0m` : text
