/**
 * The look that a front takes before it stores anything: every guard of a start but the one that has to write.
 */
import * as Effect from "effect/Effect"
import type { Guid } from "@inquorate/core/Guid"
import type { PlanPreview, RequestRefused } from "@inquorate/core/Operations"
import type { StoreError } from "@inquorate/core/OperationStore"
import { type FaultRequest, isNodeRequest, isQuorumLoss, type QuorumLossRequest } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import type { Unreachable } from "../plan/Discovery.ts"
import * as FaultPlan from "../plan/FaultPlan.ts"
import { type GuardRefused, notTooLong, pass, type PlanGround } from "../plan/Guards.ts"
import * as Others from "../plan/Others.ts"
import { lookRefused } from "./Refusing.ts"

/** What a plan would be, or the refusal in its place. `limitOf` bounds a hold. */
export const preview = (
  ground: PlanGround,
  request: FaultRequest,
  limitOf: (request: QuorumLossRequest) => Millis | null
): Effect.Effect<PlanPreview, RequestRefused> =>
  Effect.gen(function* () {
    if (isQuorumLoss(request)) yield* pass(request, null, [notTooLong(request, limitOf(request))])
    const { found, planned } = yield* look(ground, "", request)
    const { facts, fences } = planned
    return {
      topology: found._tag === "Group" ? found.topology : null,
      plan: facts.find((fact) => fact._tag === "Planned")?.plan ?? null,
      fences,
      notes: facts.flatMap((fact) => (fact._tag === "Noted" ? [fact.text] : [])),
      refusal: null
    }
  }).pipe(
    Effect.catchTag("GuardRefused", ({ refusal, topology }) =>
      Effect.map(topology === null ? seenGroup(ground, request) : Effect.succeed(topology), (topology) => ({
        topology,
        plan: null,
        fences: [],
        notes: [],
        refusal
      }))
    ),
    Effect.catch(lookRefused)
  )

/**
 * What a request names and the plan for it, after every guard but the one that has to write. Where somebody did not answer,
 * it looks once more: a late answer has taught it to wait longer.
 */
export const look = (
  ground: PlanGround,
  id: Guid,
  request: FaultRequest
): Effect.Effect<
  { readonly found: FaultPlan.Found; readonly planned: FaultPlan.Planned },
  GuardRefused | Unreachable | StoreError
> =>
  Effect.gen(function* () {
    // Asked before the group is looked at: what is seen while another operation holds it would be told as its own trouble.
    const others = yield* Others.read(ground, request, "unknown")
    const all: Others.Counting = { queuedCount: true }
    yield* pass(request, null, [Others.notBusy(others, { id, request }, all)])
    const found = yield* FaultPlan.find(ground, request)
    const receivedAt = yield* ground.clock.now
    const planned = yield* FaultPlan.plan(ground, others, found, { id, request, receivedAt }, all)
    const fences = FaultPlan.fencesToOrder(planned)
    yield* pass(request, null, [Others.notBusy(others, { id, request }, { ...all, fences })])
    return { found, planned }
  }).pipe(Effect.retry({ times: 1, while: (error) => error._tag === "Unreachable" && error.retryable }))

// --- internal ---

const seenGroup = (ground: PlanGround, request: FaultRequest): Effect.Effect<Topology | null> =>
  isNodeRequest(request)
    ? Effect.succeed(null)
    : FaultPlan.find(ground, request).pipe(
        Effect.map((found) => (found._tag === "Group" ? found.topology : null)),
        Effect.orElseSucceed(() => null)
      )
