/**
 * JSON from somebody who may mean us harm. Whatever reads a value goes as deep as the value does, so one that nests
 * without measure ends the reader.
 */

/** How deep an answer may nest. None of ours is a tenth as deep. */
export const deepest = 200

/** The value of a JSON text. Throws where it is none, or nests too deep. */
export const parse = (text: string): unknown => {
  if (nests(text)) throw new SyntaxError(`it nests more than ${deepest} deep`)
  return JSON.parse(text)
}

// --- internal ---

const nests = (text: string): boolean => {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at)
    else if (code === bracket || code === brace) {
      depth++
      if (depth > deepest) return true
    } else if (code === bracket + 2 || code === brace + 2) depth--
  }
  return false
}

const [quote, backslash, bracket, brace] = ['"', "\\", "[", "{"].map((character) => character.charCodeAt(0)) as [
  number,
  number,
  number,
  number
]

// Where the string ends that begins here; behind the text for one that never does.
const endOfString = (text: string, begin: number): number => {
  let at = begin + 1
  while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1
  return at
}
