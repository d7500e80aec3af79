/**
 * The points at which a worker can be cut short on purpose: before a question to the store or to a host is sent, when it
 * was served and the answer is on its way, and just before the answer is heard. Between "served" and "heard" lies what a
 * crash between act and store means.
 */
import type { Millis } from "@inquorate/core/Time"
import type { Seed } from "@inquorate/testkit/Seed"
import type { Point } from "@inquorate/testkit/SimulatedLine"
import type { Process, Time } from "@inquorate/testkit/SimulatedTime"

/** What is done to a worker at a point. */
export type Cut = { readonly _tag: "Kill" } | { readonly _tag: "Freeze"; readonly span: Millis }

/** A cut that waits for its point: the `passes`-th time that `question` comes to `point`. */
export interface Ambush {
  readonly question: string | null
  readonly point: Point | null
  passes: number
  readonly cut: Cut
}

/** Where workers wait to be cut. */
export interface CrashPoints {
  readonly lay: (ambush: Ambush) => void
  /** Tells of a point; carries out a cut that waited for it. */
  readonly pass: (worker: Process, question: string, point: Point) => void
  readonly clear: () => void
}

/** What changes something, and so is worth a crash around it. */
export const worthwhile = [
  "create",
  "save",
  "append",
  "heartbeat",
  "claim",
  "release",
  "prepare",
  "go",
  "arm",
  "tighten",
  "lift",
  "inspect"
]

/** A random ambush; what moves an operation is met most often. */
export const random = (seed: Seed): Ambush => ({
  question: seed.pick([
    "save",
    "save",
    "save",
    "prepare",
    "go",
    "go",
    "lift",
    "tighten",
    "tighten",
    "inspect",
    "claim",
    "heartbeat",
    "append",
    "create"
  ]),
  point: seed.pick(["Sending", "Served", "Answered"] as const),
  passes: seed.between(1, 4),
  cut: seed.percent(50) ? { _tag: "Kill" } : { _tag: "Freeze", span: seed.pick([300, 1200, 1700, 2000, 2600, 6000]) }
})

/**
 * A worker stands still for just longer than its lease around what must not be done twice: the case for which leases,
 * epochs and start-by moments are there.
 */
export const lapse = (seed: Seed): Ambush => {
  const [question, passesMost] = seed.pick([
    ["save", 3],
    ["prepare", 2],
    ["go", 2],
    ["tighten", 3],
    ["lift", 2]
  ] as const)
  return {
    question,
    point: seed.pick(["Sending", "Served", "Answered"] as const),
    passes: seed.between(1, passesMost),
    cut: { _tag: "Freeze", span: seed.pick([1800, 1900, 2100, 2600, 4000]) }
  }
}

/** Makes crash points in a time; `cut` hears of each cut that was carried out. */
export const make = (
  time: Time,
  cut: (worker: Process, question: string, point: Point, cut: Cut) => void
): CrashPoints => {
  const thaws = time.process("thaws")
  let waiting: Array<Ambush> = []
  return {
    lay: (ambush) => void waiting.push(ambush),
    clear: () => void (waiting = []),
    pass: (worker, question, point) => {
      if (waiting.length === 0 || worker.state() !== "Running" || !worthwhile.includes(question)) return
      const met = waiting.find((ambush) => {
        if ((ambush.question ?? question) !== question || (ambush.point ?? point) !== point) return false
        return --ambush.passes <= 0
      })
      if (met === undefined) return
      waiting = waiting.filter((ambush) => ambush !== met)
      cut(worker, question, point, met.cut)
      if (met.cut._tag === "Kill") return worker.kill()
      worker.freeze()
      time.after(met.cut.span, thaws, () => worker.thaw())
    }
  }
}
