/**
 * The errors that a Service Fabric gateway answers with, as a union whose tag is the gateway's own code. So the
 * compiler checks `Effect.catchTag("FABRIC_E_KEY_NOT_FOUND", …)`. A real gateway has many more codes than Inquorate's
 * table. Such a code is tagged `UNKNOWN`, and `code` keeps its spelling.
 */
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import * as Data from "effect/Data"

// --- models ---

/** The tag of an error: a code of the table, or `UNKNOWN`. */
export type RefusalTag = FabricErrorCode | "UNKNOWN"

/** An error answer under one code. `status` is the HTTP status, `message` the gateway's own sentence. */
export class FabricRefusal<Tag extends RefusalTag = RefusalTag> extends Data.Error<{
  readonly _tag: RefusalTag
  readonly code: string
  readonly status: number
  readonly message: string
}> {
  declare readonly _tag: Tag
}

/** An error answer of a gateway, by its code. */
export type FabricApiError = { readonly [Tag in RefusalTag]: FabricRefusal<Tag> }[RefusalTag]

// --- make ---

/** Makes the error of a code that came from the wire. */
export const make = (code: string, status: number, message: string): FabricApiError =>
  new FabricRefusal({
    _tag: Object.hasOwn(table, code) ? (code as FabricErrorCode) : "UNKNOWN",
    code,
    status,
    message
  }) as FabricApiError

/** True for an error answer of a gateway. False for an error on the way there. */
export const isRefusal = (error: unknown): error is FabricApiError => error instanceof FabricRefusal
