/**
 * `pnpm bench`: every figure beside its goal. `--quick` takes few rounds; a word such as `http` or `postgres` takes only
 * the figures it names; `--markdown FILE` writes the same as tables for docs/figures.md.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { endAll } from "./Child.ts"
import * as Faults from "./Faults.ts"
import { type Figure, markdown, print } from "./Figures.ts"
import * as Http from "./Http.ts"
import * as Many from "./Many.ts"
import * as Page from "./Page.ts"
import * as Startup from "./Startup.ts"
import * as Throughput from "./Throughput.ts"

const quick = process.argv.includes("--quick")
const into = process.argv.indexOf("--markdown")
const markdownFile = into < 0 ? undefined : process.argv[into + 1]
if (into >= 0 && markdownFile === undefined) throw new Error("--markdown needs the name of a file")
const wanted = process.argv.slice(2).filter((word, index) => !word.startsWith("-") && index + 1 !== into)
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-bench-"))
process.env.INQUORATE_LAB_STATE = path.join(folder, "labs")
process.env.INQUORATE_STATE = path.join(folder, "fences")
fs.writeFileSync(path.join(folder, "empty.yaml"), "")

const suites: Readonly<Record<string, readonly [string, () => Promise<ReadonlyArray<Figure>>]>> = {
  startup: ["The command line", () => Startup.measure(folder, quick ? 5 : 20)],
  http: ["The wire", () => Http.measure(folder, quick ? 2 : 6)],
  page: ["The list", () => Page.measure(folder, quick ? 100_000 : 1_000_000, 300)],
  "shared-page": ["The list, shared", () => Page.measureShared(quick ? 100_000 : 1_000_000, 300)],
  throughput: ["From start to done", () => Throughput.measure(500, 100, quick ? 2 : 6)],
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

const machine = `Node ${process.versions.node}, ${os.availableParallelism()} cores, ${os.type()}, load ${os.loadavg()[0]!.toFixed(1)} at the start`
process.stdout.write(`${machine}\n`)
const tables = [`${machine}.\n\n`]
try {
  for (const [name, [title, measure]] of Object.entries(suites)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const figures = await measure()
    print(title, figures)
    tables.push(markdown(title, figures))
    // Written after each benchmark, so that a run which fails later has told what it measured.
    if (markdownFile !== undefined) fs.writeFileSync(markdownFile, tables.join(""))
  }
} finally {
  endAll()
  fs.rmSync(folder, { recursive: true, force: true })
}
