import { assert, describe, it } from "@effect/vitest"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import type { Host } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { type Standing, standingOf } from "../src/Standing.ts"

const here = LocalHost.make("here")

const ref = (pid: number, startTime: string) => ({
  host: "here",
  pid,
  startTime,
  executable: "/bin/server",
  dataDirectory: "/data"
})

/** A host that says this of the process 42, which began at 7. */
const saying = (state: string, wait: string, before: number, after: number): Host => {
  const status = (turns: number) =>
    `Name:\tserver\nState:\t${state} (x)\nvoluntary_ctxt_switches:\t${turns}\nnonvoluntary_ctxt_switches:\t1\n`
  const stat = `42 (a) S 1\n---\n) ${state} ${"1 ".repeat(18)}7 0\n`
  const stdout = `${status(before)}---\n${stat}${wait}\n---\n${status(after)}`
  return { ...here, run: () => Effect.succeed({ exitCode: 0, stdout, stderr: "" }) }
}

const told = (host: Host): Effect.Effect<Standing> => standingOf(host, ref(42, "7"), 1000)

describe("how a silent member's process stands", () => {
  it.effect("is frozen where it waits as only the frozen do", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* told(saying("D", "do_epoll_wait", 5, 5)), "Frozen")
      assert.strictEqual(yield* told(saying("S", "get_signal", 5, 5)), "Frozen")
      assert.strictEqual(yield* told(saying("S", "do_epoll_wait", 5, 5)), "Runs")
    })
  )

  it.effect("is not frozen where it ran between the reading of its state and of what it waits for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* told(saying("D", "do_epoll_wait", 5, 6)), "Runs")
      assert.strictEqual(yield* told(saying("S", "get_signal", 5, 7)), "Runs")
    })
  )

  it.live("is told of a real process", () =>
    Effect.gen(function* () {
      const child = spawn("sleep", ["600"], { stdio: "ignore" })
      const pid = child.pid!
      const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
      const own = ref(pid, stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!)
      const standing = standingOf(here, own, 30_000)
      try {
        assert.strictEqual(yield* standing, "Runs")
        process.kill(pid, "SIGSTOP")
        // The signal is obeyed once the process has the processor.
        assert.strictEqual(yield* Effect.repeat(standing, { until: (seen) => seen !== "Runs" }), "Stopped")
      } finally {
        child.kill("SIGKILL")
        yield* Effect.promise(() => new Promise((resolve) => child.once("exit", resolve)))
      }
      assert.strictEqual(yield* standing, "Gone")
    })
  )
})
