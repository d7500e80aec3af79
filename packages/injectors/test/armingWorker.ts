/**
 * A worker of its own that carries out one order and then waits to be killed; it says when the fence stands.
 */
import { within } from "@inquorate/testkit/Pace"
import type { FenceOrder } from "@inquorate/core/Injector"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"

const order = JSON.parse(process.argv[2]!) as FenceOrder

const main = Effect.gen(function* () {
  // The monotonic clock of this process has its own beginning on some systems.
  const startByMonotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + within(10_000)
  yield* Pause.make(new Map([["here", LocalHost.make("here")]])).arm({ ...order, startByMonotonic })
  process.stdout.write("armed\n")
  return yield* Effect.never
})

// Effect.never keeps no process alive.
setInterval(() => {}, 60_000)
await Effect.runPromise(main)
