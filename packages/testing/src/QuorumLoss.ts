/**
 * A loss of quorum inside a test of yours, with promises and without a worker. It takes the quorum of what the test
 * started, proves by writes that the quorum is gone, and gives it back when its scope ends. A guardian gives it back
 * when the test's process dies. The kernel gives it back when everything of ours dies.
 */
import type { ProbeSample } from "@inquorate/core/Evidence"
import type { FenceId, FenceOrder, Injector } from "@inquorate/core/Injector"
import { chooseCut, describeRefusal, explain, QuorumLossMode, type Refusal } from "@inquorate/core/Plan"
import type { Probe, Target } from "@inquorate/core/Target"
import { parseMillis } from "@inquorate/core/Time"
import type { Member, Topology } from "@inquorate/core/Topology"
import { acknowledgedDuring, judgeLoss } from "@inquorate/core/Verdict"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import { modules } from "@inquorate/targets/Registry"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { Socket } from "node:net"
import { execPath, hrtime } from "node:process"
import { fileURLToPath } from "node:url"

// --- models ---

/** What is to lose its quorum, and for how long at most. */
export interface LossOptions {
  /** The system: `etcd`, `postgres`, or `command` for any other. */
  readonly system: string
  /**
   * The system's own settings, as in the worker's configuration file: the members with name and address, and for
   * PostgreSQL user, password and database. Every member runs on this machine.
   */
  readonly settings: {
    readonly members: ReadonlyArray<Readonly<Record<string, unknown>>>
    readonly [key: string]: unknown
  }
  /**
   * The containers in which the members run, by name, in the order of the members. The addresses of the members are
   * then those at which the test reaches them, such as published ports.
   */
  readonly containers?: ReadonlyArray<string>
  /**
   * The compose project in which the members run. Each member is the one container of a service: of `services` in the
   * order of the members, or else of the service with the member's own name.
   */
  readonly compose?: { readonly project: string; readonly services?: ReadonlyArray<string> }
  /** The engine that runs the containers; `docker` unless given. */
  readonly engine?: "docker" | "podman" | "nerdctl" | "containerd"
  /** Of the engine containerd: its namespace that has the containers; `default` unless given. */
  readonly namespace?: string
  /** Whether to take as few members as lose the quorum, which is the default, or all that may be taken. */
  readonly mode?: QuorumLossMode
  /** When the kernel gives the quorum back if nobody else has, such as `30s`; a minute unless given. */
  readonly atMost?: string
  /** How long to wait until the group is whole, seen and takes writes, such as `30s`; `10s` unless given. */
  readonly readyWithin?: string
}

/** What was seen of a loss. Moments are milliseconds since 1970, lengths milliseconds. */
export interface Proof {
  /** The arithmetic of the cut in one line. */
  readonly arithmetic: string
  /** The members that were taken out. */
  readonly members: ReadonlyArray<string>
  /** When the first write was sent that was never acknowledged before the lift. */
  readonly lostAt: number
  /** When the members were told to run on. */
  readonly liftedAt: number
  /** From `lostAt` to `liftedAt`. */
  readonly lostForMs: number
  /** How many writes were tried in that time. None of them was acknowledged before the lift. */
  readonly writesTried: number
  /** From the lift to the first acknowledgement of a write that was sent after it. */
  readonly recoveredAfterMs: number
}

/** A quorum that is lost until `[Symbol.asyncDispose]` or `giveBack`. */
export interface Loss extends AsyncDisposable {
  /** The members that are taken out now. */
  readonly members: ReadonlyArray<string>
  /** The arithmetic of the cut in one line. */
  readonly arithmetic: string
  /** Gives the quorum back, and settles when a write was acknowledged again. The end of the scope does it too. */
  readonly giveBack: () => Promise<Proof>
  /** Settles once the quorum is back; rejects where the loss or the return was not what it should have been. */
  readonly proof: Promise<Proof>
}

// --- errors ---

/**
 * A loss that could not be, or was none. `Refused`: a rule said no, and nothing was touched. `NotLost`: writes were
 * acknowledged although the members were out; the members run again. `Broken`: a write was acknowledged during the
 * loss. `NotBack`: no write was acknowledged after the lift, within the system's own time.
 */
export class LossError extends Error {
  override readonly name = "LossError"
  readonly code: "Refused" | "NotLost" | "Broken" | "NotBack"

  constructor(code: LossError["code"], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

// --- make ---

/**
 * Takes the quorum and settles once it is proven lost. Use it with `await using`: the quorum then comes back when the
 * scope ends, also where the test fails.
 */
export const quorumLoss = async (options: LossOptions): Promise<Loss> => {
  const scope = Scope.makeUnsafe()
  try {
    return await held(options, scope)
  } catch (error) {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    throw error
  }
}

// --- internal ---

const host = "local"
/** How long a loss may take to show once the members are out. */
const verifyBudget = 10_000
const writeEvery = 20

const now = (): number => Effect.runSync(Clock.currentTimeMillis)

const run = async <A, E>(effect: Effect.Effect<A, E>, code: LossError["code"]): Promise<A> => {
  const exit = await Effect.runPromiseExit(effect)
  if (Exit.isSuccess(exit)) return exit.value
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause)) ?? Cause.squash(exit.cause)
  throw new LossError(code, error instanceof Error ? error.message : String(error), { cause: error })
}

const held = async (options: LossOptions, scope: Scope.Closeable): Promise<Loss> => {
  const { mode = "QuorumReplicas" } = options
  const longest = lengthOf("atMost", options.atMost ?? "60s")
  const readyWithin = lengthOf("readyWithin", options.readyWithin ?? "10s")
  const target = await opened(options, scope)
  const readyUntil = now() + readyWithin
  const { cut, topology } = await ready(target, mode, readyUntil)
  const injector = Pause.make(new Map([[host, LocalHost.make(host)]]))
  const probe = await run(Scope.provide(target.probe(topology.group), scope), "Refused")
  await steady(probe, readyUntil)
  await preflight(injector, cut)

  const writes = new Writes(probe)
  const deadline = now() + longest + verifyBudget
  const operationId = crypto.randomUUID()
  const fences = cut.map(({ name }) => ({ operationId, attempt: 1, member: name }))
  const lift = () =>
    run(
      Effect.forEach(fences, (fence) => Effect.retry(injector.lift(host, fence, 1), { times: 10 }), {
        concurrency: "unbounded",
        discard: true
      }),
      "NotBack"
    )
  const dismiss = guard(fences)
  try {
    const armedAt = now()
    const orders = cut.map(({ process }, index): FenceOrder => ({
      fence: fences[index]!,
      process: process!,
      epoch: 1,
      deadline,
      startByMonotonic: Number(hrtime.bigint() / 1_000_000n) + verifyBudget
    }))
    await run(Effect.forEach(orders, injector.arm, { concurrency: "unbounded" }), "Refused")
    writes.begin()
    const lostAt = await lost(writes, armedAt, topology, cut, deadline)
    const arithmetic = explain(topology, cut)
    return loss({
      arithmetic,
      deadline,
      dismiss,
      lift,
      lostAt,
      members: cut.map(({ name }) => name),
      scope,
      target,
      writes
    })
  } catch (error) {
    await writes.end()
    await lift()
    dismiss()
    throw error
  }
}

// Starts the guardian and keeps its pipe open until it is dismissed. The death of this process closes the pipe as well.
const guard = (fences: ReadonlyArray<FenceId>): (() => void) => {
  const file = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "./Guardian.ts" : "./Guardian.js", import.meta.url)
  )
  const guardian = spawn(execPath, [file, host, JSON.stringify(fences)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  guardian.on("error", () => {
    // Without a guardian the kernel still ends the loss, at its deadline.
  })
  guardian.stdin?.on("error", () => {})
  // The guardian does not keep a test runner alive that waits for nothing else.
  guardian.unref()
  if (guardian.stdin instanceof Socket) guardian.stdin.unref()
  return () => void guardian.kill("SIGKILL")
}

const lengthOf = (name: "atMost" | "readyWithin", text: string): number => {
  const length = parseMillis(text)
  if (length !== undefined) return length
  throw new LossError("Refused", `${name} is ${JSON.stringify(text)}, where a length such as 30s is expected`)
}

// A test starts its servers just before it takes their quorum, on a machine that may be busy. So this waits for
// whatever may still come to be, and tells the last reason.
const ready = async (
  target: Target,
  mode: QuorumLossMode,
  until: number
): Promise<{ readonly topology: Topology; readonly cut: ReadonlyArray<Member> }> => {
  for (;;) {
    const seen = await Effect.runPromise(Effect.result(target.discover))
    const standing = Result.isFailure(seen)
      ? { problem: seen.failure.message, mayCome: true }
      : judged(seen.success[0]!, mode)
    if (!("problem" in standing)) return standing
    if (!standing.mayCome || now() > until) throw new LossError("Refused", standing.problem)
    await Effect.runPromise(Effect.sleep(100))
  }
}

const mayPass: ReadonlySet<Refusal["_tag"]> = new Set(["AlreadyLost", "Degraded", "NoPrimary"])

const judged = (topology: Topology, mode: QuorumLossMode) => {
  const cut = chooseCut(topology, mode)
  if (Result.isFailure(cut)) return { problem: describeRefusal(cut.failure), mayCome: mayPass.has(cut.failure._tag) }
  const lacking = cut.success.find(({ process }) => process === null)
  if (lacking === undefined) return { topology, cut: cut.success }
  return { problem: `${lacking.name} cannot be taken out: ${lacking.processProblem}`, mayCome: true }
}

/** What a member's settings say of its container. */
const containerOf = (
  { compose, containers, engine, namespace }: LossOptions,
  member: Readonly<Record<string, unknown>>,
  index: number
): Readonly<Record<string, unknown>> => {
  const own = { ...(engine === undefined ? {} : { engine }), ...(namespace === undefined ? {} : { namespace }) }
  if (containers !== undefined) return { container: containers[index], ...own }
  if (compose === undefined) return {}
  const { project, services } = compose
  return { compose: { project, service: services === undefined ? member["name"] : services[index] }, ...own }
}

const opened = async (options: LossOptions, scope: Scope.Closeable): Promise<Target> => {
  const { settings, system } = options
  const module = modules.find((one) => one.system === system)
  if (module === undefined) {
    const known = modules.map((one) => one.system).join(", ")
    throw new LossError("Refused", `system is ${JSON.stringify(system)}, where one of ${known} is expected`)
  }
  check(options)
  const here = {
    ...settings,
    members: settings.members.map((member, index) => ({ host, ...containerOf(options, member, index), ...member }))
  }
  const decoded = Schema.decodeResult(module.config, { errors: "all", onExcessProperty: "error" })(here)
  if (Result.isFailure(decoded))
    throw new LossError("Refused", decoded.failure.message.replace(/\s*\n\s*(?=at )/g, " ").replace(/\s*\n\s*/g, "; "))
  const hosts = new Map([[host, LocalHost.make(host)]])
  return run(Scope.provide(module.make("test", decoded.success, hosts), scope), "Refused")
}

// Tests in JavaScript have no compiler to tell them.
const check = ({ compose, containers, mode = "QuorumReplicas", settings }: LossOptions): void => {
  const refuse = (problem: string): never => {
    throw new LossError("Refused", problem)
  }
  const members: unknown = settings?.members
  if (!Array.isArray(members)) {
    const pods = "settings.members is missing, where a list of members with name and address is expected"
    return refuse("pods" in (settings ?? {}) ? `${pods}: a test takes members of its own machine, and no pods` : pods)
  }
  if (!Schema.is(QuorumLossMode)(mode)) {
    refuse(`mode is ${JSON.stringify(mode)}, where ${QuorumLossMode.literals.join(" or ")} is expected`)
  }
  if (containers !== undefined && compose !== undefined) refuse("containers or compose is expected, not both")
  for (const [name, list] of [
    ["containers", containers],
    ["compose.services", compose?.services]
  ] as const) {
    if (list === undefined || list.length === members.length) continue
    refuse(`${name}: ${list.length} given for ${members.length} members, where one for each is expected`)
  }
}

const steady = async (probe: Probe, until: number): Promise<void> => {
  for (;;) {
    const within = Math.max(verifyBudget, until - now())
    const outcome = await Effect.runPromise(Effect.timeoutOption(probe.write(probe.endpoints[0]!), within))
    if (Option.exists(outcome, ({ _tag }) => _tag === "Acknowledged")) return
    if (now() > until) {
      throw new LossError("Refused", "no write is acknowledged before the loss, so it could not be told")
    }
    await Effect.runPromise(Effect.sleep(100))
  }
}

const preflight = async (injector: Injector, cut: ReadonlyArray<Member>): Promise<void> => {
  for (const { name, process } of cut) {
    const answer = await run(injector.preflight(process!, name), "Refused")
    if (answer._tag !== "Ready") throw new LossError("Refused", `${name} cannot be taken out: ${answer.problem}`)
    if (answer.grade !== "Kernel") {
      throw new LossError(
        "Refused",
        `${name} cannot be traced (Perl is missing, or ptrace is not allowed): its kernel would not give it back if this test died`
      )
    }
  }
}

/** Tries one write after the other at each endpoint until told to end. */
class Writes {
  readonly samples: Array<ProbeSample> = []
  readonly #probe: Probe
  #running: ReadonlyArray<Fiber.Fiber<void>> = []

  constructor(probe: Probe) {
    this.#probe = probe
  }

  begin(): void {
    this.#running = this.#probe.endpoints.map((endpoint) => Effect.runFork(Effect.forever(this.#one(endpoint))))
  }

  #one(endpoint: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const index = this.samples.length
      const sample: ProbeSample = { sequence: index + 1, endpoint, sentAt: now(), endedAt: null, outcome: null }
      this.samples.push(sample)
      const outcome = yield* this.#probe.write(endpoint)
      this.samples[index] = { ...sample, endedAt: now(), outcome }
      yield* Effect.sleep(writeEvery)
    })
  }

  /** When the first write was acknowledged that was sent after a moment. Tries for at most `within` milliseconds. */
  async acknowledgedAfter(moment: number, within: number, each: number): Promise<number | undefined> {
    await this.end()
    while (now() - moment < within) {
      for (const endpoint of this.#probe.endpoints) {
        const outcome = await Effect.runPromise(Effect.timeoutOption(this.#probe.write(endpoint), each))
        if (Option.exists(outcome, ({ _tag }) => _tag === "Acknowledged")) return now()
      }
      await Effect.runPromise(Effect.sleep(writeEvery))
    }
    return undefined
  }

  async end(): Promise<void> {
    const ending = this.#running
    this.#running = []
    await Effect.runPromise(Effect.forEach(ending, Fiber.interrupt, { concurrency: "unbounded", discard: true }))
  }
}

const lost = async (
  writes: Writes,
  armedAt: number,
  topology: Topology,
  cut: ReadonlyArray<Member>,
  deadline: number
): Promise<number> => {
  const left = topology.members.filter(({ counts, name, up }) => counts && up && !cut.some((one) => one.name === name))
  const independentFact =
    left.length < topology.needed
      ? `${cut.map(({ name }) => name).join(", ")} stand still by their host's own check`
      : null
  const budgetEnds = now() + verifyBudget
  for (;;) {
    const judged = judgeLoss({
      samples: writes.samples,
      armedAt,
      independentFact,
      now: now(),
      budgetEnds,
      deadline
    })
    if (judged._tag === "LossConfirmed") return judged.lossBegan
    if (judged._tag === "LossDenied") throw new LossError("NotLost", judged.verdict.facts.join("; "))
    await Effect.runPromise(Effect.sleep(Math.max(0, judged.until - now())))
  }
}

const loss = (parts: {
  readonly arithmetic: string
  readonly members: ReadonlyArray<string>
  readonly lostAt: number
  readonly deadline: number
  readonly dismiss: () => void
  readonly lift: () => Promise<void>
  readonly target: Target
  readonly writes: Writes
  readonly scope: Scope.Closeable
}): Loss => {
  const { arithmetic, deadline, dismiss, lift, lostAt, members, scope, target, writes } = parts
  let resolve: (proof: Proof) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const proof = new Promise<Proof>((kept, broken) => {
    resolve = kept
    reject = broken
  })
  // Nobody has to ask for the proof: the end of the scope rejects as well.
  proof.catch(() => {})
  const end = async (): Promise<Proof> => {
    try {
      const liftedAt = now()
      await lift()
      dismiss()
      const broken = acknowledgedDuring(writes.samples, lostAt, liftedAt)
      const writesTried = writes.samples.filter(({ sentAt }) => sentAt >= lostAt).length
      const { recoveryBudget, recoveryWriteTimeout } = target
      const back = await writes.acknowledgedAfter(liftedAt, recoveryBudget, recoveryWriteTimeout)
      if (liftedAt > deadline) throw new LossError("Broken", "the loss had ended by itself: atMost was over")
      if (broken !== undefined) {
        throw new LossError("Broken", `write ${broken.sequence} was acknowledged during the loss`)
      }
      if (back === undefined)
        throw new LossError("NotBack", `no write was acknowledged within ${recoveryBudget} ms after the lift`)
      return {
        arithmetic,
        members,
        lostAt,
        liftedAt,
        lostForMs: liftedAt - lostAt,
        writesTried,
        recoveredAfterMs: back - liftedAt
      }
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
  let ending: Promise<Proof> | undefined
  const giveBack = (): Promise<Proof> => {
    if (ending === undefined) {
      ending = end()
      ending.then(resolve, reject)
    }
    return ending
  }
  return {
    arithmetic,
    members,
    giveBack,
    proof,
    [Symbol.asyncDispose]: async () => {
      await giveBack()
    }
  }
}
