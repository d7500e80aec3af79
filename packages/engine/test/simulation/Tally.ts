/**
 * What many runs came to: how often each disturbance and each ending really happened, and which seeds failed. Tallies of
 * several threads add up to one.
 */
import type { Outcome } from "./Run.ts"

/** What many runs came to; plain data, so that threads can hand it over. */
export interface Tally {
  runs: number
  steps: number
  /** Simulated time, in milliseconds. */
  span: number
  counts: Record<string, number>
  endings: Record<string, number>
  failures: Array<{ readonly seed: number; readonly violation: string }>
}

/** A tally of nothing. */
export const empty = (): Tally => ({ runs: 0, steps: 0, span: 0, counts: {}, endings: {}, failures: [] })

/** Adds one run. */
export const addRun = (tally: Tally, { counts, endings, seed, span, steps, violation }: Outcome): void => {
  tally.runs++
  tally.steps += steps
  tally.span += span
  for (const [what, times] of counts) tally.counts[what] = (tally.counts[what] ?? 0) + times
  for (const [state, times] of endings) tally.endings[state] = (tally.endings[state] ?? 0) + times
  if (violation !== null) tally.failures.push({ seed, violation })
}

/** Adds another tally. */
export const addTally = (tally: Tally, other: Tally): void => {
  tally.runs += other.runs
  tally.steps += other.steps
  tally.span += other.span
  for (const [what, times] of Object.entries(other.counts)) tally.counts[what] = (tally.counts[what] ?? 0) + times
  for (const [state, times] of Object.entries(other.endings)) tally.endings[state] = (tally.endings[state] ?? 0) + times
  tally.failures.push(...other.failures)
}

/** The one command that replays a seed, with its whole trace. */
const replay = (seed: number): string => `pnpm simulate --seed ${seed}`

/** The failures in words, each with the command that replays it. */
export const describeFailures = ({ failures }: Tally): ReadonlyArray<string> =>
  [...failures]
    .sort((a, b) => a.seed - b.seed)
    .map(({ seed, violation }) => `seed ${seed}: ${violation}\n  replay: ${replay(seed)}`)

/** The tally as a person reads it. */
export const report = (tally: Tally): string => {
  const hours = (tally.span / 3_600_000).toFixed(1)
  const lines = [
    `${tally.runs} runs, ${tally.failures.length} failed; ${tally.steps} steps, ${hours} simulated hours`,
    "",
    "How operations ended:",
    ...table(tally.endings),
    "",
    "What happened:",
    ...table(tally.counts)
  ]
  return lines.join("\n")
}

// --- internal ---

const table = (counts: Record<string, number>): ReadonlyArray<string> =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, times]) => `  ${String(times).padStart(9)}  ${what}`)
