/**
 * What people type out of habit, put into the words of the command line: `inq help CMD`, `inq version`, `inq -v`.
 */

/** The arguments that these mean, where there is a command of each name for which `isCommand` is true. */
export const inOurWords = (all: ReadonlyArray<string>, isCommand: (name: string) => boolean): ReadonlyArray<string> => {
  const typed = withNegatives(all)
  const [first, ...rest] = typed
  if (first === "help") {
    const [about] = rest
    // The parser gives help before it says of a word that it is no command.
    return about === undefined || isFlag(about) || isCommand(about) ? [...rest, "--help"] : rest
  }
  // A note of chaos had the name that contexts have now.
  if (first === "chaos") return typed.map((word, index) => noteOf(word, typed[index + 1]))
  if (typed.length === 1 && (first === "version" || first === "-v" || first === "-V")) return ["--version"]
  return typed
}

/** True where these arguments ask for JSON, however wrong the rest of them is. */
export const asksForJson = (typed: ReadonlyArray<string>): boolean =>
  typed.some(
    (word, index) =>
      /^(--output|-o)=json$/.test(word) || ((word === "--output" || word === "-o") && typed[index + 1] === "json")
  )

// --- internal ---

// A number below zero is a flag's value, however wrong, and no flags of its digits.
const withNegatives = (typed: ReadonlyArray<string>): ReadonlyArray<string> =>
  typed.flatMap((word, index) => {
    const next = typed[index + 1]
    if (isFlag(word) && next !== undefined && /^-\d/.test(next)) return [`${word}=${next}`]
    const before = typed[index - 1]
    return before !== undefined && isFlag(before) && /^-\d/.test(word) ? [] : [word]
  })

const isFlag = (word: string): boolean => /^--?[a-z][a-z-]*$/.test(word)

const noteOf = (word: string, next: string | undefined): string =>
  word === "--context" && next?.includes("=") === true ? "--note" : word.replace(/^--context=(?=[^=]*=)/, "--note=")
