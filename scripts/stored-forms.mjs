// Writes down how the present version stores operations of every kind, their evidence and chaos. This is a step of a
// release, so that every later version is tried on what this one left behind. It runs the bundled worker on its
// simulated cluster, kills it while three operations live, and dumps its store as SQL.
// Usage: node scripts/stored-forms.mjs [WORKER_BUNDLE]   writes packages/stores/test/stored/worker-VERSION.sql
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { root } from "./process.mjs"

const bundle = process.argv[2] ?? join(root, "apps/worker/dist/worker.mjs")
const { version } = JSON.parse(readFileSync(join(root, "packages/core/package.json"), "utf8"))
const folder = mkdtempSync(join(tmpdir(), "inquorate-stored-"))
const file = join(folder, "worker.db")

const idOf = (number) => `${String(number).padStart(8, "0")}-0000-4000-8000-000000000001`
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

const child = spawn(
  process.execPath,
  [bundle, "--emulator", "--listen", "127.0.0.1:0", "--store", `sqlite:${file}`, "--worker-id", "stored"],
  { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, INQUORATE_STATE: join(folder, "state") } }
)
const endpoint = await new Promise((resolve, reject) => {
  let said = ""
  child.stdout.on("data", (text) => {
    said += text
    const match = /listening on (http:\/\/\S+)/.exec(said)
    if (match !== null) resolve(match[1])
  })
  child.on("exit", () => reject(new Error("the worker ended before it listened")))
})

const ask = async (method, path, body) => {
  const response = await fetch(`${endpoint}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === "" ? null : JSON.parse(text)
}

const stateOf = async (number) => (await ask("GET", `/v1/operations/${idOf(number)}`)).state
const until = async (number, ...states) => {
  while (!states.includes(await stateOf(number))) await pause(50)
}
const start = (number, request) => ask("PUT", `/v1/operations/${idOf(number)}`, request)

try {
  const groups = (await ask("GET", "/v1/clusters")).flatMap((cluster) => cluster.groups)
  const about = (name) => {
    const group = groups.find((one) => `${one.cluster}/${one.group}` === name)
    return { serviceName: group.service.name, partitionId: group.partitionId }
  }
  const nodes = (await ask("GET", "/Nodes?api-version=6.0")).Items
  const node = (name) => ({
    kind: "NodeTransition",
    nodeName: name,
    instanceId: nodes.find((one) => one.Name === name).InstanceId
  })
  await start(1, { ...about("Shop/Orders"), mode: "QuorumReplicas", hold: 500 })
  await until(1, "Completed")
  await start(2, { kind: "PartitionDataLoss", ...about("Shop/Ledger.0"), mode: "PartialDataLoss" })
  await until(2, "Completed")
  await start(3, { kind: "PartitionRestart", ...about("Shop/Ledger.1"), mode: "AllReplicasOrInstances" })
  await until(3, "Completed")
  await start(4, { ...about("Shop/Ledger.2"), mode: "QuorumReplicas", hold: 600_000 })
  await pause(1000)
  await ask("POST", `/v1/operations/${idOf(4)}/cancel`)
  await until(4, "Cancelled")
  const lost = "11111111-1111-1111-1111-111111111111"
  await ask(
    "POST",
    `/Faults/Services/Shop~Nowhere/$/GetPartitions/${lost}/$/StartQuorumLoss?api-version=6.0&OperationId=${idOf(5)}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=10`
  )
  await until(5, "Faulted")
  await ask("POST", "/Tools/Chaos/$/Start?api-version=6.0", {
    TimeToRunInSeconds: "3600",
    MaxConcurrentFaults: 1,
    WaitTimeBetweenIterationsInSeconds: 1,
    WaitTimeBetweenFaultsInSeconds: 0
  })
  await pause(8000)
  await ask("POST", "/Tools/Chaos/$/Stop?api-version=6.0")
  while ((await ask("GET", "/Tools/Chaos?api-version=6.2")).Status !== "Stopped") await pause(100)
  await start(6, { ...node("_Node_4"), transition: "Stop", duration: 600_000 })
  await until(6, "Completed")
  // These live while the worker is killed.
  await start(7, { ...about("Bank/Accounts"), mode: "AllReplicas", hold: 900_000, overrides: ["degraded"] })
  await start(8, { ...about("Shop/Regions.north"), mode: "QuorumReplicas", hold: 900_000, overrides: ["degraded"] })
  await pause(2000)
} finally {
  const ended = new Promise((resolve) => child.on("exit", resolve))
  child.kill("SIGKILL")
  await ended
}

const literal = (value) =>
  value === null ? "NULL" : typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value)

const database = new DatabaseSync(file)
const lines = ["application_id", "user_version"].map(
  (name) => `PRAGMA ${name} = ${database.prepare(`PRAGMA ${name}`).get()[name]};`
)
const tables = database.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
for (const { name, sql, type } of tables.filter((table) => !table.name.startsWith("sqlite_"))) {
  lines.push(`${sql};`)
  if (type !== "table") continue
  for (const row of database.prepare(`SELECT * FROM ${name}`).all()) {
    lines.push(`INSERT INTO ${name} VALUES (${Object.values(row).map(literal).join(", ")});`)
  }
}
database.close()
rmSync(folder, { recursive: true })
const folderOf = join(root, "packages/stores/test/stored")
mkdirSync(folderOf, { recursive: true })
const path = join(folderOf, `worker-${version}.sql`)
writeFileSync(path, `${lines.join("\n")}\n`)
process.stdout.write(`${path}: ${lines.length} statements\n`)
