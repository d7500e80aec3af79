/**
 * What the configured clusters look like, as last seen. Each cluster is looked at in the background, once at a time, so
 * that a front is answered within a second even while members of a cluster are stopped. A cluster that was never seen
 * says so: its empty list of groups means nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Cluster } from "@inquorate/core/Cluster"
import type { ClusterView } from "@inquorate/core/Operations"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import type { NodeFacts, Topology } from "@inquorate/core/Topology"
import { monotonicNow } from "../Monotonic.ts"
import { discover, discoverNodes } from "../plan/Discovery.ts"

/** What the clusters look like. */
export interface Browse {
  /** Every cluster with its groups, within a second; each run looks again. */
  readonly views: Effect.Effect<ReadonlyArray<ClusterView>>
  /** Ends once every cluster was looked at, whatever came of it, and when `within` is over at the latest. */
  readonly lookFirst: (within: Millis) => Effect.Effect<void>
}

/** Looks at clusters. A cluster that did not answer says so and shows what was last seen. */
export const make = (clusters: ReadonlyArray<Cluster>): Effect.Effect<Browse, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const watched = clusters.map((cluster) => makeView(cluster, scope))
    return {
      views: Effect.forEach(watched, ({ view }) => view, { concurrency: "unbounded" }),
      lookFirst: (within) =>
        Effect.forEach(watched, ({ looked }) => looked, { concurrency: "unbounded", discard: true }).pipe(
          Effect.timeoutOption(within),
          Effect.asVoid
        )
    }
  })

// --- internal ---

const answerWithin = 800
const answerAtLeast = 50

/** One look that runs. */
interface Look {
  readonly done: Deferred.Deferred<void>
  readonly since: Millis
}

/** What is known of a cluster; moments are on the monotonic clock. */
interface Sight {
  readonly groups: ReadonlyArray<Topology>
  readonly nodes: ReadonlyArray<NodeFacts>
  /** When it was last seen; null for never. */
  readonly seenAt: Millis | null
  /** Why it could not be seen when it was last looked at; null where it was seen, or not looked at yet. */
  readonly failure: { readonly detail: string; readonly at: Millis } | null
}

const makeView = (cluster: Cluster, scope: Scope.Scope) => {
  let sight: Sight = { groups: [], nodes: [], seenAt: null, failure: null }
  let running: Look | undefined

  const look = (done: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const seen = yield* Effect.result(
        Effect.all([discover(cluster.target), discoverNodes(cluster.target)], { concurrency: "unbounded" })
      )
      const at = yield* monotonicNow
      sight = Result.isSuccess(seen)
        ? { groups: seen.success[0], nodes: seen.success[1], seenAt: at, failure: null }
        : { ...sight, failure: { detail: seen.failure.detail, at } }
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          running = undefined
          return Deferred.succeed(done, undefined)
        })
      )
    )

  const begin = Effect.gen(function* () {
    if (running !== undefined) return running
    const begun = (running = { done: Deferred.makeUnsafe<void>(), since: yield* monotonicNow })
    yield* Effect.forkIn(look(begun.done), scope)
    return begun
  })

  const view: Effect.Effect<ClusterView> = Effect.gen(function* () {
    const current = yield* begin
    // A caller who comes late to a look that gets no answer need not wait as long as the first.
    const patience = Math.max(answerAtLeast, answerWithin - ((yield* monotonicNow) - current.since))
    const answered = yield* Effect.timeoutOption(Deferred.await(current.done), patience)
    return {
      name: cluster.name,
      system: cluster.target.system,
      injector: cluster.injector.name,
      protected: cluster.protected,
      maxHold: cluster.maxHold,
      groups: sight.groups,
      ...(cluster.target.application === undefined ? {} : { application: cluster.target.application }),
      ...(cluster.target.nodes === undefined ? {} : { nodes: sight.nodes }),
      ...freshness(sight, answered._tag === "Some", yield* monotonicNow)
    }
  })

  return { view, looked: Effect.flatMap(begin, ({ done }) => Deferred.await(done)) }
}

const freshness = (
  { failure, seenAt }: Sight,
  answered: boolean,
  now: Millis
): Pick<Required<ClusterView>, "seen" | "problem"> => {
  if (seenAt === null) {
    return failure === null
      ? { seen: "NotLookedAt", problem: "not looked at yet" }
      : { seen: "Never", problem: failure.detail }
  }
  if (answered && failure === null) return { seen: "Now", problem: "" }
  // Why it could not be seen says more than that it does not answer now.
  const why =
    failure === null
      ? "it does not answer now"
      : answered
        ? failure.detail
        : `${failure.detail} (${formatMillis(Math.max(0, now - failure.at))} ago; it does not answer now)`
  return { seen: "Before", problem: `${why}; this was last seen ${formatMillis(Math.max(0, now - seenAt))} ago` }
}
