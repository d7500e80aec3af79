/**
 * Looks at everything that there is now, to answer a query. It remembers only since when each entity is in its state.
 */
import type { Operations, RequestRefused } from "@inquorate/core/Operations"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as History from "./FabricHistory.ts"
import * as World from "./FabricWorld.ts"

/** The api-version for a caller who names none: the newest spelling of everything. */
export const newestVersion = 8.2

/** The world as it is now. `version` is the api-version of the caller. */
export const look = (
  operations: Operations["Service"],
  history: History.History,
  version: number
): Effect.Effect<World.World, RequestRefused> =>
  Effect.gen(function* () {
    const clusters = yield* operations.clusters
    const holders = yield* operations.holders
    const aftermath = yield* operations.aftermath
    const now = aftermath.now ?? (yield* Clock.currentTimeMillis)
    return World.make(clusters, holders, aftermath, { now, version, history })
  })
