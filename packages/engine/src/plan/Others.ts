/**
 * What other operations are the reason of: they stand on the partition, on the node or on a server process, or as many run
 * as may run at once. Each look reads them from the store once, and every question of that look is answered from there.
 */
import * as Effect from "effect/Effect"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, isTerminal, type Operation, type Order, standingOrder } from "@inquorate/core/Operation"
import type { Elsewhere, OperationStore, StoreError, UnreadableRow } from "@inquorate/core/OperationStore"
import { type PlannedFence, Refusal } from "@inquorate/core/Plan"
import { type FaultRequest, isPartitionRequest, subjectOf } from "@inquorate/core/Request"
import type { Instant } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import { answering, type Guard, type Guards, isLimited, type PlanGround } from "./Guards.ts"

// --- models ---

/**
 * The operations of the store that may be in the way of one request at one moment: those on its partition or node, those
 * that wait included; those that stand on processes elsewhere, as far as that was asked for; and all that hold anything
 * where the number that may run at once is limited.
 */
export interface Others {
  readonly holding: ReadonlyArray<Operation>
  readonly unreadable: ReadonlyArray<UnreadableRow>
}

/** Who asks for what, and since when. */
export interface Asked {
  readonly id: Guid
  readonly request: FaultRequest
  readonly receivedAt: Instant
}

/** Whether those that wait count as well: they do for a front, whose own operation is the last to come. */
export interface Counting {
  readonly queuedCount: boolean
}

// --- make ---

/** Reads them as they stand now, for a request whose fences are these, or `"unknown"` yet. */
export const read = (
  { guards, store }: Pick<PlanGround, "guards" | "store">,
  request: FaultRequest,
  fences: ReadonlyArray<PlannedFence> | "unknown"
): Effect.Effect<Others, StoreError> =>
  Effect.gen(function* () {
    const asked = isLimited(guards) ? store.holding : store.rivals(subjectOf(request), elsewhere(request, fences))
    const holding = (yield* asked).map(({ operation }) => operation)
    return { holding, unreadable: yield* store.unreadable }
  })

/** The others on the same partition or node, those that wait included. */
export const beside = ({ holding }: Others, { id, request }: Pick<Asked, "id" | "request">): ReadonlyArray<Operation> =>
  holding.filter((other) => other.id !== id && subjectOf(other.request) === subjectOf(request))

/**
 * No other operation is in the way: none has fences that stand on the partition or the node, that may stand, or that wait
 * for another attempt; and none has fences on a process of `fences` that one of the two ends.
 */
export const notBusy = (
  { holding, unreadable }: Others,
  { id, request }: Pick<Asked, "id" | "request">,
  { fences = [], queuedCount }: Counting & { readonly fences?: ReadonlyArray<PlannedFence> }
): Guard => {
  const other = holding.find(
    (operation) =>
      operation.id !== id &&
      holdsPartition(operation) &&
      ((subjectOf(operation.request) === subjectOf(request) && (queuedCount || occupies(operation))) ||
        meets(operation, request, fences))
  )
  if (other !== undefined) return answering(busy(other))
  // Nobody can tell what it has on hosts, so nobody else goes there until it is mended or removed.
  const dark = unreadable.find((row) => row.holds && row.subject === subjectOf(request) && row.id !== id)
  return answering(
    dark === undefined
      ? null
      : Refusal.cases.Busy.make({
          operationId: dark.id,
          problem:
            "its row in the store cannot be read, so nobody can tell what it has on hosts; see the list of operations"
        })
  )
}

/**
 * No more run at once than may, on these clusters, on the hosts of these fences and in all. `queuedCount` counts those that
 * wait as well. Without it an operation that is still looking up counts where it was received first, so that of two at once
 * one goes on.
 */
export const uncrowded = (
  guards: Guards,
  { holding }: Others,
  of: Asked & { readonly clusters: ReadonlyArray<string> },
  fences: ReadonlyArray<PlannedFence>,
  { queuedCount }: Counting
): Guard => {
  const { overall, perCluster, perHost } = guards
  // What gives a node back adds nothing to what runs at once.
  if (faultOf(of.request).givesBack) return Effect.succeed([])
  if (!isLimited(guards)) return Effect.succeed([])
  const others = holding.filter((other) => other.id !== of.id && (queuedCount || runs(other, of)))
  // The one in the way of all others is the one on the very partition, which no override sets aside.
  const holder = others.find((other) => subjectOf(other.request) === subjectOf(of.request) && holdsPartition(other))
  if (holder !== undefined) return answering(busy(holder))
  const there = others.filter((other) => of.clusters.some((name) => isOn(other, name)))
  const refusals: Array<Refusal> = []
  if (perCluster !== null && there.length >= perCluster) {
    refusals.push(Refusal.cases.TooMany.make({ scope: "cluster", running: there.length, limit: perCluster }))
  }
  if (overall !== null && others.length >= overall) {
    refusals.push(Refusal.cases.TooMany.make({ scope: "overall", running: others.length, limit: overall }))
  }
  const full = perHost === null ? null : fullHost(others, fences, perHost)
  return Effect.succeed(full === null ? refusals : [...refusals, full])
}

/** The refusal that names the operation in the way. */
export const busy = (operation: Operation): Refusal =>
  Refusal.cases.Busy.make({
    operationId: operation.id,
    problem: !isTerminal(operation)
      ? "it has not ended yet; wait for its end or cancel it"
      : standingOrder(operation) === null
        ? "it held the partition while this was looked at, and has ended since; start again"
        : "it has ended, but a host has yet to confirm that nothing of it is left"
  })

/** True for a refusal that another operation's own fault can be the reason of. */
export const isOthersFault = ({ _tag }: Refusal): boolean => othersFaults.has(_tag)

/**
 * The first of these operations that had ordered fences, or null. It held the group while somebody looked at it, though it
 * may have ended before the store was asked who holds it.
 */
export const heldMeanwhile = (
  store: OperationStore["Service"],
  ids: Iterable<Guid>
): Effect.Effect<Operation | null, StoreError> =>
  Effect.gen(function* () {
    for (const id of ids) {
      const other = yield* store.get(id)
      if (other !== null && other.operation.firstDeadline !== null) return other.operation
    }
    return null
  })

/**
 * The operation whose order came first where two share a process that one of them ends, or null. It is asked once the own
 * order is stored, so that of two that looked up at once at least one sees the other.
 */
export const cameFirst = (
  store: OperationStore["Service"],
  operation: Operation,
  order: Order
): Effect.Effect<Operation | null, StoreError> =>
  Effect.map(store.rivals(subjectOf(operation.request), elsewhere(operation.request, order.fences)), (rivals) => {
    for (const { operation: other } of rivals) {
      const theirs = standingOrder(other)
      if (theirs === null || other.id === operation.id || !meets(other, operation.request, order.fences)) continue
      const earlier = theirs.armedAt < order.armedAt
      if (earlier || (theirs.armedAt === order.armedAt && other.id < operation.id)) return other
    }
    return null
  })

/** What tells one server process from every other. */
export const processKey = ({ host, pid, startTime }: ProcessRef): string => `${host}/${pid}/${startTime}`

// --- internal ---

const othersFaults: ReadonlySet<Refusal["_tag"]> = new Set([
  "AlreadyLost",
  "NoPrimary",
  "Degraded",
  "NotSteady",
  "Unfit"
])

// Where else than on the same partition or node somebody may stand who is in the way.
const elsewhere = (request: FaultRequest, fences: ReadonlyArray<PlannedFence> | "unknown"): Elsewhere =>
  fences.length === 0 ? "None" : faultOf(request).sharesProcess ? "Exclusive" : "Standing"

// Two losses of a quorum may share a server process; what ends a process may share it with nobody.
const meets = (operation: Operation, request: FaultRequest, fences: ReadonlyArray<PlannedFence>): boolean => {
  if (faultOf(operation.request).sharesProcess && faultOf(request).sharesProcess) return false
  const taken = new Set((standingOrder(operation)?.fences ?? []).map(({ process }) => processKey(process)))
  return fences.some(({ process }) => taken.has(processKey(process)))
}

const occupies = (operation: Operation): boolean =>
  standingOrder(operation) !== null || operation.firstDeadline !== null

const runs = (other: Operation, of: Asked): boolean => {
  if (occupies(other)) return true
  if (other.stage._tag !== "Advancing" || other.stage.step._tag !== "LookingUpState") return false
  return other.receivedAt < of.receivedAt || (other.receivedAt === of.receivedAt && other.id < of.id)
}

// A service is its cluster's by its name; a node's stop is on every cluster that it has fences of.
const isOn = (other: Operation, cluster: string): boolean =>
  isPartitionRequest(other.request)
    ? other.request.serviceName.startsWith(`fabric:/${cluster}/`)
    : (standingOrder(other)?.fences.some((fence) => fence.cluster === cluster) ?? false)

const fullHost = (
  others: ReadonlyArray<Operation>,
  fences: ReadonlyArray<PlannedFence>,
  limit: number
): Refusal | null => {
  for (const { machineId, process } of fences) {
    const there = others.filter((other) => standsOn(other, process.host, machineId))
    if (there.length >= limit) return Refusal.cases.HostBusy.make({ host: process.host, operationId: there[0]!.id })
  }
  return null
}

// A label names a machine only for those who share a configuration; where both machines are known, they decide.
const standsOn = (other: Operation, host: string, machineId: string | undefined): boolean =>
  standingOrder(other)?.fences.some((fence) =>
    fence.machineId !== undefined && machineId !== undefined
      ? fence.machineId === machineId
      : fence.process.host === host
  ) ?? false
