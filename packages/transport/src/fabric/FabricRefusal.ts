/**
 * The errors that a Service Fabric gateway answers with, as a union whose tag is the gateway's own code, so that
 * `Effect.catchTag("FABRIC_E_KEY_NOT_FOUND", …)` is checked by the compiler. A code that Inquorate's table does not have
 * (a real gateway has many more) is tagged `UNKNOWN` and keeps its spelling in `code`.
 */
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import * as Data from "effect/Data"

// --- models ---

/** What an error can be tagged with: a code of the table, or `UNKNOWN`. */
export type RefusalTag = FabricErrorCode | "UNKNOWN"

/** An error answered with one code; `status` is the HTTP status, `message` the gateway's own sentence. */
export class FabricRefusal<Tag extends RefusalTag = RefusalTag> extends Data.Error<{
  readonly _tag: RefusalTag
  readonly code: string
  readonly status: number
  readonly message: string
}> {
  declare readonly _tag: Tag
}

/** An error that a gateway answered with, by its code. */
export type FabricApiError = { readonly [Tag in RefusalTag]: FabricRefusal<Tag> }[RefusalTag]

// --- make ---

/** The error of a code, as it came from the wire. */
export const make = (code: string, status: number, message: string): FabricApiError =>
  new FabricRefusal({
    _tag: Object.hasOwn(table, code) ? (code as FabricErrorCode) : "UNKNOWN",
    code,
    status,
    message
  }) as FabricApiError

/** True for an error that a gateway answered with, and not for one of the way there. */
export const isRefusal = (error: unknown): error is FabricApiError => error instanceof FabricRefusal
