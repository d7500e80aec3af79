/**
 * Reads a YAML text by a schema. It tells every mistake at once, each with its line, its key and what would be right.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as YAML from "yaml"

// --- models ---

/** One mistake: where it stands and what would be right. `line` is 0 for a mistake that is in no file. */
export interface Mistake {
  readonly line: number
  readonly key: string
  readonly problem: string
}

/** The line on which a key stands. Where the key is missing, the line on which it should stand. */
export type Locate = (path: ReadonlyArray<PropertyKey>) => number

// --- errors ---

/** The configuration cannot be used; `message` tells every mistake on a line of its own. */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  source: Schema.String,
  mistakes: Schema.Array(Schema.Struct({ line: Schema.Int, key: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    return this.mistakes
      .map(
        ({ key, line, problem }) =>
          `${this.source}${line > 0 ? `:${line}` : ""}: ${key === "" ? "" : `${key}: `}${problem}`
      )
      .join("\n")
  }
}

// --- make ---

/** A YAML text that could be read: its value, and where in it each key stands. */
export interface ConfigText {
  readonly value: unknown
  readonly locate: Locate
  readonly document: YAML.Document
}

/** Reads a YAML text without a schema, or tells each of its mistakes with its line. */
export const openYaml = (text: string, source: string): Result.Result<ConfigText, ConfigError> => {
  const lines = new YAML.LineCounter()
  const document = YAML.parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length === 0) {
    return Result.succeed({ value: document.toJS() ?? {}, locate: locator(document, lines), document })
  }
  const mistakes = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    key: "",
    problem: error.message
  }))
  return Result.fail(new ConfigError({ source, mistakes }))
}

/** The same text as part of a larger one, in which it stands at `path`. Its lines stay as they are. */
export const below = ({ document, locate }: ConfigText, path: ReadonlyArray<string>): ConfigText => {
  const whole = new YAML.Document({})
  whole.setIn(path, document.contents)
  return { value: whole.toJS(), locate: (whole) => locate(whole.slice(path.length)), document: whole }
}

/** Reads a YAML text by a schema, or tells every mistake in it with its line. */
export const readYaml = <A>(
  schema: Schema.ConstraintDecoder<A>,
  text: string,
  source: string
): Result.Result<A, ConfigError> =>
  Result.flatMap(openYaml(text, source), ({ locate, value }) =>
    Result.mapError(decode(schema, value, [], locate), (mistakes) => new ConfigError({ source, mistakes }))
  )

/** Decodes the part of a configuration that stands at `prefix`, or tells every mistake in it with its line. */
export const decode = <A>(
  schema: Schema.ConstraintDecoder<A>,
  input: unknown,
  prefix: ReadonlyArray<PropertyKey>,
  locate: Locate,
  onExcessProperty: "error" | "ignore" = "error"
): Result.Result<A, ReadonlyArray<Mistake>> => {
  const decoded = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty, reportInput: true })(input)
  return Result.mapError(decoded, (error) =>
    formatter(error.issue).issues.map((issue) => {
      const path = [...prefix, ...(issue.path ?? []).map((part) => (typeof part === "object" ? part.key : part))]
      // The value given for the store may hold a password, or be one.
      const isSecret = path[0] === "store" || path.includes("password")
      const problem = isSecret ? issue.message.replace(/(,? got | with value )[\s\S]*$/, "") : issue.message
      return { line: locate(path), key: path.map(String).join("."), problem: bounded(problem) }
    })
  )
}

// --- internal ---

/** The most of a mistake that is shown. What was given instead may be a whole file of another kind. */
const longest = 300

const bounded = (text: string): string => (text.length > longest ? `${text.slice(0, longest)}…` : text)

const formatter = SchemaIssue.makeFormatterStandardSchemaV1()

/** The line of the deepest node that a path still finds. So a missing key is told where it should stand. */
const locator =
  (document: YAML.Document, lines: YAML.LineCounter): Locate =>
  (path) => {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
      if (YAML.isMap(parent)) {
        const pair = parent.items.find(
          (item) => String(YAML.isScalar(item.key) ? item.key.value : item.key) === String(path[length - 1])
        )
        if (pair !== undefined && YAML.isNode(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
      }
      const node = document.getIn(path.slice(0, length), true)
      if (YAML.isNode(node) && node.range) return lines.linePos(node.range[0]).line
    }
    return 1
  }
