/**
 * The URL grammar of Service Fabric's HTTP gateway as one pure parser: method and request target in, one tagged call or
 * one error out. Ids may hold raw `/` or `~`. Literal segments must match in case. The first value of a query parameter
 * wins. If no template matches, the answer is 400 `E_INVALIDARG`, never 404 or 405. The calls are the rows of
 * `FabricRoutes.ts`. The parser reads their fields in the order in which the gateway checks them, and the first failure
 * is the answer.
 * Source of the rules: the gateway's own parser (MIT, 6.4 era) and its 8.2 specification.
 */
import * as Result from "effect/Result"
import type { FabricRequest, WireError } from "./FabricCall.ts"
import { parseQuery, quote, Reader } from "./FabricParameters.ts"
import { type Row, rows } from "./FabricRoutes.ts"

/**
 * The newest api-version whose forms we know, which is also the version of the runtime that we announce. A newer client
 * gets answers in the forms of this version.
 */
export const apiVersionMax = 8.2

/**
 * Finds the call that a method and a request target (`/path?query`, or absolute) mean, or says why they mean none.
 * Never throws.
 */
export const parse = (method: string, target: string): Result.Result<FabricRequest, WireError> => {
  const { path, query } = split(target)
  const segments = path.split("/").filter((segment) => segment !== "")
  for (const row of rowsFor(method, segments)) {
    const keys = match(row.template, segments)
    if (keys === undefined) continue
    const parameters = parseQuery(query)
    const reader = new Reader(keys, parameters)
    const version = row.versioned ? Math.min(reader.version(row.versions), apiVersionMax) : apiVersionMax
    const timeout = reader.timeout()
    const call = row.read(reader)
    return reader.failure === undefined ? Result.succeed({ call, version, timeout }) : Result.fail(reader.failure)
  }
  return Result.fail({ code: "E_INVALIDARG", message: `No call matches ${quote(method)} ${quote(path)}.` })
}

/** The id of a `fabric:/` name in a URL or a reply. From api-version 6.0 on, each inner `/` becomes `~`. */
export const idOf = (name: string, version: number): string => {
  const escaped = withoutScheme(name).split("/").map(encodeURIComponent)
  return escaped.join(version >= 6 ? "~" : "/")
}

/** The continuation token of a `fabric:/` name, safe in a URL without escapes. */
export const nameToken = (name: string): string =>
  `fabric:/${withoutScheme(name).split("/").map(encodeURIComponent).join("/")}`

// --- internal ---

// The rows by method and first segment, so that a request meets a few templates and not all of them.
const index: ReadonlyMap<string, ReadonlyArray<Row>> = (() => {
  const map = new Map<string, Array<Row>>()
  for (const entry of rows) {
    const key = `${entry.method} ${entry.template[0] ?? ""}`
    const group = map.get(key)
    if (group === undefined) map.set(key, [entry])
    else group.push(entry)
  }
  return map
})()

const rowsFor = (method: string, segments: ReadonlyArray<string>): ReadonlyArray<Row> =>
  index.get(`${method} ${dollar(segments[0] ?? "")}`) ?? []

const dollar = (segment: string): string => (segment === "%24" ? "$" : segment)

// A key swallows segments up to the next `$`, so an id may hold a raw `/`. It never swallows a `$`.
const match = (
  template: ReadonlyArray<string>,
  segments: ReadonlyArray<string>
): Readonly<Record<string, string>> | undefined => {
  const keys: Record<string, string> = {}
  let at = 0
  for (const expected of template) {
    const segment = dollar(segments[at] ?? "")
    if (!expected.startsWith("{")) {
      if (segment !== expected) return undefined
      at++
      continue
    }
    const from = at
    while (at < segments.length && dollar(segments[at]!) !== "$") at++
    if (at === from) return undefined
    keys[expected.slice(1, -1)] = segments.slice(from, at).join("/")
  }
  return at === segments.length ? keys : undefined
}

const split = (target: string): { readonly path: string; readonly query: string } => {
  const hash = target.indexOf("#")
  const whole = hash === -1 ? target : target.slice(0, hash)
  const mark = whole.indexOf("?")
  const path = mark === -1 ? whole : whole.slice(0, mark)
  return {
    path: path.startsWith("/") ? path : path.replace(/^https?:\/\/[^/]*/i, ""),
    query: mark === -1 ? "" : whole.slice(mark + 1)
  }
}

const withoutScheme = (name: string): string => (name.startsWith("fabric:/") ? name.slice("fabric:/".length) : name)
