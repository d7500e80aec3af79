/**
 * What a drive asks of the hosts of an order: by which mechanism, under which name and epoch, how each fence stands, and for
 * how long it waits for an answer.
 */
import * as Effect from "effect/Effect"
import { injectorOfFence } from "@inquorate/core/Cluster"
import { type FenceId, type FenceState, type Injector, InjectorError } from "@inquorate/core/Injector"
import { type Operation, type Order, verifyBudget } from "@inquorate/core/Operation"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import type { Session } from "./Session.ts"

/** The name of a fence on its host. */
export const fenceId = (operation: Operation, order: Order, fence: PlannedFence): FenceId => ({
  operationId: order.of?.operationId ?? operation.id,
  attempt: order.of?.attempt ?? operation.attempt,
  member: fence.member
})

/** The epoch by which this drive speaks to the hosts of an order: above that of whoever armed it. */
export const epochOf = ({ epoch, known }: Session, order: Order): number =>
  order.of === undefined ? epoch : known.standingEpoch + epoch

/** The mechanism that a fence names; null where no configured cluster has it. */
export const injectorOf = ({ ground, known }: Session, fence: PlannedFence): Injector | null =>
  injectorOfFence(ground.clusters, known.place?.cluster ?? null, fence)

/** How one fence stands; null where the host could not say. From then on the host obeys no epoch below this drive's. */
export const inspect = (session: Session, order: Order, fence: PlannedFence): Effect.Effect<FenceState | null> => {
  const injector = injectorOf(session, fence)
  if (injector === null) return Effect.succeed(null)
  const id = fenceId(session.journal.stored().operation, order, fence)
  return bounded(fence, injector.inspect(fence.process.host, id, epochOf(session, order))).pipe(
    Effect.match({ onFailure: () => null, onSuccess: (state): FenceState | null => state })
  )
}

/** How every fence of an order stands, in the order's own order. */
export const inspectAll = (
  session: Session,
  order: Order
): Effect.Effect<ReadonlyArray<readonly [PlannedFence, FenceState | null]>> =>
  Effect.andThen(
    session.ground.lease.permit,
    Effect.forEach(
      order.fences,
      (fence) => Effect.map(inspect(session, order, fence), (state) => [fence, state] as const),
      { concurrency: "unbounded" }
    )
  )

/** An answer of a host, or `Unknown` where it took too long. */
export const bounded = <A>(
  fence: PlannedFence,
  asked: Effect.Effect<A, InjectorError>,
  within: Millis = hostTimeout
): Effect.Effect<A, InjectorError> =>
  Effect.timeoutOrElse(asked, {
    duration: within,
    orElse: () =>
      Effect.fail(
        new InjectorError({
          host: fence.process.host,
          member: fence.member,
          reason: "Unknown",
          detail: `no answer within ${within} ms`
        })
      )
  })

/**
 * How long a host may take to arm a fence before its answer counts as lost. The slower it was seen to be, the longer.
 */
export const armingWithin = (verifyWithin: Millis): Millis => hostTimeout + 2 * (verifyWithin - verifyBudget)

// --- internal ---

/** How long a host may take before its answer counts as lost. */
const hostTimeout: Millis = 5000
