/**
 * `pnpm bench`: every figure beside its goal. `--quick` takes few rounds; a word such as `http` or `postgres` takes only
 * the figures it names; `--markdown FILE` writes the same as tables for docs/figures.md; `--help` lists the words.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { endAll } from "./Child.ts"
import * as Faults from "./Faults.ts"
import { type Figure, markdown, print } from "./Figures.ts"
import * as Http from "./Http.ts"
import * as Loaded from "./Loaded.ts"
import * as Many from "./Many.ts"
import * as Page from "./Page.ts"
import * as Ssh from "./Ssh.ts"
import * as SlowDisk from "./SlowDisk.ts"
import * as Starts from "./Starts.ts"
import * as Startup from "./Startup.ts"
import * as Takeover from "./Takeover.ts"
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

type Suite = readonly [title: string, measure: () => Promise<ReadonlyArray<Figure>>]

const fault = (title: string, trial: Pick<Faults.Trial, "system" | "members" | "options">): Suite => [
  title,
  () => Faults.measure(folder, { ...trial, rounds: quick ? 5 : 50, hold: 1000 })
]

const systems = { postgres: "PostgreSQL", etcd: "etcd with its own timing" }

const suites: Readonly<Record<string, ReadonlyArray<Suite>>> = {
  startup: [["The command line", () => Startup.measure(folder, quick ? 5 : 50)]],
  http: [["The wire", () => Http.measure(folder, quick ? 2 : 6)]],
  starts: [["Durable starts", () => Starts.measure(folder, quick ? 2 : 6)]],
  "slow-disk": [
    [
      `Durable starts on a disk of which each flush takes ${SlowDisk.delay} ms longer`,
      () => SlowDisk.within((slow) => Starts.measure(slow, quick ? 2 : 6))
    ]
  ],
  page: [["The list", () => Page.measure(folder, quick ? 100_000 : 1_000_000, 300)]],
  "shared-page": [["The list, shared", () => Page.measureShared(quick ? 100_000 : 1_000_000, 300)]],
  throughput: [["From start to done", () => Throughput.measure(500, 100, quick ? 2 : 6)]],
  many: [["Many at once", () => Many.measure(folder, quick ? 1000 : 10_000)]],
  postgres: [fault("PostgreSQL, one primary and two standbys", { system: "postgres" })],
  etcd: [fault("etcd, three members with elections of 200 ms", { system: "etcd", options: { election: "200ms" } })],
  "etcd-five": [
    fault("etcd, five members with elections of 200 ms, of which three are cut", {
      system: "etcd",
      members: 5,
      options: { election: "200ms" }
    })
  ],
  loaded: [4, 8].flatMap((loops): ReadonlyArray<Suite> =>
    Object.entries(systems).map(([system, title]) => [
      `${title}, beside ${loops} busy loops`,
      () => Loaded.measure(folder, { system, loops, count: quick ? 2 : 100, hold: 2000 })
    ])
  ),
  ssh: [50, 150].flatMap((delay): ReadonlyArray<Suite> =>
    Object.entries(systems).map(([system, title]) => [
      `${title}, over ssh with ${delay} ms each way`,
      () => Ssh.measure(folder, { system, delay, count: quick ? 2 : 20, hold: 2000 })
    ])
  ),
  takeover: [["Two workers on one PostgreSQL", () => Takeover.measure(folder, quick ? 3 : 50)]]
}

if (process.argv.includes("--help")) {
  const lines = Object.entries(suites).map(
    ([name, all]) => `  ${name.padEnd(12)} ${all.map(([title]) => title).join("\n".padEnd(16))}`
  )
  process.stdout.write(`Usage: npm run bench -- [--quick] [--markdown FILE] [SUITE...]\n\n${lines.join("\n")}\n`)
  fs.rmSync(folder, { recursive: true })
  process.exit()
}
for (const word of wanted) {
  if (!(word in suites))
    throw new Error(`There are no figures named ${word}; there are ${Object.keys(suites).join(", ")}`)
}

const cutShort = new Promise<null>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => {
      process.exitCode = 130
      process.stderr.write(`${signal}: everything that was started is ended\n`)
      resolve(null)
    })
})

const machine = `Node ${process.versions.node}, ${os.availableParallelism()} cores, ${os.type()}, load ${os.loadavg()[0]!.toFixed(1)} at the start`
process.stdout.write(`${machine}\n`)
const tables = [`${machine}.\n\n`]
try {
  const chosen = Object.entries(suites).filter(([name]) => wanted.length === 0 || wanted.includes(name))
  for (const [title, measure] of chosen.flatMap(([, suites]) => suites)) {
    const figures = await Promise.race([measure(), cutShort])
    if (figures === null) break
    print(title, figures)
    tables.push(markdown(title, figures))
    // Written after each benchmark, so that a run which fails later has told what it measured.
    if (markdownFile !== undefined) fs.writeFileSync(markdownFile, tables.join(""))
  }
} finally {
  await endAll()
  fs.rmSync(folder, { recursive: true, force: true })
}
// A suite that was cut short may wait for what will not come.
process.exit()
