/**
 * The rules of the chaos schedule: which descriptions are taken, when one is in use, and which parameters hold at a
 * moment. A schedule repeats weekly in UTC between its two dates. A time ends before the minute that it names, except
 * 23:59, which is the end of the day, so that days can join. It is pure: a description and a moment give a value.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  type ChaosJob,
  type ChaosParameters,
  type ChaosSchedule,
  type ChaosScheduleDescription,
  type ChaosScheduleStatus,
  daysOfWeek,
  readParameters,
  refuseChaos,
  type TimeOfDay
} from "./Chaos.ts"
import type { RequestRefused } from "./Operations.ts"
import type { Instant } from "./Time.ts"

// --- models ---

/**
 * What a schedule says of a moment: chaos runs with these parameters until then, or it does not run and may change
 * then.
 */
export type Activity =
  | {
      readonly _tag: "On"
      readonly key: string
      readonly parameters: ChaosParameters
      /** When this stretch began. A run belongs to one stretch, and is not begun twice in it. */
      readonly from: number
      readonly until: number
    }
  /** `next` is when the next stretch begins; null for never. */
  | { readonly _tag: "Off"; readonly next: number | null }

// --- make ---

/** The key under which `StartChaos` stores its parameters. */
export const adhocKey = "adhoc"

/** The description before anything was set. */
export const emptyDescription: ChaosScheduleDescription = {
  Version: 0,
  Schedule: {
    StartDate: "1601-01-01T00:00:00.000Z",
    ExpiryDate: "9999-12-31T23:59:59.999Z",
    ChaosParametersDictionary: [],
    Jobs: []
  }
}

/** The schedule as which a start is stored: always on, from now until its time to run is over. */
export const adhocSchedule = (parameters: ChaosParameters, from: Instant, until: Instant): ChaosSchedule => ({
  StartDate: new Date(from).toISOString(),
  ExpiryDate: new Date(until).toISOString(),
  ChaosParametersDictionary: [{ Key: adhocKey, Value: parameters }],
  Jobs: [
    {
      ChaosParameters: adhocKey,
      Days: {
        Sunday: true,
        Monday: true,
        Tuesday: true,
        Wednesday: true,
        Thursday: true,
        Friday: true,
        Saturday: true
      },
      Times: [{ StartTime: { Hour: 0, Minute: 0 }, EndTime: { Hour: 23, Minute: 59 } }]
    }
  ]
})

/** The description that a request's JSON means, with its defaults filled in and every rule kept, or why it is refused. */
export const readDescription = (value: unknown): Result.Result<ChaosScheduleDescription, RequestRefused> =>
  Result.flatMap(
    Result.mapError(decodeAsked(value), ({ message }) => invalid(`The chaos schedule cannot be read: ${message}`)),
    complete
  )

/** How a schedule in use stands at a moment. */
export const scheduleStatusAt = (schedule: ChaosSchedule, now: number): ChaosScheduleStatus =>
  now < Date.parse(schedule.StartDate) ? "Pending" : now >= Date.parse(schedule.ExpiryDate) ? "Expired" : "Active"

/** What the schedule says of a moment. */
export const activityAt = (schedule: ChaosSchedule, now: number): Activity => {
  const start = Date.parse(schedule.StartDate)
  const expiry = Date.parse(schedule.ExpiryDate)
  const week = stretchesOf(schedule)
  if (now >= expiry || week.length === 0) return { _tag: "Off", next: null }
  const at = Math.max(now, start)
  const base = weekOf(at)
  const here = week.flatMap((one) => occurrences(one, base))
  const current = here.find(({ from, until }) => from <= at && at < until)
  if (now >= start && current !== undefined) {
    const parameters = schedule.ChaosParametersDictionary.find(({ Key }) => Key === current.key)
    // A description that was read has every key that its jobs name.
    if (parameters === undefined) return { _tag: "Off", next: null }
    return {
      _tag: "On",
      key: current.key,
      parameters: parameters.Value,
      from: Math.max(current.from, start),
      until: Math.min(current.until, expiry)
    }
  }
  const begins = current !== undefined ? [start] : here.map(({ from }) => from).filter((from) => from > at)
  const next = Math.min(...begins)
  return { _tag: "Off", next: next < expiry ? next : null }
}

// --- internal ---

/**
 * How many parameters and jobs a schedule may have. It is far more than a week has room for, and few enough to look
 * through.
 */
const parametersMax = 1000
const jobsMax = 10_000
const minute = 60_000
const minutesOfDay = 24 * 60
const minutesOfWeek = 7 * minutesOfDay
/** The first Sunday after 1970-01-01. */
const firstSunday = 3 * minutesOfDay * minute
const earliest = Date.parse("1601-01-01T00:00:00.000Z")

const asked = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const AskedTime = Schema.Struct({ Hour: asked(Schema.Int), Minute: asked(Schema.Int) })
const AskedDescription = Schema.Struct({
  Version: asked(Schema.Int),
  Schedule: asked(
    Schema.Struct({
      StartDate: asked(Schema.String),
      ExpiryDate: asked(Schema.String),
      ChaosParametersDictionary: asked(Schema.Array(Schema.Struct({ Key: Schema.String, Value: Schema.Unknown }))),
      Jobs: asked(
        Schema.Array(
          Schema.Struct({
            ChaosParameters: asked(Schema.String),
            Days: asked(Schema.Record(Schema.String, Schema.NullOr(Schema.Boolean))),
            Times: asked(Schema.Array(Schema.Struct({ StartTime: asked(AskedTime), EndTime: asked(AskedTime) })))
          })
        )
      )
    })
  )
})
type AskedDescription = typeof AskedDescription.Type
type AskedJob = NonNullable<NonNullable<NonNullable<AskedDescription["Schedule"]>["Jobs"]>[number]>

const decodeAsked = Schema.decodeUnknownResult(AskedDescription)

const invalid = (detail: string): RequestRefused => refuseChaos("E_INVALIDARG", detail)

const large = (name: string, count: number, limit: number): Result.Result<never, RequestRefused> =>
  Result.fail(
    refuseChaos(
      "FABRIC_E_VALUE_TOO_LARGE",
      `The ${name} of the schedule has ${count} entries, and ${limit} are allowed.`
    )
  )

const complete = (input: AskedDescription): Result.Result<ChaosScheduleDescription, RequestRefused> =>
  Result.gen(function* () {
    const version = input.Version ?? 0
    if (version < 0) return yield* Result.fail(invalid(`The Version ${version} of the schedule is below 0.`))
    const asked = input.Schedule ?? {}
    const start = yield* readDate("StartDate", asked.StartDate ?? emptyDescription.Schedule.StartDate)
    const expiry = yield* readDate("ExpiryDate", asked.ExpiryDate ?? emptyDescription.Schedule.ExpiryDate)
    if (expiry < start) {
      return yield* Result.fail(
        invalid(`The ExpiryDate ${asked.ExpiryDate} of the schedule is before its StartDate ${asked.StartDate}.`)
      )
    }
    const entries = asked.ChaosParametersDictionary ?? []
    if (entries.length > parametersMax) return yield* large("ChaosParametersDictionary", entries.length, parametersMax)
    if ((asked.Jobs ?? []).length > jobsMax) return yield* large("Jobs list", asked.Jobs!.length, jobsMax)
    const dictionary: Array<{ Key: string; Value: ChaosParameters }> = []
    const keys = new Set<string>()
    for (const { Key, Value } of entries) {
      if (keys.has(Key)) {
        return yield* Result.fail(invalid(`The ChaosParametersDictionary has the key ${JSON.stringify(Key)} twice.`))
      }
      keys.add(Key)
      dictionary.push({ Key, Value: yield* readParameters(Value) })
    }
    const jobs: Array<ChaosJob> = []
    for (const [index, job] of (asked.Jobs ?? []).entries()) jobs.push(yield* readJob(job, index + 1, keys))
    const schedule: ChaosSchedule = {
      StartDate: new Date(start).toISOString(),
      ExpiryDate: new Date(expiry).toISOString(),
      ChaosParametersDictionary: dictionary,
      Jobs: jobs
    }
    const overlap = overlapOf(schedule)
    if (overlap !== undefined) return yield* Result.fail(invalid(overlap))
    return { Version: version, Schedule: schedule }
  })

// A date without a zone is in UTC, as everything here is.
const readDate = (name: string, text: string): Result.Result<number, RequestRefused> => {
  const zoned = /(Z|[+-][0-9]{2}:?[0-9]{2})$/i.test(text) ? text : `${text}Z`
  const moment = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T/.test(text) ? Date.parse(zoned) : Number.NaN
  if (Number.isNaN(moment)) {
    return Result.fail(invalid(`The ${name} ${JSON.stringify(text)} of the schedule is no date in ISO 8601.`))
  }
  return moment < earliest
    ? Result.fail(invalid(`The ${name} ${text} of the schedule is before 1601-01-01.`))
    : Result.succeed(moment)
}

const readJob = (job: AskedJob, number: number, keys: ReadonlySet<string>): Result.Result<ChaosJob, RequestRefused> =>
  Result.gen(function* () {
    const fail = (detail: string) => Result.fail(invalid(`Job ${number} of the schedule ${detail}.`))
    const key = job.ChaosParameters ?? ""
    if (!keys.has(key)) {
      return yield* fail(`names the parameters ${JSON.stringify(key)}, which the ChaosParametersDictionary has not`)
    }
    const days = job.Days ?? {}
    const on = (day: (typeof daysOfWeek)[number]): boolean => days[day] === true
    if (!daysOfWeek.some(on)) return yield* fail("has no active day")
    const times = job.Times ?? []
    if (times.length === 0) return yield* fail("has no times")
    const read: Array<{ StartTime: TimeOfDay; EndTime: TimeOfDay }> = []
    for (const { EndTime, StartTime } of times) {
      const [start, end] = [timeOf(StartTime), timeOf(EndTime)]
      for (const { Hour, Minute } of [start, end]) {
        if (Hour < 0 || Hour > 23) return yield* fail(`has the hour ${Hour}, which is not 0 to 23`)
        if (Minute < 0 || Minute > 59) return yield* fail(`has the minute ${Minute}, which is not 0 to 59`)
      }
      if (minuteOf(start) > minuteOf(end)) {
        return yield* fail(`has a time that starts (${shown(start)}) after it ends (${shown(end)})`)
      }
      read.push({ StartTime: start, EndTime: end })
    }
    return {
      ChaosParameters: key,
      Days: {
        Sunday: on("Sunday"),
        Monday: on("Monday"),
        Tuesday: on("Tuesday"),
        Wednesday: on("Wednesday"),
        Thursday: on("Thursday"),
        Friday: on("Friday"),
        Saturday: on("Saturday")
      },
      Times: read
    }
  })

const timeOf = (time: typeof AskedTime.Type | null | undefined): TimeOfDay => ({
  Hour: time?.Hour ?? 0,
  Minute: time?.Minute ?? 0
})

const minuteOf = ({ Hour, Minute }: TimeOfDay): number => Hour * 60 + Minute

const shown = ({ Hour, Minute }: TimeOfDay): string =>
  `${String(Hour).padStart(2, "0")}:${String(Minute).padStart(2, "0")}`

/** A stretch of the week in minutes since Sunday 00:00; `until` may lie in the next week. */
interface Stretch {
  readonly from: number
  readonly until: number
  readonly key: string
}

const piecesOf = (schedule: ChaosSchedule): ReadonlyArray<Stretch> =>
  schedule.Jobs.flatMap(({ ChaosParameters: key, Days, Times }) =>
    daysOfWeek.flatMap((day, index) =>
      Days[day]
        ? Times.map(({ EndTime, StartTime }) => {
            const end = minuteOf(EndTime)
            return {
              from: index * minutesOfDay + minuteOf(StartTime),
              until: index * minutesOfDay + (end === minutesOfDay - 1 ? minutesOfDay : end),
              key
            }
          })
        : []
    )
  )
    .filter(({ from, until }) => from < until)
    .sort((a, b) => a.from - b.from)

const overlapOf = (schedule: ChaosSchedule): string | undefined => {
  const pieces = piecesOf(schedule)
  const index = pieces.findIndex((piece, at) => at > 0 && piece.from < pieces[at - 1]!.until)
  if (index === -1) return undefined
  const { from, key } = pieces[index]!
  const time = shown({ Hour: Math.floor((from % minutesOfDay) / 60), Minute: from % 60 })
  return (
    `Two times of the schedule overlap on ${daysOfWeek[Math.floor(from / minutesOfDay)]} at ${time} ` +
    `(${JSON.stringify(pieces[index - 1]!.key)} and ${JSON.stringify(key)}). Let one end before the other starts.`
  )
}

// Pieces that join and have the same parameters are one stretch, over midnight and over the end of the week too.
const stretchesOf = (schedule: ChaosSchedule): ReadonlyArray<Stretch> => {
  const joined: Array<Stretch> = []
  for (const piece of piecesOf(schedule)) {
    const last = joined.at(-1)
    if (last !== undefined && last.until === piece.from && last.key === piece.key) {
      joined[joined.length - 1] = { ...last, until: piece.until }
    } else joined.push(piece)
  }
  const [first, last] = [joined[0], joined.at(-1)]
  if (first === undefined || last === undefined || first.from !== 0 || last.until !== minutesOfWeek) return joined
  if (first.key !== last.key) return joined
  if (joined.length === 1) {
    return [{ from: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY, key: first.key }]
  }
  return [...joined.slice(1, -1), { ...last, until: last.until + first.until }]
}

const weekOf = (at: number): number =>
  Math.floor((at - firstSunday) / (minutesOfWeek * minute)) * minutesOfWeek * minute + firstSunday

// The stretches of this week, the last one and the next one are enough to find that of a moment and the one after it.
const occurrences = ({ from, key, until }: Stretch, base: number): ReadonlyArray<Stretch> =>
  Number.isFinite(from)
    ? [-1, 0, 1].map((week) => {
        const start = base + week * minutesOfWeek * minute
        return { key, from: start + from * minute, until: start + until * minute }
      })
    : [{ key, from, until }]
