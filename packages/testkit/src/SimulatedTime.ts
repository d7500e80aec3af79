/**
 * One time for a whole simulated world, and the processes that live in it. Nothing here waits: time jumps to the next
 * thing that is due. Of the processes that can run at one moment, the seed chooses which takes the next step. Within a
 * process tasks keep their order, as in one thread. A process has clocks of its own. It can be frozen: what comes due
 * then waits, in order. It can die: whatever it was about to do never happens.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import type { Millis } from "@inquorate/core/Time"
import type { Seed } from "./Seed.ts"

/** A process in simulated time. */
export interface Process {
  readonly name: string
  readonly state: () => "Running" | "Frozen" | "Dead"
  readonly clock: Clock.Clock
  /** How far its UTC is ahead of true time. */
  readonly wallAhead: () => number
  /** How far its monotonic clock is ahead of true time; never changes. */
  readonly monotonicAhead: number
  /** Steps its UTC; nothing else notices. */
  readonly stepWall: (millis: number) => void
  /** Takes it off the processor: nothing of it runs, but its monotonic clock goes on. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** Ends it between two steps, without a word. */
  readonly kill: () => void
  /** Adds a step after all that the process has to do now. */
  readonly enqueue: (task: () => void) => void
  /** Runs an effect in it. `onExit` hears the result, unless the process dies first. */
  readonly run: <A, E>(effect: Effect.Effect<A, E>, onExit?: (exit: Exit.Exit<A, E>) => void) => void
}

/** The time of a simulated world, in whole milliseconds since its beginning. */
export interface Time {
  readonly now: () => Millis
  /** Gives a process a step after this much time. The returned function takes the step back. */
  readonly after: (delay: Millis, process: Process, task: () => void) => () => void
  readonly process: (name: string, clocks?: { readonly wall?: number; readonly monotonic?: number }) => Process
  /** Lets time pass until something is so, for at most this much time, and tells whether it came to be so. */
  readonly passUntil: (so: () => boolean, atMost: Millis) => boolean
  /** How many steps were taken in all. */
  readonly steps: () => number
}

/** The moment in UTC at which every simulated world begins. */
export const began = 1_700_000_000_000

/** Begins a time. */
export const make = (seed: Seed): Time => {
  const agenda = makeAgenda()
  // The processes that could take a step now, never a frozen or dead one.
  const ready: Array<Inner> = []
  let now = 0
  let steps = 0

  const takeStep = (): void => {
    const index = ready.length === 1 ? 0 : seed.below(ready.length)
    const process = ready[index]!
    const task = process.tasks[process.next++]!
    if (process.next === process.tasks.length) {
      process.tasks.length = process.next = 0
      process.ready = false
      ready[index] = ready.at(-1)!
      ready.pop()
    }
    steps++
    task()
  }
  const withdraw = (process: Inner): void => {
    if (!process.ready) return
    process.ready = false
    ready.splice(ready.indexOf(process), 1)
  }
  const offer = (process: Inner): void => {
    if (process.ready || process.state() !== "Running" || process.tasks.length === process.next) return
    process.ready = true
    ready.push(process)
  }
  const time: Time = {
    now: () => now,
    steps: () => steps,
    after: (delay, process, task) => {
      const entry = { at: now + Math.max(0, Math.ceil(delay)), process, task, cancelled: false }
      agenda.add(entry)
      return () => void (entry.cancelled = true)
    },
    process: (name, clocks) => makeProcess(name, time, offer, withdraw, clocks),
    passUntil: (so, atMost) => {
      const limit = now + atMost
      while (true) {
        while (ready.length > 0) takeStep()
        if (so()) return true
        const due = agenda.next()
        if (due === undefined || due > limit) {
          now = limit
          return false
        }
        now = due
        for (let entry = agenda.take(due); entry !== undefined; entry = agenda.take(due)) {
          if (!entry.cancelled) entry.process.enqueue(entry.task)
        }
      }
    }
  }
  return time
}

// --- internal ---

interface Inner extends Process {
  readonly tasks: Array<() => void>
  next: number
  ready: boolean
}

const makeProcess = (
  name: string,
  time: Time,
  offer: (process: Inner) => void,
  withdraw: (process: Inner) => void,
  clocks: { readonly wall?: number; readonly monotonic?: number } = {}
): Process => {
  let state: "Running" | "Frozen" | "Dead" = "Running"
  let wall = clocks.wall ?? 0
  const monotonicAhead = clocks.monotonic ?? 0
  const currentTimeMillis = (): number => began + time.now() + wall
  const monotonicNanos = (): bigint => BigInt(time.now() + monotonicAhead) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: currentTimeMillis,
    currentTimeMillis: Effect.sync(currentTimeMillis),
    currentTimeNanosUnsafe: () => BigInt(currentTimeMillis()) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(currentTimeMillis()) * 1_000_000n),
    monotonicTimeNanosUnsafe: monotonicNanos,
    monotonicTimeNanos: Effect.sync(monotonicNanos),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        const millis = Duration.toMillis(duration)
        if (!Number.isFinite(millis)) return
        const cancel = time.after(millis, process, () => resume(Effect.void))
        return Effect.sync(cancel)
      })
  }
  const dispatcher: Scheduler.SchedulerDispatcher = { scheduleTask: (task) => process.enqueue(task), flush: () => {} }
  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= opsBeforeYield,
    makeDispatcher: () => dispatcher
  }
  const context = Context.make(Clock.Clock, clock).pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(References.MinimumLogLevel, "None"),
    Context.add(References.TracerEnabled, false)
  )
  const process: Inner = {
    name,
    tasks: [],
    next: 0,
    ready: false,
    state: () => state,
    clock,
    wallAhead: () => wall,
    monotonicAhead,
    stepWall: (millis) => void (wall += millis),
    freeze: () => {
      if (state !== "Running") return
      state = "Frozen"
      withdraw(process)
    },
    thaw: () => {
      if (state !== "Frozen") return
      state = "Running"
      offer(process)
    },
    kill: () => {
      state = "Dead"
      withdraw(process)
      process.tasks.length = process.next = 0
    },
    enqueue: (task) => {
      if (state === "Dead") return
      process.tasks.push(task)
      offer(process)
    },
    run: (effect, onExit) =>
      process.enqueue(() => {
        const fiber = Effect.runForkWith(context)(effect)
        if (onExit !== undefined) fiber.addObserver(onExit)
      })
  }
  return process
}

/** After this many operations a fiber lets the others have a turn, as Effect's own scheduler does. */
const opsBeforeYield = 2048

interface Entry {
  readonly at: Millis
  readonly process: Process
  readonly task: () => void
  cancelled: boolean
}

/** What is due, and when: a binary heap by moment, and within one moment by the order of entering. */
const makeAgenda = () => {
  const heap: Array<Entry & { readonly order: number }> = []
  let entered = 0
  const before = (a: number, b: number): boolean =>
    heap[a]!.at < heap[b]!.at || (heap[a]!.at === heap[b]!.at && heap[a]!.order < heap[b]!.order)
  const swap = (a: number, b: number): void => {
    const kept = heap[a]!
    heap[a] = heap[b]!
    heap[b] = kept
  }
  const removeFirst = (): void => {
    const last = heap.pop()!
    if (heap.length === 0) return
    heap[0] = last
    for (let at = 0; ;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && before(child, least)) least = child
      if (least === at) return
      swap(at, least)
      at = least
    }
  }
  return {
    add: (entry: Entry): void => {
      // The very object is kept: its holder takes it back by setting a mark on it.
      heap.push(Object.assign(entry, { order: entered++ }))
      for (let at = heap.length - 1; at > 0;) {
        const parent = (at - 1) >> 1
        if (!before(at, parent)) return
        swap(at, parent)
        at = parent
      }
    },
    next: (): Millis | undefined => {
      while (heap[0]?.cancelled === true) removeFirst()
      return heap[0]?.at
    },
    take: (at: Millis): Entry | undefined => {
      const first = heap[0]
      if (first === undefined || first.at !== at) return undefined
      removeFirst()
      return first
    }
  }
}
