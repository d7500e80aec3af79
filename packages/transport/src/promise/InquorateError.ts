/**
 * The one error of the promise client: its code says what the caller may do next.
 */
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Refusal } from "@inquorate/core/Plan"

/**
 * What went wrong. `code` is the wire's own where a worker said no, `BadRequest` for an argument of yours that makes no
 * sense, else what became of the connection: `Unreachable`, `Untrusted`, `TimedOut`, `BadAnswer`, or `NotAWorker` where
 * something else answers there.
 */
export class InquorateError extends Error {
  override readonly name = "InquorateError"
  readonly code: FabricErrorCode | "BadRequest" | "Unreachable" | "Untrusted" | "TimedOut" | "BadAnswer" | "NotAWorker"
  /** The rule that said no, with its facts, where one did. */
  readonly refusal: Refusal | null
  /** The HTTP status, where there was an answer. */
  readonly status: number | null
  /** The operation that ended without being proven, where one did. */
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
