/**
 * A worker's front as the benchmarks use it: its one group, a loss of its quorum from start to end, and the plan of one.
 * What an operation took is read from its evidence.
 */
import type { Evidence } from "@inquorate/core/Evidence"
import type { OperationDetail, PlanPreview } from "@inquorate/core/Operations"
import type { PlannedFence } from "@inquorate/core/Plan"
import { randomUUID } from "node:crypto"
import type { Child } from "./Child.ts"

/** A group by the words of the wire. */
export interface Group {
  readonly service: string
  readonly partition: string
}

/** The first group that the worker knows, once it has seen one. */
export const groupOf = async (worker: Child): Promise<Group> => {
  for (const until = Date.now() + patience; ;) {
    const clusters = await json<
      ReadonlyArray<{ groups: ReadonlyArray<{ cluster: string; group: string; partitionId: string }> }>
    >(fetch(url(worker, "/v1/clusters")))
    const [group] = clusters.flatMap(({ groups }) => groups)
    if (group !== undefined) return { service: `${group.cluster}~${group.group}`, partition: group.partitionId }
    if (Date.now() > until) throw new Error(`the worker saw no group in ${patience / 1000} s`)
    await pause(100)
  }
}

/** What the worker said to a start: the id of what it took, or why it took none, such as while a member is still out. */
export interface Answer {
  readonly id: string | null
  readonly refusal: string
}

/** Asks for a loss that holds for so many milliseconds. */
export const ask = async (worker: Child, group: Group, hold: number): Promise<Answer> => {
  const id = randomUUID()
  const response = await fetch(url(worker, `/v1/operations/${id}`), {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(requestOf(group, hold))
  })
  const text = await response.text()
  if (response.ok) return { id, refusal: "" }
  if (response.status === 422) return { id: null, refusal: text }
  throw new Error(`${response.status} ${text}`)
}

/** The same, where a refusal is a failure. */
export const begin = async (worker: Child, group: Group, hold: number): Promise<string> => {
  const { id, refusal } = await ask(worker, group, hold)
  if (id === null) throw new Error(`the start was refused: ${refusal}`)
  return id
}

/** The operation with its evidence, as it stands now. */
export const detailOf = (worker: Child, id: string): Promise<OperationDetail> =>
  json(fetch(url(worker, `/v1/operations/${id}`)))

/** The operation once it is so, or as it stands after two minutes; it is looked at `every` so many milliseconds. */
export const once = async (
  worker: Child,
  id: string,
  every: number,
  isSo: (detail: OperationDetail) => boolean
): Promise<OperationDetail> => {
  for (const until = Date.now() + longest; ;) {
    const detail = await detailOf(worker, id)
    if (isSo(detail) || Date.now() > until) return detail
    await pause(every)
  }
}

/** The operation once it has ended, or as it stands after two minutes. */
export const settled = (worker: Child, id: string): Promise<OperationDetail> =>
  once(worker, id, 25, ({ operation }) => operation.endedAt !== null)

/** The operation once it holds, or once it has ended without that. */
export const heldOrEnded = (worker: Child, id: string): Promise<OperationDetail> =>
  once(worker, id, 10, (detail) => holds(detail) || detail.operation.endedAt !== null)

/** True while the operation holds a loss that is proven. */
export const holds = ({ operation }: OperationDetail): boolean => {
  const { stage } = operation
  return stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Holding"
}

/** Asks the operation to stop, and gives back when that was answered. */
export const cancel = async (worker: Child, id: string): Promise<number> => {
  await json(fetch(url(worker, `/v1/operations/${id}/cancel`), { method: "POST" }))
  return Date.now()
}

/** What a loss would take out now. */
export const plannedFences = async (
  worker: Child,
  group: Group,
  hold: number
): Promise<ReadonlyArray<PlannedFence>> => {
  // The worker's view of the group is a second old at most.
  await pause(1200)
  for (const until = Date.now() + patience; ;) {
    const { plan, refusal } = await json<PlanPreview>(
      fetch(url(worker, "/v1/plan"), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(requestOf(group, hold))
      })
    )
    if (plan !== null && refusal === null) return plan.fences
    if (Date.now() > until) throw new Error(`there is no plan: ${JSON.stringify(refusal)}`)
    await pause(500)
  }
}

/** When a phase began first. */
export const began = (evidence: Evidence, name: string): number =>
  evidence.phases.find(({ phase }) => phase === name)!.began

/** From accepted to the loss proven. */
export const toProven = ({ evidence, operation }: OperationDetail): number =>
  began(evidence, "Holding") - operation.receivedAt

/** How much longer than asked the loss was held. */
export const heldTooLong = ({ evidence }: OperationDetail): number => evidence.hold!.measured - evidence.hold!.asked

/** What the operation took besides the hold and the system's own recovery. */
export const costOf = ({ evidence, operation }: OperationDetail): number =>
  operation.endedAt! - operation.receivedAt - evidence.hold!.measured - evidence.recovery!

/** When the last of its fences was off, by the hosts' own records. */
export const liftedAt = ({ evidence }: OperationDetail): number =>
  Math.max(...evidence.fences.map(({ offAt }) => offAt!))

/** Waits. */
export const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

// --- internal ---

/** How long a group may take to be seen and whole. */
const patience = 60_000

/** How long an operation may take to end. */
const longest = 120_000

const url = (worker: Child, target: string): string => `http://127.0.0.1:${worker.port}${target}`

const json = async <A>(request: Promise<Response>): Promise<A> => {
  const response = await request
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as A
}

const requestOf = (group: Group, hold: number) => ({
  serviceName: `fabric:/${group.service.replace("~", "/")}`,
  partitionId: group.partition,
  mode: "QuorumReplicas",
  hold
})
