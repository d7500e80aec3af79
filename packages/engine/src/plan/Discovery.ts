/**
 * What a request names, as it stands now: the cluster and the group that a service name means, and what a target tells of
 * its groups and nodes. A cluster or a host that cannot be asked is a failure of its own, never a guard's no.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Cluster } from "@inquorate/core/Cluster"
import { faultOf } from "@inquorate/core/Fault"
import { Refusal } from "@inquorate/core/Plan"
import type { PartitionRequest } from "@inquorate/core/Request"
import type { Target, TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import { type NodeFacts, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import { GuardRefused } from "./Guards.ts"

// --- errors ---

/** The cluster or one of its hosts could not be asked. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  detail: Schema.String,
  retryable: Schema.Boolean
}) {}

// --- make ---

/**
 * The cluster and group that a service name means by its own form, `fabric:/<cluster>/<group>`, or `undefined` where no
 * cluster is configured under that name.
 */
export const findCluster = (
  clusters: ReadonlyArray<Cluster>,
  serviceName: string
): { readonly cluster: Cluster; readonly group: string } | undefined => {
  if (!serviceName.startsWith(scheme)) return undefined
  const named = byName(clusters)
  const name = serviceName.slice(scheme.length)
  // The name of an application may have slashes, and another one's may begin it: the longest that fits is meant.
  for (let end = name.lastIndexOf("/"); end > 0; end = name.lastIndexOf("/", end - 1)) {
    const cluster = named.get(name.slice(0, end))
    if (cluster !== undefined) return { cluster, group: name.slice(end + 1) }
  }
  return undefined
}

/** The group that a request names as it stands now. */
export const discoverGroup = (
  clusters: ReadonlyArray<Cluster>,
  request: PartitionRequest
): Effect.Effect<{ readonly cluster: Cluster; readonly topology: Topology }, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const { cluster, groups } = yield* discoverService(clusters, request.serviceName)
    const refusal = kindRefusal(request, groups[0]!)
    if (refusal !== null) return yield* new GuardRefused({ refusal, topology: groups[0]! })
    const topology = groups.find(({ partitionId }) => partitionId === request.partitionId)
    if (topology === undefined) {
      const unknown = Refusal.cases.UnknownPartition.make({ partitionId: request.partitionId })
      return yield* new GuardRefused({ refusal: unknown, topology: groups[0]! })
    }
    return { cluster, topology }
  })

/** Fails where a host of the cluster cannot be asked. */
export const reachHosts = ({ reach = Effect.void }: Cluster): Effect.Effect<void, Unreachable> =>
  reach.pipe(
    Effect.mapError(
      ({ detail, host, reason }) =>
        new Unreachable({ detail: `host ${host}: ${detail}`, retryable: reason !== "NotThisPlatform" })
    )
  )

/** The groups of a target, bounded in time. */
export const discover = (target: Target): Effect.Effect<ReadonlyArray<Topology>, Unreachable> =>
  answered(target, target.discover)

/** The nodes that a target tells of itself, bounded in time; none where they follow from its members. */
export const discoverNodes = (target: Target): Effect.Effect<ReadonlyArray<NodeFacts>, Unreachable> =>
  target.nodes === undefined ? Effect.succeed([]) : answered(target, target.nodes)

// --- internal ---

const scheme = "fabric:/"

// Every start looks for its cluster, several times, and there may be thousands.
const indexes = new WeakMap<ReadonlyArray<Cluster>, ReadonlyMap<string, Cluster>>()

const byName = (clusters: ReadonlyArray<Cluster>): ReadonlyMap<string, Cluster> => {
  const known = indexes.get(clusters)
  if (known?.size === clusters.length) return known
  const made = new Map(clusters.map((cluster) => [cluster.name, cluster]))
  indexes.set(clusters, made)
  return made
}

/** How long a discovery may take before the cluster counts as unreachable. */
const discoverTimeout: Millis = 10_000

const answered = <A>(
  target: Target,
  asked: Effect.Effect<ReadonlyArray<A>, TargetError>
): Effect.Effect<ReadonlyArray<A>, Unreachable> =>
  asked.pipe(
    Effect.mapError(
      ({ detail, endpoint, reason }) =>
        new Unreachable({
          detail: `${target.cluster} at ${endpoint}: ${detail}`,
          retryable: reason === "Unreachable" || reason === "TimedOut"
        })
    ),
    Effect.timeoutOrElse({
      duration: discoverTimeout,
      orElse: () =>
        Effect.fail(
          new Unreachable({
            detail: `${target.cluster} did not answer within ${discoverTimeout} ms`,
            retryable: true
          })
        )
    })
  )

// A simulated application's services may be called anything, and one service may be many groups.
const discoverService = (
  clusters: ReadonlyArray<Cluster>,
  serviceName: string
): Effect.Effect<{ readonly cluster: Cluster; readonly groups: ReadonlyArray<Topology> }, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const isMeant = (topology: Topology): boolean => serviceNameOf(topology) === serviceName
    const named = findCluster(clusters, serviceName)
    if (named !== undefined) {
      // First, for a host that is away shows no process, which would be no word about the server.
      yield* reachHosts(named.cluster)
      const groups = (yield* discover(named.cluster.target)).filter(isMeant)
      if (groups.length > 0) return { cluster: named.cluster, groups }
    }
    // Only a target that names its services itself may have one of another form; to ask all would drown them in wrong names.
    const others = clusters.filter(({ target }) => target.application !== undefined && target !== named?.cluster.target)
    const seen = yield* Effect.forEach(others, ({ target }) => Effect.option(discover(target)), {
      concurrency: "unbounded"
    })
    for (const [index, cluster] of others.entries()) {
      const groups = Option.getOrElse(seen[index]!, () => []).filter(isMeant)
      if (groups.length === 0) continue
      yield* reachHosts(cluster)
      return { cluster, groups }
    }
    return yield* new GuardRefused({ refusal: Refusal.cases.UnknownService.make({ serviceName }), topology: null })
  })

// What a kind of service cannot suffer is told before its partition is looked for, as Service Fabric does.
const kindRefusal = (request: PartitionRequest, { service }: Topology): Refusal | null =>
  service === undefined ? null : faultOf(request).unsuited(service)
