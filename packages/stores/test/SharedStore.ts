/** Operations for the tests of the store on PostgreSQL, and what they ask of it; each test file has a group of its own. */
import { afterAll, assert, beforeAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import { advance, type Event, make, type Operation } from "@inquorate/core/Operation"
import { OperationStore, type StoreError } from "@inquorate/core/OperationStore"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import { operationStoreContract } from "@inquorate/testkit/OperationStoreContract"
import * as Lab from "./postgres-lab.ts"

if (Lab.skip === undefined) {
  beforeAll(Lab.up)
  afterAll(Lab.down)
}

export const guid = (n: number, kind = 0): string =>
  `${kind.toString(16).padStart(8, "0")}-0000-4000-8000-${n.toString(16).padStart(12, "0")}`

export const fresh = (n: number): Operation =>
  make(
    guid(n),
    {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/orders/quorum",
      partitionId: guid(n, 1),
      mode: "QuorumReplicas",
      hold: 5000
    },
    1000
  )

const play = (operation: Operation, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((state, event) => Result.getOrThrow(advance(state, event)), operation)

export const taken = (operation: Operation): Operation => play(operation, { _tag: "Taken", at: 2000 })

export const note = (text: string): EvidenceEntry => ({
  at: 1,
  monotonic: 1,
  worker: "w",
  fact: { _tag: "Noted", text }
})

export const texts = (entries: ReadonlyArray<EvidenceEntry>): ReadonlyArray<string> =>
  entries.map(({ fact }) => (fact._tag === "Noted" ? fact.text : fact._tag))

export const reasonOf = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: ({ reason }) => reason, onSuccess: () => "Success" })

export const many = (count: number, from = 1): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, n) => n + from)

export const all = <A, B, E, R>(items: ReadonlyArray<A>, run: (item: A) => Effect.Effect<B, E, R>) =>
  Effect.forEach(items, run, { concurrency: "unbounded" })

export const order = (operation: Operation): Operation =>
  play(operation, { _tag: "Taken", at: 2000 }, { _tag: "FencesOrdered", at: 2000, fences: [] })

export const plan = (text: string) => Effect.map(Lab.sql(`EXPLAIN ${text}`), (rows) => JSON.stringify(rows))

export const refusalOf = (options: PostgresStore.PostgresStoreOptions) =>
  Effect.scoped(PostgresStore.make(options)).pipe(
    Effect.flip,
    Effect.map(({ detail, reason }) => {
      assert.strictEqual(reason, "Unavailable")
      assert.notInclude(detail, Lab.password())
      assert.notInclude(detail, "sesame")
      return detail
    })
  )

/** What one store hears of changes, as a list that grows. */
export const hear = (store: OperationStore["Service"]) =>
  Effect.gen(function* () {
    const heard: Array<string> = []
    yield* Effect.forkScoped(
      Stream.runForEach(store.changes, ({ id }) => Effect.sync(() => heard.push(id))),
      { startImmediately: true }
    )
    yield* Effect.yieldNow
    return heard
  })

const inSchema = (bound?: number): Layer.Layer<OperationStore, StoreError> =>
  Layer.effect(
    OperationStore,
    Effect.suspend(() => Lab.store(Lab.freshSchema(), bound === undefined ? {} : { queueBound: bound }))
  )

/** The laws that wait for a lease to run out, which a store with a clock of its own really does. */
const isSlow = (title: string): boolean => /^a claim raises the epoch|^a heartbeat renews the lease/.test(title)

/** Registers those laws of the port that are slow here, or those that are not. */
export const laws = (slow: boolean): void =>
  operationStoreContract("PostgresStore", inSchema(), {
    pass: (millis) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis))),
    bounded: inSchema,
    isChosen: (title) => isSlow(title) === slow
  })
