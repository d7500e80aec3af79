/**
 * Chaos: faults drawn at random, iteration after iteration, until its time is over or somebody stops it. The words, the
 * defaults and the limits are those of Service Fabric's chaos (its REST API 8.2, read from `StartChaos` and its kin).
 * So the schemas here are the wire's own. What a front may ask of chaos stands here too. Numbers named InSeconds are
 * seconds.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { FabricErrorCode } from "./FabricError.ts"
import { RequestRefused } from "./Operations.ts"
import type { Instant, Millis } from "./Time.ts"

// --- models ---

/** The greatest number that the wire's unsigned 32 bits hold. */
export const uint32Max = 4_294_967_295

const Uint32 = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: uint32Max }))
const Percent = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
const PercentOf = Schema.Array(Schema.Struct({ Key: Schema.String, Value: Percent }))

/** When a cluster counts as healthy: which share of nodes and applications, in percent, may not be. */
export class ChaosHealthPolicy extends Schema.Opaque<ChaosHealthPolicy>()(
  Schema.Struct({
    ConsiderWarningAsError: Schema.Boolean,
    MaxPercentUnhealthyNodes: Percent,
    MaxPercentUnhealthyApplications: Percent,
    /** Applications of these types are counted apart, each type with a share of its own. */
    ApplicationTypeHealthPolicyMap: Schema.optionalKey(PercentOf),
    /** Nodes of these types are counted apart too. */
    NodeTypeHealthPolicyMap: Schema.optionalKey(PercentOf)
  }).annotate({
    identifier: "ChaosHealthPolicy",
    title: "When clusters count as healthy",
    description: "The shares of nodes and applications that may be unhealthy are in percent"
  })
) {}

/** What chaos may touch: everything on nodes of these types, and the replicas of these applications. */
export class ChaosTargetFilter extends Schema.Opaque<ChaosTargetFilter>()(
  Schema.Struct({
    NodeTypeInclusionList: Schema.optionalKey(Schema.Array(Schema.String)),
    ApplicationInclusionList: Schema.optionalKey(Schema.Array(Schema.String))
  }).annotate({ identifier: "ChaosTargetFilter", title: "What chaos may touch" })
) {}

/** How one run of chaos goes; complete, with every default filled in. */
export class ChaosParameters extends Schema.Opaque<ChaosParameters>()(
  Schema.Struct({
    TimeToRunInSeconds: Schema.String.pipe(
      Schema.annotateKey({
        title: "Time to run (s)",
        description: "After how many seconds it stops by itself, as text; 4294967295 is without an end",
        examples: ["600"]
      })
    ),
    MaxClusterStabilizationTimeoutInSeconds: Uint32.pipe(
      Schema.annotateKey({
        title: "Stabilization (s)",
        description: "How many seconds to wait for healthy clusters before each iteration",
        examples: [60]
      })
    ),
    MaxConcurrentFaults: Uint32.pipe(
      Schema.annotateKey({ title: "Faults at once", description: "How many at most", examples: [1] })
    ),
    EnableMoveReplicaFaults: Schema.Boolean.pipe(
      Schema.annotateKey({ title: "Moves", description: "No system here moves replicas on request: none is drawn" })
    ),
    WaitTimeBetweenFaultsInSeconds: Uint32.pipe(
      Schema.annotateKey({
        title: "Between faults (s)",
        description: "How many seconds after one fault the next of an iteration begins",
        examples: [20]
      })
    ),
    WaitTimeBetweenIterationsInSeconds: Uint32.pipe(
      Schema.annotateKey({ title: "Between iterations (s)", description: "How many seconds to wait", examples: [30] })
    ),

    ClusterHealthPolicy: ChaosHealthPolicy,
    Context: Schema.optionalKey(Schema.Struct({ Map: Schema.Record(Schema.String, Schema.String) })).pipe(
      Schema.annotateKey({
        title: "Notes",
        description:
          '"inquorate.quorumLoss": "allow" in the Map lets quorum losses be drawn; everything else is kept as a note'
      })
    ),
    ChaosTargetFilter: Schema.optionalKey(ChaosTargetFilter)
  }).annotate({ identifier: "ChaosParameters", title: "The parameters of a run" })
) {}

const stamp = { TimeStampUtc: Schema.String }
const reason = { ...stamp, Reason: Schema.String }

/** What chaos tells of itself, in order: a run begins with Started and ends with Stopped. */
export const ChaosEvent = Schema.Union([
  Schema.Struct({ Kind: Schema.Literal("Started"), ...stamp, ChaosParameters }),
  Schema.Struct({ Kind: Schema.Literal("ExecutingFaults"), ...stamp, Faults: Schema.Array(Schema.String) }),
  Schema.Struct({ Kind: Schema.Literal("Waiting"), ...reason }),
  Schema.Struct({ Kind: Schema.Literal("ValidationFailed"), ...reason }),
  Schema.Struct({ Kind: Schema.Literal("TestError"), ...reason }),
  Schema.Struct({ Kind: Schema.Literal("Stopped"), ...reason })
]).annotate({ identifier: "ChaosEvent", title: "What chaos told" })
export type ChaosEvent = typeof ChaosEvent.Type

/** Whether chaos runs; Invalid before its first run. */
export const ChaosStatus = Schema.Literals(["Invalid", "Running", "Stopped"])
export type ChaosStatus = typeof ChaosStatus.Type

/** Whether the schedule is in use: Pending before its start, Expired after its end. */
export const ChaosScheduleStatus = Schema.Literals(["Invalid", "Stopped", "Active", "Expired", "Pending"])
export type ChaosScheduleStatus = typeof ChaosScheduleStatus.Type

/** How chaos stands: the parameters are those of the present run, else of the last one, else the defaults. */
export interface ChaosView {
  readonly parameters: ChaosParameters
  readonly status: ChaosStatus
  readonly scheduleStatus: ChaosScheduleStatus
}

/** A minute of a day in UTC. */
export class TimeOfDay extends Schema.Opaque<TimeOfDay>()(Schema.Struct({ Hour: Schema.Int, Minute: Schema.Int })) {}

/** The days of a week in the order of the wire, Sunday first. */
export const daysOfWeek = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const

/** When chaos runs with the parameters of this key: on these days, within these times, in UTC. */
export class ChaosJob extends Schema.Opaque<ChaosJob>()(
  Schema.Struct({
    ChaosParameters: Schema.String,
    Days: Schema.Struct({
      Sunday: Schema.Boolean,
      Monday: Schema.Boolean,
      Tuesday: Schema.Boolean,
      Wednesday: Schema.Boolean,
      Thursday: Schema.Boolean,
      Friday: Schema.Boolean,
      Saturday: Schema.Boolean
    }),
    Times: Schema.Array(Schema.Struct({ StartTime: TimeOfDay, EndTime: TimeOfDay }))
  })
) {}

/** When chaos runs by itself, between two moments in ISO 8601. */
export class ChaosSchedule extends Schema.Opaque<ChaosSchedule>()(
  Schema.Struct({
    StartDate: Schema.String,
    ExpiryDate: Schema.String,
    ChaosParametersDictionary: Schema.Array(Schema.Struct({ Key: Schema.String, Value: ChaosParameters })),
    Jobs: Schema.Array(ChaosJob)
  }).annotate({ identifier: "ChaosSchedule" })
) {}

/** The schedule with the number that grows with each change of it. */
export class ChaosScheduleDescription extends Schema.Opaque<ChaosScheduleDescription>()(
  Schema.Struct({
    Version: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
    Schedule: ChaosSchedule
  }).annotate({
    identifier: "ChaosScheduleDescription",
    title: "The schedule with its version",
    description: "The version grows with each change; a change is taken where it still names the present one"
  })
) {}

/** Which events: those with a number above `after`, from `from` to `to` inclusive (null for no bound), at most `limit`. */
export interface ChaosEventQuery {
  readonly after: number
  readonly from: Instant | null
  readonly to: Instant | null
  readonly limit: number
}

/** An event with its number; a later one has a greater number. */
export interface NumberedChaosEvent {
  readonly sequence: number
  readonly event: ChaosEvent
}

/** What a front may ask of chaos. Every refusal carries the wire's code and a sentence for a person. */
export class Chaos extends Context.Service<
  Chaos,
  {
    /** Begins a run now; durable when it returns. Refused while one runs, and where the filter names what is not there. */
    readonly start: (parameters: ChaosParameters) => Effect.Effect<void, RequestRefused>
    /** Ends the run, cancels what it began, and puts the schedule out of use. Harmless where nothing runs. */
    readonly stop: Effect.Effect<void, RequestRefused>
    readonly get: Effect.Effect<ChaosView, RequestRefused>
    readonly events: (query: ChaosEventQuery) => Effect.Effect<ReadonlyArray<NumberedChaosEvent>, RequestRefused>
    readonly schedule: Effect.Effect<ChaosScheduleDescription, RequestRefused>
    /** Replaces the schedule where its version is still the given one. Refused while chaos runs. */
    readonly setSchedule: (description: ChaosScheduleDescription) => Effect.Effect<void, RequestRefused>
  }
>()("@inquorate/core/Chaos") {}

// --- make ---

/** The parameters of a run for which nothing was asked. */
export const defaultParameters: ChaosParameters = {
  TimeToRunInSeconds: String(uint32Max),
  MaxClusterStabilizationTimeoutInSeconds: 60,
  MaxConcurrentFaults: 1,
  EnableMoveReplicaFaults: true,
  WaitTimeBetweenFaultsInSeconds: 20,
  WaitTimeBetweenIterationsInSeconds: 30,
  ClusterHealthPolicy: {
    ConsiderWarningAsError: true,
    MaxPercentUnhealthyNodes: 0,
    MaxPercentUnhealthyApplications: 0
  }
}

/** The key of `Context.Map` under which a run is allowed to lose a quorum. */
export const quorumLossKey = "inquorate.quorumLoss"

/** True only where the context says `allow`: without it no run ever takes a quorum. */
export const allowsQuorumLoss = (parameters: ChaosParameters): boolean =>
  parameters.Context !== undefined &&
  Object.hasOwn(parameters.Context.Map, quorumLossKey) &&
  parameters.Context.Map[quorumLossKey] === "allow"

/** How long a run lasts at most, in milliseconds. */
export const timeToRun = (parameters: ChaosParameters): Millis => Number(parameters.TimeToRunInSeconds) * 1000

/** A refusal of chaos with the wire's code. */
export const refuseChaos = (code: FabricErrorCode, detail: string): RequestRefused =>
  new RequestRefused({ code, detail, refusal: null })

/** The parameters that a request's JSON means, with the defaults for what it leaves out, or why it means none. */
export const readParameters = (value: unknown): Result.Result<ChaosParameters, RequestRefused> =>
  Result.flatMap(
    Result.mapError(decodeAsked(value), ({ message }) => invalid(`The chaos parameters cannot be read: ${message}`)),
    complete
  )

/** The moment of a Windows file time, in milliseconds since 1970 (negative before), or `undefined` where it is none. */
export const fromFileTime = (text: string): number | undefined => {
  if (!/^[0-9]{1,19}$/.test(text)) return undefined
  const ticks = BigInt(text)
  return ticks > fileTimeMax ? undefined : Number(ticks / ticksPerMilli) - fileTimeOfEpoch
}

/** The Windows file time of a moment: ticks of 100 ns since 1601, in decimal. */
export const toFileTime = (millis: number): string => String(BigInt(millis + fileTimeOfEpoch) * ticksPerMilli)

// --- internal ---

const ticksPerMilli = 10_000n
/** From 1601-01-01 to 1970-01-01 in milliseconds. */
const fileTimeOfEpoch = 11_644_473_600_000
/** 9999-12-31T23:59:59.9999999Z, the last moment that .NET knows. */
const fileTimeMax = 2_650_467_743_999_999_999n

const contextMax = 100
const nodeTypesMax = 100
const applicationsMax = 1000

const asked = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What a request may say: everything may be missing, or null as some serialisers write it. */
const AskedParameters = Schema.Struct({
  TimeToRunInSeconds: asked(Schema.Union([Schema.String, Uint32])),
  MaxClusterStabilizationTimeoutInSeconds: asked(Uint32),
  MaxConcurrentFaults: asked(Uint32),
  EnableMoveReplicaFaults: asked(Schema.Boolean),
  WaitTimeBetweenFaultsInSeconds: asked(Uint32),
  WaitTimeBetweenIterationsInSeconds: asked(Uint32),
  ClusterHealthPolicy: asked(
    Schema.Struct({
      ConsiderWarningAsError: asked(Schema.Boolean),
      MaxPercentUnhealthyNodes: asked(Percent),
      MaxPercentUnhealthyApplications: asked(Percent),
      ApplicationTypeHealthPolicyMap: asked(PercentOf),
      NodeTypeHealthPolicyMap: asked(PercentOf)
    })
  ),
  Context: asked(Schema.Struct({ Map: asked(Schema.Record(Schema.String, Schema.String)) })),
  ChaosTargetFilter: asked(
    Schema.Struct({
      NodeTypeInclusionList: asked(Schema.Array(Schema.String)),
      ApplicationInclusionList: asked(Schema.Array(Schema.String))
    })
  )
})
type AskedParameters = typeof AskedParameters.Type

const decodeAsked = Schema.decodeUnknownResult(AskedParameters)

const invalid = (detail: string): RequestRefused => refuseChaos("E_INVALIDARG", detail)

const complete = (input: AskedParameters): Result.Result<ChaosParameters, RequestRefused> => {
  const problem = problemOf(input)
  if (problem !== undefined) return Result.fail(problem)
  const filter = input.ChaosTargetFilter ?? undefined
  const map = input.Context?.Map ?? undefined
  return Result.succeed({
    TimeToRunInSeconds: String(Number(input.TimeToRunInSeconds ?? uint32Max)),
    MaxClusterStabilizationTimeoutInSeconds:
      input.MaxClusterStabilizationTimeoutInSeconds ?? defaultParameters.MaxClusterStabilizationTimeoutInSeconds,
    MaxConcurrentFaults: input.MaxConcurrentFaults ?? defaultParameters.MaxConcurrentFaults,
    EnableMoveReplicaFaults: input.EnableMoveReplicaFaults ?? defaultParameters.EnableMoveReplicaFaults,
    WaitTimeBetweenFaultsInSeconds:
      input.WaitTimeBetweenFaultsInSeconds ?? defaultParameters.WaitTimeBetweenFaultsInSeconds,
    WaitTimeBetweenIterationsInSeconds:
      input.WaitTimeBetweenIterationsInSeconds ?? defaultParameters.WaitTimeBetweenIterationsInSeconds,
    ClusterHealthPolicy: policyOf(input.ClusterHealthPolicy ?? null),
    ...(map === undefined ? {} : { Context: { Map: map } }),
    ...(filter === undefined ? {} : { ChaosTargetFilter: given(filter) })
  })
}

const problemOf = (input: AskedParameters): RequestRefused | undefined => {
  const time = String(input.TimeToRunInSeconds ?? uint32Max)
  if (!/^[0-9]{1,10}$/.test(time) || Number(time) > uint32Max) {
    return invalid(`The TimeToRunInSeconds ${JSON.stringify(time)} is not a number from 0 to ${uint32Max}.`)
  }
  const entries = Object.keys(input.Context?.Map ?? {}).length
  if (entries > contextMax) return invalid(`The Context has ${entries} entries, and ${contextMax} are allowed.`)
  const filter = input.ChaosTargetFilter ?? undefined
  if (filter === undefined) return undefined
  const types = filter.NodeTypeInclusionList ?? []
  const applications = filter.ApplicationInclusionList ?? []
  if (types.length === 0 && applications.length === 0) {
    return invalid("The ChaosTargetFilter includes nothing: name a node type or an application, or leave it out.")
  }
  const large = (name: string, count: number, limit: number): RequestRefused =>
    refuseChaos("FABRIC_E_VALUE_TOO_LARGE", `The ${name} has ${count} entries, and ${limit} are allowed.`)
  if (types.length > nodeTypesMax) return large("NodeTypeInclusionList", types.length, nodeTypesMax)
  if (applications.length > applicationsMax) {
    return large("ApplicationInclusionList", applications.length, applicationsMax)
  }
  const wrong = applications.find((name) => !/^fabric:\/[^/?#~]+(\/[^/?#~]+)*$/.test(name))
  return wrong === undefined
    ? undefined
    : invalid(`The ApplicationInclusionList names ${JSON.stringify(wrong)}; a name is written fabric:/application.`)
}

// A given policy counts warnings as errors only where it says so. The default is for where none is given.
const policyOf = (policy: AskedParameters["ClusterHealthPolicy"]): ChaosHealthPolicy => {
  if (policy === null || policy === undefined) return defaultParameters.ClusterHealthPolicy
  const { ApplicationTypeHealthPolicyMap: ofApplications, NodeTypeHealthPolicyMap: ofNodes } = policy
  return {
    ConsiderWarningAsError: policy.ConsiderWarningAsError ?? false,
    MaxPercentUnhealthyNodes: policy.MaxPercentUnhealthyNodes ?? 0,
    MaxPercentUnhealthyApplications: policy.MaxPercentUnhealthyApplications ?? 0,
    ...(ofApplications === null || ofApplications === undefined
      ? {}
      : { ApplicationTypeHealthPolicyMap: ofApplications }),
    ...(ofNodes === null || ofNodes === undefined ? {} : { NodeTypeHealthPolicyMap: ofNodes })
  }
}

const given = (filter: NonNullable<AskedParameters["ChaosTargetFilter"]>): ChaosTargetFilter => ({
  ...(filter.NodeTypeInclusionList ? { NodeTypeInclusionList: filter.NodeTypeInclusionList } : {}),
  ...(filter.ApplicationInclusionList ? { ApplicationInclusionList: filter.ApplicationInclusionList } : {})
})
