/**
 * The figures of the fault itself, on a real system through the bundled worker: how long until the loss is proven, how
 * exactly it is held, what the operation costs beside hold and recovery, and how fast a cancel lifts. One more figure
 * tells how fast writes come back, against a bare program that sends SIGSTOP and SIGCONT and writes.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import { judgeLoss } from "@inquorate/core/Verdict"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as path from "node:path"
import { type Bite, bite } from "./Bites.ts"
import { bareRecovery } from "./BareRecovery.ts"
import { type Child, startWorker } from "./Child.ts"
import { type Figure, inMillis, inTime, spread } from "./Figures.ts"
import { floor } from "./Floor.ts"
import * as Front from "./Front.ts"
import { withLab } from "./Labs.ts"
import { startOfNode } from "./Startup.ts"

/** What to measure: a system's lab, how many operations of each kind, and for how long each holds. */
export interface Trial {
  readonly system: string
  readonly members?: number
  readonly options?: Readonly<Record<string, string>>
  readonly rounds: number
  readonly hold: number
}

/** The figures of one system. Starts a lab and a worker, and ends both. */
export const measure = (folder: string, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const { members, options, system } = trial
  const name = `bench-${system}${members ?? ""}`
  return withLab({ system, name, members, options }, async (lab) => {
    const worker = await startWorker(Lab.configurationFile(name), path.join(folder, `${name}.db`))
    try {
      return [...(await measureOn(worker, lab, trial)), ...(await bites(worker, await Front.groupOf(worker), trial))]
    } finally {
      await worker.end()
    }
  })
}

// --- internal ---

const measureOn = async (worker: Child, lab: LabRecord, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const group = await Front.groupOf(worker)
  const details: Array<OperationDetail> = []
  const bare: Array<number> = []
  const recoveries: Array<number> = []
  const floors: Array<number> = []
  const nothing: Array<number> = []
  // One round more than is counted: the first warms connections and caches on both sides.
  for (let round = 0; round <= trial.rounds; round++) {
    const detail = await completed(worker, group, trial.hold)
    // Another member may lead by now, and a cut that takes the leader heals faster. So the baseline cuts what a plan
    // cuts now.
    const cut = (await Front.plannedFences(worker, group, trial.hold)).map(({ member }) => member)
    const least = await floor(lab, cut)
    const other = await bareRecovery(lab, cut, trial.hold)
    const start = startOfNode()
    if (round === 0) continue
    floors.push(least)
    nothing.push(start)
    details.push(detail)
    recoveries.push(detail.evidence.recovery!)
    bare.push(other)
  }
  const cancels: Array<number> = []
  for (let round = 0; round <= trial.rounds; round++) {
    const lifted = await cancelled(worker, group)
    if (round > 0) cancels.push(lifted)
  }
  return [
    ...besideFloor({ floors, nothing, details }, trial),
    lift(recoveries, bare),
    inTime(
      "operation time − measured hold − the system's own recovery",
      details.map(Front.costOf),
      "p50 ≤ 1000 ms",
      ({ p50 }) => p50 <= 1000
    ),
    inTime(
      "measured hold − asked hold",
      details.map(Front.heldTooLong),
      "p99 within ± 60 ms",
      ({ min, p99 }) => Math.abs(p99) <= 60 && min >= -60
    ),
    inTime(
      "cancel accepted to lifted, by the host's own record",
      cancels,
      "p50 ≤ 10 ms, p99 ≤ 50 ms",
      ({ p50, p99 }) => p50 <= 10 && p99 <= 50
    ),
    inTime(
      "how long a fence stood past its deadline",
      details.map(({ evidence }) => evidence.overrun!),
      "≤ 500 ms",
      ({ max }) => max <= 500
    )
  ]
}

interface Measured {
  readonly floors: ReadonlyArray<number>
  readonly nothing: ReadonlyArray<number>
  readonly details: ReadonlyArray<OperationDetail>
}

/** Until the loss is proven, beside the floor of the same run. */
const besideFloor = ({ details, floors, nothing }: Measured, { members }: Trial): ReadonlyArray<Figure> => {
  const proven = spread(details.map(Front.toProven))
  const silent = spread(details.map((detail) => provenBySilence(detail) - detail.operation.receivedAt))
  const least = spread(floors)
  const node = spread(nothing)
  const times = (millis: number): string => (millis / least.p50).toFixed(2)
  return [
    {
      name: "the floor: who is who, SIGSTOP, every thread checked, 50 ms of silence, by a bare program; and node -e 0",
      measured: `${inMillis(least)}; node -e 0 p50 ${node.p50.toFixed(1)} ms`,
      goal: "",
      met: null
    },
    {
      name: "accepted to loss proven, with the independent fact",
      measured: `p50 ${times(proven.p50)} × floor, p99 ${times(proven.p99)} ×, ${(proven.p50 / node.p50).toFixed(2)} × node -e 0; ${inMillis(proven)}`,
      ...(members === 5
        ? { goal: "p50 ≤ 2.5 × floor", met: proven.p50 <= 2.5 * least.p50 }
        : {
            goal: "p50 ≤ 2 × floor and ≤ 3 × node -e 0, p99 ≤ 4 × floor",
            met: proven.p50 <= 2 * least.p50 && proven.p50 <= 3 * node.p50 && proven.p99 <= 4 * least.p50
          })
    },
    {
      name: "accepted to loss proven by silence alone, the same samples judged without the fact",
      measured: `floor + ${(silent.p50 - least.p50).toFixed(0)} ms; ${inMillis(silent)}`,
      goal: "p50 ≤ floor + 500 ms",
      met: silent.p50 <= least.p50 + 500
    }
  ]
}

const lift = (recoveries: ReadonlyArray<number>, bare: ReadonlyArray<number>): Figure => {
  const ours = spread(recoveries)
  const base = spread(bare)
  return {
    name: "lift to first acknowledged write, against a bare program that sends SIGCONT and writes",
    measured: `ours ${inMillis(ours)}; bare ${inMillis(base)}`,
    goal: "median ≤ 1.1 × or + 20 ms",
    met: ours.p50 <= Math.max(base.p50 * 1.1, base.p50 + 20)
  }
}

// Only a pause of kernel grade puts on record when it bit.
const bites = async (worker: Child, group: Front.Group, { hold, rounds }: Trial): Promise<ReadonlyArray<Figure>> => {
  const seen: Array<Bite> = []
  for (let round = 0; round <= rounds; round++) {
    const bitten = await bite(await Front.plannedFences(worker, group, hold))
    if (bitten === null) return []
    if (round > 0) seen.push(bitten)
  }
  return [
    inTime(
      "go sent to every thread of the cut stopped, by the host's own record",
      seen.map(({ stopped }) => stopped),
      "p99 ≤ 10 ms",
      ({ p99 }) => p99 <= 10
    ),
    withWaits(
      inTime(
        "from the first thread of the cut seized to the last one stopped",
        seen.map(({ spread }) => spread),
        "p99 ≤ 5 ms",
        ({ p99 }) => p99 <= 5
      ),
      seen.filter(({ spread }) => spread > 5)
    )
  ]
}

/** Tells of the bites that took long whether they ended when a thread came back from the kernel. */
const withWaits = (figure: Figure, long: ReadonlyArray<Bite>): Figure => {
  if (long.length === 0) return figure
  const told = long.map(
    ({ spread, waited }) => `${spread.toFixed(1)} (waited in the kernel until ${waited.toFixed(1)})`
  )
  return { ...figure, measured: `${figure.measured}; above 5 ms: ${told.join(", ")}` }
}

/**
 * An operation that completed. On a busy machine one may not complete. It is then reported and done again, a few times
 * at most.
 */
const completed = async (worker: Child, group: Front.Group, hold: number, tries = 3): Promise<OperationDetail> => {
  const detail = await Front.settled(worker, await Front.begin(worker, group, hold))
  if (detail.state === "Completed") return detail
  const said = `ended ${detail.state}: ${JSON.stringify(detail.evidence.notes)}`
  if (tries === 1) throw new Error(said)
  process.stderr.write(`done again: an operation ${said}\n`)
  return completed(worker, group, hold, tries - 1)
}

/**
 * When the judge would have called the loss proven, had nobody known how many voters stand still. The samples of a real
 * hold, each as it stood at that moment, go to the engine's own judge, which says when to ask it again, as in the engine.
 */
const provenBySilence = ({ evidence }: OperationDetail): number => {
  const armedAt = Front.began(evidence, "Verifying")
  const until = Front.began(evidence, "Lifting")
  for (let now = armedAt; now < until;) {
    const samples = evidence.samples
      .filter(({ sentAt }) => sentAt <= now)
      .map((sample) =>
        sample.endedAt !== null && sample.endedAt > now ? { ...sample, endedAt: null, outcome: null } : sample
      )
    const judged = judgeLoss({ samples, armedAt, independentFact: null, now, budgetEnds: until, deadline: until })
    if (judged._tag === "LossConfirmed") return now
    now = judged._tag === "Pending" ? Math.max(now + 1, judged.until) : until
  }
  throw new Error("the hold was too short to be proven by silence alone")
}

/** From the moment the cancel was answered to the moment the last fence was off. */
const cancelled = async (worker: Child, group: Front.Group): Promise<number> => {
  const id = await Front.begin(worker, group, 30_000)
  const held = await Front.heldOrEnded(worker, id)
  if (!Front.holds(held)) throw new Error(`it does not hold: ${JSON.stringify(held.evidence.notes)}`)
  const accepted = await Front.cancel(worker, id)
  return Front.liftedAt(await Front.settled(worker, id)) - accepted
}
