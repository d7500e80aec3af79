/**
 * Prepares every test: one that fails prints what the machine was doing. On a machine that is busy or slow, that is
 * half of the answer. What tests start has no cache of compiled code from us. Vitest loads this file into every test file.
 */
import { spawnSync } from "node:child_process"
import { cpus, loadavg } from "node:os"
import { beforeEach } from "vitest"
import { factor } from "./Pace.ts"

const timeToStart = (program: string, arguments_: ReadonlyArray<string>): string => {
  const began = process.hrtime.bigint()
  spawnSync(program, arguments_, { stdio: "ignore" })
  return `${(process.hrtime.bigint() - began) / 1_000_000n} ms`
}

delete process.env["NODE_COMPILE_CACHE"]

beforeEach(({ onTestFailed }) => {
  onTestFailed(({ task }) => {
    const load = loadavg().map((value) => value.toFixed(1))
    process.stderr.write(
      `while "${task.name}" failed: load ${load.join(", ")} on ${cpus().length} cores, a shell started in ${timeToStart("sh", ["-c", ":"])}, Node in ${timeToStart(process.execPath, ["-e", "0"])}, bounds were multiplied by ${factor}\n`
    )
  })
})
