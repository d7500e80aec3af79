// Runs other programs for our scripts. Each child is known, a signal to us ends them all, and nothing outlives us.
import { spawn } from "node:child_process"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"

/** The folder of the workspace. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Nothing we run reports home or waits for an answer. */
export const quiet = { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", CI: process.env.CI ?? "" }

const children = new Set()
let interrupted = false

/** Starts a program. The promise gives its exit code, and what it wrote where that was piped. */
export const start = (program, arguments_, options = {}) => {
  if (interrupted) return { child: undefined, done: new Promise(() => undefined) }
  const child = spawn(program, arguments_, {
    cwd: root,
    stdio: "inherit",
    ...options,
    env: { ...process.env, ...quiet, ...options.env }
  })
  children.add(child)
  let stdout = ""
  child.stdout?.on("data", (data) => (stdout += data))
  const done = new Promise((resolve, reject) => {
    child.on("error", (error) => {
      children.delete(child)
      reject(new Error(`${program} could not be started: ${error.message}`))
    })
    child.on("close", (code, signal) => {
      children.delete(child)
      if (!interrupted) resolve({ code: code ?? 128, signal, stdout })
    })
  })
  return { child, done }
}

/** Runs a program to its end and throws where it fails. */
export const run = async (program, arguments_, options = {}) => {
  const { code, stdout } = await start(program, arguments_, options).done
  if (code !== 0)
    throw Object.assign(new Error(`${program} ${arguments_.join(" ")} failed with exit code ${code}`), { code })
  return stdout
}

/** Asks every child that `which` takes to end, and waits until they have. */
export const endChildren = async (signal, which = () => true) => {
  const ending = [...children].filter(which)
  const waiting = ending.map((child) => new Promise((resolve) => child.on("close", resolve)))
  for (const child of ending) child.kill(signal)
  await Promise.all(waiting)
}

/** Where we are asked to end: ends all that was started, starts nothing more, and leaves with 130. */
export const endOnSignals = () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      interrupted = true
      void endChildren(signal).then(() => process.exit(130))
    })
  }
}

/** Builds the two applications. */
export const buildApps = () =>
  run("turbo", ["run", "build", "--filter=./apps/*", "--output-logs=errors-only", "--log-prefix=none"], {
    env: { PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
    stdio: ["ignore", "ignore", "inherit"]
  })
