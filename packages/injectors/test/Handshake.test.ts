/**
 * Goal: over a slow way to a host no deadline comes late. Method: this machine's own shell behind a way that takes its
 * time; the records of the fence tell what the host really did. Handshake.long.test.ts takes more time.
 */
import { describe } from "@effect/vitest"
import * as Bench from "./Bench.ts"
import { deadlineBehind } from "./SlowHost.ts"

Bench.useState()

describe("a host that is slow to answer", () => {
  deadlineBehind(1)
})
