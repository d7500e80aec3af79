/**
 * A folder whose disk is slow: each flush takes 2 ms longer. It is a file system of our own in C (`slow-disk.c`), which
 * the kernel asks through FUSE. To mount it needs root, and to compile it a C compiler and the headers of libfuse3.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { stands } from "./Child.ts"

/** By how much each flush is longer, in milliseconds. */
export const delay = 2

/** Uses a folder of ours on a slow disk, on which a lab that is started meanwhile lies as well. */
export const within = <A>(use: (folder: string) => Promise<A>): Promise<A> =>
  stands(
    Effect.acquireUseRelease(
      Effect.promise(mount),
      ({ own }) => Effect.promise(() => use(own)),
      (disk) => Effect.promise(() => unmount(disk))
    )
  )

// --- internal ---

interface Disk {
  readonly folder: string
  /** On the slow disk, and closed to others: a worker takes no store that others may write. */
  readonly own: string
  readonly server: ChildProcess
  /** Where temporary files lay before. */
  readonly temporary: string | undefined
}

const mount = async (): Promise<Disk> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-slow-disk-"))
  try {
    // The servers of a lab run as somebody else and must get in.
    fs.chmodSync(folder, 0o755)
    const [below, mounted] = ["below", "mounted"].map((name) => path.join(folder, name)) as [string, string]
    for (const made of [below, mounted]) fs.mkdirSync(made)
    fs.chmodSync(below, 0o1777)
    const program = compile(folder)
    const server = spawn(
      program,
      [below, String(delay * 1000), mounted, "-f", "-o", "allow_other,default_permissions"],
      { stdio: ["ignore", "ignore", "pipe"] }
    )
    await isMounted(server, folder, mounted)
    const temporary = process.env.TMPDIR
    // A lab puts the files of its servers where temporary files are.
    process.env.TMPDIR = mounted
    return { folder, own: fs.mkdtempSync(path.join(mounted, "stores-")), server, temporary }
  } catch (error) {
    fs.rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

const compile = (folder: string): string => {
  const program = path.join(folder, "slow-disk")
  const source = path.join(import.meta.dirname, "slow-disk.c")
  const { error, status, stderr } = spawnSync(
    "/bin/sh",
    ["-c", 'cc -O2 -o "$1" "$2" $(pkg-config --cflags --libs fuse3)', "compile", program, source],
    { encoding: "utf8" }
  )
  if (status !== 0) throw new Error(`The slow disk cannot be compiled. ${needs}\n${error?.message ?? stderr}`)
  return program
}

const needs =
  "It needs root, a C compiler and libfuse3: on Debian, apt-get install gcc libc6-dev libfuse3-dev fuse3 pkg-config."

const isMounted = (server: ChildProcess, folder: string, mounted: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let said = ""
    server.stderr!.on("data", (data: Buffer) => (said += data.toString()))
    const looking = setInterval(() => {
      // What is mounted is another device.
      if (fs.statSync(mounted).dev === fs.statSync(folder).dev) return
      clearInterval(looking)
      resolve()
    }, 10)
    server.on("error", (error) => (said += error.message))
    server.on("close", (code) => {
      clearInterval(looking)
      reject(new Error(`The slow disk was not mounted, its file system ended with ${code}. ${needs}\n${said}`))
    })
  })

// FUSE unmounts at SIGTERM, even where somebody still has a file open.
const unmount = async ({ folder, server, temporary }: Disk): Promise<void> => {
  if (temporary === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = temporary
  const gone = new Promise((resolve) => server.on("exit", resolve))
  if (server.exitCode === null && server.signalCode === null) {
    server.kill("SIGTERM")
    await gone
  }
  fs.rmSync(folder, { recursive: true, force: true })
}
