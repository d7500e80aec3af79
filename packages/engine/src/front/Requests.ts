/**
 * Core's `Operations`: what a front may ask of a worker. A start is durable before it is answered, a cancel is one
 * compare-and-set against whatever the worker is doing, and every "no" carries the wire's code and a sentence.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { collect } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal, type Operation, standingOrder } from "@inquorate/core/Operation"
import type { OperationChange, Operations, RequestRefused } from "@inquorate/core/Operations"
import { isPartitionRequest, type QuorumLossRequest, subjectOf } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { stateOf } from "@inquorate/core/Wire"
import type { Ground } from "../drive/Session.ts"
import { findCluster } from "../plan/Discovery.ts"
import * as Aftermath from "./Aftermath.ts"
import * as Cancel from "./Cancel.ts"
import { preview } from "./Preview.ts"
import { recover } from "./RecoverCalls.ts"
import { find, storeRefused } from "./Refusing.ts"
import * as Start from "./Start.ts"

/** What a worker answers with. `defaultMaxHold` bounds a hold on a cluster that is not configured. */
export const make = (
  ground: Ground,
  clusters: Operations["Service"]["clusters"],
  defaultMaxHold: Millis
): Operations["Service"] => {
  const { store } = ground
  // Whatever our own clock says: what it gets wrong would be waited for by everybody.
  const now = Effect.catchTag(ground.clock.now, "StoreError", storeRefused)
  const limitOf = (request: QuorumLossRequest): Millis | null => {
    const found = findCluster(ground.clusters, request.serviceName)
    return found === undefined ? defaultMaxHold : found.cluster.maxHold
  }

  return {
    start: Start.make(ground, now, limitOf),
    cancel: Cancel.make(ground, now),
    get: (id) => Effect.map(find(store, id), ({ operation }) => operation),
    detail: Effect.fn("Operations.detail")(function* (id) {
      const { operation } = yield* find(store, id)
      const entries = yield* Effect.catchTag(store.evidence(id, 0), "StoreError", storeRefused)
      return { operation, state: stateOf(operation.stage), evidence: collect(entries) }
    }),
    list: (limit) =>
      store.list({ states: [], limit, newestFirst: true, after: null }).pipe(
        Effect.catchTag("StoreError", storeRefused),
        Effect.map((stored) => stored.map(({ operation }) => operation).reverse())
      ),
    unreadable: store.unreadable.pipe(
      Effect.catchTag("StoreError", storeRefused),
      Effect.map((rows) => rows.map(({ id, problem, state }) => ({ id, state, problem })))
    ),
    plan: (request) => preview(ground, request, limitOf),
    watch: (id) => watch(ground, id),
    clusters,
    holders: store.holding.pipe(
      Effect.catchTag("StoreError", storeRefused),
      Effect.map((holding) => holdersOf(holding.map(({ operation }) => operation)))
    ),
    aftermath: Effect.catchTag(Aftermath.make(store, ground.clock.now), "StoreError", storeRefused),
    recover: Effect.fn("Operations.recover")(function* (scope) {
      return yield* recover(ground.clusters, yield* clusters, scope)
    }),
    unready: unready(ground)
  }
}

// --- internal ---

const watchPoll = 1000
const storeAnswers: Millis = 1500

const unready = ({ lease, store }: Ground): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const problems: Array<string> = []
    const asked = yield* Effect.result(Effect.timeoutOption(store.now, storeAnswers))
    if (Result.isFailure(asked)) problems.push(asked.failure.detail)
    else if (Option.isNone(asked.success)) problems.push(`The store did not answer within ${storeAnswers} ms.`)
    if (!(yield* lease.isLive))
      problems.push("This worker's lease is not live: it does nothing until it has renewed it.")
    return problems
  })

/** One operation for each partition, those of nodes aside: the one whose fences stand or may stand, else the one that looks, else none. */
const holdersOf = (holding: ReadonlyArray<Operation>): ReadonlyArray<Operation> => {
  const holders = new Map<Guid, Operation>()
  for (const operation of holding) {
    const { stage } = operation
    if (!isPartitionRequest(operation.request)) continue
    if (stage._tag === "Advancing" && stage.step._tag === "IntentSaved") continue
    const before = holders.get(subjectOf(operation.request))
    if (before === undefined || (standingOrder(before) === null && standingOrder(operation) !== null)) {
      holders.set(subjectOf(operation.request), operation)
    }
  }
  return [...holders.values()]
}

const watch = ({ store }: Ground, id: Guid): Stream.Stream<OperationChange, RequestRefused> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const changed = yield* Latch.make(true)
      yield* Effect.forkScoped(
        Stream.runForEach(store.changes, (change) => (change.id === id ? changed.open : Effect.void)),
        { startImmediately: true }
      )
      const look = (seen: Seen) =>
        Effect.gen(function* () {
          // A change is a hint that may be lost, so it is also looked without one.
          yield* Effect.timeoutOption(changed.await, watchPoll)
          yield* changed.close
          const { operation, version } = yield* find(store, id)
          const entries = yield* Effect.catchTag(store.evidence(id, seen.entries), "StoreError", storeRefused)
          const next = { version, entries: seen.entries + entries.length }
          const change = { operation, state: stateOf(operation.stage), entries }
          const news = version !== seen.version || entries.length > 0 ? [change] : []
          return [news, isTerminal(operation) ? Option.none<Seen>() : Option.some(next)] as const
        })
      return Stream.paginate({ version: -1, entries: 0 }, look)
    })
  )

interface Seen {
  readonly version: number
  readonly entries: number
}
