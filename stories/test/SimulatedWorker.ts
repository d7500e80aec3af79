/** What the stories of a simulated cluster are told with: the bundled worker with `--emulator`, as a process. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert } from "vitest"

/** The bundled worker. */
export const bundle = path.join(import.meta.dirname, "..", "..", "apps", "worker", "dist", "worker.mjs")

/** A worker that serves a simulated cluster. */
export interface Emulator {
  readonly endpoint: string
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
}

/** The folder for everything that passes of a file of stories, which goes with it. */
export const temporary = mkdtempSync(path.join(os.tmpdir(), "inquorate-story-"))

/** Removes the folder after the stories of a file. */
export const tidy = (): void => {
  afterAll(() => rmSync(temporary, { recursive: true, force: true, maxRetries: 10 }))
}

/** Starts a worker and waits until it listens. */
export const start = (arguments_: ReadonlyArray<string>, node: string = process.execPath): Promise<Emulator> => {
  const child = spawn(node, [bundle, "--emulator", "--listen", "127.0.0.1:0", ...arguments_], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: temporary, INQUORATE_CONFIG: undefined }
  })
  let log = ""
  child.stderr.on("data", (data: Buffer) => (log += data.toString()))
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve))
  return new Promise((resolve, reject) => {
    let seen = ""
    child.stdout.on("data", (data: Buffer) => {
      seen += data.toString()
      const match = /listening on (http:\/\/\S+)/.exec(seen)
      if (match !== null) resolve({ endpoint: match[1]!, child, ended })
    })
    void ended.then((code) => reject(new Error(`the worker ended with ${code} before it listened:\n${log}`)))
  })
}

/** What a worker answers to a GET, which must succeed. */
export const get = async ({ endpoint }: Emulator, target: string): Promise<unknown> => {
  const answer = await fetch(`${endpoint}${target}`)
  assert.strictEqual(answer.status, 200, target)
  return answer.json()
}

/** A page of partitions with their ids. */
export const ids = (emulator: Emulator) => get(emulator, "/Services/Shop~Ledger/$/GetPartitions?api-version=6.4")
