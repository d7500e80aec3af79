/** This machine behind a way that takes its time, and what holds of deadlines there. */
import * as fs from "node:fs"
import type { Host } from "@inquorate/core/Host"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const here = LocalHost.make("here")

/** This machine, whose answers come so late; only the first `slow` of them where that is given. */
export const behind = (millis: number, slow = Infinity): Host => {
  let asked = 0
  return {
    label: "here",
    run: (program, words, options) =>
      Effect.tap(here.run(program, words, options), () =>
        Effect.suspend(() => (asked++ < slow ? Effect.sleep(millis) : Effect.void))
      )
  }
}

/** Registers a test: the deadline by uptime is no later where so many answers are slow. */
export const deadlineBehind = (slow: number): void => {
  it.live(`gets no deadline by uptime that lies after its deadline by UTC (slow ${slow} times)`, () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const pause = Pause.make(new Map([["here", behind(1800, slow)]]))
      yield* pause.preflight(tree.process)
      const order = yield* Bench.orderFor(tree, { hold: 60_000 })
      yield* pause.arm(order)
      const now = Date.now()
      const uptime = Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000
      const [, byUptime, byUtc] = fs
        .readdirSync(Bench.directoryOf(order.fence))
        .map((name) => /^deadline\.(\d+)\.(\d+)$/.exec(name))
        .find((match) => match !== null)!
      const late = Number(byUptime) - uptime - (Number(byUtc) - now)
      assert.isAtMost(late, 50)
      // Asked again, so that a fence does not end early for one slow answer either.
      if (slow === 1) assert.isAtLeast(late, -1000)
      yield* pause.lift("here", order.fence, 1)
    })
  )
}
