/**
 * What somebody who mistyped a name most likely meant: the known name that is the fewest letters away. If even that is
 * too far for a slip, there is none.
 */

/** The known name nearest to a word, or undefined where none is near. Upper and lower case are one. */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const name of known) {
    const away = distance(word.toLowerCase(), name.toLowerCase())
    if (away < least) {
      least = away
      best = name
    }
  }
  return best
}

// --- internal ---

// Letters put in, left out, taken for another, or two of them turned round (optimal string alignment).
const distance = (one: string, other: string): number => {
  if (Math.abs(one.length - other.length) > longest || one.length > longest || other.length > longest) return Infinity
  const rows: Array<Array<number>> = [Array.from({ length: other.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= one.length; row++) {
    const now = [row]
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1] ? 0 : 1
      const turned = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]
      now.push(
        Math.min(
          rows[row - 1]![column]! + 1,
          now[column - 1]! + 1,
          rows[row - 1]![column - 1]! + same,
          turned ? rows[row - 2]![column - 2]! + 1 : Infinity
        )
      )
    }
    rows.push(now)
  }
  return rows[one.length]![other.length]!
}

/** Longer names are no names that anybody types. */
const longest = 100
