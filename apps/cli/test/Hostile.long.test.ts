/**
 * A worker, a gateway, or whoever answers in their place, that names everything so that a terminal would act on it. Nothing
 * of it reaches the terminal, whichever command shows it, as a table or as JSON.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { acting, O, ofGateway, ofWorker, serve } from "./HostileAnswers.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

const commands = [
  "partitions",
  "clusters",
  "health",
  "node list",
  "list",
  `show ${O}`,
  `watch ${O}`,
  `cancel ${O}`,
  "plan lab/kv",
  "start lab/kv -d 1s",
  "restart lab",
  "node stop n0",
  "recover all --yes",
  "chaos show"
].map((line) => line.split(" "))

describe("what others say does not act on the terminal", () => {
  for (const [who, answers, some] of [
    ["a worker", ofWorker, 20],
    ["a gateway", ofGateway, 20]
  ] as const) {
    it.live(`of who asks ${who}, whatever the command`, () =>
      Effect.gen(function* () {
        const endpoint = yield* serve(answers)
        let shown = 0
        for (const words of commands) {
          for (const form of ["table", "json"]) {
            const { error, out } = yield* inq.run([...words, "--endpoint", endpoint, "--output", form])
            assert.notMatch(out, acting, `${words.join(" ")} --output ${form}`)
            assert.notMatch(error, acting, words.join(" "))
            assert.notMatch(`${out}${error}`, /^FORGED/m, words.join(" "))
            if (`${out}${error}`.includes("\\u001b[2J")) shown++
          }
        }
        assert.isAtLeast(shown, some, "it was told, and not left out")
      }).pipe(Effect.scoped)
    )
  }
})
