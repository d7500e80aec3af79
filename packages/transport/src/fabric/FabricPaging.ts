/**
 * The answers of query calls, and the pages of lists. A page holds the items whose keys are strictly greater than the
 * token. So no item appears twice, whatever comes and goes between two pages.
 */
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Paging } from "./FabricCall.ts"

// --- models ---

/** The answer to a query call: an object, nothing, or an error. */
export type QueryAnswer =
  | { readonly _tag: "Found"; readonly value: unknown }
  | { readonly _tag: "None" }
  | { readonly _tag: "Refused"; readonly code: FabricErrorCode }

// --- make ---

/** How many items a page has at most if the caller sets no limit. */
const pageMax = 1000

/** An answer with a value. */
export const found = (value: unknown): QueryAnswer => ({ _tag: "Found", value })

/** The answer about one thing. It is nothing if the thing is not there. */
export const oneOrNone = <A>(one: A | undefined, info: (one: A) => unknown): QueryAnswer =>
  one === undefined ? { _tag: "None" } : found(info(one))

/** The answer about one thing. It is an error if the thing is not there. */
export const oneOr = <A>(code: FabricErrorCode, one: A | undefined, info: (one: A) => unknown): QueryAnswer =>
  one === undefined ? { _tag: "Refused", code } : found(info(one))

/** A page of items: those strictly after the token. The items must come in the order of their keys. */
export const page = <A>(
  items: ReadonlyArray<A>,
  paging: Paging,
  key: (item: A) => string,
  info: (item: A) => unknown,
  token: (key: string) => string = (key) => key
): QueryAnswer => {
  const { after } = paging
  const rest = after === null ? items : items.filter((item) => key(item) > after)
  const shown = rest.slice(0, paging.limit === 0 ? pageMax : Math.min(paging.limit, pageMax))
  const last = shown.at(-1)
  return found({
    ContinuationToken: shown.length < rest.length && last !== undefined ? token(key(last)) : "",
    Items: shown.map(info)
  })
}
