/**
 * The store on a real PostgreSQL quorum group that crashes, hangs, or waits for standbys that are gone; and the laws for which
 * a lease must run out.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import { within } from "@inquorate/testkit/Pace"
import * as Lab from "./postgres-lab.ts"
import { all, fresh, guid, laws, many, note, reasonOf, taken } from "./SharedStore.ts"

describe.skipIf(Lab.skip !== undefined)(
  `PostgreSQL as the store${Lab.skip === undefined ? "" : ` (${Lab.skip})`}`,
  () => {
    laws(true)

    describe("with a PostgreSQL that fails", () => {
      it.live("loses nothing it accepted when PostgreSQL crashes under load, and stores nothing twice", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const stores = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          const accepted: Array<string> = []
          const written: Array<readonly [string, string]> = []
          let next = 0
          const load = { over: false }
          const write = (store: OperationStore["Service"]) =>
            Effect.gen(function* () {
              while (!load.over) {
                const n = ++next
                if ((yield* reasonOf(store.create(fresh(n)))) !== "Success") continue
                accepted.push(guid(n))
                const stored = yield* Effect.orElseSucceed(store.get(guid(n)), () => null)
                if (stored === null) continue
                const saved = yield* reasonOf(store.save(stored, taken(stored.operation), [note(`${n}`)], null))
                assert.notStrictEqual(saved, "Conflict", `an own save of ${n} was taken for another's`)
                if (saved === "Success") written.push([guid(n), `${n}`])
              }
            })
          const writers = yield* Effect.forkChild(all([...many(10), ...many(10)], (n) => write(stores[n % 2]!)))
          yield* Lab.eventually(
            Effect.sync(() => written.length),
            (length) => length > 50
          )
          yield* Lab.crash
          const before = written.length
          yield* Lab.eventually(
            Effect.sync(() => written.length),
            (length) => length > before + 200
          )
          load.over = true
          yield* Fiber.join(writers)
          const rows = yield* Lab.sql(`SELECT id FROM ${schema}.operation`)
          const there = new Set(rows.map(({ id }) => id))
          assert.deepStrictEqual(
            accepted.filter((id) => !there.has(id)),
            []
          )
          const entries = yield* Lab.sql(
            `SELECT operation_id AS id, count(*) AS told FROM ${schema}.evidence GROUP BY 1`
          )
          const told = new Map(entries.map(({ id, told }) => [id, Number(told)]))
          assert.deepStrictEqual(
            written.filter(([id]) => told.get(id) !== 1),
            []
          )
          assert.isTrue([...told.values()].every((count) => count === 1))
        })
      )

      it.live("says so in time when PostgreSQL hangs, and goes on when it is back", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 1500, statementMs: 500 })
          yield* store.create(fresh(1))
          yield* store.heartbeat("w1", 2500)
          const { resume } = yield* Lab.pause("Primary")
          const list = store.list({ states: [], limit: 10, newestFirst: true, after: null })
          const answers = yield* Effect.all(
            [
              store.get(guid(1)),
              list,
              store.now,
              store.create(fresh(2)),
              store.heartbeat("w1", 2500),
              store.claim("w1", 1),
              store.release("w1"),
              store.prune(1, 1)
            ].map((call) => reasonOf(call as Effect.Effect<unknown, StoreError>)),
            { concurrency: "unbounded" }
          ).pipe(Effect.timeout(within(10_000)))
          assert.deepStrictEqual(
            answers,
            answers.map(() => "Unavailable")
          )
          yield* resume
          assert.strictEqual(
            yield* Lab.eventually(reasonOf(store.create(fresh(3))), (answer) => answer === "Success"),
            "Success"
          )
          yield* Lab.eventually(reasonOf(store.heartbeat("w1", 2500)), (answer) => answer === "Success")
          assert.strictEqual((yield* list)[0]!.operation.id, guid(3))
        })
      )

      it.live("accepts nothing while the standbys that must confirm are gone, and leaves no connection waiting", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 2500, statementMs: 100 })
          yield* store.create(fresh(1))
          const { resume } = yield* Lab.pause("Standbys")
          for (const n of [2, 3]) assert.strictEqual(yield* reasonOf(store.create(fresh(n))), "Unavailable")
          // The last one may still be on its way; the others were cancelled at the server when they were given up.
          assert.isAtMost((yield* Lab.waitingForStandbys).length, 1)
          yield* resume
          yield* Lab.eventually(reasonOf(store.create(fresh(5))), (answer) => answer === "Success")
        })
      )
    })
  }
)
