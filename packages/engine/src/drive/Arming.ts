/**
 * Arming: every fence of an order is sent to its host once, by the drive that ordered it. A drive that took the order
 * over sends nothing; it reads the hosts' own records.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Fact } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { type FenceState, InjectorError } from "@inquorate/core/Injector"
import { type Operation, type Order, verifyBudgetOn } from "@inquorate/core/Operation"
import { type PlannedFence, Refusal } from "@inquorate/core/Plan"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import { busy, cameFirst } from "../plan/Others.ts"
import { armingWithin, bounded, fenceId, injectorOf, inspect, inspectAll } from "./Hosts.ts"
import type { Ordered } from "./Known.ts"
import { failed, ordering, refusedBy, unsent } from "./Outcomes.ts"
import type { Group } from "./Preparing.ts"
import type { Outcome, Session } from "./Session.ts"

/** Sends every fence of the order to its host. Only the drive that ordered them has an `Ordered` to do it by. */
export const arm = (session: Session, operation: Operation, order: Order, ordered: Ordered): Effect.Effect<Outcome> => {
  const { place } = session.known
  const sent = send(session, operation, order, ordered)
  return place === null ? sent : place.prober.closely(sent)
}

/**
 * Looks how the fences of an earlier owner's order stand. It never arms: the order may have been carried out, and only
 * the hosts know.
 */
export const confirmArmed = (session: Session, operation: Operation, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    yield* watchBefore(session, operation)
    return yield* lookArmed(session, operation, order)
  })

/** The same, by a drive that watches the group already. */
export const lookArmed = (session: Session, operation: Operation, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const looked = yield* inspectAll(session, order)
    const facts: Array<Fact> = []
    for (const [{ member }, state] of looked) {
      if (state !== null && isOver(operation, state)) continue
      if (state?._tag !== "Armed" || (state.broken && !faultOf(operation.request).restarts)) {
        const found =
          state === null ? "its host did not answer" : state._tag === "Armed" ? "it is broken" : `it is ${state._tag}`
        return failed(
          session,
          "FABRIC_E_COMMUNICATION_ERROR",
          true,
          `The fence on ${member} was ordered by an earlier owner, and ${found}`
        )
      }
      facts.push(armedFact(member, state))
    }
    return armed(session, facts)
  })

/** The failure of a step whose fences could not be applied, or not be made ready. */
export const notFenced = (
  session: Session,
  problems: ReadonlyArray<readonly [PlannedFence, InjectorError]>,
  facts: ReadonlyArray<Fact>
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const text = problems
      .map(([{ member }, { detail, reason }]) => `${member} was not fenced (${reason}): ${detail}`)
      .join("; ")
    const never = problems
      .filter(([, { reason }]) => reason === "Unreachable" || reason === "Late")
      .map(([{ member }]) => member)
    // A host gives one answer to late, repeated and mistaken orders. Only a process that is not the server makes
    // another try vain.
    for (const [fence, { reason }] of problems) {
      const injector = injectorOf(session, fence)
      if (reason !== "OrderRefused" || injector === null) continue
      const said = yield* Effect.option(injector.preflight(fence.process, fence.named ?? fence.member))
      if (said._tag === "Some" && said.value._tag === "Mistaken") {
        const refusal = Refusal.cases.NotTheServer.make({ member: fence.member, problem: said.value.problem })
        return unsent(session, refusedBy(session, refusal, [...facts, { _tag: "Noted", text }]), never)
      }
    }
    const unreachable = problems.some(([, { reason }]) => reason === "Unreachable" || reason === "Unknown")
    const error = unreachable ? "FABRIC_E_COMMUNICATION_ERROR" : "E_ABORT"
    return unsent(session, failed(session, error, true, text, facts), never)
  })

// --- internal ---

const send = (session: Session, operation: Operation, order: Order, ordered: Ordered): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    yield* watchBefore(session, operation)
    const first = yield* Effect.result(cameFirst(session.ground.store, operation, order))
    const everybody = order.fences.map(({ member }) => member)
    if (Result.isFailure(first)) {
      return unsent(session, failed(session, "E_ABORT", true, first.failure.detail), everybody)
    }
    if (first.success !== null) return unsent(session, refusedBy(session, busy(first.success)), everybody)
    const sending: Sending = { operation, order, ordered, startBy: yield* session.ground.lease.permit }
    const stored = session.timeline.monotonic()
    const since = ordered.waitingSince ?? stored
    if (isSpent(session, sending)) {
      const spent = formatMillis(session.timeline.now() - order.armedAt)
      const text = `The order was stored ${spent} after it was made, so too little was left of its time. It was not sent`
      return stored - since < waitAtMost
        ? orderAgain(session, sending, since, `${text}, and is made anew`)
        : unsent(session, failed(session, "E_ABORT", true, text), everybody)
    }
    const answers = yield* armAll(session, sending)
    const facts: Array<Fact> = []
    const problems: Array<readonly [PlannedFence, InjectorError]> = []
    answers.forEach((answer, index) => {
      const fence = order.fences[index]!
      if (Result.isFailure(answer)) problems.push([fence, answer.failure])
      else facts.push(armedFact(fence.member, answer.success))
    })
    if (problems.length === 0) return armed(session, facts)
    if (!lateEverywhere(problems, order) || session.timeline.monotonic() - since >= waitAtMost) {
      return yield* notFenced(session, problems, facts)
    }
    yield* Effect.sleep(waitEvery)
    return orderAgain(session, sending, since, lateText(problems))
  })

const armedFact = (member: string, { grade, processes }: typeof FenceState.cases.Armed.Type): Fact => ({
  _tag: "FenceArmed",
  member,
  processes,
  ...(grade === undefined ? {} : { grade })
})

const armed = (session: Session, facts: ReadonlyArray<Fact>): Outcome => {
  const at = session.timeline.now()
  session.learn({ fences: { _tag: "Armed", at } })
  return { event: { _tag: "FencesArmed", at }, facts }
}

// The probe writes before the first fence bites, so that the first write that is lost is seen to be lost.
const watchBefore = ({ known }: Session, { request }: Operation): Effect.Effect<void> =>
  known.place !== null && faultOf(request).losesQuorum ? Effect.ignore(known.place.prober.watch) : Effect.void

const noInjector = ({ injector, member, process }: PlannedFence): InjectorError =>
  new InjectorError({
    host: process.host,
    member,
    reason: "Unreachable",
    detail: `no configured cluster has the mechanism ${injector} on host ${process.host}`
  })

// A fault that ends the process is done once it was armed. If a keeper has started the member again meanwhile, so much
// the better. A loss of the quorum has to be held.
const isOver = ({ request }: Operation, state: FenceState): boolean =>
  !faultOf(request).losesQuorum && state._tag === "Lifted" && state.by !== "Worker"

type Armed = Result.Result<typeof FenceState.cases.Armed.Type, InjectorError>

/** One order on its way to its hosts. */
interface Sending {
  readonly operation: Operation
  readonly order: Order
  readonly ordered: Ordered
  /** The last moment at which a fence may begin, on the monotonic clock. */
  readonly startBy: Millis
}

// A host that stands ready hears one go for all its fences. Every other fence is ordered in one step. The answers are
// in the order's own order.
const armAll = (session: Session, sending: Sending): Effect.Effect<ReadonlyArray<Armed>> =>
  Effect.gen(function* () {
    const { operation, order } = sending
    const gone = new Map<Group, Effect.Effect<ReadonlyMap<string, Armed>>>()
    for (const fence of order.fences) {
      const group = session.preparing.groupOf(operation.attempt, fence)
      if (group !== null && !gone.has(group)) {
        gone.set(group, yield* Effect.cached(goGroup(session, sending, group)))
      }
    }
    return yield* Effect.forEach(
      order.fences,
      (fence) => {
        const group = session.preparing.groupOf(operation.attempt, fence)
        const answers = group === null ? undefined : gone.get(group)
        return answers === undefined
          ? armOne(session, sending, fence)
          : Effect.map(answers, (of) => of.get(fence.member) ?? Result.fail(noInjector(fence)))
      },
      { concurrency: "unbounded" }
    )
  })

const goGroup = (
  session: Session,
  { order, ordered, startBy }: Sending,
  { fences, prepared }: Group
): Effect.Effect<ReadonlyMap<string, Armed>> =>
  Effect.gen(function* () {
    const ready = yield* Deferred.await(prepared)
    const same = (error: InjectorError): ReadonlyMap<string, Armed> =>
      new Map(fences.map(({ member }): [string, Armed] => [member, Result.fail(error)]))
    if (Result.isFailure(ready)) return same(ready.failure)
    const deadline = session.timeline.toWall(order.deadline)
    const said = yield* Effect.result(
      bounded(
        fences[0]!,
        ready.success.go({ epoch: session.epoch, deadline, startByMonotonic: startBy }),
        armingWithin(ordered.verifyWithin)
      )
    )
    const answers = yield* Effect.forEach(
      fences,
      (fence, index) =>
        Effect.result(
          recalled(
            session,
            order,
            fence,
            Result.isFailure(said) ? Result.fail(said.failure) : (said.success[index] ?? Result.fail(noInjector(fence)))
          )
        ),
      { concurrency: "unbounded" }
    )
    return new Map(fences.map(({ member }, index) => [member, answers[index]!] as const))
  })

// The answer may be lost. Then the host's record tells whether the fence stands.
const recalled = (
  session: Session,
  order: Order,
  fence: PlannedFence,
  answer: Armed
): Effect.Effect<typeof FenceState.cases.Armed.Type, InjectorError> =>
  Result.isSuccess(answer)
    ? Effect.succeed(answer.success)
    : answer.failure.reason !== "Unknown"
      ? Effect.fail(answer.failure)
      : Effect.filterOrFail(
          inspect(session, order, fence),
          (state) => state?._tag === "Armed" && !state.broken,
          () => answer.failure
        ).pipe(Effect.map((state) => state as typeof FenceState.cases.Armed.Type))

const armOne = (
  session: Session,
  { operation, order, ordered, startBy }: Sending,
  fence: PlannedFence
): Effect.Effect<Armed> => {
  const { epoch, timeline } = session
  const injector = injectorOf(session, fence)
  if (injector === null) return Effect.succeed(Result.fail(noInjector(fence)))
  const armed = bounded(
    fence,
    injector.arm({
      fence: fenceId(operation, order, fence),
      process: fence.process,
      epoch,
      deadline: timeline.toWall(order.deadline),
      startByMonotonic: startBy,
      ...(fence.named === undefined ? {} : { member: fence.named })
    }),
    armingWithin(ordered.verifyWithin)
  )
  return Effect.result(Effect.flatMap(Effect.result(armed), (answer) => recalled(session, order, fence, answer)))
}

/** For how long in all an order is made anew that could not begin in its time. No such try is counted as an attempt. */
const waitAtMost: Millis = 30_000
const waitEvery: Millis = 100

// The time of an order runs from when it was made. A store that takes long to store it, and a worker that waits for its
// turn, use that time up. Then the fences would end before a loss could be judged, so the order is not sent.
const isSpent = ({ timeline }: Session, { operation, order, ordered }: Sending): boolean =>
  timeline.now() >= (faultOf(operation.request).losesQuorum ? order.armedAt + ordered.verifyWithin / 2 : order.deadline)

const lateEverywhere = (problems: ReadonlyArray<readonly [PlannedFence, InjectorError]>, order: Order): boolean =>
  problems.length === order.fences.length && problems.every(([, { reason }]) => reason === "Late")

const lateText = (problems: ReadonlyArray<readonly [PlannedFence, InjectorError]>): string => {
  const late = problems.map(([{ member, process }, { detail }]) => `${member} on host ${process.host}: ${detail}`)
  return `Waits for hosts that are slow to begin, ${formatMillis(waitAtMost)} at most: ${late.join("; ")}`
}

// Nothing was touched anywhere, so this was no attempt. The order is stored anew, with its deadline reckoned from now,
// and is then given with another start-by. It has as much more time as the one before was seen to need.
const orderAgain = (session: Session, { operation, order, ordered }: Sending, since: Millis, text: string): Outcome => {
  const spent = session.timeline.now() - order.armedAt
  const verifyWithin = Math.max(ordered.verifyWithin, verifyBudgetOn(spent))
  session.learn({ fences: { ...ordered, verifyWithin, waitingSince: since } })
  const outcome = ordering(session, operation, order.fences, verifyWithin)
  return { ...outcome, facts: [{ _tag: "Noted", text }, ...outcome.facts] }
}
