/**
 * Figures: what was measured, how it spreads, and how it compares with its goal. A figure is told beside its goal, met
 * or not. No figure fails a run, since a machine's noise is no defect.
 */

/** The spread of samples, in the unit of the samples. */
export interface Spread {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** The spread of samples, of which there must be at least one. */
export const spread = (samples: ReadonlyArray<number>): Spread => {
  if (samples.length === 0) throw new Error("nothing was measured")
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!
  return { count: sorted.length, min: sorted[0]!, p50: at(0.5), p99: at(0.99), max: sorted.at(-1)! }
}

/** A measured line with its goal; `met` is null where there is none. */
export interface Figure {
  readonly name: string
  readonly measured: string
  readonly goal: string
  readonly met: boolean | null
}

/** The spread in words, in milliseconds. */
export const inMillis = ({ count, max, min, p50, p99 }: Spread): string =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(1)}, min ${min.toFixed(1)} ms (${count} samples)`

/** A figure that is a length of time; without a goal it is told alone. */
export const inTime = (
  name: string,
  samples: ReadonlyArray<number>,
  goal = "",
  isMet?: (spread: Spread) => boolean
): Figure => {
  const measured = spread(samples)
  return { name, measured: inMillis(measured), goal, met: isMet?.(measured) ?? null }
}

/** A figure that is the median ratio of two rates, of the first side to the second, each pair of one round. */
export const inRatio = (name: string, rates: Readonly<Record<string, ReadonlyArray<number>>>, goal: number): Figure => {
  const [ours, other] = Object.values(rates) as [ReadonlyArray<number>, ReadonlyArray<number>]
  const { max, min, p50 } = spread(ours.map((rate, round) => rate / other[round]!))
  const told = Object.entries(rates).map(([side, all]) => `${side} ${all.map((rate) => rate.toFixed(0)).join(", ")}`)
  return {
    name,
    measured: `${p50.toFixed(2)} × (${min.toFixed(2)} to ${max.toFixed(2)}); ${told.join("; ")}`,
    goal: `≥ ${goal} ×`,
    met: p50 >= goal
  }
}

/** Prints figures as lines, the goal beside each. */
export const print = (title: string, figures: ReadonlyArray<Figure>): void => {
  process.stdout.write(`\n${title}\n`)
  for (const { goal, measured, met, name } of figures) {
    const mark = met === null ? "" : met ? "   met" : "   NOT MET"
    process.stdout.write(`  ${name}\n    ${measured}${goal === "" ? "" : `\n    goal ${goal}${mark}`}\n`)
  }
}

/** The same figures as a Markdown section with one table, for docs/figures.md. */
export const markdown = (title: string, figures: ReadonlyArray<Figure>): string =>
  [
    `## ${title}`,
    "",
    "| figure | goal | measured | met |",
    "| --- | --- | --- | --- |",
    ...figures.map(
      ({ goal, measured, met, name }) =>
        `| ${cell(name)} | ${cell(goal)} | ${cell(measured)} | ${met === null ? "" : met ? "yes" : "**no**"} |`
    ),
    "",
    ""
  ].join("\n")

// --- internal ---

const cell = (text: string): string => text.replaceAll("|", "\\|")
