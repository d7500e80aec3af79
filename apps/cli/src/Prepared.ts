/**
 * The answers that never change, told before anything else is evaluated: the bundle carries the text of the root's help
 * and version as the same command printed them when it was built. Started from the source there are none, and whatever
 * cannot be told from here is left to the command itself.
 */
import { writeSync } from "node:fs"
import { isatty } from "node:tty"

// --- models ---

/** What the command said to these arguments when it was built. */
export interface Answer {
  readonly arguments: ReadonlyArray<string>
  readonly code: number
  /** As to a file. */
  readonly plain: string
  /** As to a terminal. */
  readonly coloured: string
}

// --- internal ---

const find = (): Answer | undefined => {
  const given = process.argv.slice(2)
  // No other answer is as short.
  if (given.length > 1) return undefined
  return (JSON.parse(process.env.INQUORATE_PREPARED ?? "[]") as ReadonlyArray<Answer>).find(
    (answer) => answer.arguments.length === given.length && answer.arguments[0] === given[0]
  )
}

const answer = find()
const { FORCE_COLOR, NO_COLOR = "", TERM } = process.env

if (answer !== undefined && FORCE_COLOR === undefined) {
  const coloured = NO_COLOR === "" && TERM !== "dumb" && isatty(1)
  try {
    let rest = Buffer.from(coloured ? answer.coloured : answer.plain)
    // A pipe of Linux takes as little as this (PIPE_BUF is 4096 bytes) whole or not at all.
    while (rest.length > 0) rest = rest.subarray(writeSync(1, rest))
    process.exit(answer.code)
  } catch {
    // A full or broken output is for the command to deal with.
  }
}
