// Gives any machine with Node 20 and npm the pinned Node and pnpm, installs the workspace, and hands over to
// scripts/<command>.mjs. Everything is fetched through npm, and nothing is installed outside its caches and
// node_modules. This file is plain JavaScript for Node 20, since it runs before anything is installed.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const pinned = { node: "24.21.0", pnpm: "12.21.0" }
const [command, ...rest] = process.argv.slice(2)

const fail = (message) => {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(`This needs Node 20 or newer; this is Node ${process.versions.node}.`)
}
const script = join(root, "scripts", `${command}.mjs`)
if (command === undefined || !existsSync(script)) fail(`There is no scripts/${command}.mjs.`)

// npm run puts variables of its own into the environment. A nested npx that reads them runs in the wrong folder.
const withoutScripts = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|execpath|command)/.test(name))
  )

const current = () => {
  const pnpm = spawnSync("pnpm", ["--version"], { encoding: "utf8" })
  return process.versions.node === pinned.node && pnpm.stdout?.trim() === pinned.pnpm
}

let child
let interrupted
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    interrupted ??= signal
    child?.kill(signal)
  })
}

// When npm is asked to end, it ends the shell between itself and us, and nobody tells us.
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    interrupted ??= "SIGTERM"
    child?.kill("SIGTERM")
  }, 500)
  timer.unref()
}

/** Runs a program to its end. After a second it says what we wait for, where `waitingFor` is given. */
const run = (program, arguments_, options, waitingFor) =>
  new Promise((resolve) => {
    if (interrupted !== undefined) return resolve({ code: 130, stdout: "" })
    let stdout = ""
    const timer = setTimeout(() => process.stderr.write(`${waitingFor}\n`), 1000)
    if (waitingFor === undefined) clearTimeout(timer)
    child = spawn(program, arguments_, options)
    child.stdout?.on("data", (data) => (stdout += data))
    const end = (code) => {
      clearTimeout(timer)
      resolve({ code, stdout })
    }
    child.on("error", (error) => {
      process.stderr.write(`${program}: ${error.message}\n`)
      end(1)
    })
    child.on("close", (code, signal) => end(signal === null ? code : 130))
  })

const remembered = join(root, "node_modules", ".inquorate-toolchain.json")

/** What an earlier run left; empty where there was none. */
const recall = () => {
  try {
    return JSON.parse(readFileSync(remembered, "utf8"))
  } catch {
    return {}
  }
}

/**
 * The folders with the pinned node and pnpm that an earlier run found; undefined where they are gone or not the pinned
 * ones.
 */
const known = () => {
  const { folders, node, pnpm } = recall()
  const same = node === pinned.node && pnpm === pinned.pnpm && Array.isArray(folders)
  const there = (name) => folders.some((folder) => existsSync(join(folder, name)))
  return same && there("node") && there("pnpm") ? folders : undefined
}

/** Names the packages that the workspace needs. */
const lock = createHash("sha256")
  .update(readFileSync(join(root, "pnpm-lock.yaml")))
  .digest("hex")

/** The folders that hold the pinned node and pnpm, fetched by npm if they are not in its cache yet. */
const fetched = async () => {
  const print = "process.stdout.write(process.env.PATH)"
  const { code, stdout } = await run(
    process.platform === "win32" ? "npx.cmd" : "npx",
    ["-y", "-p", `node@${pinned.node}`, "-p", `pnpm@${pinned.pnpm}`, "--", "node", "-e", print],
    { stdio: ["ignore", "pipe", "inherit"], cwd: dirname(script), env: withoutScripts() },
    `Fetching Node ${pinned.node} and pnpm ${pinned.pnpm} through npm; its cache keeps them.`
  )
  if (interrupted !== undefined) process.exit(130)
  if (code !== 0) {
    fail("npm could not fetch Node and pnpm. Check that this machine reaches an npm registry (npm ping).")
  }
  // The first folders are npx's own. The rest is the PATH that there was before.
  const all = stdout.split(delimiter)
  const own = all.filter((folder) => folder.includes("_npx"))
  return own.length > 0 ? own : all
}

/** Keeps the next run from asking npm, and from installing what is there. */
const remember = (folders) => {
  mkdirSync(dirname(remembered), { recursive: true })
  writeFileSync(remembered, JSON.stringify({ ...pinned, folders, lock }))
}

const isCurrent = current()
const folders = isCurrent ? [dirname(process.execPath)] : (known() ?? (await fetched()))
const path = [...folders, process.env.PATH].join(delimiter)
const env = { ...withoutScripts(), PATH: path, npm_config_update_notifier: "false" }
const here = { cwd: root, env, stdio: "inherit" }

// A removed node_modules took with it what was remembered.
if (recall().lock !== lock) {
  const { code: installed } = await run(
    "pnpm",
    ["install", "--frozen-lockfile", "--silent"],
    here,
    "Fetching the workspace's packages, a PostgreSQL among them (pnpm install)."
  )
  if (installed !== 0) {
    if (interrupted === undefined) process.stderr.write("pnpm install failed; see above.\n")
    process.exit(installed)
  }
  remember(folders)
}
const { code } = await run("node", ["--disable-warning=ExperimentalWarning", script, ...rest], here)
process.exit(code)
