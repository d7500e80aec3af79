/**
 * Goal: whoever follows a page of the tutorial word by word ends with a proven loss. Method: a shell of a user without
 * rights runs every command of the page, in its order, in an empty folder. Only the ports and the length of the hold
 * differ.
 */
import { findBinary } from "@inquorate/lab/Etcd"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Harness from "./Harness.ts"

const docs = path.resolve(import.meta.dirname, "../../docs/tutorial")
const isRoot = process.getuid?.() === 0
const nobody = 65_534
let folder: string
let shell: ChildProcess | undefined

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-tutorial-"))
  const bin = path.join(folder, "bin")
  fs.mkdirSync(bin)
  // Another user may not enter the folders where ours are.
  const node = path.join(bin, "node")
  fs.copyFileSync(process.execPath, node)
  fs.chmodSync(node, 0o755)
  for (const [name, bundle] of [
    ["inquorate-worker", Harness.bundles[0]!],
    ["inq", Harness.inqBundle]
  ] as const) {
    fs.cpSync(path.dirname(bundle), path.join(folder, name), { recursive: true })
    const file = path.join(folder, name, path.basename(bundle))
    fs.writeFileSync(path.join(bin, name), `#!/bin/sh\nexec ${node} ${file} "$@"\n`, { mode: 0o755 })
  }
  fs.chmodSync(folder, 0o755)
})

// The shell leads a process group, which all that it started belongs to.
afterAll(() => {
  if (shell?.pid !== undefined && shell.exitCode === null) process.kill(-shell.pid, "SIGKILL")
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = net.createServer().once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

const given = new Set<number>()

/** Four digits, which with a 1, a 2 and a 3 behind them are ports that nobody has, and no lab takes. Each is given once. */
const freeTens = async (): Promise<string> => {
  for (;;) {
    const tens = 1100 + Math.floor(Math.random() * 400)
    const free = await Promise.all([1, 2, 3].map((last) => isFree(tens * 10 + last)))
    if (given.has(tens) || !free.every(Boolean)) continue
    given.add(tens)
    return String(tens)
  }
}

/** Runs the commands of a page, and gives what a person saw. */
const follow = async (page: string, tens: ReadonlyArray<string>): Promise<string> => {
  let text = fs.readFileSync(path.join(docs, page), "utf8")
  for (const each of tens) text = text.replaceAll(each, await freeTens())
  const commands = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!)
  assert.isAbove(commands.length, 6)
  const home = path.join(folder, page)
  fs.mkdirSync(home)
  if (isRoot) fs.chownSync(home, nobody, nobody)
  const script = `set -e\n${commands.join("\n").replaceAll("-d 10s", "-d 3s")}`
  const listen = `127.0.0.1:${await freeTens()}1`
  const [program, ...words] = isRoot
    ? ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", "bash"]
    : ["bash"]
  return new Promise((resolve, reject) => {
    const child = spawn(program!, [...words, "-c", script], {
      cwd: home,
      detached: true,
      env: {
        PATH: `${path.join(folder, "bin")}:${process.env["PATH"]}`,
        HOME: home,
        INQUORATE_LISTEN: listen,
        INQUORATE_ENDPOINT: `http://${listen}`
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    shell = child
    let seen = ""
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (said) => (seen += said))
    child.once("error", reject)
    child.once("close", (code) =>
      code === 0 ? resolve(seen) : reject(new Error(`the shell ended with ${code} after\n${script}\n${seen}`))
    )
  })
}

/** What everyone who followed a page has seen. */
const assertProven = (seen: string, looked: string): void => {
  assert.include(seen, `worker.yaml: nothing is wrong with it\n${looked}\n`)
  assert.match(seen, /No write was acknowledged for \d+(\.\d+)? s/)
  assert.match(seen, /Completed/)
}

describe.skipIf(process.platform !== "linux")("the tutorial", () => {
  it.skipIf(findBinary(null) === null)(
    "of etcd ends with a proven loss",
    async () => {
      const seen = await follow("etcd.md", ["2379", "2380"])
      assertProven(seen, "cluster etcd (etcd): raft 3/3 healthy")
    },
    Harness.within(120_000)
  )

  it.skipIf(PostgresBinaries.find(PostgresBinaries.usualSearch(null)) === undefined)(
    "of PostgreSQL ends with a proven loss",
    async () => {
      const seen = await follow("postgres.md", ["1543"])
      assertProven(seen, "cluster postgres (postgres): quorum 1/1 healthy")
    },
    Harness.within(120_000)
  )
})
