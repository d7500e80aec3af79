/**
 * The recover calls: somebody wishes to have partitions served again without the replicas they wait for. The wish goes
 * to the targets that can do that, which are simulated clusters. Elsewhere the log records it. It never lifts a fence.
 */
import * as Effect from "effect/Effect"
import type { Cluster } from "@inquorate/core/Cluster"
import {
  type ClusterView,
  isUnknown,
  type PartitionRecovery,
  type RecoverScope,
  RequestRefused
} from "@inquorate/core/Operations"
import { serviceNameOf, type Topology } from "@inquorate/core/Topology"

/** Passes the wish on to every partition of the scope. A partition that is not there has its own code. */
export const recover = (
  clusters: ReadonlyArray<Cluster>,
  views: ReadonlyArray<ClusterView>,
  scope: RecoverScope
): Effect.Effect<ReadonlyArray<PartitionRecovery>, RequestRefused> =>
  Effect.gen(function* () {
    const groups = views.flatMap((view) => view.groups)
    const unlooked = views.find(({ seen }) => seen === "NotLookedAt")
    // The partition that is asked for may be there, and "all" would leave some out without a word.
    if (unlooked !== undefined && scope._tag !== "System" && !groups.some((group) => isNamed(group, scope))) {
      const detail = `The cluster ${unlooked.name} is not looked at yet. Ask again in a moment.`
      return yield* new RequestRefused({ code: "FABRIC_E_NOT_READY", detail, refusal: null })
    }
    const meant = scope._tag === "System" ? [] : groups.filter((topology) => isMeant(topology, scope))
    if (meant.length === 0) yield* refuseNobody(views, scope)
    return yield* Effect.forEach(
      meant,
      (topology) =>
        recoverOne(
          clusters.find(({ name }) => name === topology.cluster),
          topology
        ),
      { concurrency: "unbounded" }
    )
  })

// --- internal ---

const isNamed = (topology: Topology, scope: RecoverScope): boolean => scope._tag !== "All" && isMeant(topology, scope)

const isMeant = (topology: Topology, scope: RecoverScope): boolean =>
  scope._tag === "Partition"
    ? topology.partitionId === scope.partitionId
    : scope._tag === "Service"
      ? serviceNameOf(topology) === scope.serviceName
      : true

const refuseNobody = (views: ReadonlyArray<ClusterView>, scope: RecoverScope): Effect.Effect<void, RequestRefused> => {
  if (scope._tag === "All" || scope._tag === "System") return Effect.void
  const unseen = views.find(isUnknown)
  if (unseen !== undefined) {
    const detail = `The cluster ${unseen.name} was never seen: ${unseen.problem}`
    return Effect.fail(new RequestRefused({ code: "FABRIC_E_COMMUNICATION_ERROR", detail, refusal: null }))
  }
  return Effect.fail(
    scope._tag === "Partition"
      ? new RequestRefused({
          code: "FABRIC_E_PARTITION_NOT_FOUND",
          detail: `No configured cluster has the partition ${scope.partitionId}`,
          refusal: null
        })
      : new RequestRefused({
          code: "FABRIC_E_SERVICE_DOES_NOT_EXIST",
          detail: `No configured cluster has the service ${scope.serviceName}`,
          refusal: null
        })
  )
}

const recoverOne = (
  cluster: Cluster | undefined,
  topology: Topology
): Effect.Effect<PartitionRecovery, RequestRefused> => {
  const { partitionId, system } = topology
  const about = { serviceName: serviceNameOf(topology), partitionId, system }
  const told = Effect.annotateLogs({ service: serviceNameOf(topology), partitionId: topology.partitionId })
  if (cluster?.target.recover === undefined) {
    return Effect.logInfo("Recovery asked for; this system recovers by itself, and nothing was lifted").pipe(
      told,
      Effect.as({ ...about, recovery: "ByItself" as const })
    )
  }
  return Effect.andThen(
    Effect.logInfo("Recovery asked for").pipe(told),
    Effect.mapBoth(cluster.target.recover(topology.group), {
      onFailure: ({ detail }) => new RequestRefused({ code: "FABRIC_E_COMMUNICATION_ERROR", detail, refusal: null }),
      onSuccess: () => ({ ...about, recovery: "Asked" as const })
    })
  )
}
