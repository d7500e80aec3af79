/**
 * What `/v1` answers about operations, and how a client knows that a worker answered: the bodies that the declaration of the
 * surface and both its clients share, apart from it, so that a page need not load it.
 */
import { FabricErrorCode } from "@inquorate/core/FabricError"
import { Operation } from "@inquorate/core/Operation"
import { Refusal } from "@inquorate/core/Plan"
import { OperationState } from "@inquorate/core/Wire"
import * as Schema from "effect/Schema"

/**
 * An operation with the wire's word for where it stands, and in words for a person how it ended or what it does now. The
 * moments are those of the operation in ISO 8601. A worker before 0.2 leaves these out.
 */
export class OperationView extends Schema.Opaque<OperationView>()(
  Schema.Struct({
    operation: Operation,
    state: OperationState,
    summary: Schema.optionalKey(Schema.String),
    received: Schema.optionalKey(Schema.String),
    ended: Schema.optionalKey(Schema.NullOr(Schema.String))
  }).annotate({
    identifier: "OperationView"
  })
) {}

/** The answer of a start. `replayed` is true where the same start was taken before and nothing was started now. */
export class StartReceipt extends Schema.Opaque<StartReceipt>()(
  Schema.Struct({ ...OperationView.fields, replayed: Schema.Boolean }).annotate({
    identifier: "StartReceipt"
  })
) {}

/** The body of an error. */
export class ApiErrorBody extends Schema.Opaque<ApiErrorBody>()(
  Schema.Struct({
    Error: Schema.Struct({ Code: FabricErrorCode, Message: Schema.String }),
    Refusal: Schema.optionalKey(Refusal)
  }).annotate({ identifier: "Error" })
) {}

/**
 * The header that every answer of our own surface carries, refusals too, with the surface's version. So a client knows from
 * its first answer that a worker gave it, and not a Service Fabric gateway or whatever else there is at an address.
 */
export const apiHeader = { name: "inquorate-api", version: "1" } as const
