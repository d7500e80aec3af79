/**
 * One drive carries one owned operation from where it stands to its end. The stored operation names the next action,
 * the action says what happened, and the journal stores the move; only then comes the next action. Somebody else may
 * change the operation, as a cancel does: that interrupts an action which it makes void. A drive that has lost its
 * ownership ends at once.
 */
import * as Effect from "effect/Effect"
import type * as Latch from "effect/Latch"
import { describe } from "@inquorate/core/Describe"
import { collect } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { dueAt, type Event, isTerminal, type Operation, type Order, type Phase } from "@inquorate/core/Operation"
import type { StoreError, Stored } from "@inquorate/core/OperationStore"
import { subjectOf } from "@inquorate/core/Request"
import { stateOf } from "@inquorate/core/Wire"
import { arm, confirmArmed } from "./Arming.ts"
import { destroy } from "./Destroying.ts"
import * as Figures from "../watch/Figures.ts"
import { isLimited } from "../plan/Guards.ts"
import { busy } from "../plan/Others.ts"
import { order } from "./Ordering.ts"
import type { Journal } from "./Journal.ts"
import { notConfigured, refusedBy } from "./Outcomes.ts"
import * as Performing from "./Performing.ts"
import { recover } from "./Recovering.ts"
import { open, type Ground, type Outcome, type Session } from "./Session.ts"
import * as Undoing from "./Undoing.ts"
import * as Witnessing from "./Witnessing.ts"

/** What is to be done next; `None` where nothing is left. */
export type Action =
  | { readonly _tag: "Take" }
  | { readonly _tag: "LookUp" }
  | { readonly _tag: "Perform"; readonly order: Order; readonly phase: Phase }
  | { readonly _tag: "UndoLift"; readonly order: Order }
  | { readonly _tag: "UndoProbe"; readonly order: Order }
  | { readonly _tag: "Sweep"; readonly order: Order }
  | { readonly _tag: "None" }

/** The next action of an operation. It is total and pure, and follows from the stage alone. */
const nextAction = ({ stage }: Operation): Action => {
  switch (stage._tag) {
    case "Advancing":
      return stage.step._tag === "IntentSaved"
        ? { _tag: "Take" }
        : stage.step._tag === "LookingUpState"
          ? { _tag: "LookUp" }
          : { _tag: "Perform", order: stage.step.order, phase: stage.step.phase }
    case "Undoing":
      return stage.phase === "Lifting"
        ? { _tag: "UndoLift", order: stage.order }
        : { _tag: "UndoProbe", order: stage.order }
    case "Completed":
      return { _tag: "None" }
    case "Failed":
      return stage.residue._tag === "Unknown" ? { _tag: "Sweep", order: stage.residue.order } : { _tag: "None" }
  }
}

/**
 * Drives a claimed operation until nothing is left to do. `nudged` is open while somebody may have changed the
 * operation. `ended` hears once that the operation has reached its end, residue or not. Fails with `Fenced` when
 * another worker owns it.
 */
export const drive = (
  ground: Ground,
  claimed: Stored,
  nudged: Latch.Latch,
  ended: Effect.Effect<void>
): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const next = yield* open(ground, claimed, nudged)
    const { journal, timeline } = next()
    const witnessing = yield* Witnessing.make(journal, timeline)
    const turn: Turn = { acting: null, missed: false }
    let toldEnd = false
    const carry = Effect.gen(function* () {
      while (true) {
        const { operation } = journal.stored()
        const session = next()
        const { place } = session.known
        if (place !== null && !isTerminal(operation)) yield* witnessing.begin(place.cluster)
        if (isTerminal(operation) && !toldEnd) {
          toldEnd = true
          if (!isTerminal(claimed.operation)) yield* Figures.ended(operation)
          // First, for it makes room for another one; the words take a question more.
          yield* ended
          yield* tellEnd(ground, operation, journal)
        }
        const action = nextAction(operation)
        if (action._tag === "None") return yield* witnessing.untilServed
        beginTurn(turn, operation, nudged)
        yield* timeline.sleepUntil(dueAt(operation, timeline.now()))
        const outcome = yield* retryStore(Effect.suspend(() => perform(next(), operation, action)))
        turn.acting = null
        yield* Effect.logDebug(`${outcome.event._tag} in ${operation.stage._tag}`)
        const moved = isPassing(session, operation, outcome.event)
          ? journal.moveAhead(outcome.event, outcome.facts)
          : yield* journal.move(outcome.event, outcome.facts)
        if (moved === "Occupied") yield* giveWay(session)
      }
    })
    while (!(yield* Effect.raceFirst(Effect.as(carry, true), Effect.as(changed(journal, nudged, turn), false)))) {
      // Somebody has changed the operation, and the action that ran was broken off. The operation names the next one.
    }
  }).pipe(Effect.scoped, Effect.annotateLogs(annotationsOf(ground, claimed)))

// --- internal ---

/** Which action a drive carries out now. Only an action may be broken off; what came of it is stored whatever happens. */
interface Turn {
  /** The operation whose next action runs; null while its outcome is stored. */
  acting: Operation | null
  /** True where a nudge came in between, when nothing ran that could be broken off. */
  missed: boolean
}

const beginTurn = (turn: Turn, operation: Operation, nudged: Latch.Latch): void => {
  turn.acting = operation
  if (!turn.missed) return
  turn.missed = false
  nudged.openUnsafe()
}

// Some moves of a loss without a hold are stored with the next one. Nobody asked for its progress, and what comes after them
// asks and writes, and orders nothing of a host. An owner that comes later finds the operation a step behind, reads the
// hosts' own records, and goes on.
const isPassing = ({ ground }: Session, { request, stage }: Operation, { _tag }: Event): boolean => {
  const { duration, losesQuorum } = faultOf(request)
  if (!losesQuorum || duration > 0) return false
  switch (_tag) {
    // Who looks up counts among those that run, so where their number is limited all have to see it at once.
    case "Taken":
      return !isLimited(ground.guards)
    case "FencesArmed":
    // There is nothing to hold: the lift follows, and is stored before it is sent.
    case "LossProven":
      return true
    case "FencesLifted":
      return stage._tag === "Advancing"
    default:
      return false
  }
}

const tellEnd = (ground: Ground, operation: Operation, journal: Journal): Effect.Effect<void> =>
  Effect.suspend(() => {
    const whole = journal.whole()
    return whole === null ? Effect.option(ground.store.evidence(operation.id, 0)) : Effect.succeedSome(whole)
  }).pipe(
    Effect.flatMap((entries) => {
      const evidence = entries._tag === "Some" ? collect(entries.value) : null
      return Effect.logInfo(`Operation ended as ${stateOf(operation.stage)}. ${describe(operation, evidence)}`)
    })
  )

const annotationsOf = ({ worker }: Ground, { operation }: Stored) => ({
  operationId: operation.id,
  kind: operation.request.kind,
  worker
})

const perform = (session: Session, operation: Operation, action: Action): Effect.Effect<Outcome, StoreError> => {
  const { timeline } = session
  switch (action._tag) {
    case "Take":
      return Effect.sync(() => ({ event: { _tag: "Taken", at: timeline.now() }, facts: [] }))
    case "LookUp":
      return order(session, operation)
    case "Perform":
      return performPhase(session, operation, action.order, action.phase)
    case "UndoLift":
      return Undoing.undoLift(session, action.order)
    case "UndoProbe":
      return Undoing.undoProbe(session, action.order)
    case "Sweep":
      return Undoing.sweep(session, action.order)
    case "None":
      return Effect.never
  }
}

const performPhase = (session: Session, operation: Operation, order: Order, phase: Phase): Effect.Effect<Outcome> => {
  const { fences, place } = session.known
  switch (phase._tag) {
    case "Arming":
      if (fences._tag !== "Ordered") return confirmArmed(session, operation, order)
      sendOnce(session)
      return arm(session, operation, order, fences)
    case "Destroying":
      sendOnce(session)
      return place === null ? unwatchable(session) : destroy(session, operation, place)
    case "Verifying":
      return place === null ? unwatchable(session) : Performing.verify(session, operation, order, place)
    case "Holding":
      return place === null ? unwatchable(session) : Performing.hold(session, operation, order, phase, place)
    case "Lifting":
      return Performing.lift(session, operation, order, phase)
    case "Recovering":
      return recover(session, order, phase)
  }
}

// An order is sent once. Whoever is cut off while it is sent, and whoever takes it over, has to ask the hosts.
const sendOnce = (session: Session): void => session.learn({ fences: { _tag: "Unknown" } })

const unwatchable = (session: Session): Effect.Effect<Outcome> => Effect.succeed(notConfigured(session))

// Only a look-up asks the store, and it touches nothing, so a store that cannot be read is asked again.
const retryStore = <A>(looking: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
  Effect.catchTag(looking, "StoreError", (error) =>
    error.reason === "Unavailable"
      ? Effect.andThen(
          Effect.andThen(Effect.logWarning(error.detail), Effect.sleep(storeRetry)),
          Effect.suspend(() => retryStore(looking))
        )
      : Effect.fail(error)
  )

const storeRetry = 500

/**
 * Ends when somebody has changed the operation so that it asks for another action than the one that runs. Fails with
 * `Fenced` when another worker owns it.
 */
const changed = (journal: Journal, nudged: Latch.Latch, turn: Turn): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    while (true) {
      const lost = journal.lost()
      if (lost !== null) return yield* lost
      yield* nudged.await
      nudged.closeUnsafe()
      if (turn.acting === null) {
        turn.missed = true
        continue
      }
      const fresh = yield* Effect.result(journal.refresh)
      if (fresh._tag === "Failure" && fresh.failure.reason === "Fenced") return yield* fresh.failure
      // An action may have ended while the store was asked. What is seen here and the end that it brings are one turn.
      if (turn.acting === null) turn.missed = true
      else if (actionOf(journal.stored().operation) !== actionOf(turn.acting)) return
    }
  })

// The reason alone may change, as when an undo becomes a cancel. The running action stays what it was.
const actionOf = (operation: Operation): string => JSON.stringify([nextAction(operation), operation.attempt])

// The store keeps two operations from standing on one partition. The one that came second is told whom it met.
const giveWay = (session: Session): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const { operation } = session.journal.stored()
    const rivals = yield* retryStore(session.ground.store.rivals(subjectOf(operation.request), "None"))
    const other = rivals.find((stored) => stored.operation.id !== operation.id)
    const { event, facts } = refusedBy(session, busy(other?.operation ?? operation))
    yield* session.journal.move(event, facts)
  })
