/**
 * The moves that an operation may make, written down apart from the rules that make them: the picture in the architecture
 * page and the contract's table of public states. What the store is seen to do is held against it.
 */
import { faultOf } from "@inquorate/core/Fault"
import type { Operation } from "@inquorate/core/Operation"
import { type OperationState, stateOf } from "@inquorate/core/Wire"

/** The words for where an operation stands: its phase while it is under way, its wire state once it has ended. */
export const where = ({ stage }: Operation): string => {
  if (stage._tag === "Undoing") return `Undoing${stage.phase}`
  if (stage._tag !== "Advancing") return stateOf(stage)
  return stage.step._tag === "PerformingActions" ? stage.step.phase._tag : stage.step._tag
}

/**
 * True for a move that there is. An attempt begins again only from a look-up that failed, an undo that is done, or an order
 * that never left us: then nothing is there to undo, and such an attempt may also end at once.
 */
export const isMove = (before: Operation, after: Operation): boolean => {
  const from = where(before)
  const to = where(after)
  if (before.id !== after.id || before.receivedAt !== after.receivedAt) return false
  if (after.attempt !== before.attempt) {
    return (
      after.attempt === before.attempt + 1 &&
      to === "LookingUpState" &&
      ["LookingUpState", "Arming", "UndoingProbing"].some((last) => last === from || passesTo(from, last, after))
    )
  }
  return leads(from, to, after)
}

/** True where the wire may show this state after that one. */
export const isWireMove = (before: OperationState, after: OperationState): boolean =>
  before === after || (wireMoves[before]?.includes(after) ?? false)

// --- internal ---

/** Where a loss without a hold may pass through with the next move: what is done there orders nothing of a host. */
const passing = ({ request }: Operation): ReadonlyArray<string> =>
  faultOf(request).losesQuorum && faultOf(request).duration === 0
    ? ["LookingUpState", "Verifying", "Holding", "Recovering"]
    : []

// One write may hold the begin of a look-up and its failure.
const passesTo = (from: string, last: string, operation: Operation): boolean =>
  passing(operation).includes(last) && (moves[from] ?? []).includes(last)

const leads = (from: string, to: string, operation: Operation): boolean => {
  const next = moves[from] ?? []
  return (
    next.includes(to) || next.some((between) => passing(operation).includes(between) && leads(between, to, operation))
  )
}

const ends = ["Faulted", "Cancelled", "ForceCancelled"]

const moves: Readonly<Record<string, ReadonlyArray<string>>> = {
  IntentSaved: ["LookingUpState", "Cancelled"],
  LookingUpState: ["Arming", "Faulted", "Cancelled"],
  // Ordered anew where every host refused the order as late.
  Arming: ["Arming", "Verifying", "UndoingLifting", "Faulted"],
  Verifying: ["Holding", "UndoingLifting"],
  Holding: ["Lifting", "UndoingLifting"],
  Lifting: ["Recovering", "UndoingLifting"],
  Recovering: ["Completed", "UndoingLifting", "UndoingProbing"],
  UndoingLifting: ["UndoingLifting", "UndoingProbing", ...ends],
  UndoingProbing: ["UndoingProbing", ...ends],
  // Only a sweep changes what has ended, and it changes nothing that the wire shows.
  Faulted: ["Faulted"],
  Cancelled: ["Cancelled"],
  ForceCancelled: ["ForceCancelled"]
}

const wireMoves: Readonly<Partial<Record<OperationState, ReadonlyArray<OperationState>>>> = {
  Running: ["RollingBack", "Completed", "Faulted", "Cancelled"],
  RollingBack: ["Faulted", "Cancelled", "ForceCancelled"]
}
