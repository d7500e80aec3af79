/**
 * The laws of the port `OperationStore`, for every implementation. Call `operationStoreContract` with a layer that
 * gives a fresh, empty store each time it is built. The store's own clock counts the leases: a store under `TestClock`
 * passes `adjust` as `pass`, and a store with a clock of its own really waits.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import { advance, type Event, make, type Operation } from "@inquorate/core/Operation"
import { type Elsewhere, OperationStore, type StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { PlannedFence } from "@inquorate/core/Plan"

/** How a suite builds the store and lets the store's clock pass. */
export interface OperationStoreContractOptions {
  /** Lets this many milliseconds pass on the store's clock. */
  readonly pass: (millis: number) => Effect.Effect<void>
  /** A layer of a fresh store that refuses a create when `bound` operations are live. */
  readonly bounded: (bound: number) => Layer.Layer<OperationStore, StoreError>
  /** Which of the laws to register, by their titles; all where it is not given. */
  readonly isChosen?: (title: string) => boolean
}

/** Registers the laws of the port as tests of one implementation. */
export const operationStoreContract = (
  name: string,
  layer: Layer.Layer<OperationStore, StoreError>,
  options: OperationStoreContractOptions
): void => {
  const law: Law = (title, body, store = layer) => {
    if (options.isChosen?.(title) ?? true) it.effect(title, () => Effect.provide(body, store))
  }
  describe(`${name} keeps the laws of OperationStore`, () => {
    creationLaws(law, options)
    listLaws(law)
    textLaws(law)
    writeLaws(law)
    leaseLaws(law, options)
    pruneLaws(law)
  })
}

// --- internal ---

type Law = (
  title: string,
  body: Effect.Effect<void, StoreError, OperationStore>,
  store?: Layer.Layer<OperationStore, StoreError>
) => void

const lease = 2500

const fence: PlannedFence = {
  member: "s1",
  node: "node-1",
  injector: "pause",
  grade: "Keeper",
  process: { host: "local", pid: 4711, startTime: "123456", executable: "/bin/server", dataDirectory: "/data/s1" }
}

const guid = (n: number, kind = 0): string =>
  `${kind.toString(16).padStart(8, "0")}-0000-4000-8000-${n.toString(16).padStart(12, "0")}`

const fresh = (n: number, at: number, partition = n): Operation =>
  make(
    guid(n),
    {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/orders/quorum",
      partitionId: guid(partition, 1),
      mode: "QuorumReplicas",
      hold: 5000
    },
    at
  )

const stopOf = (n: number, at: number, nodeName = `node-${n}`): Operation =>
  make(guid(n), { kind: "NodeTransition", transition: "Stop", nodeName, instanceId: "1", duration: 5000 }, at)

const play = (operation: Operation, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((state, event) => Result.getOrThrow(advance(state, event)), operation)

const ordered = (operation: Operation, at: number): Operation =>
  play(operation, { _tag: "Taken", at }, { _tag: "FencesOrdered", at, fences: [fence] })

const cancelled = (operation: Operation, at: number): Operation =>
  play(operation, { _tag: "CancelRequested", at, force: false })

const forced = (operation: Operation, at: number): Operation =>
  play(cancelled(ordered(operation, at), at), { _tag: "CancelRequested", at, force: true })

const note = (text: string, at = 1): EvidenceEntry => ({
  at,
  monotonic: at,
  worker: "w1",
  fact: { _tag: "Noted", text }
})

const texts = (entries: ReadonlyArray<EvidenceEntry>): ReadonlyArray<string> =>
  entries.map(({ fact }) => (fact._tag === "Noted" ? fact.text : fact._tag))

const ids = (stored: ReadonlyArray<Stored>): ReadonlyArray<string> => stored.map(({ operation }) => operation.id)

const reasonOf = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: (error) => error.reason, onSuccess: () => "Success" })

const creationLaws = (law: Law, options: OperationStoreContractOptions): void => {
  law(
    "an id is taken once, and what was stored first stays",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const first = fresh(1, 10)
      assert.strictEqual(yield* store.create(first), "Created")
      assert.strictEqual(yield* store.create({ ...first, receivedAt: 99 }), "Duplicate")
      const stored = yield* store.get(first.id)
      assert.deepStrictEqual(stored?.operation, first)
      assert.strictEqual(stored?.owner, null)
      assert.strictEqual(yield* store.get(guid(2)), null)
    })
  )
  law(
    "of many simultaneous creates with one id exactly one is Created",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const answers = yield* Effect.forEach(Array.from({ length: 20 }), () => store.create(fresh(1, 10)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(answers.filter((answer) => answer === "Created").length, 1)
    })
  )
  law(
    "a create beyond the bound is Full, a known id is still Duplicate, and an end makes room",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 10))
      yield* store.create(fresh(2, 10))
      assert.strictEqual(yield* reasonOf(store.create(fresh(3, 10))), "Full")
      assert.strictEqual(yield* store.create(fresh(1, 10)), "Duplicate")
      const stored = yield* store.get(guid(1))
      yield* store.save(stored!, cancelled(stored!.operation, 20), [], null)
      assert.strictEqual(yield* store.create(fresh(3, 10)), "Created")
    }),
    options.bounded(2)
  )
  law(
    "of many, one after another and at once, as many are taken as the bound says",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const take = (n: number) => Effect.isSuccess(store.create(fresh(n, 10)))
      const numbers = (from: number) => Array.from({ length: 30 }, (_, index) => from + index)
      const first = yield* Effect.forEach(numbers(1), take)
      const second = yield* Effect.forEach(numbers(31), take, { concurrency: "unbounded" })
      assert.strictEqual([...first, ...second].filter((taken) => taken).length, 40)
    }),
    options.bounded(40)
  )
}

const listLaws = (law: Law): void => {
  law(
    "lists go by the order of receipt, in pages, both ways",
    Effect.gen(function* () {
      const store = yield* OperationStore
      // Neither ids nor times follow the order of receipt, so only that order can explain the answer.
      for (const n of [5, 3, 9, 1, 7]) yield* store.create(fresh(n, 100 - n))
      const page = (newestFirst: boolean, after: number | null, limit: number) =>
        Effect.map(store.list({ states: [], limit, newestFirst, after: after === null ? null : guid(after) }), ids)
      assert.deepStrictEqual(
        yield* page(false, null, 10),
        [5, 3, 9, 1, 7].map((n) => guid(n))
      )
      assert.deepStrictEqual(
        yield* page(false, 3, 2),
        [9, 1].map((n) => guid(n))
      )
      assert.deepStrictEqual(
        yield* page(true, null, 2),
        [7, 1].map((n) => guid(n))
      )
      assert.deepStrictEqual(
        yield* page(true, 1, 9),
        [9, 3, 5].map((n) => guid(n))
      )
      assert.deepStrictEqual(yield* page(true, 5, 9), [])
    })
  )
  law(
    "a list takes only the asked states, merged in the order of receipt",
    Effect.gen(function* () {
      const store = yield* OperationStore
      for (const n of [1, 2, 3, 4]) yield* store.create(fresh(n, 10))
      const change = (n: number, to: (operation: Operation) => Operation) =>
        Effect.flatMap(store.get(guid(n)), (stored) => store.save(stored!, to(stored!.operation), [], null))
      yield* change(1, (operation) => cancelled(operation, 20))
      yield* change(3, (operation) => forced(operation, 20))
      const listed = (...states: Parameters<typeof store.list>[0]["states"]) =>
        Effect.map(store.list({ states, limit: 10, newestFirst: false, after: null }), ids)
      assert.deepStrictEqual(yield* listed("Cancelled"), [guid(1)])
      assert.deepStrictEqual(yield* listed("ForceCancelled", "Cancelled"), [guid(1), guid(3)])
      assert.deepStrictEqual(yield* listed("Running"), [guid(2), guid(4)])
      assert.deepStrictEqual(yield* listed("Completed"), [])
    })
  )
  law(
    "holding gives what lives and what left a residue, nothing else",
    Effect.gen(function* () {
      const store = yield* OperationStore
      for (const n of [1, 2, 3]) yield* store.create(fresh(n, 10))
      const first = yield* store.get(guid(1))
      yield* store.save(first!, cancelled(first!.operation, 20), [], null)
      const second = yield* store.get(guid(2))
      const residue = yield* store.save(second!, forced(second!.operation, 20), [], null)
      assert.deepStrictEqual(ids(yield* store.holding), [guid(2), guid(3)])
      yield* store.save(residue, play(residue.operation, { _tag: "ResidueSwept", at: 30 }), [], null)
      assert.deepStrictEqual(ids(yield* store.holding), [guid(3)])
    })
  )
  law(
    "holding looked at again shows what was written and claimed since, at its version",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const seen = Effect.map(store.holding, (all) =>
        all.map(({ epoch, operation, owner, version }) => ({ id: operation.id, owner, epoch, version }))
      )
      yield* store.create(fresh(1, 0))
      assert.deepStrictEqual(ids(yield* store.holding), [guid(1)])
      yield* store.create(fresh(2, 0))
      yield* store.heartbeat("a", 10_000)
      const claimed = yield* store.claim("a", 1)
      assert.deepStrictEqual(yield* seen, [
        { id: guid(1), owner: "a", epoch: claimed[0]!.epoch, version: claimed[0]!.version },
        { id: guid(2), owner: null, epoch: 0, version: 1 }
      ])
      // A write that fails leaves nothing behind.
      const stale = store.save({ ...claimed[0]!, version: 99 }, cancelled(claimed[0]!.operation, 20), [], null)
      assert.isTrue(Result.isFailure(yield* Effect.result(stale)))
      assert.deepStrictEqual(ids(yield* store.holding), [guid(1), guid(2)])
      yield* store.release("a")
      assert.deepStrictEqual(
        (yield* seen).map(({ owner }) => owner),
        [null, null]
      )
    })
  )
  law(
    "rivals are what holds the same partition or node, and what stands elsewhere as far as it was asked for",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const standing = (n: number, operation: Operation) =>
        Effect.gen(function* () {
          yield* store.create(operation)
          const stored = (yield* store.get(guid(n)))!
          yield* store.save(stored, ordered(stored.operation, 20), [], null)
        })
      yield* standing(1, fresh(1, 10))
      yield* store.create(fresh(2, 10, 1))
      yield* standing(3, fresh(3, 10))
      yield* standing(4, stopOf(4, 10))
      yield* store.create(fresh(5, 10))
      const rivals = (subject: string, elsewhere: Elsewhere) => Effect.map(store.rivals(subject, elsewhere), ids)
      assert.deepStrictEqual(yield* rivals(guid(1, 1), "None"), [guid(1), guid(2)])
      assert.deepStrictEqual(new Set(yield* rivals(guid(1, 1), "Exclusive")), new Set([guid(1), guid(2), guid(4)]))
      assert.deepStrictEqual(
        new Set(yield* rivals(guid(1, 1), "Standing")),
        new Set([guid(1), guid(2), guid(3), guid(4)])
      )
      assert.deepStrictEqual(yield* rivals(guid(9, 1), "None"), [])
      // The store sees what was written since the last look, and an operation that has ended is no rival any more.
      const second = (yield* store.get(guid(2)))!
      yield* store.save(second, cancelled(second.operation, 30), [], null)
      assert.deepStrictEqual(yield* rivals(guid(1, 1), "None"), [guid(1)])
      const stop = (yield* store.get(guid(4)))!
      yield* store.save(stop, play(stop.operation, { _tag: "FencesArmed", at: 31 }), [], null)
      assert.deepStrictEqual(yield* rivals(guid(1, 1), "Exclusive"), [guid(1)])
    })
  )
  law(
    "a census counts what holds its partition, what waits apart from what was begun",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const counted = Effect.map(store.census, (tallies) =>
        tallies.map(({ count, state, waiting }) => `${count} ${state}${waiting ? " waiting" : ""}`).sort()
      )
      assert.deepStrictEqual(yield* counted, [])
      for (const n of [1, 2, 3, 4]) yield* store.create(fresh(n, 10))
      const first = (yield* store.get(guid(1)))!
      yield* store.save(first, play(first.operation, { _tag: "Taken", at: 11 }), [], null)
      const second = (yield* store.get(guid(2)))!
      yield* store.save(second, forced(second.operation, 20), [], null)
      assert.deepStrictEqual(yield* counted, ["1 ForceCancelled", "1 Running", "2 Running waiting"])
    })
  )
}

const textLaws = (law: Law): void => {
  law(
    "evidence is given as it was told, whatever a text of it is made of",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.heartbeat("w1", lease)
      const [claimed] = yield* store.claim("w1", 1)
      const told = [
        '"',
        "\\",
        '\\"',
        "{a,b}",
        "NULL",
        "",
        "\n\r\t",
        "\u0000",
        "\ud800",
        "\u2028",
        "\u007f",
        "ß€😀",
        "$1; --'"
      ]
      yield* store.append(
        guid(1),
        told.map((text) => note(text)),
        { worker: "w1", epoch: claimed!.epoch }
      )
      assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 0)), told)
    })
  )
}

const writeLaws = (law: Law): void => {
  law(
    "a save replaces the operation and appends its evidence together, and hands back the new version",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 10))
      const stored = (yield* store.get(guid(1)))!
      const next = play(stored.operation, { _tag: "Taken", at: 11 })
      const saved = yield* store.save(stored, next, [note("a"), note("b")], null)
      assert.isAbove(saved.version, stored.version)
      assert.deepStrictEqual(saved, yield* store.get(guid(1)))
      assert.deepStrictEqual(saved.operation, next)
      assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 0)), ["a", "b"])
    })
  )
  law(
    "a save from an old version is a Conflict that leaves no evidence",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 10))
      const stored = (yield* store.get(guid(1)))!
      yield* store.save(stored, play(stored.operation, { _tag: "Taken", at: 11 }), [], null)
      assert.strictEqual(yield* reasonOf(store.save(stored, stored.operation, [note("lost")], null)), "Conflict")
      assert.deepStrictEqual(yield* store.evidence(guid(1), 0), [])
    })
  )
  law(
    "of two simultaneous saves of one version exactly one wins, and one that fails spoils no other",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 10))
      yield* store.create(fresh(2, 10))
      const one = (yield* store.get(guid(1)))!
      const two = (yield* store.get(guid(2)))!
      const taken = (stored: Stored, text: string) =>
        reasonOf(store.save(stored, play(stored.operation, { _tag: "Taken", at: 11 }), [note(text)], null))
      const answers = yield* Effect.all([taken(one, "first"), taken(one, "second"), taken(two, "other")], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual([...answers].sort(), ["Conflict", "Success", "Success"])
      assert.strictEqual(answers[2], "Success")
      assert.strictEqual((yield* store.evidence(guid(1), 0)).length, 1)
    })
  )
  law(
    "evidence is given in the order it was stored, from where it was asked",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.heartbeat("w1", lease)
      const [claimed] = yield* store.claim("w1", 1)
      const as = { worker: "w1", epoch: claimed!.epoch }
      // The moments run backward here: the order of storing counts.
      yield* store.append(guid(1), [note("a", 9), note("b", 8)], as)
      yield* store.append(guid(1), [note("c", 7)], as)
      assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 0)), ["a", "b", "c"])
      assert.deepStrictEqual(texts(yield* store.evidence(guid(1), 2)), ["c"])
      assert.deepStrictEqual(yield* store.evidence(guid(1), 3), [])
      assert.strictEqual((yield* store.get(guid(1)))!.version, claimed!.version)
    })
  )
  law(
    "a second operation whose fences would stand on one partition is a Conflict",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 10, 7))
      yield* store.create(fresh(2, 10, 7))
      const one = (yield* store.get(guid(1)))!
      const two = (yield* store.get(guid(2)))!
      const answers = yield* Effect.all(
        [one, two].map((stored) => reasonOf(store.save(stored, ordered(stored.operation, 20), [], null))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([...answers].sort(), ["Conflict", "Success"])
    })
  )
  law(
    "a second transition of one node whose fences would stand is a Conflict, and one of another node is none",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const stops = [stopOf(1, 10, "node-1"), stopOf(2, 10, "node-1"), stopOf(3, 10, "node-2")]
      yield* Effect.forEach(stops, store.create, { discard: true })
      const answers = yield* Effect.forEach(stops, (operation) =>
        Effect.flatMap(store.get(operation.id), (stored) =>
          reasonOf(store.save(stored!, ordered(operation, 20), [], null))
        )
      )
      assert.deepStrictEqual(answers, ["Success", "Conflict", "Success"])
      // A stop that was carried out stands in nobody's way: its fences end by themselves.
      const first = (yield* store.get(guid(1)))!
      yield* store.save(first, play(first.operation, { _tag: "FencesArmed", at: 21 }), [], null)
      const second = (yield* store.get(guid(2)))!
      assert.strictEqual(yield* reasonOf(store.save(second, ordered(second.operation, 22), [], null)), "Success")
      assert.deepStrictEqual((yield* store.get(guid(1)))!.operation.stage._tag, "Completed")
    })
  )
  law(
    "changes names what was created, saved and appended to",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const heard = yield* Effect.forkChild(
        store.changes.pipe(
          Stream.filter(({ id }) => id === guid(1)),
          Stream.take(3),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      yield* store.create(fresh(1, 10))
      const stored = (yield* store.get(guid(1)))!
      yield* store.save(stored, play(stored.operation, { _tag: "Taken", at: 11 }), [], null)
      yield* store.heartbeat("w", lease)
      const [{ epoch } = { epoch: 0 }] = yield* store.claim("w", 1)
      yield* store.append(guid(1), [note("mine")], { worker: "w", epoch })
      // A change by the owner names the owner, so that it knows its own writes.
      assert.deepStrictEqual(
        [...(yield* Fiber.join(heard))].map(({ by }) => by),
        [null, null, "w"]
      )
    })
  )
}

const leaseLaws = (law: Law, options: OperationStoreContractOptions): void => {
  law(
    "a claim takes what nobody owns, undone first, then begun, then oldest, never more than asked",
    Effect.gen(function* () {
      const store = yield* OperationStore
      for (const n of [1, 2, 3, 4]) yield* store.create(fresh(n, 0))
      const change = (n: number, to: (operation: Operation) => Operation) =>
        Effect.flatMap(store.get(guid(n)), (stored) => store.save(stored!, to(stored!.operation), [], null))
      yield* change(3, (operation) => play(operation, { _tag: "Taken", at: 1 }))
      yield* change(4, (operation) => cancelled(ordered(operation, 1), 1))
      yield* store.heartbeat("w1", lease)
      assert.deepStrictEqual(
        ids(yield* store.claim("w1", 3)),
        [4, 3, 1].map((n) => guid(n))
      )
      assert.deepStrictEqual(ids(yield* store.claim("w1", 3)), [guid(2)])
      assert.deepStrictEqual(yield* store.claim("w1", 3), [])
    })
  )
  law(
    "a claim leaves what the worker does not reach to others, and it keeps nothing behind it waiting",
    Effect.gen(function* () {
      const store = yield* OperationStore
      for (const n of [1, 2, 3]) yield* store.create(fresh(n, 0))
      yield* store.heartbeat("w1", 10 * lease)
      yield* store.heartbeat("w2", 10 * lease)
      const claimAll = Effect.gen(function* () {
        const found = yield* store.claim("w1", 1, ({ id }) => id !== guid(1))
        return [...found, ...(yield* store.claim("w1", 2, ({ id }) => id !== guid(1)))]
      })
      assert.deepStrictEqual(ids(yield* claimAll), [guid(2), guid(3)])
      const left = (yield* store.get(guid(1)))!
      assert.deepStrictEqual([left.owner, left.epoch], [null, 0])
      assert.deepStrictEqual(ids(yield* store.claim("w2", 1)), [guid(1)])
    })
  )
  law(
    "what is not due yet is not claimed",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const now = yield* store.now
      yield* store.create({ ...fresh(1, now), notBefore: now + 1000 })
      yield* store.heartbeat("w1", 10 * lease)
      const early = yield* store.claim("w1", 1)
      if ((yield* store.now) < now + 1000) assert.deepStrictEqual(early, [], "it was not due yet")
      yield* options.pass(1100)
      assert.deepStrictEqual(ids([...early, ...(yield* store.claim("w1", 1))]), [guid(1)])
    })
  )
  law(
    "what a wrong clock says is due in an hour is claimed now, fresh or tried before",
    Effect.gen(function* () {
      const store = yield* OperationStore
      const later = (yield* store.now) + 3_600_000
      yield* store.create({ ...fresh(1, later), notBefore: later })
      yield* store.create({ ...fresh(2, 0), notBefore: later })
      yield* store.heartbeat("w1", 10 * lease)
      assert.deepStrictEqual(ids(yield* store.claim("w1", 2)), [guid(1), guid(2)])
    })
  )
  law(
    "a claim raises the epoch, and the old owner is Fenced in every write",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.heartbeat("w1", lease)
      const [mine] = yield* store.claim("w1", 1)
      assert.strictEqual(mine!.owner, "w1")
      yield* store.heartbeat("w2", 10 * lease)
      assert.deepStrictEqual(yield* store.claim("w2", 1), [])
      yield* options.pass(lease + 100)
      const [theirs] = yield* store.claim("w2", 1)
      assert.strictEqual(theirs!.owner, "w2")
      assert.isAbove(theirs!.epoch, mine!.epoch)
      const next = play(mine!.operation, { _tag: "Taken", at: 2 })
      const as = { worker: "w1", epoch: mine!.epoch }
      assert.strictEqual(yield* reasonOf(store.save(mine!, next, [note("late")], as)), "Fenced")
      assert.strictEqual(yield* reasonOf(store.save(theirs!, next, [note("late")], as)), "Fenced")
      assert.strictEqual(yield* reasonOf(store.append(guid(1), [note("late")], as)), "Fenced")
      assert.strictEqual(
        yield* reasonOf(store.append(guid(1), [note("late")], { worker: "w2", epoch: mine!.epoch })),
        "Fenced"
      )
      assert.deepStrictEqual(yield* store.evidence(guid(1), 0), [])
      assert.strictEqual(
        yield* reasonOf(store.save(theirs!, next, [note("mine")], { worker: "w2", epoch: theirs!.epoch })),
        "Success"
      )
    })
  )
  law(
    "a heartbeat renews the lease and names what the worker owns with version and epoch",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.create(fresh(2, 0))
      const before = yield* store.now
      const first = yield* store.heartbeat("w1", lease)
      assert.isAtLeast(first.lease.expires, before + lease)
      assert.deepStrictEqual(first.owned, [])
      const claimed = yield* store.claim("w1", 2)
      yield* store.heartbeat("w2", 10 * lease)
      yield* options.pass(lease - 1000)
      yield* store.heartbeat("w1", lease)
      yield* options.pass(lease - 1000)
      assert.deepStrictEqual(yield* store.claim("w2", 2), [])
      const cancelledOne = yield* store.save(claimed[0]!, cancelled(claimed[0]!.operation, 3), [], null)
      const beaten = yield* store.heartbeat("w1", lease)
      // The operation that ended holds nothing, so nothing is left of it to own.
      assert.isAbove(cancelledOne.version, claimed[0]!.version)
      assert.deepStrictEqual(beaten.owned, [{ id: guid(2), version: claimed[1]!.version, epoch: claimed[1]!.epoch }])
    })
  )
  law(
    "a residue is owned and claimed like what lives, until it is swept",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      const stored = (yield* store.get(guid(1)))!
      yield* store.save(stored, forced(stored.operation, 1), [], null)
      yield* store.heartbeat("w1", lease)
      const [claimed] = yield* store.claim("w1", 1)
      assert.strictEqual(claimed?.operation.stage._tag, "Failed")
      assert.strictEqual((yield* store.heartbeat("w1", lease)).owned.length, 1)
      const as = { worker: "w1", epoch: claimed!.epoch }
      yield* store.save(claimed!, play(claimed!.operation, { _tag: "ResidueSwept", at: 5 }), [], as)
      assert.deepStrictEqual((yield* store.heartbeat("w1", lease)).owned, [])
    })
  )
  law(
    "released operations are free at once, and their next owner has a higher epoch",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.heartbeat("w1", lease)
      const [mine] = yield* store.claim("w1", 1)
      yield* store.release("w1")
      const as = { worker: "w1", epoch: mine!.epoch }
      assert.strictEqual(yield* reasonOf(store.append(guid(1), [note("late")], as)), "Fenced")
      yield* store.heartbeat("w2", lease)
      const [theirs] = yield* store.claim("w2", 1)
      assert.isAbove(theirs!.epoch, mine!.epoch)
    })
  )
  law(
    "a release is told like any change, so that others claim at once",
    Effect.gen(function* () {
      const store = yield* OperationStore
      yield* store.create(fresh(1, 0))
      yield* store.heartbeat("w1", lease)
      yield* store.claim("w1", 1)
      const heard = yield* Effect.forkChild(
        Stream.runCollect(
          Stream.take(
            Stream.map(store.changes, ({ id }) => id),
            1
          )
        ),
        {
          startImmediately: true
        }
      )
      yield* Effect.yieldNow
      yield* store.release("w1")
      assert.deepStrictEqual([...(yield* Fiber.join(heard))], [guid(1)])
    })
  )
}

const pruneLaws = (law: Law): void => {
  law(
    "a prune removes the oldest ended beyond the count and the age, with their evidence, and nothing that holds",
    Effect.gen(function* () {
      const store = yield* OperationStore
      for (const n of [1, 2, 3, 4, 5]) yield* store.create(fresh(n, 0))
      const end = (n: number, to: (operation: Operation) => Operation) =>
        Effect.flatMap(store.get(guid(n)), (stored) => store.save(stored!, to(stored!.operation), [note("end")], null))
      yield* end(1, (operation) => cancelled(operation, 300))
      yield* end(2, (operation) => cancelled(operation, 100))
      yield* end(3, (operation) => cancelled(operation, 200))
      yield* end(4, (operation) => forced(operation, 50))
      assert.strictEqual(yield* store.prune(3, 1000), 0)
      assert.strictEqual(yield* store.prune(0, 100), 0)
      assert.strictEqual(yield* store.prune(2, 1000), 1)
      assert.strictEqual(yield* store.get(guid(2)), null)
      assert.deepStrictEqual(yield* store.evidence(guid(2), 0), [])
      assert.strictEqual(yield* store.prune(0, 1000), 2)
      const left = yield* store.list({ states: [], limit: 9, newestFirst: false, after: null })
      assert.deepStrictEqual(ids(left), [guid(4), guid(5)])
      assert.strictEqual(yield* store.create(fresh(2, 0)), "Created")
    })
  )
}
