// Runs one of the bundled applications with the Node that the workspace fetched, in the folder in which the caller
// stood.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { buildApps, root } from "./process.mjs"

/** Builds the bundle where it is missing and runs it with the rest of our arguments; exits as it does. */
export const runApplication = async (bundle) => {
  const path = join(root, bundle)
  if (!existsSync(path)) await buildApps()
  const child = spawn(process.execPath, [path, ...process.argv.slice(2)], {
    stdio: "inherit",
    cwd: process.env.INIT_CWD ?? process.cwd()
  })
  // A terminal sends Ctrl-C to the child as well, and a second one would mean something else to the child. We hand on
  // the other signals.
  const terminal = process.stdin.isTTY || process.stdout.isTTY
  process.on("SIGINT", () => terminal || child.kill("SIGINT"))
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => {
    process.stderr.write(`${bundle} could not be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 130))
}
