/**
 * Core's `Operations`: what a front may ask of a worker. A start is durable before it is answered, a cancel is one
 * compare-and-set against whatever the worker is doing, and every "no" carries the wire's code and a sentence.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { collect, type EvidenceEntry, type Fact } from "@inquorate/core/Evidence"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { advance, isTerminal, make as makeOperation, type Operation, standingOrder } from "@inquorate/core/Operation"
import { type OperationChange, type Operations, type PlanPreview, RequestRefused } from "@inquorate/core/Operations"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { describeRefusal, refusalCode } from "@inquorate/core/Plan"
import {
  type FaultRequest,
  isNodeRequest,
  isPartitionRequest,
  isQuorumLoss,
  type NodeRequest,
  placeOf,
  type QuorumLossRequest,
  subjectOf
} from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import { stateOf } from "@inquorate/core/Wire"
import * as Aftermath from "./Aftermath.ts"
import { phaseFacts } from "../drive/Journal.ts"
import { findCluster, type GuardRefused, refuseBusy, refuseTooLong, type Unreachable } from "../plan/LookUp.ts"
import * as Looking from "../plan/Looking.ts"
import * as Prober from "../drive/Prober.ts"
import { recover } from "./Recover.ts"
import type { Ground } from "../drive/Session.ts"
import * as Timeline from "../drive/Timeline.ts"

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

  const find = (id: Guid): Effect.Effect<Stored, RequestRefused> =>
    store.get(id).pipe(
      Effect.catchTag("StoreError", storeRefused),
      Effect.filterOrFail(
        (stored) => stored !== null,
        () => notFound(id)
      )
    )

  // One start of a node after the other: between the look whether another runs on it and the storing comes no third.
  const nodes = Semaphore.makeUnsafe(1)

  const create = (operation: Operation): Effect.Effect<"Created" | "Duplicate", RequestRefused> => {
    const { request } = operation
    const created = Effect.catchTag(store.create(operation), "StoreError", storeRefused)
    return isNodeRequest(request)
      ? nodes.withPermits(1)(Effect.andThen(refuseTransition(store, request), created))
      : created
  }

  const start: Operations["Service"]["start"] = Effect.fn("Operations.start")(function* (id, request, options) {
    if (isNodeRequest(request)) yield* refuseTransition(store, request)
    if (options.maxHold === "configured" && isQuorumLoss(request)) {
      yield* refuseTooLong(request, limitOf(request)).pipe(
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

  const cancel: Operations["Service"]["cancel"] = Effect.fn("Operations.cancel")(function* (id, force) {
    while (true) {
      const stored = yield* find(id)
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
      const entries = yield* entriesOf(ground.worker, at, [
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

  return {
    start,
    cancel,
    get: (id) => Effect.map(find(id), ({ operation }) => operation),
    detail: Effect.fn("Operations.detail")(function* (id) {
      const { operation } = yield* find(id)
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
    watch: (id) => watch(ground, find, id),
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
const steadyWithin: Millis = 2000
const storeAnswers: Millis = 1500

const refused = (code: FabricErrorCode, refusal: GuardRefused["refusal"]): RequestRefused =>
  new RequestRefused({ code, detail: describeRefusal(refusal), refusal })

const notFound = (id: Guid): RequestRefused =>
  new RequestRefused({ code: "FABRIC_E_KEY_NOT_FOUND", detail: `OperationId '${id}' was not found`, refusal: null })

const duplicate = (id: Guid): RequestRefused =>
  new RequestRefused({
    code: "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS",
    detail: `OperationId '${id}' already exists`,
    refusal: null
  })

const cancelRefused = (id: Guid, { operation }: Stored, force: boolean): string =>
  force
    ? `OperationId '${id}' cannot be cancelled by force: it is ${stateOf(operation.stage)}, and force needs a graceful cancel first`
    : `OperationId '${id}' cannot be cancelled while it is ${stateOf(operation.stage)}`

const storeRefused = (error: StoreError): Effect.Effect<never, RequestRefused> =>
  Effect.andThen(
    error.reason === "Full" ? Effect.void : Effect.logError(error.detail),
    Effect.fail(
      new RequestRefused({
        code: error.reason === "Full" ? "FABRIC_E_SERVICE_TOO_BUSY" : "E_ABORT",
        detail: error.reason === "Full" ? `Too many operations wait: ${error.detail}` : error.detail,
        refusal: null
      })
    )
  )

const lookRefused = (problem: GuardRefused | Unreachable | StoreError): Effect.Effect<never, RequestRefused> => {
  switch (problem._tag) {
    case "GuardRefused":
      return Effect.fail(refused(refusalCode(problem.refusal), problem.refusal))
    case "Unreachable":
      return Effect.fail(
        new RequestRefused({ code: "FABRIC_E_COMMUNICATION_ERROR", detail: problem.detail, refusal: null })
      )
    case "StoreError":
      return storeRefused(problem)
  }
}

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

// Before the group is looked at too: what is seen while another operation holds it would be told as its own trouble.
const look = (
  ground: Ground,
  id: Guid,
  request: FaultRequest
): Effect.Effect<
  { readonly found: Looking.Found; readonly planned: Looking.Planned },
  GuardRefused | Unreachable | StoreError
> =>
  Effect.gen(function* () {
    yield* refuseBusy(ground.store, id, request, { queuedCount: true })
    const found = yield* Looking.find(ground, request)
    const receivedAt = yield* ground.clock.now
    const planned = yield* Looking.plan(ground, found, { id, request, receivedAt }, { queuedCount: true })
    if (planned.standing === undefined) {
      yield* refuseBusy(ground.store, id, request, { queuedCount: true, fences: planned.fences })
    }
    return { found, planned }
  })

const guardAll = (ground: Ground, id: Guid, request: FaultRequest): Effect.Effect<void, RequestRefused> =>
  Effect.gen(function* () {
    const { found } = yield* look(ground, id, request)
    if (found._tag === "Node" || !Looking.needsSteady(request, found.topology)) return
    const { cluster, topology } = found
    const timeline = yield* Timeline.make(Clock.currentTimeMillis)
    let sequence = 1
    const prober = yield* Prober.make(
      cluster.target,
      topology.group,
      { sample: () => undefined },
      timeline,
      () => sequence++
    )
    yield* Looking.steady(prober, topology, Math.min(steadyWithin, cluster.target.recoveryWriteTimeout))
  }).pipe(Effect.scoped, Effect.catch(lookRefused))

// Every guard of a start but the one that has to write.
const preview = (
  ground: Ground,
  request: FaultRequest,
  limitOf: (request: QuorumLossRequest) => Millis | null
): Effect.Effect<PlanPreview, RequestRefused> =>
  Effect.gen(function* () {
    if (isQuorumLoss(request)) yield* refuseTooLong(request, limitOf(request))
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

const seenGroup = (ground: Ground, request: FaultRequest): Effect.Effect<Topology | null> =>
  isNodeRequest(request)
    ? Effect.succeed(null)
    : Looking.find(ground, request).pipe(
        Effect.map((found) => (found._tag === "Group" ? found.topology : null)),
        Effect.orElseSucceed(() => null)
      )

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

const entriesOf = (
  worker: string,
  now: Instant,
  facts: ReadonlyArray<{ readonly at: Instant; readonly fact: Fact }>
): Effect.Effect<ReadonlyArray<EvidenceEntry>> =>
  Clock.clockWith((clock) =>
    Effect.sync(() => {
      const monotonic = Timeline.monotonicMillis(clock)
      return facts.map(({ at, fact }) => ({ at, monotonic: Math.max(0, monotonic - (now - at)), worker, fact }))
    })
  )

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

const watch = (
  { store }: Ground,
  find: (id: Guid) => Effect.Effect<Stored, RequestRefused>,
  id: Guid
): Stream.Stream<OperationChange, RequestRefused> =>
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
          const { operation, version } = yield* find(id)
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
