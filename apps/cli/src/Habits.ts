/**
 * What people type out of habit, put into the words of the command line: `inq help CMD`, `inq version`, `inq -v`.
 */

/** The arguments that these mean. */
export const inOurWords = (typed: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [first, ...rest] = typed
  if (first === "help") return [...rest, "--help"]
  // A note of chaos had the name that contexts have now.
  if (first === "chaos") return typed.map((word, index) => noteOf(word, typed[index + 1]))
  if (typed.length === 1 && (first === "version" || first === "-v" || first === "-V")) return ["--version"]
  return typed
}

const noteOf = (word: string, next: string | undefined): string =>
  word === "--context" && next?.includes("=") === true ? "--note" : word.replace(/^--context=(?=[^=]*=)/, "--note=")

/** True where these arguments ask for JSON, however wrong the rest of them is. */
export const asksForJson = (typed: ReadonlyArray<string>): boolean =>
  typed.some(
    (word, index) =>
      /^(--output|-o)=json$/.test(word) || ((word === "--output" || word === "-o") && typed[index + 1] === "json")
  )
