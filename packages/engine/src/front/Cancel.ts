/**
 * The cancel of an operation: one compare-and-set against whatever the worker is doing.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { EvidenceEntry, Fact } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import { advance } from "@inquorate/core/Operation"
import { type Operations, RequestRefused } from "@inquorate/core/Operations"
import type { Stored } from "@inquorate/core/OperationStore"
import type { Instant } from "@inquorate/core/Time"
import { stateOf } from "@inquorate/core/Wire"
import { phaseFacts } from "../drive/Journal.ts"
import type { Ground } from "../drive/Session.ts"
import { monotonicNow } from "../Monotonic.ts"
import { find, notFound, storeRefused } from "./Refusing.ts"

/** How a worker cancels operations. `now` is the store's time. */
export const make = (
  { store, worker }: Ground,
  now: Effect.Effect<Instant, RequestRefused>
): Operations["Service"]["cancel"] =>
  Effect.fn("Operations.cancel")(function* (id, force) {
    while (true) {
      const stored = yield* find(store, id)
      const at = yield* now
      const next = advance(stored.operation, { _tag: "CancelRequested", at, force })
      if (Result.isFailure(next)) {
        if (next.failure.code === "FABRIC_E_KEY_NOT_FOUND") return yield* notFound(id)
        return yield* new RequestRefused({
          code: next.failure.code,
          detail: cancelRefused(id, stored, force),
          refusal: null
        })
      }
      // A repeated wish changes nothing, and must not disturb the undo that runs.
      if (JSON.stringify(next.success) === JSON.stringify(stored.operation)) return stored.operation
      const entries = yield* entriesOf(worker, at, [
        {
          at,
          fact: {
            _tag: "Noted",
            text: force ? "A caller asked to stop waiting for the clean-up" : "A caller asked to stop"
          }
        },
        ...phaseFacts(stored.operation, next.success, at)
      ])
      const saved = yield* Effect.result(store.save(stored, next.success, entries, null))
      if (Result.isSuccess(saved)) {
        yield* Effect.logInfo(force ? "Forced cancel recorded" : "Cancel recorded").pipe(
          Effect.annotateLogs({ operationId: id })
        )
        return saved.success.operation
      }
      if (saved.failure.reason !== "Conflict") return yield* storeRefused(saved.failure)
    }
  })

// --- internal ---

const cancelRefused = (id: Guid, { operation }: Stored, force: boolean): string =>
  force
    ? `OperationId '${id}' cannot be cancelled by force: it is ${stateOf(operation.stage)}, and force needs a graceful cancel first`
    : `OperationId '${id}' cannot be cancelled while it is ${stateOf(operation.stage)}`

const entriesOf = (
  worker: string,
  now: Instant,
  facts: ReadonlyArray<{ readonly at: Instant; readonly fact: Fact }>
): Effect.Effect<ReadonlyArray<EvidenceEntry>> =>
  Effect.map(monotonicNow, (monotonic) =>
    facts.map(({ at, fact }) => ({ at, monotonic: Math.max(0, monotonic - (now - at)), worker, fact }))
  )
