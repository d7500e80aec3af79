/**
 * A host in simulated time: the servers that run on it, and the records of the fences on them, kept as a keeper keeps
 * them. It refuses an order that is late, repeated or of a lower epoch. Each fence has two keepers. While one of them
 * lives, the fence ends at its deadline by the host's own monotonic clock; in kernel grade it ends even when both are
 * dead. A worker speaks to the host through an `Injector`, over a line that may lose what is said.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import {
  type FenceId,
  type FencePreparation,
  type FenceReport,
  type FenceState,
  type Injector,
  InjectorError,
  type Preflight
} from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import type { Seed } from "./Seed.ts"
import type { Process, Time } from "./SimulatedTime.ts"

/** The name of a question to a host: the method of the port. */
export type HostQuestion = "preflight" | "prepare" | "go" | "arm" | "tighten" | "lift" | "inspect" | "sweep"

/** How a question reaches a host, and how its answer comes back. */
export type HostCarry = <A>(
  question: HostQuestion,
  host: SimulatedHost,
  serve: () => Result.Result<A, InjectorError>
) => Effect.Effect<A, InjectorError>

/** Something that truly happened to a fence, told at that very moment. Moments and deadlines are in true time. */
export type HostEvent =
  | {
      readonly _tag: "Armed"
      readonly host: string
      readonly fence: FenceId
      readonly epoch: number
      readonly asker: Process
      readonly deadline: Millis
      /** The last moment at which the asker was allowed to begin. */
      readonly startBy: Millis
    }
  | {
      readonly _tag: "Tightened"
      readonly host: string
      readonly fence: FenceId
      readonly epoch: number
      readonly deadline: Millis
    }
  | {
      readonly _tag: "Lifted"
      readonly host: string
      readonly fence: FenceId
      readonly by: "Worker" | "Keeper" | "Sweep"
      /** Whose order it was; null where nobody ordered it. */
      readonly order: { readonly epoch: number; readonly asker: Process } | null
    }
  | { readonly _tag: "Inspected"; readonly host: string; readonly fence: FenceId; readonly epoch: number }
  | { readonly _tag: "Refused"; readonly host: string; readonly fence: FenceId; readonly problem: string }

/** What a host can be made to do wrong. */
export interface HostDefects {
  /** No keeper ends a fence at its deadline. */
  readonly ignoresDeadline: boolean
  /** It carries out orders that come late. */
  readonly obeysLateOrders: boolean
  /** It carries out orders of an earlier owner. */
  readonly obeysOldEpochs: boolean
  /** It carries out an order again when the order comes again. */
  readonly obeysTwice: boolean
  /** It answers a lift with "off" although it did nothing. */
  readonly liftsInWordOnly: boolean
}

/** How a host is made. */
export interface SimulatedHostOptions {
  readonly label: string
  readonly time: Time
  readonly seed: Seed
  readonly grade: Grade
  /** How far its UTC is ahead of true time. */
  readonly wall: number
  readonly observe: (event: HostEvent) => void
  readonly defects?: Partial<HostDefects>
}

/** A server that runs on a host. */
export interface Server {
  /** How it is named now; a restart gives it another pid. */
  readonly ref: () => ProcessRef
  /** True while it answers: it is up, and no fence holds it. */
  readonly runs: () => boolean
  readonly setUp: (up: boolean) => void
  /** Starts the server anew. A fence that held the old process no longer holds this one. */
  readonly restart: () => void
  /** Makes the server go on although a fence stands; `noticed` where its keepers see that. */
  readonly setUnheld: (unheld: boolean, noticed: boolean) => void
}

/** A fence that stands. */
export interface Standing {
  readonly fence: FenceId
  readonly deadline: Millis
  /** How many of its keepers live. */
  readonly keepers: number
}

/** A host in simulated time. */
export interface SimulatedHost {
  readonly label: string
  readonly process: Process
  readonly grade: Grade
  /**
   * Adds a server under its data directory. `changed` is called whenever the server may have begun to run or to stand
   * still.
   */
  readonly addServer: (dataDirectory: string, changed: () => void) => Server
  readonly standing: () => ReadonlyArray<Standing>
  /** True while the host has keepers of fences that stand or stand by. */
  readonly hasKeepers: () => boolean
  /** Kills this many keepers of each fence that stands or stands by. */
  readonly killKeepers: (count: number) => void
  /** Its answers to the questions of the port. */
  readonly desk: Desk
}

/** Makes a host. */
export const make = (options: SimulatedHostOptions): SimulatedHost => {
  const { grade, label, time } = options
  const process = time.process(label, { wall: options.wall })
  const servers = new Map<string, Inhabitant>()
  const room: Room = {
    ...options,
    defects: options.defects ?? {},
    process,
    servers,
    records: new Map(),
    leastEpoch: new Map()
  }
  return {
    label,
    process,
    grade,
    addServer: (dataDirectory, changed) => addServer(room, dataDirectory, changed),
    standing: () =>
      [...room.records.values()]
        .filter(isStanding)
        .map(({ deadline, fence, keepers }) => ({ fence, deadline, keepers })),
    hasKeepers: () => [...room.records.values()].some(isKept),
    killKeepers: (count) => {
      for (const record of room.records.values()) {
        if (isKept(record)) record.keepers = Math.max(0, record.keepers - count)
      }
    },
    desk: makeDesk(room)
  }
}

/**
 * The injector of one process over these hosts. It sends a deadline as remaining time by the asker's UTC, and a
 * start-by as the asker's monotonic moment. Both reach the host a little early and never late, as after a handshake.
 */
export const injector = (
  name: string,
  hosts: ReadonlyMap<string, SimulatedHost>,
  asker: Process,
  time: Time,
  carry: HostCarry
): Injector => {
  const ask = <A>(
    question: HostQuestion,
    label: string,
    serve: (desk: Desk) => Result.Result<A, InjectorError>
  ): Effect.Effect<A, InjectorError> => {
    const host = hosts.get(label)
    if (host === undefined) {
      return Effect.fail(failure(label, "", "Unreachable", "no host of that name"))
    }
    return carry(question, host, () => serve(host.desk))
  }
  const inTrueTime = (deadline: Instant): Millis =>
    time.now() + deadline - asker.clock.currentTimeMillisUnsafe() - handshakeError
  return {
    name,
    preflight: (process) =>
      Effect.suspend(() => {
        const ahead = asker.wallAhead()
        return ask("preflight", process.host, (desk) => desk.preflight(process, ahead))
      }),
    prepare: (label, preparations, standBy) =>
      Effect.gen(function* () {
        yield* ask("prepare", label, (desk) => desk.prepare(preparations, standBy))
        return {
          go: ({ deadline: said, epoch, startByMonotonic }) =>
            Effect.suspend(() => {
              const deadline = inTrueTime(said)
              const startBy = startByMonotonic - asker.monotonicAhead - handshakeError
              return ask("go", label, (desk) =>
                Result.succeed(
                  preparations.map(({ fence, process }) =>
                    desk.go({ fence, process, epoch, said, deadline, startBy, asker })
                  )
                )
              )
            }).pipe(
              Effect.catchTag("InjectorError", (error) =>
                Effect.succeed(
                  preparations.map(({ fence }) =>
                    Result.fail(new InjectorError({ ...error, member: fence.member, reason: "Unknown" }))
                  )
                )
              )
            )
        }
      }),
    arm: (order) =>
      Effect.suspend(() => {
        const deadline = inTrueTime(order.deadline)
        const startBy = order.startByMonotonic - asker.monotonicAhead - handshakeError
        return ask("arm", order.process.host, (desk) =>
          desk.arm({
            fence: order.fence,
            process: order.process,
            epoch: order.epoch,
            said: order.deadline,
            deadline,
            startBy,
            asker
          })
        )
      }),
    tighten: (host, fence, epoch, deadline) =>
      Effect.suspend(() => {
        const moment = inTrueTime(deadline)
        return ask("tighten", host, (desk) => desk.tighten({ fence, epoch, said: deadline, deadline: moment }))
      }),
    lift: (host, fence, epoch) => ask("lift", host, (desk) => desk.lift(fence, epoch, asker)),
    inspect: (host, fence, epoch) => ask("inspect", host, (desk) => desk.inspect(fence, epoch)),
    sweep: (host, { clear }) => ask("sweep", host, (desk) => desk.sweep(name, clear))
  }
}

// --- internal ---

/** How much earlier than meant a moment may reach a host. */
const handshakeError: Millis = 2
/** How long after its deadline a fence is off at the latest, where a keeper lives. */
const keeperLag: Millis = 250

interface Inhabitant {
  readonly server: Server
  readonly changed: () => void
}

interface FenceRecord {
  readonly fence: FenceId
  readonly process: ProcessRef
  deadline: Millis
  keepers: number
  /** The process was seen running while the fence stood. */
  broken: boolean
  state: FenceState
}

interface Room extends SimulatedHostOptions {
  readonly defects: Partial<HostDefects>
  readonly process: Process
  readonly servers: Map<string, Inhabitant>
  readonly records: Map<string, FenceRecord>
  readonly leastEpoch: Map<string, number>
}

interface Tightening {
  readonly fence: FenceId
  readonly epoch: number
  /** The deadline by the asker's UTC. */
  readonly said: Instant
  /** The same in true time. */
  readonly deadline: Millis
}

interface Order extends Tightening {
  readonly process: ProcessRef
  readonly asker: Process
  readonly startBy: Millis
}

type Armed = typeof FenceState.cases.Armed.Type
type Lifted = typeof FenceState.cases.Lifted.Type
type Answer<A> = Result.Result<A, InjectorError>

interface Desk {
  readonly preflight: (process: ProcessRef, askerAhead: number) => Answer<Preflight>
  readonly prepare: (preparations: ReadonlyArray<FencePreparation>, standBy: Millis) => Answer<void>
  readonly go: (order: Order) => Answer<Armed>
  readonly arm: (order: Order) => Answer<Armed>
  readonly tighten: (order: Tightening) => Answer<void>
  readonly lift: (fence: FenceId, epoch: number, asker: Process) => Answer<Lifted>
  readonly inspect: (fence: FenceId, epoch: number) => Answer<FenceState>
  readonly sweep: (injector: string, clear: boolean) => Answer<ReadonlyArray<FenceReport>>
}

const keyOf = ({ attempt, member, operationId }: FenceId): string => `${operationId}/${attempt}/${member}`
const isStanding = ({ state }: FenceRecord): boolean => state._tag === "Armed"
const isKept = ({ keepers, state }: FenceRecord): boolean =>
  keepers > 0 && (state._tag === "Armed" || state._tag === "Arming")

// Why the host does not hear a go, or null. Where nobody is left who would apply it, whoever asks writes its end on
// record.
const unheard = (
  record: FenceRecord | undefined,
  offAt: Instant
): readonly [problem: string, reason: InjectorError["reason"]] | null => {
  if (record?.state._tag !== "Arming") return ["nothing is prepared for it", "OrderRefused"]
  if (record.keepers > 0) return null
  record.state = { _tag: "Lifted", by: "Worker", offAt, broken: false }
  return ["both keepers died", "NotApplied"]
}

const failure = (host: string, member: string, reason: InjectorError["reason"], detail: string): InjectorError =>
  new InjectorError({ host, member, reason, detail })

const addServer = (room: Room, dataDirectory: string, changed: () => void): Server => {
  let pid = 1000 + room.servers.size
  let up = true
  let unheld = false
  const holds = ({ process, state }: FenceRecord): boolean =>
    state._tag === "Armed" && process.dataDirectory === dataDirectory && process.pid === pid
  const isHeld = (): boolean => !unheld && [...room.records.values()].some(holds)
  const server: Server = {
    ref: () => ({ host: room.label, pid, startTime: String(pid), executable: "/bin/simulated", dataDirectory }),
    runs: () => up && !isHeld(),
    setUp: (now) => {
      up = now
      changed()
    },
    restart: () => {
      pid += 1000
      up = true
      changed()
    },
    setUnheld: (now, seen) => {
      unheld = now
      if (now && seen) for (const record of room.records.values()) record.broken ||= holds(record)
      changed()
    }
  }
  room.servers.set(dataDirectory, { server, changed })
  return server
}

const makeDesk = (room: Room): Desk => {
  const { defects, grade, label, observe, process: own, records, seed, servers, time } = room
  const wall = (): Instant => own.clock.currentTimeMillisUnsafe()
  const leastEpoch = (fence: FenceId): number => room.leastEpoch.get(fence.operationId) ?? 0
  const raise = (fence: FenceId, epoch: number): void =>
    void room.leastEpoch.set(fence.operationId, Math.max(leastEpoch(fence), epoch))
  const isOld = (fence: FenceId, epoch: number): boolean => epoch < leastEpoch(fence) && defects.obeysOldEpochs !== true
  const inhabitant = (process: ProcessRef): Inhabitant | undefined => {
    const found = servers.get(process.dataDirectory)
    return found?.server.ref().pid === process.pid ? found : undefined
  }
  // A fence is broken where its process was seen running, or is another one by now.
  const isBroken = ({ broken, process }: FenceRecord): boolean => broken || inhabitant(process) === undefined
  const stateOf = (record: FenceRecord | undefined): FenceState =>
    record === undefined
      ? { _tag: "Absent" }
      : record.state._tag === "Armed"
        ? { ...record.state, keepers: record.keepers, broken: isBroken(record) }
        : record.state
  const end = (
    record: FenceRecord,
    by: "Worker" | "Keeper" | "Sweep",
    order: { readonly epoch: number; readonly asker: Process } | null = null
  ): void => {
    record.state = { _tag: "Lifted", by, offAt: wall(), broken: isBroken(record) }
    observe({ _tag: "Lifted", host: label, fence: record.fence, by, order })
    servers.get(record.process.dataDirectory)?.changed()
  }
  const watch = (record: FenceRecord): void => {
    const { deadline } = record
    time.after(deadline - time.now() + seed.below(keeperLag), own, () => {
      if (!isStanding(record) || record.deadline !== deadline || defects.ignoresDeadline === true) return
      if (record.keepers > 0 || grade === "Kernel") end(record, "Keeper")
    })
  }
  const refuse = (fence: FenceId, problem: string, reason: InjectorError["reason"] = "OrderRefused"): Answer<never> => {
    observe({ _tag: "Refused", host: label, fence, problem })
    return Result.fail(failure(label, fence.member, reason, problem))
  }

  const bite = ({ asker, deadline, epoch, fence, process, said, startBy }: Order, prepared: boolean): Answer<Armed> => {
    const problem =
      inhabitant(process) === undefined
        ? "not the process it was"
        : !prepared && records.has(keyOf(fence)) && defects.obeysTwice !== true
          ? "ordered before"
          : isOld(fence, epoch)
            ? "an order of an earlier owner"
            : time.now() >= deadline && defects.obeysLateOrders !== true
              ? "its deadline had passed"
              : null
    raise(fence, epoch)
    if (problem !== null) return refuse(fence, problem)
    if (time.now() > startBy && defects.obeysLateOrders !== true) return refuse(fence, "it came too late", "Late")
    const state: Armed = {
      _tag: "Armed",
      processes: 1,
      armedAt: wall(),
      deadline: said,
      keepers: 2,
      broken: false,
      grade
    }
    const record: FenceRecord = { fence, process, deadline, keepers: 2, broken: false, state }
    records.set(keyOf(fence), record)
    observe({ _tag: "Armed", host: label, fence, epoch, asker, deadline, startBy })
    watch(record)
    inhabitant(process)?.changed()
    return Result.succeed(state)
  }

  return {
    preflight: (process, askerAhead) =>
      Result.succeed(
        inhabitant(process) === undefined
          ? { _tag: "Mistaken", problem: "another process runs there now" }
          : { _tag: "Ready", grade, skew: own.wallAhead() - askerAhead, machineId: label }
      ),

    prepare: (preparations, standBy) => {
      for (const { epoch, fence, process } of preparations) {
        const problem =
          inhabitant(process) === undefined
            ? "not the process it was"
            : records.has(keyOf(fence)) && defects.obeysTwice !== true
              ? "prepared before"
              : isOld(fence, epoch)
                ? "an order of an earlier owner"
                : null
        raise(fence, epoch)
        if (problem !== null) return refuse(fence, problem)
      }
      for (const { fence, process } of preparations) {
        const state: FenceState = { _tag: "Arming" }
        records.set(keyOf(fence), { fence, process, deadline: 0, keepers: 2, broken: false, state })
        time.after(standBy, own, () => {
          const record = records.get(keyOf(fence))
          if (record?.state._tag === "Arming") record.state = { _tag: "Refused", problem: "it was never applied" }
        })
      }
      return Result.succeed(undefined)
    },

    go: (order) => {
      const { fence } = order
      const deaf = unheard(records.get(keyOf(fence)), wall())
      if (deaf !== null && defects.obeysTwice !== true) return refuse(fence, ...deaf)
      return bite(order, true)
    },

    arm: (order) => bite(order, false),

    tighten: ({ deadline, epoch, fence, said }) => {
      const record = records.get(keyOf(fence))
      if (isOld(fence, epoch)) return refuse(fence, "an order of an earlier owner")
      if (record?.state._tag !== "Armed" || deadline > record.deadline) {
        return refuse(fence, "no fence stands that ends later")
      }
      raise(fence, epoch)
      record.deadline = deadline
      record.state = { ...record.state, deadline: said }
      observe({ _tag: "Tightened", host: label, fence, epoch, deadline })
      watch(record)
      return Result.succeed(undefined)
    },

    lift: (fence, epoch, asker) => {
      if (isOld(fence, epoch)) return refuse(fence, "an order of an earlier owner")
      raise(fence, epoch)
      const lifted: Lifted = { _tag: "Lifted", by: "Worker", offAt: wall(), broken: false }
      const record = records.get(keyOf(fence))
      if (record === undefined) {
        const process = { host: label, pid: 1, startTime: "", executable: "", dataDirectory: "" }
        records.set(keyOf(fence), { fence, process, deadline: time.now(), keepers: 0, broken: false, state: lifted })
        return Result.succeed(lifted)
      }
      if (defects.liftsInWordOnly === true) return Result.succeed(lifted)
      if (isStanding(record)) end(record, "Worker", { epoch, asker })
      else if (record.state._tag !== "Lifted") record.state = lifted
      return Result.succeed(record.state._tag === "Lifted" ? record.state : lifted)
    },

    inspect: (fence, epoch) => {
      raise(fence, epoch)
      observe({ _tag: "Inspected", host: label, fence, epoch })
      return Result.succeed(stateOf(records.get(keyOf(fence))))
    },

    sweep: (injector, clear) => {
      const found = [...records.values()].map((record) => ({
        fence: record.fence,
        host: label,
        injector,
        state: stateOf(record)
      }))
      // By the host's own clocks: a fence that stands past its time has no keeper left that would end it.
      const over = [...records.values()].filter((record) => isStanding(record) && record.deadline < time.now())
      if (clear) for (const record of over) end(record, "Sweep")
      return Result.succeed(found)
    }
  }
}
