/**
 * What the configured clusters look like, as last seen. Discovery runs in the background, once at a time for each
 * cluster, so that a front is answered within a second even while members of a cluster are stopped.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Cluster } from "@inquorate/core/Cluster"
import type { ClusterView } from "@inquorate/core/Operations"
import type { NodeFacts, Topology } from "@inquorate/core/Topology"
import { discover, discoverNodes } from "../plan/LookUp.ts"

/** Gives every cluster with its groups within a second; a cluster that did not answer says so and shows what was last seen. */
export const make = (
  clusters: ReadonlyArray<Cluster>
): Effect.Effect<Effect.Effect<ReadonlyArray<ClusterView>>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const views = clusters.map((cluster) => makeView(cluster, scope))
    // The effect is the answer: each time it is run it looks again.
    return Effect.forEach(views, (view) => view, { concurrency: "unbounded" })
  })

// --- internal ---

const answerWithin = 800
const answerAtLeast = 50

const makeView = (cluster: Cluster, scope: Scope.Scope): Effect.Effect<ClusterView> => {
  let groups: ReadonlyArray<Topology> = []
  let nodes: ReadonlyArray<NodeFacts> = []
  let problem = "it has not been seen yet"
  let looking: { readonly done: Deferred.Deferred<void>; readonly since: number } | undefined

  const look = (done: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const seen = yield* Effect.result(
        Effect.all([discover(cluster.target), discoverNodes(cluster.target)], { concurrency: "unbounded" })
      )
      if (Result.isSuccess(seen)) [groups, nodes] = seen.success
      problem = Result.isSuccess(seen) ? "" : seen.failure.detail
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          looking = undefined
          return Deferred.succeed(done, undefined)
        })
      )
    )

  return Effect.gen(function* () {
    let current = looking
    const now = yield* Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))
    if (current === undefined) {
      current = looking = { done: Deferred.makeUnsafe<void>(), since: now }
      yield* Effect.forkIn(look(current.done), scope)
    }
    // Who comes late to a look that gets no answer need not wait as long as the first.
    const patience = Math.max(answerAtLeast, answerWithin - (now - current.since))
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
      problem: answered._tag === "Some" ? problem : "it does not answer now; this is what was last seen"
    }
  })
}
