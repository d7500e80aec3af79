/**
 * How a program that stays on a host is told one order after another, by its standard input, and how its answers end.
 */

/** The line that ends each answer, the greeting too. No answer holds it. */
export const endMark = "-- inquorate --"

/** An order: how many words, and each on a line of its own. One of no words is answered by the end alone. */
export const textOf = (words: ReadonlyArray<string>): string =>
  `${[String(words.length), ...words.map(lineOf)].join("\n")}\n`

// --- internal ---

/** A word as one line, since a session reads one word a line. */
const lineOf = (word: string): string => word.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
