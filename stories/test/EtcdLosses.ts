/** What the stories of losses on a real etcd cluster are told with: one lab, and one worker until a story kills it. */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll } from "vitest"
import * as Harness from "./Harness.ts"

export let world: Harness.World
export let worker: Harness.Worker
export let partition: string

/** Starts a worker, the next one on the store of the one before. */
export const startWorker = async (): Promise<void> => {
  worker = await Harness.startWorker(world, "etcd.db")
}

/** Starts the lab and the worker before the stories of a file, and ends them after. */
export const onOneLab = (): void => {
  beforeAll(async () => {
    world = await Harness.open("etcd", "keys")
    await startWorker()
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    await Harness.close(world)
  }, Harness.within(60_000))
}

/** Starts a loss and waits until its members are really stopped. */
export const take = async (
  seconds: number,
  mode: "QuorumReplicas" | "AllReplicas" = "QuorumReplicas"
): Promise<string> => {
  const id = randomUUID()
  const started = await Harness.startLoss(worker, world, { id, partition, seconds, mode })
  assert.deepStrictEqual(started, { status: 202, body: "" })
  await Harness.taken(worker, world, id, mode === "AllReplicas" ? 3 : 2)
  return id
}

/** Waits until a next loss can be taken. */
export const recovered = async (): Promise<void> => {
  await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
  await Harness.until("PUTs are acknowledged again", 20_000, () => Harness.writeCommits(world, 1000))
  // A member may hear of the new leader after the PUTs, and the next loss is refused until then.
  await Harness.whole(worker, world)
}

/** The verdicts of an operation. */
export const verdictsOf = async (id: string): Promise<ReadonlyArray<string>> =>
  (await Harness.detail(worker, id)).evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`)

/** The verdicts of a loss that was proven. */
export const confirmed = ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"]
