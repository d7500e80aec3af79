/**
 * The look-up of every kind of fault: finds what the request names, asks every guard, and says which fences are to be
 * ordered. A front asks the same before it stores anything; then nothing but the answer comes of it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Cluster } from "@inquorate/core/Cluster"
import type { Fact } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import { grace, type Operation, verifyBudgetOn } from "@inquorate/core/Operation"
import type { StoreError } from "@inquorate/core/OperationStore"
import { describeRefusal, type Override, overrideOf, type PlannedFence, Refusal } from "@inquorate/core/Plan"
import {
  type DataLossRequest,
  type FaultRequest,
  isNodeRequest,
  type NodeRequest,
  type PartitionRequest,
  subjectOf
} from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import { describeSupervisor } from "@inquorate/core/Supervision"
import type { Topology } from "@inquorate/core/Topology"
import { busy, crowdRefusals, storeRefusal } from "./Guards.ts"
import {
  discoverGroup,
  findCluster,
  GuardRefused,
  notSteady,
  overrides,
  cutOf,
  type PreparedFence,
  refuseBusy,
  Unreachable
} from "./LookUp.ts"
import { discoverNode, newestStop, type NodeSeen, planStop, startRefusal, stopRefusal } from "./Nodes.ts"
import { failed, ordering, refusedBy } from "../drive/Outcomes.ts"
import { notFenced } from "../drive/Arming.ts"
import * as Preparing from "../drive/Preparing.ts"
import type { Prober } from "../drive/Prober.ts"
import { takesWrites } from "../drive/Recovering.ts"
import { planRestart } from "./Restarting.ts"
import { type Ground, injectorAmong, type Outcome, type Session, settleOn } from "../drive/Session.ts"

/** Who asks for what, and since when. */
export interface Asked {
  readonly id: Guid
  readonly request: FaultRequest
  readonly receivedAt: Instant
}

/** What a request names, as it stands now. */
export type Found =
  | { readonly _tag: "Group"; readonly cluster: Cluster; readonly topology: Topology }
  | { readonly _tag: "Node"; readonly seen: NodeSeen }

/** What a look-up came to: the fences to order, or those of another operation that stand, and the facts to store. */
export interface Planned {
  readonly fences: ReadonlyArray<PlannedFence>
  readonly standing?: {
    readonly operationId: Guid
    readonly attempt: number
    readonly deadline: Instant
    readonly armedAt: Instant
    readonly epoch: number
  }
  /** How long the slowest host needed for its last look, where the loss has to show within a time. */
  readonly took?: Millis
  readonly facts: ReadonlyArray<Fact>
}

/** Finds what a request names. */
export const find = (ground: Ground, request: FaultRequest): Effect.Effect<Found, GuardRefused | Unreachable> =>
  isNodeRequest(request)
    ? Effect.map(discoverNode(ground.clusters, request.nodeName), (seen) => ({ _tag: "Node", seen }) as const)
    : Effect.map(discoverGroup(ground.clusters, request), (group) => ({ _tag: "Group", ...group }) as const)

/** The fences of a fault after every guard, those that look beyond the group included. */
export const plan = (
  ground: Ground,
  found: Found,
  asked: Asked,
  options: { readonly queuedCount: boolean }
): Effect.Effect<Planned, GuardRefused | Unreachable | StoreError> =>
  found._tag === "Node"
    ? planForNode(ground, found.seen, asked, options)
    : planForGroup(ground, found.cluster, found.topology, asked, options)

/** True where the recovery will be told by writes, so that they have to commit beforehand. */
export const needsSteady = (request: FaultRequest, topology: Topology): boolean =>
  faultOf(request).losesQuorum || takesWrites(topology)

/** Looks up what the stored operation asks for, and orders the fences. */
export const lookUp = (session: Session, operation: Operation): Effect.Effect<Outcome, StoreError> =>
  Effect.gen(function* () {
    const { ground } = session
    const beside = yield* besides(ground.store, operation)
    const chosen = chooseOnceBack(session, operation, session.timeline.now())
    return yield* Effect.catchTag(chosen, "GuardRefused", (refused) =>
      Effect.flatMap(heldMeanwhile(ground.store, beside, refused.refusal), (holder) =>
        Effect.succeed(refusedBy(session, holder === null ? refused.refusal : busy(holder)))
      )
    )
  }).pipe(
    Effect.catchTag("Unreachable", ({ detail, retryable }) =>
      Effect.succeed(failed(session, "FABRIC_E_COMMUNICATION_ERROR", retryable, detail))
    ),
    Effect.tap(({ event }) => (event._tag === "FencesOrdered" ? Effect.void : Preparing.letGo(session)))
  )

/** A write that is acknowledged now, or the refusal of a group that takes none. */
export const steady = (
  prober: Pick<Prober, "open" | "endpoints" | "once">,
  topology: Topology,
  timeout: Millis
): Effect.Effect<void, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    yield* prober.open
    let last = "no endpoint to write to"
    for (let endpoint = 0; endpoint < prober.endpoints(); endpoint++) {
      const { outcome } = yield* prober.once(endpoint, timeout)
      if (outcome?._tag === "Acknowledged") return
      if (outcome !== null) last = outcome.detail
    }
    return yield* notSteady(topology, last)
  }).pipe(
    Effect.catchTag("TargetError", ({ detail, reason }) =>
      Effect.fail(
        reason === "Unfit"
          ? new GuardRefused({ refusal: Refusal.cases.Unfit.make({ why: [detail] }), topology })
          : new Unreachable({ detail, retryable: reason === "Unreachable" || reason === "TimedOut" })
      )
    )
  )

// --- internal ---

const lookAgainEvery: Millis = 500
/** How long an attempt waits for the group at most, where no fence was ordered before it. */
const slowAtMost: Millis = 2000

/**
 * The same, with patience from the second attempt on: a group that is not back yet from the attempt before, or a member
 * that was only slow, is no group that was found degraded. It is looked at again until the first deadline, after which no
 * attempt begins, and no longer than the system may take to recover.
 */
const chooseOnceBack = (
  session: Session,
  operation: Operation,
  began: Instant
): Effect.Effect<Outcome, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { journal, timeline } = session
    const facts: Array<Fact> = []
    const chosen = yield* Effect.result(chooseFences(session, operation, (...more) => void facts.push(...more)))
    if (Result.isFailure(chosen) && chosen.failure._tag === "GuardRefused" && operation.attempt > 1) {
      const budget = session.cluster?.target.recoveryBudget ?? slowAtMost
      const until = Math.min(operation.firstDeadline ?? began + slowAtMost, began + budget)
      if (beforehand.has(chosen.failure.refusal._tag) && timeline.now() + lookAgainEvery < until) {
        yield* Effect.sleep(lookAgainEvery)
        return yield* chooseOnceBack(session, operation, began)
      }
    }
    journal.note(...facts)
    return yield* Effect.fromResult(chosen)
  })

const chooseFences = (
  session: Session,
  operation: Operation,
  note: (...facts: ReadonlyArray<Fact>) => void
): Effect.Effect<Outcome, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { ground } = session
    const { id, receivedAt, request } = operation
    const asked: Asked = { id, request, receivedAt }
    const notQueued = { queuedCount: false }
    // Before the group is looked at too: what is seen while another operation holds it would be told as its own trouble.
    if (isNodeRequest(request) || findCluster(ground.clusters, request.serviceName) !== undefined) {
      yield* refuseBusy(ground.store, id, request, notQueued)
    }
    const found = yield* find(ground, request)
    note(...topologiesOf(found).map((topology): Fact => ({ _tag: "TopologySeen", topology })))
    if (found._tag === "Group") yield* settleOn(session, found.cluster, found.topology)
    yield* refuseBusy(ground.store, id, request, notQueued)
    const planned = yield* plan(ground, found, asked, notQueued)
    note(...planned.facts)
    // A later attempt looks again and again until its group is back, so it makes nothing ready before.
    if (planned.standing === undefined && operation.attempt === 1) {
      yield* Preparing.begin(session, operation, planned.fences)
    }
    if (found._tag === "Group" && session.prober !== null && needsSteady(request, found.topology)) {
      yield* steady(session.prober, found.topology, found.cluster.target.recoveryWriteTimeout)
    }
    const fences = planned.standing === undefined ? planned.fences : []
    yield* refuseBusy(ground.store, id, request, { queuedCount: false, fences })
    for (const refusal of yield* crowdOf(ground, found, asked, fences, notQueued)) {
      const override = overrideOf(refusal)
      if (override === undefined || !overrides(request, override)) return refusedBy(session, refusal)
    }
    if (planned.standing !== undefined) return ordered(session, operation, planned)
    if (!(yield* Preparing.begin(session, operation, planned.fences))) {
      return failed(session, "E_ABORT", true, "The plan changed while its hosts made ready for it")
    }
    const problems = yield* Preparing.awaitAll(session, operation)
    return problems.length > 0 ? yield* notFenced(session, problems, []) : ordered(session, operation, planned)
  })

/** The other operations on the same partition or node, those that wait included. */
const besides = (store: Ground["store"], { id, request }: Operation): Effect.Effect<ReadonlyArray<Guid>, StoreError> =>
  Effect.map(store.rivals(subjectOf(request), "None"), (rivals) =>
    rivals.flatMap(({ operation }) => (operation.id !== id ? [operation.id] : []))
  )

/**
 * The operation whose own fault a refusal may be about: it held the group while we looked, and may have ended before we
 * asked who holds it.
 */
const heldMeanwhile = (
  store: Ground["store"],
  beside: ReadonlyArray<Guid>,
  { _tag }: Refusal
): Effect.Effect<Operation | null, StoreError> =>
  Effect.gen(function* () {
    if (!beforehand.has(_tag)) return null
    for (const id of beside) {
      const other = yield* store.get(id)
      if (other !== null && other.operation.firstDeadline !== null) return other.operation
    }
    return null
  })

/** The refusals that another operation's own fault can be the reason of. */
const beforehand: ReadonlySet<Refusal["_tag"]> = new Set(["AlreadyLost", "NoPrimary", "Degraded", "NotSteady", "Unfit"])

const topologiesOf = (found: Found): ReadonlyArray<Topology> =>
  found._tag === "Group" ? [found.topology] : found.seen.groups.map(({ topology }) => topology)

const ordered = (session: Session, operation: Operation, { fences, standing, took }: Planned): Outcome => {
  session.orderedAttempt = operation.attempt
  session.verifyWithin = verifyBudgetOn(took ?? 0)
  session.confirmed = null
  session.liftSentAt = null
  session.lossBegan = null
  session.liftedAt = null
  session.survivors.length = 0
  if (standing !== undefined) {
    const { epoch, ...of } = standing
    session.standingEpoch = epoch
    return { event: { _tag: "FencesOrdered", at: session.timeline.now(), fences, standing: of }, facts: [] }
  }
  return ordering(session, operation, fences)
}

const crowdOf = (
  ground: Ground,
  found: Found,
  asked: Asked,
  fences: ReadonlyArray<PlannedFence>,
  options: { readonly queuedCount: boolean }
): Effect.Effect<ReadonlyArray<Refusal>, StoreError> => {
  // What gives a node back adds nothing to what runs at once.
  if (faultOf(asked.request).givesBack) return Effect.succeed([])
  const there = found._tag === "Group" ? [found.cluster] : found.seen.groups.map(({ cluster }) => cluster)
  const clusters = [...new Set(there.map(({ name }) => name))]
  return crowdRefusals(ground.guards, ground.store, { ...asked, clusters }, fences, options)
}

// The guards that other operations are the reason of, each set aside where the request says so.
const throughTheCrowd = (
  ground: Ground,
  found: Found,
  asked: Asked,
  fences: ReadonlyArray<PlannedFence>,
  options: { readonly queuedCount: boolean }
): Effect.Effect<ReadonlyArray<Fact>, GuardRefused | StoreError> =>
  Effect.gen(function* () {
    const facts: Array<Fact> = []
    for (const refusal of yield* crowdOf(ground, found, asked, fences, options)) {
      const override: Override | undefined = overrideOf(refusal)
      if (override === undefined || !overrides(asked.request, override)) {
        return yield* new GuardRefused({ refusal, topology: topologiesOf(found)[0] ?? null })
      }
      facts.push({ _tag: "Noted", text: `Set aside by the override "${override}": ${describeRefusal(refusal)}` })
    }
    return facts
  })

const noted = (text: string): Fact => ({ _tag: "Noted", text })

const planForGroup = (
  ground: Ground,
  cluster: Cluster,
  topology: Topology,
  asked: Asked,
  options: { readonly queuedCount: boolean }
): Effect.Effect<Planned, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const request = asked.request as PartitionRequest
    const found: Found = { _tag: "Group", cluster, topology }
    switch (request.kind) {
      case "PartitionQuorumLoss": {
        const cut = yield* cutOf(ground, { cluster, topology }, { ...asked, request }, options)
        return { fences: cut.fences, took: cut.took, facts: [{ _tag: "Planned", plan: cut.plan }] }
      }
      case "PartitionDataLoss": {
        yield* mayLoseData(ground, cluster, topology)
        const crowd = yield* throughTheCrowd(ground, found, asked, [], options)
        return { fences: [], facts: [...crowd, noted(lossOf(request, topology))] }
      }
      case "PartitionRestart": {
        const prepared = yield* planRestart(ground.guards, cluster, topology, request)
        const crowd = yield* throughTheCrowd(ground, found, asked, fencesOf(prepared), options)
        return { fences: fencesOf(prepared), facts: [...crowd, ...told("Restarts", prepared)] }
      }
    }
  })

const planForNode = (
  ground: Ground,
  seen: NodeSeen,
  asked: Asked,
  options: { readonly queuedCount: boolean }
): Effect.Effect<Planned, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const request = asked.request as NodeRequest
    const stop = yield* standingStop(ground, seen)
    const refusal =
      (request.transition === "Start" ? startRefusal : stopRefusal)(request, seen, stop !== null) ??
      dataRefusal(request, seen)
    if (refusal !== null) return yield* new GuardRefused({ refusal, topology: null })
    if (stop !== null) {
      const { epoch, operation, order } = stop
      const { armedAt, deadline, fences } = order
      const facts = [noted(`Ends the stop that operation ${operation.id} began`)]
      return {
        fences,
        facts,
        standing: { operationId: operation.id, attempt: operation.attempt, deadline, armedAt, epoch }
      }
    }
    const prepared = yield* planStop(ground, seen)
    const found: Found = { _tag: "Node", seen }
    const crowd = yield* throughTheCrowd(ground, found, asked, fencesOf(prepared), options)
    const verb = request.transition === "Restart" ? "Restarts" : "Stops"
    return { fences: fencesOf(prepared), facts: [...crowd, ...told(verb, prepared)] }
  })

// A node whose data is to go may be deactivated only where the data of all that stands on it may be destroyed.
const dataRefusal = (request: NodeRequest, { groups }: NodeSeen): Refusal | null => {
  const intent = "intent" in request ? request.intent : undefined
  if (intent !== "RemoveData" && intent !== "RemoveNode") return null
  const kept = groups.find(({ cluster }) => cluster.target.loseData === undefined)?.cluster
  return kept === undefined
    ? null
    : Refusal.cases.DataProtected.make({ cluster: kept.name, system: kept.target.system })
}

// The store tells which stop it was, and only the hosts whether its fences stand.
const standingStop = (ground: Ground, { nodeName, up }: NodeSeen) =>
  Effect.gen(function* () {
    const stop = yield* newestStop(ground, nodeName)
    if (stop === null) return null
    // A node without members has no fence that could tell: its stop is over when its time is.
    if (stop.order.fences.length === 0) return up ? null : stop
    const states = yield* Effect.forEach(
      stop.order.fences,
      (fence) => {
        const injector = injectorAmong(ground.clusters, null, fence)
        const { attempt, id: operationId } = stop.operation
        const asked = injector?.inspect(fence.process.host, { operationId, attempt, member: fence.member }, stop.epoch)
        return asked === undefined ? Effect.succeed(null) : Effect.result(asked)
      },
      { concurrency: "unbounded" }
    )
    if (states.some((state) => state?._tag === "Success" && state.success._tag === "Armed")) return stop
    const silent = stop.order.fences.find((_, index) => states[index]?._tag !== "Success")
    const over = stop.order.deadline + grace < (yield* ground.clock.now)
    if (silent === undefined || (up && over)) return null
    const { host } = silent.process
    const detail = `host ${host} does not say whether the stop by operation ${stop.operation.id} still stands`
    return yield* new Unreachable({ detail, retryable: true })
  })

const mayLoseData = (ground: Ground, { name, protected: isProtected, target }: Cluster, topology: Topology) =>
  Effect.gen(function* () {
    const refuse = (refusal: Refusal): GuardRefused => new GuardRefused({ refusal, topology })
    if (isProtected) return yield* refuse(Refusal.cases.Protected.make({ cluster: name }))
    if (target.loseData === undefined) {
      return yield* refuse(Refusal.cases.DataProtected.make({ cluster: name, system: target.system }))
    }
    const inside = yield* storeRefusal(ground.guards, topology)
    if (inside !== null) return yield* refuse(inside)
  })

const lossOf = ({ member, mode }: DataLossRequest, { group }: Topology): string =>
  member === undefined ? `${mode} of the data of ${group}` : `Removal of ${member} of ${group} with its data`

const fencesOf = (prepared: ReadonlyArray<PreparedFence>): ReadonlyArray<PlannedFence> =>
  prepared.map(({ fence }) => fence)

const told = (verb: string, prepared: ReadonlyArray<PreparedFence>): ReadonlyArray<Fact> => {
  const members = prepared.map(({ fence }) => `${fence.member} (${fence.injector})`)
  return [
    noted(members.length === 0 ? `${verb} no process: none runs there` : `${verb} ${members.join(", ")}`),
    ...prepared.flatMap(({ supervisors, warnings }) => [...warnings, ...supervisors.map(describeSupervisor)].map(noted))
  ]
}
