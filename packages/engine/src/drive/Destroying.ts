/**
 * The step that the target does itself, such as the destruction of data. It cannot be undone. The drive that ordered it
 * begins it once. A drive that took it over only looks whether the system has counted another data loss, and leaves a
 * new attempt to a new look-up.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { faultOf, type TargetAct } from "@inquorate/core/Fault"
import type { Operation } from "@inquorate/core/Operation"
import { TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import { discover } from "../plan/Discovery.ts"
import type { Place } from "./Known.ts"
import { failed, notConfigured } from "./Outcomes.ts"
import type { Outcome, Session } from "./Session.ts"

/**
 * Has the target do what it does itself. Where the system counts a loss of its data, looks whether it has counted one.
 */
export const destroy = (session: Session, operation: Operation, place: Place): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { cluster, group } = place
    const { act } = faultOf(operation.request)
    if (act === null) return notConfigured(session)
    const performed = act.perform(cluster.target, group)
    if (performed === undefined) return notConfigured(session)
    if (session.known.fences._tag !== "Ordered") return yield* lookAtTaken(session, place, act)
    yield* session.ground.lease.permit
    const lost = yield* Effect.result(
      Effect.timeoutOrElse(performed, {
        duration: destroyWithin,
        orElse: () => Effect.fail(tooLate(cluster.name))
      })
    )
    const seen = act.counted ? yield* lossCounted(place) : null
    // A lost answer says nothing of the loss. A good one says less than the system's own count.
    if (seen === true || (seen === null && Result.isSuccess(lost))) return done(session, act)
    if (Result.isSuccess(lost)) return failed(session, "E_ABORT", true, "The system has not counted a data loss")
    const { detail, reason } = lost.failure
    const retryable = reason === "Unreachable" || reason === "TimedOut"
    return failed(session, codes[reason], retryable, `${act.notDone}: ${detail}`)
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

const done = (session: Session, act: TargetAct): Outcome => ({
  event: { _tag: "DataDestroyed", at: session.timeline.now() },
  facts: [{ _tag: "Noted", text: act.done }]
})

const lookAtTaken = (session: Session, place: Place, act: TargetAct): Effect.Effect<Outcome> =>
  Effect.map(lossCounted(place), (seen) =>
    seen === true ? done(session, act) : failed(session, "FABRIC_E_COMMUNICATION_ERROR", true, act.untold)
  )

/** Whether the system has counted another data loss since the look-up; null where it counts none or cannot be seen. */
const lossCounted = ({ cluster, topology }: Place): Effect.Effect<boolean | null> =>
  Effect.gen(function* () {
    const before = topology?.service?.dataLossVersion
    if (before === undefined) return null
    const seen = yield* Effect.option(discover(cluster.target))
    if (seen._tag === "None") return null
    const now = seen.value.find(({ partitionId }) => partitionId === topology!.partitionId)
    return now?.service === undefined ? null : now.service.dataLossVersion !== before
  })
