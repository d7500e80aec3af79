/**
 * A real Docker engine for tests, in a network namespace and a folder of its own: none of its rules, bridges and
 * addresses is the machine's. Its images are made of this machine's own programs; no registry is asked. The test
 * reaches its published ports over a pair of interfaces that goes with the namespace. All of it ends with the scope:
 * processes by their numbers, then mounts, control groups, namespace and folder.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as AddressBlock from "./AddressBlock.ts"
import { within } from "./Pace.ts"

/** A running engine. */
export interface ContainerEngine {
  /** Runs `docker` with these words to its end, and gives what it printed, without the last line end. */
  readonly docker: (...words: ReadonlyArray<string>) => Effect.Effect<string>
  /** The value of `DOCKER_HOST` for this engine. */
  readonly socket: string
  /** The address at which published ports are reached. */
  readonly address: string
  /** A folder that goes with the engine. */
  readonly folder: string
  /** Ends the engine and starts it again. Its containers run on meanwhile (`live-restore`). */
  readonly restart: Effect.Effect<void>
}

/** Why no engine can run here, or undefined. */
export const skip: string | undefined = (() => {
  if (process.getuid?.() !== 0) return "only root can run a container engine"
  const missing = ["docker", "dockerd", "containerd", "runc", "ip", "nsenter", "busybox"].filter(
    (program) => onPath(program) === undefined
  )
  return missing.length === 0
    ? undefined
    : `no ${missing.join(", ")}; apt-get install docker.io busybox-static iproute2`
})()

/** Starts an engine, which ends with the scope. */
export const start: Effect.Effect<ContainerEngine, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-docker-"))),
    (made) => Effect.sync(() => removeFolder(made))
  )
  const name = `inq${process.pid}`
  const { address } = yield* Effect.acquireRelease(
    Effect.sync(() => {
      run("ip", "netns", "add", name)
      const block = AddressBlock.claim(name, "out")
      run("ip", "address", "add", `${block.address(1)}/${AddressBlock.prefix}`, "dev", block.link)
      run("ip", "link", "set", block.link, "up")
      run("ip", "-n", name, "address", "add", `${block.address(2)}/${AddressBlock.prefix}`, "dev", "out")
      run("ip", "-n", name, "link", "set", "out", "up")
      run("ip", "-n", name, "link", "set", "lo", "up")
      run("ip", "-n", name, "route", "add", "default", "via", block.address(1))
      return block
    }),
    ({ link }) =>
      Effect.sync(() => {
        attempt("ip", "link", "delete", link)
        attempt("ip", "netns", "delete", name)
      })
  )
  yield* removeGroups("docker")
  const socket = `unix://${folder}/docker.sock`
  const env = { ...process.env, DOCKER_HOST: socket }
  const docker = (...words: ReadonlyArray<string>) =>
    Effect.callback<string>((resume) => {
      childProcess.execFile("docker", words, { env, maxBuffer: 1 << 24 }, (cause, stdout, stderr) =>
        resume(
          cause === null
            ? Effect.succeed(stdout.trimEnd())
            : Effect.die(new Error(`docker ${words.join(" ")}: ${stdout}${stderr}`))
        )
      )
    })
  fs.writeFileSync(path.join(folder, "daemon.json"), '{ "live-restore": true }')
  const words = [
    `--net=/run/netns/${name}`,
    onPath("dockerd")!,
    ...["--data-root", `${folder}/data`, "--exec-root", `${folder}/exec`, "-H", socket],
    ...["--pidfile", `${folder}/docker.pid`, "--config-file", `${folder}/daemon.json`],
    ...["--bip", "198.19.254.1/24", "--default-ulimit", "nofile=1024:4096"]
  ]
  const { restart } = yield* daemon(["nsenter", words], path.join(folder, "dockerd.log"), {
    answers: () => childProcess.spawnSync("docker", ["version"], { env, stdio: "ignore" }).status === 0,
    empty: () => removeAll(env)
  })
  return { docker, socket, address: address(2), folder, restart }
})

/**
 * Starts an engine's own process, which ends with the scope after `empty` has taken its containers away. Gives what ends
 * it and starts it again.
 */
export const daemon = Effect.fnUntraced(function* (
  [program, words]: readonly [string, ReadonlyArray<string>],
  log: string,
  { answers, empty }: { readonly answers: () => boolean; readonly empty: () => void }
): Effect.fn.Return<{ readonly restart: Effect.Effect<void> }, never, Scope.Scope> {
  const launch = Effect.sync(() => {
    const output = fs.openSync(log, "a")
    const child = childProcess.spawn(program, words, { stdio: ["ignore", output, output] })
    fs.closeSync(output)
    return child
  })
  let child = yield* launch
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.sync(empty),
      Effect.suspend(() => end(child))
    )
  )
  const ready = Effect.repeat(Effect.sync(answers), { until: (is) => is, schedule: Schedule.spaced(100) }).pipe(
    Effect.timeoutOrElse({
      duration: within(60_000),
      orElse: () => Effect.die(new Error(`the engine did not start: ${fs.readFileSync(log, "utf8").slice(-2000)}`))
    }),
    Effect.asVoid
  )
  yield* ready
  const restart = Effect.gen(function* () {
    yield* Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGTERM")
    })
    child = yield* launch
    yield* ready
  })
  return { restart }
})

/** Makes an image of what `rootOf` makes. */
export const image = Effect.fnUntraced(function* (
  engine: Pick<ContainerEngine, "docker" | "folder">,
  name: string,
  programs: ReadonlyArray<string>,
  copies: ReadonlyArray<string>
): Effect.fn.Return<void> {
  const root = path.join(engine.folder, `image-${name.replaceAll(/[^a-z0-9]/g, "-")}`)
  const packed = `${root}.tar`
  rootOf(root, programs, copies)
  run("tar", "-C", root, "-cf", packed, ".")
  yield* engine.docker("import", packed, name)
  fs.rmSync(root, { recursive: true })
  fs.rmSync(packed)
})

/**
 * Makes the root folder of a container: a shell, these programs of this machine, the libraries that they are linked
 * with, and copies of these files and folders of this machine, each at its own place.
 */
export const rootOf = (root: string, programs: ReadonlyArray<string>, copies: ReadonlyArray<string>): void => {
  for (const folder of ["bin", "usr/bin", "lib64", "var/lib", "etc", "proc", "sys", "dev", "run"]) {
    fs.mkdirSync(path.join(root, folder), { recursive: true })
  }
  // Where any user may write. PostgreSQL keeps its own socket in the second one.
  for (const folder of ["tmp", "var/run/postgresql"]) {
    fs.mkdirSync(path.join(root, folder), { recursive: true })
    fs.chmodSync(path.join(root, folder), 0o1777)
  }
  if (copies.length > 0)
    run("sh", "-c", 'tar -C / -c "$@" | tar -C "$0" -x', root, ...copies.map((place) => `.${place}`))
  fs.copyFileSync(onPath("busybox")!, path.join(root, "bin/busybox"))
  for (const applet of ["sh", "sleep", "cat", "ls", "mkdir", "chown", "chmod"]) {
    fs.symlinkSync("busybox", path.join(root, "bin", applet))
  }
  fs.writeFileSync(path.join(root, "etc/passwd"), fs.readFileSync("/etc/passwd"))
  fs.writeFileSync(path.join(root, "etc/group"), fs.readFileSync("/etc/group"))
  for (const program of programs) {
    const real = fs.realpathSync(program)
    const copy = path.join(root, real)
    fs.mkdirSync(path.dirname(copy), { recursive: true })
    fs.copyFileSync(real, copy)
    fs.chmodSync(copy, 0o755)
    // PostgreSQL finds its other files from where its program really is.
    const found = path.join(root, "usr/bin", path.basename(program))
    if (found !== copy) fs.symlinkSync(real, found)
    const { stdout } = childProcess.spawnSync("ldd", [program], { encoding: "utf8" })
    for (const [, library] of stdout.matchAll(/(\/[^\s]+) \(0x/g)) {
      fs.mkdirSync(path.dirname(path.join(root, library!)), { recursive: true })
      fs.copyFileSync(fs.realpathSync(library!), path.join(root, library!))
    }
  }
}

/** Removes a folder with whatever is mounted below it. */
export const removeFolder = (folder: string): void => {
  const mounts = fs
    .readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((place) => place.startsWith(`${folder}/`))
  for (const place of mounts.reverse()) attempt("umount", "--lazy", place)
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

/** Runs a program to its end, and fails where it does. */
export const run = (program: string, ...words: ReadonlyArray<string>): void => {
  const { error, status, stderr } = childProcess.spawnSync(program, words, { encoding: "utf8" })
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${error?.message ?? stderr}`)
}

/** Runs a program to its end, whatever comes of it. */
export const attempt = (program: string, ...words: ReadonlyArray<string>): void => {
  childProcess.spawnSync(program, words, { stdio: "ignore" })
}

/** Where a program is. */
export function onPath(program: string): string | undefined {
  const places = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"]
  return places.map((place) => path.join(place, program)).find((file) => fs.existsSync(file))
}

/** Removes the groups under which an engine puts those of its containers, which it leaves behind. They go with the scope. */
export const removeGroups = (name: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.suspend(() => {
    const before = new Set(controlGroups(name))
    return Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const group of controlGroups(name).filter((one) => !before.has(one))) {
          // podman leaves one for conmon below its own.
          for (const one of [path.join(group, "conmon"), group]) {
            try {
              fs.rmdirSync(one)
            } catch {
              // There is none, or another engine of this machine has begun to use it.
            }
          }
        }
      })
    )
  })

// --- internal ---

const controlGroups = (name: string): ReadonlyArray<string> =>
  ["/sys/fs/cgroup", ...list("/sys/fs/cgroup").map((kind) => `/sys/fs/cgroup/${kind}`)]
    .map((place) => `${place}/${name}`)
    .filter((group) => fs.existsSync(group))

const list = (folder: string): ReadonlyArray<string> => {
  try {
    return fs.readdirSync(folder)
  } catch {
    return []
  }
}

const removeAll = (env: NodeJS.ProcessEnv): void => {
  const { stdout } = childProcess.spawnSync("docker", ["ps", "-aq"], { env, encoding: "utf8", timeout: within(20_000) })
  const ids = (stdout ?? "").split("\n").filter((id) => id !== "")
  if (ids.length > 0) {
    childProcess.spawnSync("docker", ["rm", "--force", "--volumes", ...ids], {
      env,
      stdio: "ignore",
      timeout: within(60_000)
    })
  }
}

// Ends a process by its number, with whatever it started that did not end with it.
const end = (child: childProcess.ChildProcess): Effect.Effect<void> =>
  Effect.gen(function* () {
    const ended = Effect.callback<void>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
    })
    const kin = descendants(child.pid!)
    child.kill("SIGTERM")
    yield* Effect.timeoutOption(ended, within(20_000))
    // Where it has ended, its number may be another process's by now, and Node sends it nothing.
    child.kill("SIGKILL")
    for (const { pid, born } of kin) {
      if (bornOf(pid) !== born) continue
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It has ended by itself.
      }
    }
    yield* ended
  })

const statOf = (pid: number): ReadonlyArray<string> => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return []
  }
}

const bornOf = (pid: number): string => statOf(pid)[19] ?? ""

const descendants = (root: number): ReadonlyArray<{ readonly pid: number; readonly born: string }> => {
  const all = list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
  const found = [root]
  for (let grown = -1; grown !== found.length;) {
    grown = found.length
    for (const pid of all) if (!found.includes(pid) && found.includes(Number(statOf(pid)[1]))) found.push(pid)
  }
  return found.slice(1).map((pid) => ({ pid, born: bornOf(pid) }))
}
