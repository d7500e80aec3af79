/**
 * The chaos calls of the Service Fabric surface: start and stop, the standing, the schedule, and the events in pages.
 * It reads and refuses bodies as the gateway does. A continuation token carries the filter of its first page, so no
 * server has to remember it.
 */
import { Chaos, type ChaosEventQuery, type NumberedChaosEvent, readParameters } from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"
import { RequestRefused } from "@inquorate/core/Operations"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { FabricCall } from "./FabricCall.ts"

// --- models ---

/** A call of the chaos surface. */
export type ChaosCall = Extract<
  FabricCall,
  {
    readonly _tag:
      | "StartChaos"
      | "StopChaos"
      | "GetChaos"
      | "GetChaosEvents"
      | "GetChaosReport"
      | "GetChaosSchedule"
      | "PostChaosSchedule"
  }
>

/** The answer to a chaos call: a value as JSON, or nothing. */
export type ChaosAnswer = { readonly _tag: "Done" } | { readonly _tag: "Json"; readonly value: unknown }

// --- make ---

/** True for a call of the chaos surface. */
export const isChaosCall = (call: FabricCall): call is ChaosCall => Object.hasOwn(takesBody, call._tag)

/** True for a call whose body the server reads. It drops the body of every other call. */
export const readsBody = (call: FabricCall): boolean => isChaosCall(call) && takesBody[call._tag]

/** How many characters of events an answer holds at most, so that it fits into the gateway's message of 4 MiB. */
const eventsSizeMax = 3_500_000

/** The answer to a chaos call. A worker without chaos refuses all of them. */
export const answer = (
  chaos: Option.Option<Chaos["Service"]>,
  call: ChaosCall,
  body: string
): Effect.Effect<ChaosAnswer, RequestRefused> =>
  chaos._tag === "None"
    ? Effect.fail(refused("FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED", "This worker has no chaos."))
    : answerWith(chaos.value, call, body)

// --- internal ---

/** Every chaos call, and whether the server reads its body. */
const takesBody: Readonly<Record<ChaosCall["_tag"], boolean>> = {
  StartChaos: true,
  StopChaos: false,
  GetChaos: false,
  GetChaosEvents: false,
  GetChaosReport: false,
  GetChaosSchedule: false,
  PostChaosSchedule: true
}

/** How many events one read of the store asks for. */
const readAtOnce = 500

const refused = (
  code: "E_INVALIDARG" | "FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED",
  detail: string
): RequestRefused => new RequestRefused({ code, detail, refusal: null })

const done: ChaosAnswer = { _tag: "Done" }

const json = (value: unknown): ChaosAnswer => ({ _tag: "Json", value })

const answerWith = (
  chaos: Chaos["Service"],
  call: ChaosCall,
  body: string
): Effect.Effect<ChaosAnswer, RequestRefused> => {
  switch (call._tag) {
    case "StartChaos":
      return Effect.as(Effect.flatMap(read(body, readParameters), chaos.start), done)
    case "StopChaos":
      return Effect.as(chaos.stop, done)
    case "GetChaos":
      return Effect.map(chaos.get, ({ parameters, scheduleStatus, status }) =>
        json({ ChaosParameters: parameters, Status: status, ScheduleStatus: scheduleStatus })
      )
    case "GetChaosSchedule":
      return Effect.map(chaos.schedule, json)
    case "PostChaosSchedule":
      return Effect.as(Effect.flatMap(read(body, readDescription), chaos.setSchedule), done)
    case "GetChaosEvents":
      return Effect.map(page(chaos, call.events), json)
    case "GetChaosReport":
      return Effect.gen(function* () {
        const { parameters, status } = yield* chaos.get
        return json({ ChaosParameters: parameters, Status: status, ...(yield* page(chaos, call.events)) })
      })
  }
}

const parseJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

const read = <A>(
  body: string,
  decode: (value: unknown) => Result.Result<A, RequestRefused>
): Effect.Effect<A, RequestRefused> => {
  const parsed = parseJson(body.replace(/^\ufeff/, ""))
  return Effect.fromResult(
    Result.isSuccess(parsed)
      ? decode(parsed.success)
      : Result.fail(
          refused("E_INVALIDARG", body === "" ? "The request has no body." : "The body of the request is not JSON.")
        )
  )
}

/**
 * The page of a query, with the token of the next page. It asks for one event more, to know whether there is a next
 * page.
 */
const page = (
  chaos: Chaos["Service"],
  query: ChaosEventQuery
): Effect.Effect<{ readonly ContinuationToken: string; readonly History: ReadonlyArray<unknown> }, RequestRefused> =>
  Effect.gen(function* () {
    const most = query.limit === 0 ? Number.POSITIVE_INFINITY : query.limit
    const taken: Array<NumberedChaosEvent> = []
    let after = query.after
    let size = 0
    while (true) {
      const wanted = Math.min(readAtOnce, most - taken.length + 1)
      const found = yield* chaos.events({ ...query, after, limit: wanted })
      for (const event of found) {
        size += JSON.stringify(event.event).length
        if (taken.length >= most || (size > eventsSizeMax && taken.length > 0)) return pageOf(taken, query, true)
        taken.push(event)
        after = event.sequence
      }
      if (found.length < wanted) return pageOf(taken, query, false)
    }
  })

const pageOf = (events: ReadonlyArray<NumberedChaosEvent>, { from, to }: ChaosEventQuery, more: boolean) => ({
  ContinuationToken: more ? `${events.at(-1)!.sequence}_${from ?? "n"}_${to ?? "n"}` : "",
  History: events.map(({ event }) => ({ ChaosEvent: event }))
})
