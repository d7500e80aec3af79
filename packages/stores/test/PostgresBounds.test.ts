/**
 * A server in the store's place never stops answering. The store says so, and memory does not grow with what is sent.
 */
import * as EndlessPostgres from "@inquorate/testkit/EndlessPostgres"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PostgresStore from "../src/postgres/PostgresStore.ts"

const MiB = 1024 * 1024

describe("a store that never stops answering", () => {
  for (const endless of ["rows", "a row", "notices", "an error", "greetings"] as const) {
    it.live(`with ${endless} is left`, () =>
      Effect.gen(function* () {
        const port = yield* EndlessPostgres.serve(endless)
        const before = process.memoryUsage().rss
        const url = `postgresql://inquorate@127.0.0.1:${port}/store`
        const error = yield* Effect.flip(Layer.build(PostgresStore.layer({ url, queueBound: 10 })))
        assert.strictEqual(error._tag, "StoreError")
        assert.isBelow(error.detail.length, 2000)
        assert.isBelow(process.memoryUsage().rss - before, 1200 * MiB)
      }).pipe(Effect.scoped)
    )
  }
})
