/**
 * Labs by name: up, down and list. The record of a lab is stored before its first process starts, and each process puts
 * itself on record before it becomes the server. So `down` finds all of it, whatever killed `up`. Signals go only to
 * recorded processes, to their descendants, to processes that run a recorded executable inside the lab's own folder
 * (such as a member that was restarted), and to keepers of faults on its members.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as childProcess from "node:child_process"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Lab, LabError, type LabModule, type LabProcess, type LabSite, type ProcessName } from "./LabModule.ts"
import * as Namespaces from "./Namespaces.ts"
import * as ProcessTree from "./ProcessTree.ts"
import { labModules } from "./Registry.ts"

/** Which lab to make. */
export interface UpOptions {
  readonly system: string
  /** A name of lower-case letters, digits and hyphens, 40 at most. */
  readonly name: string
  /** How many members; the system's usual number where it is left out. */
  readonly members?: number | undefined
  /** The folder of the system's executables; searched for where it is left out. */
  readonly bin?: string | undefined
  /** Settings of the system itself, by the names that its module lists. */
  readonly options?: Readonly<Record<string, string>> | undefined
  /** Gives each member a network namespace with an address of its own, so that a cut truly isolates it. Needs root. */
  readonly namespaces?: boolean | undefined
}

/** What `down` found and did. `killed` counts the processes that did not end when asked. */
export interface DownReport {
  readonly found: boolean
  readonly stopped: number
  readonly killed: number
}

/** A lab as it stands now. `Partly` means that the processes of some members are gone. */
export interface LabListing {
  readonly name: string
  readonly state: "Up" | "Partly" | "Down" | "Starting" | "Unreadable"
  /** The record, with the processes that serve its members now; null where the record is unreadable. */
  readonly lab: Lab | null
  /** The names of the members whose processes run. */
  readonly running: ReadonlyArray<string>
}

/** Makes a lab and waits until its cluster takes writes. On failure or interruption nothing of it is left. */
export const up = Effect.fn("Lab.up")(function* (options: UpOptions): Effect.fn.Return<Lab, LabError> {
  const module = yield* moduleFor(options)
  const members = options.members ?? module.memberCounts[0]
  if (!module.memberCounts.includes(members)) {
    return yield* refuse(
      options.name,
      "BadMembers",
      `A ${module.system} lab has ${module.memberCounts.join(" or ")} members, not ${members}.`
    )
  }
  yield* checkOptions(module, options)
  if (process.platform !== "linux") {
    return yield* refuse(
      options.name,
      "NotThisPlatform",
      "Labs run on Linux only. Use a Linux machine or virtual machine."
    )
  }
  const network = options.namespaces === true ? yield* networkFor(options.name, module, members) : null
  const directory = directoryOf(options.name)
  yield* attempt(options.name, "StateUnreadable", () =>
    fs.mkdirSync(stateDirectory(), { recursive: true, mode: 0o700 })
  )
  const start = Effect.gen(function* () {
    const runAs = unprivileged()
    const folder = yield* chooseFolder(options.name, directory, runAs)
    const starting: Lab = {
      version: network === null ? 1 : 2,
      name: options.name,
      system: module.system,
      state: "Starting",
      createdAt: yield* Clock.currentTimeMillis,
      folder,
      stopSignal: module.stopSignal,
      members: [],
      ...(network === null ? {} : { network }),
      configuration: null
    }
    yield* write(directory, starting)
    yield* attempt(options.name, "DidNotStart", () => {
      fs.mkdirSync(folder, { mode: 0o700 })
      if (runAs !== null) fs.chownSync(folder, runAs.uid, runAs.gid)
    })
    const place = site(options, members, directory, folder, runAs, network, module)
    if (network !== null) yield* makeNetwork(place, network)
    const cluster = yield* module.up(place)
    const lab: Lab = { ...starting, state: "Up", members: cluster.members, configuration: cluster.configuration }
    yield* attempt(options.name, "StateUnreadable", () =>
      fs.writeFileSync(configurationFile(options.name), configurationText(lab), {
        mode: 0o600
      })
    )
    yield* write(directory, lab)
    return lab
  })
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.andThen(
      reserve(options.name, directory),
      // The caller is told why the lab did not start. What could not be removed stays on record for `down`.
      Effect.onError(restore(start), () => Effect.ignore(remove(options.name, directory)))
    )
  )
})

/** Stops a lab and removes all of it. A lab that does not exist is no error, and `down` may be repeated. */
export const down = Effect.fn("Lab.down")(function* (name: string): Effect.fn.Return<DownReport, LabError> {
  yield* checkName(name)
  const directory = directoryOf(name)
  if (!fs.existsSync(directory)) return { found: false, stopped: 0, killed: 0 }
  return yield* remove(name, directory)
})

/** The path of the file that configures a worker for this lab. The file exists as long as the lab does. */
export const configurationFile = (name: string): string => path.join(directoryOf(name), "worker.yaml")

/** Every lab on record, by name. */
export const list: Effect.Effect<ReadonlyArray<LabListing>, LabError> = Effect.gen(function* () {
  const names = yield* attempt("", "StateUnreadable", () =>
    fs.existsSync(stateDirectory()) ? fs.readdirSync(stateDirectory()).filter((name) => namePattern.test(name)) : []
  )
  return yield* Effect.forEach(names.sort(), listing)
})

// --- internal ---

// Block style where people read and add lines, and JSON (which is YAML) for the values. A library that writes a dozen
// lines without quotes would be a third of the command line's size.
const configurationText = (lab: Lab): string => {
  const lines = Object.entries(lab.configuration as Readonly<Record<string, unknown>>).flatMap(([key, value]) =>
    Array.isArray(value)
      ? [`    ${key}:`, ...value.map((item) => `      - ${JSON.stringify(item)}`)]
      : [`    ${key}: ${JSON.stringify(value)}`]
  )
  return ["clusters:", `  ${JSON.stringify(lab.name)}:`, ...lines, ""].join("\n")
}

const namePattern = /^[a-z0-9][a-z0-9-]{0,39}$/

const stateDirectory = (): string =>
  process.env["INQUORATE_LAB_STATE"] ??
  path.join(process.env["XDG_STATE_HOME"] ?? path.join(os.homedir(), ".local", "state"), "inquorate", "labs")

const directoryOf = (name: string): string => path.resolve(stateDirectory(), name)

const refuse = (lab: string, reason: LabError["reason"], detail: string) => new LabError({ lab, reason, detail })

const attempt = <A>(lab: string, reason: LabError["reason"], evaluate: () => A): Effect.Effect<A, LabError> =>
  Effect.try({
    try: evaluate,
    catch: (cause) => refuse(lab, reason, String(cause instanceof Error ? cause.message : cause))
  })

const checkName = (name: string): Effect.Effect<void, LabError> =>
  namePattern.test(name)
    ? Effect.void
    : refuse(name, "BadName", `"${name}" is no name for a lab. Use lower-case letters, digits and hyphens, 40 at most.`)

const moduleFor = Effect.fnUntraced(function* ({ name, system }: UpOptions): Effect.fn.Return<LabModule, LabError> {
  yield* checkName(name)
  const module = labModules.find((module) => module.system === system)
  if (module !== undefined) return module
  const known = labModules.map((module) => module.system).join(", ")
  return yield* refuse(name, "UnknownSystem", `There is no lab for "${system}". The systems are: ${known}.`)
})

// The person is told which of the two is lacking, before anything is made.
const networkFor = (
  name: string,
  { inNamespaces = false, system }: LabModule,
  members: number
): Effect.Effect<Namespaces.LabNetwork, LabError> =>
  Effect.suspend(() => {
    if (!inNamespaces) {
      return refuse(name, "BadOption", `The members of a ${system} lab cannot run in network namespaces yet.`)
    }
    const problem = Namespaces.problem()
    return problem === "" ? Effect.succeed(Namespaces.plan(members)) : refuse(name, "NotPermitted", problem)
  })

// Each call is a process on record like any other, so none runs on after `down` has looked.
const makeNetwork = (place: LabSite, network: Namespaces.LabNetwork): Effect.Effect<void, LabError> =>
  Effect.forEach(
    Namespaces.calls(network),
    (words) =>
      place.run({
        label: `ip ${words.join(" ")}`,
        command: Namespaces.program("ip"),
        arguments: words,
        log: "network.log",
        environment: {},
        asCaller: true
      }),
    { discard: true }
  )

const checkOptions = (
  { options: known = {}, system }: LabModule,
  { name, options = {} }: UpOptions
): Effect.Effect<void, LabError> => {
  const unknown = Object.keys(options).find((option) => !Object.hasOwn(known, option))
  if (unknown === undefined) return Effect.void
  const there = Object.entries(known).map(([option, meaning]) => `${option} (${meaning})`)
  const advice = there.length === 0 ? "There are none." : `There is: ${there.join("; ")}.`
  return refuse(name, "BadOption", `There is no option "${unknown}" for a lab of ${system}. ${advice}`)
}

const reserve = (name: string, directory: string): Effect.Effect<void, LabError> =>
  Effect.try({
    try: () => fs.mkdirSync(directory, { mode: 0o700 }),
    catch: (cause) =>
      (cause as NodeJS.ErrnoException).code === "EEXIST"
        ? refuse(name, "NameTaken", `There is a lab called ${name} already. Take it down first or choose another name.`)
        : refuse(name, "StateUnreadable", `The folder ${directory} cannot be made: ${(cause as Error).message}.`)
  })

// Servers such as PostgreSQL refuse to run as root.
const unprivileged = (): LabSite["runAs"] => {
  if (process.getuid?.() !== 0) return null
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(
    fs.existsSync("/etc/passwd") ? fs.readFileSync("/etc/passwd", "utf8") : ""
  )
  return { uid: Number(nobody?.[1] ?? 65534), gid: Number(nobody?.[2] ?? 65534) }
}

const chooseFolder = (name: string, directory: string, runAs: LabSite["runAs"]): Effect.Effect<string, LabError> => {
  if (runAs === null) return Effect.succeed(path.join(directory, "run"))
  const parent = [os.tmpdir(), "/tmp", "/var/tmp"].find((candidate) => traversable(candidate, runAs))
  return parent === undefined
    ? refuse(
        name,
        "DidNotStart",
        `The user ${runAs.uid} can enter none of ${os.tmpdir()}, /tmp and /var/tmp. Set TMPDIR.`
      )
    : Effect.succeed(
        path.join(fs.realpathSync(parent), `inquorate-lab-${name}-${crypto.randomBytes(4).toString("hex")}`)
      )
}

// True where an identity can enter a folder and everything above it. Null stands for our own identity.
const traversable = (folder: string, runAs: LabSite["runAs"]): boolean => {
  if (!fs.existsSync(folder)) return false
  if (runAs === null) return true
  for (let current = fs.realpathSync(folder); ; current = path.dirname(current)) {
    const { gid, mode, uid } = fs.statSync(current)
    const bit = uid === runAs.uid ? 0o100 : gid === runAs.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (current === path.dirname(current)) return true
  }
}

const codec = Schema.fromJsonString(Lab)

const write = (directory: string, lab: Lab): Effect.Effect<void, LabError> =>
  attempt(lab.name, "StateUnreadable", () => {
    const file = path.join(directory, "lab.json")
    fs.writeFileSync(`${file}.new`, `${JSON.stringify(Schema.encodeSync(Lab)(lab), undefined, 2)}\n`, { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
  })

// Null where `up` was killed before it wrote anything. Then there is only the folder itself.
const read = Effect.fnUntraced(function* (name: string, directory: string): Effect.fn.Return<Lab | null, LabError> {
  const file = path.join(directory, "lab.json")
  if (!fs.existsSync(file)) return null
  const text = yield* attempt(name, "StateUnreadable", () => fs.readFileSync(file, "utf8"))
  return yield* Schema.decodeEffect(codec)(text).pipe(
    Effect.mapError((error) =>
      refuse(name, "StateUnreadable", `${file} is not a record this version understands: ${error.message}`)
    )
  )
})

const listing = Effect.fnUntraced(function* (name: string): Effect.fn.Return<LabListing> {
  const lab = yield* Effect.orElseSucceed(read(name, directoryOf(name)), () => null)
  if (lab === null) return { name, state: "Unreadable", lab, running: [] }
  const members = yield* current(lab)
  const running = yield* Effect.filter(members, ProcessTree.isRunning)
  const state =
    lab.state === "Starting"
      ? "Starting"
      : running.length === lab.members.length
        ? "Up"
        : running.length === 0
          ? "Down"
          : "Partly"
  return { name, state, lab: { ...lab, members }, running: running.map((member) => member.name) }
})

// A member that was restarted is another process on the same data.
const current = ({ members, name }: Lab): Effect.Effect<Lab["members"]> =>
  Effect.map(ProcessTree.table, (entries) => {
    const executables = executablesOf(recorded(directoryOf(name)))
    return members.map((member) => {
      if (entries.get(member.pid)?.startTime === member.startTime) return member
      const found = ProcessTree.serving(entries, member.dataDirectory, executables)
      return found === undefined ? member : { ...member, pid: found.pid, startTime: found.startTime }
    })
  })

const executablesOf = (own: ReadonlyArray<RecordedProcess>): ReadonlySet<string> =>
  new Set(own.map(({ executable }) => executable))

interface RecordedProcess extends ProcessName {
  readonly executable: string
}

// One line for each process that was ever started: number, start time, executable.
const recorded = (directory: string): ReadonlyArray<RecordedProcess> => {
  const file = path.join(directory, "processes")
  if (!fs.existsSync(file)) return []
  return fs
    .readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      const match = /^(\d+) (\d+) (.+)$/.exec(line)
      return match === null ? [] : [{ pid: Number(match[1]), startTime: match[2]!, executable: match[3]! }]
    })
}

const remove = Effect.fnUntraced(function* (name: string, directory: string): Effect.fn.Return<DownReport, LabError> {
  const lab = yield* read(name, directory)
  let stopped: ProcessTree.Stopped = { stopped: 0, killed: 0, remaining: [] }
  if (lab !== null) {
    const own = yield* attempt(name, "StateUnreadable", () => recorded(directory))
    const executables = executablesOf(own)
    // A keeper would start a member again, or let it run, hours after the lab is gone. A keeper that is asked to end
    // does so now.
    yield* ProcessTree.dismiss((entries) => ProcessTree.keepersWithin(entries, lab.folder), keeperPatience)
    const restarted = new Map<number, ProcessName>()
    stopped = yield* ProcessTree.stop((entries) => {
      const within = ProcessTree.within(entries, lab.folder, executables)
      for (const entry of within) restarted.set(entry.pid, entry)
      return [...ProcessTree.withDescendants(entries, own), ...within]
    }, lab.stopSignal)
    if (stopped.remaining.length > 0) {
      const pids = stopped.remaining.map(({ pid }) => pid).join(", ")
      return yield* refuse(
        name,
        "DidNotStop",
        `Processes ${pids} could not be stopped. Run this as the user who started the lab.`
      )
    }
    yield* removeNetwork(lab)
    yield* removeSharedMemory([...own, ...restarted.values()], lab.folder)
    yield* removeFolder(name, lab.folder)
  }
  yield* removeFolder(name, directory)
  return { found: true, stopped: stopped.stopped, killed: stopped.killed }
})

// Milliseconds: a keeper gives a server ten seconds to show itself.
const keeperPatience = 15_000

const removeNetwork = ({ name, network }: Lab): Effect.Effect<void, LabError> =>
  network === undefined
    ? Effect.void
    : Effect.flatMap(Namespaces.remove(network), (left) =>
        left.length === 0
          ? Effect.void
          : refuse(name, "DidNotStop", `${left.join(", ")} could not be removed. Run this as root.`)
      )

const removeFolder = (name: string, folder: string): Effect.Effect<void, LabError> =>
  Effect.tryPromise({
    try: () => fs.promises.rm(folder, { recursive: true, force: true, maxRetries: 5 }),
    catch: (cause) => refuse(name, "DidNotStop", `${folder} could not be removed: ${String(cause)}.`)
  })

// A server that was killed leaves its System V segment behind. Node cannot remove a segment, but ipcrm of util-linux
// can. Another process may have had the creator's number before, so only a segment of this owner that nobody has
// attached is removed.
const removeSharedMemory = (own: ReadonlyArray<ProcessName>, folder: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const creators = new Set(own.map(({ pid }) => String(pid)))
    if (!fs.existsSync("/proc/sysvipc/shm") || !fs.existsSync(folder)) return
    const owner = String(fs.statSync(folder).uid)
    for (const line of fs.readFileSync("/proc/sysvipc/shm", "utf8").split("\n").slice(1)) {
      const [, id, , , creator, , attached, uid] = line.trim().split(/\s+/)
      if (id === undefined || attached !== "0" || uid !== owner || !creators.has(creator ?? "")) continue
      childProcess.spawnSync("ipcrm", ["-m", id])
    }
  })

const site = (
  { bin, name, options = {} }: UpOptions,
  members: number,
  directory: string,
  folder: string,
  runAs: LabSite["runAs"],
  network: LabSite["network"],
  module: LabModule
): LabSite => ({
  name,
  members,
  bin: bin ?? null,
  options,
  directory,
  folder,
  runAs,
  network,
  canEnter: (folder) => traversable(folder, runAs),
  start: (process) =>
    Effect.flatMap(launch(name, directory, folder, runAs, process), ({ child }) =>
      Effect.flatMap(ProcessTree.find(child.pid!), (entry) => {
        child.unref()
        return entry === undefined
          ? refuse(name, "DidNotStart", `${process.label} ended at once: ${logEnd(folder, process.log)}`)
          : Effect.succeed({ pid: entry.pid, startTime: entry.startTime })
      })
    ),
  run: (process) =>
    Effect.flatMap(launch(name, directory, folder, runAs, process), ({ ended }) =>
      Effect.flatMap(
        Effect.promise(() => ended),
        (code) =>
          code === 0
            ? Effect.void
            : refuse(name, "DidNotStart", `${process.label} failed with ${code}: ${logEnd(folder, process.log)}`)
      )
    ),
  stop: (processes) =>
    Effect.flatMap(
      ProcessTree.stop((entries) => ProcessTree.withDescendants(entries, processes), module.stopSignal),
      ({ remaining }) =>
        remaining.length === 0
          ? Effect.void
          : refuse(name, "DidNotStart", `Processes ${remaining.map(({ pid }) => pid).join(", ")} could not be stopped.`)
    )
})

// The shell writes its own number and start time to the record before it becomes the server; both outlive `exec`. The
// first argument counts the words before the server's own, which enter a namespace for it.
const recordThenExec = `
read -r line </proc/$$/stat
started() { shift 19; echo "$1"; }
server() { shift "$1"; echo "$2"; }
echo "$$ $(started \${line##*) }) $(server "$@")" >&3
shift
exec "$@" 3>&-`

const launch = (
  lab: string,
  directory: string,
  folder: string,
  runAs: LabSite["runAs"],
  spec: LabProcess
): Effect.Effect<{ readonly child: childProcess.ChildProcess; readonly ended: Promise<number | string> }, LabError> =>
  Effect.tryPromise({
    try: async () => {
      const command = fs.realpathSync(spec.command)
      const log = fs.openSync(path.join(folder, spec.log), "a", 0o644)
      const record = fs.openSync(path.join(directory, "processes"), "a", 0o600)
      const identity = spec.asCaller === true ? null : runAs
      const entering = spec.namespace === undefined ? [] : Namespaces.entering(spec.namespace, identity)
      const words = [String(entering.length), ...entering, command, ...spec.arguments]
      const child = childProcess.spawn("/bin/sh", ["-c", recordThenExec, spec.label, ...words], {
        cwd: folder,
        detached: true,
        env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...spec.environment },
        stdio: ["ignore", log, log, record],
        // Only we may enter a namespace. The identity is taken on there, after that.
        ...(identity === null || spec.namespace !== undefined ? {} : identity)
      })
      const ended = new Promise<number | string>((resolve) => {
        child.once("exit", (code, signal) => resolve(code ?? signal ?? "no exit code"))
        child.once("error", (cause) => resolve(cause.message))
      })
      fs.closeSync(log)
      fs.closeSync(record)
      if (child.pid === undefined) throw new Error(String(await ended))
      return { child, ended }
    },
    catch: (cause) => refuse(lab, "DidNotStart", `${spec.label} could not be started: ${(cause as Error).message}`)
  })

const logEnd = (folder: string, log: string): string => {
  const file = path.join(folder, log)
  return fs.existsSync(file)
    ? fs.readFileSync(file, "utf8").trim().split("\n").slice(-5).join(" | ")
    : "it wrote no log"
}
