/**
 * An injector whose work is done by one shell program on the host, whatever the mechanism. It carries orders to hosts
 * and reads their records. A host gets times as its own uptime. The start-by is reckoned with the smallest offset that
 * the handshake allows: where the offset is in doubt, the host refuses an order too early rather than starts it too
 * late.
 */
import type { Channel, Host, HostError, HostOutput } from "@inquorate/core/Host"
import {
  Ender,
  type FenceId,
  type FenceOrder,
  type FenceReport,
  FenceState,
  type Injector,
  InjectorError,
  Preflight,
  type Prepared
} from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import { endMark, textOf } from "@inquorate/core/Session"
import type { Millis } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import { quote } from "./hosts/Script.ts"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { answerFor } from "./Lifts.ts"
import * as Lifts from "./Lifts.ts"
import { askTimeout, fail, sessionTimeout, unsent } from "./Sessions.ts"
import * as Sessions from "./Sessions.ts"
import * as Supervisor from "./Supervisor.ts"

/** One mechanism. All programs on hosts speak one protocol; these fields are what differs between them. */
export interface HostProgram {
  readonly name: string
  /** True where a fence ends the process and its lift starts a new one. */
  readonly restarts?: boolean
  /**
   * True where the program stays on its host for an operation. It is then prepared first, and only told to go later.
   */
  readonly stays?: boolean
  /** True where several fences of an operation may be prepared at the same time. */
  readonly sideBySide?: boolean
  /**
   * True where a preflight proves the right to kernel grade, and whatever prepares a fence proves it once more. What was
   * proven a moment ago is then not proven by each look before that.
   */
  readonly provesTwice?: boolean
  /** True where a lift may take seconds. Each lift is then given to a program of its own. */
  readonly liftsSlowly?: boolean
  /** Shell text that answers the verbs `hello`, `preflight`, `arm`, `tighten`, `lift`, `inspect` and `sweep` in lines. */
  readonly program: string
  /** What the mechanism must know besides the process: words that follow those of `preflight` and of `arm`. */
  readonly wordsOf: (process: ProcessRef, member: string | undefined) => ReadonlyArray<string>
  /** Who would act on the process, by the unit that the host names; nobody unless given. */
  readonly watchersOf?: (unit: Supervisor.Unit | null, member: string | undefined) => Supervisor.Watchers
}

/** The injector of a mechanism on these hosts, by label. */
export const make = (mechanism: HostProgram, hosts: ReadonlyMap<string, Host>): Injector => {
  const {
    name,
    liftsSlowly = false,
    provesTwice = false,
    restarts = false,
    sideBySide = false,
    stays = false,
    wordsOf
  } = mechanism
  const program = launched(mechanism.program)
  // When a host has proven kernel grade for a process, on the monotonic clock.
  const proven = new Map<string, Millis>()
  const { handshakeWith, openSession, orderOn, shake, uptimeOf } = makeCourier(program, hosts, { stays, liftsSlowly })
  return {
    name,
    restarts,

    preflight: Effect.fn("HostProgram.preflight")(function* (process, member) {
      const subject = `pid ${process.pid}`
      const host = hosts.get(process.host)
      const key = JSON.stringify([process.host, ...processWords(process)])
      const isProven = isLately(proven, key, yield* monotonicMillis)
      const words = [...processWords(process), ...wordsOf(process, member), ...(isProven ? ["proven"] : [])]
      const answered = yield* Effect.result(shake(process.host, subject, "preflight", words))
      if (Result.isFailure(answered)) {
        const error = answered.failure
        if (error._tag === "InjectorError" || error.reason !== "NotThisPlatform") return yield* unsent(error, subject)
        return Preflight.cases.Impossible.make({ problem: `not on this platform: ${error.detail}` })
      }
      const preflight = yield* preflightFrom(mechanism, { host, process, member }, answered.success)
      if (provesTwice && !isProven && preflight._tag === "Ready" && preflight.grade === "Kernel") {
        proven.set(key, yield* monotonicMillis)
      }
      return preflight
    }),

    ...(stays && [...hosts.values()].every(({ open }) => open !== undefined)
      ? {
          prepare: Effect.fn("HostProgram.prepare")(function* (host, preparations, standBy) {
            const first = preparations[0]
            if (first === undefined) return { go: () => Effect.succeed([]) }
            const { attempt, member, operationId } = first.fence
            const { say, handshake } = yield* openSession(host, member, operationId)
            const until = whole((yield* monotonicMillis) + standBy + handshake.earliestOffset)
            let went = false
            // What was sent to be prepared and is not wanted any more is let go, also where another member could not be
            // prepared, and where nobody waits for the host's answer any more: the session is closed then.
            let sent: ReadonlyArray<readonly [FenceId, string]> = []
            const letGo = ([fence, word]: readonly [FenceId, string]) =>
              Effect.catch(
                say(["lift", operationId, String(attempt), word, String(first.epoch)], member, letGoWithin),
                () => orderOn(host, fence, "lift", [String(first.epoch)])
              )
            yield* Effect.addFinalizer(() => {
              if (went) return Effect.void
              proven.clear()
              return Effect.forEach(sent, (one) => Effect.ignore(letGo(one)), { discard: true })
            })
            const orders: Array<ReadonlyArray<string>> = []
            for (const { epoch, fence, member: named, process } of preparations) {
              const word = memberWord(fence.member)
              if (word === undefined) return yield* unspeakable(host, fence.member)
              orders.push([
                ...[operationId, String(attempt), word, String(epoch), ...processWords(process), until],
                ...[handshake.boot, called(named ?? fence.member), ...wordsOf(process, named ?? fence.member)]
              ])
            }
            const members = preparations.map(({ fence }) => fence.member)
            const words = orders.map(([, , word = ""]) => word)
            sent = preparations.map(({ fence }, index) => [fence, words[index]!])
            const answers = yield* sayAll(say, orders, { members, sideBySide, standBy })
            sent = sent.filter((_, index) => answers[index] === "preparing")
            for (const [index, answer] of answers.entries()) {
              if (answer !== "preparing") return yield* answeredNo(host, members[index]!, answer)
            }
            const stand = yield* say(
              ["ready", operationId, String(attempt), String(first.epoch), ...words],
              member,
              standBy
            )
            for (const [index, { fence }] of preparations.entries()) {
              const answer = answerFor(stand, words[index]!)
              if (answer !== "prepared") return yield* answeredNo(host, fence.member, answer)
            }
            const go: Prepared["go"] = ({ deadline, epoch, startByMonotonic }) =>
              Effect.gen(function* () {
                went = true
                const lines = yield* say(
                  [
                    ...["go", operationId, String(attempt), String(epoch)],
                    ...[whole(startByMonotonic + handshake.earliestOffset), yield* uptimeOf(handshake, deadline)],
                    ...[String(deadline), handshake.boot, ...words]
                  ],
                  member,
                  actTimeout
                )
                return yield* Effect.forEach(preparations, ({ fence }, index) =>
                  Effect.result(armedFrom(host, fence.member, answerFor(lines, words[index]!)))
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
            return { go }
          })
        }
      : {}),

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
        called(order.member ?? fence.member),
        ...wordsOf(process, order.member ?? fence.member)
      ])
      return yield* armedFrom(process.host, fence.member, answer)
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

/** A program that holds its own text in the variable `program`, so that it can start itself again. */
const launched = (program: string): string => `program=${quote(program)}\neval "$program"`

const nobody: Supervisor.Watchers = { supervisors: [], warnings: [] }

/**
 * What one handshake tells, in milliseconds. The host's uptime is our monotonic time plus an offset, which lies between
 * `earliestOffset` and `latestOffset`.
 */
interface Handshake {
  readonly machine: string
  readonly boot: string
  readonly earliestOffset: number
  readonly latestOffset: number
  readonly ended: Millis
  /** How long the first question took. */
  readonly took: Millis
  /** The host's UTC minus ours lies between `leastSkew` and `mostSkew`. */
  readonly leastSkew: number
  readonly mostSkew: number
}

const spanOf = ({ earliestOffset, latestOffset }: Handshake): Millis => latestOffset - earliestOffset

// Both handshakes were right, so the true values lie in the ranges of both. If the ranges do not meet, the host was
// restarted or its clock was set between the two: then only the later handshake counts.
const narrowed = (known: Handshake | undefined, next: Handshake): Handshake => {
  if (known === undefined || known.boot !== next.boot) return next
  const earliestOffset = Math.max(known.earliestOffset, next.earliestOffset)
  const latestOffset = Math.min(known.latestOffset, next.latestOffset)
  const leastSkew = Math.max(known.leastSkew, next.leastSkew)
  const mostSkew = Math.min(known.mostSkew, next.mostSkew)
  return earliestOffset > latestOffset || leastSkew > mostSkew
    ? next
    : { ...next, earliestOffset, latestOffset, leastSkew, mostSkew }
}

/** The certain part of the difference of two clocks. What the time of the answer on its way may explain is left out. */
const skewOf = ({ leastSkew, mostSkew }: Handshake): number =>
  leastSkew > 0 ? Math.floor(leastSkew) : mostSkew < 0 ? Math.ceil(mostSkew) : 0

/**
 * How wide the range of an offset may be before the host is asked again. A session answers at once, so it is held to
 * `nearEnough`. A program that is started first needs longer, so it is held to `slowAnswer`.
 */
const nearEnough: Millis = 15
const slowAnswer: Millis = 250

/**
 * How long a handshake counts. Two clocks that are both slewed drift apart by at most 1 ms in 1 s. A suspended
 * machine's clock drifts by far more.
 */
const handshakeLife: Millis = 10_000
/** How long a proof of kernel grade counts for the looks before a fence is prepared. */
const provenFor: Millis = 1000

const isLately = (proven: Map<string, Millis>, key: string, now: Millis): boolean => {
  for (const [other, at] of proven) if (now - at > provenFor) proven.delete(other)
  return proven.has(key)
}

/** The program waits up to 13 s for its keepers. */
const actTimeout: Millis = 25_000
const sweepTimeout: Millis = 60_000
/** Whoever is not let go in time over its session is let go by another program, and at last undoes itself. */
const letGoWithin: Millis = 1000

// What a host says of a process before anything is touched.
const preflightFrom = Effect.fnUntraced(function* (
  { name, watchersOf }: HostProgram,
  {
    host,
    member,
    process
  }: { readonly host: Host | undefined; readonly process: ProcessRef; readonly member: string | undefined },
  { handshake, lines }: { readonly handshake: Handshake; readonly lines: ReadonlyArray<string> }
): Effect.fn.Return<Preflight, InjectorError> {
  const { machine, took } = handshake
  const skew = skewOf(handshake)
  const [word, rest] = cleave(lines[1] ?? "")
  if (word === "ready" && rest === "Keeper" && host?.kernelOnly === true) {
    const problem = `a fence of ${name} ends only while a keeper lives, and on ${process.host} anybody may end ours: use pause or netfilter`
    return Preflight.cases.Impossible.make({ problem, skew })
  }
  if (word === "ready" && isGrade(rest)) {
    const unit = Supervisor.parse(lines.slice(2).join("\n"))
    const { supervisors, warnings } = watchersOf?.(unit, member) ?? nobody
    return Preflight.cases.Ready.make({
      grade: rest,
      skew,
      took: Math.round(took),
      ...(machine === "unknown" ? {} : { machineId: machine }),
      ...(warnings.length === 0 ? {} : { warnings }),
      ...(supervisors.length === 0 ? {} : { supervisors })
    })
  }
  if (word === "impossible") return Preflight.cases.Impossible.make({ problem: rest, skew })
  if (word === "mistaken") return Preflight.cases.Mistaken.make({ problem: rest, skew })
  return yield* fail(
    process.host,
    `pid ${process.pid}`,
    "Unknown",
    `the host answered ${JSON.stringify(lines.join(" "))}`
  )
})

// Gives the orders to prepare, and the answer to each.
const sayAll = (
  say: (
    words: ReadonlyArray<string>,
    about: string,
    timeout: Millis
  ) => Effect.Effect<ReadonlyArray<string>, InjectorError>,
  orders: ReadonlyArray<ReadonlyArray<string>>,
  {
    members,
    sideBySide,
    standBy
  }: { readonly members: ReadonlyArray<string>; readonly sideBySide: boolean; readonly standBy: Millis }
): Effect.Effect<ReadonlyArray<string>, InjectorError> =>
  sideBySide
    ? Effect.map(say(["prepare_all", String(orders[0]!.length), ...orders.flat()], members[0]!, standBy), (lines) =>
        orders.map(([, , word = ""]) => answerFor(lines, word))
      )
    : Effect.forEach(orders, (order, index) =>
        Effect.map(say(["prepare", ...order], members[index]!, standBy), (lines) => lines.at(-1) ?? "")
      )

/** Carries orders to hosts and knows each host's uptime. Each injector has one. */
const makeCourier = (
  program: string,
  hosts: ReadonlyMap<string, Host>,
  { liftsSlowly, stays }: { readonly liftsSlowly: boolean; readonly stays: boolean }
) => {
  const handshakes = new Map<string, Handshake>()
  const channels = new Map<string, Channel>()

  const { greeted, overKept, tell } = Sessions.make(program, hosts)

  // Asks one thing after another of a program that stays. The scope ends that program.
  const openSession = Effect.fnUntraced(function* (host: string, member: string, operationId: string) {
    const key = `${host} ${operationId}`
    const channel = yield* greeted(host, member)
    const say = (words: ReadonlyArray<string>, about: string, timeout: Millis) => tell(channel, words, about, timeout)
    let handshake = yield* lately(host)
    for (let turn = 0; turn < 3 && (handshake === undefined || spanOf(handshake) > nearEnough); turn++) {
      const next = yield* shakeBy(host, member, say(["hello"], member, askTimeout))
      handshake = narrowed(handshake, next.handshake)
    }
    if (handshake === undefined) return yield* fail(host, member, "Unreachable", "the host did not say its time")
    handshakes.set(host, handshake)
    yield* Effect.acquireRelease(
      Effect.sync(() => void channels.set(key, channel)),
      () => Effect.sync(() => void (channels.get(key) === channel && channels.delete(key)))
    )
    return { say, handshake }
  })

  // An order over a program that already stands by saves the start of another. A program that is frozen or gone gives
  // null, and the caller sends the order anew. So only an order that the host may hear twice comes here.
  const overSession = (host: string, operationId: string, words: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      const channel = channels.get(`${host} ${operationId}`)
      if (channel === undefined || !channel.isOpen() || channel.isBusy()) return Effect.succeed(null)
      return Effect.match(channel.ask(textOf(words), endMark, { timeout: sessionTimeout }), {
        onFailure: () => null,
        onSuccess: (lines) => lines
      })
    })

  const liftTogether = Lifts.make(overSession)

  type Question = (
    verb: string,
    words: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<string>, InjectorError | HostError>

  const shakeOver = Effect.fnUntraced(function* (
    host: string,
    subject: string,
    [verb, ...words]: readonly [string, ...ReadonlyArray<string>],
    question: Question
  ) {
    let { handshake, lines } = yield* shakeBy(host, subject, question(verb, words))
    const { took } = handshake
    // The later an answer comes, the less it tells of the host's clocks. So a host that answers slowly is asked again.
    for (let turn = 0; turn < 2 && spanOf(handshake) > slowAnswer; turn++) {
      const again = yield* shakeBy(host, subject, question("hello", []))
      handshake = { ...narrowed(handshake, again.handshake), took }
    }
    handshakes.set(host, handshake)
    return { handshake, lines }
  })

  // By a program that stays, where the host keeps them; by one for this question alone where none answers.
  const shake = (host: string, subject: string, verb: string, words: ReadonlyArray<string>) => {
    const all = [verb, ...words] as const
    const started = shakeOver(host, subject, all, (asked, with_) =>
      run(program, hosts, host, subject, asked, with_, askTimeout)
    )
    if (!stays || hosts.get(host)?.keeps !== true) return started
    const kept = Effect.flatMap(greeted(host, subject), (channel) =>
      shakeOver(host, subject, all, (asked, with_) => tell(channel, [asked, ...with_], subject, askTimeout))
    )
    return Effect.catch(Effect.scoped(kept), () => started)
  }

  // The last handshake, where it still counts.
  const lately = (host: string) =>
    Effect.map(monotonicMillis, (now) => {
      const known = handshakes.get(host)
      return known !== undefined && now - known.ended < handshakeLife ? known : undefined
    })

  const handshakeWith = Effect.fnUntraced(function* (host: string, subject: string) {
    const known = yield* lately(host)
    if (known !== undefined) return known
    const shaken = yield* shake(host, subject, "hello", []).pipe(Effect.mapError((error) => unsent(error, subject)))
    return shaken.handshake
  })

  const uptimeOf = Effect.fnUntraced(function* (handshake: Handshake, deadline: number) {
    const remaining = deadline - (yield* Clock.currentTimeMillis)
    // The least that the host's uptime may be: a fence may end a little early, and never late.
    return whole((yield* monotonicMillis) + remaining + handshake.earliestOffset)
  })

  const orderOn = Effect.fnUntraced(function* (
    host: string,
    fence: FenceId,
    verb: string,
    words: ReadonlyArray<string>
  ) {
    const member = memberWord(fence.member)
    if (member === undefined) return yield* unspeakable(host, fence.member)
    const all = [fence.operationId, String(fence.attempt), member, ...words]
    const quick = stays && ((verb === "lift" && !liftsSlowly) || verb === "tighten")
    const lines =
      (!quick
        ? null
        : verb === "lift"
          ? yield* liftTogether(host, fence, member, words[0]!)
          : yield* overSession(host, fence.operationId, [verb, ...all])) ??
      (quick ? yield* overKept(host, fence.member, [verb, ...all]) : null) ??
      (yield* ask(
        program,
        hosts,
        host,
        fence.member,
        verb,
        all,
        verb === "arm" || verb === "lift" ? actTimeout : askTimeout
      ))
    const answer = lines.at(-1) ?? ""
    const [word, rest] = cleave(answer)
    // A host that was restarted refuses the old uptime. The next order shakes hands anew.
    if (word === "refused") handshakes.delete(host)
    const reason = verb === "inspect" && word === "refused" ? undefined : reasonOf(word)
    return reason === undefined ? answer : yield* fail(host, fence.member, reason, rest)
  })

  return { handshakeWith, openSession, orderOn, shake, uptimeOf }
}

// What the answer to a question tells, whose first line is the host's greeting.
const shakeBy = Effect.fnUntraced(function* <E>(
  host: string,
  subject: string,
  asked: Effect.Effect<ReadonlyArray<string>, E>
) {
  const began = yield* monotonicMillis
  const beganAt = yield* Clock.currentTimeMillis
  const lines = yield* asked
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
    took: ended - began,
    leastSkew: Number(greeting[4]) - endedAt,
    mostSkew: Number(greeting[4]) - beganAt
  }
  return { handshake, lines }
})

const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)

const whole = (millis: number): string => String(Math.max(0, Math.floor(millis)))

/**
 * A member's name in hexadecimal, which is a safe file name. A file name has at most 255 bytes, the attempt in front
 * included.
 */
const memberWord = (member: string): string | undefined => {
  const bytes = new TextEncoder().encode(member)
  if (bytes.length === 0 || bytes.length > 100) return undefined
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

const memberFrom = (word: string): string =>
  new TextDecoder().decode(Uint8Array.from(word.match(/../g) ?? [], (pair) => parseInt(pair, 16)))

const reasonOf = (word: string): InjectorError["reason"] | undefined =>
  word === "refused"
    ? "OrderRefused"
    : word === "late"
      ? "Late"
      : word === "undone"
        ? "NotApplied"
        : word === "unknown"
          ? "Unknown"
          : undefined

const unspeakable = (host: string, member: string): Effect.Effect<never, InjectorError> =>
  fail(host, member, "OrderRefused", "the member's name is empty or longer than 100 bytes")

const answeredNo = (host: string, member: string, answer: string): Effect.Effect<never, InjectorError> => {
  const [word, rest] = cleave(answer)
  const reason = reasonOf(word)
  return reason === undefined
    ? fail(host, member, "Unknown", `the host answered ${JSON.stringify(answer)}`)
    : fail(host, member, reason, rest)
}

/** The answer about one member, among lines that each begin with a member's word. */
const armedFrom = (
  host: string,
  member: string,
  answer: string
): Effect.Effect<typeof FenceState.cases.Armed.Type, InjectorError> => {
  const state = stateFrom(answer)
  if (state?._tag === "Armed") return Effect.succeed(state)
  return state?._tag === "Lifted"
    ? fail(host, member, "NotApplied", `the host answered ${JSON.stringify(answer)}`)
    : answeredNo(host, member, answer)
}

/** A member's name as a list of processes may show it. */
const called = (member: string): string => member.replaceAll(/[^\w.@:+-]/g, "_").slice(0, 60)

// The container stands before the program. So the record of an order says in which container its paths are.
const processWords = ({ container, dataDirectory, executable, pid, startTime }: ProcessRef): ReadonlyArray<string> => [
  String(pid),
  startTime,
  container === undefined ? executable : `${container.engine}:${container.id}:${executable}`,
  dataDirectory
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
    .run(program, [verb, ...words], { timeout })
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
      const [ago] = numbers(words.slice(3, 4)) ?? []
      const detail = words.slice(4).join(" ")
      return FenceState.cases.Lifted.make({
        by,
        offAt,
        broken: broken === 1,
        ...(ago === undefined ? {} : { ago }),
        ...(detail === "" ? {} : { detail })
      })
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
