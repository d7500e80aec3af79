import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type ChaosSchedule, daysOfWeek, defaultParameters } from "@inquorate/core/Chaos"
import {
  activityAt,
  adhocSchedule,
  emptyDescription,
  readDescription,
  scheduleStatusAt
} from "@inquorate/core/ChaosSchedule"

const minute = 60_000
const hour = 60 * minute
/** A Sunday. */
const sunday = Date.parse("2026-03-01T00:00:00Z")

const time = (from: number, until: number) => ({
  StartTime: { Hour: Math.floor(from / 60), Minute: from % 60 },
  EndTime: { Hour: Math.floor(until / 60), Minute: until % 60 }
})

const asked = (jobs: ReadonlyArray<unknown>, over: object = {}) => ({
  Version: 0,
  Schedule: {
    StartDate: "2026-01-01T00:00:00Z",
    ExpiryDate: "2027-01-01T00:00:00Z",
    ChaosParametersDictionary: [
      { Key: "a", Value: { MaxConcurrentFaults: 1 } },
      { Key: "b", Value: { MaxConcurrentFaults: 2 } }
    ],
    Jobs: jobs,
    ...over
  }
})

const job = (key: string, days: object, ...times: ReadonlyArray<unknown>) => ({
  ChaosParameters: key,
  Days: days,
  Times: times
})

const read = (value: unknown): ChaosSchedule => Result.getOrThrow(readDescription(value)).Schedule

const refusal = (value: unknown): string => {
  const got = readDescription(value)
  assert.isTrue(Result.isFailure(got), JSON.stringify(value))
  if (Result.isSuccess(got)) return ""
  assert.strictEqual(got.failure.code, "E_INVALIDARG")
  return got.failure.detail
}

describe("a schedule that is set", () => {
  it("is completed with the reference's defaults", () => {
    assert.deepStrictEqual(Result.getOrThrow(readDescription({})), emptyDescription)
    assert.deepStrictEqual(Result.getOrThrow(readDescription({ Version: 3, Schedule: null })), {
      ...emptyDescription,
      Version: 3
    })
  })

  it("is refused for every mistake, by saying which", () => {
    const good = job("a", { Monday: true }, time(60, 120))
    const cases: ReadonlyArray<readonly [unknown, RegExp]> = [
      [{ Version: -1 }, /below 0/],
      [asked([good], { ExpiryDate: "2025-01-01T00:00:00Z" }), /before its StartDate/],
      [asked([good], { StartDate: "1600-12-31T23:59:59Z" }), /before 1601/],
      [asked([good], { StartDate: "tomorrow" }), /no date/],
      [asked([job("a", { Monday: true }, { StartTime: { Hour: 24 }, EndTime: { Hour: 23 } })]), /hour 24/],
      [asked([job("a", { Monday: true }, { StartTime: { Minute: 60 }, EndTime: { Hour: 23 } })]), /minute 60/],
      [asked([job("a", { Monday: true }, time(120, 60))]), /starts \(02:00\) after it ends \(01:00\)/],
      [asked([job("a", { Monday: false }, time(60, 120))]), /no active day/],
      [asked([job("a", {}, time(60, 120))]), /no active day/],
      [asked([job("a", { Monday: true })]), /no times/],
      [asked([job("c", { Monday: true }, time(60, 120))]), /"c"/],
      [asked([good, job("b", { Monday: true }, time(119, 180))]), /overlap on Monday at 01:59/],
      [asked([good, good]), /overlap/],
      [
        asked([], {
          ChaosParametersDictionary: [
            { Key: "a", Value: {} },
            { Key: "a", Value: {} }
          ]
        }),
        /twice/
      ],
      [asked([], { ChaosParametersDictionary: [{ Key: "a", Value: { MaxConcurrentFaults: -1 } }] }), /MaxConcurrent/],
      [{ Version: "1" }, /Version/],
      [[], /cannot be read/]
    ]
    for (const [value, detail] of cases) assert.match(refusal(value), detail)
  })

  it("is refused where it is larger than anybody needs", () => {
    const many = (length: number, one: (n: number) => unknown) => Array.from({ length }, (_, n) => one(n))
    for (const over of [
      { ChaosParametersDictionary: many(1001, (n) => ({ Key: String(n), Value: {} })) },
      { Jobs: many(10_001, () => job("a", { Monday: true }, time(0, 0))) }
    ]) {
      const got = readDescription(asked([], over))
      assert.strictEqual(Result.isFailure(got) && got.failure.code, "FABRIC_E_VALUE_TOO_LARGE")
    }
  })

  it("lets times touch, and takes a date without a zone as UTC", () => {
    read(asked([job("a", { Monday: true }, time(60, 120)), job("b", { Monday: true }, time(120, 180))]))
    assert.strictEqual(read(asked([], { StartDate: "2026-03-01T00:00:00" })).StartDate, "2026-03-01T00:00:00.000Z")
  })
})

describe("a schedule in use", () => {
  it("is pending, active and expired by its two dates", () => {
    const schedule = read(asked([]))
    assert.strictEqual(scheduleStatusAt(schedule, Date.parse("2025-12-31T23:59:59.999Z")), "Pending")
    assert.strictEqual(scheduleStatusAt(schedule, Date.parse("2026-01-01T00:00:00Z")), "Active")
    assert.strictEqual(scheduleStatusAt(schedule, Date.parse("2027-01-01T00:00:00Z")), "Expired")
    assert.deepStrictEqual(activityAt(schedule, sunday), { _tag: "Off", next: null })
  })

  it("says when it changes", () => {
    const schedule = read(asked([job("a", { Sunday: true }, time(60, 120)), job("b", { Tuesday: true }, time(0, 60))]))
    assert.deepStrictEqual(activityAt(schedule, sunday), { _tag: "Off", next: sunday + hour })
    const on = activityAt(schedule, sunday + hour)
    assert.isTrue(on._tag === "On" && on.key === "a" && on.parameters.MaxConcurrentFaults === 1)
    assert.isTrue(on._tag === "On" && on.from === sunday + hour && on.until === sunday + 2 * hour)
    assert.deepStrictEqual(activityAt(schedule, sunday + 2 * hour), { _tag: "Off", next: sunday + 48 * hour })
  })

  it("joins days at midnight and weeks at their end", () => {
    const nights = read(
      asked([job("a", { Saturday: true }, time(1380, 1439)), job("a", { Sunday: true }, time(0, 60))])
    )
    const on = activityAt(nights, sunday + 30 * minute)
    assert.isTrue(on._tag === "On" && on.from === sunday - hour && on.until === sunday + hour)
    const always = activityAt(adhocSchedule(defaultParameters, sunday + 5, sunday + 10 ** 12), sunday + 10 ** 9)
    assert.isTrue(always._tag === "On" && always.from === sunday + 5 && always.until === sunday + 10 ** 12)
    assert.deepStrictEqual(activityAt(adhocSchedule(defaultParameters, sunday + 5, sunday + 10), sunday), {
      _tag: "Off",
      next: sunday + 5
    })
  })

  const Minute = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1439 }))
  const Day = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 }))
  const Key = Schema.Literals(["a", "b"])
  const anyJobs = Schema.Array(Schema.Struct({ day: Day, one: Minute, other: Minute, key: Key }))
  const anyMoment = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 21 * 1440 }))

  it.prop(
    "is on exactly where a time of a day says so, until exactly where that ends",
    { jobs: anyJobs, at: anyMoment },
    ({ at, jobs }) => {
      const described = readDescription(
        asked(
          jobs.map(({ day, key, one, other }) =>
            job(key, { [daysOfWeek[day]!]: true }, time(Math.min(one, other), Math.max(one, other)))
          )
        )
      )
      // Overlaps are refused, which another test shows.
      if (Result.isFailure(described)) return
      const keyAt = (moment: number): string | undefined => {
        const inWeek = Math.floor((moment - sunday) / minute) % 10_080
        return jobs.find(({ day, one, other }) => {
          const [from, until] = [Math.min(one, other), Math.max(one, other)]
          const end = until === 1439 ? 1440 : until
          return day * 1440 + from <= inWeek && inWeek < day * 1440 + end
        })?.key
      }
      const now = sunday + at * minute
      const said = activityAt(described.success.Schedule, now)
      assert.strictEqual(said._tag === "On" ? said.key : undefined, keyAt(now))
      const change = said._tag === "On" ? said.until : said.next
      // One step before the change everything is as it was; at the change it is not.
      if (change !== null && change < Date.parse("2027-01-01T00:00:00Z")) {
        assert.isAbove(change, now)
        assert.strictEqual(keyAt(change - minute), keyAt(now))
        assert.notStrictEqual(keyAt(change), keyAt(now))
      }
    }
  )
})
