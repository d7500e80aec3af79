/**
 * Tells the mistakes of a configuration to the person who mends them: what a mistyped key was meant to be, what a map
 * looks like, and only the first of mistakes that follow from one another.
 */
import { nearest } from "@inquorate/core/Nearest"
import { ConfigError } from "./ConfigText.ts"
import { workerSchema } from "./ConfigSchema.ts"

/** The same error in words for a person. `schema` is the one that the text was read by. */
export const advise = ({ mistakes, source }: ConfigError, schema: unknown = workerSchema()): ConfigError => {
  const tab = mistakes.find(({ problem }) => problem === tabbed)
  if (tab !== undefined) {
    const problem = "YAML is indented by blanks, and this line begins with a tab"
    return new ConfigError({ source, mistakes: [{ ...tab, problem }] })
  }
  const known = keysOf(schema)
  const unknown = new Set<string>()
  const told = mistakes.map((mistake) => {
    const key = mistake.key.split(".").at(-1) ?? ""
    if (mistake.problem.startsWith("Unexpected key")) {
      if (known.has(key)) return { ...mistake, problem: "there is no such key here" }
      const meant = nearest(key, known)
      if (meant !== undefined) unknown.add([...mistake.key.split(".").slice(0, -1), meant].join("."))
      return {
        ...mistake,
        problem: meant === undefined ? "there is no such key" : `there is no such key; did you mean ${meant}?`
      }
    }
    if (mistake.key === "clusters" && mistake.problem.startsWith("Expected object")) {
      return {
        ...mistake,
        problem: `expected a map of clusters by name, such as\n    clusters:\n      orders: { system: etcd, members: [ … ] }`
      }
    }
    return mistake
  })
  // A key that is missing because its name was mistyped is no mistake of its own.
  return new ConfigError({
    source,
    mistakes: told.filter(({ key, problem }) => !(problem === "Missing key" && unknown.has(key)))
  })
}

// --- internal ---

const tabbed = "Tabs are not allowed as indentation"

const keysOf = (schema: unknown): ReadonlySet<string> => {
  const keys = new Set<string>()
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return
    for (const [name, part] of Object.entries(value)) {
      if (name === "properties" && typeof part === "object" && part !== null)
        for (const key of Object.keys(part)) keys.add(key)
      walk(part)
    }
  }
  walk(schema)
  return keys
}
