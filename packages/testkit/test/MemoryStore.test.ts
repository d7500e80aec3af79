/**
 * Goal: the store that the simulation and the emulator run on is no easier than the real ones. Method: the contract suites
 * of both ports, and what the shared store adds to them: an id belongs to the newest start under it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import * as MemoryStore from "@inquorate/core/MemoryStore"
import { make as makeOperation } from "@inquorate/core/Operation"
import { chaosStoreContract } from "@inquorate/testkit/ChaosStoreContract"
import { operationStoreContract } from "@inquorate/testkit/OperationStoreContract"

const straight: MemoryStore.Carry = (_, serve) => Effect.suspend(() => Effect.fromResult(serve()))

const database = (queueBound: number) =>
  Clock.clockWith((clock) =>
    Effect.sync(() => MemoryStore.make({ now: () => clock.currentTimeMillisUnsafe(), queueBound }))
  )

const pass = (millis: number) => TestClock.adjust(millis)
const bounded = (queueBound: number) => MemoryStore.layer({ queueBound })

operationStoreContract("MemoryStore", MemoryStore.layer(), { pass, bounded })
chaosStoreContract("MemoryStore", MemoryStore.layer(), { pass })

describe("a worker id on the store in memory", () => {
  it.effect("belongs to the newest start under it: the older one is fenced, and what it owned is free", () =>
    Effect.gen(function* () {
      const made = yield* database(10)
      const older = yield* made.connect("older", straight, () => {})
      const newer = yield* made.connect("newer", straight, () => {})
      yield* older.heartbeat("w1", 2500)
      const id = "00000000-0000-4000-8000-000000000001"
      const request = {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/a/b",
        partitionId: id,
        mode: "QuorumReplicas",
        hold: 1
      } as const
      yield* older.create(makeOperation(id, request, 0))
      const [mine] = yield* older.claim("w1", 1)
      assert.deepStrictEqual((yield* newer.heartbeat("w1", 2500)).owned, [])
      const [theirs] = yield* newer.claim("w1", 1)
      assert.isAbove(theirs!.epoch, mine!.epoch)
      const answers = [
        yield* Effect.result(Effect.asVoid(older.heartbeat("w1", 2500))),
        yield* Effect.result(Effect.asVoid(older.claim("w1", 1))),
        yield* Effect.result(older.append(id, [], { worker: "w1", epoch: mine!.epoch }))
      ]
      assert.deepStrictEqual(
        answers.map((answer) => (Result.isFailure(answer) ? answer.failure.reason : "Success")),
        ["Fenced", "Fenced", "Fenced"]
      )
      // A ghost that gives up gives up nothing that is not its own.
      yield* older.release("w1")
      assert.strictEqual((yield* newer.get(id))?.owner, "w1")
    })
  )
})
