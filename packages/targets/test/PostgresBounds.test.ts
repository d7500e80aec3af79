/**
 * A server that never stops answering: the connection ends, the message is short, and memory does not grow with what is
 * sent.
 */
import * as EndlessPostgres from "@inquorate/testkit/EndlessPostgres"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Client } from "pg"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import * as PostgresBounds from "../src/PostgresBounds.ts"

const MiB = 1024 * 1024

const kinds = ["rows", "a row", "notices", "an error", "greetings", "notices unasked"] as const

describe("a PostgreSQL server that never stops", () => {
  for (const endless of kinds) {
    it.live(`with ${endless} is left`, () =>
      Effect.gen(function* () {
        const port = yield* EndlessPostgres.serve(endless)
        const client = new Client({ host: "127.0.0.1", port, user: "inquorate", database: "store" })
        PostgresBounds.bound(client)
        const before = process.memoryUsage().rss
        const said = yield* Effect.promise(async () => {
          const heard = new Promise<Error>((resume) => client.on("error", resume))
          const asked = client.connect().then(() => client.query("select 1"))
          return (await Promise.race([heard, asked.catch((error: Error) => error)])) as Error
        })
        assert.match(said.message, /its answer has more than 4194304 bytes|Connection terminated/)
        assert.isTrue(client.connection.stream.destroyed)
        assert.isBelow(process.memoryUsage().rss - before, 150 * MiB)
      }).pipe(Effect.scoped)
    )

    it.live(`with ${endless} is told of in few words`, () =>
      Effect.gen(function* () {
        const port = yield* EndlessPostgres.serve(endless)
        const settings = yield* Schema.decodeEffect(PostgresSettings)({
          user: "inquorate",
          database: "orders",
          members: [{ name: "p", address: `127.0.0.1:${port}` }]
        })
        const target = yield* postgres.make("orders", settings, new Map())
        const found = yield* Effect.result(target.discover)
        assert.isBelow(JSON.stringify(found).length, 5000)
      }).pipe(Effect.scoped)
    )
  }
})
