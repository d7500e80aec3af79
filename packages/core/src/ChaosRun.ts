/**
 * How chaos stands, as stored, and the one pure function that moves it. A run goes round and round: it waits for
 * healthy clusters, carries out the faults that it has drawn, and waits. The drawn faults are stored before the first
 * of them is started, each with the ids of its operations. So whoever drives the run next knows what was begun.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  type ChaosEvent,
  ChaosParameters,
  ChaosScheduleDescription,
  type ChaosScheduleStatus,
  type ChaosStatus,
  type ChaosView,
  defaultParameters,
  refuseChaos,
  timeToRun
} from "./Chaos.ts"
import { adhocSchedule, emptyDescription, scheduleStatusAt } from "./ChaosSchedule.ts"
import { Guid } from "./Guid.ts"
import type { RequestRefused } from "./Operations.ts"
import { FaultRequest } from "./Request.ts"
import { formatInstant, Instant, type Millis } from "./Time.ts"

// --- models ---

/**
 * One drawn fault: operations that are carried out one after the other, such as the stop and the start of a node. The
 * first may begin at `startAt`. It is `Closed` once all of them have ended, or one was refused.
 */
export class ChaosFault extends Schema.Opaque<ChaosFault>()(
  Schema.Struct({
    text: Schema.String,
    steps: Schema.Array(Schema.Struct({ operationId: Guid, request: FaultRequest })),
    startAt: Instant,
    state: Schema.Literals(["Open", "Closed"])
  }).annotate({ identifier: "ChaosFault" })
) {}

/** Where a run stands. Each place has the moment by which the run leaves it. */
export const ChaosPhase = Schema.TaggedUnion({
  Stabilizing: { until: Instant },
  /** `note` is told when they have ended. */
  Executing: { faults: Schema.Array(ChaosFault), until: Instant, note: Schema.String },
  Waiting: { until: Instant },
  /** No fault is begun any more. Those that were begun are cancelled, and a stopped node is started. */
  Stopping: { faults: Schema.Array(ChaosFault), reason: Schema.String, until: Instant }
})
export type ChaosPhase = typeof ChaosPhase.Type

/** A run of chaos. Invariants: `endsAt` is at most `stretchEnds`, where the schedule's stretch that began it is over. */
export class ChaosRun extends Schema.Opaque<ChaosRun>()(
  Schema.Struct({
    id: Guid,
    startedAt: Instant,
    endsAt: Instant,
    stretchEnds: Instant,
    parameters: ChaosParameters,
    /** How many times faults were drawn. */
    iteration: Schema.Int,
    phase: ChaosPhase
  }).annotate({ identifier: "ChaosRun" })
) {}

/**
 * How chaos stands. `quietUntil` keeps a stretch of the schedule whose run has ended from beginning another; `last` holds
 * the parameters of the last run, null before the first.
 */
export class ChaosState extends Schema.Opaque<ChaosState>()(
  Schema.Struct({
    format: Schema.Literal(1),
    description: ChaosScheduleDescription,
    scheduleStopped: Schema.Boolean,
    quietUntil: Instant,
    last: Schema.NullOr(ChaosParameters),
    run: Schema.NullOr(ChaosRun)
  }).annotate({ identifier: "ChaosState" })
) {}

/** What happened to chaos: the only input of `advanceChaos`. `at` is the moment it happened. */
export type ChaosHappening =
  /** A caller asked for a run now. */
  | { readonly _tag: "StartAsked"; readonly at: Instant; readonly runId: Guid; readonly parameters: ChaosParameters }
  /** A caller set a schedule. */
  | { readonly _tag: "ScheduleSet"; readonly at: Instant; readonly description: ChaosScheduleDescription }
  /** A caller asked to stop. */
  | { readonly _tag: "StopAsked"; readonly at: Instant }
  /** A stretch of the schedule has begun. */
  | {
      readonly _tag: "StretchBegan"
      readonly at: Instant
      readonly runId: Guid
      readonly parameters: ChaosParameters
      readonly until: Instant
    }
  /** The clusters are healthy and these faults were drawn; none where nothing can be broken safely. */
  | {
      readonly _tag: "FaultsDrawn"
      readonly at: Instant
      readonly faults: ReadonlyArray<ChaosFault>
      readonly note: string
    }
  /** The clusters did not become healthy in time. */
  | { readonly _tag: "ValidationFailed"; readonly at: Instant; readonly reasons: ReadonlyArray<string> }
  /** A fault is over; `problem` says what went wrong, empty for nothing. `first` is the id of its first operation. */
  | { readonly _tag: "FaultClosed"; readonly at: Instant; readonly first: Guid; readonly problem: string }
  /** The time to wait is over. */
  | { readonly _tag: "WaitEnded"; readonly at: Instant }
  /** The time of the run is over. */
  | { readonly _tag: "TimeOver"; readonly at: Instant }
  /** A stopping run could not be brought to its end in time, and is given up. Its operations end by themselves. */
  | { readonly _tag: "GivenUp"; readonly at: Instant }

/** The state after something happened, and what chaos tells of it. */
export interface Advanced {
  readonly state: ChaosState
  readonly events: ReadonlyArray<ChaosEvent>
}

// --- make ---

/** How long a fault may take beyond the moment the last one begins, before a run cancels it. */
export const faultBudget: Millis = 15 * 60_000
/** How long a run may take to stop, before what it began is left to end by itself. */
export const stoppingBudget: Millis = 15 * 60_000

/** Before anything was asked. */
export const initialState: ChaosState = {
  format: 1,
  description: emptyDescription,
  scheduleStopped: true,
  quietUntil: 0,
  last: null,
  run: null
}

/** The status of chaos. A run that is stopping still runs until the last of its faults has ended. */
export const statusOf = (state: ChaosState): ChaosStatus =>
  state.run !== null ? "Running" : state.last === null ? "Invalid" : "Stopped"

/** The status of the schedule at a moment. */
export const scheduleStatusOf = (state: ChaosState, now: Instant): ChaosScheduleStatus =>
  state.scheduleStopped ? "Stopped" : scheduleStatusAt(state.description.Schedule, now)

/** How chaos stands at a moment, as a front shows it. */
export const viewOf = (state: ChaosState, now: Instant): ChaosView => ({
  parameters: state.run?.parameters ?? state.last ?? defaultParameters,
  status: statusOf(state),
  scheduleStatus: scheduleStatusOf(state, now)
})

/**
 * The state after a happening, with the events it causes, or the refusal of it with the wire's code. It is total and
 * pure. A run begins with Started and ends with exactly one Stopped, and every state of a run has a way to its end.
 */
export const advanceChaos = (state: ChaosState, happening: ChaosHappening): Result.Result<Advanced, RequestRefused> => {
  switch (happening._tag) {
    case "StartAsked":
      return startAsked(state, happening)
    case "ScheduleSet":
      return scheduleSet(state, happening)
    case "StretchBegan":
      return state.run === null && !state.scheduleStopped
        ? Result.succeed(begin(state, happening))
        : misplaced(happening)
    case "StopAsked": {
      const stopped = { ...state, scheduleStopped: true }
      return Result.succeed(
        state.run === null || state.run.phase._tag === "Stopping"
          ? { state: stopped, events: [] }
          : stopRun(stopped, state.run, happening.at, "Chaos was stopped by request.")
      )
    }
    default:
      return state.run === null ? misplaced(happening) : moveRun(state, state.run, happening)
  }
}

// --- internal ---

type Of<Tag extends ChaosHappening["_tag"]> = Extract<ChaosHappening, { readonly _tag: Tag }>

const running = (what: string): Result.Result<never, RequestRefused> =>
  Result.fail(refuseChaos("FABRIC_E_CHAOS_ALREADY_RUNNING", `Chaos is running already. ${what}`))

const misplaced = ({ _tag }: ChaosHappening): Result.Result<never, RequestRefused> =>
  Result.fail(refuseChaos("FABRIC_E_INVALID_OPERATION", `Chaos is not where ${_tag} can happen.`))

const startAsked = (state: ChaosState, happening: Of<"StartAsked">): Result.Result<Advanced, RequestRefused> => {
  const { at, parameters } = happening
  if (state.run !== null) {
    return running(
      state.run.phase._tag === "Stopping"
        ? "It is stopping, and what it began is being undone; start it again when it has stopped."
        : "Stop it first."
    )
  }
  const until = at + timeToRun(parameters)
  const description = {
    Version: state.description.Version + 1,
    Schedule: adhocSchedule(parameters, at, until)
  }
  return Result.succeed(begin({ ...state, description, scheduleStopped: false }, { ...happening, until }))
}

const scheduleSet = (
  state: ChaosState,
  { description }: Of<"ScheduleSet">
): Result.Result<Advanced, RequestRefused> => {
  if (state.run !== null) return running("Stop it before you set another schedule.")
  const { Version } = state.description
  if (description.Version !== Version) {
    return Result.fail(
      refuseChaos(
        "E_INVALIDARG",
        `The Version ${description.Version} of the schedule is not ${Version}, the one in use. Get the schedule, change it, and send it with that Version.`
      )
    )
  }
  return Result.succeed({
    state: {
      ...state,
      description: { ...description, Version: Version + 1 },
      scheduleStopped: false,
      quietUntil: 0
    },
    events: []
  })
}

const begin = (state: ChaosState, { at, parameters, runId, until }: Omit<Of<"StretchBegan">, "_tag">): Advanced => {
  const run: ChaosRun = {
    id: runId,
    startedAt: at,
    endsAt: Math.min(until, at + timeToRun(parameters)),
    stretchEnds: until,
    parameters,
    iteration: 0,
    phase: stabilizing(parameters, at)
  }
  return {
    state: { ...state, last: parameters, run },
    events: [{ Kind: "Started", TimeStampUtc: formatInstant(at), ChaosParameters: parameters }]
  }
}

const stabilizing = (parameters: ChaosParameters, at: Instant): ChaosPhase => ({
  _tag: "Stabilizing",
  until: at + parameters.MaxClusterStabilizationTimeoutInSeconds * 1000
})

const moveRun = (
  state: ChaosState,
  run: ChaosRun,
  happening: Exclude<ChaosHappening, Of<"StartAsked" | "ScheduleSet" | "StopAsked" | "StretchBegan">>
): Result.Result<Advanced, RequestRefused> => {
  const { at } = happening
  const { phase } = run
  switch (happening._tag) {
    case "FaultsDrawn":
      return phase._tag === "Stabilizing" ? Result.succeed(execute(state, run, happening)) : misplaced(happening)
    case "ValidationFailed": {
      if (phase._tag !== "Stabilizing") return misplaced(happening)
      const failed = reasoned("ValidationFailed", at, happening.reasons.join(" "))
      return Result.succeed(wait(state, run, at, [failed], ""))
    }
    case "FaultClosed":
      return phase._tag === "Executing" || phase._tag === "Stopping"
        ? close(state, run, phase, happening)
        : misplaced(happening)
    case "WaitEnded":
      return phase._tag === "Waiting"
        ? Result.succeed({ state: withPhase(state, run, stabilizing(run.parameters, at)), events: [] })
        : misplaced(happening)
    case "TimeOver":
      if (phase._tag === "Stopping") return misplaced(happening)
      return Result.succeed(
        stopRun(
          state,
          run,
          at,
          run.endsAt === run.startedAt + timeToRun(run.parameters)
            ? "The time to run is over."
            : "The scheduled time is over."
        )
      )
    case "GivenUp":
      if (phase._tag !== "Stopping") return misplaced(happening)
      return Result.succeed(
        ended(
          state,
          run,
          at,
          `${phase.reason} Not everything it began had ended in time, and ends by itself: ${openIds(phase.faults)}.`
        )
      )
  }
}

const openIds = (faults: ReadonlyArray<ChaosFault>): string =>
  faults
    .filter(({ state }) => state === "Open")
    .map(({ steps }) => `operation ${steps[0]!.operationId}`)
    .join(", ")

const reasoned = (
  Kind: "Waiting" | "ValidationFailed" | "TestError" | "Stopped",
  at: Instant,
  Reason: string
): ChaosEvent => ({ Kind, TimeStampUtc: formatInstant(at), Reason: Reason.slice(0, reasonMax) })

/** The longest reason that is stored, in characters. An outage names many members. */
const reasonMax = 4096

const withPhase = (state: ChaosState, run: ChaosRun, phase: ChaosPhase): ChaosState => ({
  ...state,
  run: { ...run, phase }
})

const wait = (
  state: ChaosState,
  run: ChaosRun,
  at: Instant,
  before: ReadonlyArray<ChaosEvent>,
  note: string
): Advanced => {
  const seconds = run.parameters.WaitTimeBetweenIterationsInSeconds
  const reason = `Waiting ${seconds} s before the next iteration.${note === "" ? "" : ` ${note}`}`
  return {
    state: withPhase(state, run, { _tag: "Waiting", until: at + seconds * 1000 }),
    events: [...before, reasoned("Waiting", at, reason)]
  }
}

const execute = (state: ChaosState, before: ChaosRun, { at, faults, note }: Of<"FaultsDrawn">): Advanced => {
  const run = { ...before, iteration: before.iteration + 1 }
  if (faults.length === 0) return wait(state, run, at, [], note)
  const until = Math.max(...faults.map(({ startAt }) => startAt)) + faultBudget
  return {
    state: withPhase(state, run, { _tag: "Executing", faults, until, note }),
    events: [{ Kind: "ExecutingFaults", TimeStampUtc: formatInstant(at), Faults: faults.map(({ text }) => text) }]
  }
}

const close = (
  state: ChaosState,
  run: ChaosRun,
  phase: Extract<ChaosPhase, { readonly _tag: "Executing" | "Stopping" }>,
  { at, first, problem }: Of<"FaultClosed">
): Result.Result<Advanced, RequestRefused> => {
  const index = phase.faults.findIndex((fault) => fault.state === "Open" && fault.steps[0]!.operationId === first)
  if (index === -1) {
    return Result.fail(refuseChaos("FABRIC_E_INVALID_OPERATION", `No open fault of this run begins with ${first}.`))
  }
  const faults = phase.faults.with(index, { ...phase.faults[index]!, state: "Closed" })
  const told = problem === "" ? [] : [reasoned("TestError", at, problem)]
  if (faults.some((fault) => fault.state === "Open")) {
    return Result.succeed({ state: withPhase(state, run, { ...phase, faults }), events: told })
  }
  if (phase._tag === "Executing") return Result.succeed(wait(state, run, at, told, phase.note))
  const last = ended(state, run, at, phase.reason)
  return Result.succeed({ ...last, events: [...told, ...last.events] })
}

const stopRun = (state: ChaosState, run: ChaosRun, at: Instant, reason: string): Advanced => {
  const faults = run.phase._tag === "Executing" ? run.phase.faults : []
  return faults.some((fault) => fault.state === "Open")
    ? {
        state: withPhase(state, run, { _tag: "Stopping", faults, reason, until: at + stoppingBudget }),
        events: []
      }
    : ended(state, run, at, reason)
}

const ended = (state: ChaosState, run: ChaosRun, at: Instant, reason: string): Advanced => ({
  state: { ...state, run: null, quietUntil: run.stretchEnds },
  events: [reasoned("Stopped", at, reason)]
})
