/**
 * The answers of `/v1/chaos`. Bodies are read by the same rules as on the Service Fabric surface.
 */
import { type Chaos, type ChaosScheduleDescription, readParameters } from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"
import { RequestRefused } from "@inquorate/core/Operations"
import type { Instant } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import {
  type ChaosEventPage,
  type ChaosEventsAsked,
  type ChaosRequest,
  type ChaosView,
  eventLimit
} from "./ChaosView.ts"

// --- models ---

/** The answers about chaos. */
export interface ChaosCalls {
  readonly get: Effect.Effect<ChaosView, RequestRefused>
  readonly start: (request: ChaosRequest) => Effect.Effect<ChaosView, RequestRefused>
  readonly stop: Effect.Effect<ChaosView, RequestRefused>
  readonly events: (asked: ChaosEventsAsked) => Effect.Effect<ChaosEventPage, RequestRefused>
  readonly schedule: Effect.Effect<ChaosScheduleDescription, RequestRefused>
  readonly setSchedule: (
    description: ChaosScheduleDescription
  ) => Effect.Effect<ChaosScheduleDescription, RequestRefused>
}

// --- make ---

/** Makes the answers of a worker's chaos. A worker without chaos refuses every call. */
export const make = (found: Option.Option<Chaos["Service"]>): ChaosCalls => {
  const chaos: Effect.Effect<Chaos["Service"], RequestRefused> =
    found._tag === "Some"
      ? Effect.succeed(found.value)
      : refuse("FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED", "This worker has no chaos.")
  const get = Effect.flatMap(chaos, (one) => one.get)
  return {
    get,
    start: (request) =>
      Effect.gen(function* () {
        const parameters = yield* Effect.fromResult(readParameters(request))
        yield* (yield* chaos).start(parameters)
        return yield* get
      }),
    stop: Effect.andThen(
      Effect.flatMap(chaos, (one) => one.stop),
      get
    ),
    events: (asked) => Effect.flatMap(chaos, (one) => page(one, asked)),
    schedule: Effect.flatMap(chaos, (one) => one.schedule),
    setSchedule: (description) =>
      Effect.gen(function* () {
        const read = yield* Effect.fromResult(readDescription(description))
        const one = yield* chaos
        yield* one.setSchedule(read)
        return yield* one.schedule
      })
  }
}

// --- internal ---

const refuse = (
  code: "E_INVALIDARG" | "FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED",
  detail: string
): Effect.Effect<never, RequestRefused> => Effect.fail(new RequestRefused({ code, detail, refusal: null }))

const momentOf = (name: string, text: string | undefined): Effect.Effect<Instant | null, RequestRefused> => {
  if (text === undefined) return Effect.succeed(null)
  const at = Date.parse(text)
  return Number.isNaN(at)
    ? refuse(
        "E_INVALIDARG",
        `query.${name}: Expected a moment such as 2026-11-22T08:00:00Z, got ${JSON.stringify(text.slice(0, 200))}`
      )
    : Effect.succeed(at)
}

// The store is asked for one event more than wanted. If it comes, there is a next page.
const page = (
  chaos: Chaos["Service"],
  { after = 0, from, limit = eventLimit.usual, to }: ChaosEventsAsked
): Effect.Effect<ChaosEventPage, RequestRefused> =>
  Effect.gen(function* () {
    const found = yield* chaos.events({
      after,
      from: yield* momentOf("from", from),
      to: yield* momentOf("to", to),
      limit: limit + 1
    })
    const shown = found.slice(0, limit)
    return {
      events: shown.map(({ event }) => event),
      next: found.length > limit ? shown.at(-1)!.sequence : null
    }
  })
