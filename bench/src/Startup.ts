/**
 * How long the command line takes to answer, against a Node that does nothing.
 */
import { spawnSync } from "node:child_process"
import * as path from "node:path"
import { bundles, startWorker } from "./Child.ts"
import { type Figure, inMillis, spread } from "./Figures.ts"

/** The two start-up figures, interleaved with the baseline. */
export const measure = async (folder: string, rounds: number): Promise<ReadonlyArray<Figure>> => {
  const worker = await startWorker(path.join(folder, "empty.yaml"), path.join(folder, "startup.db"))
  const times = { nothing: [] as Array<number>, help: [] as Array<number>, list: [] as Array<number> }
  const commands = {
    nothing: ["-e", "0"],
    help: [bundles.inq, "--help"],
    list: [bundles.inq, "--endpoint", `http://127.0.0.1:${worker.port}`, "list"]
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [name, arguments_] of Object.entries(commands)) {
      const began = performance.now()
      const { status } = spawnSync(process.execPath, arguments_, { stdio: "ignore" })
      if (status !== 0) throw new Error(`${name} ended with ${status}`)
      // The first round fills the disk cache.
      if (round > 0) times[name as keyof typeof times].push(performance.now() - began)
    }
  }
  await worker.end()
  const base = spread(times.nothing).p50
  return [
    figure("inq --help against node -e 0", times.help, base, 2),
    figure("inq list against node -e 0", times.list, base, 3)
  ]
}

/** Milliseconds that a Node which does nothing takes now. */
export const startOfNode = (): number => {
  const began = performance.now()
  spawnSync(process.execPath, ["-e", "0"], { stdio: "ignore" })
  return performance.now() - began
}

// --- internal ---

const figure = (name: string, times: ReadonlyArray<number>, base: number, goal: number): Figure => {
  const measured = spread(times)
  const ratio = measured.p50 / base
  return {
    name,
    measured: `${ratio.toFixed(2)} × of ${base.toFixed(0)} ms; ${inMillis(measured)}`,
    goal: `≤ ${goal} ×`,
    met: ratio <= goal
  }
}
