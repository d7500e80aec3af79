/**
 * The laws of the port `ChaosStore`, for every implementation. Call `chaosStoreContract` with a layer that gives a
 * fresh, empty store each time it is built. The store's own clock counts the leases: a store under `TestClock` passes
 * `adjust` as `pass`, and a store with a clock of its own really waits.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { type ChaosEvent, defaultParameters } from "@inquorate/core/Chaos"
import { advanceChaos, type ChaosState, initialState } from "@inquorate/core/ChaosRun"
import { ChaosStore } from "@inquorate/core/ChaosStore"
import type { StoreError } from "@inquorate/core/OperationStore"
import { formatInstant } from "@inquorate/core/Time"

/** How a suite lets the store's clock pass. */
export interface ChaosStoreContractOptions {
  /** Lets this many milliseconds pass on the store's clock. */
  readonly pass: (millis: number) => Effect.Effect<void>
}

/** Registers the laws of the port as tests of one implementation. */
export const chaosStoreContract = (
  name: string,
  layer: Layer.Layer<ChaosStore, StoreError>,
  options: ChaosStoreContractOptions
): void => {
  const law = (title: string, body: Effect.Effect<void, StoreError, ChaosStore>): void => {
    it.effect(title, () => Effect.provide(body, layer))
  }
  describe(`${name} keeps the laws of ChaosStore`, () => {
    stateLaws(law)
    driverLaws(law, options)
    eventLaws(law)
  })
}

// --- internal ---

type Law = (title: string, body: Effect.Effect<void, StoreError, ChaosStore>) => void

const lease = 2500

const started: ChaosState = Result.getOrThrow(
  advanceChaos(initialState, {
    _tag: "StartAsked",
    at: 1000,
    runId: "00000000-0000-4000-8000-000000000001",
    parameters: { ...defaultParameters, Context: { Map: { "a key": "a 'value'" } } }
  })
).state

const stoppedState: ChaosState = { ...started, run: null, scheduleStopped: true }

const told = (n: number, at = n * 1000): ChaosEvent => ({
  Kind: "Waiting",
  TimeStampUtc: formatInstant(at),
  Reason: `event ${n}`
})

const reasonOf = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: (error) => error.reason, onSuccess: () => "Success" })

const everything = { after: 0, from: null, to: null, limit: 1000 }

const numbersOf = (events: ReadonlyArray<{ readonly event: ChaosEvent }>): ReadonlyArray<string> =>
  events.map(({ event }) => ("Reason" in event ? event.Reason : event.Kind))

const stateLaws = (law: Law): void => {
  law(
    "the first state is the initial one, and what was saved is read again as it was",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      const first = yield* store.read
      assert.deepStrictEqual(first, { state: initialState, version: 0, driver: null, epoch: 0 })
      const saved = yield* store.save(first, started, [told(1)], null)
      assert.strictEqual(saved.version, 1)
      assert.deepStrictEqual(yield* store.read, { state: started, version: 1, driver: null, epoch: 0 })
    })
  )
  law(
    "of two saves of one version the second is a Conflict, and neither its state nor its events are stored",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      const first = yield* store.read
      yield* store.save(first, started, [told(1)], null)
      assert.strictEqual(yield* reasonOf(store.save(first, stoppedState, [told(2)], null)), "Conflict")
      assert.deepStrictEqual((yield* store.read).state, started)
      assert.deepStrictEqual(numbersOf(yield* store.events(everything)), ["event 1"])
    })
  )
  law(
    "of many simultaneous saves exactly one succeeds",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      const first = yield* store.read
      const answers = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, n) => n),
        (n) => reasonOf(store.save(first, started, [told(n)], null)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.filter((answer) => answer === "Success").length, 1)
      assert.strictEqual((yield* store.events(everything)).length, 1)
    })
  )
}

const driverLaws = (law: Law, { pass }: ChaosStoreContractOptions): void => {
  law(
    "one driver at a time: another takes over only when the lease has run out, and fences the first",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      const mine = (yield* store.drive("one", lease))!
      assert.deepStrictEqual([mine.driver, mine.epoch, mine.version], ["one", 1, 0])
      assert.strictEqual(yield* store.drive("two", lease), null)
      assert.strictEqual((yield* store.drive("one", lease))!.epoch, 1)
      const saved = yield* store.save(mine, started, [], { driver: "one", epoch: 1 })
      yield* pass(lease + 100)
      const theirs = (yield* store.drive("two", lease))!
      assert.deepStrictEqual([theirs.driver, theirs.epoch, theirs.state], ["two", 2, started])
      const late = store.save(saved, stoppedState, [told(1)], { driver: "one", epoch: 1 })
      assert.strictEqual(yield* reasonOf(late), "Fenced")
      assert.strictEqual(yield* store.drive("one", lease), null)
      assert.deepStrictEqual(yield* store.events(everything), [])
    })
  )
  law(
    "a right that is given back is free at once, and only its holder can give it back",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      yield* store.drive("one", lease)
      yield* store.release("two")
      assert.strictEqual(yield* store.drive("two", lease), null)
      yield* store.release("one")
      assert.strictEqual((yield* store.drive("two", lease))!.epoch, 2)
    })
  )
  law(
    "a front's save needs no right to drive, and the driver's next save is then a Conflict",
    Effect.gen(function* () {
      const store = yield* ChaosStore
      const mine = (yield* store.drive("one", lease))!
      const saved = yield* store.save(yield* store.read, started, [told(1)], null)
      assert.deepStrictEqual([saved.driver, saved.epoch], ["one", 1])
      assert.strictEqual(yield* reasonOf(store.save(mine, stoppedState, [], { driver: "one", epoch: 1 })), "Conflict")
    })
  )
}

const eventLaws = (law: Law): void => {
  const fill = Effect.gen(function* () {
    const store = yield* ChaosStore
    const first = yield* store.save(
      yield* store.read,
      started,
      [1, 2, 3].map((n) => told(n)),
      null
    )
    yield* store.save(
      first,
      stoppedState,
      [4, 5].map((n) => told(n)),
      null
    )
    return store
  })
  law(
    "events are read in the order they were stored, in pages",
    Effect.gen(function* () {
      const store = yield* fill
      const page = yield* store.events({ ...everything, limit: 2 })
      assert.deepStrictEqual(numbersOf(page), ["event 1", "event 2"])
      const rest = yield* store.events({ ...everything, after: page[1]!.sequence })
      assert.deepStrictEqual(numbersOf(rest), ["event 3", "event 4", "event 5"])
      assert.deepStrictEqual(rest[0]!.event, told(3))
    })
  )
  law(
    "events are taken by their time, both ends included",
    Effect.gen(function* () {
      const store = yield* fill
      const within = yield* store.events({ ...everything, from: 2000, to: 4000 })
      assert.deepStrictEqual(numbersOf(within), ["event 2", "event 3", "event 4"])
      assert.deepStrictEqual(yield* store.events({ ...everything, from: 5001 }), [])
    })
  )
  law(
    "the oldest events go when there are too many",
    Effect.gen(function* () {
      const store = yield* fill
      assert.strictEqual(yield* store.prune(5), 0)
      assert.strictEqual(yield* store.prune(2), 3)
      assert.deepStrictEqual(numbersOf(yield* store.events(everything)), ["event 4", "event 5"])
    })
  )
}
