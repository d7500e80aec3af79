/** How long we wait for an answer follows from the answers before it. */
import { assert, describe, it } from "@effect/vitest"
import { type Host, HostError } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as OpenQuestion from "../src/OpenQuestion.ts"
import * as PostgresProcess from "../src/PostgresProcess.ts"
import * as Patience from "../src/Patience.ts"

const patience = () => Patience.make({ floor: 800, ceiling: 4000 })

describe("patience", () => {
  it("is the floor while answers are quick, or none came", () => {
    const one = patience()
    assert.strictEqual(one.within(), 800)
    one.took(40, 40)
    assert.strictEqual(one.within(), 800)
  })

  it("grows with a slow answer, up to the ceiling, and is forgotten once answers are quick again", () => {
    const one = patience()
    one.took(500, 500)
    assert.strictEqual(one.within(), 1500)
    one.took(3000, 9000)
    assert.strictEqual(one.within(), 4000)
    for (let quick = 0; quick < 7; quick++) one.took(10, 9999)
    assert.strictEqual(one.within(), 4000)
    one.took(10, 9999)
    assert.strictEqual(one.within(), 800)
  })

  it("learns nothing from what stood still for longer than anybody waits", () => {
    const one = patience()
    one.took(30_000, 30_000)
    assert.strictEqual(one.within(), 800)
    one.excuse(31_000)
    one.took(3000, 32_000)
    assert.strictEqual(one.within(), 800)
    one.took(500, 33_000)
    assert.strictEqual(one.within(), 1500)
  })
})

describe("a process that was not found", () => {
  const sought = { dataDirectory: "/data", configured: "", addresses: ["127.0.0.1:5432"], backend: 1 }
  const locatedBy = (run: Host["run"]) => PostgresProcess.locate({ label: "h", run }, sought, 100)

  it.effect("was not told in time where its host gave no answer", () =>
    Effect.gen(function* () {
      const detail = "no answer within 100 ms"
      const lost = new HostError({ host: "h", reason: "LostAnswer", detail })
      assert.deepStrictEqual(yield* locatedBy(() => Effect.fail(lost)), {
        process: null,
        problem: `host h did not answer in time (${detail}; it may be busy): try again`,
        untold: "Late"
      })
    })
  )

  it.effect("is not told at all where its host cannot", () =>
    Effect.gen(function* () {
      const perlless = { stdout: "perlless\n", stderr: "", exitCode: 0 }
      assert.deepStrictEqual(yield* locatedBy(() => Effect.succeed(perlless)), {
        process: null,
        problem:
          "host h cannot tell: the host has no perl, by which servers are found: install its package perl-base, or perl",
        untold: "Never"
      })
    })
  )
})

describe("a question that is open", () => {
  it.effect("tells a patience that is no whole number in whole milliseconds", () =>
    Effect.gen(function* () {
      const ask = yield* OpenQuestion.make<never, string>(Effect.never, {
        giveUp: () => 1000,
        late: (after) => `${after} ms`
      })
      const asking = yield* Effect.forkChild(Effect.flip(ask(30.06)))
      yield* TestClock.adjust(31)
      assert.strictEqual(yield* Fiber.join(asking), "30 ms")
    }).pipe(Effect.scoped)
  )
})
