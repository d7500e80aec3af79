/**
 * What others say, made harmless to print. Names, errors and output of servers and hosts may hold sequences that
 * repaint a terminal, turn the direction of the text, or begin a line of their own. Everything that a person reads goes
 * through here. JSON keeps its exact meaning, since its own escapes say the same.
 */

/**
 * The text on one line, with every character that could act instead of being shown written as its escape, such as
 * `\u001b`. Applied to its own result it changes nothing.
 */
export const printable = (text: string): string => text.replaceAll(acting, escape)

/** The same for a text of ours that has several lines: its line breaks stay. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n")

/** JSON text that means exactly the same and holds no character that could act; its own line breaks stay. */
export const printableJson = (json: string): string => json.replaceAll(actingInJson, escape)

// --- internal ---

// Controls (C0, DEL, C1), formats (directions, zero widths, tags), line and paragraph separators, and halves of pairs.
const acting = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

// A line break outside of a string is JSON's own; within one there can be none.
const actingInJson = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const escape = (character: string): string =>
  named[character] ??
  Array.from({ length: character.length }, (_, index) => `\\u${hex(character.charCodeAt(index))}`).join("")

const hex = (unit: number): string => unit.toString(16).padStart(4, "0")
