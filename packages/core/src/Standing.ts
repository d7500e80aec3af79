/**
 * The faults of ours that stand now, for whoever looks at clusters: which partition or node each holds, which members
 * it took and how, until when, and by which operation it can be ended before. Without it a loss that we made looks like
 * the system's own.
 */
import * as Schema from "effect/Schema"
import { phaseOf } from "./Describe.ts"
import { faultOf } from "./Fault.ts"
import { Guid } from "./Guid.ts"
import { isTerminal, type Operation, standingOrder } from "./Operation.ts"
import { isNodeRequest } from "./Request.ts"
import { Instant } from "./Time.ts"

// --- models ---

/** A fault of ours that stands, or is about to. */
export class StandingFault extends Schema.Opaque<StandingFault>()(
  Schema.Struct({
    operationId: Guid,
    /** Null for the fault of a node. */
    partitionId: Schema.NullOr(Guid),
    /** Null for the fault of a partition. */
    nodeName: Schema.NullOr(Schema.String),
    /** The members that it takes out, each on its node by its mechanism. */
    members: Schema.Array(Schema.Struct({ member: Schema.String, node: Schema.String, by: Schema.String })),
    /** True while the quorum is proven lost. */
    lost: Schema.Boolean,
    /** When it ends: the lift, or the moment a stopped node starts by itself; null while nothing is out yet. */
    until: Schema.NullOr(Instant),
    /** What the operation does now, in a few words; empty for a stopped node, whose operation has ended. */
    phase: Schema.String
  }).annotate({ identifier: "StandingFault" })
) {}

// --- make ---

/**
 * The faults of these operations that stand at `now`. `recent` are the newest operations in the order they were
 * received: of those of a node, the last one that was carried out tells whether the node is stopped.
 */
export const standingFaults = (
  holders: ReadonlyArray<Operation>,
  recent: ReadonlyArray<Operation>,
  now: Instant
): ReadonlyArray<StandingFault> => [
  ...holders.map((operation) => ofHolder(operation, now)),
  ...[...stoppedNodes(recent, now).values()]
]

/** How a mechanism takes a member out, in a word for a person: `paused`, `killed`, `cut off`. */
export const takenBy = (injector: string): string =>
  ({ pause: "paused", kill: "killed", netfilter: "cut off" })[injector] ?? "taken out"

// --- internal ---

const membersOf = (operation: Operation): StandingFault["members"] => {
  const { stage } = operation
  const order = stage._tag === "Completed" ? (stage.standing ?? null) : standingOrder(operation)
  return (order?.fences ?? []).map(({ injector, member, named, node }) => ({
    member: named ?? member,
    node,
    by: injector
  }))
}

const ofHolder = (operation: Operation, now: Instant): StandingFault => {
  const { request, stage } = operation
  const order = standingOrder(operation)
  const holding =
    stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Holding"
      ? stage.step.phase
      : null
  return {
    operationId: operation.id,
    partitionId: isNodeRequest(request) ? null : request.partitionId,
    nodeName: isNodeRequest(request) ? request.nodeName : null,
    members: membersOf(operation),
    lost: holding !== null && faultOf(request).losesQuorum,
    until: holding?.liftAt ?? order?.deadline ?? null,
    phase: isTerminal(operation) ? "not known whether its fences are off" : phaseOf(operation, now)
  }
}

const stoppedNodes = (recent: ReadonlyArray<Operation>, now: Instant): ReadonlyMap<string, StandingFault> => {
  const nodes = new Map<string, StandingFault>()
  for (const operation of recent) {
    const { request, stage } = operation
    if (!isNodeRequest(request) || stage._tag !== "Completed") continue
    nodes.delete(request.nodeName)
    if (request.transition === "Start" || stage.standing === undefined || stage.standing.deadline <= now) continue
    nodes.set(request.nodeName, {
      operationId: operation.id,
      partitionId: null,
      nodeName: request.nodeName,
      members: membersOf(operation),
      lost: false,
      until: stage.standing.deadline,
      phase: ""
    })
  }
  return nodes
}
