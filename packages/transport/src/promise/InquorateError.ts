/**
 * The one error of the promise client. Its code says what the caller can do next.
 */
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Refusal } from "@inquorate/core/Plan"

/**
 * What went wrong. If a worker said no, `code` is the wire's own. `BadRequest` means that an argument of yours makes no
 * sense. Else the code says what became of the connection: `Unreachable`, `Untrusted`, `TimedOut`, `BadAnswer`, or
 * `NotAWorker` if something else answers there.
 */
export class InquorateError extends Error {
  override readonly name = "InquorateError"
  readonly code: FabricErrorCode | "BadRequest" | "Unreachable" | "Untrusted" | "TimedOut" | "BadAnswer" | "NotAWorker"
  /** The rule that said no, with its facts, if a rule did. */
  readonly refusal: Refusal | null
  /** The HTTP status, if there was an answer. */
  readonly status: number | null
  /** The operation that ended without proof, if one did. */
  readonly operationId: string | null

  constructor(
    code: InquorateError["code"],
    message: string,
    more: {
      readonly refusal?: Refusal | null
      readonly status?: number
      readonly operationId?: string
      readonly cause?: unknown
    } = {}
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.refusal = more.refusal ?? null
    this.status = more.status ?? null
    this.operationId = more.operationId ?? null
  }
}
