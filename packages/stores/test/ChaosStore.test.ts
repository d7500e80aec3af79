/** Both stores of chaos, by one contract, and what only one of them does. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { ChaosStore } from "@inquorate/core/ChaosStore"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import { chaosStoreContract } from "@inquorate/testkit/ChaosStoreContract"
import * as Lab from "./postgres-lab.ts"

if (Lab.skip === undefined) {
  beforeAll(Lab.up)
  afterAll(Lab.down)
}

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-chaos-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
)

const inFile = Layer.effectContext(
  Effect.flatMap(directory, (made) => SqliteStore.makeBoth({ path: path.join(made, "store.db") }))
)

chaosStoreContract("SqliteStore", inFile, { pass: (millis) => TestClock.adjust(millis) })

describe("the file of the embedded store", () => {
  const chaosIn = (file: string) =>
    Effect.map(SqliteStore.makeBoth({ path: file }), (both) => Context.get(both, ChaosStore))

  it.effect("keeps the state over a restart, and ends a dead driver's right at once", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      yield* Effect.scoped(Effect.flatMap(chaosIn(file), (store) => store.drive("one", 60_000)))
      const store = yield* chaosIn(file)
      assert.strictEqual((yield* store.drive("two", 60_000))!.epoch, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("tells an event that cannot be read in its place, and all others as they are", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      const event = (Reason: string) => ({ Kind: "Waiting", TimeStampUtc: "2026-01-01T00:00:00.000Z", Reason }) as const
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* chaosIn(file)
          const stored = yield* store.read
          yield* store.save(stored, stored.state, ["one", "two", "three"].map(event), null)
        })
      )
      const database = new DatabaseSync(file)
      database.exec("UPDATE chaos_event SET event = '{' WHERE sequence = 2")
      database.close()
      const store = yield* chaosIn(file)
      const [one, two, three] = yield* store.events({ after: 0, from: null, to: null, limit: 3 })
      assert.deepStrictEqual([one?.event, three?.event], [event("one"), event("three")])
      assert.isTrue(
        two?.event.Kind === "Waiting" && two.event.Reason.includes("chaos event 2 in a form that cannot be read")
      )
      assert.strictEqual(two?.event.TimeStampUtc, "2026-01-01T00:00:00.000Z")
    }).pipe(Effect.scoped)
  )

  it.effect("is brought from the first schema to this one with everything in it", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      yield* Effect.scoped(chaosIn(file))
      const database = new DatabaseSync(file)
      database.exec("DROP TABLE chaos; DROP TABLE chaos_event; PRAGMA user_version = 1")
      database.close()
      const store = yield* chaosIn(file)
      assert.strictEqual((yield* store.read).version, 0)
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(Lab.skip !== undefined)("PostgreSQL as the store of chaos", () => {
  const inSchema = Layer.effectContext(
    Effect.suspend(() => PostgresStore.makeBoth({ url: Lab.url(), schema: Lab.freshSchema() }))
  )

  chaosStoreContract("PostgresStore", inSchema, {
    pass: (millis) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))
  })

  it.live("is brought from the first schema to this one", () =>
    Effect.gen(function* () {
      const schema = Lab.freshSchema()
      const open = Effect.map(PostgresStore.makeBoth({ url: Lab.url(), schema }), (both) =>
        Context.get(both, ChaosStore)
      )
      yield* Effect.scoped(open)
      yield* Lab.sql(
        `DROP TABLE ${schema}.chaos; DROP TABLE ${schema}.chaos_event; ALTER TABLE ${schema}.operation DROP COLUMN shares;
         DROP INDEX ${schema}.operation_by_subject; UPDATE ${schema}.inquorate_schema SET version = 1`
      )
      assert.strictEqual((yield* (yield* open).read).version, 0)
    }).pipe(Effect.scoped)
  )

  it.live("is shared: of many workers exactly one gets the right to drive", () =>
    Effect.gen(function* () {
      const schema = Lab.freshSchema()
      const stores = yield* Effect.forEach(Array.from({ length: 4 }), () =>
        Effect.map(PostgresStore.makeBoth({ url: Lab.url(), schema }), (both) => Context.get(both, ChaosStore))
      )
      const answers = yield* Effect.forEach(stores, (store, index) => store.drive(`driver ${index}`, 30_000), {
        concurrency: "unbounded"
      })
      assert.strictEqual(answers.filter((answer) => answer !== null).length, 1)
    }).pipe(Effect.scoped)
  )
})
