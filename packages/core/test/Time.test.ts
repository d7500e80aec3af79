import { assert, describe, it } from "@effect/vitest"
import { formatInstant, formatMillis, parseMillis } from "@inquorate/core/Time"

describe("a length of time", () => {
  it("is read with its unit, in seconds without one", () => {
    assert.deepStrictEqual(
      ["5s", "1.5 s", "250ms", "15m", "2h", "7", "0"].map(parseMillis),
      [5000, 1500, 250, 900_000, 7_200_000, 7000, 0]
    )
    for (const wrong of ["", "s", "-5s", "5 days", "1e3", "five", "5s5", "99999999999999999999h"]) {
      assert.isUndefined(parseMillis(wrong), wrong)
    }
  })

  it("is read as it is written", () => {
    const lengths = [0, 340, 5000, 65_500, 123_000, 5_400_000, 72_005_000]
    assert.deepStrictEqual(lengths.map(formatMillis).map(parseMillis), lengths)
  })

  it("is written in the unit a person would choose", () => {
    assert.deepStrictEqual([0, 340, 5000, 65_500, 123_000, 5_400_000, 72_005_000].map(formatMillis), [
      "0 ms",
      "340 ms",
      "5.0 s",
      "65.5 s",
      "2 min 3 s",
      "90 min 0 s",
      "20 h 0 min 5 s"
    ])
  })
})

describe("a moment", () => {
  it("is written as the wire writes it", () => {
    assert.strictEqual(formatInstant(0), "1970-01-01T00:00:00.000Z")
  })
})
