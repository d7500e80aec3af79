import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { make } from "@inquorate/core/Operation"
import type { QuorumLossRequest } from "@inquorate/core/Request"
import { OperationStore, type StoreError } from "@inquorate/core/OperationStore"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import { operationStoreContract } from "@inquorate/testkit/OperationStoreContract"

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-store-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
)

const inFile = (queueBound?: number): Layer.Layer<OperationStore, StoreError> =>
  Layer.effect(
    OperationStore,
    Effect.flatMap(directory, (made) =>
      SqliteStore.make({ path: path.join(made, "store.db"), ...(queueBound === undefined ? {} : { queueBound }) })
    )
  )

operationStoreContract("SqliteStore", inFile(), { pass: (millis) => TestClock.adjust(millis), bounded: inFile })

const loss: QuorumLossRequest = {
  kind: "PartitionQuorumLoss",
  serviceName: "fabric:/orders/quorum",
  partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
  mode: "QuorumReplicas",
  hold: 5000
}

const operation = (n: number) => make(`00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`, loss, 1000)

const refusalOf = (file: string) =>
  Effect.scoped(SqliteStore.make({ path: file })).pipe(
    Effect.flip,
    Effect.map(({ detail, reason }) => {
      assert.strictEqual(reason, "Unavailable")
      assert.include(detail, file)
      return detail
    })
  )

describe("the file of the embedded store", () => {
  it.effect("keeps everything over a restart, and ends a dead worker's lease at once", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "deep", "store.db")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* SqliteStore.make({ path: file })
          yield* store.create(operation(1))
          yield* store.heartbeat("w1", 60_000)
          yield* TestClock.adjust(2000)
          assert.strictEqual((yield* store.claim("w1", 1)).length, 1)
        })
      )
      const store = yield* SqliteStore.make({ path: file })
      yield* store.heartbeat("w2", 60_000)
      const [claimed] = yield* store.claim("w2", 1)
      assert.deepStrictEqual(claimed?.operation, operation(1))
      assert.strictEqual(claimed?.epoch, 2)
    })
  )

  it.effect("gives a worker nothing that it owns already, also when the wall clock was stepped past its lease", () =>
    Effect.gen(function* () {
      const store = yield* SqliteStore.make({ path: path.join(yield* directory, "store.db") })
      yield* store.create(operation(1))
      yield* store.heartbeat("w1", 2500)
      yield* TestClock.adjust(2000)
      const [claimed] = yield* store.claim("w1", 1)
      yield* TestClock.setTime(3_600_000)
      assert.deepStrictEqual(yield* store.claim("w1", 1), [])
      const { owned } = yield* store.heartbeat("w1", 2500)
      assert.deepStrictEqual(owned, [{ id: claimed!.operation.id, version: claimed!.version, epoch: claimed!.epoch }])
    })
  )

  it.effect("is held by one worker at a time, and free again once that one is gone", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      const first = yield* Scope.make()
      const store = yield* Scope.provide(SqliteStore.make({ path: file }), first)
      yield* store.heartbeat("w1", 2500)
      const refusal = yield* refusalOf(file)
      assert.include(refusal, "held by another worker")
      assert.include(refusal, `It is the worker w1, process ${process.pid}.`)
      yield* Scope.close(first, Exit.void)
      yield* Effect.scoped(SqliteStore.make({ path: file }))
    })
  )

  it.effect("is refused unread when a newer version wrote it", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      yield* Effect.scoped(SqliteStore.make({ path: file }))
      const database = new DatabaseSync(file)
      database.exec("PRAGMA user_version = 999")
      database.close()
      const before = fs.readFileSync(file)
      assert.include(yield* refusalOf(file), "newer version")
      assert.isTrue(before.equals(fs.readFileSync(file)))
    })
  )

  it.effect("is refused when it is damaged, foreign, a directory, or cannot be written", () =>
    Effect.gen(function* () {
      const made = yield* directory
      const damaged = path.join(made, "damaged.db")
      fs.writeFileSync(damaged, "this is no database at all, ".repeat(200))
      assert.include(yield* refusalOf(damaged), "damaged or not a database")
      const foreign = path.join(made, "foreign.db")
      const database = new DatabaseSync(foreign)
      database.exec("CREATE TABLE theirs (x)")
      database.close()
      assert.include(yield* refusalOf(foreign), "another program")
      assert.include(yield* refusalOf(made), "is not a file")
      assert.include(yield* refusalOf(path.join(damaged, "below", "store.db")), "worker may write there")
    })
  )

  it.effect("reports a stored form that cannot be read, keeps it, and still serves the others", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* SqliteStore.make({ path: file })
          yield* store.create(operation(1))
          yield* store.create({ ...operation(2), request: { ...loss, partitionId: operation(9).id } })
        })
      )
      const database = new DatabaseSync(file)
      database.exec(`UPDATE operation SET operation = '{"format":7}' WHERE id = '${operation(1).id}'`)
      database.close()
      const store = yield* SqliteStore.make({ path: file })
      yield* TestClock.adjust(2000)
      const problem = yield* Effect.flip(store.get(operation(1).id))
      assert.include(problem.detail, operation(1).id)
      assert.strictEqual(problem.reason, "Unavailable")
      const ids = (found: ReadonlyArray<{ readonly operation: { readonly id: string } }>) =>
        found.map((stored) => stored.operation.id)
      for (const states of [[], ["Running"]] as const) {
        for (const newestFirst of [true, false]) {
          // A page is as full as it was asked for, whatever stands between.
          assert.deepStrictEqual(ids(yield* store.list({ states, limit: 1, newestFirst, after: null })), [
            operation(2).id
          ])
        }
      }
      assert.deepStrictEqual(ids(yield* store.holding), [operation(2).id])
      const [unreadable, ...others] = yield* store.unreadable
      assert.deepStrictEqual(others, [])
      assert.deepInclude(unreadable, {
        id: operation(1).id,
        state: "Running",
        subject: "66666666-7777-8888-9999-aaaaaaaaaaaa",
        holds: true
      })
      assert.include(unreadable!.problem, "cannot be read")
      const claimed = yield* store.claim("w1", 1)
      assert.deepStrictEqual(
        claimed.map((stored) => stored.operation.id),
        [operation(2).id]
      )
    })
  )

  it.effect("tells an entry of evidence that cannot be read in its place, and all others as they are", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      const entry = (text: string) => ({ at: 5, monotonic: 5, worker: "w1", fact: { _tag: "Noted", text } }) as const
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* SqliteStore.make({ path: file })
          yield* store.create(operation(1))
          const stored = (yield* store.get(operation(1).id))!
          yield* store.save(stored, stored.operation, ["one", "two", "three"].map(entry), null)
        })
      )
      const database = new DatabaseSync(file)
      database.exec("UPDATE evidence SET entry = '{' WHERE seq = 2")
      database.close()
      const store = yield* SqliteStore.make({ path: file })
      const found = yield* store.evidence(operation(1).id, 0)
      assert.deepStrictEqual([found[0], found[2]], [entry("one"), entry("three")])
      const { fact } = found[1]!
      assert.match(fact._tag === "Noted" ? fact.text : "", /^Entry 2 of this evidence cannot be read/)
      assert.strictEqual((yield* store.evidence(operation(1).id, 2)).length, 1)
    })
  )

  it.effect("commits many concurrent writes at once", () =>
    Effect.gen(function* () {
      let commits: (() => number) | undefined
      const store = yield* SqliteStore.make({
        path: path.join(yield* directory, "store.db"),
        onCommit: (count) => {
          commits = count
        }
      })
      const calls = 200
      yield* Effect.forEach(
        Array.from({ length: calls }, (_, n) => operation(n + 1)),
        store.create,
        {
          concurrency: "unbounded"
        }
      )
      assert.isBelow(commits!(), calls / 10)
      assert.isAtLeast(commits!(), 1)
      const listed = yield* store.list({ states: [], limit: 1000, newestFirst: false, after: null })
      assert.strictEqual(listed.length, calls)
    })
  )

  it.effect("lets other things happen between the commits of a thousand writes, and keeps their order", () =>
    Effect.gen(function* () {
      let commits = (): number => 0
      const store = yield* SqliteStore.make({
        path: path.join(yield* directory, "store.db"),
        onCommit: (count) => {
          commits = count
        }
      })
      const calls = 1000
      const turns = new Set<number>()
      let running = true
      const turn = (): void => {
        turns.add(commits())
        if (running) setImmediate(turn)
      }
      turn()
      yield* Effect.forEach(
        Array.from({ length: calls }, (_, n) => operation(n + 1)),
        store.create,
        {
          concurrency: "unbounded"
        }
      )
      running = false
      assert.isAtLeast(turns.size, 3)
      const listed = yield* store.list({ states: [], limit: 2000, newestFirst: false, after: null })
      assert.deepStrictEqual(
        listed.map((stored) => stored.operation.id),
        Array.from({ length: calls }, (_, n) => operation(n + 1).id)
      )
    })
  )

  it.effect("finds a page of 100 by an index, whatever the filter", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "store.db")
      yield* Effect.scoped(SqliteStore.make({ path: file }))
      const database = new DatabaseSync(file)
      const plan = (sql: string): string => JSON.stringify(database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all())
      const byState = plan(
        "SELECT * FROM operation WHERE state = 'Faulted' AND sequence > 5 ORDER BY sequence LIMIT 100"
      )
      const claims = plan("SELECT * FROM operation WHERE holds = 1 AND not_before <= 5 ORDER BY urgency, sequence")
      database.close()
      assert.include(byState, "operation_by_state")
      assert.notInclude(byState, "TEMP B-TREE")
      assert.include(claims, "operation_to_do")
      assert.notInclude(claims, "TEMP B-TREE")
    })
  )
})
