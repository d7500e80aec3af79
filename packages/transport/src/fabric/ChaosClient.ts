/**
 * The chaos calls of the typed client, against a worker of ours or a real gateway. The client reads answers as
 * leniently as those of the other calls. It reads a word that only a newer gateway knows as the word that the
 * enumeration has for an unknown one. A parameter that the gateway leaves out has its default.
 */
import {
  ChaosParameters,
  ChaosScheduleDescription,
  ChaosScheduleStatus,
  ChaosStatus,
  readParameters,
  toFileTime
} from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"
import type { RequestRefused } from "@inquorate/core/Operations"
import type { Instant } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { word } from "./FabricModel.ts"

// --- models ---

/** What a caller asks of a run. A parameter that is left out has the gateway's default. */
export type ChaosRequest = Partial<ChaosParameters>

/** How chaos stands. */
export interface ChaosStanding {
  readonly parameters: ChaosParameters
  readonly status: ChaosStatus
  readonly scheduleStatus: ChaosScheduleStatus
}

/** One event. `Kind` says which of the other properties are there. */
export type ChaosTold = typeof Told.Type

/** A page of events. The token of the last page is empty. */
export interface ChaosPage {
  readonly token: string
  readonly events: ReadonlyArray<ChaosTold>
}

/**
 * Which events: those from a time to a time, or those after a page. A `limit` of 0 asks for as many as fit into an
 * answer.
 */
export type ChaosEventsAsked =
  | { readonly from?: Instant; readonly to?: Instant; readonly limit?: number }
  | { readonly token: string; readonly limit?: number }

/** The chaos calls. They fail with the same errors as every call of the client. */
export interface ChaosClient<E> {
  readonly startChaos: (request: ChaosRequest) => Effect.Effect<void, E>
  /** Does no harm where chaos does not run. Afterwards the schedule is out of use. */
  readonly stopChaos: Effect.Effect<void, E>
  readonly getChaos: Effect.Effect<ChaosStanding, E>
  readonly getChaosEvents: (asked: ChaosEventsAsked) => Effect.Effect<ChaosPage, E>
  readonly getChaosSchedule: Effect.Effect<ChaosScheduleDescription, E>
  /** Replaces the schedule if its version is still that of the description. */
  readonly postChaosSchedule: (description: ChaosScheduleDescription) => Effect.Effect<void, E>
}

/** How a call is put on the wire. */
export interface ChaosWire<E> {
  readonly get: <S extends Schema.Codec<unknown, unknown>>(
    target: string,
    version: string,
    query: Readonly<Record<string, string | number>>,
    schema: S
  ) => Effect.Effect<S["Type"], E>
  readonly post: (
    target: string,
    version: string,
    query: Readonly<Record<string, string | number>>,
    body?: unknown
  ) => Effect.Effect<void, E>
}

// --- make ---

/** The chaos calls over a wire. */
export const make = <E>(wire: ChaosWire<E>): ChaosClient<E> => ({
  startChaos: (request) => wire.post("/Tools/Chaos/$/Start", "6.0", {}, request),
  stopChaos: wire.post("/Tools/Chaos/$/Stop", "6.0", {}),
  getChaos: Effect.map(wire.get("/Tools/Chaos", "6.2", {}, Standing), (answer) => ({
    parameters: answer.ChaosParameters,
    status: answer.Status,
    scheduleStatus: answer.ScheduleStatus
  })),
  getChaosEvents: (asked) =>
    Effect.map(
      wire.get(
        "/Tools/Chaos/Events",
        "6.2",
        {
          ...("token" in asked
            ? { ContinuationToken: asked.token }
            : {
                ...(asked.from === undefined ? {} : { StartTimeUtc: toFileTime(asked.from) }),
                ...(asked.to === undefined ? {} : { EndTimeUtc: toFileTime(asked.to) })
              }),
          MaxResults: asked.limit ?? 0
        },
        Page
      ),
      ({ ContinuationToken, History }) => ({
        token: ContinuationToken ?? "",
        events: History.map(({ ChaosEvent }) => ChaosEvent)
      })
    ),
  getChaosSchedule: wire.get("/Tools/Chaos/Schedule", "6.2", {}, Described),
  postChaosSchedule: (description) => wire.post("/Tools/Chaos/Schedule", "6.2", {}, description)
})

// --- internal ---

/** A value as core reads it from a request, defaults included. */
const readBy = <A>(schema: Schema.Codec<A, unknown>, read: (value: unknown) => Result.Result<A, RequestRefused>) =>
  Schema.Unknown.pipe(
    Schema.decodeTo(
      Schema.toType(schema),
      SchemaTransformation.transformEffect({
        decode: (value: unknown) =>
          Effect.fromResult(
            Result.mapError(read(value), ({ detail }) => new SchemaIssue.InvalidValue({ message: detail }))
          ),
        encode: (known: A) => Effect.succeed<unknown>(known)
      })
    )
  )

const Parameters = readBy(ChaosParameters, readParameters)
const Described = readBy(ChaosScheduleDescription, readDescription)

const Standing = Schema.Struct({
  ChaosParameters: Parameters,
  // The open-source gateway prints None where the specification says Invalid.
  Status: word(ChaosStatus.literals, "Invalid"),
  ScheduleStatus: word(ChaosScheduleStatus.literals, "Invalid")
})

const Told = Schema.Struct({
  Kind: Schema.String,
  TimeStampUtc: Schema.String,
  Reason: Schema.optionalKey(Schema.String),
  Faults: Schema.optionalKey(Schema.Array(Schema.String)),
  ChaosParameters: Schema.optionalKey(Parameters)
})

const Page = Schema.Struct({
  ContinuationToken: Schema.optionalKey(Schema.NullOr(Schema.String)),
  History: Schema.Array(Schema.Struct({ ChaosEvent: Told }))
})
