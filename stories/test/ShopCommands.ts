/** What the stories of `inq` are told with: a PostgreSQL lab that is called shop, a worker, and the bundled command. */
import { afterAll, beforeAll } from "vitest"
import * as Harness from "./Harness.ts"

export let world: Harness.World
export let worker: Harness.Worker

/** Starts the lab and the worker before the stories of a file, and ends them after. */
export const onOneLab = (): void => {
  beforeAll(async () => {
    world = await Harness.open("postgres", "shop")
    worker = await Harness.startWorker(world, "cli.db")
  }, Harness.within(120_000))

  afterAll(async () => {
    await Harness.close(world)
  }, Harness.within(60_000))
}

/** Runs `inq` with the worker as its endpoint, to its end. */
export const inq = (...arguments_: ReadonlyArray<string>): Promise<Harness.Ran> =>
  Harness.inq("--endpoint", worker.endpoint, ...arguments_)
