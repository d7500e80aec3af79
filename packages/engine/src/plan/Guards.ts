/**
 * The guards: questions that are asked before anything is touched. The answer of a guard is every reason not to begin. A
 * plan lists its guards in the order in which they are asked, and `pass` asks them.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Cluster, restarterOf } from "@inquorate/core/Cluster"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import { type Override, overrideOf, Refusal } from "@inquorate/core/Plan"
import { type FaultRequest, overridesOf, type QuorumLossRequest } from "@inquorate/core/Request"
import { actingWithin, type Supervisor } from "@inquorate/core/Supervision"
import type { Instant, Millis } from "@inquorate/core/Time"
import { Topology } from "@inquorate/core/Topology"

// --- models ---

/** What may run at once, null for any number, and where the store lies. */
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

/** What planning stands on. */
export interface PlanGround {
  readonly store: OperationStore["Service"]
  readonly clusters: ReadonlyArray<Cluster>
  readonly guards: Guards
  /** The store's time. */
  readonly clock: { readonly now: Effect.Effect<Instant, StoreError> }
}

/** One question; the answer is every reason not to begin, and none for a yes. */
export type Guard = Effect.Effect<ReadonlyArray<Refusal>>

/** A refusal that the request sets aside by name. */
export interface SetAside {
  readonly override: Override
  readonly refusal: Refusal
}

// --- errors ---

/** A guard said no. `topology` is there where the group was found. */
export class GuardRefused extends Schema.TaggedError<GuardRefused>()("GuardRefused", {
  refusal: Refusal,
  topology: Schema.NullOr(Topology)
}) {}

// --- make ---

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

/** Whether the request sets a guard aside. */
export const overrides = (request: FaultRequest, override: Override): boolean => overridesOf(request).includes(override)

/**
 * Asks guards one after the other. It fails with the first refusal that the request does not set aside by name, and gives
 * those that the request does set aside.
 */
export const pass = (
  request: FaultRequest,
  topology: Topology | null,
  guards: ReadonlyArray<Guard>
): Effect.Effect<ReadonlyArray<SetAside>, GuardRefused> =>
  Effect.gen(function* () {
    const aside: Array<SetAside> = []
    for (const guard of guards) {
      for (const refusal of yield* guard) {
        const override = overrideOf(refusal)
        if (override === undefined || !overrides(request, override)) {
          return yield* new GuardRefused({ refusal, topology })
        }
        aside.push({ override, refusal })
      }
    }
    return aside
  })

/** The guard that has this answer, which may be null for a yes. */
export const answering = (refusal: Refusal | null): Guard => Effect.succeed(refusal === null ? [] : [refusal])

/** The cluster may be broken. */
export const notProtected = ({ name, protected: isProtected }: Cluster): Guard =>
  answering(isProtected ? Refusal.cases.Protected.make({ cluster: name }) : null)

/** The cluster has a mechanism that restarts members. */
export const restartable = (cluster: Cluster): Guard => {
  const problem = `its mechanism "${cluster.injector.name}" takes members out without ending them`
  return answering(
    restarterOf(cluster) === undefined ? Refusal.cases.CannotRestart.make({ cluster: cluster.name, problem }) : null
  )
}

/** The cluster's data may be destroyed. */
export const mayLoseData = ({ name, target }: Cluster): Guard =>
  answering(
    target.loseData === undefined ? Refusal.cases.DataProtected.make({ cluster: name, system: target.system }) : null
  )

/** Our own store does not depend on the group. */
export const storeOutside = ({ storeInside }: Guards, topology: Topology): Guard =>
  Effect.map(storeInside(topology), (member) => (member === null ? [] : [Refusal.cases.StoreInside.make({ member })]))

/** A loss of this quorum can be planned truly and proven. */
export const fit = ({ unfit = [] }: Topology): Guard =>
  answering(unfit.length === 0 ? null : Refusal.cases.Unfit.make({ why: unfit }))

/** The hold is no longer than allowed; null allows any. */
export const notTooLong = ({ hold }: QuorumLossRequest, limit: Millis | null): Guard =>
  answering(limit === null || hold <= limit ? null : Refusal.cases.TooLong.make({ asked: hold, limit }))

/** Nobody who watches the group acts before the hold is over. */
export const patient = ({ hold }: QuorumLossRequest, supervisors: ReadonlyArray<Supervisor>): Guard =>
  Effect.succeed(
    actingWithin(hold, supervisors).map((supervisor) => Refusal.cases.Impatient.make({ supervisor, asked: hold }))
  )
