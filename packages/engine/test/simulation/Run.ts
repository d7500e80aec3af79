/**
 * One run of the simulation: a life from a seed with disturbances for a while, then calm until everything has ended, and
 * the judgement. The same seed gives the same run, step by step; its trace's hash tells.
 */
import type { Millis } from "@inquorate/core/Time"
import type { OperationState } from "@inquorate/core/Wire"
import * as CrashPoint from "./CrashPoint.ts"
import * as Callers from "./Callers.ts"
import type { Defects } from "./Defects.ts"
import * as Disturbance from "./Disturbance.ts"
import * as Life from "./Life.ts"

/** What a run can be told beside its seed. */
export interface RunOptions {
  /** What is wrong on purpose; nothing unless given. */
  readonly defects?: Partial<Defects>
  /** One cut and nothing else that disturbs, for a search through all crash points. */
  readonly only?: CrashPoint.Ambush
  /** Keeps the lines of the trace. */
  readonly keepTrace?: boolean
}

/** What a run came to. */
export interface Outcome {
  readonly seed: number
  /** What was not as it must be; null where everything was. */
  readonly violation: string | null
  readonly hash: string
  /** How often each thing happened. */
  readonly counts: ReadonlyMap<string, number>
  readonly endings: ReadonlyMap<OperationState, number>
  readonly steps: number
  /** How much simulated time passed. */
  readonly span: Millis
  readonly trace: ReadonlyArray<string>
}

/** Runs one seed. */
export const run = (seed: number, options: RunOptions = {}): Outcome => {
  const life = Life.make(seed, options.defects ?? {}, options.keepTrace ?? false)
  const { invariants, time } = life
  const broken = (): boolean => invariants.violation() !== null
  const workers = options.only === undefined ? life.seed.between(2, 4) : 2
  for (let n = 1; n <= workers; n++) life.bear(`w${n}`)
  if (options.only === undefined) {
    const span = life.seed.between(4000, 9000)
    const lapses = life.seed.percent(lapsesOfHundred)
    if (lapses) life.crashPoints.lay(CrashPoint.lapse(life.seed))
    Callers.send(life, life.seed.between(2, 5), span, lapses ? longHold : null)
    const until = time.now() + span
    while (time.now() < until && !broken()) {
      time.passUntil(broken, life.seed.between(20, 900))
      if (!broken()) Disturbance.strike(life)
    }
  } else {
    Callers.send(life, 1, 1, shortHold)
    life.crashPoints.lay(options.only)
    time.passUntil(broken, quietSpan)
  }
  if (!broken()) {
    Disturbance.cease(life)
    // Long enough for every caller to have asked again, so that what is over stays over.
    time.passUntil(broken, callersDone)
    const ended = time.passUntil(invariants.isOver, endsWithin)
    if (ended && !broken()) time.passUntil(broken, lastLook)
    if (!broken()) invariants.judgeEnd()
  }
  return {
    seed,
    violation: invariants.violation(),
    hash: life.trace.hash(),
    counts: life.counts,
    endings: invariants.endings(),
    steps: time.steps(),
    span: time.now(),
    trace: life.trace.lines()
  }
}

// --- internal ---

/** In so many lives of a hundred a worker stands still past its lease in the middle of a move. */
const lapsesOfHundred = 35
/** A hold that goes on after a lease has run out. */
const longHold: Millis = 5000
const shortHold: Millis = 600
const quietSpan: Millis = 3000
const callersDone: Millis = 5000
/** How long after the last disturbance everything has ended at the latest. */
const endsWithin: Millis = 180_000
/** How long is looked on for what comes late: a sweep, and questions that come again. */
const lastLook: Millis = 7000
