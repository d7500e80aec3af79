/**
 * The "no" of a front: every reason of the engine as the wire's code and a sentence.
 */
import * as Effect from "effect/Effect"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { RequestRefused } from "@inquorate/core/Operations"
import type { OperationStore, StoreError, Stored } from "@inquorate/core/OperationStore"
import { describeRefusal, refusalCode } from "@inquorate/core/Plan"
import type { Unreachable } from "../plan/Discovery.ts"
import type { GuardRefused } from "../plan/Guards.ts"

/** A guard's no under this code. */
export const refused = (code: FabricErrorCode, refusal: GuardRefused["refusal"]): RequestRefused =>
  new RequestRefused({ code, detail: describeRefusal(refusal), refusal })

/** No operation has this id. */
export const notFound = (id: Guid): RequestRefused =>
  new RequestRefused({ code: "FABRIC_E_KEY_NOT_FOUND", detail: `OperationId '${id}' was not found`, refusal: null })

/** Another operation has this id. */
export const duplicate = (id: Guid): RequestRefused =>
  new RequestRefused({
    code: "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS",
    detail: `OperationId '${id}' already exists`,
    refusal: null
  })

/** The store did not do what it was asked. */
export const storeRefused = (error: StoreError): Effect.Effect<never, RequestRefused> =>
  Effect.andThen(
    error.reason === "Full" ? Effect.void : Effect.logError(error.detail),
    Effect.fail(
      new RequestRefused({
        code: error.reason === "Full" ? "FABRIC_E_SERVICE_TOO_BUSY" : "E_ABORT",
        detail: error.reason === "Full" ? `Too many operations wait: ${error.detail}` : error.detail,
        refusal: null
      })
    )
  )

/** A look before the start came to nothing. */
export const lookRefused = (problem: GuardRefused | Unreachable | StoreError): Effect.Effect<never, RequestRefused> => {
  switch (problem._tag) {
    case "GuardRefused":
      return Effect.fail(refused(refusalCode(problem.refusal), problem.refusal))
    case "Unreachable":
      return Effect.fail(
        new RequestRefused({ code: "FABRIC_E_COMMUNICATION_ERROR", detail: problem.detail, refusal: null })
      )
    case "StoreError":
      return storeRefused(problem)
  }
}

/** The stored operation, or the refusal of an id that none has. */
export const find = (store: OperationStore["Service"], id: Guid): Effect.Effect<Stored, RequestRefused> =>
  store.get(id).pipe(
    Effect.catchTag("StoreError", storeRefused),
    Effect.filterOrFail(
      (stored) => stored !== null,
      () => notFound(id)
    )
  )
