/**
 * Losses on a busy machine: a real system's lab and the bundled worker, with busy loops beside them.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as os from "node:os"
import * as path from "node:path"
import * as BusyLoops from "./BusyLoops.ts"
import { type Child, startWorker } from "./Child.ts"
import { type Figure, inMillis, spread } from "./Figures.ts"
import { floor } from "./Floor.ts"
import * as Front from "./Front.ts"
import { withLab } from "./Labs.ts"
import { startOfNode } from "./Startup.ts"
import * as Tally from "./Tally.ts"

/** What to measure: so many losses of a system, with so many busy loops beside them. */
export interface Trial {
  readonly system: string
  readonly loops: number
  readonly count: number
  readonly hold: number
}

/** The figures of one system beside so many busy loops. */
export const measure = (folder: string, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  const { count, hold, loops, system } = trial
  const name = `bench-${system}-${loops}`
  return withLab({ system, name }, async (lab) => {
    const worker = await startWorker(Lab.configurationFile(name), path.join(folder, `${name}.db`))
    try {
      return await BusyLoops.beside(loops, async () => {
        const tally = await Tally.measure({ worker, lab, count, hold })
        return [...tally, await floorOf(worker, lab, Math.ceil(count / 5))]
      })
    } finally {
      await worker.end()
    }
  })
}

// --- internal ---

const floorOf = async (worker: Child, lab: LabRecord, rounds: number): Promise<Figure> => {
  const group = await Front.groupOf(worker)
  const floors: Array<number> = []
  const nothing: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const fences = await Front.plannedFences(worker, group, 1000)
    floors.push(
      await floor(
        lab,
        fences.map(({ member }) => member)
      )
    )
    nothing.push(startOfNode())
  }
  return {
    name: "the floor beside the same loops; node -e 0; the load",
    measured: `${inMillis(spread(floors))}; node -e 0 p50 ${spread(nothing).p50.toFixed(1)} ms; load ${os.loadavg()[0]!.toFixed(1)}`,
    goal: "",
    met: null
  }
}
