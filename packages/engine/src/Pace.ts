/**
 * How many operations a worker begins at once: no more than it can watch. A loss has to show within a time, so a worker
 * that is behind with its own timers would fail what it begins, and what it holds already.
 */
import * as Effect from "effect/Effect"
import type { Millis } from "@inquorate/core/Time"
import { monotonicNow } from "./Monotonic.ts"

/** The most operations taken by one claim. */
const most = 32
/** So many are watched well on any machine. From there on a worker looks whether it keeps up before it begins more. */
const alwaysWatched = 8
const lookFor: Millis = 20
/** How late a timer may be. A loss has 2 s to show at least, in which its drive has its turn about ten times. */
const lateMost: Millis = 200
/** How long a worker that is behind begins nothing, and how many it begins after that, so that it never stands still. */
const waitAtMost: Millis = 1000
const whileBehind = 4

/** How many operations may be begun at once by a worker that drives so many. Says so where they are few. */
export const atOnce = (running: number): Effect.Effect<number> =>
  running < alwaysWatched
    ? Effect.succeed(most)
    : Effect.flatMap(monotonicNow, (began) => keepingUp(running, began, false))

// --- internal ---

const keepingUp = (running: number, began: Millis, isTold: boolean): Effect.Effect<number> =>
  Effect.gen(function* () {
    const before = yield* monotonicNow
    yield* Effect.sleep(lookFor)
    const now = yield* monotonicNow
    const late = now - before - lookFor
    if (late <= lateMost) return most
    if (!isTold) {
      yield* Effect.logWarning(
        `This worker drives ${running} operations and is ${late} ms behind: it begins few more until it keeps up. Lower limits.concurrency, or start another worker on the same store.`
      )
    }
    return now - began >= waitAtMost ? whileBehind : yield* keepingUp(running, began, true)
  })
