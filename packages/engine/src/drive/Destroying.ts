/**
 * The step of a data loss that cannot be undone. It is begun once, by the drive that ordered it; a drive that took it over
 * only looks whether the system has counted another data loss, and leaves a new attempt to a new look-up.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Operation } from "@inquorate/core/Operation"
import type { DataLossRequest } from "@inquorate/core/Request"
import { TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import { discover } from "../plan/LookUp.ts"
import { failed, unwatchable } from "./Outcomes.ts"
import type { Outcome, Session } from "./Session.ts"

/** Has the target destroy replicas with their data, and looks whether it counted the loss. */
export const destroy = (session: Session, operation: Operation): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { cluster, group } = session
    const request = operation.request as DataLossRequest
    const fresh = session.orderedAttempt === operation.attempt
    session.orderedAttempt = null
    if (cluster?.target.loseData === undefined || group === null) return unwatchable(session)
    if (!fresh) return yield* lookAtTaken(session)
    yield* session.ground.lease.permit
    const lost = yield* Effect.result(
      Effect.timeoutOrElse(cluster.target.loseData(group, request.mode, request.member), {
        duration: destroyWithin,
        orElse: () => Effect.fail(tooLate(cluster.name))
      })
    )
    // One replica alone is no loss that the system would count.
    const seen = request.member === undefined ? yield* lossCounted(session) : null
    // A lost answer says nothing of the loss, and a good one says less than the system's own count.
    if (seen === true || (seen === null && Result.isSuccess(lost))) return destroyed(session)
    if (Result.isSuccess(lost)) return failed(session, "E_ABORT", true, "The system has not counted a data loss")
    const { detail, reason } = lost.failure
    const retryable = reason === "Unreachable" || reason === "TimedOut"
    return failed(session, codes[reason], retryable, `The data was not destroyed: ${detail}`)
  })

// --- internal ---

/** Service Fabric waits as long for the replicas to be dropped (ReplicaDropWaitDurationInSeconds). */
const destroyWithin: Millis = 600_000

const codes = {
  Unreachable: "FABRIC_E_COMMUNICATION_ERROR",
  TimedOut: "FABRIC_E_TIMEOUT",
  Misconfigured: "FABRIC_E_INVALID_OPERATION",
  Unsupported: "FABRIC_E_INVALID_OPERATION",
  Unfit: "FABRIC_E_INVALID_OPERATION"
} as const

const tooLate = (cluster: string): TargetError =>
  new TargetError({ cluster, endpoint: "", reason: "TimedOut", detail: `no answer within ${destroyWithin} ms` })

const destroyed = (session: Session): Outcome => ({
  event: { _tag: "DataDestroyed", at: session.timeline.now() },
  facts: [{ _tag: "Noted", text: "The replicas and their data are gone" }]
})

const lookAtTaken = (session: Session): Effect.Effect<Outcome> =>
  Effect.map(lossCounted(session), (seen) =>
    seen === true
      ? destroyed(session)
      : failed(
          session,
          "FABRIC_E_COMMUNICATION_ERROR",
          true,
          "An earlier owner was about to destroy the data, and nothing tells that it did"
        )
  )

/** Whether the system has counted another data loss since the look-up; null where it counts none or cannot be seen. */
const lossCounted = (session: Session): Effect.Effect<boolean | null> =>
  Effect.gen(function* () {
    const { cluster, topology } = session
    const before = topology?.service?.dataLossVersion
    if (cluster === null || before === undefined) return null
    const seen = yield* Effect.option(discover(cluster.target))
    if (seen._tag === "None") return null
    const now = seen.value.find(({ partitionId }) => partitionId === topology!.partitionId)
    return now?.service === undefined ? null : now.service.dataLossVersion !== before
  })
