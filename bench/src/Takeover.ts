/**
 * Two workers on one PostgreSQL. The one that holds a loss is killed, and the other takes the operation over: the time
 * until then, by the store's own record. And a store that stands still for a second, by which nothing may change.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as fs from "node:fs"
import * as path from "node:path"
import * as BareGroup from "./BareGroup.ts"
import { type Child, startWorker } from "./Child.ts"
import { type Figure, inTime, spread } from "./Figures.ts"
import * as Front from "./Front.ts"
import { withLab } from "./Labs.ts"
import * as Left from "./Left.ts"
import * as PostgresServer from "./PostgresServer.ts"

/** The figures of so many takeovers, and of a fifth as many stalls of the store. */
export const measure = (folder: string, count: number): Promise<ReadonlyArray<Figure>> =>
  withLab({ system: "etcd", name: "bench-takeover" }, (lab) =>
    withLab({ system: "postgres", name: "bench-store" }, async (store) => {
      await PostgresServer.alone(store)
      const config = configure(folder, lab, store)
      const workers = new Map<string, Child>()
      for (const name of ["one", "two"]) workers.set(name, await startWorker(config, null, ["--worker-id", name]))
      try {
        const takeovers = await takeOver({ config, lab, store, workers }, count)
        return [...takeovers, await stall({ config, lab, store, workers }, Math.ceil(count / 5))]
      } finally {
        for (const worker of workers.values()) await worker.end()
      }
    })
  )

// --- internal ---

interface World {
  readonly config: string
  readonly lab: LabRecord
  readonly store: LabRecord
  readonly workers: Map<string, Child>
}

/** Adds the shared store to the lab's configuration. */
const configure = (folder: string, lab: LabRecord, store: LabRecord): string => {
  const { database, password, user } = store.configuration as Readonly<Record<string, unknown>>
  const [host, port] = store.members[0]!.address.split(":")
  const shared = { postgres: { host, port: Number(port), database, user, password } }
  const file = path.join(folder, "takeover.yaml")
  const own = fs.readFileSync(Lab.configurationFile(lab.name), "utf8")
  fs.writeFileSync(file, `${own}\nstore: ${JSON.stringify(shared)}\n`)
  return file
}

/** Starts a loss at worker one, and waits until it holds. */
const hold = async ({ workers }: World, millis: number): Promise<OperationDetail> => {
  const worker = workers.get("one")!
  const group = await Front.groupOf(worker)
  await Front.plannedFences(worker, group, millis)
  const detail = await Front.heldOrEnded(worker, await Front.begin(worker, group, millis))
  if (!Front.holds(detail)) throw new Error(`it does not hold: ${JSON.stringify(detail.evidence.notes)}`)
  return detail
}

const ownerOf = ({ evidence }: OperationDetail): string => evidence.owners.at(-1)!.worker

const takeOver = async (world: World, count: number): Promise<ReadonlyArray<Figure>> => {
  const { config, lab, workers } = world
  const taken: Array<number> = []
  const broken: Array<string> = []
  const ids: Array<string> = []
  for (let turn = 0; turn < count; turn++) {
    const held = await hold(world, 60_000)
    const { id } = held.operation
    const owner = ownerOf(held)
    const other = workers.get(owner === "one" ? "two" : "one")!
    // Heartbeats go every 300 ms, and a kill may come at any moment between two.
    await Front.pause(Math.random() * 300)
    const killed = Date.now()
    process.kill(workers.get(owner)!.pid, "SIGKILL")
    await workers.get(owner)!.end()
    const later = await Front.once(other, id, 25, (detail) => ownerOf(detail) !== owner)
    if (ownerOf(later) === owner) throw new Error(`nobody took ${id} over in two minutes`)
    taken.push(later.evidence.owners.at(-1)!.at - killed)
    if (!Front.holds(later)) broken.push(`${id} did not hold when it was taken over`)
    await Front.cancel(other, id)
    const ended = await Front.settled(other, id)
    if (ended.state !== "Cancelled") broken.push(`${id} is ${ended.state}`)
    broken.push(...Left.by(ended, lab))
    ids.push(id)
    workers.set(owner, await startWorker(config, null, ["--worker-id", owner]))
  }
  broken.push(...(await Left.inTheEnd(ids)))
  return [
    inTime(
      "the owner killed in its hold to the other's name in the store",
      taken,
      "p99 ≤ 2000 ms",
      ({ p99 }) => p99 <= 2000
    ),
    {
      name: "what the takeovers broke or left",
      measured: broken.length === 0 ? `nothing, ${count} times` : broken.join("; "),
      goal: "nothing",
      met: broken.length === 0
    }
  ]
}

const stall = async (world: World, count: number): Promise<Figure> => {
  const { lab, store, workers } = world
  const server = [store.members[0]!.name]
  const broken: Array<string> = []
  const errors: Array<number> = []
  const unobserved: Array<number> = []
  for (let turn = 0; turn < count; turn++) {
    const held = await hold(world, 4000)
    const { id } = held.operation
    await Front.pause(Math.random() * 1000)
    const stopped = BareGroup.processesOf(store, server)
    try {
      BareGroup.signal(stopped, "SIGSTOP")
      await Front.pause(1000)
    } finally {
      BareGroup.signal(stopped, "SIGCONT")
    }
    const ended = await Front.settled(workers.get("one")!, id)
    const { evidence, operation, state } = ended
    if (state !== "Completed") broken.push(`${id} is ${state}`)
    if (evidence.owners.length > 1) broken.push(`${id} was taken over`)
    if (operation.attempt > 1) broken.push(`${id} needed a second attempt`)
    if ((evidence.overrun ?? 0) > 0) broken.push(`a fence of ${id} stood ${evidence.overrun} ms too long`)
    broken.push(...Left.by(ended, lab))
    if (evidence.hold !== null) errors.push(Front.heldTooLong(ended))
    unobserved.push(evidence.unobserved)
  }
  const error = spread(errors)
  return {
    name: "the store stopped for 1 s in a hold of 4 s: what that changed",
    measured: `${broken.length === 0 ? "nothing" : broken.join("; ")} (${count} times; measured hold − asked hold ${error.min.toFixed(0)} to ${error.max.toFixed(0)} ms; at most ${spread(unobserved).max.toFixed(0)} ms unobserved)`,
    goal: "nothing taken over, nothing broken",
    met: broken.length === 0
  }
}
