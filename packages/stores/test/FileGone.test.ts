/**
 * Goal: a store whose file, log or lock is gone, replaced or cut while it is in use accepts nothing more, and no second
 * worker comes in by another name or past a lock that was removed. Method: a real file, and what people do to files.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { make } from "@inquorate/core/Operation"
import * as SqliteStore from "@inquorate/stores/SqliteStore"

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-gone-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
)

const operation = (n: number) =>
  make(
    `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`,
    {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/orders/quorum",
      partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
      mode: "QuorumReplicas",
      hold: 5000
    },
    1000
  )

/** A store in use, with something in its log. */
const inUse = Effect.gen(function* () {
  const file = path.join(yield* directory, "store.db")
  const told: Array<string> = []
  const store = yield* SqliteStore.make({ path: file, onLost: (detail) => void told.push(detail) })
  yield* store.heartbeat("w1", 2500)
  yield* store.create(operation(1))
  return { file, store, told }
})

const mishaps: ReadonlyArray<readonly [string, string, (file: string) => void]> = [
  ["is removed", "its file was removed", (file) => fs.rmSync(file)],
  ["is moved away, as logrotate does", "its file was removed", (file) => fs.renameSync(file, `${file}.1`)],
  ["is cut to nothing", "its file was cut", (file) => fs.truncateSync(file)],
  [
    "is replaced by a copy",
    "its file was replaced",
    (file) => {
      fs.copyFileSync(file, `${file}.copy`)
      fs.renameSync(`${file}.copy`, file)
    }
  ],
  ["loses its log", "its log (-wal) was removed", (file) => fs.rmSync(`${file}-wal`)],
  ["has its log cut", "its log (-wal) was cut", (file) => fs.truncateSync(`${file}-wal`)],
  ["loses the index of its log", "the index of its log (-shm) was removed", (file) => fs.rmSync(`${file}-shm`)],
  ["loses its lock", "its lock (.lock) was removed", (file) => fs.rmSync(`${file}.lock`)],
  [
    "loses its folder",
    "its file was removed",
    (file) => fs.rmSync(path.dirname(file), { recursive: true, force: true })
  ]
]

describe("a store in use that", () => {
  for (const [title, words, happens] of mishaps) {
    it.effect(`${title} accepts nothing more, and says why`, () =>
      Effect.gen(function* () {
        const { file, store, told } = yield* inUse
        happens(file)
        const refused = yield* Effect.flip(store.create(operation(2)))
        assert.strictEqual(refused.reason, "Fenced")
        assert.include(refused.detail, words)
        assert.include(refused.detail, file)
        // A worker at rest learns it by its next heartbeat.
        assert.strictEqual((yield* Effect.flip(store.heartbeat("w1", 2500))).reason, "Fenced")
        assert.isTrue(told.length > 0 && told.every((detail) => detail.includes(words)))
      })
    )
  }

  it.effect("is only read by others, or grows, goes on", () =>
    Effect.gen(function* () {
      const { file, store } = yield* inUse
      fs.copyFileSync(file, `${file}.backup`)
      fs.copyFileSync(`${file}-wal`, `${file}.backup-wal`)
      for (let n = 2; n < 300; n++) yield* store.create(operation(n))
      // The backup has what was in the log, and is a store of its own.
      const copy = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* TestClock.adjust(10_000)
          const restored = yield* SqliteStore.make({ path: `${file}.backup` })
          return yield* restored.get(operation(1).id)
        })
      )
      assert.deepStrictEqual(copy?.operation, operation(1))
    })
  )
})

describe("a second worker is kept out", () => {
  const refusal = (file: string) =>
    Effect.map(Effect.flip(Effect.scoped(SqliteStore.make({ path: file }))), (error) => error.detail)

  it.effect("under another name of the file", () =>
    Effect.gen(function* () {
      const { file, store } = yield* inUse
      const link = path.join(path.dirname(file), "other.db")
      fs.linkSync(file, link)
      assert.include(yield* refusal(link), "hard links")
      // The first one goes on, whatever other names there are: who comes later is refused.
      assert.strictEqual(yield* store.create(operation(3)), "Created")
      fs.rmSync(link)
      fs.symlinkSync(file, link)
      assert.include(yield* refusal(link), "held by another worker")
      const beside = path.join(path.dirname(file), "beside")
      fs.symlinkSync(path.dirname(file), beside)
      assert.include(yield* refusal(path.join(beside, "store.db")), "held by another worker")
      assert.strictEqual(yield* store.create(operation(2)), "Created")
    })
  )

  it.effect("by a lock that was removed, while the first one's lease lives; the first one ends", () =>
    Effect.gen(function* () {
      const { file, store } = yield* inUse
      fs.rmSync(`${file}.lock`)
      assert.include(yield* refusal(file), "held by another worker")
      assert.strictEqual((yield* Effect.flip(store.create(operation(2)))).reason, "Fenced")
      // Nobody renews the lease any more.
      yield* TestClock.adjust(2500 + 2500)
      const next = yield* SqliteStore.make({ path: file })
      assert.deepStrictEqual((yield* next.get(operation(1).id))?.operation, operation(1))
    })
  )
})
