/**
 * Slips of the pen that YAML takes for something else: a password that a `#` cuts short, a variable that nobody fills
 * in, and a secret that stands in the file itself. They are looked for in the text, since the values do not show them.
 */
import * as YAML from "yaml"
import type { Locate, Mistake } from "./ConfigText.ts"

/** What is wrong, and what is only unwise. */
export interface Slips {
  readonly mistakes: ReadonlyArray<Mistake>
  readonly warnings: ReadonlyArray<Mistake>
}

/** A key of a text, and its value. */
export interface Entry {
  readonly path: ReadonlyArray<PropertyKey>
  readonly key: string
  readonly value: unknown
}

/** Finds the slips in a text. */
export const find = (document: YAML.Document, locate: Locate): Slips => {
  const entries = entriesOf(document)
  const tell = ({ path }: Entry, problem: string): Mistake => ({
    line: locate(path),
    key: path.map(String).join("."),
    problem
  })
  const mistakes = entries.flatMap((entry) => {
    if (isCut(entry))
      return [tell(entry, "the text ends before the #, which begins a comment: write it between quotes")]
    const name = variableOf(entry)
    return name === undefined
      ? []
      : [
          tell(
            entry,
            `variables are not filled in here, so that \${${name}} is taken as it stands: ${isSecret(entry) ? `give { env: ${name} }` : "write the value itself"}`
          )
        ]
  })
  const warnings = entries
    .filter((entry) => isBare(entry) && !mistakes.some(({ key }) => key === entry.path.map(String).join(".")))
    .map((entry) =>
      tell(
        entry,
        "the secret stands in the file itself, for everyone who may read it: give { env: NAME } or { file: PATH }"
      )
    )
  return { mistakes, warnings }
}

/** Every key of a text, at whatever depth. */
export const entriesOf = (document: YAML.Document): ReadonlyArray<Entry> => {
  const entries: Array<Entry> = []
  const walk = (node: unknown, path: ReadonlyArray<PropertyKey>): void => {
    if (YAML.isMap(node)) {
      for (const { key, value } of node.items) {
        const name = String(YAML.isScalar(key) ? key.value : key)
        entries.push({ path: [...path, name], key: name, value })
        walk(value, [...path, name])
      }
    } else if (YAML.isSeq(node)) {
      for (const [index, item] of node.items.entries()) walk(item, [...path, index])
    }
  }
  walk(document.contents, [])
  return entries
}

// --- internal ---

/** The keys whose values are not ours to read: a shell fills variables in by itself, or a server reads the text. */
const forOthers = new Set(["command", "apply", "lift", "check", "look", "write", "statement"])

const isSecret = ({ key }: Entry): boolean => key === "password"

const textOf = ({ value }: Entry): YAML.Scalar<string> | undefined =>
  YAML.isScalar(value) && typeof value.value === "string" ? (value as YAML.Scalar<string>) : undefined

const isCut = (entry: Entry): boolean => {
  const text = YAML.isScalar(entry.value) ? entry.value : undefined
  if (text === undefined || typeof text.comment !== "string" || (text.type ?? "PLAIN") !== "PLAIN") return false
  return isSecret(entry) || (entry.key === "store" && /^postgres(ql)?:/.test(String(text.value)))
}

const variableOf = (entry: Entry): string | undefined => {
  const text = textOf(entry)?.value
  if (text === undefined || forOthers.has(entry.key)) return undefined
  return (
    /\$\{([A-Za-z_][A-Za-z0-9_]*)[^}]*\}/.exec(text)?.[1] ??
    (isSecret(entry) ? /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(text)?.[1] : undefined)
  )
}

const isBare = (entry: Entry): boolean => {
  const text = textOf(entry)?.value
  if (text === undefined) return false
  return isSecret(entry) || (entry.key === "store" && URL.canParse(text) && new URL(text).password !== "")
}
