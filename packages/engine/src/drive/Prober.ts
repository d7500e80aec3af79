/**
 * The probe writes of one drive. Each endpoint has one write in flight at a time. It gets the next when that one has
 * ended, at least 50 ms after the one before, or 5 ms while the fences are applied. While a group recovers, writes are
 * bounded in time. Every write is a sample with its moments. As samples grow many, fewer of them are stored, but always
 * the acknowledgements of a hold.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { ProbeOutcome, ProbeSample, SurvivorsWord } from "@inquorate/core/Evidence"
import type { Probe, Target, TargetError } from "@inquorate/core/Target"
import type { Instant, Millis } from "@inquorate/core/Time"
import { abandoned } from "@inquorate/core/Verdict"
import { oneAsks, together } from "../Together.ts"
import type { Journal } from "./Journal.ts"
import type { Timeline } from "./Timeline.ts"

/** A probe of a group that is open, and the scope that closes it. */
export interface OpenProbe {
  readonly target: Target
  readonly group: string
  readonly probe: Probe
  readonly scope: Scope.Closeable
}

/** What a drive may ask of its probe. */
export interface Prober {
  /** Every sample of this drive that a judge may need, in the order they were sent. */
  readonly samples: () => ReadonlyArray<ProbeSample>
  /** Opens the probe. Once open it stays open. */
  readonly open: Effect.Effect<void, TargetError>
  /** Writes by a probe that is open, and closes it in its own time; at once where that is another group's, or it has one. */
  readonly adopt: (given: OpenProbe) => Effect.Effect<void>
  /** The probe, once it is open. */
  readonly opened: () => Probe | null
  /** Begins to write to every endpoint without pause. Does nothing where that runs already. */
  readonly watch: Effect.Effect<void, TargetError>
  /**
   * Whoever watches meanwhile writes as closely as answers come. A silence begins with a write that was sent after the
   * last thread stood still, so the next one must not be long in coming.
   */
  readonly closely: <A>(applying: Effect.Effect<A>) => Effect.Effect<A>
  /** Abandons the writes in flight. Their outcomes stay unknown. */
  readonly stop: Effect.Effect<void>
  /** Waits for the first acknowledgement of a write that was sent at `since` or later. */
  readonly acknowledged: (since: Instant) => Effect.Effect<ProbeSample>
  /** Sends one write to the endpoint with this index, counted round, and waits for its end for so long at most. */
  readonly once: (endpoint: number, timeout: Millis) => Effect.Effect<ProbeSample, TargetError>
  readonly endpoints: () => number
  /** What the survivors say, where they were asked in time. */
  readonly survivors: Effect.Effect<SurvivorsWord, TargetError>
  /** Stores every write that is still unanswered as it stands. */
  readonly noteUnanswered: () => void
}

/** The prober of one group. `nextSequence` goes on with the count of all probers of the same worker and operation. */
export const make = (
  target: Target,
  group: string,
  journal: Pick<Journal, "sample">,
  timeline: Timeline,
  nextSequence: () => number
): Effect.Effect<Prober, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    let samples: Array<ProbeSample> = []
    const { adopt, opened, probe } = makeOpening(target, group, scope)
    let ended = Latch.makeUnsafe(false)
    const thinned = makeThinning()

    const replace = (sample: ProbeSample): void => {
      const index = samples.findLastIndex((other) => other.sequence === sample.sequence)
      if (index >= 0) samples[index] = sample
    }
    const finish = (sample: ProbeSample, outcome: ProbeOutcome): ProbeSample => {
      const done = { ...sample, endedAt: timeline.now(), outcome }
      replace(done)
      if (samples.length > samplesMost) samples = forget(samples)
      if (thinned(done)) journal.sample(done)
      const waiting = ended
      ended = Latch.makeUnsafe(false)
      waiting.openUnsafe()
      return done
    }
    const send = (open: Probe, endpoint: string, timeout: Millis | null): Effect.Effect<ProbeSample> =>
      Effect.suspend(() => {
        const sample: ProbeSample = {
          sequence: nextSequence(),
          endpoint,
          sentAt: timeline.now(),
          endedAt: null,
          outcome: null
        }
        samples.push(sample)
        const write = open.write(endpoint)
        const bounded =
          timeout === null
            ? write
            : Effect.map(
                Effect.timeoutOption(write, timeout),
                Option.getOrElse((): ProbeOutcome => ({ _tag: "Unknown", detail: `no answer within ${timeout} ms` }))
              )
        return bounded.pipe(
          Effect.map((outcome) => finish(sample, outcome)),
          // Whoever waited for this answer may interrupt the write that brought it. It has ended all the same.
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              if (samples.some(({ endedAt, sequence: of }) => of === sample.sequence && endedAt === null)) {
                finish(sample, { _tag: "Unknown", detail: abandoned })
              }
            })
          )
        )
      })
    const watching = makeWatching(timeline, send)

    return {
      samples: () => samples,
      open: Effect.asVoid(opened),
      adopt,
      opened: probe,
      watch: Effect.flatMap(opened, (open) => watching.begin(open, scope)),
      closely: watching.closely,
      stop: watching.stop,
      acknowledged: (since) =>
        Effect.gen(function* () {
          while (true) {
            const waiting = ended.await
            const found = samples.find((sample) => sample.outcome?._tag === "Acknowledged" && sample.sentAt >= since)
            if (found !== undefined) return found
            yield* waiting
          }
        }),
      once: (endpoint, timeout) =>
        Effect.flatMap(opened, (open) => send(open, open.endpoints[endpoint % open.endpoints.length]!, timeout)),
      endpoints: () => probe()?.endpoints.length ?? 0,
      survivors: Effect.flatMap(opened, (open) => open.survivors),
      noteUnanswered: () => {
        for (const sample of samples) if (sample.endedAt === null) journal.sample(sample)
      }
    }
  })

// --- internal ---

/** The least time between two writes to one endpoint: shortest while fences are applied, then what a long hold can bear. */
const spacingClosest = 5
const spacingClose = 50
const spacingWide = 250
const closeWatch = 10_000
const samplesMost = 4096

// Judges need what is unanswered, what was acknowledged, and where the silence began. Of the rest every second one will
// do.
const forget = (samples: ReadonlyArray<ProbeSample>): Array<ProbeSample> => {
  const recent = samples.length - samplesMost / 4
  const lastGood = samples.findLastIndex((sample) => sample.outcome?._tag === "Acknowledged")
  return samples.filter((sample, index) =>
    index >= recent || sample.endedAt === null || index === lastGood
      ? true
      : sample.outcome?._tag === "Acknowledged"
        ? false
        : index <= lastGood + 16 || index % 2 === 0
  )
}

/**
 * Says of each ended sample whether it is stored: at first all are, and ever fewer of a kind as that kind grows many.
 */
const makeThinning = (): ((sample: ProbeSample) => boolean) => {
  const seen = new Map<string, { stored: number; lastAt: Instant }>()
  return ({ endpoint, outcome, sentAt }) => {
    const kind = `${endpoint} ${outcome?._tag}`
    const { lastAt, stored } = seen.get(kind) ?? { stored: 0, lastAt: -Infinity }
    if (sentAt - lastAt < spacingClose * (2 ** Math.floor(stored / 100) - 1)) return false
    seen.set(kind, { stored: stored + 1, lastAt: sentAt })
    return true
  }
}

/** Opens one probe, for whoever asks first. */
const makeOpening = (target: Target, group: string, scope: Scope.Scope) => {
  let probe: Probe | null = null
  const open = Effect.suspend(() => Scope.provide(target.probe(group), scope)).pipe(
    Effect.tap((made) => Effect.sync(() => void (probe = made)))
  )
  const adopt = (given: OpenProbe): Effect.Effect<void> =>
    Effect.suspend(() => {
      const close = Scope.close(given.scope, Exit.void)
      if (probe !== null || given.target !== target || given.group !== group) return close
      probe = given.probe
      return Scope.addFinalizer(scope, close)
    })
  return { opened: oneAsks(() => probe, open), adopt, probe: () => probe }
}

/** Writes to every endpoint again and again, from when it is begun until it is stopped. */
const makeWatching = (
  timeline: Timeline,
  send: (open: Probe, endpoint: string, timeout: null) => Effect.Effect<ProbeSample>
) => {
  let watchers: Fiber.Fiber<void> | undefined
  let watchedFrom = 0
  let isApplying = false
  const watchEndpoint = (open: Probe, endpoint: string, index: number): Effect.Effect<void> =>
    Effect.gen(function* () {
      // They write in turns, so that whenever the quorum goes, the next write to miss it is sent soon after.
      yield* timeline.sleepUntil(watchedFrom + Math.floor((index * spacingClose) / open.endpoints.length))
      while (true) {
        const { sentAt } = yield* send(open, endpoint, null)
        const spacing = isApplying
          ? spacingClosest
          : timeline.now() - watchedFrom < closeWatch
            ? spacingClose
            : spacingWide
        yield* timeline.sleepUntil(sentAt + spacing)
      }
    })
  return {
    begin: (open: Probe, scope: Scope.Scope): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (watchers !== undefined) return
        watchedFrom = timeline.now()
        watchers = yield* Effect.forkIn(
          Effect.asVoid(together(open.endpoints, (endpoint, index) => watchEndpoint(open, endpoint, index))),
          scope
        )
      }),
    closely: <A>(applying: Effect.Effect<A>): Effect.Effect<A> =>
      Effect.acquireUseRelease(
        Effect.sync(() => void (isApplying = true)),
        () => applying,
        () => Effect.sync(() => void (isApplying = false))
      ),
    stop: Effect.suspend(() => {
      const running = watchers
      watchers = undefined
      return running === undefined ? Effect.void : Fiber.interrupt(running)
    })
  }
}
