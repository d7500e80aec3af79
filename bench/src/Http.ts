/**
 * Progress reads per second: the worker against the bare handler, interleaved in one run.
 */
import * as path from "node:path"
import * as Calls from "./Calls.ts"
import { start, startWorker } from "./Child.ts"
import { type Figure, inRatio } from "./Figures.ts"
import { withQueue } from "./Queue.ts"
import { inTurns } from "./Turns.ts"

/** The figure. `folder` is a scratch folder, and `rounds` says how often each side has its turn. */
export const measure = (folder: string, rounds: number): Promise<ReadonlyArray<Figure>> =>
  withQueue(folder, async (config) => {
    const rates = await inTurns(rounds, Calls.reads, {
      ours: (round) => startWorker(config, path.join(folder, `ours-${round}.db`)),
      bare: (round) => start([path.join(import.meta.dirname, "BareServer.ts"), path.join(folder, `bare-${round}.db`)])
    })
    return [inRatio("progress reads per second, against the same handler with the same codec", rates, 0.8)]
  })
