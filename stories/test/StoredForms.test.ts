/**
 * Goal: what an earlier version stored is read, and what lived when it was killed is driven to its end. Method: the stores
 * that releases wrote down, under the bundled worker of now.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"

const root = path.resolve(import.meta.dirname, "../..")
const stored = path.join(root, "packages/stores/test/stored")
const names = fs.readdirSync(stored).filter((name) => name.endsWith(".sql"))

interface Row {
  readonly id: string
  readonly state: string
  readonly operation: string
}

const ended = new Set(["Completed", "Faulted", "Cancelled", "ForceCancelled"])

it("there are stores of earlier versions", () => assert.isAbove(names.length, 0))

describe.each(names)("the store of %s", (name) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-stored-"))
  const file = path.join(folder, "worker.db")
  let rows: ReadonlyArray<Row> = []
  let worker: ChildProcess
  let endpoint = ""

  const get = async <A>(target: string, method = "GET"): Promise<A> => {
    const response = await fetch(`${endpoint}${target}`, { method })
    const text = await response.text()
    assert.isTrue(response.ok, `${method} ${target}: ${response.status} ${text}`)
    return JSON.parse(text) as A
  }
  const stateOf = async (id: string) => (await get<{ readonly state: string }>(`/v1/operations/${id}`)).state

  beforeAll(async () => {
    const database = new DatabaseSync(file)
    database.exec(fs.readFileSync(path.join(stored, name), "utf8"))
    rows = database.prepare("SELECT id, state, operation FROM operation").all() as unknown as ReadonlyArray<Row>
    database.close()
    worker = spawn(
      process.execPath,
      [
        path.join(root, "apps/worker/dist/worker.mjs"),
        ...["--emulator", "--listen", "127.0.0.1:0", "--store", `sqlite:${file}`, "--worker-id", "stored"]
      ],
      { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, INQUORATE_STATE: path.join(folder, "state") } }
    )
    endpoint = await new Promise<string>((resolve, reject) => {
      let said = ""
      worker.stdout!.on("data", (text: Buffer) => {
        said += text.toString()
        const match = /listening on (http:\/\/\S+)/.exec(said)
        if (match !== null) resolve(match[1]!)
      })
      worker.on("exit", () => reject(new Error(`the worker ended: ${said}`)))
    })
  })

  afterAll(async () => {
    if (worker.exitCode === null) {
      const gone = once(worker, "exit")
      worker.kill("SIGTERM")
      await gone
    }
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  })

  it("holds operations of every kind, and some that lived", () => {
    const kinds = new Set(
      rows.map(({ operation }) => {
        const { request } = JSON.parse(operation) as { readonly request: { readonly kind?: string } }
        return request.kind ?? "PartitionQuorumLoss"
      })
    )
    for (const kind of ["PartitionQuorumLoss", "PartitionDataLoss", "PartitionRestart", "NodeTransition"]) {
      assert.isTrue(kinds.has(kind), kind)
    }
    assert.isTrue(rows.some(({ state }) => !ended.has(state)))
  })

  it("shows every operation with its evidence, and those that had ended as they ended", async () => {
    for (const { id, state } of rows) {
      const { evidence, state: now } = await get<{
        readonly state: string
        readonly evidence: { readonly phases: ReadonlyArray<unknown> }
      }>(`/v1/operations/${id}`)
      if (!ended.has(state)) continue
      assert.strictEqual(now, state, id)
      if (state === "Completed") assert.isAbove(evidence.phases.length, 0, id)
    }
    assert.strictEqual((await get<ReadonlyArray<unknown>>("/v1/operations")).length, rows.length)
  })

  it("has every operation that lived end", async () => {
    for (const { id } of rows.filter(({ state }) => !ended.has(state))) {
      if (!ended.has(await stateOf(id))) await get(`/v1/operations/${id}/cancel`, "POST").catch(() => undefined)
      while (!ended.has(await stateOf(id))) await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })

  it("tells what chaos did", async () => {
    const { History, Status } = await get<{ readonly Status: string; readonly History?: ReadonlyArray<unknown> }>(
      "/Tools/Chaos?api-version=6.2"
    )
    assert.strictEqual(Status, "Stopped")
    assert.isUndefined(History)
    const { History: events } = await get<{ readonly History: ReadonlyArray<{ readonly ChaosEvent: object }> }>(
      "/Tools/Chaos/Events?api-version=6.2"
    )
    assert.isAbove(events.length, 2)
  })
})
