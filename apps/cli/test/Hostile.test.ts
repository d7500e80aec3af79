/**
 * What others say does not act on the terminal: JSON says exactly what was said, and what was typed is shown and not
 * obeyed. Every command's answer is in the long tests beside this one.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { acting, clusters, evil, ofWorker, serve } from "./HostileAnswers.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

describe("what others say does not act on the terminal", () => {
  it.live("and JSON says exactly what was said", () =>
    Effect.gen(function* () {
      const endpoint = yield* serve(ofWorker)
      const { out } = yield* inq.run(["clusters", "--endpoint", endpoint, "--output", "json"])
      assert.deepStrictEqual(JSON.parse(out), clusters)
    }).pipe(Effect.scoped)
  )

  it.live("nor does what was typed, however wrong", () =>
    Effect.gen(function* () {
      for (const words of [
        [evil],
        ["show", evil],
        [`--${evil}`],
        ["start", "lab", "--mode", evil, "-d", evil],
        ["--endpoint", evil, "list"]
      ]) {
        const { code, error, out } = yield* inq.run(words)
        assert.strictEqual(code, 2, words.join(" "))
        assert.notMatch(out, acting, words.join(" "))
        assert.notMatch(error, acting, words.join(" "))
      }
    })
  )
})
