/**
 * Losses of quorum of which every one is to complete: how many did, what any of them left behind, and how the times of
 * them spread. Some more are cancelled while they hold.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import type { Child } from "./Child.ts"
import { type Figure, inTime } from "./Figures.ts"
import * as Front from "./Front.ts"
import * as Left from "./Left.ts"

/** Which losses: `count` that hold for `hold` milliseconds, and half as many besides that are cancelled. */
export interface Trial {
  readonly worker: Child
  readonly lab: LabRecord
  readonly count: number
  readonly hold: number
}

/** The figures of these losses, one after the other. */
export const measure = async (trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const { count, hold, lab, worker } = trial
  const group = await Front.groupOf(worker)
  const seen: Seen = { held: [], cancelled: [], lifts: [], left: [], refusals: [] }
  for (let turn = 0; turn < count; turn++) {
    const held = await Front.settled(worker, await taken(worker, group, hold, seen))
    seen.held.push(held)
    look(held, lab, seen)
    if (turn % 2 === 1) continue
    const id = await taken(worker, group, 60_000, seen)
    const isHeld = Front.holds(await Front.heldOrEnded(worker, id))
    const accepted = isHeld ? await Front.cancel(worker, id) : null
    const cancelled = await Front.settled(worker, id)
    seen.cancelled.push(cancelled)
    look(cancelled, lab, seen)
    if (accepted !== null) seen.lifts.push(Front.liftedAt(cancelled) - accepted)
  }
  const ids = [...seen.held, ...seen.cancelled].map(({ operation }) => operation.id)
  seen.left.push(...(await Left.inTheEnd(ids)))
  return figures(seen)
}

// --- internal ---

interface Seen {
  readonly held: Array<OperationDetail>
  readonly cancelled: Array<OperationDetail>
  /** From a cancel accepted to the last fence off. */
  readonly lifts: Array<number>
  readonly left: Array<string>
  readonly refusals: Array<string>
}

/** Starts a loss. While a guard says no, because the group is not whole again after the last one, it asks once more. */
const taken = async (worker: Child, group: Front.Group, hold: number, { refusals }: Seen): Promise<string> => {
  for (const until = Date.now() + 60_000; ;) {
    const { id, refusal } = await Front.ask(worker, group, hold)
    if (id !== null) return id
    refusals.push(refusal)
    if (Date.now() > until) throw new Error(`no start was taken in a minute: ${refusal}`)
    await Front.pause(500)
  }
}

const look = (detail: OperationDetail, lab: LabRecord, { left }: Seen): void => {
  left.push(...Left.by(detail, lab))
  if (detail.state === "Completed" || detail.state === "Cancelled") return
  process.stderr.write(`${detail.operation.id} is ${detail.state}: ${JSON.stringify(detail.evidence.notes)}\n`)
}

const figures = ({ cancelled, held, left, lifts, refusals }: Seen): ReadonlyArray<Figure> => {
  const completed = held.filter(({ state }) => state === "Completed")
  const stopped = cancelled.filter(({ state }) => state === "Cancelled")
  const again = completed.filter(({ operation }) => operation.attempt > 1)
  const overruns = [...held, ...cancelled].flatMap(({ evidence }) => evidence.overrun ?? [])
  for (const what of left) process.stderr.write(`left: ${what}\n`)
  return [
    {
      name: "how losses ended",
      measured: `${completed.length} of ${held.length} Completed, ${again.length} of them by a second attempt; ${stopped.length} of ${cancelled.length} that were cancelled Cancelled; ${refusals.length} starts refused until the group was whole again`,
      goal: "every one Completed",
      met: completed.length === held.length && stopped.length === cancelled.length
    },
    {
      name: "what they left: fences, paused members, keepers, tables",
      measured: left.length === 0 ? "nothing" : left.join("; "),
      goal: "nothing",
      met: left.length === 0
    },
    ...(completed.length === 0
      ? []
      : [
          inTime("accepted to loss proven", completed.map(Front.toProven)),
          inTime("measured hold − asked hold", completed.map(Front.heldTooLong)),
          inTime(
            "lift to first acknowledged write",
            completed.map(({ evidence }) => evidence.recovery!)
          ),
          inTime("operation time − measured hold − the system's own recovery", completed.map(Front.costOf))
        ]),
    ...(lifts.length === 0 ? [] : [inTime("cancel accepted to lifted, by the host's own record", lifts)]),
    ...(overruns.length === 0
      ? []
      : [inTime("how long a fence stood past its deadline", overruns, "≤ 500 ms", ({ max }) => max <= 500)])
  ]
}
