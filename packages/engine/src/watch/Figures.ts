/**
 * The figures that a worker keeps of itself, as Effect's metrics. A front writes them down for Prometheus. The first is
 * the one that must be zero for ever. Times are in seconds, as Prometheus wants them.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Fact, PhaseName } from "@inquorate/core/Evidence"
import type { Operation } from "@inquorate/core/Operation"
import { OperationStore, type Tally } from "@inquorate/core/OperationStore"
import type { FaultKind } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { type OperationState, stateOf } from "@inquorate/core/Wire"

/** The name of the figure that must be zero for ever. */
const pastDeadlineName = "inquorate_fault_past_deadline"

/** How many fences of ours stood past their deadline on the hosts that could be asked, when last looked. */
export const pastDeadline = Metric.gauge(pastDeadlineName, {
  description: "Fences that stand past their deadline on reachable hosts; must be 0 for ever"
})

/** How many hosts did not answer when fences were last looked for. */
export const hostsSilent = Metric.gauge("inquorate_hosts_silent", {
  description: "Hosts that did not say which fences stand on them"
})

/** How often this worker took over an operation that another owner, or an earlier life of its own, had begun. */
export const takeovers = Metric.counter("inquorate_takeovers_total", {
  description: "Operations taken over from another owner",
  incremental: true
})

/** 1 while this worker's lease is live, else 0. */
export const leaseHeld = Metric.gauge("inquorate_lease_held", { description: "1 while this worker's lease is live" })

/** How long the store took for each durable write, the failed ones included. */
const storeCommit = Metric.histogram("inquorate_store_commit_seconds", {
  description: "How long a durable write to the store took",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
})

/** Sets every figure that begins at zero, so that an alarm on it is never without data. */
export const begin: Effect.Effect<void> = Effect.suspend(() =>
  Effect.all(
    [
      Metric.update(pastDeadline, 0),
      Metric.update(hostsSilent, 0),
      Metric.update(takeovers, 0),
      Metric.update(leaseHeld, 0),
      census([])
    ],
    { discard: true }
  )
)

/**
 * Takes what a stored fact measures, of a fault of this kind. `undone` tells that the fault was cut short, by a caller
 * or because the hold was broken: such a hold was not meant to be as long as asked.
 */
export const observe = (context: Context.Context<never>, fact: Fact, kind: FaultKind, undone: boolean): void => {
  if (fact._tag === "HoldMeasured" && !undone) holdError.updateUnsafe((fact.measured - fact.asked) / 1000, context)
  if (fact._tag === "RecoveryMeasured") recovery(kind).updateUnsafe(fact.recovery / 1000, context)
  if (fact._tag === "FenceLifted" && fact.overrun !== null) overrun.updateUnsafe(fact.overrun / 1000, context)
}

/** Takes how long a phase lasted, as the worker saw that carried it out. */
export const phaseEnded = (context: Context.Context<never>, phase: PhaseName, millis: Millis): void =>
  phaseSeconds(phase).updateUnsafe(millis / 1000, context)

/** Counts an operation that this worker brought to its end. */
export const ended = ({ request, stage }: Operation): Effect.Effect<void> =>
  Metric.update(endedTotal(request.kind, stateOf(stage)), 1)

/** Takes how the live operations of the store stand, whoever owns them. */
export const census = (tallies: ReadonlyArray<Tally>): Effect.Effect<void> => {
  const count = (wanted: (tally: Tally) => boolean): number =>
    tallies.reduce((sum, tally) => (wanted(tally) ? sum + tally.count : sum), 0)
  return Effect.all(
    [
      Metric.update(
        queued,
        count(({ waiting }) => waiting)
      ),
      // An operation that has ended and holds its partition still waits for a host's word.
      Metric.update(
        residue,
        count(({ state }) => !liveStates.includes(state))
      ),
      ...liveStates.map((state) =>
        Metric.update(
          Metric.withAttributes(live, { state }),
          count((tally) => tally.state === state)
        )
      )
    ],
    { discard: true }
  )
}

/** The same store, with the time of each durable write taken. */
export const timed = (store: OperationStore["Service"]): OperationStore["Service"] => {
  const take = <A, E>(write: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const began = clock.monotonicTimeNanosUnsafe()
      return Effect.onExit(write, () =>
        Effect.sync(() =>
          storeCommit.updateUnsafe(Number(clock.monotonicTimeNanosUnsafe() - began) / 1e9, fiber.context)
        )
      )
    })
  return OperationStore.of({
    ...store,
    create: (operation) => take(store.create(operation)),
    save: (stored, operation, entries, as) => take(store.save(stored, operation, entries, as)),
    append: (id, entries, as) => take(store.append(id, entries, as))
  })
}

// --- internal ---

const liveStates: ReadonlyArray<OperationState> = ["Running", "RollingBack"]

const queued = Metric.gauge("inquorate_operations_queued", {
  description: "Operations of the store that no worker has begun"
})

const live = Metric.gauge("inquorate_operations", { description: "Live operations of the store by state" })

const residue = Metric.gauge("inquorate_operations_residue", {
  description: "Ended operations whose hosts have yet to confirm that nothing is left"
})

/**
 * The metrics of one name, one for each of its labels, made when it is first asked for. Effect works out the key of a metric
 * anew whenever its labels are another object than they were.
 */
const each = <Labels extends ReadonlyArray<string>, A>(make: (...labels: Labels) => A): ((...labels: Labels) => A) => {
  const made = new Map<string, A>()
  return (...labels) => {
    const key = labels.join()
    const known = made.get(key)
    if (known !== undefined) return known
    const fresh = make(...labels)
    made.set(key, fresh)
    return fresh
  }
}

const endedTotal = each((kind: FaultKind, state: OperationState) =>
  Metric.counter("inquorate_operations_ended_total", {
    description: "Operations that this worker brought to their end, by kind and state",
    incremental: true,
    attributes: { kind, state }
  })
)

const phaseSeconds = each((phase: PhaseName) =>
  Metric.histogram("inquorate_phase_seconds", {
    description: "How long a phase of an operation lasted",
    boundaries: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900],
    attributes: { phase }
  })
)

/** How much longer than asked each hold was that came to its own end. */
export const holdError = Metric.histogram("inquorate_hold_error_seconds", {
  description: "Measured hold minus asked hold",
  boundaries: [-1, -0.1, 0, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]
})

/** How long after its tightest deadline each fence was off that stood. */
export const overrun = Metric.histogram("inquorate_fence_overrun_seconds", {
  description: "How long a fence stood past its tightest deadline",
  boundaries: [0, 0.1, 0.25, 0.5, 1, 2, 5, 30]
})

const recovery = each((kind: FaultKind) =>
  Metric.histogram("inquorate_recovery_seconds", {
    description: "From the lift to the first write acknowledged that was sent after it",
    boundaries: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    attributes: { kind }
  })
)
