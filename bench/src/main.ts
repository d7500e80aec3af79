/**
 * `pnpm bench`: every figure beside its goal. `--quick` takes few rounds; a word such as `http` or `postgres` takes only
 * the figures it names.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { endAll } from "./Child.ts"
import * as Faults from "./Faults.ts"
import { type Figure, print } from "./Figures.ts"
import * as Http from "./Http.ts"
import * as Many from "./Many.ts"
import * as Page from "./Page.ts"
import * as Startup from "./Startup.ts"

const quick = process.argv.includes("--quick")
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("-"))
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-bench-"))
process.env.INQUORATE_LAB_STATE = path.join(folder, "labs")
process.env.INQUORATE_STATE = path.join(folder, "fences")
fs.writeFileSync(path.join(folder, "empty.yaml"), "")

const suites: Readonly<Record<string, readonly [string, () => Promise<ReadonlyArray<Figure>>]>> = {
  startup: ["The command line", () => Startup.measure(folder, quick ? 5 : 20)],
  http: ["The wire", () => Http.measure(folder, quick ? 2 : 6)],
  page: ["The list", () => Page.measure(folder, quick ? 100_000 : 1_000_000, 300)],
  many: ["Many at once", () => Many.measure(folder, quick ? 1000 : 10_000)],
  postgres: [
    "PostgreSQL, one primary and two standbys",
    () => Faults.measure(folder, { system: "postgres", rounds: quick ? 5 : 25, hold: 1000 })
  ],
  etcd: [
    "etcd, three members with short election times",
    () =>
      Faults.measure(folder, {
        system: "etcd",
        options: { election: "200ms" },
        rounds: quick ? 5 : 25,
        hold: 1000
      })
  ]
}

for (const word of wanted) {
  if (!(word in suites))
    throw new Error(`There are no figures named ${word}; there are ${Object.keys(suites).join(", ")}`)
}

process.stdout.write(
  `Node ${process.versions.node}, ${os.availableParallelism()} cores, ${os.type()} ${os.release()}, load ${os.loadavg()[0]!.toFixed(1)} at the start\n`
)
try {
  for (const [name, [title, measure]] of Object.entries(suites)) {
    if (wanted.length === 0 || wanted.includes(name)) print(title, await measure())
  }
} finally {
  endAll()
  fs.rmSync(folder, { recursive: true, force: true })
}
