// Shows the main job: a worker on an embedded store, a throwaway quorum group, and a 5 s quorum loss that is started
// over HTTP and watched live, with its evidence. Nothing is left behind, also when the demo is interrupted or killed at
// any moment.
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { buildApps, endChildren, root, run, start } from "./process.mjs"

const { values } = parseArgs({
  options: { system: { type: "string", default: "postgres" }, duration: { type: "string", default: "5s" } }
})
const inq = join(root, "apps/cli/dist/inq.mjs")
const worker = join(root, "apps/worker/dist/worker.mjs")
const state = mkdtempSync(join(tmpdir(), "inquorate-demo-"))
const env = {
  INQUORATE_STATE: join(state, "fences"),
  INQUORATE_LAB_STATE: join(state, "labs"),
  INQUORATE_DEMO: String(process.pid)
}
const lab = "demo"
const workerLog = join(state, "worker.log")
const say = (text) => process.stdout.write(`\n— ${text}\n`)

// A guardian in a session of its own reads our pipe. When we are gone, for whatever reason, it clears up after us.
const guardian = spawn(process.execPath, [join(root, "scripts/guardian.mjs"), inq, lab, state], {
  detached: true,
  stdio: ["pipe", "ignore", "ignore"],
  env: { ...process.env, ...env }
})

let serving
let ending
/** Ends everything that this demo started. Every call gives the same promise. */
const end = () =>
  (ending ??= (async () => {
    // The commands end first: they cancel a watched fault and lift it, and they need the worker for that.
    await endChildren("SIGTERM", (child) => child !== serving)
    await endChildren("SIGTERM")
    await start(process.execPath, [inq, "lab", "down", lab], { env, stdio: ["ignore", "ignore", "inherit"] }).done
    guardian.stdin.end("done")
    await new Promise((resolve) => guardian.once("exit", resolve))
    rmSync(state, { recursive: true, force: true })
  })())

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => void end().then(() => process.exit(130)))
}

/** The worker's endpoint, once it says that it listens. */
const listening = (child) =>
  new Promise((resolve, reject) => {
    let seen = ""
    child.stdout.on("data", (data) => {
      seen += data
      const match = /listening on (http:\/\/\S+)/.exec(seen)
      if (match !== null) resolve(match[1])
    })
    child.on("exit", () => reject(new Error("the worker ended before it listened; see above")))
  })

const main = async () => {
  say("Building")
  await buildApps()
  say(`Starting a throwaway ${values.system} quorum group (inq lab up ${values.system})`)
  const up = await run(process.execPath, [inq, "lab", "up", values.system, "--name", lab, "--output", "json"], {
    env,
    stdio: ["ignore", "pipe", "inherit"]
  })
  const { config } = JSON.parse(up)
  const store = `sqlite:${join(state, "worker.db")}`
  // In a session of its own, so that a Ctrl-C reaches the commands, and not the worker that has to lift for them.
  serving = start(process.execPath, [worker, "--config", config, "--listen", "127.0.0.1:0", "--store", store], {
    env,
    detached: true,
    stdio: ["ignore", "pipe", openSync(workerLog, "w")]
  }).child
  const endpoint = await listening(serving)
  say(`A worker listens on ${endpoint}; these are its partitions (inq partitions)`)
  const ask = (...arguments_) => [inq, "--endpoint", endpoint, ...arguments_]
  const partitions = JSON.parse(
    await run(process.execPath, ask("partitions", "--output", "json"), { env, stdio: ["ignore", "pipe", "inherit"] })
  )
  await run(process.execPath, ask("partitions"), { env })
  const { partitionId } = partitions[0]
  say(`What a quorum loss would do, without touching anything (inq plan ${partitionId})`)
  await run(process.execPath, ask("plan", partitionId, "--duration", values.duration), { env })
  say(`Taking the quorum away for ${values.duration} (inq start ${partitionId} --duration ${values.duration} --watch)`)
  const id = crypto.randomUUID()
  await run(
    process.execPath,
    ask("start", partitionId, "--id", id, "--duration", values.duration, "--watch", "--yes"),
    {
      env,
      stdio: ["ignore", "inherit", "inherit"]
    }
  )
  say(`The evidence (inq show ${id})`)
  await run(process.execPath, ask("show", id), { env })
  const detail = JSON.parse(
    await run(process.execPath, ask("show", id, "--output", "json"), { env, stdio: ["ignore", "pipe", "inherit"] })
  )
  const verdicts = detail.evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`)
  const proven =
    detail.state === "Completed" &&
    verdicts.length >= 3 &&
    detail.evidence.verdicts.every(({ outcome }) => outcome === "Confirmed")
  say(`${detail.state}; ${verdicts.join(", ")}`)
  if (!proven) throw new Error("the operation did not end Completed with every verdict Confirmed")
}

let code = 0
try {
  await main()
} catch (error) {
  if (ending === undefined) {
    process.stderr.write(`${error.message}\n`)
    if (existsSync(workerLog)) process.stderr.write(`The worker said:\n${readFileSync(workerLog, "utf8")}\n`)
  }
  code = ending === undefined ? 1 : 130
}
await end()
if (code === 0) say("Everything this demo started is gone.")
process.exit(code)
