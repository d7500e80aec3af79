/**
 * Takes fences off, and writes until a write is acknowledged again. The forward way, the undo and the sweep of a
 * residue share it. A lift is repeated every second until each host has said "off". The host's own record tells who
 * ended a fence, and when.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Cluster } from "@inquorate/core/Cluster"
import type { Fact, ProbeSample } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Ender, FenceState, Injector } from "@inquorate/core/Injector"
import { restartBudget } from "@inquorate/core/Fault"
import { grace, type Order } from "@inquorate/core/Operation"
import { isFenceName, type PlannedFence } from "@inquorate/core/Plan"
import type { Instant, Millis } from "@inquorate/core/Time"
import { together } from "../Together.ts"
import type { Prober } from "./Prober.ts"
import { bounded, epochOf, fenceId, injectorOf, inspect } from "./Hosts.ts"
import type { Session } from "./Session.ts"
import type { Timeline } from "./Timeline.ts"

/** A fence that is off, by its host's record. */
export interface Off {
  readonly fence: PlannedFence
  readonly by: Ender
  readonly offAt: Instant
  readonly broken: boolean
  readonly detail: string
  /** False for a fence that was ordered and never stood: there was nothing to take off. */
  readonly stood: boolean
}

/**
 * What a lift came to. Either everything is off, or some fences may still stand although every expiry on record is
 * over.
 */
export type Lifted =
  | { readonly _tag: "AllOff"; readonly off: ReadonlyArray<Off>; readonly liftedAt: Instant }
  | { readonly _tag: "Expired"; readonly off: ReadonlyArray<Off>; readonly unknown: ReadonlyArray<Standing> }

/** A fence that may still stand, and why in words for a person. */
export interface Standing {
  readonly fence: PlannedFence
  readonly detail: string
}

/** How long a failed lift waits before it is tried again. */
const liftEvery = 1000

/**
 * Lifts every fence of an order, again and again. Where `patient` is false it ends as `Expired` at the deadline and its
 * grace.
 */
export const liftAll = (
  session: Session,
  order: Order,
  options: { readonly patient: boolean }
): Effect.Effect<Lifted> =>
  Effect.gen(function* () {
    const off = new Map<string, Off>()
    const problems = new Map<string, string>()
    const { timeline } = session
    let sentAt = session.known.liftSentAt
    while (true) {
      const remaining = order.fences.filter(({ member }) => !off.has(member))
      yield* session.ground.lease.permit
      const since = (sentAt ??= timeline.now())
      session.learn({ liftSentAt: since })
      const lifted = yield* Effect.forEach(remaining, (fence) => liftOne(session, order, fence, since, problems), {
        concurrency: "unbounded"
      })
      for (const one of lifted) if (one !== null) off.set(one.fence.member, one)
      const unknown = order.fences.filter(({ member }) => !off.has(member))
      if (unknown.length === 0) {
        const liftedAt = off.size === 0 ? timeline.now() : Math.max(...[...off.values()].map(({ offAt }) => offAt))
        session.learn({ liftedAt })
        return { _tag: "AllOff", off: [...off.values()], liftedAt }
      }
      const expired = order.deadline + graceOf(session, order)
      if (!options.patient && timeline.now() >= expired) {
        const standing = unknown.map((fence) => ({
          fence,
          detail: whyItStands(fence, injectorOf(session, fence)?.restarts === true, problems.get(fence.member))
        }))
        return { _tag: "Expired", off: [...off.values()], unknown: standing }
      }
      const next = timeline.now() + liftEvery
      yield* timeline.sleepUntil(options.patient ? next : Math.min(next, expired))
    }
  })

/** The facts of a lift: each fence that is off with its overrun, and each that may stand. */
export const liftFacts = (order: Order, lifted: Lifted): ReadonlyArray<Fact> => [
  ...lifted.off.map(({ by, fence, offAt, stood }): Fact => ({
    _tag: "FenceLifted",
    member: fence.member,
    by,
    offAt,
    overrun: stood ? Math.max(0, offAt - order.deadline) : null
  })),
  ...lifted.off.flatMap(({ detail, fence }): ReadonlyArray<Fact> =>
    detail === "" ? [] : [{ _tag: "Noted", text: `${fence.member}: ${detail}` }]
  ),
  ...(lifted._tag === "AllOff" ? [] : lifted.unknown).map(({ detail, fence: { member } }): Fact => ({
    _tag: "FenceUnknown",
    member,
    detail
  }))
]

/** The fact of the measured hold, where a loss had begun. */
export const holdFacts = ({ journal, known }: Session, liftedAt: Instant): ReadonlyArray<Fact> => {
  const { lossBegan } = known
  const { duration: asked, losesQuorum } = faultOf(journal.stored().operation.request)
  if (lossBegan === null || !losesQuorum) return []
  return [{ _tag: "HoldMeasured", asked, measured: Math.max(0, liftedAt - lossBegan) }]
}

/**
 * Writes until a write is acknowledged that was sent after the lift: at first one to every endpoint, then one at a
 * time. It never ends by itself.
 */
export const writeUntilAcknowledged = (
  { cluster, prober }: { readonly cluster: Cluster; readonly prober: Prober },
  timeline: Timeline,
  since: Instant
): Effect.Effect<ProbeSample> =>
  Effect.gen(function* () {
    const timeout = cluster.target.recoveryWriteTimeout
    yield* prober.stop
    for (let opened = false; !opened;) {
      opened = yield* Effect.match(prober.open, { onFailure: () => false, onSuccess: () => true })
      if (!opened) yield* Effect.sleep(writeSpacing)
    }
    const write = (endpoint: number) => Effect.ignore(prober.once(endpoint, timeout))
    const endpoints = Array.from({ length: prober.endpoints() }, (_, index) => index)
    const rounds = Effect.gen(function* () {
      yield* together(endpoints, write)
      for (let turn = 0; ; turn++) {
        const next = timeline.now() + writeSpacing
        yield* write(turn)
        yield* timeline.sleepUntil(next)
      }
    })
    return yield* Effect.raceFirst(prober.acknowledged(since), rounds)
  })

// --- internal ---

// A lift that starts servers again takes as long as they do. On a busy host that is longer than any lift that only lets
// go.
const graceOf = (session: Session, order: Order): Millis =>
  order.fences.some((fence) => injectorOf(session, fence)?.restarts === true) ? grace + restartBudget : grace

const writeSpacing = 50
/** How far a host's clock may still be off once its skew is taken out. */
const clockError = 100

// Of a server that was killed the host's last word is what a person needs, and nothing starts it before that is mended.
const whyItStands = ({ member, process: { host } }: PlannedFence, isKilled: boolean, problem = ""): string =>
  isKilled && problem !== ""
    ? `${member} was killed, and ${problem}; start it by hand, then "inq doctor --sweep" on host ${host}`
    : `host ${host} has not said that the fence of ${member} is off, though its deadline and grace are over; "inq doctor --sweep" there looks after it`

const liftOne = (
  session: Session,
  order: Order,
  fence: PlannedFence,
  sentAt: Instant,
  problems: Map<string, string>
): Effect.Effect<Off | null> =>
  Effect.gen(function* () {
    // No host can keep such a name, so none can have taken the order: it was never sent.
    if (!isFenceName(fence.member)) return neverSent(session, fence)
    const injector = injectorOf(session, fence)
    if (injector === null) return null
    const { host } = fence.process
    const { operation } = session.journal.stored()
    const id = fenceId(operation, order, fence)
    const sure = session.known.fences._tag === "Armed"
    const before = sure ? null : yield* standsBefore(session, order, fence)
    const askedAt = session.timeline.now()
    const lifted = yield* bounded(fence, injector.lift(host, id, epochOf(session, order))).pipe(
      Effect.map((state): FenceState | null => state),
      Effect.catchTag("InjectorError", (problem) =>
        Effect.andThen(
          Effect.suspend(() => {
            problems.set(fence.member, problem.detail)
            return Effect.logWarning(`A lift of ${fence.member} failed: ${problem.detail}`)
          }),
          // Perhaps only the answer was lost, and a fence ends by itself. The host's record tells.
          inspect(session, order, fence)
        )
      )
    )
    if (lifted?._tag !== "Lifted") return null
    const offAt = yield* ownTime(session, order, fence, lifted, { askedAt, sentAt })
    const stood = before?._tag !== "Absent" && before?._tag !== "Refused"
    return { fence, by: lifted.by, offAt, broken: lifted.broken, detail: lifted.detail ?? "", stood }
  })

const neverSent = (session: Session, fence: PlannedFence): Off => ({
  fence,
  by: "Worker",
  offAt: session.timeline.now(),
  broken: false,
  detail: "its order was never sent",
  stood: false
})

/** How long a lift waits for the word of a host that was not heard to have armed the fence. */
const askBefore: Millis = 1000

// A fence that nobody saw armed may never have stood. The host's record tells that before the lift, and not after it.
const standsBefore = (session: Session, order: Order, fence: PlannedFence): Effect.Effect<FenceState | null> =>
  Effect.map(
    Effect.timeoutOption(inspect(session, order, fence), askBefore),
    Option.getOrElse(() => null)
  )

// A host tells a moment by its own clock. That clock may differ from ours by its skew, and may have been stepped since,
// so the moment is kept between the two that the host's uptime allows: a step back would let a short fence pass. A
// moment between our sending and the answer is believed as it is. An earlier one is corrected by the skew. If it is
// still earlier, somebody else ended the fence, and that it stood for a shorter time than asked must never be smoothed
// away.
const ownTime = (
  session: Session,
  order: Order,
  fence: PlannedFence,
  lifted: typeof FenceState.cases.Lifted.Type,
  { askedAt, sentAt }: { readonly askedAt: Instant; readonly sentAt: Instant }
): Effect.Effect<Instant> =>
  Effect.gen(function* () {
    const now = session.timeline.now()
    const byUptime = (offAt: Instant): Instant =>
      lifted.ago === undefined ? offAt : Math.min(now - lifted.ago, Math.max(askedAt - lifted.ago, offAt))
    const told = byUptime(lifted.offAt)
    if (lifted.by === "Worker" && told >= sentAt) return Math.min(now, told)
    const injector = injectorOf(session, fence)
    const skew = injector === null ? 0 : yield* skewOf(injector, fence, session.timeline)
    const offAt = Math.min(now, Math.max(order.armedAt, byUptime(lifted.offAt - skew)))
    return lifted.by === "Worker" && offAt >= sentAt - clockError ? Math.max(sentAt, offAt) : offAt
  })

// How far the host's clock is ahead of this drive's time. Its injector compares it with our wall clock, which may be
// another one than the store's, or may have been stepped since.
const skewOf = (injector: Injector, fence: PlannedFence, timeline: Timeline): Effect.Effect<number> =>
  injector.preflight(fence.process).pipe(
    Effect.match({
      onFailure: () => 0,
      onSuccess: ({ skew }) => (skew === undefined ? 0 : skew + timeline.toWall(timeline.now()) - timeline.now())
    })
  )
