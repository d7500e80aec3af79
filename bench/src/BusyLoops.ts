/**
 * Busy loops beside a benchmark: processes that compute and do nothing else, so that a figure tells what it is on a machine
 * that has other work. Each ends by itself within milliseconds once whoever started it is gone.
 */
import { spawn } from "node:child_process"
import { runs } from "./Child.ts"

/** Runs `use` while so many loops are busy. It fails where one of them ended meanwhile. */
export const beside = async <A>(count: number, use: () => Promise<A>): Promise<A> => {
  const loops = Array.from({ length: count }, () => runs(spawn(process.execPath, ["-e", loop], { stdio: "ignore" })))
  try {
    const result = await use()
    const ended = loops.filter(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)
    if (ended.length > 0) throw new Error(`${ended.length} of ${count} busy loops ended by themselves`)
    return result
  } finally {
    for (const child of loops) child.kill("SIGKILL")
  }
}

// --- internal ---

const loop = "const parent = process.ppid; while (process.ppid === parent) for (let turn = 0; turn < 1e6; turn++);"
