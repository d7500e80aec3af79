// Gives any machine with Node 20 and npm the pinned Node and pnpm, installs the workspace, and hands over to
// scripts/<command>.mjs. Everything is fetched through npm; nothing is installed outside its caches and node_modules.
// Plain JavaScript for Node 20: this file runs before anything is installed.
import { spawn, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
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

/** The folders that hold the pinned node and pnpm, fetched by npm if they are not in its cache yet. */
const toolchain = () => {
  const print = "process.stdout.write(process.env.PATH)"
  const found = spawnSync(
    process.platform === "win32" ? "npx.cmd" : "npx",
    ["-y", "-p", `node@${pinned.node}`, "-p", `pnpm@${pinned.pnpm}`, "--", "node", "-e", print],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], cwd: dirname(script), env: withoutScripts() }
  )
  if (found.status !== 0) {
    fail("npm could not fetch Node and pnpm. Check that this machine reaches an npm registry (npm ping).")
  }
  return found.stdout
}

// npm run puts its own variables into the environment; a nested npx that reads them runs in the wrong folder.
const withoutScripts = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|execpath|command)/.test(name))
  )

const current = () => {
  const pnpm = spawnSync("pnpm", ["--version"], { encoding: "utf8" })
  return process.versions.node === pinned.node && pnpm.stdout?.trim() === pinned.pnpm
}

const path = current() ? dirname(process.execPath) + delimiter + process.env.PATH : toolchain()
const env = { ...withoutScripts(), PATH: path, npm_config_update_notifier: "false" }

let child
let interrupted
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    interrupted ??= signal
    child?.kill(signal)
  })
}

const run = (program, arguments_) =>
  new Promise((resolve) => {
    if (interrupted !== undefined) return resolve(130)
    child = spawn(program, arguments_, { cwd: root, env, stdio: "inherit" })
    child.on("error", (error) => {
      process.stderr.write(`${program}: ${error.message}\n`)
      resolve(1)
    })
    child.on("exit", (code, signal) => resolve(signal === null ? code : 130))
  })

const installed = await run("pnpm", ["install", "--frozen-lockfile", "--silent"])
if (installed !== 0) {
  if (interrupted === undefined) process.stderr.write("pnpm install failed; see above.\n")
  process.exit(installed)
}
process.exit(await run("node", ["--disable-warning=ExperimentalWarning", script, ...rest]))
