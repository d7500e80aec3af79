/**
 * A real engine of each kind with a network for a few containers, in words that all of them share, for the suites that
 * run on every one. Docker publishes ports of its own network; podman and containerd are told network namespaces. The
 * programs of this process find the engine by its environment meanwhile. All of it ends with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as ContainerEngine from "./ContainerEngine.ts"
import * as ContainerNetwork from "./ContainerNetwork.ts"

/** The engines. */
export const kinds = ["docker", "podman", "containerd"] as const
export type Kind = (typeof kinds)[number]

/** A container to be started. */
export interface Container {
  readonly name: string
  /** Its place in the network. */
  readonly index: number
  /** The port at which clients reach it. */
  readonly port: number
  readonly user?: string
  /** Folders of this machine and where the container has them; `ro` where it may not write there. */
  readonly volumes?: ReadonlyArray<readonly [from: string, to: string, mode?: "ro"]>
  /** The labels that compose would give. */
  readonly labels?: Readonly<Record<string, string>>
  readonly command: ReadonlyArray<string>
}

/** A running engine. */
export interface Containers {
  readonly kind: Kind
  readonly folder: string
  /** Runs the engine's own program with these words, and gives what it printed. */
  readonly ask: (...words: ReadonlyArray<string>) => Effect.Effect<string>
  /** What a member's configuration says of its engine. */
  readonly fields: Readonly<Record<string, string>>
  /** Says of what all its containers are made: programs, and files and folders of this machine. */
  readonly image: (programs: ReadonlyArray<string>, copies?: ReadonlyArray<string>) => Effect.Effect<void>
  readonly run: (container: Container) => Effect.Effect<unknown>
  /** Where containers reach this one. */
  readonly address: (index: number) => string
  /** Where clients on this machine reach this port of a container. */
  readonly reached: (index: number, port: number) => string
  readonly restart: (name: string) => Effect.Effect<unknown>
  readonly isRunning: (name: string) => Effect.Effect<boolean>
  /** The number that this machine gives to the first process of a container. */
  readonly pid: (name: string) => Effect.Effect<number>
  readonly freeze: (name: string) => Effect.Effect<unknown>
  readonly thaw: (name: string) => Effect.Effect<unknown>
  /** Ends the engine's own process and starts it again, its containers running on; podman has none. */
  readonly restartEngine: Effect.Effect<void> | undefined
}

/** What the image is called of which Docker's and podman's containers are made. */
export const labImage = "localhost/lab/member:1"

/** Why no such engine can run here, or undefined. */
export const skip = (kind: Kind): string | undefined => {
  if (ContainerEngine.skip !== undefined) return ContainerEngine.skip
  const program = programs[kind]
  return ContainerEngine.onPath(program) === undefined ? `no ${program}; apt-get install ${packages[kind]}` : undefined
}

/** Starts an engine. */
export const start = (kind: Kind): Effect.Effect<Containers, never, Scope.Scope> => starts[kind]

// --- internal ---

const programs: Readonly<Record<Kind, string>> = { docker: "docker", podman: "podman", containerd: "ctr" }
const packages: Readonly<Record<Kind, string>> = { docker: "docker.io", podman: "podman", containerd: "containerd" }

const docker = Effect.gen(function* () {
  const engine = yield* ContainerEngine.start
  yield* environment({ DOCKER_HOST: engine.socket })
  const ask = engine.docker
  yield* ask("network", "create", "--subnet", "198.19.253.0/24", "lab")
  const address = (index: number): string => `198.19.253.${10 + index}`
  const published = (index: number, port: number): number => port * 10 + index
  return {
    kind: "docker",
    folder: engine.folder,
    fields: {},
    image: (programs, copies = []) => ContainerEngine.image(engine, labImage, programs, copies),
    run: (one) =>
      ask(
        ...["run", "--detach", "--network", "lab", "--ip", address(one.index)],
        ...["--publish", `${published(one.index, one.port)}:${one.port}`],
        ...asDocker(one)
      ),
    address,
    reached: (index, port) => `${engine.address}:${published(index, port)}`,
    ...likeDocker(ask),
    restartEngine: engine.restart
  } satisfies Containers
})

const podman = Effect.gen(function* () {
  const folder = yield* folderFor("podman")
  const network = yield* ContainerNetwork.make(3)
  yield* ContainerEngine.removeGroups("libpod_parent")
  const runtime = path.join(folder, "runtime.mjs")
  fs.writeFileSync(runtime, limitless, { mode: 0o755 })
  fs.writeFileSync(
    path.join(folder, "containers.conf"),
    `[containers]\npids_limit=0\n[engine]\ncgroup_manager="cgroupfs"\nruntime="limitless"\ntmp_dir="${folder}/tmp"\nevents_logger="file"\n[engine.runtimes]\nlimitless=["${runtime}"]\n`
  )
  fs.writeFileSync(
    path.join(folder, "storage.conf"),
    `[storage]\ndriver="overlay"\ngraphroot="${folder}/graph"\nrunroot="${folder}/run"\n`
  )
  yield* environment({
    CONTAINERS_CONF: path.join(folder, "containers.conf"),
    CONTAINERS_STORAGE_CONF: path.join(folder, "storage.conf")
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => ContainerEngine.attempt("podman", "rm", "--all", "--force", "--time", "0"))
  )
  const ask = asker("podman")
  return {
    kind: "podman",
    folder,
    fields: { engine: "podman" },
    image: (programs, copies = []) => ContainerEngine.image({ folder, docker: ask }, labImage, programs, copies),
    run: (one) => ask("run", "--detach", "--network", `ns:${network.namespace(one.index)}`, ...asDocker(one)),
    address: network.address,
    reached: (index, port) => `${network.address(index)}:${port}`,
    ...likeDocker(ask),
    restartEngine: undefined
  } satisfies Containers
})

const containerd = Effect.gen(function* () {
  const folder = yield* folderFor("containerd")
  const network = yield* ContainerNetwork.make(3)
  const namespace = `lab${process.pid}`
  yield* ContainerEngine.removeGroups(namespace)
  const socket = path.join(folder, "containerd.sock")
  yield* environment({ CONTAINERD_ADDRESS: socket })
  const config = path.join(folder, "config.toml")
  fs.writeFileSync(
    config,
    `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`
  )
  const ask = asker("ctr", "--connect-timeout", "5s", "--namespace", namespace)
  const { restart } = yield* ContainerEngine.daemon(
    [ContainerEngine.onPath("containerd")!, ["--config", config]],
    path.join(folder, "containerd.log"),
    {
      answers: () =>
        childProcess.spawnSync("ctr", ["--connect-timeout", "1s", "version"], { stdio: "ignore" }).status === 0,
      empty: () => emptyNamespace(namespace)
    }
  )
  const model = path.join(folder, "model")
  return {
    kind: "containerd",
    folder,
    fields: { engine: "containerd", namespace },
    image: (programs, copies = []) => Effect.sync(() => ContainerEngine.rootOf(model, programs, copies)),
    run: (one) => {
      const root = path.join(folder, `root-${one.name}`)
      ContainerEngine.run("cp", "-al", model, root)
      return ask(
        // A share of the processor is no control group's to give where version 2 has no controllers.
        ...["run", "--detach", "--null-io", "--cpu-shares", "0"],
        ...["--with-ns", `network:${network.namespace(one.index)}`],
        ...(one.volumes ?? []).flatMap(([from, to, mode = "rw"]) => [
          "--mount",
          `type=bind,src=${from},dst=${to},options=rbind:${mode}`
        ]),
        ...["--rootfs", root, one.name, ...asUser(one.user), ...one.command]
      )
    },
    address: network.address,
    reached: (index, port) => `${network.address(index)}:${port}`,
    ask,
    restart: (name) =>
      Effect.gen(function* () {
        yield* ask("tasks", "delete", "--force", name)
        yield* ask("tasks", "start", "--detach", "--null-io", name)
      }),
    pid: (name) =>
      Effect.map(ask("tasks", "list"), (told) => Number(new RegExp(`^${name} +(\\d+)`, "m").exec(told)?.[1])),
    isRunning: (name) => Effect.map(ask("tasks", "list"), (told) => new RegExp(`^${name} .*RUNNING`, "m").test(told)),
    freeze: (name) => ask("tasks", "pause", name),
    thaw: (name) => ask("tasks", "resume", name),
    restartEngine: restart
  } satisfies Containers
})

const starts: Readonly<Record<Kind, Effect.Effect<Containers, never, Scope.Scope>>> = { docker, podman, containerd }

type Ask = Containers["ask"]

const asker =
  (program: string, ...first: ReadonlyArray<string>): Ask =>
  (...words) =>
    Effect.callback<string>((resume) => {
      childProcess.execFile(program, [...first, ...words], { maxBuffer: 1 << 24 }, (cause, stdout, stderr) =>
        resume(
          cause === null
            ? Effect.succeed(stdout.trimEnd())
            : Effect.die(new Error(`${program} ${words.join(" ")}: ${stdout}${stderr}`))
        )
      )
    })

// The ctr of containerd 1.6 knows no users, so the container's first program becomes one.
const asUser = (user: string | undefined): ReadonlyArray<string> => {
  const [uid, gid] = user?.split(":") ?? []
  return uid === undefined ? [] : ["/usr/bin/setpriv", "--reuid", uid, "--regid", gid!, "--clear-groups"]
}

const asDocker = ({ command, labels = {}, name, user, volumes = [] }: Container): ReadonlyArray<string> => [
  ...["--name", name],
  ...Object.entries(labels).flatMap(([label, value]) => ["--label", `${label}=${value}`]),
  ...volumes.flatMap(([from, to, mode = "rw"]) => ["--volume", `${from}:${to}:${mode}`]),
  ...(user === undefined ? [] : ["--user", user]),
  ...[labImage, ...command]
]

const likeDocker = (ask: Ask) => ({
  ask,
  restart: (name: string) => ask("restart", "--time", "0", name),
  isRunning: (name: string) =>
    Effect.map(ask("inspect", "--format", "{{.State.Running}}", name), (is) => is === "true"),
  pid: (name: string) => Effect.map(ask("inspect", "--format", "{{.State.Pid}}", name), Number),
  freeze: (name: string) => ask("pause", name),
  thaw: (name: string) => ask("unpause", name)
})

const folderFor = (kind: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), `inquorate-${kind}-`))
      fs.chmodSync(folder, 0o755)
      return folder
    }),
    (made) => Effect.sync(() => ContainerEngine.removeFolder(made))
  )

const environment = (settings: Readonly<Record<string, string>>): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(settings).map((name) => [name, process.env[name]] as const)
      Object.assign(process.env, settings)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const [name, value] of before) {
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      })
  )

const emptyNamespace = (namespace: string): void => {
  const words = ["--connect-timeout", "5s", "--namespace", namespace]
  const { stdout } = childProcess.spawnSync("ctr", [...words, "containers", "list", "--quiet"], { encoding: "utf8" })
  for (const name of (stdout ?? "").split("\n").filter((one) => one !== "")) {
    ContainerEngine.attempt("ctr", ...words, "tasks", "delete", "--force", name)
    ContainerEngine.attempt("ctr", ...words, "containers", "delete", name)
  }
}

// runc without the limits that podman asks for by default, which a root without CAP_SYS_RESOURCE may not have.
const limitless = `#!${process.execPath}
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
const words = process.argv.slice(2)
if (words.includes("create")) {
  const file = words[words.findIndex((word) => word === "--bundle" || word === "-b") + 1] + "/config.json"
  const config = JSON.parse(readFileSync(file, "utf8"))
  delete config.process.rlimits
  if (config.process.oomScoreAdj < 0) delete config.process.oomScoreAdj
  writeFileSync(file, JSON.stringify(config))
}
process.exit(spawnSync("runc", words, { stdio: "inherit" }).status ?? 1)
`
