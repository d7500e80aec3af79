/**
 * The simulation from a command line: many seeds on all cores with progress and coverage, or one seed with its trace.
 *
 *   pnpm simulate                              1 000 seeds, as the tests run them
 *   pnpm simulate --seeds 1000000 --from 1     a million
 *   pnpm simulate --seed 41                    one, with every line of what happened
 *
 * Exits with 1 where a seed failed, and names for each the one command that replays it.
 */
import * as os from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import { run } from "./Run.ts"
import * as Tally from "./Tally.ts"

/** Seeds that a thread runs before it asks for more. */
const atOnce = 50
const progressEvery = 5000
const failuresShown = 20

interface Share {
  readonly from: number
  readonly seeds: number
}

const runShare = ({ from, seeds }: Share): Tally.Tally => {
  const tally = Tally.empty()
  for (let seed = from; seed < from + seeds; seed++) Tally.addRun(tally, run(seed))
  return tally
}

const number = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) {
    process.stderr.write(`--${name} must be a whole number of 0 or more; it is "${text}".\n`)
    process.exit(2)
  }
  return value
}

const replayOne = (seed: number): void => {
  const { counts, endings, hash, span, steps, trace, violation } = run(seed, { keepTrace: true })
  const lines = [
    ...trace,
    "",
    ...[...counts].map(([what, times]) => `${String(times).padStart(6)}  ${what}`),
    "",
    `ended as ${[...endings].map(([state, times]) => `${times} ${state}`).join(", ")}`,
    `seed ${seed}, trace ${hash}, ${steps} steps, ${span} ms simulated`,
    violation === null ? "every promise was kept" : `FAILED ${violation}`
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
  process.exitCode = violation === null ? 0 : 1
}

const runMany = async (from: number, seeds: number, threads: number): Promise<void> => {
  const tally = Tally.empty()
  const began = performance.now()
  const until = from + seeds
  let next = from
  const rate = (): string => (tally.runs / ((performance.now() - began) / 1000)).toFixed(1)
  const progress = setInterval(
    () => process.stderr.write(`${tally.runs} of ${seeds} runs, ${rate()} a second, ${tally.failures.length} failed\n`),
    progressEvery
  )
  const share = (): Share | null => {
    if (next >= until) return null
    const taken = { from: next, seeds: Math.min(atOnce, until - next) }
    next += taken.seeds
    return taken
  }
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const thread = new Worker(new URL(import.meta.url))
      const feed = (): void => {
        const taken = share()
        if (taken === null) void thread.terminate().then(() => resolve())
        // A thread is no window: there is no origin to name.
        // oxlint-disable-next-line unicorn/require-post-message-target-origin
        else thread.postMessage(taken)
      }
      thread.on("message", (part: Tally.Tally) => {
        Tally.addTally(tally, part)
        feed()
      })
      thread.on("error", reject)
      feed()
    })
  await Promise.all(Array.from({ length: threads }, work))
  clearInterval(progress)
  process.stdout.write(`${Tally.report(tally)}\n\n${rate()} runs a second on ${threads} threads\n`)
  const failures = Tally.describeFailures(tally)
  for (const line of failures.slice(0, failuresShown)) process.stdout.write(`\n${line}\n`)
  if (failures.length > failuresShown) process.stdout.write(`\n… and ${failures.length - failuresShown} more\n`)
  process.exitCode = failures.length === 0 ? 0 : 1
}

if (isMainThread) {
  const { values } = parseArgs({
    args: process.argv.slice(2).filter((word) => word !== "--"),
    options: {
      seed: { type: "string" },
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "1" },
      threads: { type: "string", default: String(os.availableParallelism()) }
    }
  })
  if (values.seed !== undefined) replayOne(number("seed", values.seed))
  else {
    const threads = Math.max(1, number("threads", values.threads))
    await runMany(number("from", values.from), number("seeds", values.seeds), threads)
  }
} else {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
  parentPort!.on("message", (share: Share) => parentPort!.postMessage(runShare(share)))
}
