/**
 * Drives chaos. Of all workers that share a store, one drives it at a time. It looks every second at how chaos stands,
 * and carries out what comes next through `Operations`, as any caller would, so that every guard holds. What was drawn
 * is stored before it is started, under ids that follow from the run. Whoever takes the place of a dead driver asks for
 * these ids and goes on.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import { Chaos, type ChaosParameters, refuseChaos } from "@inquorate/core/Chaos"
import { drawFaults, noteOf, type Sight, unhealthy, unknownTargets } from "@inquorate/core/ChaosFaults"
import {
  advanceChaos,
  type ChaosFault,
  type ChaosHappening,
  type ChaosRun,
  stoppingBudget,
  viewOf
} from "@inquorate/core/ChaosRun"
import { activityAt } from "@inquorate/core/ChaosSchedule"
import { ChaosStore, type StoredChaos } from "@inquorate/core/ChaosStore"
import { Clusters, restarterOf } from "@inquorate/core/Cluster"
import { table } from "@inquorate/core/FabricError"
import { type Guid, v5 } from "@inquorate/core/Guid"
import { isTerminal, type Operation } from "@inquorate/core/Operation"
import { Operations, RequestRefused } from "@inquorate/core/Operations"
import { StoreError } from "@inquorate/core/OperationStore"
import { subjectOf } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import { stateOf } from "@inquorate/core/Wire"
import { monotonicMillis } from "../Monotonic.ts"
import * as Timeline from "../drive/Timeline.ts"

/** How a driver of chaos is set up. */
export interface ChaosDriverOptions {
  /** The worker's name, which its right to drive carries. */
  readonly workerId: string
  /** How long the right to drive lasts without being renewed; 5000 ms unless given. */
  readonly leaseMs?: Millis
  /** How often it is looked at how chaos stands; 1000 ms unless given. */
  readonly everyMs?: Millis
  /** Makes the draws of runs that begin at the same moments the same; drawn unless given. */
  readonly seed?: string
}

/** Drives chaos in the layer's scope and provides `Chaos`. */
export const layer = (options: ChaosDriverOptions): Layer.Layer<Chaos, never, ChaosStore | Operations | Clusters> =>
  Layer.effect(Chaos, make(options))

/** Drives chaos in the scope and gives back what a front may ask of it. */
export const make = (
  options: ChaosDriverOptions
): Effect.Effect<Chaos["Service"], never, ChaosStore | Operations | Clusters | Scope.Scope> =>
  Effect.gen(function* () {
    const ground = yield* makeGround(options)
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(ground.store.release(ground.driver), releaseWithin)))
    yield* Effect.forkScoped(drive(ground, options.everyMs ?? everyDefault))
    yield* Effect.forkScoped(prune(ground.store))
    return frontOf(ground)
  })

/** How many events are kept at least; more are removed every hour, the oldest first. */
export const eventsKept = 25_000

// --- internal ---

const leaseDefault: Millis = 5000
const everyDefault: Millis = 1000
const releaseWithin: Millis = 2000
const pruneEvery: Millis = 60 * 60 * 1000
/** How often a front's change is tried again when another one was quicker. */
const conflictsMax = 10
/** How many steps one look may take; a run never needs as many without waiting. */
const stepsMax = 1000

/** Drawn once for Inquorate; the ids of runs follow from it. */
const runNamespace: Guid = "5d8b8c06-6c2f-4e0b-8f0e-1f1a3f6a7d42"

interface Ground {
  readonly driver: string
  readonly lease: Millis
  readonly store: ChaosStore["Service"]
  readonly operations: Operations["Service"]
  readonly restartable: ReadonlySet<string>
  readonly removable: ReadonlySet<string>
  /** The id of a run that begins now. */
  readonly newRun: (at: Instant) => Guid
  /** Opened when somebody here changed something. */
  readonly wake: Latch.Latch
}

const makeGround = ({
  leaseMs = leaseDefault,
  seed = crypto.randomUUID(),
  workerId
}: ChaosDriverOptions): Effect.Effect<Ground, never, ChaosStore | Operations | Clusters> =>
  Effect.gen(function* () {
    const clusters = (yield* Clusters).all
    return {
      // No two processes are the same driver, not even under one worker's name.
      driver: `${workerId}/${crypto.randomUUID()}`,
      lease: leaseMs,
      store: yield* ChaosStore,
      operations: yield* Operations,
      restartable: new Set(clusters.filter((one) => restarterOf(one) !== undefined).map(({ name }) => name)),
      removable: new Set(clusters.filter(({ target }) => target.loseData !== undefined).map(({ name }) => name)),
      newRun: (at) => v5(runNamespace, `${seed}/${at}`),
      wake: Latch.makeUnsafe(false)
    }
  })

// --- what a front may ask ---

const frontOf = (ground: Ground): Chaos["Service"] => {
  const { operations, store } = ground
  const asked = <A>(effect: Effect.Effect<A, StoreError | RequestRefused>): Effect.Effect<A, RequestRefused> =>
    Effect.catchTag(effect, "StoreError", ({ detail, reason }) =>
      Effect.fail(refuseChaos(reason === "Conflict" ? "FABRIC_E_WRITE_CONFLICT" : "E_ABORT", detail))
    )
  const known = (all: ReadonlyArray<ChaosParameters>): Effect.Effect<void, RequestRefused> => {
    const filtered = all.filter(({ ChaosTargetFilter }) => ChaosTargetFilter !== undefined)
    // A cluster that does not answer holds up only those who ask for it by name.
    if (filtered.length === 0) return Effect.void
    return Effect.flatMap(operations.clusters, (clusters) => {
      const problem = filtered.map((one) => unknownTargets(one, clusters)).find((one) => one !== undefined)
      return problem === undefined ? Effect.void : Effect.fail(refuseChaos("E_INVALIDARG", problem))
    })
  }
  const change = (happening: (at: Instant) => ChaosHappening): Effect.Effect<void, RequestRefused> => {
    const attempt = (left: number): Effect.Effect<void, RequestRefused | StoreError> =>
      Effect.gen(function* () {
        const stored = yield* store.read
        const next = yield* Effect.fromResult(advanceChaos(stored.state, happening(yield* store.now)))
        yield* store.save(stored, next.state, next.events, null)
        yield* ground.wake.open
      }).pipe(
        Effect.catchIf(
          (error) => error instanceof StoreError && error.reason === "Conflict" && left > 0,
          () => attempt(left - 1)
        )
      )
    return asked(attempt(conflictsMax))
  }
  return Chaos.of({
    start: (parameters) =>
      Effect.andThen(
        known([parameters]),
        change((at) => ({ _tag: "StartAsked", at, runId: ground.newRun(at), parameters }))
      ),
    stop: change((at) => ({ _tag: "StopAsked", at })),
    get: asked(Effect.flatMap(store.read, ({ state }) => Effect.map(store.now, (now) => viewOf(state, now)))),
    events: (query) => asked(store.events(query)),
    schedule: asked(Effect.map(store.read, ({ state }) => state.description)),
    setSchedule: (description) =>
      Effect.andThen(
        known(description.Schedule.ChaosParametersDictionary.map(({ Value }) => Value)),
        change((at) => ({ _tag: "ScheduleSet", at, description }))
      )
  })
}

// --- the loop ---

const drive = (ground: Ground, every: Millis): Effect.Effect<never> =>
  Effect.gen(function* () {
    yield* ground.wake.close
    yield* Effect.catchCause(look(ground), (cause) => Effect.logWarning("Chaos could not be driven", cause))
    yield* Effect.timeoutOption(ground.wake.await, every)
  }).pipe(Effect.forever)

/** Only reads while there is nothing to do, so that a worker at rest writes nothing. */
const look = (ground: Ground): Effect.Effect<void> =>
  Effect.gen(function* () {
    const seen = yield* ground.store.read
    // One question to the store's clock serves all the steps of a look, which are carried out within its lease.
    const timeline = yield* Timeline.make(ground.store.now)
    if (!isDue(seen, timeline.now())) return
    const clock = yield* Clock.Clock
    // Our clock is read before the store is asked: our own reckoning ends sooner than the store's, never later.
    const until = monotonicMillis(clock) + ground.lease
    let stored = yield* ground.store.drive(ground.driver, ground.lease)
    const permitted = (): boolean => monotonicMillis(clock) < until
    for (let steps = 0; stored !== null && steps < stepsMax && permitted(); steps++) {
      stored = yield* step(ground, stored, timeline.now(), permitted)
    }
  }).pipe(
    Effect.catchTag("StoreError", ({ detail, reason }) =>
      // Somebody was quicker. The next look sees what is so now.
      reason === "Conflict" || reason === "Fenced"
        ? Effect.void
        : Effect.logWarning(`The store did not answer: ${detail}`)
    )
  )

const isDue = ({ state }: StoredChaos, now: Instant): boolean =>
  state.run !== null ||
  (!state.scheduleStopped && now >= state.quietUntil && activityAt(state.description.Schedule, now)._tag === "On")

/** Does what comes next. Gives the state after it, or null where there is nothing to do now. */
const step = (
  ground: Ground,
  stored: StoredChaos,
  at: Instant,
  permitted: () => boolean
): Effect.Effect<StoredChaos | null, StoreError> =>
  Effect.gen(function* () {
    const move = (happening: ChaosHappening): Effect.Effect<StoredChaos, StoreError> =>
      Effect.gen(function* () {
        // The driver asks only for what can happen in the state that it has just read.
        const next = Result.getOrThrow(advanceChaos(stored.state, happening))
        for (const event of next.events) {
          yield* Effect.logInfo(`Chaos: ${event.Kind}${"Reason" in event ? `: ${event.Reason}` : ""}`)
        }
        return yield* ground.store.save(stored, next.state, next.events, {
          driver: ground.driver,
          epoch: stored.epoch
        })
      })
    const { run } = stored.state
    if (run === null) {
      if (!isDue(stored, at)) return null
      const activity = activityAt(stored.state.description.Schedule, at)
      if (activity._tag === "Off") return null
      const { parameters, until } = activity
      return yield* move({ _tag: "StretchBegan", at, runId: ground.newRun(at), parameters, until })
    }
    const { phase } = run
    if (phase._tag !== "Stopping" && at >= run.endsAt) return yield* move({ _tag: "TimeOver", at })
    switch (phase._tag) {
      case "Stabilizing":
        return yield* stabilize(ground, run, phase.until, at, move)
      case "Waiting":
        return at >= phase.until ? yield* move({ _tag: "WaitEnded", at }) : null
      case "Executing":
        return yield* carryOut(ground, phase.faults, { at, undo: at >= phase.until, permitted }, move, (open) =>
          at >= phase.until + stoppingBudget
            ? { _tag: "FaultClosed", at, first: open, problem: `Operation ${open} did not end, and is left alone.` }
            : null
        )
      case "Stopping":
        return yield* carryOut(ground, phase.faults, { at, undo: true, permitted }, move, () =>
          at >= phase.until ? { _tag: "GivenUp", at } : null
        )
    }
  })

type Move = (happening: ChaosHappening) => Effect.Effect<StoredChaos, StoreError>

const stabilize = (
  ground: Ground,
  run: ChaosRun,
  until: Instant,
  at: Instant,
  move: Move
): Effect.Effect<StoredChaos | null, StoreError> =>
  Effect.gen(function* () {
    const { iteration, parameters } = run
    const seen = yield* Effect.result(see(ground))
    const reasons = Result.isFailure(seen)
      ? [`The clusters cannot be looked at: ${seen.failure.detail}`]
      : unhealthy(seen.success, parameters)
    if (Result.isFailure(seen) || reasons.length > 0) {
      return at >= until ? yield* move({ _tag: "ValidationFailed", at, reasons }) : null
    }
    const sight = seen.success
    const faults = drawFaults(sight, { runId: run.id, iteration, at, parameters })
    return yield* move({ _tag: "FaultsDrawn", at, faults, note: noteOf(sight, parameters, faults.length, iteration) })
  })

const see = (ground: Ground): Effect.Effect<Sight, RequestRefused> =>
  Effect.gen(function* () {
    const clusters = yield* ground.operations.clusters
    const holders = yield* ground.operations.holders
    return {
      clusters,
      restartable: ground.restartable,
      removable: ground.removable,
      busy: new Map(holders.map(({ id, request }) => [subjectOf(request), id]))
    }
  })

interface Moment {
  readonly at: Instant
  /** No fault is begun any more, and what was begun is cancelled. */
  readonly undo: boolean
  /** Whether we may still act as the driver. */
  readonly permitted: () => boolean
}

/** Brings every open fault forward. Moves the state for the first that is over, or that has had its time. */
const carryOut = (
  ground: Ground,
  faults: ReadonlyArray<ChaosFault>,
  moment: Moment,
  move: Move,
  late: (first: Guid) => ChaosHappening | null
): Effect.Effect<StoredChaos | null, StoreError> =>
  Effect.gen(function* () {
    let overdue: ChaosHappening | null = null
    for (const fault of faults) {
      if (fault.state === "Closed") continue
      const first = fault.steps[0]!.operationId
      const over = yield* carry(ground, fault, moment)
      if (over !== null) return yield* move({ _tag: "FaultClosed", at: moment.at, first, problem: over })
      overdue ??= late(first)
    }
    return overdue === null ? null : yield* move(overdue)
  })

/** Brings one fault forward. Gives what went wrong, empty for nothing, once it is over, and null while it is not. */
const carry = (ground: Ground, fault: ChaosFault, moment: Moment): Effect.Effect<string | null> =>
  Effect.gen(function* () {
    for (const [index, { operationId, request }] of fault.steps.entries()) {
      const found = yield* find(ground, operationId)
      if (found === "Unknown") return null
      if (found === "Absent") {
        // What comes after the first step heals what that step did. So it is done even where everything else is undone.
        if (index === 0 && moment.undo) return ""
        if ((index === 0 && moment.at < fault.startAt) || !moment.permitted()) return null
        return yield* begin(ground, operationId, request, index > 0)
      }
      if (!isTerminal(found)) {
        if (index === 0 && moment.undo) yield* cancel(ground, found)
        return null
      }
      const state = stateOf(found.stage)
      if (state !== "Completed") return moment.undo || state === "Cancelled" ? "" : endOf(found, state)
    }
    return ""
  })

const endOf = ({ id, stage }: Operation, state: string): string =>
  `Operation ${id} ended ${state}${stage._tag === "Failed" ? ` (${stage.error})` : ""}.`

const find = (ground: Ground, id: Guid): Effect.Effect<Operation | "Absent" | "Unknown"> =>
  Effect.catchTag(ground.operations.get(id), "RequestRefused", ({ code }) =>
    Effect.succeed(code === "FABRIC_E_KEY_NOT_FOUND" ? ("Absent" as const) : ("Unknown" as const))
  )

const begin = (ground: Ground, id: Guid, request: Operation["request"], heals: boolean): Effect.Effect<string | null> =>
  ground.operations.start(id, request, { guard: true, maxHold: "configured" }).pipe(
    Effect.as(null),
    Effect.catchTag("RequestRefused", ({ code, detail }) => {
      if (code === "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS") return Effect.succeed(null)
      // The node is back by itself, or its stop has not quite ended. The next look tells.
      if (heals && code === "FABRIC_E_NODE_IS_UP") return Effect.succeed("")
      if (heals && code === "FABRIC_E_NODE_TRANSITION_IN_PROGRESS") return Effect.succeed(null)
      return Effect.succeed(table[code].status >= 503 ? null : `Operation ${id} was refused: ${detail} (${code})`)
    })
  )

const cancel = (ground: Ground, { id, stage }: Operation): Effect.Effect<void> =>
  stage._tag === "Undoing" && stage.reason === "cancel"
    ? Effect.void
    : // It may have ended meanwhile, which the next look tells.
      Effect.ignore(ground.operations.cancel(id, false))

const prune = (store: ChaosStore["Service"]): Effect.Effect<never> =>
  store.prune(eventsKept).pipe(
    Effect.catchTag("StoreError", ({ detail }) => Effect.logWarning(`The store did not answer: ${detail}`)),
    Effect.andThen(Effect.sleep(pruneEvery)),
    Effect.forever
  )
