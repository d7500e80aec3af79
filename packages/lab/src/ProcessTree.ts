/**
 * Processes by number and start time, read from `/proc`, so that a reused number is never taken for the process that
 * had it before. A signal is sent only to a process whose start time was just seen to match. A zombie counts as gone,
 * since it may stay for ever where a container's first process does not reap it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ProcessName } from "./LabModule.ts"

/** One line of the process table. `state` is the letter of `/proc/<pid>/stat`, such as S, R or T (stopped). */
export interface ProcessEntry extends ProcessName {
  readonly parent: number
  readonly state: string
}

/** All processes of this machine that are not zombies. */
export const table: Effect.Effect<ReadonlyMap<number, ProcessEntry>> = Effect.sync(() => {
  const entries = new Map<number, ProcessEntry>()
  for (const name of fs.readdirSync("/proc")) {
    const entry = /^\d+$/.test(name) ? readEntry(Number(name)) : undefined
    if (entry !== undefined) entries.set(entry.pid, entry)
  }
  return entries
})

/** The process with this number, or `undefined` where there is none or only a zombie. */
export const find = (pid: number): Effect.Effect<ProcessEntry | undefined> => Effect.sync(() => readEntry(pid))

/** True while this very process lives. */
export const isRunning = ({ pid, startTime }: ProcessName): Effect.Effect<boolean> =>
  Effect.map(find(pid), (entry) => entry?.startTime === startTime)

/** The named processes that live, each followed by its descendants: parents before children. */
export const withDescendants = (
  entries: ReadonlyMap<number, ProcessEntry>,
  roots: ReadonlyArray<ProcessName>
): ReadonlyArray<ProcessEntry> => {
  const children = new Map<number, Array<ProcessEntry>>()
  for (const entry of entries.values()) {
    const siblings = children.get(entry.parent)
    if (siblings === undefined) children.set(entry.parent, [entry])
    else siblings.push(entry)
  }
  const found = new Map<number, ProcessEntry>()
  const queue = roots.flatMap(({ pid, startTime }) => {
    const entry = entries.get(pid)
    return entry?.startTime === startTime ? [entry] : []
  })
  for (const entry of queue) {
    if (found.has(entry.pid)) continue
    found.set(entry.pid, entry)
    queue.push(...(children.get(entry.pid) ?? []))
  }
  return [...found.values()]
}

/** The processes that run one of these executables with a working directory in the folder. */
export const within = (
  entries: ReadonlyMap<number, ProcessEntry>,
  folder: string,
  executables: ReadonlySet<string>
): ReadonlyArray<ProcessEntry> =>
  [...entries.values()].filter(({ pid }) => {
    const cwd = readLink(`/proc/${pid}/cwd`)
    if (cwd !== folder && !cwd.startsWith(`${folder}/`)) return false
    return executables.has(executableOf(pid))
  })

/**
 * The process that serves a data directory. It runs one of these executables under that executable's own name, and it
 * works in the directory or names it among its arguments. Of a parent and its children the parent counts. `undefined`
 * where there is none.
 */
export const serving = (
  entries: ReadonlyMap<number, ProcessEntry>,
  dataDirectory: string,
  executables: ReadonlySet<string>
): ProcessEntry | undefined => {
  const found = [...entries.values()].filter(({ pid }) => {
    const executable = executableOf(pid)
    if (!executables.has(executable)) return false
    const words = wordsOf(pid)
    // PostgreSQL's children name themselves by what they do. A child whose parent was killed is no server.
    if (path.basename(words[0] ?? "") !== path.basename(executable)) return false
    // A keeper of a fault names the directory too, and its shell may be an executable that the lab has run.
    if (words[3] === keeperWord) return false
    return words.includes(dataDirectory) || readLink(`/proc/${pid}/cwd`) === dataDirectory
  })
  return found.find(({ parent }) => !found.some(({ pid }) => pid === parent))
}

/**
 * The keepers of faults (`@inquorate/injectors/Keeper`) on servers whose data lies in a folder. A keeper's first word
 * is `inquorate-keeper`, and one of its others is the data directory. SIGTERM ends such a fault at once.
 */
export const keepersWithin = (
  entries: ReadonlyMap<number, ProcessEntry>,
  folder: string
): ReadonlyArray<ProcessEntry> =>
  [...entries.values()].filter(({ pid }) => {
    const words = wordsOf(pid)
    return words[3] === keeperWord && words.slice(5).some((word) => word.startsWith(`${folder}/`))
  })

/** Asks processes to end until `select` finds none. After `within` milliseconds they are killed. */
export const dismiss = Effect.fnUntraced(function* (
  select: (entries: ReadonlyMap<number, ProcessEntry>) => ReadonlyArray<ProcessEntry>,
  within: number
): Effect.fn.Return<void> {
  const living = Effect.map(table, select)
  const asked = (left: ReadonlyArray<ProcessEntry>) => Effect.andThen(signal(left, "SIGCONT"), signal(left, "SIGTERM"))
  const stubborn = yield* untilGone(living, asked, within)
  if (stubborn.length > 0) yield* untilGone(living, (left) => signal(left, "SIGKILL"), patience)
})

/**
 * Pauses processes with all their descendants, also those that are forked meanwhile, until the scope ends or `resume`
 * is run.
 */
export const pausing: Effect.Effect<
  {
    readonly pause: (roots: ReadonlyArray<ProcessName>) => Effect.Effect<void>
    readonly resume: Effect.Effect<void>
  },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const paused: Array<ProcessEntry> = []
  const resume = Effect.suspend(() => signal(paused.splice(0), "SIGCONT"))
  yield* Effect.addFinalizer(() => resume)
  const pause = Effect.fnUntraced(function* (roots: ReadonlyArray<ProcessName>) {
    const pauseAll = Effect.gen(function* () {
      const tree = withDescendants(yield* table, roots)
      paused.push(...tree)
      // Parents come first. What they fork before they stop is found in the next round.
      const running = tree.filter(({ state }) => state !== "T")
      yield* signal(running, "SIGSTOP")
      return running.length
    })
    yield* Effect.repeat(pauseAll, { until: (running) => running === 0, schedule: Schedule.spaced(5) })
  })
  return { pause, resume }
})

/** Sends a signal to each of the named processes that still lives. */
export const signal = (processes: ReadonlyArray<ProcessName>, name: NodeJS.Signals): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const { pid, startTime } of processes) {
      if (readEntry(pid)?.startTime !== startTime) continue
      try {
        process.kill(pid, name)
      } catch {
        // The process ended just now, or we may not signal it. Whoever waits for its end sees which.
      }
    }
  })

/** What a stop left. `killed` counts what did not end when asked; `remaining` is what not even SIGKILL ended. */
export interface Stopped {
  readonly stopped: number
  readonly killed: number
  readonly remaining: ReadonlyArray<ProcessName>
}

/**
 * Stops what `select` finds until it finds nothing. All get SIGCONT, since a paused process obeys nothing else. Those
 * whose parent is not among them get the signal `politely`. After five seconds what is left gets SIGKILL.
 */
export const stop = Effect.fnUntraced(function* (
  select: (entries: ReadonlyMap<number, ProcessEntry>) => ReadonlyArray<ProcessEntry>,
  politely: NodeJS.Signals
): Effect.fn.Return<Stopped> {
  // A process that was once found stays ours when its parent ends before it.
  const ours = new Map<number, ProcessEntry>()
  const living = Effect.map(table, (entries) => {
    for (const entry of select(entries)) ours.set(entry.pid, entry)
    for (const entry of withDescendants(entries, [...ours.values()])) ours.set(entry.pid, entry)
    return [...ours.values()].filter((entry) => entries.get(entry.pid)?.startTime === entry.startTime)
  })
  const first = yield* living
  // The signals are repeated, since a process that was only just starting may not have listened the first time.
  const stubborn = yield* untilGone(living, (left) => {
    const roots = left.filter((entry) => !left.some(({ pid }) => pid === entry.parent))
    return Effect.andThen(signal(left, "SIGCONT"), signal(roots, politely))
  })
  if (stubborn.length === 0) return { stopped: first.length, killed: 0, remaining: [] }
  const remaining = yield* untilGone(living, (left) => signal(left, "SIGKILL"))
  return { stopped: first.length, killed: stubborn.length - remaining.length, remaining }
})

// --- internal ---

const patience = 5000
const keeperWord = "inquorate-keeper"

const untilGone = Effect.fnUntraced(function* (
  living: Effect.Effect<ReadonlyArray<ProcessEntry>>,
  between: (left: ReadonlyArray<ProcessEntry>) => Effect.Effect<void>,
  within = patience
) {
  const began = yield* Clock.currentTimeMillis
  let looks = 0
  while (true) {
    const left = yield* living
    if (left.length === 0 || (yield* Clock.currentTimeMillis) - began > within) return left
    if (looks++ % 10 === 0) yield* between(left)
    yield* Effect.sleep(20)
  }
})

const readEntry = (pid: number): ProcessEntry | undefined => {
  const text = readText(`/proc/${pid}/stat`)
  // The name in parentheses may hold blanks and parentheses. The fields behind the last parenthesis do not.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, parent] = fields
  const startTime = fields[19]
  if (state === undefined || parent === undefined || startTime === undefined || state === "Z" || state === "X") return
  return { pid, parent: Number(parent), state, startTime }
}

// Processes end while they are looked at. A file that is gone reads as empty.
const readText = (path: string): string => {
  try {
    return fs.readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

const executableOf = (pid: number): string => readLink(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "")

const wordsOf = (pid: number): ReadonlyArray<string> => readText(`/proc/${pid}/cmdline`).split("\0")

const readLink = (link: string): string => {
  try {
    return fs.readlinkSync(link)
  } catch {
    return ""
  }
}
