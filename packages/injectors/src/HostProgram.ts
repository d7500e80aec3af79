/**
 * An injector whose work is done by one shell program on the host, whatever the mechanism: it carries orders to hosts and
 * reads their records. Times go to the host as its uptime: the start-by by the smallest offset that the
 * handshake allows, so that doubt makes an order late and never early.
 */
import type { Host, HostError, HostOutput } from "@inquorate/core/Host"
import {
  Ender,
  type FenceId,
  type FenceOrder,
  type FenceReport,
  FenceState,
  type Injector,
  InjectorError,
  Preflight
} from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import type { Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Watchers } from "./Supervisor.ts"

/** What makes one mechanism of the protocol that every program on a host speaks. */
export interface HostProgram {
  readonly name: string
  /** True where a fence ends the process and its lift starts a new one. */
  readonly restarts?: boolean
  /** Shell text that answers the verbs `hello`, `preflight`, `arm`, `tighten`, `lift`, `inspect` and `sweep` in lines. */
  readonly program: string
  /** What the mechanism must know beside the process, as words that follow those of `preflight` and of `arm`. */
  readonly wordsOf: (process: ProcessRef, member: string | undefined) => ReadonlyArray<string>
  /** Who watches over the process and would act; nobody unless given. */
  readonly watchersOf?: (host: Host, process: ProcessRef, member: string | undefined) => Effect.Effect<Watchers>
}

/** Runs the program that is its first argument: the text travels once, and a keeper starts its siblings from it. */
export const launcher = 'program=$1; shift; eval "$program"'

/** The injector of a mechanism on these hosts, by label. */
export const make = (mechanism: HostProgram, hosts: ReadonlyMap<string, Host>): Injector => {
  const { name, program, restarts = false, watchersOf, wordsOf } = mechanism
  const { handshakeWith, orderOn, shake, uptimeOf } = makeCourier(program, hosts)
  return {
    name,
    restarts,

    preflight: Effect.fn("HostProgram.preflight")(function* (process, member) {
      const subject = `pid ${process.pid}`
      const host = hosts.get(process.host)
      // Two questions of which neither needs the other's answer, and each costs the start of a shell.
      const [answered, { supervisors, warnings }] = yield* Effect.all(
        [
          Effect.result(
            shake(process.host, subject, "preflight", [...processWords(process), ...wordsOf(process, member)])
          ),
          host === undefined || watchersOf === undefined ? Effect.succeed(nobody) : watchersOf(host, process, member)
        ],
        { concurrency: 2 }
      )
      if (Result.isFailure(answered)) {
        const error = answered.failure
        if (error._tag === "InjectorError" || error.reason !== "NotThisPlatform") return yield* unsent(error, subject)
        return Preflight.cases.Impossible.make({ problem: `not on this platform: ${error.detail}` })
      }
      const { handshake, lines } = answered.success
      const { machine, skew } = handshake
      const [word, rest] = cleave(lines[1] ?? "")
      if (word === "ready" && isGrade(rest)) {
        return Preflight.cases.Ready.make({
          grade: rest,
          skew,
          took: Math.round(handshake.latestOffset - handshake.earliestOffset),
          ...(machine === "unknown" ? {} : { machineId: machine }),
          ...(warnings.length === 0 ? {} : { warnings }),
          ...(supervisors.length === 0 ? {} : { supervisors })
        })
      }
      if (word === "impossible") return Preflight.cases.Impossible.make({ problem: rest, skew })
      if (word === "mistaken") return Preflight.cases.Mistaken.make({ problem: rest, skew })
      return yield* fail(process.host, subject, "Unknown", `the host answered ${JSON.stringify(lines.join(" "))}`)
    }),

    arm: Effect.fn("HostProgram.arm")(function* (order: FenceOrder) {
      const { deadline, epoch, fence, process, startByMonotonic } = order
      const handshake = yield* handshakeWith(process.host, fence.member)
      const answer = yield* orderOn(process.host, fence, "arm", [
        String(epoch),
        ...processWords(process),
        whole(startByMonotonic + handshake.earliestOffset),
        yield* uptimeOf(handshake, deadline),
        String(deadline),
        handshake.boot,
        ...wordsOf(process, order.member ?? fence.member)
      ])
      const state = stateFrom(answer)
      if (state?._tag === "Armed") return state
      const reason = state?._tag === "Lifted" ? "NotApplied" : "Unknown"
      return yield* fail(process.host, fence.member, reason, `the host answered ${JSON.stringify(answer)}`)
    }),

    tighten: Effect.fn("HostProgram.tighten")(function* (host, fence, epoch, deadline) {
      const handshake = yield* handshakeWith(host, fence.member)
      const words = [String(epoch), yield* uptimeOf(handshake, deadline), String(deadline), handshake.boot]
      const answer = yield* orderOn(host, fence, "tighten", words)
      if (answer !== "tightened") {
        return yield* fail(host, fence.member, "Unknown", `the host answered ${JSON.stringify(answer)}`)
      }
    }),

    lift: Effect.fn("HostProgram.lift")(function* (host, fence, epoch) {
      const answer = yield* orderOn(host, fence, "lift", [String(epoch)])
      const state = stateFrom(answer)
      if (state?._tag === "Lifted") return state
      return yield* fail(host, fence.member, "Unknown", `the host answered ${JSON.stringify(answer)}`)
    }),

    inspect: Effect.fn("HostProgram.inspect")(function* (host, fence, epoch) {
      const answer = yield* orderOn(host, fence, "inspect", [String(epoch)])
      return (
        stateFrom(answer) ?? (yield* fail(host, fence.member, "Unknown", `the host answered ${JSON.stringify(answer)}`))
      )
    }),

    sweep: Effect.fn("HostProgram.sweep")(function* (host, { clear }) {
      const lines = yield* ask(program, hosts, host, "", "sweep", [clear ? "clear" : "look"], sweepTimeout)
      const [word, problem] = cleave(lines.at(-1) ?? "")
      if (word === "refused") return yield* fail(host, "", "OrderRefused", problem)
      if (word !== "swept") return yield* fail(host, "", "Unknown", "the host's answer is not whole")
      return lines.slice(0, -1).flatMap((line) => reportFrom(name, host, line))
    })
  }
}

// --- internal ---

const nobody: Watchers = { supervisors: [], warnings: [] }

/** What one handshake tells: `uptime = monotonic + offset`, the offset lying between these two. Milliseconds. */
interface Handshake {
  readonly machine: string
  readonly boot: string
  readonly earliestOffset: number
  readonly latestOffset: number
  readonly ended: Millis
  readonly skew: number
}

/** Two clocks that are both slewed drift apart by 1 ms in 1 s at the very most; a suspended machine, by far more. */
const handshakeLife: Millis = 10_000
const askTimeout: Millis = 10_000
/** The program waits for its keepers up to 13 s. */
const actTimeout: Millis = 25_000
const sweepTimeout: Millis = 60_000

/** Carries orders to hosts and knows what uptime each host has; one per injector. */
const makeCourier = (program: string, hosts: ReadonlyMap<string, Host>) => {
  const handshakes = new Map<string, Handshake>()

  const shake = Effect.fnUntraced(function* (
    host: string,
    subject: string,
    verb: string,
    words: ReadonlyArray<string>
  ) {
    const began = yield* monotonicMillis
    const beganAt = yield* Clock.currentTimeMillis
    const lines = yield* run(program, hosts, host, subject, verb, words, askTimeout)
    const ended = yield* monotonicMillis
    const endedAt = yield* Clock.currentTimeMillis
    const greeting = lines[0]?.split(" ") ?? []
    const uptime = Number(greeting[3])
    if (greeting[0] !== "hello" || greeting[2] === undefined || !Number.isInteger(uptime)) {
      return yield* fail(host, subject, "Unreachable", `the host answered ${JSON.stringify(lines.join(" "))}`)
    }
    const handshake = {
      machine: greeting[1] ?? "unknown",
      boot: greeting[2],
      latestOffset: uptime - began,
      earliestOffset: uptime - ended,
      ended,
      skew: Math.round(Number(greeting[4]) - (beganAt + endedAt) / 2)
    }
    handshakes.set(host, handshake)
    return { handshake, lines }
  })

  const handshakeWith = Effect.fnUntraced(function* (host: string, subject: string) {
    const known = handshakes.get(host)
    if (known !== undefined && (yield* monotonicMillis) - known.ended < handshakeLife) return known
    const shaken = yield* shake(host, subject, "hello", []).pipe(Effect.mapError((error) => unsent(error, subject)))
    return shaken.handshake
  })

  const uptimeOf = Effect.fnUntraced(function* (handshake: Handshake, deadline: number) {
    const remaining = deadline - (yield* Clock.currentTimeMillis)
    const offset = (handshake.earliestOffset + handshake.latestOffset) / 2
    return whole((yield* monotonicMillis) + remaining + offset)
  })

  const orderOn = Effect.fnUntraced(function* (
    host: string,
    fence: FenceId,
    verb: string,
    words: ReadonlyArray<string>
  ) {
    const member = memberWord(fence.member)
    if (member === undefined) {
      return yield* fail(host, fence.member, "OrderRefused", "the member's name is empty or longer than 100 bytes")
    }
    const lines = yield* ask(
      program,
      hosts,
      host,
      fence.member,
      verb,
      [fence.operationId, String(fence.attempt), member, ...words],
      verb === "arm" || verb === "lift" ? actTimeout : askTimeout
    )
    const answer = lines.at(-1) ?? ""
    const [word, rest] = cleave(answer)
    if (word === "refused" && verb !== "inspect") {
      // A host that was restarted says no to the old uptime; the next order must ask anew.
      handshakes.delete(host)
      return yield* fail(host, fence.member, "OrderRefused", rest)
    }
    if (word === "late") return yield* fail(host, fence.member, "Late", rest)
    if (word === "undone") return yield* fail(host, fence.member, "NotApplied", rest)
    if (word === "unknown") return yield* fail(host, fence.member, "Unknown", rest)
    return answer
  })

  return { handshakeWith, orderOn, shake, uptimeOf }
}

const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)

const whole = (millis: number): string => String(Math.max(0, Math.floor(millis)))

const fail = (
  host: string,
  member: string,
  reason: InjectorError["reason"],
  detail: string
): Effect.Effect<never, InjectorError> => Effect.fail(new InjectorError({ host, member, reason, detail }))

/** Hex keeps any name a safe file name, which may have 255 bytes with the attempt before it. */
const memberWord = (member: string): string | undefined => {
  const bytes = new TextEncoder().encode(member)
  if (bytes.length === 0 || bytes.length > 100) return undefined
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

const memberFrom = (word: string): string =>
  new TextDecoder().decode(Uint8Array.from(word.match(/../g) ?? [], (pair) => parseInt(pair, 16)))

const processWords = (process: ProcessRef): ReadonlyArray<string> => [
  String(process.pid),
  process.startTime,
  process.executable,
  process.dataDirectory
]

const cleave = (line: string): readonly [word: string, rest: string] => {
  const blank = line.indexOf(" ")
  return blank < 0 ? [line, ""] : [line.slice(0, blank), line.slice(blank + 1)]
}

const run = (
  program: string,
  hosts: ReadonlyMap<string, Host>,
  label: string,
  member: string,
  verb: string,
  words: ReadonlyArray<string>,
  timeout: Millis
): Effect.Effect<ReadonlyArray<string>, InjectorError | HostError> => {
  const host = hosts.get(label)
  if (host === undefined) return fail(label, member, "Unreachable", "no host of this name is configured")
  return host
    .run(launcher, [program, verb, ...words], { timeout })
    .pipe(Effect.flatMap((output) => linesOf(label, member, output)))
}

const ask = (...words: Parameters<typeof run>): Effect.Effect<ReadonlyArray<string>, InjectorError> =>
  run(...words).pipe(
    Effect.mapError((error) =>
      error._tag === "HostError" && error.reason === "LostAnswer"
        ? new InjectorError({ host: error.host, member: words[3], reason: "Unknown", detail: error.detail })
        : unsent(error, words[3])
    )
  )

/** The error of a question that ordered nothing: whatever became of it, nothing of ours is left behind. */
const unsent = (error: InjectorError | HostError, member: string): InjectorError =>
  error._tag === "InjectorError"
    ? error
    : new InjectorError({ host: error.host, member, reason: "Unreachable", detail: error.detail })

const linesOf = (
  host: string,
  member: string,
  { exitCode, stderr, stdout }: HostOutput
): Effect.Effect<ReadonlyArray<string>, InjectorError> =>
  exitCode === 0
    ? Effect.succeed(stdout.split("\n").filter((line) => line !== ""))
    : fail(host, member, "Unknown", `the host's program ended with ${exitCode}: ${stderr.trim().slice(-500)}`)

const numbers = (words: ReadonlyArray<string | undefined>): ReadonlyArray<number> | undefined =>
  words.every((word) => word !== undefined && /^[0-9]{1,15}$/.test(word)) ? words.map(Number) : undefined

const isGrade = (word: string | undefined): word is Grade => word === "Kernel" || word === "Keeper"

const isEnder = Schema.is(Ender)

const stateFrom = (answer: string): FenceState | undefined => {
  const [word, rest] = cleave(answer)
  const words = rest.split(" ")
  switch (word) {
    case "absent":
      return FenceState.cases.Absent.make({})
    case "arming":
      return FenceState.cases.Arming.make({})
    case "refused":
      return FenceState.cases.Refused.make({ problem: rest })
    case "armed": {
      const [processes, armedAt, deadline, keepers, broken] = numbers(words.slice(0, 5)) ?? []
      const grade = words[5]
      if (processes === undefined || armedAt === undefined || deadline === undefined || keepers === undefined) return
      if (!isGrade(grade)) return
      return FenceState.cases.Armed.make({ processes, armedAt, deadline, keepers, broken: broken === 1, grade })
    }
    case "lifted": {
      const [by] = words
      const [offAt, broken] = numbers(words.slice(1, 3)) ?? []
      if (!isEnder(by) || offAt === undefined) return
      const detail = words.slice(3).join(" ")
      return FenceState.cases.Lifted.make({ by, offAt, broken: broken === 1, ...(detail === "" ? {} : { detail }) })
    }
    default:
      return undefined
  }
}

const reportFrom = (injector: string, host: string, line: string): ReadonlyArray<FenceReport> => {
  const [, operationId, attempt, member, ...standing] = line.split(" ")
  const state = stateFrom(standing.join(" "))
  if (operationId === undefined || attempt === undefined || member === undefined || state === undefined) return []
  const fence = { operationId, attempt: Number(attempt), member: memberFrom(member) }
  return [{ fence, host, injector, state }]
}
