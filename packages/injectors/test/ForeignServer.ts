/**
 * Servers of other users, above all of nobody, for tests as root: started in a data directory of their own with whatever
 * confines them, and looked at through /proc.
 */
import { factor } from "@inquorate/testkit/Pace"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ProcessTree from "./ProcessTree.ts"
import * as RestartedServer from "./RestartedServer.ts"

export const loop: readonly [string, ReadonlyArray<string>] = ["sh", ["-c", "while :; do sleep 1000; done", "server"]]

export interface Wrapped {
  /** Stands before the change of user. */
  readonly before?: ReadonlyArray<string>
  /** What becomes the user; nobody unless given. */
  readonly as?: ReadonlyArray<string>
  /** Runs as the user, and ends in the server. */
  readonly wrapper?: ReadonlyArray<string>
  readonly words?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
  /** Redirections of a shell. */
  readonly output?: string
  readonly stderr?: number
  /** The folder it stands in; its data directory unless given, which it names otherwise. */
  readonly stand?: string
}

export const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

/** A server of nobody's in a folder of its own. */
export const server = (
  [file, words]: readonly [string, ReadonlyArray<string>],
  options: Wrapped = {}
): Effect.Effect<ProcessTree.ProcessTree, never, Scope.Scope> =>
  Effect.gen(function* () {
    const dataDirectory = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-data-"))
    const { as = nobody, before = [], output = `>>${dataDirectory}/log 2>&1`, stand, wrapper = [] } = options
    const named = stand === undefined ? [] : [dataDirectory]
    const owner = as.includes("65534") ? 65_534 : 0
    fs.chownSync(dataDirectory, owner, owner)
    const [first, ...rest] = [
      ...before,
      ...as,
      "sh",
      "-c",
      `echo ready; exec "$@" ${output}`,
      "sh",
      ...wrapper,
      file,
      ...words,
      ...(options.words ?? []),
      ...named
    ]
    return yield* spawned(first!, rest, {
      cwd: stand ?? dataDirectory,
      dataDirectory,
      executable: fs.realpathSync(file === "sh" ? "/bin/sh" : `/usr/bin/${file}`),
      environment: { PATH: "/usr/bin:/bin", ...options.environment },
      ...(options.stderr === undefined ? {} : { stderr: options.stderr })
    })
  })

/** Starts a program and waits until it runs the executable that is expected; ended with all that serves its directory. */
export const spawned = (
  file: string,
  words: ReadonlyArray<string>,
  options: {
    readonly cwd: string
    readonly dataDirectory: string
    readonly executable?: string
    readonly environment: Readonly<Record<string, string>>
    readonly stderr?: number
  }
): Effect.Effect<ProcessTree.ProcessTree, never, Scope.Scope> =>
  RestartedServer.start(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const child = spawn(file, words, {
          cwd: options.cwd,
          env: { ...options.environment },
          stdio: ["ignore", "pipe", options.stderr ?? "ignore"]
        })
        await new Promise((ready) => child.stdout!.once("data", ready))
        const pid = child.pid!
        const isIt = () => {
          try {
            const words = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1")
            return (
              (options.executable === undefined || fs.readlinkSync(`/proc/${pid}/exe`) === options.executable) &&
              // A shell that is yet to become something else, or an image that has no words yet.
              words !== "" &&
              !words.includes('exec "$@"')
            )
          } catch {
            return false
          }
        }
        for (let turn = 0; turn < 500 * factor && !isIt(); turn++) await new Promise((resume) => setTimeout(resume, 10))
        assert.isTrue(isIt(), `the server did not start: ${words.join(" ")}`)
        return {
          member: `m${pid}`,
          process: {
            host: "here",
            pid,
            startTime: ProcessTree.look(pid)!.startTime,
            executable: fs.readlinkSync(`/proc/${pid}/exe`),
            dataDirectory: options.dataDirectory
          }
        }
      }),
      ({ process: { dataDirectory, pid, startTime } }) =>
        Effect.sync(() => {
          // Where it was killed long ago, its number may be another process's by now.
          const itself = ProcessTree.look(pid)?.startTime === startTime ? [pid] : []
          ProcessTree.signalAll([...itself, ...naming(dataDirectory)], "SIGKILL")
          fs.rmSync(dataDirectory, { recursive: true, force: true, maxRetries: 10 })
        })
    )
  )

/** The processes that name a folder in their arguments, or stand in it. */
export const naming = (folder: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      const words = fs.readFileSync(`/proc/${name}/cmdline`, "latin1").split("\0")
      return words.includes(folder) || fs.readlinkSync(`/proc/${name}/cwd`) === folder ? [Number(name)] : []
    } catch {
      return []
    }
  })

/** Ends what serves the directory, and removes the control group once it is empty. */
export const removeGroup = async (group: string, dataDirectory: string): Promise<void> => {
  for (let turn = 0; turn < 200 * factor; turn++) {
    ProcessTree.signalAll(naming(dataDirectory), "SIGKILL")
    try {
      fs.rmdirSync(group)
      return
    } catch {
      await new Promise((resume) => setTimeout(resume, 20))
    }
  }
}

/** A folder that every user may enter and write. */
export const openFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-open-"))
    fs.chmodSync(folder, 0o777)
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
)

/** Overwrites a byte of a process, at a place that a field of its stat tells (counted from 1 as proc(5) does). */
export const poke = (pid: number, field: number, where: (place: number) => readonly [number, string]): void => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  const [place, byte] = where(Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[field - 3]))
  const memory = fs.openSync(`/proc/${pid}/mem`, "r+")
  fs.writeSync(memory, Buffer.from(byte), 0, 1, place)
  fs.closeSync(memory)
}

export const uidOf = (pid: number): string | undefined =>
  /^Uid:\t(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]

export const flagsOf = (pid: number, number: number): number =>
  Number.parseInt(/^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/fdinfo/${number}`, "latin1"))![1]!, 8)

/** What must be the same before and after. */
export const surroundings = (pid: number): Readonly<Record<string, string>> => {
  const status = fs.readFileSync(`/proc/${pid}/status`, "latin1")
  const line = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? ""
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return {
    arguments: fs.readFileSync(`/proc/${pid}/cmdline`, "latin1"),
    environment: fs.readFileSync(`/proc/${pid}/environ`, "latin1"),
    folder: fs.readlinkSync(`/proc/${pid}/cwd`),
    ...Object.fromEntries(
      [
        "Uid",
        "Gid",
        "Groups",
        "Umask",
        "SigIgn",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Cpus_allowed"
      ].map((name) => [name, line(name)])
    ),
    limits: fs.readFileSync(`/proc/${pid}/limits`, "utf8"),
    score: fs.readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"),
    personality: fs.readFileSync(`/proc/${pid}/personality`, "utf8"),
    priority: [fields[16], fields[37], fields[38]].join(" "),
    groups: fs.readFileSync(`/proc/${pid}/cgroup`, "utf8")
  }
}
