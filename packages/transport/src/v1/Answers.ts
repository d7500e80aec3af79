/**
 * What `/v1` answers about operations, and how a client knows that a worker answered. The declaration of the surface
 * and both its clients share these bodies. They stand apart from it, so that a page need not load it.
 */
import { FabricErrorCode } from "@inquorate/core/FabricError"
import { Operation } from "@inquorate/core/Operation"
import { Refusal } from "@inquorate/core/Plan"
import { OperationState } from "@inquorate/core/Wire"
import * as Schema from "effect/Schema"

/**
 * An operation with the wire's word for its state, and a sentence for a person that says how it ended or what it does
 * now. Its moments are in ISO 8601. A worker before 0.2 leaves out the sentence and the moments.
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

/** The answer of a start. `replayed` is true if the worker took the same start before and started nothing now. */
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
 * The header of every answer of our own surface, even of a refusal, with the surface's version. So the first answer
 * tells a client that a worker gave it, and not a Service Fabric gateway or some other server.
 */
export const apiHeader = { name: "inquorate-api", version: "1" } as const

/**
 * The header of a list of operations with how many stored operations cannot be read and are left out of it. Where there
 * are none, nobody needs to ask for them. A worker before 0.2 leaves it out.
 */
export const unreadableHeader = "inquorate-unreadable"
