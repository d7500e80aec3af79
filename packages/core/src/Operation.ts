/**
 * The operation: the durable record of one requested fault, and the one pure function that moves it. The engine stores
 * what `advance` returns before it acts on it. So the stored operation always names the next action.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type FabricErrorCode, FabricErrorCode as FabricErrorCodeSchema } from "./FabricError.ts"
import { faultOf } from "./Fault.ts"
import { Guid } from "./Guid.ts"
import { PlannedFence } from "./Plan.ts"
import { FaultRequest } from "./Request.ts"
import { Instant, Millis } from "./Time.ts"

// --- models ---

/**
 * The fences that were ordered. They are stored before the first of them is applied. `deadline` is absolute: by then
 * every fence ends by itself, in the way its grade names. It is only ever tightened. Where the fences are another
 * operation's, `of` names that operation and its attempt: the start of a node lifts what the stop of it armed.
 */
export class Order extends Schema.Opaque<Order>()(
  Schema.Struct({
    fences: Schema.Array(PlannedFence),
    armedAt: Instant,
    deadline: Instant,
    of: Schema.optionalKey(Schema.Struct({ operationId: Guid, attempt: Schema.Int }))
  }).annotate({ identifier: "Order" })
) {}

/**
 * Where the fault stands: armed, proven lost, held, lifted, proven recovered. `lossBegan` is t0. For a restart, or the
 * start of a node, it is when the order was carried out. `Destroying` is the step of a data loss that cannot be undone.
 */
export const Phase = Schema.TaggedUnion({
  Arming: {},
  Destroying: {},
  Verifying: {},
  Holding: { lossBegan: Instant, liftAt: Instant },
  Lifting: { lossBegan: Instant },
  Recovering: { lossBegan: Instant, liftedAt: Instant }
})
export type Phase = typeof Phase.Type

/** How far an operation is; the names are Service Fabric's. */
export const Step = Schema.TaggedUnion({
  IntentSaved: {},
  LookingUpState: {},
  PerformingActions: { order: Order, phase: Phase }
})
export type Step = typeof Step.Type

/** Why an operation goes backward. */
export const UndoReason = Schema.Literals(["retry", "fail", "cancel"])
export type UndoReason = typeof UndoReason.Type

/**
 * Whether something of ours may still stand on a host: nothing, or it is not known until a sweep looks after `until`.
 */
export const Residue = Schema.TaggedUnion({
  None: {},
  Unknown: { order: Order, until: Instant }
})
export type Residue = typeof Residue.Type

/** Going backward: first the fences are lifted, then the group is probed. */
export const UndoPhase = Schema.Literals(["Lifting", "Probing"])
export type UndoPhase = typeof UndoPhase.Type

/** The stage of an operation; what cannot be, cannot be written down. */
export const Stage = Schema.TaggedUnion({
  Advancing: { step: Step },
  Undoing: { order: Order, phase: UndoPhase, reason: UndoReason, error: FabricErrorCodeSchema },
  /** `standing` is what a stopped node leaves on purpose: its fences end by themselves at the order's deadline. */
  Completed: { standing: Schema.optionalKey(Order) },
  Failed: {
    reason: Schema.Literals(["fail", "cancel", "force"]),
    error: FabricErrorCodeSchema,
    residue: Residue
  }
})
export type Stage = typeof Stage.Type

/**
 * The durable record of one requested fault.
 *
 * Invariants: `attempt` is 1 to `attemptsMax`; `firstDeadline` is null until fences were first ordered and never changes
 * after; a terminal stage (Completed, Failed) has `endedAt`; an attempt begins no earlier than `notBefore` (`dueAt`).
 */
export class Operation extends Schema.Opaque<Operation>()(
  Schema.Struct({
    format: Schema.Literal(1),
    id: Guid,
    request: FaultRequest,
    receivedAt: Instant,
    stage: Stage,
    attempt: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
    notBefore: Instant,
    firstDeadline: Schema.NullOr(Instant),
    endedAt: Schema.NullOr(Instant)
  }).annotate({ identifier: "Operation", title: "An operation" })
) {}

/** What happened to an operation: the only input of `advance`. `at` is the moment it happened. */
export const Event = Schema.TaggedUnion({
  /** An engine took it from the queue. */
  Taken: { at: Instant },
  /**
   * The look-up chose the fences; storing this is the write-ahead order. If every host refused the order as late, and
   * so touched nothing, it is ordered anew with a deadline of its own. `verifyWithin` is how long the loss may take to
   * show, where its hosts were seen to be slow. The start of a node gives `standing`: the fences are another
   * operation's, and stand until then.
   */
  FencesOrdered: {
    at: Instant,
    fences: Schema.Array(PlannedFence),
    verifyWithin: Schema.optionalKey(Millis),
    standing: Schema.optionalKey(
      Schema.Struct({ operationId: Guid, attempt: Schema.Int, deadline: Instant, armedAt: Instant })
    )
  },
  /** Every fence is applied and checked on its host. */
  FencesArmed: { at: Instant },
  /** The loss is proven by writes; `lossBegan` is when the first write never acknowledged was sent. */
  LossProven: { at: Instant, lossBegan: Instant },
  /** The replicas of a data loss and their data are gone. */
  DataDestroyed: { at: Instant },
  /** The asked time is over. */
  HoldEnded: { at: Instant },
  /** Every fence is off and checked. */
  FencesLifted: { at: Instant },
  /** A write was acknowledged again, there is one leader, all voters are back, and nothing of ours is left. */
  RecoveryProven: { at: Instant },
  /**
   * The step could not be done. `retryable` asks for another attempt where one is left. `unsent` names the members
   * whose order never left us. Their fences cannot stand, and nobody has to take them off.
   */
  StepFailed: {
    at: Instant,
    error: FabricErrorCodeSchema,
    retryable: Schema.Boolean,
    unsent: Schema.optionalKey(Schema.Array(Schema.String))
  },
  /** The undo ended. Nothing of ours is left, or the fences have expired by themselves and no host could say so. */
  UndoEnded: { at: Instant, clean: Schema.Boolean },
  /** A caller asked to stop. */
  CancelRequested: { at: Instant, force: Schema.Boolean },
  /** A sweep saw that nothing of ours is left. */
  ResidueSwept: { at: Instant }
})
export type Event = typeof Event.Type

// --- errors ---

/** The event is not allowed now. `code` is the wire's word for it where a caller caused it. */
export class EventRefused extends Schema.TaggedError<EventRefused>()("EventRefused", {
  event: Schema.String,
  stage: Schema.String,
  code: FabricErrorCodeSchema
}) {}

// --- make ---

/** How long a loss may take to show after the fences were ordered, at the least. The hold begins to count after it. */
export const verifyBudget: Millis = 2000
/** The most that a slow host can make of it. */
export const verifyBudgetMost: Millis = 10_000
/** How long after the asked hold a fence ends by itself when nobody lifts it. */
export const lossSlack: Millis = 500
/** How long after its deadline a fence may at most be found standing. */
export const grace: Millis = 2000
/** How many times an operation goes forward at most, the first included. */
export const attemptsMax = 3

/** How long a loss may take to show on hosts of which the slowest needed `took` for its last look. */
export const verifyBudgetOn = (took: Millis): Millis =>
  Math.min(verifyBudgetMost, Math.max(verifyBudget, 1000 + 4 * Math.ceil(took)))

/** The moment by which the loss has to be proven, while nothing has tightened the order's deadline yet. */
export const provenBy = ({ request }: Operation, order: Order): Instant => order.deadline - faultOf(request).duration

/** A fresh operation as it is stored before its start is acknowledged. */
export const make = (id: Guid, request: FaultRequest, receivedAt: Instant): Operation => ({
  format: 1,
  id,
  request,
  receivedAt,
  stage: advancing({ _tag: "IntentSaved" }),
  attempt: 1,
  notBefore: 0,
  firstDeadline: null,
  endedAt: null
})

/** The longest pause before another attempt. */
export const pauseMost: Millis = 4000

/**
 * When the next move is due, at `now` at the earliest. Nothing waits because a clock was wrong. So an attempt does not
 * wait for a moment before the operation was received, nor for one further ahead than any pause.
 */
export const dueAt = ({ notBefore, receivedAt }: Operation, now: Instant): Instant =>
  notBefore <= receivedAt || notBefore > now + pauseMost ? now : Math.max(now, notBefore)

/** True once nothing but a sweep can change the operation. */
export const isTerminal = (operation: Operation): boolean =>
  operation.stage._tag === "Completed" || operation.stage._tag === "Failed"

/** The fences that may stand on hosts now, with their deadline; null where none can. */
export const standingOrder = (operation: Operation): Order | null =>
  Stage.match(operation.stage, {
    Advancing: ({ step }) => (step._tag === "PerformingActions" ? step.order : null),
    Undoing: ({ order }) => order,
    Completed: () => null,
    Failed: ({ residue }) => (residue._tag === "Unknown" ? residue.order : null)
  })

/** True where its fences stand on processes that no other fault may take meanwhile. */
export const standsAlone = (operation: Operation): boolean =>
  standingOrder(operation) !== null && !faultOf(operation.request).sharesProcess

/**
 * True while no other operation may touch the partition. The operation lives, or a sweep has yet to confirm that it
 * left nothing.
 */
export const holdsPartition = (operation: Operation): boolean =>
  !isTerminal(operation) || standingOrder(operation) !== null

/**
 * The operation after an event, or the refusal of the event. It is total and pure: the same two values give the same
 * result. A terminal operation changes only by `ResidueSwept`, and every live operation can still reach an end.
 */
export const advance = (operation: Operation, event: Event): Result.Result<Operation, EventRefused> => {
  const stage = operation.stage
  switch (stage._tag) {
    case "Advancing":
      return event._tag === "CancelRequested"
        ? cancelAdvancing(operation, stage.step, event)
        : event._tag === "StepFailed"
          ? failStep(operation, stage.step, event)
          : moveForward(operation, stage.step, event)
    case "Undoing":
      return moveBackward(operation, stage, event)
    case "Completed":
      return refused(operation, event)
    case "Failed":
      return event._tag === "ResidueSwept" && stage.residue._tag === "Unknown"
        ? Result.succeed({ ...operation, stage: { ...stage, residue: { _tag: "None" } } })
        : refused(operation, event)
  }
}

// --- internal ---

const advancing = (step: Step): Stage => ({ _tag: "Advancing", step })

const performing = (operation: Operation, order: Order, phase: Phase): Result.Result<Operation, EventRefused> =>
  Result.succeed({ ...operation, stage: advancing({ _tag: "PerformingActions", order, phase }) })

const refused = (operation: Operation, event: Event): Result.Result<never, EventRefused> =>
  Result.fail(
    new EventRefused({
      event: event._tag,
      stage: operation.stage._tag,
      code:
        event._tag === "CancelRequested" && isTerminal(operation)
          ? "FABRIC_E_KEY_NOT_FOUND"
          : "FABRIC_E_INVALID_TEST_COMMAND_STATE"
    })
  )

const end = (operation: Operation, stage: Stage, at: Instant): Result.Result<Operation, EventRefused> =>
  Result.succeed({ ...operation, stage, endedAt: at })

const failed = (reason: "fail" | "cancel" | "force", error: FabricErrorCode, residue: Residue): Stage => ({
  _tag: "Failed",
  reason,
  error,
  residue
})

const none: Residue = { _tag: "None" }

const moveForward = (operation: Operation, step: Step, event: Event): Result.Result<Operation, EventRefused> => {
  switch (step._tag) {
    case "IntentSaved":
      return event._tag === "Taken"
        ? Result.succeed({ ...operation, stage: advancing({ _tag: "LookingUpState" }) })
        : refused(operation, event)
    case "LookingUpState": {
      if (event._tag !== "FencesOrdered") return refused(operation, event)
      const order = orderOf(operation.request, event)
      const begun = { ...operation, firstDeadline: operation.firstDeadline ?? order.deadline }
      return performing(begun, order, firstPhase(operation.request, event.at))
    }
    case "PerformingActions":
      return movePhase(operation, step.order, step.phase, event)
  }
}

const orderOf = (
  request: FaultRequest,
  { at, fences, standing, verifyWithin = verifyBudget }: typeof Event.cases.FencesOrdered.Type
): Order => {
  if (standing === undefined) return { fences, armedAt: at, deadline: at + faultOf(request).budget(verifyWithin) }
  const { armedAt, attempt, deadline, operationId } = standing
  return { fences, armedAt, deadline, of: { operationId, attempt } }
}

const firstPhase = (request: FaultRequest, at: Instant): Phase => {
  const { first } = faultOf(request)
  return first === "Lifting" ? { _tag: first, lossBegan: at } : { _tag: first }
}

// The order before touched nothing, so its deadline bound nothing either.
const orderAnew = (
  operation: Operation,
  before: Order,
  event: typeof Event.cases.FencesOrdered.Type
): Result.Result<Operation, EventRefused> => {
  const order = orderOf(operation.request, event)
  const firstDeadline = operation.firstDeadline === before.deadline ? order.deadline : operation.firstDeadline
  return performing({ ...operation, firstDeadline }, order, { _tag: "Arming" })
}

const armed = (operation: Operation, order: Order, at: Instant): Result.Result<Operation, EventRefused> => {
  switch (faultOf(operation.request).afterArming) {
    case "Verifying":
      return performing(operation, order, { _tag: "Verifying" })
    case "Lifting":
      return performing(operation, order, { _tag: "Lifting", lossBegan: at })
    // A stopped node stays stopped, and its own deadline starts it again.
    case "Standing":
      return end(operation, { _tag: "Completed", standing: order }, at)
  }
}

const movePhase = (
  operation: Operation,
  order: Order,
  phase: Phase,
  event: Event
): Result.Result<Operation, EventRefused> => {
  switch (phase._tag) {
    case "Arming":
      if (event._tag === "FencesOrdered" && event.standing === undefined) return orderAnew(operation, order, event)
      return event._tag === "FencesArmed" ? armed(operation, order, event.at) : refused(operation, event)
    case "Destroying":
      return event._tag === "DataDestroyed"
        ? performing(operation, order, { _tag: "Recovering", lossBegan: event.at, liftedAt: event.at })
        : refused(operation, event)
    case "Verifying": {
      if (event._tag !== "LossProven") return refused(operation, event)
      const asked = event.lossBegan + faultOf(operation.request).duration
      const deadline = Math.min(order.deadline, Math.max(asked, event.at) + lossSlack)
      return performing(
        operation,
        { ...order, deadline },
        {
          _tag: "Holding",
          lossBegan: event.lossBegan,
          liftAt: Math.max(asked, event.at)
        }
      )
    }
    case "Holding":
      return event._tag === "HoldEnded"
        ? performing(operation, order, { _tag: "Lifting", lossBegan: phase.lossBegan })
        : refused(operation, event)
    case "Lifting":
      return event._tag === "FencesLifted"
        ? performing(operation, order, { _tag: "Recovering", lossBegan: phase.lossBegan, liftedAt: event.at })
        : refused(operation, event)
    case "Recovering":
      return event._tag === "RecoveryProven"
        ? end(operation, { _tag: "Completed" }, event.at)
        : refused(operation, event)
  }
}

const cancelAdvancing = (
  operation: Operation,
  step: Step,
  event: typeof Event.cases.CancelRequested.Type
): Result.Result<Operation, EventRefused> => {
  if (event.force) return refused(operation, event)
  if (step._tag !== "PerformingActions") return end(operation, failed("cancel", "E_ABORT", none), event.at)
  return Result.succeed({
    ...operation,
    stage: {
      _tag: "Undoing",
      order: step.order,
      phase: ["Recovering", "Destroying"].includes(step.phase._tag) ? "Probing" : "Lifting",
      reason: "cancel",
      error: "E_ABORT"
    }
  })
}

const failStep = (
  operation: Operation,
  step: Step,
  event: typeof Event.cases.StepFailed.Type
): Result.Result<Operation, EventRefused> => {
  const retry =
    event.retryable &&
    operation.attempt < attemptsMax &&
    (operation.firstDeadline === null || event.at < operation.firstDeadline)
  if (step._tag === "PerformingActions") {
    const order = sentOf(step, event.unsent ?? [])
    // Nothing was ever sent of this order. It leaves nothing to undo, and nothing that could block the partition.
    if (order.fences.length === 0 && step.order.fences.length > 0) {
      return retry ? tryAgain(operation, event.at) : end(operation, failed("fail", event.error, none), event.at)
    }
    return Result.succeed({
      ...operation,
      stage: {
        _tag: "Undoing",
        order,
        // A failed recovery lifts once more. A lift is idempotent, and each host is asked again whether anything
        // stands.
        phase: "Lifting",
        reason: retry ? "retry" : "fail",
        error: event.error
      }
    })
  }
  return retry ? tryAgain(operation, event.at) : end(operation, failed("fail", event.error, none), event.at)
}

const sentOf = ({ order, phase }: typeof Step.cases.PerformingActions.Type, unsent: ReadonlyArray<string>): Order =>
  phase._tag === "Arming" && unsent.length > 0
    ? { ...order, fences: order.fences.filter(({ member }) => !unsent.includes(member)) }
    : order

const tryAgain = (operation: Operation, at: Instant): Result.Result<Operation, EventRefused> =>
  Result.succeed({
    ...operation,
    stage: advancing({ _tag: "LookingUpState" }),
    attempt: operation.attempt + 1,
    notBefore: at + 1000 * 2 ** (operation.attempt - 1)
  })

const moveBackward = (
  operation: Operation,
  stage: typeof Stage.cases.Undoing.Type,
  event: Event
): Result.Result<Operation, EventRefused> => {
  if (event._tag === "CancelRequested") {
    if (!event.force) return Result.succeed({ ...operation, stage: { ...stage, reason: "cancel" } })
    if (stage.reason !== "cancel") return refused(operation, event)
    return end(operation, failed("force", stage.error, residueOf(stage)), event.at)
  }
  if (event._tag === "FencesLifted" && stage.phase === "Lifting") {
    return Result.succeed({ ...operation, stage: { ...stage, phase: "Probing" } })
  }
  if (event._tag !== "UndoEnded") return refused(operation, event)
  // An undo ends only when a lift was seen, or when every recorded expiry is over.
  if (stage.phase === "Lifting" && (event.clean || event.at < stage.order.deadline + grace)) {
    return refused(operation, event)
  }
  const residue = event.clean ? none : residueOf({ ...stage, phase: "Lifting" })
  // While a host may still carry a fence, no other attempt begins.
  if (stage.reason === "retry" && event.clean) return tryAgain(operation, event.at)
  return end(operation, failed(stage.reason === "cancel" ? "cancel" : "fail", stage.error, residue), event.at)
}

const residueOf = (stage: typeof Stage.cases.Undoing.Type): Residue =>
  stage.phase === "Probing" ? none : { _tag: "Unknown", order: stage.order, until: stage.order.deadline + grace }
