/**
 * The fence of one member as it is planned, after a look at its process and its host: who ends it without us, who would act
 * on the member's silence, and what a person should know.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Injector } from "@inquorate/core/Injector"
import type { Fact } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import { describeRefusal, fenceNameMost, isFenceName, type PlannedFence, Refusal } from "@inquorate/core/Plan"
import { describeSupervisor, type Supervisor } from "@inquorate/core/Supervision"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Member, Topology } from "@inquorate/core/Topology"
import { Unreachable } from "./Discovery.ts"
import { type Guard, GuardRefused, type SetAside } from "./Guards.ts"

// --- models ---

/** How far a host's clock may differ from ours, in milliseconds. */
export const skewMost: Millis = 1000

/** A fence as it is planned, with what a person should know of it. */
export interface PreparedFence {
  readonly fence: PlannedFence
  readonly warnings: ReadonlyArray<string>
  /** Who would act on the member's silence. */
  readonly supervisors: ReadonlyArray<Supervisor>
  /** How long its host needed for the look; 0 where it does not say. */
  readonly took: Millis
}

/**
 * What one kind of fault needs of one place: the fences, the guards that ask about them, and the facts to store once all
 * guards have passed. `took` is how long the slowest host needed for its look, where the loss has to show within a time.
 */
export interface Draft {
  readonly fences: ReadonlyArray<PlannedFence>
  readonly took?: Millis
  /** What the hosts said of each process, where a host that makes ready judges it once more. */
  readonly looks?: ReadonlyArray<PreparedFence>
  readonly guards: ReadonlyArray<Guard>
  readonly facts: (aside: ReadonlyArray<SetAside>) => ReadonlyArray<Fact>
  /** Set where the fences are those of another operation and stand already. */
  readonly standing?: Standing
}

/** Fences that another operation armed, and the epoch of that operation. */
export interface Standing {
  readonly operationId: Guid
  readonly attempt: number
  readonly deadline: Instant
  readonly armedAt: Instant
  readonly epoch: number
}

// --- errors ---

/** The process of one member cannot be fenced. */
export class FenceRefused extends Schema.TaggedError<FenceRefused>()("FenceRefused", { refusal: Refusal }) {}

// --- make ---

/**
 * The fences of these members by one mechanism, after a look at each process. Where the mechanism makes ready first, what
 * was said of the same process a moment ago counts.
 */
export const planFences = (
  injector: Injector,
  members: ReadonlyArray<Member>,
  topology: Topology,
  lately: ReadonlyArray<PreparedFence> = []
): Effect.Effect<ReadonlyArray<PreparedFence>, GuardRefused | Unreachable> =>
  Effect.forEach(
    members,
    (member) => {
      const known = injector.prepare === undefined ? undefined : lately.find(isOf(injector, member))
      return known !== undefined
        ? Effect.succeed(known)
        : Effect.mapError(planFence(injector, member), (problem) => fenceProblem(problem, topology))
    },
    { concurrency: "unbounded" }
  )

/** The fence of one member by a mechanism, after a look at its process. */
export const planFence = (
  injector: Injector,
  member: Member
): Effect.Effect<PreparedFence, FenceRefused | Unreachable> =>
  Effect.gen(function* () {
    const { process } = member
    if (process === null && member.processLate === true) {
      const detail = `which process is the server of ${member.name} was not told in time: ${member.processProblem}`
      return yield* new Unreachable({ detail, retryable: true })
    }
    if (process === null) return yield* new FenceRefused({ refusal: notTheServer(member) })
    if (!isFenceName(member.name)) {
      const problem = `its name is empty or longer than ${fenceNameMost} bytes, which no host could keep a record under`
      return yield* new FenceRefused({ refusal: Refusal.cases.NotSupported.make({ member: member.name, problem }) })
    }
    const preflight = yield* injector
      .preflight(process, member.name)
      .pipe(
        Effect.mapError(({ detail, host }) => new Unreachable({ detail: `host ${host}: ${detail}`, retryable: true }))
      )
    switch (preflight._tag) {
      case "Mistaken":
        return yield* new FenceRefused({
          refusal: Refusal.cases.NotTheServer.make({ member: member.name, problem: preflight.problem })
        })
      case "Impossible":
        return yield* new FenceRefused({
          refusal: Refusal.cases.NotSupported.make({ member: member.name, problem: preflight.problem })
        })
      case "Ready":
        if (Math.abs(preflight.skew) > skewMost) {
          return yield* new FenceRefused({
            refusal: Refusal.cases.ClockSkew.make({ host: process.host, skew: preflight.skew })
          })
        }
        return {
          fence: {
            member: member.name,
            node: member.node,
            injector: injector.name,
            grade: preflight.grade,
            process,
            ...(preflight.machineId === undefined ? {} : { machineId: preflight.machineId })
          },
          took: preflight.took ?? 0,
          warnings: (preflight.warnings ?? []).map((warning) => `${member.name}: ${warning}`),
          // An injector knows processes only.
          supervisors: (preflight.supervisors ?? []).map((one) => ({ ...one, watches: member.name }))
        }
    }
  })

const isOf =
  (injector: Injector, { name, node, process }: Member) =>
  ({ fence }: PreparedFence): boolean =>
    fence.injector === injector.name &&
    fence.member === name &&
    fence.node === node &&
    JSON.stringify(fence.process) === JSON.stringify(process)

/** The refusal of a member whose process was not found, not believed, or not told. */
export const notTheServer = ({ name, processProblem, processUnknown }: Member): Refusal =>
  Refusal.cases.NotTheServer.make({
    member: name,
    problem: processProblem,
    ...(processUnknown === true ? { unknown: true } : {})
  })

/** A fence's refusal as that of its group. */
export const fenceProblem = (problem: FenceRefused | Unreachable, topology: Topology): GuardRefused | Unreachable =>
  problem._tag === "FenceRefused" ? new GuardRefused({ refusal: problem.refusal, topology }) : problem

/** The facts of a draft that names its members and says no more: what is set aside, who goes, and what to know of each. */
export const factsOf =
  (verb: string, prepared: ReadonlyArray<PreparedFence>): Draft["facts"] =>
  (aside) => {
    const members = prepared.map(({ fence }) => `${fence.member} (${fence.injector})`)
    return [
      ...setAside(aside),
      noted(members.length === 0 ? `${verb} no process: none runs there` : `${verb} ${members.join(", ")}`),
      ...prepared.flatMap(({ supervisors, warnings }) =>
        [...warnings, ...supervisors.map(describeSupervisor)].map(noted)
      )
    ]
  }

/** The facts of refusals that the request sets aside. */
export const setAside = (aside: ReadonlyArray<SetAside>): ReadonlyArray<Fact> =>
  aside.map(({ override, refusal }) => noted(`Set aside by the override "${override}": ${describeRefusal(refusal)}`))

/** A fact in words. */
export const noted = (text: string): Fact => ({ _tag: "Noted", text })
