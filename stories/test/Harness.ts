/**
 * What the stories about real systems are told with: a lab, workers as real processes, an observer that looks at the
 * system and its processes from outside, and the faults as verbs (kill, freeze, thaw). Everything started here is ended
 * here, by pid.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import type { Evidence } from "@inquorate/core/Evidence"
import type { OperationDetail } from "@inquorate/core/Operations"
import type { PartitionQuorumLossProgress } from "@inquorate/core/Wire"
import { factor, within as patience } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as pg from "pg"

// --- models ---

/** A worker that runs. */
export interface Worker {
  readonly endpoint: string
  readonly pid: number
  /** Its standard error so far. */
  readonly log: () => string
  readonly kill: (signal: NodeJS.Signals) => void
  readonly ended: Promise<number | null>
}

/** The world of one suite. */
export interface World {
  readonly folder: string
  readonly lab: LabRecord
  readonly config: string
  readonly fences: string
}

// --- make ---

const groups: Readonly<Record<string, string>> = { postgres: "quorum", etcd: "raft" }

/** The name of the one group that a lab's system has. */
export const groupOf = (world: World): string => groups[world.lab.system]!

const bundle = path.resolve(import.meta.dirname, "../../apps/worker/dist/worker.mjs")
/** The bundled `inq`. */
export const inqBundle = path.resolve(import.meta.dirname, "../../apps/cli/dist/inq.mjs")

/** The bundled applications. */
export const bundles = [bundle, inqBundle]
const workers = new Set<ChildProcess>()

/** A world with a fresh lab of a system, in a folder of its own. */
export const open = async (
  system: string,
  name: string,
  members?: number,
  { namespaces = false }: { readonly namespaces?: boolean } = {}
): Promise<World> => {
  if (!fs.existsSync(bundle)) throw new Error(`${bundle} is not there; run "pnpm build" first`)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-stories-"))
  const fences = path.join(folder, "fences")
  process.env.INQUORATE_LAB_STATE = path.join(folder, "labs")
  process.env.INQUORATE_STATE = fences
  const lab = await Effect.runPromise(Lab.up({ system, name, members, namespaces }))
  return { folder, lab, config: Lab.configurationFile(name), fences }
}

/** Ends all workers and the lab, and removes the folder. */
export const close = async (world: World): Promise<void> => {
  // Of several worlds the last one opened is where labs are looked for.
  process.env.INQUORATE_LAB_STATE = path.join(world.folder, "labs")
  for (const worker of workers) {
    worker.kill("SIGCONT")
    worker.kill("SIGKILL")
  }
  for (const { pid } of world.lab.members) signalMember(pid, "SIGCONT")
  await Effect.runPromise(Lab.down(world.lab.name))
  await until("no keeper", 20_000, () => keepers(world).length === 0)
  fs.rmSync(world.folder, { recursive: true, force: true, maxRetries: 10 })
}

/** Starts a worker as a process and waits until it listens; its store is a file of that name, or the configuration's. */
export const startWorker = (
  world: World,
  store: string | null,
  options: {
    readonly config?: string
    readonly arguments?: ReadonlyArray<string>
    readonly node?: ReadonlyArray<string>
    readonly environment?: Readonly<Record<string, string>>
  } = {}
): Promise<Worker> =>
  launch(
    [
      ...(options.node ?? []),
      bundle,
      "--config",
      options.config ?? world.config,
      "--listen",
      "127.0.0.1:0",
      ...(store === null ? [] : ["--store", `sqlite:${path.join(world.folder, store)}`]),
      ...(options.arguments ?? [])
    ],
    { INQUORATE_STATE: world.fences, ...options.environment }
  )

/** Starts a worker that serves the simulated cluster, with a store that goes when it ends. */
export const startEmulator = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Worker> => launch([bundle, "--emulator", "--listen", "127.0.0.1:0", ...arguments_], environment)

const launch = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Worker> => {
  const child = spawn(process.execPath, arguments_, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...environment }
  })
  workers.add(child)
  let log = ""
  child.stderr.on("data", (data: Buffer) => (log += data.toString()))
  const ended = new Promise<number | null>((resolve) => {
    child.on("exit", (code) => {
      workers.delete(child)
      resolve(code)
    })
  })
  return new Promise((resolve, reject) => {
    let seen = ""
    child.stdout.on("data", (data: Buffer) => {
      seen += data.toString()
      const match = /listening on (https?:\/\/\S+)/.exec(seen)
      if (match === null) return
      const kill = (signal: NodeJS.Signals) => void child.kill(signal)
      resolve({ endpoint: match[1]!, pid: child.pid!, log: () => log, kill, ended })
    })
    // Closed, not only ended: by then everything that it said was read.
    child.on("close", (code) => reject(new Error(`the worker ended with ${code} before it listened:\n${log}`)))
  })
}

/** What a command left behind. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts `inq` as a process without a terminal; `done` gives how it ended. */
export const startInq = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): { readonly child: ChildProcess; readonly done: Promise<Ran>; readonly stdout: () => string } => {
  const child = spawn(process.execPath, [inqBundle, ...arguments_], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment }
  })
  let stdout = ""
  let stderr = ""
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()))
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()))
  const done = new Promise<Ran>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
  return { child, done, stdout: () => stdout }
}

/** Runs `inq` to its end. */
export const inq = (...arguments_: ReadonlyArray<string>): Promise<Ran> => startInq(arguments_).done

/** A bound of time on this machine, from what it is on a quick quiet one. */
export const within = patience

/** How long past its deadline a fence may be off: on a slow machine as many times half a second as it is slower. */
export const overrunMost = factor === 1 ? 0 : within(500)

/** True where the worker lifted every fence by its deadline. On a slow machine a keeper may come before it. */
export const liftedInTime = ({ fences }: Pick<Evidence, "fences">): boolean =>
  fences.every(
    ({ liftedBy, overrun }) =>
      (factor === 1 ? liftedBy === "Worker" : liftedBy !== null) && overrun !== null && overrun <= overrunMost
  )

/** Waits until something holds, and fails with its name when a look that began after the bound does not see it. */
export const until = async (what: string, quick: number, holds: () => boolean | Promise<boolean>): Promise<number> => {
  const began = Date.now()
  const within = patience(quick)
  for (;;) {
    const isLast = Date.now() - began > within
    if (await holds()) return Date.now() - began
    if (isLast) throw new Error(`waited ${within} ms in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Writes a worker's configuration and gives back its path. YAML takes JSON as it is. */
export const writeConfig = (world: World, name: string, configuration: unknown): string => {
  const file = path.join(world.folder, name)
  fs.writeFileSync(file, JSON.stringify(configuration, null, 2))
  return file
}

// --- the wire, by hand ---

/** What an HTTP call was answered. */
export interface Answer {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly refusal: string
  readonly body: unknown
}

/** Calls a worker by hand and reads the error out of the body, where there is one. */
export const call = async (worker: Worker, method: string, at: string, body?: unknown): Promise<Answer> => {
  const response = await fetch(`${worker.endpoint}${at}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
  })
  const text = await response.text()
  const read = (text === "" ? {} : JSON.parse(text)) as {
    readonly Error?: { readonly Code: string; readonly Message: string }
    readonly Refusal?: { readonly _tag: string }
  }
  return {
    status: response.status,
    code: read.Error?.Code ?? "",
    message: read.Error?.Message ?? "",
    refusal: read.Refusal?._tag ?? "",
    body: read
  }
}

/** The lines of GetFaultOperationList. */
export const operations = async (
  worker: Worker,
  filter = ""
): Promise<ReadonlyArray<{ readonly OperationId: string; readonly State: string; readonly Type: string }>> =>
  (await (await fetch(`${worker.endpoint}/Faults/?api-version=6.0${filter}`)).json()) as never

/** The partition of the lab's group, as a worker names it once it has seen the group. */
export const partitionOf = async (worker: Worker, world: World): Promise<string> => {
  let partition = ""
  await until("the partition is seen", 30_000, async () => {
    partition = await partitionAt(worker.endpoint, `${world.lab.name}~${groupOf(world)}`).catch(() => "")
    return partition !== ""
  }).catch((error: Error) => {
    throw new Error(`${error.message}\n${worker.log()}`)
  })
  return partition
}

/** Waits until a worker sees every member of a lab's group up: what is started before is refused as degraded. */
export const whole = (worker: Worker, { lab }: World): Promise<number> =>
  until("every member is seen up", 30_000, async () => {
    const { body } = await call(worker, "GET", "/v1/clusters")
    const { groups, seen } = (body as ReadonlyArray<Seen>).find(({ name }) => name === lab.name)!
    return seen === "Now" && groups.every(({ members }) => members.every(({ up }) => up))
  })

/** A cluster as `/v1/clusters` shows it. */
interface Seen {
  readonly name: string
  readonly seen: string
  readonly groups: ReadonlyArray<{ readonly members: ReadonlyArray<{ readonly up: boolean }> }>
}

/** The first partition of a service, by its id, at an endpoint. */
export const partitionAt = async (endpoint: string, service: string): Promise<string> => {
  const response = await fetch(`${endpoint}/Services/${service}/$/GetPartitions?api-version=6.4`)
  const body = (await response.json()) as { Items: ReadonlyArray<{ PartitionInformation: { Id: string } }> }
  return body.Items[0]!.PartitionInformation.Id
}

/** Starts a quorum loss on the Service Fabric surface and gives back the HTTP status and body. */
export const startLoss = async (
  worker: Worker,
  world: World,
  options: {
    readonly id: string
    readonly partition: string
    readonly seconds: number | string
    readonly mode?: string
    readonly service?: string
  }
): Promise<{ readonly status: number; readonly body: string }> => {
  const service = options.service ?? `${world.lab.name}~${groupOf(world)}`
  const query = `api-version=6.0&OperationId=${options.id}&QuorumLossMode=${options.mode ?? "QuorumReplicas"}&QuorumLossDuration=${options.seconds}&timeout=60`
  const response = await fetch(
    `${worker.endpoint}/Faults/Services/${service}/$/GetPartitions/${options.partition}/$/StartQuorumLoss?${query}`,
    { method: "POST" }
  )
  return { status: response.status, body: await response.text() }
}

/** The progress of an operation. */
export const progress = async (worker: Worker, id: string): Promise<PartitionQuorumLossProgress> => {
  const response = await fetch(
    `${worker.endpoint}/Faults/Services/a~b/$/GetPartitions/${id}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${id}`
  )
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as PartitionQuorumLossProgress
}

/** Asks an operation to stop, and gives back the status and error code. */
export const cancel = async (
  worker: Worker,
  id: string,
  force: boolean
): Promise<{ readonly status: number; readonly code: string }> => {
  const response = await fetch(`${worker.endpoint}/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}`, {
    method: "POST"
  })
  const text = await response.text()
  return {
    status: response.status,
    code: text === "" ? "" : (JSON.parse(text) as { Error: { Code: string } }).Error.Code
  }
}

/** The operation with its evidence, from `/v1`. */
export const detail = async (worker: Worker, id: string): Promise<OperationDetail> =>
  (await (await fetch(`${worker.endpoint}/v1/operations/${id}`)).json()) as OperationDetail

/** Waits until an operation has ended and gives back its progress. */
export const ended = async (worker: Worker, id: string, within = 30_000): Promise<PartitionQuorumLossProgress> => {
  let last: PartitionQuorumLossProgress = { State: "Running" }
  await until(`the end of ${id}`, within, async () => {
    last = await progress(worker, id)
    return last.State !== "Running" && last.State !== "RollingBack"
  })
  return last
}

/** Waits until the operation holds the loss, proven. */
export const holding = (worker: Worker, id: string): Promise<number> =>
  until("the hold", 40_000, async () => {
    const { stage } = (await detail(worker, id)).operation
    if (stage._tag !== "Advancing") {
      throw new Error(`it does not hold: ${JSON.stringify((await detail(worker, id)).evidence.notes)}`)
    }
    return stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Holding"
  })

/** Waits until so many members are really stopped, and tells what the operation says of itself where they are not. */
export const taken = (worker: Worker, world: World, id: string, count: number): Promise<number> =>
  until(`${count} members stopped`, 40_000, () => stoppedMembers(world).length === count).catch(
    async (error: Error) => {
      const { evidence, state } = await detail(worker, id)
      throw new Error(`${error.message}; ${state}: ${JSON.stringify(evidence.notes)}`)
    }
  )

/** Starts a quorum loss, waits until it is held, and gives its id. */
export const hold = async (
  worker: Worker,
  world: World,
  options: { readonly partition: string; readonly seconds: number; readonly mode?: string }
): Promise<string> => {
  const id = randomUUID()
  const started = await startLoss(worker, world, { id, ...options })
  if (started.status !== 202) throw new Error(`it did not start (${started.status}): ${started.body}`)
  await holding(worker, id)
  return id
}

// --- the observer ---

/** Lets a paused member run on behind our back: by SIGCONT, or where it is traced by killing its holder. */
export const wake = (main: number): void => {
  const holder = Number(/^TracerPid:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${main}/status`, "utf8"))![1])
  if (holder > 0) process.kill(holder, "SIGKILL")
  else signalMember(main, "SIGCONT")
}

/** Sends a signal to a member's main process and its children, as somebody does who knows nothing of us. */
export const signalMember = (main: number, signal: NodeJS.Signals): void => {
  // The main process first: once it stands still, it starts no child that we would pass by.
  kill(main, signal)
  for (const name of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8")
      if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === main) process.kill(Number(name), signal)
    } catch {
      // It ended while we looked.
    }
  }
}

/** Sends a signal to a process, and says whether it was there. */
export const kill = (pid: number, signal: NodeJS.Signals): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** The member that leads the lab's group, by its own word, once one does. */
export const leaderOf = async ({ lab }: World): Promise<string> => {
  if (lab.system === "postgres") return lab.members[0]!.name
  let leads: string | undefined
  await until("a member leads", 20_000, async () => {
    for (const { address, name } of lab.members) {
      const asked = fetch(`http://${address}/v3/maintenance/status`, { method: "POST", body: "{}" })
      const { header, leader } = (await asked.then((response) => response.json()).catch(() => ({}))) as {
        readonly header?: { readonly member_id: string }
        readonly leader?: string
      }
      if (leader !== undefined && header?.member_id === leader) leads = name
    }
    return leads !== undefined
  })
  return leads!
}

/** The states (`S`, `T` …) of a member's main process and its children, by /proc. */
export const statesOf = (pid: number): ReadonlyArray<string> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8")
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
        return Number(name) === pid || Number(fields[1]) === pid ? [fields[0]!] : []
      } catch {
        return []
      }
    })

/** The members whose processes are all stopped. */
export const stoppedMembers = (world: World): ReadonlyArray<string> =>
  world.lab.members.filter(({ pid }) => statesOf(pid).every((state) => /[tTZ]/.test(state))).map(({ name }) => name)

/** True while no process of any member is stopped. */
export const nothingStopped = (world: World): boolean =>
  world.lab.members.every(({ pid }) => statesOf(pid).every((state) => !/[tT]/.test(state)))

/**
 * The main process that serves a data directory now, whoever started it: the eldest with that word in its command. What
 * looks at that directory for a moment, such as `stat`, is called by its name alone.
 */
export const serverOf = (dataDirectory: string): number | undefined => {
  const found = fs.readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const words = fs.readFileSync(`/proc/${name}/cmdline`, "latin1").split("\0")
      if (!path.isAbsolute(words[0]!) || !words.includes(dataDirectory)) return []
      const stat = fs.readFileSync(`/proc/${name}/stat`, "latin1")
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return state === "Z" ? [] : [{ pid: Number(name), parent: Number(parent) }]
    } catch {
      return []
    }
  })
  return found.find(({ parent }) => !found.some(({ pid }) => pid === parent))?.pid
}

/** The labs there are, as `inq lab list` lists them. */
export const labs = (): Promise<ReadonlyArray<Lab.LabListing>> => Effect.runPromise(Lab.list)

/** Takes the lab of a world down, which `close` may do once more. */
export const downLab = (world: World): Promise<Lab.DownReport> => Effect.runPromise(Lab.down(world.lab.name))

/**
 * The keepers and holders that run for this world. A shell that a worker keeps open to its host belongs to no operation,
 * and is none of them.
 */
export const keepers = (world: World): ReadonlyArray<number> =>
  hostPrograms(world).filter((pid) => {
    try {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
      const parent = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]!
      return !fs.readFileSync(`/proc/${parent}/cmdline`, "utf8").includes("worker.mjs")
    } catch {
      // The program has ended, or its parent just did: then it is told by the next look.
      return fs.existsSync(`/proc/${pid}`)
    }
  })

/** Every program of ours that runs on the host of this world, told by the state folder in its environment. */
export const hostPrograms = (world: World): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const command = fs.readFileSync(`/proc/${name}/cmdline`, "utf8")
        return (
          !command.includes("worker.mjs") &&
          !command.includes("vitest") &&
          fs.readFileSync(`/proc/${name}/environ`, "utf8").includes(`INQUORATE_STATE=${world.fences}\0`) &&
          /^((\/bin\/)?(da)?sh|perl)\0/.test(command)
        )
      } catch {
        return false
      }
    })
    .map(Number)

/** True when a write that needs the quorum is acknowledged within `within` milliseconds, seen from outside. */
export const writeCommits = (world: World, within: number): Promise<boolean> =>
  world.lab.system === "etcd" ? putCommits(world, within) : commitCommits(world, within)

// One PUT at every member at once: whoever leads now, one of them finds it.
const putCommits = async ({ lab }: World, within: number): Promise<boolean> => {
  const puts = lab.members.map(async ({ address }) => {
    const response = await fetch(`http://${address}/v3/kv/put`, {
      method: "POST",
      body: JSON.stringify({ key: btoa("observer"), value: btoa("write") }),
      headers: { connection: "close" },
      signal: AbortSignal.timeout(within)
    })
    if (!response.ok) throw new Error(await response.text())
  })
  return Promise.any(puts).then(
    () => true,
    () => false
  )
}

const commitCommits = async (world: World, within: number): Promise<boolean> => {
  const [host, port] = world.lab.members[0]!.address.split(":")
  const settings = world.lab.configuration as { user: string; database: string; password: { file: string } }
  const client = new pg.Client({
    host: host!,
    port: Number(port),
    user: settings.user,
    database: settings.database,
    password: fs.readFileSync(settings.password.file, "utf8").trim(),
    connectionTimeoutMillis: within
  })
  client.on("error", () => undefined)
  const deadline = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), within).unref())
  const write = (async () => {
    try {
      await client.connect()
      await client.query("select pg_logical_emit_message(true, 'observer', 'write')")
      return true
    } catch {
      return false
    }
  })()
  const committed = await Promise.race([write, deadline])
  // A write that hangs on the quorum would keep its backend; closing the socket is all an observer may do.
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  return committed
}
