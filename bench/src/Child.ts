/**
 * What a benchmark starts, and ends however it ends itself: processes, each by its pid, and what stands for a while. A
 * server announces its address on standard output.
 */
import * as Effect from "effect/Effect"
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

/** Puts a process on the list of those that are ended with the benchmark. */
export const runs = (child: ChildProcess): ChildProcess => {
  running.add(child)
  child.on("exit", () => running.delete(child))
  return child
}

/** Starts the bundled worker. Its store is a file, or null where the configuration names one. */
export const startWorker = (
  config: string,
  store: string | null,
  arguments_: ReadonlyArray<string> = []
): Promise<Child> =>
  start([
    bundles.worker,
    "--config",
    config,
    "--listen",
    "127.0.0.1:0",
    ...(store === null ? [] : ["--store", `sqlite:${store}`]),
    ...arguments_
  ])

/** Starts a program and waits until it says where it listens. */
export const start = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Child> => {
  const child = spawn(process.execPath, [...arguments_], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...environment }
  })
  runs(child)
  return new Promise((resolve, reject) => {
    let seen = ""
    const gone = new Promise<void>((settle) =>
      child.on("exit", (code) => {
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

/** Runs what stands for a while, such as a lab. Where the benchmark ends before it, its own finalizers take it down. */
export const stands = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => {
  const stood = Effect.runPromise(effect, { signal: ending.signal })
  standing.add(stood)
  const gone = (): void => void standing.delete(stood)
  stood.then(gone, gone)
  return stood
}

/** Ends whatever still runs or stands. */
export const endAll = async (): Promise<void> => {
  for (const child of running) child.kill("SIGKILL")
  ending.abort()
  await Promise.allSettled(standing)
}

// --- internal ---

const ending = new AbortController()
const standing = new Set<Promise<unknown>>()
const running = new Set<ChildProcess>()
