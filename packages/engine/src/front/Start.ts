/**
 * The start of an operation: guards that are asked before anything is stored, then one durable row. A node takes one
 * transition at a time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal, make as makeOperation, type Operation } from "@inquorate/core/Operation"
import { type Operations, RequestRefused } from "@inquorate/core/Operations"
import {
  type FaultRequest,
  isNodeRequest,
  isQuorumLoss,
  type NodeRequest,
  placeOf,
  type QuorumLossRequest,
  subjectOf
} from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import * as Prober from "../drive/Prober.ts"
import type { Ground } from "../drive/Session.ts"
import * as Timeline from "../drive/Timeline.ts"
import type { Unreachable } from "../plan/Discovery.ts"
import * as FaultPlan from "../plan/FaultPlan.ts"
import { type GuardRefused, notTooLong, pass } from "../plan/Guards.ts"
import { look } from "./Preview.ts"
import { duplicate, lookRefused, refused, storeRefused } from "./Refusing.ts"

/** How a worker starts operations. `now` is the store's time, and `limitOf` bounds a hold. */
export const make = (
  ground: Ground,
  now: Effect.Effect<Instant, RequestRefused>,
  limitOf: (request: QuorumLossRequest) => Millis | null
): Operations["Service"]["start"] => {
  const { store } = ground
  // One start of a node after the other: between the look whether another runs on it and the storing comes no third.
  const nodes = Semaphore.makeUnsafe(1)

  const create = (operation: Operation): Effect.Effect<"Created" | "Duplicate", RequestRefused> => {
    const { request } = operation
    const created = Effect.catchTag(store.create(operation), "StoreError", storeRefused)
    return isNodeRequest(request)
      ? nodes.withPermits(1)(Effect.andThen(refuseTransition(store, request), created))
      : created
  }

  // Without a span: nobody collects it, and the stack that it would keep costs more than the guards.
  return Effect.fnUntraced(function* (id, request, options) {
    if (isNodeRequest(request)) yield* refuseTransition(store, request)
    if (options.maxHold === "configured" && isQuorumLoss(request)) {
      yield* pass(request, null, [notTooLong(request, limitOf(request))]).pipe(
        Effect.mapError(({ refusal }) => refused("E_INVALIDARG", refusal))
      )
    }
    if (options.guard) {
      const known = yield* Effect.catchTag(store.get(id), "StoreError", storeRefused)
      if (known !== null) return yield* duplicate(id)
      yield* guardAll(ground, id, request)
    }
    const operation = makeOperation(id, request, yield* now)
    if ((yield* create(operation)) === "Duplicate") return yield* duplicate(id)
    // Without annotations: each would give the fiber another context, which costs more than what it annotates.
    yield* Effect.logDebug(`Operation ${id} received: ${request.kind} on ${placeOf(request)}`)
    return operation
  })
}

// --- internal ---

// A node takes one transition at a time, and says so even to a repeated id: its lock comes first.
const refuseTransition = (store: Ground["store"], request: NodeRequest): Effect.Effect<void, RequestRefused> =>
  store.rivals(subjectOf(request), "None").pipe(
    Effect.catchTag("StoreError", storeRefused),
    Effect.flatMap((rivals) => {
      const other = rivals.find(({ operation }) => !isTerminal(operation))
      return other === undefined ? Effect.void : Effect.fail(transitionRuns(request, other.operation.id))
    })
  )

const transitionRuns = ({ nodeName }: NodeRequest, id: Guid): RequestRefused =>
  new RequestRefused({
    code: "FABRIC_E_NODE_TRANSITION_IN_PROGRESS",
    detail: `There is already a running transition on this node. Operation ${id} runs on ${nodeName}: wait for its end or cancel it.`,
    refusal: null
  })

// The drive goes on by what was planned here, and by the probe that wrote here.
const guardAll = (ground: Ground, id: Guid, request: FaultRequest): Effect.Effect<void, RequestRefused> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { found, planned } = yield* restore(look(ground, id, request))
      const writes = found._tag === "Group" && FaultPlan.needsSteady(request, found.topology)
      const probe = writes ? yield* restore(steady(ground, found)) : null
      yield* ground.lastLooks.keep(id, {
        fences: FaultPlan.fencesToOrder(planned),
        looks: planned.looks ?? [],
        probe
      })
    })
  ).pipe(Effect.catch(lookRefused))

// Writes once, and gives the probe, which is closed unless that was acknowledged.
const steady = (
  { lastLooks }: Ground,
  { cluster: { target }, topology }: FaultPlan.FoundGroup
): Effect.Effect<Prober.OpenProbe | null, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const scope = yield* lastLooks.scope
    const timeline = yield* Timeline.make(Clock.currentTimeMillis)
    let sequence = 1
    return yield* Effect.gen(function* () {
      const prober = yield* Prober.make(target, topology.group, { sample: () => undefined }, timeline, () => sequence++)
      yield* FaultPlan.steady(prober, topology, target.recoveryWriteTimeout)
      const probe = prober.opened()
      return probe === null ? null : { target, group: topology.group, probe, scope }
    }).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
  })
