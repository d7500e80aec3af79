/**
 * The store on a real PostgreSQL quorum group: shared by several workers, with answers and commits that are lost, and where
 * it is not as it should be.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import * as Lab from "./postgres-lab.ts"
import {
  all,
  fresh,
  guid,
  hear,
  laws,
  many,
  note,
  order,
  plan,
  reasonOf,
  refusalOf,
  taken,
  texts
} from "./SharedStore.ts"

describe.skipIf(Lab.skip !== undefined)(
  `PostgreSQL as the store${Lab.skip === undefined ? "" : ` (${Lab.skip})`}`,
  () => {
    laws(false)

    describe("shared by several workers", () => {
      it.live("never gives one operation to two claimers", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const stores = yield* all(many(6), () => Lab.store(schema))
          yield* all(many(120), (n) => stores[n % 6]!.create(fresh(n)))
          const claims = yield* all([...stores.entries()], ([index, store]) =>
            Effect.gen(function* () {
              yield* store.heartbeat(`w${index}`, 30_000)
              const mine: Array<string> = []
              while (true) {
                const claimed = yield* store.claim(`w${index}`, 7)
                mine.push(...claimed.map(({ operation }) => operation.id))
                const left = yield* Lab.sql(`SELECT count(*) AS left FROM ${schema}.operation WHERE owner IS NULL`)
                if (Number(left[0]!["left"]) === 0) return mine
              }
            })
          )
          const ids = claims.flat()
          assert.strictEqual(ids.length, 120)
          assert.strictEqual(new Set(ids).size, 120)
          assert.isAbove(claims.filter((mine) => mine.length > 0).length, 1)
        })
      )

      it.live("fences a worker whose lease ran out and was taken over, in every write", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [one, two] = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          yield* one.create(fresh(1))
          yield* one.heartbeat("w1", 30_000)
          const [mine] = yield* one.claim("w1", 1)
          const as = { worker: "w1", epoch: mine!.epoch }
          yield* one.heartbeat("w1", 1)
          yield* two.heartbeat("w2", 30_000)
          const [theirs] = yield* Lab.eventually(two.claim("w2", 1), (claimed) => claimed.length > 0)
          assert.strictEqual(theirs!.epoch, mine!.epoch + 1)
          assert.strictEqual(yield* reasonOf(one.save(mine!, taken(mine!.operation), [note("late")], as)), "Fenced")
          assert.strictEqual(yield* reasonOf(one.save(theirs!, taken(mine!.operation), [note("late")], as)), "Fenced")
          assert.strictEqual(yield* reasonOf(one.append(guid(1), [note("late")], as)), "Fenced")
          assert.deepStrictEqual((yield* one.heartbeat("w1", 30_000)).owned, [])
          assert.deepStrictEqual(yield* one.evidence(guid(1), 0), [])
          assert.deepStrictEqual((yield* two.heartbeat("w2", 30_000)).owned, [
            { id: guid(1), version: theirs!.version, epoch: theirs!.epoch }
          ])
        })
      )

      it.live("keeps an operation whose owner was slow but came back before anybody took it", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema)
          yield* store.create(fresh(1))
          yield* store.heartbeat("w1", 30_000)
          const [mine] = yield* store.claim("w1", 1)
          yield* store.heartbeat("w1", 1)
          yield* Effect.sleep(20)
          // With no live lease nothing is claimed, not even its own.
          assert.deepStrictEqual(yield* store.claim("w1", 1), [])
          const { owned } = yield* store.heartbeat("w1", 30_000)
          assert.deepStrictEqual(owned, [{ id: guid(1), version: mine!.version, epoch: mine!.epoch }])
        })
      )

      it.live("gives a copied worker id to the newest start and fences the older one for good", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [older, newest] = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          yield* all(many(2), (n) => older.create(fresh(n)))
          yield* older.heartbeat("w1", 30_000)
          const [mine] = yield* older.claim("w1", 1)
          // As the engine begins: whatever a former life owned is let go, its lease being live or not.
          yield* newest.release("w1")
          assert.deepStrictEqual((yield* newest.heartbeat("w1", 30_000)).owned, [])
          const claimed = yield* newest.claim("w1", 2)
          assert.deepStrictEqual(
            claimed.map(({ epoch, operation }) => [operation.id, epoch]),
            [
              [guid(1), 2],
              [guid(2), 1]
            ]
          )
          const as = { worker: "w1", epoch: mine!.epoch }
          assert.strictEqual(yield* reasonOf(older.save(mine!, taken(mine!.operation), [], as)), "Fenced")
          assert.strictEqual(yield* reasonOf(older.append(guid(1), [note("late")], as)), "Fenced")
          assert.strictEqual(yield* reasonOf(older.heartbeat("w1", 30_000)), "Fenced")
          assert.strictEqual(yield* reasonOf(older.claim("w1", 1)), "Fenced")
          assert.strictEqual(yield* reasonOf(older.heartbeat("w1", 30_000)), "Fenced")
          yield* older.release("w1")
          assert.strictEqual((yield* newest.heartbeat("w1", 30_000)).owned.length, 2)
          // A copy that claims before it beats hears of it just the same.
          const another = yield* Lab.store(schema)
          yield* another.heartbeat("w1", 30_000)
          assert.strictEqual(yield* reasonOf(newest.claim("w1", 1)), "Fenced")
        })
      )

      it.live("lets one of two simultaneous starts with one id win, and never both", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const stores = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          yield* all(many(20), (n) => stores[0]!.create(fresh(n)))
          const rounds = yield* all(stores, (store) =>
            Effect.gen(function* () {
              yield* store.heartbeat("w1", 30_000)
              return yield* store.claim("w1", 20)
            }).pipe(Effect.result)
          )
          const beats = yield* all(stores, (store) => reasonOf(store.heartbeat("w1", 30_000)))
          assert.deepStrictEqual([...beats].sort(), ["Fenced", "Success"])
          const winner = stores[beats.indexOf("Success")]!
          const { owned } = yield* winner.heartbeat("w1", 30_000)
          const loser = rounds[beats.indexOf("Fenced")]!
          // What the loser was given before it lost carries an epoch that is over.
          for (const { epoch, operation } of Result.isSuccess(loser) ? loser.success : []) {
            assert.isFalse(owned.some((one) => one.id === operation.id && one.epoch === epoch))
          }
        })
      )

      it.live("tells others of a create, a save, an append and a release, and oneself only once", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [one, two] = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          const [own, others] = [yield* hear(one), yield* hear(two)]
          const after = (step: Effect.Effect<unknown, StoreError>) =>
            Effect.gen(function* () {
              const before = others.length
              yield* step
              yield* Lab.eventually(
                Effect.sync(() => others.length),
                (length) => length > before
              )
            })
          yield* after(one.create(fresh(1)))
          yield* one.heartbeat("w1", 30_000)
          const [mine] = yield* one.claim("w1", 1)
          const as = { worker: "w1", epoch: mine!.epoch }
          yield* after(one.save(mine!, taken(mine!.operation), [], as))
          yield* after(one.append(guid(1), [note("a")], as))
          yield* after(one.release("w1"))
          yield* two.heartbeat("w2", 30_000)
          assert.strictEqual((yield* two.claim("w2", 1)).length, 1)
          assert.isTrue(others.every((id) => id === guid(1)))
          assert.strictEqual(own.length, 4)
        })
      )

      it.live("is made once when four workers start at once", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const stores = yield* all(many(4), () => Lab.store(schema))
          yield* all([...stores.entries()], ([index, store]) => store.create(fresh(index + 1)))
          const listed = yield* stores[0]!.list({ states: [], limit: 10, newestFirst: false, after: null })
          assert.strictEqual(listed.length, 4)
          assert.deepStrictEqual(yield* Lab.sql(`SELECT version FROM ${schema}.inquorate_schema`), [{ version: 3 }])
        })
      )

      it.live("appends what two stores write to one operation at the same time, each entry once", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [one, two] = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          yield* one.create(fresh(1))
          yield* one.heartbeat("w1", 30_000)
          const [mine] = yield* one.claim("w1", 1)
          const as = { worker: "w1", epoch: mine!.epoch }
          const words = many(40).map((n) => `entry ${n}`)
          yield* all([...words.entries()], ([index, text]) =>
            (index % 2 === 0 ? one : two).append(guid(1), [note(text)], as)
          )
          assert.deepStrictEqual([...texts(yield* two.evidence(guid(1), 0))].sort(), [...words].sort())
        })
      )

      it.live("shares commits among concurrent writes, and one that fails takes nothing of the others with it", () =>
        Effect.gen(function* () {
          let commits = 0
          const store = yield* Lab.store(Lab.freshSchema(), { onCommit: () => commits++ })
          yield* all(many(200), (n) => store.create(fresh(n)))
          assert.isBelow(commits, 20)
          const rival = { ...fresh(201), request: fresh(1).request }
          yield* store.create(rival)
          const stored = yield* all([...many(20), 201], (n) => store.get(guid(n)))
          const answers = yield* all(stored, (one) =>
            reasonOf(store.save(one!, order(one!.operation), [note("x")], null))
          )
          assert.deepStrictEqual([...answers].sort(), ["Conflict", ...many(20).map(() => "Success")])
          assert.deepStrictEqual(
            answers.slice(1, 20),
            many(19).map(() => "Success")
          )
          const told = yield* all([...many(20), 201], (n) => store.evidence(guid(n), 0))
          assert.strictEqual(told.flat().length, 20)
        })
      )

      it.live(
        "takes a start that another worker stores just now for a duplicate, and stores the rest of its batch",
        () =>
          Effect.gen(function* () {
            let commits = 0
            const schema = Lab.freshSchema()
            const store = yield* Lab.store(schema, { withinMs: 20_000, onCommit: () => commits++ })
            yield* store.create(fresh(2))
            yield* Lab.sql(
              `CREATE TABLE ${schema}.kept AS SELECT * FROM ${schema}.operation; DELETE FROM ${schema}.operation`
            )
            const starts = yield* Lab.whileUncommitted(
              `INSERT INTO ${schema}.operation OVERRIDING SYSTEM VALUE SELECT * FROM ${schema}.kept`,
              Effect.gen(function* () {
                const starts = yield* Effect.forkScoped(all([1, 3, 2, 4], (n) => store.create(fresh(n))))
                yield* Lab.eventually(Lab.waitingForLocks, ({ length }) => length > 0)
                return starts
              })
            )
            assert.deepStrictEqual(yield* Fiber.join(starts), ["Created", "Created", "Duplicate", "Created"])
            // The first one may go alone.
            assert.isAtMost(commits, 3)
          })
      )

      it.live("stores the others of a batch of starts of which PostgreSQL refuses one", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema)
          yield* Lab.sql(`ALTER TABLE ${schema}.operation ADD CHECK (id <> '${guid(5)}')`)
          const answers = yield* all(many(9), (n) => reasonOf(store.create(fresh(n))))
          assert.deepStrictEqual(
            answers,
            many(9).map((n) => (n === 5 ? "Unavailable" : "Success"))
          )
          const listed = yield* store.list({ states: [], limit: 10, newestFirst: false, after: null })
          assert.strictEqual(listed.length, 8)
        })
      )

      it.live("has each worker pass the bound by no more than an eighth of what was free when it counted", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [one, two] = yield* all(many(2), () => Lab.store(schema, { queueBound: 40 }))
          const created = (store: OperationStore["Service"], from: number) =>
            Effect.map(
              Effect.forEach(many(50, from), (n) => reasonOf(store.create(fresh(n)))),
              (answers) => answers.filter((answer) => answer === "Success").length
            )
          yield* one!.create(fresh(1))
          assert.strictEqual(yield* created(two!, 2), 39)
          assert.isAtMost(yield* created(one!, 52), 5)
          assert.strictEqual(yield* created(two!, 102), 0)
        })
      )
    })

    describe("with a PostgreSQL that fails", () => {
      it.live("goes on telling changes after the connection that listens was ended, the missed ones included", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const [one, two] = yield* Effect.all([Lab.store(schema), Lab.store(schema)])
          const heard = yield* hear(two)
          yield* one.create(fresh(1))
          yield* Lab.eventually(
            Effect.sync(() => heard.length),
            (length) => length > 0
          )
          heard.length = 0
          const listeners = yield* Lab.eventually(Lab.listeners, ({ length }) => length === 2)
          yield* Lab.terminate(listeners)
          // Nobody writes now: what is told is what may have been missed.
          yield* Lab.eventually(
            Effect.sync(() => heard.length),
            (length) => length > 0
          )
          // Both listen again, and those that were ended are gone.
          yield* Lab.eventually(
            Lab.listeners,
            (again) => again.length === 2 && !again.some((pid) => listeners.includes(pid))
          )
          yield* one.create(fresh(2))
          yield* Lab.eventually(
            Effect.sync(() => heard.includes(guid(2))),
            (told) => told
          )
        })
      )

      it.live("finds out whether a commit stands whose answer was lost", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const way = yield* Lab.way
          const store = yield* Lab.store(schema, { url: Lab.url(way.address) })
          way.lose = 1
          assert.strictEqual(yield* store.create(fresh(1)), "Created")
          assert.strictEqual(way.lose, 0)
          assert.strictEqual(yield* store.create(fresh(1)), "Duplicate")
          yield* store.heartbeat("w1", 30_000)
          const [mine] = yield* store.claim("w1", 1)
          const as = { worker: "w1", epoch: mine!.epoch }
          way.lose = 1
          const saved = yield* store.save(mine!, taken(mine!.operation), [note("a")], as)
          assert.strictEqual(way.lose, 0)
          assert.deepStrictEqual(saved, yield* store.get(guid(1)))
          way.lose = 1
          yield* store.append(guid(1), [note("b"), note("c")], as)
          assert.strictEqual(way.lose, 0)
          assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 0)), ["a", "b", "c"])
          // A claim is not repeated: the next heartbeat names what it took.
          yield* store.create(fresh(2))
          way.lose = 1
          assert.strictEqual(yield* reasonOf(store.claim("w1", 1)), "Unavailable")
          const { owned } = yield* store.heartbeat("w1", 30_000)
          assert.deepStrictEqual(
            owned.map(({ id }) => id),
            [guid(1), guid(2)]
          )
        })
      )

      it.live("stores a batch of starts once whose answer was lost, of which two have one id", () =>
        Effect.gen(function* () {
          let commits = 0
          const schema = Lab.freshSchema()
          const way = yield* Lab.way
          const store = yield* Lab.store(schema, { url: Lab.url(way.address), onCommit: () => commits++ })
          way.lose = 1
          const answers = yield* all([...many(30), 7], (n) => store.create(fresh(n)))
          assert.strictEqual(way.lose, 0)
          assert.deepStrictEqual(answers, [...many(30).map(() => "Created"), "Duplicate"])
          assert.deepStrictEqual(yield* Lab.sql(`SELECT count(*) FROM ${schema}.operation`), [{ count: "30" }])
          assert.strictEqual(commits, 2)
        })
      )

      it.live("stores a batch of starts whose connection ended before its commit", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 20_000 })
          const starts = yield* Lab.whileUncommitted(
            `LOCK TABLE ${schema}.operation IN SHARE ROW EXCLUSIVE MODE`,
            Effect.gen(function* () {
              const starts = yield* Effect.forkScoped(all(many(30), (n) => store.create(fresh(n))))
              yield* Lab.terminate(yield* Lab.eventually(Lab.waitingForLocks, ({ length }) => length > 0))
              return starts
            })
          )
          assert.deepStrictEqual(
            yield* Fiber.join(starts),
            many(30).map(() => "Created")
          )
          assert.deepStrictEqual(yield* Lab.sql(`SELECT count(*) FROM ${schema}.operation`), [{ count: "30" }])
        })
      )

      it.live("takes no commit for done that was cancelled while it waited for its standbys, and stores it once", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 20_000 })
          yield* store.create(fresh(1))
          const stored = (yield* store.get(guid(1)))!
          const { resume } = yield* Lab.pause("Standbys")
          const saving = yield* Effect.forkChild(store.save(stored, taken(stored.operation), [note("a")], null))
          const [first] = yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          yield* Lab.sql(`SELECT pg_cancel_backend(${first})`)
          // Cancelled, it is committed here and may be lost with the primary: the store asks again, which waits again.
          yield* Lab.eventually(
            Lab.sql(`SELECT version FROM ${schema}.operation`),
            (rows) => rows[0]!["version"] === "2"
          )
          yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          assert.isUndefined(saving.pollUnsafe())
          yield* resume
          const saved = yield* Fiber.join(saving)
          assert.strictEqual(saved.version, stored.version + 1)
          assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 0)), ["a"])
        })
      )

      it.live("takes no batch of starts for stored that was cancelled while it waited for its standbys", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 20_000 })
          const { resume } = yield* Lab.pause("Standbys")
          const starts = yield* Effect.forkChild(all(many(3), (n) => store.create(fresh(n))))
          const [first] = yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          yield* Lab.sql(`SELECT pg_cancel_backend(${first})`)
          yield* Lab.eventually(
            Lab.sql(`SELECT count(*) FROM ${schema}.operation`),
            (rows) => rows[0]!["count"] !== "0"
          )
          yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          assert.isUndefined(starts.pollUnsafe())
          yield* resume
          assert.deepStrictEqual(yield* Fiber.join(starts), ["Created", "Created", "Created"])
        })
      )
    })

    describe("whose role has settings of its own", () => {
      const roleSettings = [
        ["client_min_messages", "error"],
        ["synchronous_commit", "local"],
        ["search_path", "mine, pg_catalog"],
        ["idle_session_timeout", "200"],
        ["default_transaction_isolation", "serializable"]
      ] as const

      it.live("takes no commit for done that was cancelled while it waited, and waits as the cluster does", () =>
        Effect.gen(function* () {
          yield* Effect.addFinalizer(() => Lab.sql("ALTER ROLE postgres RESET ALL"))
          yield* Lab.sql(
            roleSettings.map(([name, value]) => `ALTER ROLE postgres SET ${name} = ${value}`).join("; ") +
              "; CREATE SCHEMA IF NOT EXISTS mine; CREATE OR REPLACE FUNCTION mine.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''epoch''::timestamptz'"
          )
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema, { withinMs: 20_000 })
          yield* store.create(fresh(1))
          assert.isAbove(yield* store.now, 1_700_000_000_000)
          const stored = (yield* store.get(guid(1)))!
          const { resume } = yield* Lab.pause("Standbys")
          const saving = yield* Effect.forkChild(store.save(stored, taken(stored.operation), [note("a")], null))
          const [first] = yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          yield* Lab.sql(`SELECT pg_cancel_backend(${first})`)
          yield* Lab.eventually(
            Lab.sql(`SELECT version FROM ${schema}.operation`),
            (rows) => rows[0]!["version"] === "2"
          )
          yield* Lab.eventually(Lab.waitingForStandbys, ({ length }) => length > 0)
          assert.isUndefined(saving.pollUnsafe())
          yield* resume
          assert.strictEqual((yield* Fiber.join(saving)).version, stored.version + 1)
        })
      )
    })

    describe("that is not as it should be", () => {
      it.live("is refused unread when a newer version wrote it, at the start and while it runs", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema)
          yield* store.heartbeat("w1", 30_000)
          yield* Lab.sql(`UPDATE ${schema}.inquorate_schema SET version = 999; DROP TABLE ${schema}.lease`)
          assert.include(yield* refusalOf({ url: Lab.url(), schema }), "newer version")
          assert.include((yield* Effect.flip(store.heartbeat("w1", 30_000))).detail, "newer version")
        })
      )

      it.live(
        "is refused when it is another program's, a standby, away, or does not let us in, each in its own words",
        () =>
          Effect.gen(function* () {
            const schema = Lab.freshSchema()
            yield* Lab.sql(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.theirs (x int)`)
            assert.include(yield* refusalOf({ url: Lab.url(), schema }), "another program's tables")
            assert.include(yield* refusalOf({ url: Lab.url(Lab.standby()) }), "takes no writes")
            const wrong = yield* refusalOf({ url: Lab.url(Lab.primary(), "postgres", "sesame") })
            assert.include(wrong, "refused to let us in")
            assert.include(wrong, `postgresql://postgres@${Lab.primary()}/postgres (schema inquorate)`)
            assert.include(yield* refusalOf({ url: Lab.url("127.0.0.1:1") }), "cannot be reached")
            assert.include(yield* refusalOf({ url: `${Lab.url()}_that_is_not` }), "does not exist")
            assert.include(yield* refusalOf({ url: "mysql://root:sesame@somewhere/x" }), "no PostgreSQL URL")
            assert.include(yield* refusalOf({ url: "postgresql://u:sesame@[bad/x" }), "no PostgreSQL URL")
            assert.include(yield* refusalOf({ url: Lab.url(), schema: "Robert'); DROP" }), "no name we use")
            yield* Lab.sql(`CREATE ROLE stranger LOGIN PASSWORD 'sesame'`)
            assert.include(yield* refusalOf({ url: Lab.url(Lab.primary(), "stranger", "sesame") }), "does not let us")
            yield* Lab.sql("ALTER ROLE stranger SET default_transaction_read_only = on")
            assert.include(yield* refusalOf({ url: Lab.url(Lab.primary(), "stranger", "sesame") }), "takes no writes")
          })
      )

      it.live("reports a stored form that cannot be read, keeps it, and still serves the others", () =>
        Effect.gen(function* () {
          const schema = Lab.freshSchema()
          const store = yield* Lab.store(schema)
          yield* all(many(2), (n) => store.create(fresh(n)))
          yield* Lab.sql(
            `UPDATE ${schema}.operation SET operation = '{"format":7}', written = gen_random_uuid() WHERE id = '${guid(1)}'`
          )
          assert.include((yield* Effect.flip(store.get(guid(1)))).detail, guid(1))
          for (const newestFirst of [true, false]) {
            const page = yield* store.list({ states: [], limit: 1, newestFirst, after: null })
            assert.deepStrictEqual(
              page.map(({ operation }) => operation.id),
              [guid(2)]
            )
          }
          assert.deepStrictEqual(
            (yield* store.holding).map(({ operation }) => operation.id),
            [guid(2)]
          )
          assert.deepStrictEqual(
            (yield* store.unreadable).map(({ holds, id, state }) => [id, state, holds]),
            [[guid(1), "Running", true]]
          )
          yield* store.heartbeat("w1", 30_000)
          assert.deepStrictEqual(
            (yield* store.claim("w1", 1)).concat(yield* store.claim("w1", 1)).map(({ operation }) => operation.id),
            [guid(2)]
          )
          assert.deepStrictEqual(yield* Lab.sql(`SELECT owner FROM ${schema}.operation WHERE id = '${guid(1)}'`), [
            { owner: null }
          ])
        })
      )
    })

    it.live("finds pages, claims and heartbeats by an index among many", () =>
      Effect.gen(function* () {
        const schema = Lab.freshSchema()
        const store = yield* Lab.store(schema)
        yield* Lab.sql(`
        INSERT INTO ${schema}.operation (id, operation, state, partition_id, version, written, epoch, received_at, ended_at,
          not_before, holds, standing, urgency)
        SELECT 'x' || n, '{}', (ARRAY['Completed', 'Faulted'])[1 + n % 2], 'p', 1, gen_random_uuid(), 0, n, n, 0, false, false, 2
        FROM generate_series(1, 20000) n;
        ANALYZE ${schema}.operation`)
        yield* store.create(fresh(1))
        const page = (state: string) =>
          `(SELECT * FROM ${schema}.operation WHERE state = '${state}' AND sequence > 5 ORDER BY sequence LIMIT 100)`
        const pages = yield* plan(`${page("Running")} UNION ALL ${page("Faulted")} ORDER BY sequence LIMIT 100`)
        assert.include(pages, "operation_by_state")
        assert.notInclude(pages, "Seq Scan")
        const owned = yield* plan(`SELECT id FROM ${schema}.operation WHERE holds AND owner = 'w1'`)
        assert.match(owned, /operation_by_owner|operation_by_subject|operation_to_do/)
        const due = yield* plan(
          `SELECT id FROM ${schema}.operation WHERE holds AND owner IS NULL ORDER BY urgency, sequence LIMIT 5`
        )
        assert.notInclude(due, "Seq Scan")
        const rivals = yield* plan(
          `SELECT id FROM ${schema}.operation WHERE holds AND partition_id = ANY(ARRAY['p']) UNION ALL
             SELECT id FROM ${schema}.operation WHERE standing AND NOT shares AND partition_id <> ALL(ARRAY['p'])`
        )
        assert.include(rivals, "operation_by_subject")
        assert.include(rivals, "operation_exclusive")
        assert.strictEqual(
          (yield* store.list({ states: ["Running"], limit: 100, newestFirst: true, after: null })).length,
          1
        )
      })
    )
  }
)
