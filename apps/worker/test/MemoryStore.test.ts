/** The store that an emulator has on a Node without SQLite keeps the laws of both ports. */
import { assert, it } from "@effect/vitest"
import { chaosStoreContract } from "@inquorate/testkit/ChaosStoreContract"
import { operationStoreContract } from "@inquorate/testkit/OperationStoreContract"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../src/MemoryStore.ts"

const pass = (millis: number) => TestClock.adjust(millis)
const bounded = (queueBound: number) => MemoryStore.layer({ queueBound })

operationStoreContract("MemoryStore", bounded(10_000), { pass, bounded })
chaosStoreContract("MemoryStore", bounded(10_000), { pass })

it("is not needed where SQLite is", () => {
  assert.isFalse(MemoryStore.isNeeded())
})
