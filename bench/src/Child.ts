/**
 * Processes that a benchmark starts. Each announces its address on standard output, and the benchmark ends each by its
 * pid.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as path from "node:path"

/** The folder of the workspace. */
export const root = path.resolve(import.meta.dirname, "../..")

/** The bundled worker and command line. */
export const bundles = {
  worker: path.join(root, "apps/worker/dist/worker.mjs"),
  inq: path.join(root, "apps/cli/dist/inq.mjs")
}

/** A server that runs. */
export interface Child {
  readonly port: number
  readonly pid: number
  readonly end: () => Promise<void>
}

const running = new Set<ChildProcess>()

/** Starts a program and waits until it says where it listens. */
export const start = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Child> => {
  const child = spawn(process.execPath, [...arguments_], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...environment }
  })
  running.add(child)
  return new Promise((resolve, reject) => {
    let seen = ""
    const gone = new Promise<void>((settle) =>
      child.on("exit", (code) => {
        running.delete(child)
        settle()
        reject(new Error(`${arguments_.join(" ")} ended with ${code} before it listened`))
      })
    )
    child.stdout.on("data", (data: Buffer) => {
      seen += data.toString()
      const match = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(seen)
      if (match === null) return
      resolve({
        port: Number(match[1]),
        pid: child.pid!,
        end: () => {
          child.kill("SIGTERM")
          return gone
        }
      })
    })
  })
}

/** Ends whatever still runs. */
export const endAll = (): void => {
  for (const child of running) child.kill("SIGKILL")
}
