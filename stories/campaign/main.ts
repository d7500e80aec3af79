/**
 * `pnpm campaign`: kills whatever of ours can be killed, at random moments of random operations on real systems, and
 * reports what was seen from outside. `--runs N` in all, `--systems a,b`, `--seed N`, `--report FILE` for Markdown,
 * `--runs-file FILE` for one line of JSON a run. Exits with 1 where any promise was seen broken.
 */
import * as fs from "node:fs"
import { parseArgs } from "node:util"
import * as Lane from "./Lane.ts"
import { report } from "./Report.ts"
import type { Seen } from "./Run.ts"

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "32" },
    systems: { type: "string", default: Lane.lanes.join(",") },
    seed: { type: "string", default: "1" },
    report: { type: "string" },
    "runs-file": { type: "string" }
  }
})
const systems = values.systems.split(",").map((name) => {
  const lane = Lane.lanes.find((one) => one === name)
  if (lane !== undefined) return lane
  process.stderr.write(`--systems knows ${Lane.lanes.join(", ")}, not "${name}".\n`)
  process.exit(2)
})
const runs = Number(values.runs)
if (!Number.isInteger(runs) || runs < systems.length) {
  process.stderr.write(`--runs wants a whole number of at least ${systems.length}, not "${values.runs}".\n`)
  process.exit(2)
}

const seen: Array<Seen> = []
for (const [index, system] of systems.entries()) {
  const share = Math.floor(runs / systems.length) + (index < runs % systems.length ? 1 : 0)
  const told = (one: Seen): void => {
    seen.push(one)
    if (values["runs-file"] !== undefined) fs.appendFileSync(values["runs-file"], `${JSON.stringify(one)}\n`)
    const { after, blow, broken, failure, grade, hold, overrun, state, takeover } = one
    process.stdout.write(
      `${seen.length}/${runs} ${system} ${grade} ${blow} after ${after} of ${hold} ms: ${state}${failure === null ? "" : ` (${failure})`}, overrun ${overrun ?? "–"}, takeover ${takeover ?? "–"}${broken.map((what) => ` BROKEN: ${what}`).join("")}\n`
    )
  }
  await Lane.run({ system, runs: share, seed: Number(values.seed) + index, told })
}

const text = report(seen)
process.stdout.write(`\n${text}\n`)
if (values.report !== undefined) fs.writeFileSync(values.report, `${text}\n`)
process.exit(seen.length < runs || seen.some(({ broken }) => broken.length > 0) ? 1 : 0)
