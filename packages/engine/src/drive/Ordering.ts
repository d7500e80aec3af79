/**
 * Looks up what the stored operation asks for, and orders its fences. The rules are the plan's. This asks them, makes
 * the hosts ready meanwhile, and looks a last time at who else is there before the order is given to be stored.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { Fact } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import { type Operation, verifyBudget, verifyBudgetOn } from "@inquorate/core/Operation"
import type { StoreError } from "@inquorate/core/OperationStore"
import { isNodeRequest } from "@inquorate/core/Request"
import { formatMillis, type Instant, type Millis } from "@inquorate/core/Time"
import { findCluster, type Unreachable } from "../plan/Discovery.ts"
import * as FaultPlan from "../plan/FaultPlan.ts"
import { type GuardRefused, pass } from "../plan/Guards.ts"
import * as Others from "../plan/Others.ts"
import { notFenced } from "./Arming.ts"
import { injectorOf } from "./Hosts.ts"
import * as Known from "./Known.ts"
import type { LastLook } from "./LastLooks.ts"
import { failed, ordering, refusedBy } from "./Outcomes.ts"
import { type Outcome, type Session, settleOn } from "./Session.ts"

/** Looks up what the stored operation asks for, and orders the fences. */
export const order = (session: Session, operation: Operation): Effect.Effect<Outcome, StoreError> =>
  Effect.gen(function* () {
    const look: Look = { beside: new Set(), place: session.known.place, lately: null, facts: [], took: 0 }
    return yield* Effect.catchTag(
      chooseOnceBack(session, operation, look, session.timeline.now()),
      "GuardRefused",
      ({ refusal }) =>
        Effect.gen(function* () {
          const holder = Others.isOthersFault(refusal)
            ? yield* Others.heldMeanwhile(session.ground.store, look.beside)
            : null
          return refusedBy(session, holder === null ? refusal : Others.busy(holder))
        })
    )
  }).pipe(
    Effect.catchTag("Unreachable", ({ detail, retryable }) =>
      Effect.succeed(failed(session, "FABRIC_E_COMMUNICATION_ERROR", retryable, detail))
    ),
    Effect.tap(({ event }) => (event._tag === "FencesOrdered" ? Effect.void : session.preparing.letGo))
  )

// --- internal ---

const lookAgainEvery: Millis = 500
/** How long an attempt waits for the group at most, where no fence was ordered before it. */
const slowAtMost: Millis = 2000
/** An operation that waits to be taken is in nobody's way: it will be told of this one. */
const notQueued: Others.Counting = { queuedCount: false }

/** What one look-up has seen, whether or not it had to look again. */
interface Look {
  /** The operations that were on the same partition or node at some time meanwhile. */
  readonly beside: Set<Guid>
  place: Known.Place | null
  /** What a front of this worker planned a moment ago. */
  lately: LastLook | null
  /** What the last try found. */
  facts: Array<Fact>
  /** How long the slowest answer took: of a host, of the store, or to a write. A loss is judged by more of the same. */
  took: Millis
}

/**
 * Chooses the fences, with patience from the second attempt on. A group that is not back yet from the attempt before,
 * or a member that was only slow, does not make the group one that was found degraded. It is looked at again until the
 * first deadline, after which no attempt begins, and no longer than the system may take to recover.
 */
const chooseOnceBack = (
  session: Session,
  operation: Operation,
  look: Look,
  began: Instant
): Effect.Effect<Outcome, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { journal, timeline } = session
    look.facts = []
    look.took = 0
    const chosen = yield* Effect.result(chooseFences(session, operation, look))
    if (Result.isFailure(chosen) && chosen.failure._tag === "GuardRefused" && operation.attempt > 1) {
      const budget = look.place?.cluster.target.recoveryBudget ?? slowAtMost
      const until = Math.min(operation.firstDeadline ?? began + slowAtMost, began + budget)
      if (Others.isOthersFault(chosen.failure.refusal) && timeline.now() + lookAgainEvery < until) {
        yield* Effect.sleep(lookAgainEvery)
        return yield* chooseOnceBack(session, operation, look, began)
      }
    }
    journal.note(...look.facts)
    return yield* Effect.fromResult(chosen)
  })

// The store is asked who else is there at two moments. The first is before the group is looked at: what is seen while
// another operation holds the group would be told as its own trouble. The second is right before the order.
const chooseFences = (
  session: Session,
  operation: Operation,
  look: Look
): Effect.Effect<Outcome, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { ground } = session
    const { request } = operation
    const before = yield* timed(session, look, Others.read(ground, request, []))
    for (const other of Others.beside(before, operation)) look.beside.add(other.id)
    const free = pass(request, null, [Others.notBusy(before, operation, notQueued)])
    if (isNodeRequest(request) || findCluster(ground.clusters, request.serviceName) !== undefined) {
      yield* free
      look.lately = yield* prepareByLastLook(session, operation)
    }
    const found = yield* FaultPlan.find(ground, request)
    look.facts.push(...FaultPlan.topologiesOf(found).map((topology): Fact => ({ _tag: "TopologySeen", topology })))
    const settled = found._tag === "Node" ? session : yield* settleOn(session, found.cluster, found.topology)
    look.place = settled.known.place
    yield* free
    const planned = yield* prepareFor(settled, operation, before, found, look).pipe(
      Effect.catchTag("GuardRefused", (refused) => Effect.andThen(sayBusy(ground, operation), Effect.fail(refused)))
    )
    const fences = FaultPlan.fencesToOrder(planned)
    const now = yield* timed(session, look, Others.read(ground, request, fences))
    yield* pass(request, null, [
      Others.notBusy(now, operation, { ...notQueued, fences }),
      FaultPlan.roomFor(ground.guards, now, found, operation, fences, notQueued)
    ])
    return yield* orderOf(settled, operation, planned, look)
  })

const timed = <A, E>({ timeline }: Session, look: Look, asked: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const began = timeline.monotonic()
    return Effect.tap(asked, () => Effect.sync(() => takes(look, timeline.monotonic() - began)))
  })

const takes = (look: Look, took: Millis): void => {
  look.took = Math.max(look.took, took)
}

// What a front planned a moment ago is most likely still the plan. The hosts begin to make it ready, which touches nothing,
// while the group is looked at anew. Where that changes the plan, what stands ready for the old one is let go. The probe
// by which that front wrote is the drive's from now on; where there is none, another opens its connections meanwhile.
const prepareByLastLook = (session: Session, operation: Operation): Effect.Effect<LastLook | null> =>
  Effect.gen(function* () {
    const last = yield* session.ground.lastLooks.take(operation.id)
    if (last === null) return null
    const { place } = session.known
    if (last.probe !== null)
      yield* place === null ? Scope.close(last.probe.scope, Exit.void) : place.prober.adopt(last.probe)
    if (last.fences.length === 0 || operation.attempt !== 1) return null
    yield* prepare(session, operation, last)
    // Whoever writes first waits until it is open, and is told what kept it from that.
    if (place !== null) yield* Effect.forkChild(Effect.ignore(place.prober.open))
    return last
  })

// The hosts make ready while the group shows that it takes writes. It shows that beside the look at the processes where a front
// has planned and written a moment ago; otherwise nothing is written before the plan has passed its guards.
const prepareFor = (
  session: Session,
  operation: Operation,
  others: Others.Others,
  found: FaultPlan.Found,
  look: Look
): Effect.Effect<FaultPlan.Planned, GuardRefused | Unreachable | StoreError> =>
  Effect.gen(function* () {
    const { place } = session.known
    const planning = FaultPlan.plan(session.ground, others, found, operation, notQueued, look.lately?.looks).pipe(
      Effect.tap((planned) => {
        look.facts.push(...planned.facts)
        takes(look, planned.took ?? 0)
        // A later attempt looks again and again until its group is back, so it makes nothing ready before.
        return planned.standing === undefined && operation.attempt === 1
          ? prepare(session, operation, planned)
          : Effect.void
      })
    )
    const writing =
      found._tag === "Group" && place !== null && FaultPlan.needsSteady(operation.request, found.topology)
        ? FaultPlan.steady(place.prober, found.topology, found.cluster.target.recoveryWriteTimeout)
        : Effect.succeed(0)
    // What the plan refuses is told before what a write was told.
    const [planned, wrote] = yield* Effect.all([planning, Effect.result(writing)], {
      concurrency: look.lately !== null ? 2 : 1
    })
    takes(look, yield* Effect.fromResult(wrote))
    return planned
  })

const prepare = (
  session: Session,
  operation: Operation,
  { fences }: Pick<FaultPlan.Planned, "fences">
): Effect.Effect<boolean> => session.preparing.begin(operation, fences, (fence) => injectorOf(session, fence))

// A guard said no after the group was seen. If another operation has come to hold the group since, that is the reason.
const sayBusy = (ground: Session["ground"], operation: Operation): Effect.Effect<unknown, GuardRefused | StoreError> =>
  Effect.flatMap(Others.read(ground, operation.request, []), (others) =>
    pass(operation.request, null, [Others.notBusy(others, operation, notQueued)])
  )

const orderOf = (
  session: Session,
  operation: Operation,
  planned: FaultPlan.Planned,
  look: Look
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { fences, standing } = planned
    const verifyWithin = verifyBudgetOn(look.took)
    if (standing !== undefined) {
      const { epoch, ...of } = standing
      session.learn({ ...Known.ordered(verifyWithin), standingEpoch: epoch })
      return { event: { _tag: "FencesOrdered", at: session.timeline.now(), fences, standing: of }, facts: [] }
    }
    if (!(yield* prepare(session, operation, planned))) {
      return failed(session, "E_ABORT", true, "The plan changed while its hosts made ready for it")
    }
    const problems = yield* session.preparing.awaitAll(operation)
    if (problems.length > 0) return yield* notFenced(session, problems, [])
    session.learn(Known.ordered(verifyWithin))
    const outcome = ordering(session, operation, fences, verifyWithin)
    const told = faultOf(operation.request).losesQuorum ? slowness(planned, look, verifyWithin) : []
    return { ...outcome, facts: [...told, ...outcome.facts] }
  })

// A slow host is told by the plan already.
const slowness = (planned: FaultPlan.Planned, { took }: Look, within: Millis): ReadonlyArray<Fact> =>
  within === verifyBudgetOn(planned.took ?? 0)
    ? []
    : [
        {
          _tag: "Noted",
          text: `The slowest answer took ${formatMillis(took)}, of the store or to a write, so the loss may take ${formatMillis(within)} to show instead of ${formatMillis(verifyBudget)}`
        }
      ]
