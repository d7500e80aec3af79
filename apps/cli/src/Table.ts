/**
 * Plain tables: columns as wide as their widest cell, two blanks between, no lines drawn.
 */
import { printable } from "@inquorate/core/Printable"

/** The rows under their headings, one line each; empty where there is no row. */
export const table = (
  headings: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const shown = rows.map((row) => row.map(printable))
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...shown.map((row) => (row[column] ?? "").length))
  )
  const line = (cells: ReadonlyArray<string>): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  return [line(headings), ...shown.map(line)]
}

/** A line as several that are no wider, broken at blanks, all but the first pushed in by `hanging` blanks. */
export const fold = (line: string, width: number, hanging: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let rest = line
  let first = true
  while (rest.length > width) {
    const begin = first ? Math.max(0, rest.search(/\S/)) : hanging
    const at = rest.lastIndexOf(" ", width)
    // A word that is wider than the line is left to the terminal.
    if (at <= begin) break
    lines.push(rest.slice(0, at))
    rest = `${" ".repeat(hanging)}${rest.slice(at + 1)}`
    first = false
  }
  return [...lines, rest]
}

/** The lines pushed in by two blanks. */
export const indent = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => `  ${line}`)
