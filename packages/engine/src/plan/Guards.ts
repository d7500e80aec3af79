/**
 * The guards that look beyond the group itself: how many operations run at once, on a cluster, on a host and in all, and
 * whether our own store lies inside what would be broken. Each says no with a typed refusal before anything is touched.
 */
import * as Effect from "effect/Effect"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, isTerminal, type Operation, standingOrder } from "@inquorate/core/Operation"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import { type PlannedFence, Refusal } from "@inquorate/core/Plan"
import { type FaultRequest, isPartitionRequest, subjectOf } from "@inquorate/core/Request"
import type { Topology } from "@inquorate/core/Topology"

/** What is allowed at once, null for any number, and where the store lies. */
export interface Guards {
  /** Operations at once on one cluster. */
  readonly perCluster: number | null
  /** Operations at once that have fences on one host. */
  readonly perHost: number | null
  /** Operations at once on all clusters, whichever worker runs them. */
  readonly overall: number | null
  /** The member of this group that our store depends on, or null for none. */
  readonly storeInside: (topology: Topology) => Effect.Effect<string | null>
}

/** Guards that refuse nothing. */
export const unguarded: Guards = {
  perCluster: null,
  perHost: null,
  overall: null,
  storeInside: () => Effect.succeed(null)
}

/** True where what runs at once is limited. */
export const isLimited = ({ overall, perCluster, perHost }: Guards): boolean =>
  overall !== null || perCluster !== null || perHost !== null

/** The refusal of a group that our own store depends on, or null. */
export const storeRefusal = (guards: Guards, topology: Topology): Effect.Effect<Refusal | null> =>
  Effect.map(guards.storeInside(topology), (member) =>
    member === null ? null : Refusal.cases.StoreInside.make({ member })
  )

/**
 * The refusals that other operations are the reason of. `queuedCount` counts those that wait as well; without it an
 * operation that only looks up yet counts where it was received first, so that of two at once one goes on.
 */
export const crowdRefusals = (
  guards: Guards,
  store: OperationStore["Service"],
  of: {
    readonly id: Guid
    readonly request: FaultRequest
    readonly receivedAt: number
    readonly clusters: ReadonlyArray<string>
  },
  fences: ReadonlyArray<PlannedFence>,
  options: { readonly queuedCount: boolean }
): Effect.Effect<ReadonlyArray<Refusal>, StoreError> =>
  Effect.gen(function* () {
    const { overall, perCluster, perHost } = guards
    if (!isLimited(guards)) return []
    const others = (yield* store.holding)
      .map(({ operation }) => operation)
      .filter((other) => other.id !== of.id && (options.queuedCount || runs(other, of)))
    // The one in the way of all others is the one on the very partition, which no override sets aside.
    const holder = others.find((other) => subjectOf(other.request) === subjectOf(of.request) && holdsPartition(other))
    if (holder !== undefined) return [busy(holder)]
    const beside = others.filter((other) => of.clusters.some((name) => isOn(other, name)))
    const refusals: Array<Refusal> = []
    if (perCluster !== null && beside.length >= perCluster) {
      refusals.push(Refusal.cases.TooMany.make({ scope: "cluster", running: beside.length, limit: perCluster }))
    }
    if (overall !== null && others.length >= overall) {
      refusals.push(Refusal.cases.TooMany.make({ scope: "overall", running: others.length, limit: overall }))
    }
    for (const { host, machineId } of perHost === null ? [] : hostsOf(fences)) {
      const there = others.filter((other) => standsOn(other, host, machineId))
      if (there.length < perHost!) continue
      refusals.push(Refusal.cases.HostBusy.make({ host, operationId: there[0]!.id }))
      break
    }
    return refusals
  })

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

// --- internal ---

interface Place {
  readonly host: string
  readonly machineId: string | undefined
}

// A service is its cluster's by its name; a node's stop is on every cluster that it has fences of.
const isOn = (other: Operation, cluster: string): boolean =>
  isPartitionRequest(other.request)
    ? other.request.serviceName.startsWith(`fabric:/${cluster}/`)
    : (standingOrder(other)?.fences.some((fence) => fence.cluster === cluster) ?? false)

const runs = (other: Operation, of: { readonly id: Guid; readonly receivedAt: number }): boolean => {
  if (standingOrder(other) !== null || other.firstDeadline !== null) return true
  if (other.stage._tag !== "Advancing" || other.stage.step._tag !== "LookingUpState") return false
  return other.receivedAt < of.receivedAt || (other.receivedAt === of.receivedAt && other.id < of.id)
}

const placeOf = ({ machineId, process }: PlannedFence): Place => ({ host: process.host, machineId })

const hostsOf = (fences: ReadonlyArray<PlannedFence>): ReadonlyArray<Place> => {
  const places = new Map(fences.map((fence) => [`${fence.process.host} ${fence.machineId}`, placeOf(fence)]))
  return [...places.values()]
}

// A label names a machine only for those who share a configuration; where both machines are known, they decide.
const standsOn = (other: Operation, host: string, machineId: string | undefined): boolean =>
  standingOrder(other)?.fences.some((fence) =>
    fence.machineId !== undefined && machineId !== undefined
      ? fence.machineId === machineId
      : fence.process.host === host
  ) ?? false
