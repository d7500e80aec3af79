/**
 * Goal: the killing campaign itself can still run and still see. Method: its short form, a few blows of each grade on
 * one system. `npm run campaign -- --runs 200` is the long one, and docs/campaign.md tells what it found.
 */
import { assert, describe, it } from "vitest"
import * as Lane from "../campaign/Lane.ts"
import { report } from "../campaign/Report.ts"
import type { Seen } from "../campaign/Run.ts"

const runs = Number(process.env.INQUORATE_CAMPAIGN_RUNS ?? 2)

describe("the killing campaign", () => {
  it("breaks no promise, and sees members stopped", async () => {
    const seen: Array<Seen> = []
    await Lane.run({ system: "etcd", runs, seed: 11, told: (one) => void seen.push(one) })
    process.stdout.write(`${report(seen)}\n`)
    assert.strictEqual(seen.length, runs)
    assert.deepStrictEqual(
      seen.flatMap(({ broken }) => broken),
      []
    )
    assert.isAbove(seen.filter(({ overrun }) => overrun !== null).length, 0, "no member was ever seen stopped")
  }, 600_000)
})
