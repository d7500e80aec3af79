/**
 * The parameter `synchronous_standby_names` as PostgreSQL 10 and later read it: `ANY k (list)`, `FIRST k (list)`, `k
 * (list)`, a bare list, and `*`. `k (list)` and a bare list mean FIRST. Names may stand in double quotes, and keywords
 * in either case. Names are compared without regard to case, quoted or not.
 */
import * as Result from "effect/Result"

/** What a commit waits for. */
export type StandbyRule =
  /** Nothing but the primary. */
  | { readonly _tag: "Off" }
  /** Any `needed` of the listed standbys. */
  | { readonly _tag: "Any"; readonly needed: number; readonly standbys: ReadonlyArray<string> }
  /** The first `needed` of the listed standbys that are connected. */
  | { readonly _tag: "First"; readonly needed: number; readonly standbys: ReadonlyArray<string> }

/** Reads the parameter; a failure says what is wrong with it. */
export const parse = (text: string): Result.Result<StandbyRule, string> => {
  const tokens = tokenize(text)
  if (typeof tokens === "string") return Result.fail(tokens)
  if (tokens.length === 0) return Result.succeed({ _tag: "Off" })
  const [first, second] = tokens
  if (first!.kind === "keyword") {
    if (second?.kind !== "number") return Result.fail(`a number must follow ${first!.text}`)
    return listed(first!.text.toUpperCase() === "ANY" ? "Any" : "First", second.text, tokens.slice(2))
  }
  if (first!.kind === "number" && second?.text === "(" && second.kind === "mark") {
    return listed("First", first!.text, tokens.slice(1))
  }
  return Result.map(names(tokens), (standbys): StandbyRule => ({ _tag: "First", needed: 1, standbys }))
}

/** The rule in PostgreSQL's own words. */
export const print = (rule: StandbyRule): string =>
  rule._tag === "Off" ? "" : `${rule._tag.toUpperCase()} ${rule.needed} (${rule.standbys.map(quoteName).join(", ")})`

/**
 * A name as it stands in the list, or as a role's name in SQL. It is in double quotes wherever it could be read as
 * something else.
 */
export const quoteName = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) && !/^(any|first)$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`

/** True where two standby names are the same to PostgreSQL. */
export const sameName = (one: string, other: string): boolean => lower(one) === lower(other)

// --- internal ---

interface Token {
  readonly kind: "name" | "number" | "keyword" | "mark"
  readonly text: string
}

// For PostgreSQL's scanner, letters are those of ASCII, the underscore, and every byte above 127.
const pattern =
  /[ \t\n\r\f\v]+|(any|first)(?![\w$\u0080-\uffff])|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\*)|"((?:[^"]|"")+)"|(\d+)|([(),])/iuy

const tokenize = (text: string): ReadonlyArray<Token> | string => {
  const tokens: Array<Token> = []
  pattern.lastIndex = 0
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex
    const match = pattern.exec(text)
    if (match === null) return `unexpected text at "${text.slice(at, at + 20)}"`
    const [, keyword, name, quoted, number, mark] = match
    if (keyword !== undefined) tokens.push({ kind: "keyword", text: keyword })
    else if (name !== undefined) tokens.push({ kind: "name", text: name })
    else if (quoted !== undefined) tokens.push({ kind: "name", text: quoted.replaceAll('""', '"') })
    else if (number !== undefined) tokens.push({ kind: "number", text: number })
    else if (mark !== undefined) tokens.push({ kind: "mark", text: mark })
  }
  return tokens
}

const listed = (
  _tag: "Any" | "First",
  count: string,
  tokens: ReadonlyArray<Token>
): Result.Result<StandbyRule, string> => {
  const needed = Number(count)
  if (needed < 1) return Result.fail("the number of standbys must be greater than zero")
  if (!isMark(tokens[0], "(") || !isMark(tokens.at(-1), ")")) return Result.fail("a list in parentheses must follow")
  return Result.map(names(tokens.slice(1, -1)), (standbys) => ({ _tag, needed, standbys }))
}

const isMark = (token: Token | undefined, text: string): boolean => token?.kind === "mark" && token.text === text

const names = (tokens: ReadonlyArray<Token>): Result.Result<ReadonlyArray<string>, string> => {
  const found: Array<string> = []
  for (const [index, token] of tokens.entries()) {
    if (index % 2 === 1) {
      if (!isMark(token, ",")) return Result.fail(`a comma must come before ${token.text}`)
    } else if (token.kind === "name" || token.kind === "number") found.push(token.text)
    else return Result.fail(`a standby's name was expected, not ${token.text}`)
  }
  return tokens.length % 2 === 1 ? Result.succeed(found) : Result.fail("the list of standbys ends too early")
}

const lower = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
