/** What a server in the store's place may send without an end, and that the store leaves it with little memory taken. */
import * as EndlessPostgres from "@inquorate/testkit/EndlessPostgres"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PostgresStore from "../src/postgres/PostgresStore.ts"

const MiB = 1024 * 1024

/** Tests that the store leaves a server that sends these without an end. */
export const leaves = (kinds: ReadonlyArray<EndlessPostgres.Endless>) =>
  describe("a store that never stops answering", () => {
    for (const endless of kinds) {
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
