/**
 * Goal: whatever befalls workers, store, hosts and clocks, every promise is kept at every step, and whoever breaks one is
 * found. Method: a thousand lives, each from a seed, judged by what truly happened; every crash point once, one at a
 * time; and faults planted in store, hosts and engine, each of which must make the simulation fail.
 *
 * `INQUORATE_SEED` and `INQUORATE_RUNS` choose other lives; `pnpm simulate` runs many more, on all cores.
 */
import { assert, describe, it } from "vitest"
import { type Ambush, worthwhile } from "./CrashPoint.ts"
import { planted } from "./Defects.ts"
import { names } from "./Disturbance.ts"
import { run } from "./Run.ts"
import * as Tally from "./Tally.ts"

const base = Number(process.env["INQUORATE_SEED"] ?? 1)
const runs = Number(process.env["INQUORATE_RUNS"] ?? 1000)
const share = 50
/** For a machine that does much else: a share takes two seconds on one that does not. */
const patience = 300_000

describe(`${runs} lives from seed ${base}`, () => {
  const tally = Tally.empty()

  for (let from = base; from < base + runs; from += share) {
    const until = Math.min(from + share, base + runs)
    it(`keep every promise (${from} to ${until - 1})`, { timeout: patience }, () => {
      const part = Tally.empty()
      for (let seed = from; seed < until; seed++) Tally.addRun(part, run(seed))
      Tally.addTally(tally, part)
      assert.strictEqual(Tally.describeFailures(part).join("\n"), "")
    })
  }

  it.runIf(runs >= 500)("met every disturbance and every ending", () => {
    const missed = [
      ...names(),
      "takeover of a hold",
      "another attempt",
      "ghost fenced",
      "fence lifted by sweep"
    ].filter((name) => (tally.counts[name] ?? 0) === 0)
    assert.deepStrictEqual(missed, [])
    assert.deepStrictEqual(Object.keys(tally.endings).sort(), ["Cancelled", "Completed", "Faulted", "ForceCancelled"])
    for (const verb of ["crash", "freeze"]) {
      for (const question of ["save", "prepare", "go", "lift", "tighten", "claim", "heartbeat"]) {
        for (const point of ["sending", "served", "answered"]) {
          assert.isAbove(tally.counts[`${verb} at ${question}, ${point}`] ?? 0, 0, `${verb} at ${question}, ${point}`)
        }
      }
    }
  })
})

describe("a seed", () => {
  it("gives the same life again, to the last step, and another seed another", { timeout: patience }, () => {
    const hashes = new Set<string>()
    for (let seed = base; seed < base + 20; seed++) {
      const once = run(seed, { keepTrace: true })
      const again = run(seed, { keepTrace: true })
      assert.deepStrictEqual(again.trace, once.trace)
      assert.deepStrictEqual([again.hash, again.steps, [...again.counts]], [once.hash, once.steps, [...once.counts]])
      // Whether anybody reads the trace changes nothing.
      assert.strictEqual(run(seed).hash, once.hash)
      hashes.add(once.hash)
    }
    assert.strictEqual(hashes.size, 20)
  })
})

describe("one operation and two workers", () => {
  for (const cut of [{ _tag: "Kill" }, { _tag: "Freeze", span: 2600 }] as const) {
    it(
      `keep every promise whichever point a worker meets a ${cut._tag.toLowerCase()} at`,
      { timeout: patience },
      () => {
        let met = 0
        for (const question of worthwhile) {
          for (const point of ["Sending", "Served", "Answered"] as const) {
            for (let passes = 1; passes <= passesMost; passes++) {
              const only: Ambush = { question, point, passes, cut }
              const { counts, endings, violation } = run(1, { only: { ...only } })
              assert.isNull(violation, `${cut._tag} at the ${passes}. ${question}, ${point}`)
              if (![...counts.keys()].some((what) => what.endsWith(`at ${question}, ${point.toLowerCase()}`))) break
              met++
              assert.strictEqual(
                [...endings.values()].reduce((sum, n) => sum + n, 0),
                1,
                `the ${passes}. ${question}, ${point}`
              )
            }
          }
        }
        assert.isAbove(met, 60)
      }
    )
  }
})

describe("the simulation finds", () => {
  for (const [name, defects] of Object.entries(planted)) {
    it(name, { timeout: patience }, () => {
      let found = null
      for (let seed = 1; found === null && seed <= seedsMost; seed++) {
        const outcome = run(seed, { defects })
        if (outcome.violation !== null) found = outcome
      }
      assert.isNotNull(found, `no violation in ${seedsMost} seeds`)
      const again = run(found!.seed, { defects })
      assert.deepStrictEqual([again.violation, again.hash], [found!.violation, found!.hash])
    })
  }
})

// --- internal ---

/** The most times that one operation comes to one point before the search goes on. */
const passesMost = 12
/** Within so many seeds a planted fault must show. */
const seedsMost = 600
