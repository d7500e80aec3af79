/** Whose patience bounds a hold, and which bounds nobody may set aside. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { describeRefusal, overrideOf, Refusal } from "@inquorate/core/Plan"
import {
  actingWithin,
  canDestroy,
  concerned,
  longestHold,
  mostImpatient,
  Supervisor
} from "@inquorate/core/Supervision"

const supervisor = (patience: number, change: Partial<Supervisor> = {}): Supervisor => ({
  watches: "m0",
  source: "systemd's WatchdogSec of etcd.service",
  patience,
  reaction: "RestartsMember",
  ...change
})

describe("the longest honest hold", () => {
  it("is nobody's where nobody watches", () => {
    assert.isNull(longestHold([]))
    assert.deepStrictEqual(actingWithin(900_000, []), [])
  })

  it("is the patience of whoever acts first, to the millisecond", () => {
    const all = [supervisor(30_000), supervisor(1250), supervisor(20_000)]
    assert.strictEqual(longestHold(all), 1250)
    assert.deepStrictEqual(actingWithin(1250, all), [])
    assert.deepStrictEqual(
      actingWithin(1251, all).map(({ patience }) => patience),
      [1250]
    )
  })

  it("counts whoever fails over only where the member that it watches is taken out", () => {
    const all = [supervisor(30_000), supervisor(1000, { watches: "pg-0", reaction: "DemotesPrimary" })]
    assert.strictEqual(longestHold(concerned(all, ["pg-1", "pg-2"])), 30_000)
    assert.strictEqual(longestHold(concerned(all, ["pg-0", "pg-1"])), 1000)
  })

  it("names of two that act at once the one that can destroy data", () => {
    const rebuilds = supervisor(5000, { watches: "the group", reaction: "DestroysData" })
    assert.strictEqual(mostImpatient([supervisor(5000), rebuilds]), rebuilds)
  })

  it.prop(
    "is the longest within which nobody acts, and who can destroy data comes first beyond it",
    { all: Schema.NonEmptyArray(Supervisor) },
    ({ all }) => {
      const longest = longestHold(all)!
      assert.deepStrictEqual(actingWithin(longest, all), [])
      const acting = actingWithin(longest + 1, all)
      assert.isAbove(acting.length, 0)
      assert.strictEqual(acting.some(canDestroy), canDestroy(acting[0]!))
    }
  )
})

describe("a hold that is longer than its supervisors wait", () => {
  it("may be asked for by name where it only ends early, and the sentence has the exact length", () => {
    const refusal = Refusal.cases.Impatient.make({ supervisor: supervisor(1250), asked: 5000 })
    assert.strictEqual(overrideOf(refusal), "impatient")
    const said = describeRefusal(refusal)
    assert.include(said, "1250 ms at most")
    assert.include(said, "systemd's WatchdogSec of etcd.service")
    assert.include(said, "--override impatient")
  })

  it("is refused whatever is set aside where data can be destroyed", () => {
    const rebuilds = supervisor(60_000, { source: "the operator etcd-operator", reaction: "DestroysData" })
    const refusal = Refusal.cases.Impatient.make({ supervisor: rebuilds, asked: 61_000 })
    assert.isUndefined(overrideOf(refusal))
    assert.notInclude(describeRefusal(refusal), "override")
  })

  it("asks for no shorter one where nobody waits at all", () => {
    const said = (reaction: Supervisor["reaction"]): string =>
      describeRefusal(Refusal.cases.Impatient.make({ supervisor: supervisor(0, { reaction }), asked: 1 }))
    assert.match(said("DestroysData"), / at once\. No hold is short enough for it; nothing sets this aside\.$/)
    assert.match(
      said("RestartsMember"),
      / at once\. No hold is short enough for it, or start with --override impatient/
    )
  })
})
