/** The port `Chaos` in memory: moved by core's own `advanceChaos`, with nobody who drives it but the test. */
import { Chaos, type ChaosEvent } from "@inquorate/core/Chaos"
import { unknownTargets } from "@inquorate/core/ChaosFaults"
import { advanceChaos, type ChaosHappening, initialState, viewOf } from "@inquorate/core/ChaosRun"
import { RequestRefused } from "@inquorate/core/Operations"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { clusterOf, etcd } from "./FakeOperations.ts"

/** What a test does to the fake besides asking it. */
export class ChaosControl extends Context.Service<
  ChaosControl,
  {
    /** Plays a happening, which must be taken. */
    readonly play: (happening: ChaosHappening) => Effect.Effect<void>
    /** Stores events as they are. */
    readonly tell: (events: ReadonlyArray<ChaosEvent>) => Effect.Effect<void>
  }
>()("@inquorate/transport/test/ChaosControl") {}

const runId = "00000000-0000-4000-8000-000000000001"

export const layer: Layer.Layer<Chaos | ChaosControl> = Layer.effectContext(
  Effect.sync(() => {
    let state = initialState
    const events: Array<ChaosEvent> = []
    const change = (happening: ChaosHappening) =>
      Effect.map(Effect.fromResult(advanceChaos(state, happening)), (next) => {
        state = next.state
        events.push(...next.events)
      })
    const chaos = Chaos.of({
      start: (parameters) =>
        Effect.gen(function* () {
          const problem = unknownTargets(parameters, [clusterOf(etcd)])
          if (problem !== undefined) {
            return yield* new RequestRefused({ code: "E_INVALIDARG", detail: problem, refusal: null })
          }
          yield* change({ _tag: "StartAsked", at: yield* Clock.currentTimeMillis, runId, parameters })
        }),
      stop: Effect.flatMap(Clock.currentTimeMillis, (at) => change({ _tag: "StopAsked", at })),
      get: Effect.map(Clock.currentTimeMillis, (now) => viewOf(state, now)),
      events: ({ after, from, limit, to }) =>
        Effect.sync(() =>
          events
            .map((event, index) => ({ sequence: index + 1, event, at: Date.parse(event.TimeStampUtc) }))
            .filter(
              ({ at, sequence }) => sequence > after && (from === null || at >= from) && (to === null || at <= to)
            )
            .slice(0, limit)
            .map(({ event, sequence }) => ({ event, sequence }))
        ),
      schedule: Effect.sync(() => state.description),
      setSchedule: (description) =>
        Effect.flatMap(Clock.currentTimeMillis, (at) => change({ _tag: "ScheduleSet", at, description }))
    })
    const control = ChaosControl.of({
      play: (happening) => Effect.orDie(change(happening)),
      tell: (told) => Effect.sync(() => void events.push(...told))
    })
    return Context.make(Chaos, chaos).pipe(Context.add(ChaosControl, control))
  })
)
