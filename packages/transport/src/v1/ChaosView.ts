/**
 * The bodies of `/v1/chaos`. Parameters, events and the schedule are those of Service Fabric's chaos, as core declares
 * them. Both surfaces show the same chaos.
 */
import {
  ChaosEvent,
  ChaosHealthPolicy,
  ChaosParameters,
  ChaosScheduleStatus,
  ChaosStatus,
  ChaosTargetFilter
} from "@inquorate/core/Chaos"
import * as Schema from "effect/Schema"

const parameters = ChaosParameters.fields

/** What a caller asks of a run. Everything may be left out. */
export class ChaosRequest extends Schema.Opaque<ChaosRequest>()(
  Schema.Struct({
    TimeToRunInSeconds: Schema.optionalKey(parameters.TimeToRunInSeconds),
    MaxClusterStabilizationTimeoutInSeconds: Schema.optionalKey(parameters.MaxClusterStabilizationTimeoutInSeconds),
    MaxConcurrentFaults: Schema.optionalKey(parameters.MaxConcurrentFaults),
    EnableMoveReplicaFaults: Schema.optionalKey(parameters.EnableMoveReplicaFaults),
    WaitTimeBetweenFaultsInSeconds: Schema.optionalKey(parameters.WaitTimeBetweenFaultsInSeconds),
    WaitTimeBetweenIterationsInSeconds: Schema.optionalKey(parameters.WaitTimeBetweenIterationsInSeconds),
    ClusterHealthPolicy: Schema.optionalKey(ChaosHealthPolicy),
    Context: parameters.Context,
    ChaosTargetFilter: Schema.optionalKey(ChaosTargetFilter)
  }).annotate({
    identifier: "ChaosRequest",
    title: "A run of chaos",
    description: "What is left out has the default of Service Fabric",
    examples: [{ TimeToRunInSeconds: "600", ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/lab"] } }]
  })
) {}

/** How chaos stands. */
export class ChaosView extends Schema.Opaque<ChaosView>()(
  Schema.Struct({
    status: ChaosStatus.annotate({ title: "Status", description: "Invalid before the first run" }),
    scheduleStatus: ChaosScheduleStatus.annotate({
      title: "Status of the schedule",
      description: "Pending before its start, Expired after its end"
    }),
    parameters: ChaosParameters
  }).annotate({
    identifier: "ChaosView",
    title: "How chaos stands",
    description: "The parameters are those of the present run, else of the last one, else the defaults"
  })
) {}

/** A page of events, the oldest first. */
export class ChaosEventPage extends Schema.Opaque<ChaosEventPage>()(
  Schema.Struct({
    events: Schema.Array(ChaosEvent),
    next: Schema.NullOr(Schema.Int).annotate({
      title: "Next",
      description: "The number to give as `after` for the page that follows; null where this is the last one"
    })
  }).annotate({ identifier: "ChaosEventPage", title: "A page of what chaos told" })
) {}

/** How many events a page has if the caller does not say, and at most. */
export const eventLimit = { usual: 500, most: 1000 } as const

/** Which events. Moments are in ISO 8601, and both ends are included. */
export class ChaosEventsAsked extends Schema.Opaque<ChaosEventsAsked>()(
  Schema.Struct({
    from: Schema.optionalKey(Schema.String).pipe(
      Schema.annotateKey({ description: "Only events from this moment on, in ISO 8601" })
    ),
    to: Schema.optionalKey(Schema.String).pipe(
      Schema.annotateKey({ description: "Only events up to this moment, in ISO 8601" })
    ),
    after: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))).pipe(
      Schema.annotateKey({ description: "The `next` of the page before" })
    ),
    limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: eventLimit.most }))).pipe(
      Schema.annotateKey({ description: `How many at most, 1 to ${eventLimit.most}; ${eventLimit.usual} unless given` })
    )
  })
) {}
