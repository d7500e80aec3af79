/**
 * What a campaign found, as a person reads it: a table by grade and blow, the spreads, and every promise that was seen
 * broken. Text in Markdown, so that it can be published as it is.
 */
import type { Seen } from "./Run.ts"

/** The report of all runs. */
export const report = (runs: ReadonlyArray<Seen>): string => {
  const lines = [
    `${runs.length} runs: ${countBy(runs, ({ system }) => system)}; ${countBy(runs, ({ state }) => state)}.`,
    "",
    "| grade | what was killed | runs | leaks | waited for the sweep | overrun at most, p50 / p99 / max (ms) |",
    "|---|---|---|---|---|---|"
  ]
  for (const [key, group] of [...groupBy(runs, ({ blow, grade }) => `${grade} | ${blow}`)].sort()) {
    const waited = group.filter(waitsForSweep)
    const kept = group.filter((run) => !waitsForSweep(run))
    lines.push(
      `| ${key} | ${group.length} | ${kept.filter(({ leaked }) => leaked).length} | ${waited.length} | ${spread(kept.map(({ overrun }) => overrun))} |`
    )
  }
  lines.push("", "| figure (ms) | runs | p50 / p99 / max |", "|---|---|---|")
  const figure = (name: string, values: ReadonlyArray<number | null>) =>
    lines.push(`| ${name} | ${values.filter((value) => value !== null).length} | ${spread(values)} |`)
  const kept = runs.filter((run) => !waitsForSweep(run))
  for (const grade of ["Kernel", "Keeper"]) {
    const graded = kept.filter((run) => run.grade === grade)
    figure(
      `overrun at most, ${grade.toLowerCase()} grade`,
      graded.map(({ overrun }) => overrun)
    )
    figure(
      `overrun that was seen, ${grade.toLowerCase()} grade`,
      graded.map(({ overrunSeen }) => overrunSeen)
    )
  }
  for (const [system, group] of groupBy(runs, ({ system }) => system)) {
    figure(
      `the system's own recovery, ${system}`,
      group.map(({ recovery }) => recovery)
    )
  }
  figure(
    "takeover, two workers on one PostgreSQL",
    runs.map(({ takeover }) => takeover)
  )
  figure(
    "past the deadline until the sweep, keeper grade with every keeper killed",
    runs.filter(waitsForSweep).map(({ overrun }) => overrun)
  )
  figure(
    "longest time between two looks of the observer",
    runs.map(({ gap }) => gap)
  )
  const failures = runs.filter(({ failure }) => failure !== null)
  if (failures.length > 0) lines.push("", "What ended Faulted:", "")
  for (const { blow, failure, grade, system } of failures) lines.push(`- ${system}, ${grade}, ${blow}: ${failure}`)
  const broken = runs.flatMap(({ blow, broken, grade, id, system }) =>
    broken.map((what) => `- ${system}, ${grade}, ${blow}, ${id}: ${what}`)
  )
  lines.push(
    "",
    broken.length === 0
      ? "No operation was lost, nothing was done twice, no acknowledged write was lost, and no fence outlived its grace."
      : `Promises broken:\n${broken.join("\n")}`
  )
  return lines.join("\n")
}

// --- internal ---

// With every keeper dead, and no kernel that ends the fence, nothing but the sweep of the next worker's start does.
const waitsForSweep = ({ grade, unkept }: Seen): boolean => grade === "Keeper" && unkept

const groupBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item])
  return groups
}

const countBy = (runs: ReadonlyArray<Seen>, key: (run: Seen) => string): string =>
  [...groupBy(runs, key)].map(([name, group]) => `${group.length} ${name}`).join(", ")

const spread = (values: ReadonlyArray<number | null>): string => {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b)
  if (sorted.length === 0) return "–"
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!
  return `${at(0.5)} / ${at(0.99)} / ${sorted.at(-1)!}`
}
