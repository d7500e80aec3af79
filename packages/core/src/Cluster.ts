/**
 * A configured cluster: the pairing of a target with the injector that breaks it, and the limits it is broken within.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { HostError } from "./Host.ts"
import type { Injector } from "./Injector.ts"
import type { PlannedFence } from "./Plan.ts"
import type { Supervisor } from "./Supervision.ts"
import type { Target } from "./Target.ts"
import type { Millis } from "./Time.ts"
import type { Topology } from "./Topology.ts"
import type { Witness } from "./Witness.ts"

/** A configured cluster. */
export interface Cluster {
  readonly name: string
  readonly target: Target
  readonly injector: Injector
  /** The mechanism that restarts members and stops nodes; `injector` itself where that one restarts, else none. */
  readonly restarter?: Injector
  /** The labels of the hosts its members run on. */
  readonly hosts: ReadonlyArray<string>
  /** Asks those hosts whether they answer; fails with the first that does not. Left out where there is none to ask. */
  readonly reach?: Effect.Effect<void, HostError>
  /**
   * Who else watches over the members of a group, those that would be left alone among them: an engine's health checks,
   * a kubelet's probes, an operator. These come beside what the injector and the target tell themselves.
   */
  readonly supervisors?: (topology: Topology) => Effect.Effect<ReadonlyArray<Supervisor>>
  /** Who depends on the cluster and is asked through every operation; nobody unless given. */
  readonly witnesses?: ReadonlyArray<Witness>
  /** True for a cluster that may be looked at but never broken. */
  readonly protected: boolean
  /** The longest hold that is allowed; null for no limit. */
  readonly maxHold: Millis | null
}

/** The mechanism that restarts the members of a cluster, or `undefined` where none can. */
export const restarterOf = (cluster: Cluster): Injector | undefined =>
  cluster.restarter ?? (cluster.injector.restarts === true ? cluster.injector : undefined)

/**
 * The mechanism that a fence names: that of the cluster which the fence names, of `own` where it names none, or of any
 * cluster on the fence's host. Null where none of them has it.
 */
export const injectorOfFence = (
  clusters: ReadonlyArray<Cluster>,
  own: Cluster | null,
  fence: PlannedFence
): Injector | null => {
  const first = fence.cluster === undefined ? own : clusters.find(({ name }) => name === fence.cluster)
  const called = (cluster: Cluster): Injector | undefined =>
    [cluster.injector, restarterOf(cluster)].find((one) => one?.name === fence.injector)
  const injector = first == null ? undefined : called(first)
  if (injector !== undefined) return injector
  for (const cluster of clusters) {
    const other = cluster.hosts.includes(fence.process.host) ? called(cluster) : undefined
    if (other !== undefined) return other
  }
  return null
}

/** All configured clusters, in the order of the configuration. */
export class Clusters extends Context.Service<Clusters, { readonly all: ReadonlyArray<Cluster> }>()(
  "@inquorate/core/Cluster"
) {}

/** The cluster and group that a service name `fabric:/<cluster>/<group>` means, or `undefined` for another shape. */
export const parseServiceName = (
  serviceName: string
): { readonly cluster: string; readonly group: string } | undefined => {
  const match = /^fabric:\/([^/]+)\/(.+)$/.exec(serviceName)
  return match === null ? undefined : { cluster: match[1]!, group: match[2]! }
}
