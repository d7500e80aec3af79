/**
 * The figures of the fault itself, on a real system through the bundled worker: how long until the loss is proven, how
 * exactly it is held, what the operation costs beside hold and recovery, and how fast a cancel lifts. One more figure
 * tells how fast writes come back, against a bare program that sends SIGSTOP and SIGCONT and writes.
 */
import type { Evidence } from "@inquorate/core/Evidence"
import type { OperationDetail, PlanPreview } from "@inquorate/core/Operations"
import type { PlannedFence } from "@inquorate/core/Plan"
import { judgeLoss } from "@inquorate/core/Verdict"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { type Bite, bite } from "./Bites.ts"
import { bareRecovery } from "./BareRecovery.ts"
import { bundles, type Child, start } from "./Child.ts"
import { type Figure, inMillis, spread, type Spread } from "./Figures.ts"
import { floor } from "./Floor.ts"

/** What to measure: a system's lab, how many operations of each kind, and for how long each holds. */
export interface Trial {
  readonly system: string
  readonly options?: Readonly<Record<string, string>>
  readonly rounds: number
  readonly hold: number
}

/** The figures of one system. Starts a lab and a worker, and ends both. */
export const measure = async (folder: string, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const name = `bench-${trial.system}`
  const lab = await Effect.runPromise(
    Lab.up({ system: trial.system, name, ...(trial.options === undefined ? {} : { options: trial.options }) })
  )
  try {
    const worker = await start([
      bundles.worker,
      "--config",
      Lab.configurationFile(name),
      "--listen",
      "127.0.0.1:0",
      "--store",
      `sqlite:${path.join(folder, `${name}.db`)}`
    ])
    try {
      return [...(await measureOn(worker, lab, trial)), ...(await bites(worker, await groupOf(worker), trial))]
    } finally {
      await worker.end()
    }
  } finally {
    await Effect.runPromise(Lab.down(name))
  }
}

// --- internal ---

interface Group {
  readonly service: string
  readonly partition: string
}

const measureOn = async (worker: Child, lab: LabRecord, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const group = await groupOf(worker)
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
    const cut = (await plannedFences(worker, group, trial.hold)).map(({ member }) => member)
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
  const proven = spread(details.map(({ evidence, operation }) => phase(evidence, "Holding") - operation.receivedAt))
  const silent = spread(details.map((detail) => provenBySilence(detail) - detail.operation.receivedAt))
  const exact = spread(details.map(({ evidence }) => evidence.hold!.measured - evidence.hold!.asked))
  const cost = spread(
    details.map(
      ({ evidence, operation }) =>
        operation.endedAt! - operation.receivedAt - evidence.hold!.measured - evidence.recovery!
    )
  )
  const lift = spread(cancels)
  const ours = spread(recoveries)
  const base = spread(bare)
  const least = spread(floors)
  const node = spread(nothing)
  const close = ours.p50 <= Math.max(base.p50 * 1.1, base.p50 + 20)
  return [
    {
      name: "the floor: who is who, SIGSTOP, every thread checked, 50 ms of silence, by a bare program; and node -e 0",
      measured: `${inMillis(least)}; node -e 0 p50 ${node.p50.toFixed(1)} ms`,
      goal: "",
      met: null
    },
    {
      name: "accepted to loss proven, with the independent fact",
      measured: `${besideFloor(proven, least)}, ${(proven.p50 / node.p50).toFixed(2)} × node -e 0; ${inMillis(proven)}`,
      goal: "p50 ≤ 2 × floor and ≤ 3 × node -e 0, p99 ≤ 4 × floor",
      met: proven.p50 <= 2 * least.p50 && proven.p50 <= 3 * node.p50 && proven.p99 <= 4 * least.p50
    },
    {
      name: "accepted to loss proven by silence alone, the same samples judged without the fact",
      measured: `floor + ${(silent.p50 - least.p50).toFixed(0)} ms; ${inMillis(silent)}`,
      goal: "p50 ≤ floor + 500 ms",
      met: silent.p50 <= least.p50 + 500
    },
    {
      name: "lift to first acknowledged write, against a bare program that sends SIGCONT and writes",
      measured: `ours ${inMillis(ours)}; bare ${inMillis(base)}`,
      goal: "median ≤ 1.1 × or + 20 ms",
      met: close
    },
    {
      name: "operation time − measured hold − the system's own recovery",
      measured: inMillis(cost),
      goal: "p50 ≤ 1000 ms",
      met: cost.p50 <= 1000
    },
    {
      name: "measured hold − asked hold",
      measured: inMillis(exact),
      goal: "p99 within ± 100 ms",
      met: Math.abs(exact.p99) <= 100 && exact.min >= -100
    },
    {
      name: "cancel accepted to lifted, by the host's own record",
      measured: inMillis(lift),
      goal: "p99 ≤ 100 ms",
      met: lift.p99 <= 100
    }
  ]
}

// Only a pause of kernel grade puts on record when it bit.
const bites = async (worker: Child, group: Group, { hold, rounds }: Trial): Promise<ReadonlyArray<Figure>> => {
  const seen: Array<Bite> = []
  for (let round = 0; round <= rounds; round++) {
    const bitten = await bite(await plannedFences(worker, group, hold))
    if (bitten === null) return []
    if (round > 0) seen.push(bitten)
  }
  const stopped = spread(seen.map(({ stopped }) => stopped))
  const apart = spread(seen.map(({ spread }) => spread))
  return [
    {
      name: "go sent to every thread of the cut stopped, by the host's own record",
      measured: inMillis(stopped),
      goal: "p99 ≤ 10 ms",
      met: stopped.p99 <= 10
    },
    {
      name: "from the first thread of the cut seized to the last one stopped",
      measured: inMillis(apart),
      goal: "p99 ≤ 5 ms",
      met: apart.p99 <= 5
    }
  ]
}

const besideFloor = (measured: Spread, least: Spread): string =>
  `p50 ${(measured.p50 / least.p50).toFixed(2)} × floor, p99 ${(measured.p99 / least.p50).toFixed(2)} ×`

const startOfNode = (): number => {
  const began = performance.now()
  spawnSync(process.execPath, ["-e", "0"], { stdio: "ignore" })
  return performance.now() - began
}

const url = (worker: Child, target: string): string => `http://127.0.0.1:${worker.port}${target}`

const json = async <A>(request: Promise<Response>): Promise<A> => {
  const response = await request
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as A
}

const groupOf = async (worker: Child): Promise<Group> => {
  const clusters = await json<
    ReadonlyArray<{ groups: ReadonlyArray<{ cluster: string; group: string; partitionId: string }> }>
  >(fetch(url(worker, "/v1/clusters")))
  const [group] = clusters.flatMap(({ groups }) => groups)
  return { service: `${group!.cluster}~${group!.group}`, partition: group!.partitionId }
}

const begin = async (worker: Child, group: Group, millis: number): Promise<string> => {
  const id = randomUUID()
  await json(
    fetch(url(worker, `/v1/operations/${id}`), {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestOf(group, millis))
    })
  )
  return id
}

const detailOf = (worker: Child, id: string): Promise<OperationDetail> =>
  json(fetch(url(worker, `/v1/operations/${id}`)))

const settled = async (worker: Child, id: string): Promise<OperationDetail> => {
  for (;;) {
    const detail = await detailOf(worker, id)
    if (detail.operation.endedAt !== null) return detail
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/**
 * An operation that completed. On a busy machine one may not complete. It is then reported and done again, a few times
 * at most.
 */
const completed = async (worker: Child, group: Group, hold: number, tries = 3): Promise<OperationDetail> => {
  const detail = await settled(worker, await begin(worker, group, hold))
  if (detail.state === "Completed") return detail
  const said = `ended ${detail.state}: ${JSON.stringify(detail.evidence.notes)}`
  if (tries === 1) throw new Error(said)
  process.stderr.write(`done again: an operation ${said}\n`)
  return completed(worker, group, hold, tries - 1)
}

const plannedFences = async (worker: Child, group: Group, hold: number): Promise<ReadonlyArray<PlannedFence>> => {
  // The worker's view of the group is a second old at most.
  await new Promise((resolve) => setTimeout(resolve, 1200))
  const { plan } = await json<PlanPreview>(
    fetch(url(worker, "/v1/plan"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestOf(group, hold))
    })
  )
  return plan!.fences
}

const requestOf = (group: Group, hold: number) => ({
  serviceName: `fabric:/${group.service.replace("~", "/")}`,
  partitionId: group.partition,
  mode: "QuorumReplicas",
  hold
})

const phase = (evidence: Evidence, name: string): number => evidence.phases.find(({ phase }) => phase === name)!.began

const holds = ({ operation }: OperationDetail): boolean => {
  const { stage } = operation
  return stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Holding"
}

/**
 * When the judge would have called the loss proven, had nobody known how many voters stand still. The samples of a real
 * hold, each as it stood at that moment, go to the engine's own judge every 10 ms, as in the engine.
 */
const provenBySilence = ({ evidence }: OperationDetail): number => {
  const armedAt = phase(evidence, "Verifying")
  const until = phase(evidence, "Lifting")
  for (let now = armedAt; now < until; now += 10) {
    const samples = evidence.samples
      .filter(({ sentAt }) => sentAt <= now)
      .map((sample) =>
        sample.endedAt !== null && sample.endedAt > now ? { ...sample, endedAt: null, outcome: null } : sample
      )
    const judged = judgeLoss({ samples, armedAt, independentFact: null, now, budgetEnds: until, deadline: until })
    if (judged._tag === "LossConfirmed") return now
  }
  throw new Error("the hold was too short to be proven by silence alone")
}

/** From the moment the cancel was answered to the moment the last fence was off. */
const cancelled = async (worker: Child, group: Group): Promise<number> => {
  const id = await begin(worker, group, 30_000)
  while (!holds(await detailOf(worker, id))) await new Promise((resolve) => setTimeout(resolve, 10))
  await json(fetch(url(worker, `/v1/operations/${id}/cancel`), { method: "POST" }))
  const accepted = Date.now()
  const { evidence } = await settled(worker, id)
  return Math.max(...evidence.fences.map(({ offAt }) => offAt! - accepted))
}
