/**
 * Operations from start to done per second on one PostgreSQL, beside DBOS workflows of four steps on the same server in the
 * same run. Each side is a process of its own, and they take turns.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { spawn } from "node:child_process"
import * as path from "node:path"
import * as readline from "node:readline"
import { runs } from "./Child.ts"
import { type Figure, spread } from "./Figures.ts"
import { withLab } from "./Labs.ts"
import * as PostgresServer from "./PostgresServer.ts"

/** The figures of `count` operations at once, of which `atOnce` run. */
export const measure = (count: number, atOnce: number, rounds: number): Promise<ReadonlyArray<Figure>> =>
  withLab({ system: "postgres", name: "bench-throughput" }, async (lab) => {
    const url = await PostgresServer.alone(lab)
    await PostgresServer.withClient(url, async (client) => {
      await client.query("CREATE DATABASE ours")
      await client.query("CREATE DATABASE dbos")
    })
    return measureOn(lab, count, atOnce, rounds)
  })

// --- internal ---

interface Round {
  readonly seconds: number
  /** Milliseconds of processor time of the side's own process. */
  readonly cpu: number
  readonly failed?: number
  readonly commits?: number
}

interface Cost {
  readonly commits: number
  readonly wal: number
}

const measureOn = async (
  lab: LabRecord,
  count: number,
  atOnce: number,
  rounds: number
): Promise<ReadonlyArray<Figure>> => {
  const begin = (file: string, database: string) =>
    side(file, [PostgresServer.urlOf(lab, database), String(count), String(atOnce)])
  const [ours, dbos] = await Promise.all([begin("ThroughputOurs.ts", "ours"), begin("ThroughputDbos.ts", "dbos")])
  const rates = { ours: [] as Array<number>, dbos: [] as Array<number> }
  const ratios: Array<number> = []
  const cpu: Array<number> = []
  const cpuBeside: Array<number> = []
  const cost: Array<Cost> = []
  let failed = 0
  try {
    // One round more than is counted: the first compiles and connects on both sides.
    for (let round = 0; round <= rounds; round++) {
      const beside = await dbos.round()
      const before = await writtenBy(lab)
      const own = await ours.round()
      const after = await writtenBy(lab)
      failed += own.failed ?? 0
      if (round === 0) continue
      rates.ours.push(count / own.seconds)
      rates.dbos.push(count / beside.seconds)
      ratios.push(beside.seconds / own.seconds)
      cpu.push(own.cpu / count)
      cpuBeside.push(beside.cpu / count)
      cost.push({ commits: (own.commits ?? 0) / count, wal: (after - before) / count })
    }
  } finally {
    await ours.end()
    await dbos.end()
  }
  const ratio = spread(ratios).p50
  const middle = (of: ReadonlyArray<number>, digits = 0): string => spread(of).p50.toFixed(digits)
  return [
    {
      name: `operations from start to done per second, ${count} at once, ${atOnce} running, hold 0, simulated target, against DBOS workflows of four steps on the same server`,
      measured: `${ratio.toFixed(2)} × (ours ${middle(rates.ours)}, DBOS ${middle(rates.dbos)} a second; ${rounds} rounds; ${failed} of ours did not end Completed)`,
      goal: "≥ 2 ×",
      met: ratio >= 2 && failed === 0
    },
    {
      name: "what one of these operations costs, beside one such workflow",
      measured: `${middle(cpu, 1)} ms of the worker's processor time (DBOS ${middle(cpuBeside, 1)}), ${middle(
        cost.map(({ commits }) => commits),
        2
      )} commits of its own share, ${middle(
        cost.map(({ wal }) => wal / 1024),
        1
      )} KiB of WAL`,
      goal: "",
      met: null
    }
  ]
}

/** How many bytes of its log the server has written. */
const writtenBy = (lab: LabRecord): Promise<number> =>
  PostgresServer.withClient(PostgresServer.urlOf(lab), async (client) => {
    const { rows } = await client.query<{ wal: string }>("SELECT pg_current_wal_lsn() - '0/0' AS wal")
    return Number(rows[0]!.wal)
  })

const side = async (file: string, arguments_: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, file), ...arguments_], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  runs(child)
  const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()))
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const line = await lines.next()
    if (line.done === true) throw new Error(`${file} ended before its round did`)
    return line.value
  }
  if ((await next()) !== "ready") throw new Error(`${file} is not ready`)
  return {
    round: async (): Promise<Round> => {
      child.stdin.write("\n")
      return JSON.parse(await next()) as Round
    },
    end: (): Promise<void> => {
      child.stdin.end()
      return gone
    }
  }
}
