import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqliteFile from "../src/sqlite/SqliteFile.ts"
import * as SqliteOwners from "../src/sqlite/SqliteOwners.ts"

describe("who owns what in the embedded store", () => {
  it.effect("offers what was stored since the last look, and not what a commit took back", () =>
    Effect.gen(function* () {
      const { database } = yield* SqliteFile.open(":memory:", Clock.currentTimeMillis)
      const owners = SqliteOwners.make(database)
      const insert = database.prepare(
        `INSERT INTO operation (id, operation, state, partition_id, version, epoch, received_at, not_before, holds, standing,
           urgency) VALUES (?, '{}', 'Running', 'p', 1, 0, 1, 0, 1, 0, 2)`
      )
      const create = (id: string): void => owners.created(Number(insert.run(id).lastInsertRowid))
      const claimable = () => {
        owners.look()
        return owners.claimable(1000, () => true)
      }
      create("before")
      assert.deepStrictEqual(claimable(), ["before"])

      database.exec("BEGIN")
      create("undone")
      create("undone too")
      assert.deepStrictEqual(claimable(), ["before", "undone", "undone too"])
      database.exec("ROLLBACK")
      assert.deepStrictEqual(claimable(), ["before"])

      // The row takes the place of one that was taken back.
      create("after")
      assert.deepStrictEqual(claimable(), ["before", "after"])
    })
  )
})
