/** The commands of chaos as a person types them to a worker: what they send, what they print, and how they end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { exitCodes } from "../src/ExitCode.ts"
import * as FakeWorker from "./FakeWorker.ts"
import * as Inq from "./Inq.ts"

const { run } = Inq.bundled()

describe("inq chaos, of a worker", () => {
  it.live("starts, tells, stops and keeps a schedule", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.serve
      const inq = (args: string, input?: string) => run([...args.split(" "), "--endpoint", url], {}, input)
      assert.match((yield* inq("chaos get")).out, /^Chaos has never run here\.\nSchedule: Stopped\n/)
      const started = yield* inq("chaos start --time-to-run 10m --faults 2")
      assert.deepStrictEqual([started.code, started.error], [0, ""])
      const again = yield* inq("chaos start")
      assert.strictEqual(again.code, exitCodes.refused)
      assert.include(again.error, "(FABRIC_E_CHAOS_ALREADY_RUNNING)")
      const got = yield* inq("chaos get --output json")
      assert.nestedInclude(JSON.parse(got.out), { status: "Running", "parameters.MaxConcurrentFaults": 2 })
      const told = yield* inq("chaos events --since 1970-01-01T00:00:00Z")
      assert.match(told.out, /^[0-9TZ:.-]+ {2}Started\n/)
      assert.match((yield* inq("chaos stop")).out, /^Chaos is stop/)
      const printed = yield* inq("chaos schedule get --output json")
      const set = yield* inq("chaos schedule set -", printed.out)
      assert.match(set.out + set.error, /in use, as version|is running already/)
    }).pipe(Effect.scoped)
  )
})
