/**
 * One sign of life for all holds of a worker. A worker that was frozen watched nothing, whatever it finds in its hands
 * when it thaws. Each hold that it watched hears how long the worker was not there. One beat serves them all, since
 * thousands may be held at once.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Millis } from "@inquorate/core/Time"
import { monotonicMillis } from "../Monotonic.ts"

/** How far apart two signs of life may be, in milliseconds. Nobody watched in a longer gap. */
const frozenFrom: Millis = 1000

/** The sign of life of one worker. */
export interface Presence {
  /** Runs a watch. At each thaw `absent` hears for how many milliseconds of it the worker was not there. */
  readonly during: <A, E, R>(absent: (span: Millis) => void, watch: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Gives a sign of life now, so that the next judgement knows of a freeze that has just ended. */
  readonly beat: () => void
}

/** Begins to give signs of life, until the scope closes. */
export const make: Effect.Effect<Presence, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.clockWith(Effect.succeed)
  const watches = new Set<Watch>()
  let last = monotonicMillis(clock)
  const beat = (): void => {
    const now = monotonicMillis(clock)
    if (now - last > frozenFrom) {
      for (const { absent, began } of watches) {
        const span = now - Math.max(last, began)
        if (span > frozenFrom) absent(span)
      }
    }
    last = now
  }
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(beatEvery), Effect.sync(beat))))
  return {
    during: (absent, watch) =>
      Effect.suspend(() => {
        const one: Watch = { absent, began: monotonicMillis(clock) }
        watches.add(one)
        return Effect.ensuring(
          watch,
          Effect.sync(() => watches.delete(one))
        )
      }),
    beat
  }
})

// --- internal ---

interface Watch {
  readonly absent: (span: Millis) => void
  /** When it began, on the monotonic clock. */
  readonly began: Millis
}

const beatEvery: Millis = 500
