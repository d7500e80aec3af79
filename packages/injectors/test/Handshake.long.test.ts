/**
 * Goal: over a slow way to a host, clocks do not seem to differ and no deadline comes late. Method: this machine's own
 * shell behind a way that always takes its time; the records of the fence tell what the host really did.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"
import { behind, deadlineBehind } from "./SlowHost.ts"

Bench.useState()

describe("a host that is slow to answer", () => {
  it.live("has no other clock for that: only what is certain of a difference counts", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const preflight = yield* Pause.make(new Map([["here", behind(2600)]])).preflight(tree.process)
      assert.strictEqual(preflight._tag === "Ready" && preflight.skew, 0)
      assert.isAtLeast(preflight._tag === "Ready" ? preflight.took! : 0, 2600)
    })
  )

  deadlineBehind(Infinity)
})
