/**
 * Durable starts per second: the worker on SQLite beside the bare handler, and the worker on PostgreSQL beside DBOS on the
 * same server. Everything is called over HTTP.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Calls from "./Calls.ts"
import { start, startWorker } from "./Child.ts"
import { type Figure, inRatio, inTime } from "./Figures.ts"
import { withLab } from "./Labs.ts"
import * as PostgresServer from "./PostgresServer.ts"
import { withQueue } from "./Queue.ts"
import { inTurns } from "./Turns.ts"

/** The figures with every store on the disk of `folder`, on which temporary files must lie as well. */
export const measure = async (folder: string, rounds: number): Promise<ReadonlyArray<Figure>> => [
  inTime("a flush of 4 KiB to this disk (fdatasync)", flushes(path.join(folder, "flushed"))),
  await besideBare(folder, rounds),
  ...(await besideDbos(folder, rounds))
]

// --- internal ---

const samples = 50

const flushes = (file: string): ReadonlyArray<number> => {
  const opened = fs.openSync(file, "w")
  const times = Array.from({ length: samples }, () => {
    fs.writeSync(opened, Buffer.alloc(4096, 1))
    const began = performance.now()
    fs.fdatasyncSync(opened)
    return performance.now() - began
  })
  fs.closeSync(opened)
  return times
}

const besideBare = (folder: string, rounds: number): Promise<Figure> =>
  withQueue(folder, async (config) => {
    const rates = await inTurns(rounds, Calls.starts, {
      ours: (round) => startWorker(config, path.join(folder, `ours-${round}.db`)),
      bare: (round) => start([path.join(import.meta.dirname, "BareServer.ts"), path.join(folder, `bare-${round}.db`)])
    })
    return inRatio(
      "durable starts per second, against a bare node:http + node:sqlite handler with a commit each",
      rates,
      2.5
    )
  })

const besideDbos = (folder: string, rounds: number): Promise<ReadonlyArray<Figure>> =>
  withLab({ system: "postgres", name: "bench-starts" }, async (lab) => {
    const admin = await PostgresServer.alone(lab)
    const database = async (name: string): Promise<string> => {
      await PostgresServer.withClient(admin, (client) => client.query(`CREATE DATABASE ${name}`))
      return PostgresServer.urlOf(lab, name)
    }
    const commit = inTime("a commit of one row on the PostgreSQL that lies there", await commits(admin))
    const rates = await withQueue(folder, (config) =>
      inTurns(rounds, Calls.starts, {
        ours: async (round) => startWorker(config, null, ["--store", await database(`ours_${round}`)]),
        DBOS: async (round) => start([path.join(import.meta.dirname, "DbosServer.ts"), await database(`dbos_${round}`)])
      })
    )
    return [
      commit,
      inRatio("durable starts per second on PostgreSQL, against DBOS workflows on the same server", rates, 5)
    ]
  })

const commits = (url: string): Promise<ReadonlyArray<number>> =>
  PostgresServer.withClient(url, async (client) => {
    await client.query("CREATE TABLE flushed (at timestamptz)")
    const times: Array<number> = []
    for (let sample = 0; sample < samples; sample++) {
      const began = performance.now()
      await client.query("INSERT INTO flushed VALUES (now())")
      times.push(performance.now() - began)
    }
    return times
  })
