/** What the stories of losses on a real PostgreSQL quorum group are told with: one lab, and a worker for each story. */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll } from "vitest"
import * as Harness from "./Harness.ts"

export let world: Harness.World
export let partition: string
let store = 0

/** The name of a store that no worker has used. */
export const fresh = () => `worker-${++store}.db`

/** Starts the lab before the stories of a file, and takes it down after them. */
export const onOneLab = (): void => {
  beforeAll(async () => {
    world = await Harness.open("postgres", "orders")
    const worker = await Harness.startWorker(world, fresh())
    partition = await Harness.partitionOf(worker, world)
    worker.kill("SIGTERM")
    assert.strictEqual(await worker.ended, 0)
  }, Harness.within(120_000))

  afterAll(async () => {
    await Harness.close(world)
  }, Harness.within(60_000))
}

/** Runs a story with a worker of its own and ends it politely. */
export const withWorker = async (story: (worker: Harness.Worker) => Promise<void>): Promise<void> => {
  const worker = await Harness.startWorker(world, fresh())
  try {
    await story(worker)
  } finally {
    worker.kill("SIGTERM")
    await worker.ended
    await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
    await Harness.until("writes commit again", 20_000, () => Harness.writeCommits(world, 1000))
  }
}

/** Starts a loss and waits until both standbys are really stopped. */
export const takeQuorum = async (worker: Harness.Worker, seconds: number): Promise<string> => {
  const id = randomUUID()
  assert.deepStrictEqual(await Harness.startLoss(worker, world, { id, partition, seconds }), { status: 202, body: "" })
  await Harness.taken(worker, world, id, 2)
  return id
}

/** When the fences of an operation that holds are off at the latest. */
export const deadlineOf = async (worker: Harness.Worker, id: string): Promise<number> => {
  const { stage } = (await Harness.detail(worker, id)).operation
  assert.isTrue(stage._tag === "Advancing" && stage.step._tag === "PerformingActions")
  return stage._tag === "Advancing" && stage.step._tag === "PerformingActions" ? stage.step.order.deadline : 0
}
