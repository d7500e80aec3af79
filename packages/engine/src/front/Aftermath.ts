/**
 * What ended operations have left, for those who browse: which nodes a stop of ours holds, which of them are
 * deactivated or about to be, and how long the last loss of each partition was. The newest ended operations are listed
 * each time, so that a stop is told the moment it has Completed. The evidence of an ended loss is read once.
 */
import * as Effect from "effect/Effect"
import { collect } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import { grace } from "@inquorate/core/Operation"
import type { Aftermath } from "@inquorate/core/Operations"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import { isNodeRequest } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"

/** Tells what ended operations have left. */
export const make = (
  store: OperationStore["Service"],
  clock: Effect.Effect<Instant, StoreError>
): Effect.Effect<Aftermath, StoreError> => {
  let held = new Map<Guid, Millis | null>()

  const holdOf = (id: Guid): Effect.Effect<Millis | null, StoreError> => {
    const known = held.get(id)
    return known !== undefined
      ? Effect.succeed(known)
      : Effect.map(store.evidence(id, 0), (entries) => collect(entries).hold?.measured ?? null)
  }

  return Effect.gen(function* () {
    const now = yield* clock
    const ended = yield* store.list({ states: endedStates, limit: pageSize, newestFirst: true, after: null })
    const holding = yield* store.holding
    const nodes = new Map<string, boolean>()
    const deactivated = new Map<string, Deactivated>()
    for (const { operation } of holding) {
      const { id, request, stage } = operation
      if (!isNodeRequest(request) || !("intent" in request) || request.intent === undefined) continue
      if (stage._tag !== "Advancing") continue
      const { intent, nodeName } = request
      deactivated.set(nodeName, { nodeName, operationId: id, intent, until: null })
    }
    const losses = new Map<Guid, Millis>()
    const read = new Map<Guid, Millis | null>()
    for (const { operation } of ended) {
      const { id, request, stage } = operation
      if (isNodeRequest(request)) {
        // The newest that was carried out tells. Only the hosts know whether its fences were ended otherwise.
        if (stage._tag !== "Completed" || nodes.has(request.nodeName)) continue
        const until = stage.standing === undefined ? 0 : stage.standing.deadline + grace
        nodes.set(request.nodeName, request.transition === "Stop" && now < until)
        if (request.transition !== "Stop" || request.intent === undefined || now >= until) continue
        const { intent, nodeName } = request
        deactivated.set(nodeName, { nodeName, operationId: id, intent, until: until - grace })
      } else if (faultOf(request).losesQuorum && !losses.has(request.partitionId)) {
        const hold = yield* holdOf(id)
        read.set(id, hold)
        if (hold !== null) losses.set(request.partitionId, hold)
      }
    }
    held = read
    return {
      now,
      stoppedNodes: [...nodes].filter(([, stopped]) => stopped).map(([name]) => name),
      deactivated: [...deactivated.values()],
      lastLosses: [...losses].map(([partitionId, lasted]) => ({ partitionId, lasted }))
    }
  })
}

// --- internal ---

type Deactivated = NonNullable<Aftermath["deactivated"]>[number]

const endedStates = ["Completed", "Faulted", "Cancelled", "ForceCancelled"] as const
const pageSize = 500
