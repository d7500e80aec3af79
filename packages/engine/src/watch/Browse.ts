/**
 * What the configured clusters look like, as last seen. Discovery runs in the background, once at a time for each
 * cluster, so that a front is answered within a second even while members of a cluster are stopped. A cluster that was
 * never seen says so: its empty list of groups means nothing.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Cluster } from "@inquorate/core/Cluster"
import type { ClusterView } from "@inquorate/core/Operations"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import type { NodeFacts, Topology } from "@inquorate/core/Topology"
import { discover, discoverNodes } from "../plan/LookUp.ts"

/** What the clusters look like. */
export interface Browse {
  /** Every cluster with its groups, within a second; each run looks again. */
  readonly views: Effect.Effect<ReadonlyArray<ClusterView>>
  /** Ends once every cluster was looked at, whatever came of it; `within` is over at the latest. */
  readonly lookFirst: (within: Millis) => Effect.Effect<void>
}

/** Looks at clusters; a cluster that did not answer says so and shows what was last seen. */
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

interface Looking {
  readonly done: Deferred.Deferred<void>
  readonly since: Millis
}

const makeView = (cluster: Cluster, scope: Scope.Scope) => {
  let groups: ReadonlyArray<Topology> = []
  let nodes: ReadonlyArray<NodeFacts> = []
  let seenAt: Millis | null = null
  let failure: string | null = null
  /** The last word on why it could not be seen, until it is seen again: that it does not answer says less. */
  let lastFailure: { readonly detail: string; readonly at: Millis } | null = null
  let looking: Looking | undefined

  const look = (done: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const seen = yield* Effect.result(
        Effect.all([discover(cluster.target), discoverNodes(cluster.target)], { concurrency: "unbounded" })
      )
      if (Result.isSuccess(seen)) {
        ;[groups, nodes] = seen.success
        seenAt = yield* monotonic
      }
      failure = Result.isSuccess(seen) ? null : seen.failure.detail
      lastFailure = failure === null ? null : { detail: failure, at: yield* monotonic }
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          looking = undefined
          return Deferred.succeed(done, undefined)
        })
      )
    )

  const begin = Effect.gen(function* () {
    if (looking !== undefined) return looking
    const begun = (looking = { done: Deferred.makeUnsafe<void>(), since: yield* monotonic })
    yield* Effect.forkIn(look(begun.done), scope)
    return begun
  })

  const standing = (answered: boolean, now: Millis): Pick<Required<ClusterView>, "seen" | "problem"> => {
    if (seenAt === null) {
      return failure === null
        ? { seen: "NotLookedAt", problem: "not looked at yet" }
        : { seen: "Never", problem: failure }
    }
    if (answered && failure === null) return { seen: "Now", problem: "" }
    const why =
      lastFailure === null
        ? "it does not answer now"
        : answered
          ? lastFailure.detail
          : `${lastFailure.detail} (${formatMillis(Math.max(0, now - lastFailure.at))} ago; it does not answer now)`
    return { seen: "Before", problem: `${why}; this was last seen ${formatMillis(Math.max(0, now - seenAt))} ago` }
  }

  const view: Effect.Effect<ClusterView> = Effect.gen(function* () {
    const current = yield* begin
    // Who comes late to a look that gets no answer need not wait as long as the first.
    const patience = Math.max(answerAtLeast, answerWithin - ((yield* monotonic) - current.since))
    const answered = yield* Effect.timeoutOption(Deferred.await(current.done), patience)
    return {
      name: cluster.name,
      system: cluster.target.system,
      injector: cluster.injector.name,
      protected: cluster.protected,
      maxHold: cluster.maxHold,
      groups,
      ...(cluster.target.application === undefined ? {} : { application: cluster.target.application }),
      ...(cluster.target.nodes === undefined ? {} : { nodes }),
      ...standing(answered._tag === "Some", yield* monotonic)
    }
  })

  return { view, looked: Effect.flatMap(begin, ({ done }) => Deferred.await(done)) }
}

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos): Millis => Number(nanos / 1_000_000n))
