/**
 * The forward actions: look up, arm, verify, hold, lift, recover. Each does one phase of the stored operation and says
 * what happened; none stores a move itself. Each may be begun again by another worker, and then begins by looking.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Fact, ProbeSample, SurvivorsWord } from "@inquorate/core/Evidence"
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { FenceState, InjectorError } from "@inquorate/core/Injector"
import { type Operation, type Order, type Phase, verifyBudget } from "@inquorate/core/Operation"
import type { StoreError } from "@inquorate/core/OperationStore"
import { describeRefusal, overrideOf, type PlannedFence, Refusal, refusalCode } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import type { Instant, Millis } from "@inquorate/core/Time"
import { health, type Topology } from "@inquorate/core/Topology"
import { judgeHold, judgeLoss, judgeRecovery, survivorsWordFrom } from "@inquorate/core/Verdict"
import { holdFacts, liftAll, liftFacts, type Off, writeUntilAcknowledged } from "./Lifting.ts"
import { crowdRefusals } from "./Guards.ts"
import {
  discover,
  discoverGroup,
  findCluster,
  GuardRefused,
  notSteady,
  overrides,
  planCut,
  refuseBusy,
  Unreachable
} from "./LookUp.ts"
import type { Prober } from "./Prober.ts"
import { bounded, closeGap, fenceId, inspect, inspectAll, keepWatching, type Outcome, type Session } from "./Session.ts"

/** The failure of a step, with the sentence that says why. */
export const failed = (
  session: Session,
  error: FabricErrorCode,
  retryable: boolean,
  text: string,
  facts: ReadonlyArray<Fact> = []
): Outcome => ({
  event: { _tag: "StepFailed", at: session.timeline.now(), error, retryable },
  facts: [...facts, { _tag: "Noted", text }]
})

/** The outcome of a refusal: the operation ends as Faulted with the refusal's own code and a record of it. */
export const refusedBy = (session: Session, refusal: Refusal, facts: ReadonlyArray<Fact> = []): Outcome =>
  failed(session, refusalCode(refusal), false, describeRefusal(refusal), [...facts, { _tag: "Refused", refusal }])

/** Looks the group up, asks every guard, and orders the fences of the smallest cut. */
export const lookUp = (session: Session, operation: Operation): Effect.Effect<Outcome, StoreError> =>
  Effect.gen(function* () {
    const { ground, journal, prober, timeline } = session
    const { id, request } = operation
    // Before the group is looked at too: what is seen while another operation holds it would be told as its own trouble.
    if (findCluster(ground.clusters, request) !== undefined) {
      yield* refuseBusy(ground.store, id, request, { queuedCount: false })
    }
    const { cluster, topology } = yield* discoverGroup(ground.clusters, request)
    session.topology = topology
    journal.note({ _tag: "TopologySeen", topology })
    yield* refuseBusy(ground.store, id, request, { queuedCount: false })
    const asked = { id, request, receivedAt: operation.receivedAt }
    const plan = yield* planCut(ground, { cluster, topology }, asked, { queuedCount: false })
    journal.note({ _tag: "Planned", plan })
    if (prober !== null) yield* steady(prober, topology, cluster.target.recoveryWriteTimeout)
    yield* refuseBusy(ground.store, id, request, { queuedCount: false })
    for (const refusal of yield* crowdRefusals(ground.guards, ground.store, asked, plan.fences, {
      queuedCount: false
    })) {
      const override = overrideOf(refusal)
      if (override === undefined || !overrides(request, override)) return refusedBy(session, refusal)
    }
    const at = timeline.now()
    session.orderedAttempt = operation.attempt
    session.confirmed = null
    session.liftSentAt = null
    session.lossBegan = null
    session.liftedAt = null
    session.survivors.length = 0
    const deadline = at + verifyBudget + request.hold
    const facts = plan.fences.map(({ grade, member, process }): Fact => ({
      _tag: "FenceOrdered",
      member,
      host: process.host,
      grade,
      epoch: session.epoch,
      deadline
    }))
    return { event: { _tag: "FencesOrdered", at, fences: plan.fences }, facts } satisfies Outcome
  }).pipe(
    Effect.catchTags({
      GuardRefused: ({ refusal }) => Effect.succeed(refusedBy(session, refusal)),
      Unreachable: ({ detail, retryable }) =>
        Effect.succeed(failed(session, "FABRIC_E_COMMUNICATION_ERROR", retryable, detail))
    })
  )

/** A write that is acknowledged now, or the refusal of a group that takes none. */
export const steady = (
  prober: Pick<Prober, "open" | "endpoints" | "once">,
  topology: Topology,
  timeout: Millis
): Effect.Effect<void, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    yield* prober.open
    let last = "no endpoint to write to"
    for (let endpoint = 0; endpoint < prober.endpoints(); endpoint++) {
      const { outcome } = yield* prober.once(endpoint, timeout)
      if (outcome?._tag === "Acknowledged") return
      if (outcome !== null) last = outcome.detail
    }
    return yield* notSteady(topology, last)
  }).pipe(
    Effect.catchTag("TargetError", ({ detail, reason }) =>
      Effect.fail(new Unreachable({ detail, retryable: reason === "Unreachable" || reason === "TimedOut" }))
    )
  )

/** Arms every fence of the order, or looks how an earlier owner's fences stand. */
export const arm = (session: Session, operation: Operation, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { prober, timeline } = session
    const fresh = session.orderedAttempt === operation.attempt
    session.orderedAttempt = null
    // The probe writes before the first fence bites, so that the first write that is lost is seen to be lost.
    if (prober !== null) yield* Effect.ignore(prober.watch)
    if (!fresh) return yield* confirmArmed(session, operation, order)
    const startBy = yield* session.ground.lease.permit
    const answers = yield* Effect.forEach(order.fences, (fence) => armOne(session, operation, order, fence, startBy), {
      concurrency: "unbounded"
    })
    const facts: Array<Fact> = []
    const problems: Array<readonly [PlannedFence, InjectorError]> = []
    answers.forEach((answer, index) => {
      const fence = order.fences[index]!
      if (Result.isFailure(answer)) problems.push([fence, answer.failure])
      else facts.push(armedFact(fence.member, answer.success))
    })
    if (problems.length > 0) return yield* armFailed(session, problems, facts)
    const at = timeline.now()
    session.confirmed = { attempt: operation.attempt, at }
    return { event: { _tag: "FencesArmed", at }, facts }
  })

/** Judges from writes whether the quorum is gone, until it is proven or the budget for it is over. */
export const verify = (session: Session, operation: Operation, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { journal, prober, timeline } = session
    if (prober === null) return unwatchable(session)
    if (session.confirmed?.attempt !== operation.attempt) {
      const looked = yield* confirmArmed(session, operation, order)
      if (looked.event._tag === "StepFailed") return looked
    }
    const armedAt = session.confirmed?.at ?? timeline.now()
    yield* Effect.forkChild(keepWatching(session))
    while (true) {
      const now = timeline.now()
      const judgement = judgeLoss({
        samples: prober.samples(),
        armedAt,
        independentFact: independentFact(session.topology, order),
        now,
        budgetEnds: order.armedAt + verifyBudget
      })
      if (judgement._tag === "LossConfirmed") {
        prober.noteUnanswered()
        session.lossBegan = judgement.lossBegan
        const facts: ReadonlyArray<Fact> = [{ _tag: "Judged", verdict: judgement.verdict }]
        return { event: { _tag: "LossProven", at: now, lossBegan: judgement.lossBegan }, facts }
      }
      if (judgement._tag === "LossDenied") {
        const { verdict } = judgement
        journal.note({ _tag: "Judged", verdict })
        return failed(
          session,
          "E_ABORT",
          verdict.outcome === "Inconclusive",
          `The loss was not proven: ${verdict.facts.join("; ")}`
        )
      }
      yield* Effect.sleep(judgeEvery)
    }
  })

/** Holds until the asked time is over, and lifts early for nothing but a write that was acknowledged or a broken fence. */
export const hold = (
  session: Session,
  operation: Operation,
  order: Order,
  phase: typeof Phase.cases.Holding.Type
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { cluster, prober, timeline } = session
    if (prober === null || cluster === null) return unwatchable(session)
    session.lossBegan = phase.lossBegan
    const { presence } = session.ground
    const judge = (): Outcome => {
      presence.beat()
      return judgeWholeHold(
        session,
        prober,
        somebodySpeaks(cluster.target, session.topology, order),
        operation,
        order,
        phase
      )
    }
    const watched = Effect.all(
      [keepWatching(session), listen(session, order, phase), tightenAll(session, operation, order)],
      {
        concurrency: "unbounded",
        discard: true
      }
    ).pipe(Effect.andThen(Effect.never))
    const over = Effect.map(timeline.sleepUntil(phase.liftAt), judge)
    const acknowledged = Effect.map(prober.acknowledged(phase.lossBegan), (sample) => {
      session.journal.sample(sample)
      return judge()
    })
    const taken =
      session.confirmed?.attempt === operation.attempt
        ? Effect.never
        : lookAtTakenHold(session, operation, order, judge)
    return yield* presence.during(
      (span) => noticeFreeze(session, span),
      Effect.raceAllFirst([watched, over, acknowledged, taken])
    )
  })

/** Takes every fence off and checks by the hosts' own records that they stood for the asked time. */
export const lift = (
  session: Session,
  operation: Operation,
  order: Order,
  phase: typeof Phase.cases.Lifting.Type
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    closeGap(session)
    session.lossBegan = phase.lossBegan
    const lifted = yield* liftAll(session, order, { patient: false })
    const facts = [...liftFacts(order, lifted), ...holdFacts(session)]
    if (lifted._tag === "Expired") {
      return failed(
        session,
        "FABRIC_E_COMMUNICATION_ERROR",
        false,
        "No host could say that every fence is off; each has ended by itself at its deadline",
        facts
      )
    }
    const short = lifted.off.find((off) => stoodShort(off, phase.lossBegan + operation.request.hold))
    if (short !== undefined) return brokenHold(session, short.fence.member, shortReason(short), facts)
    return { event: { _tag: "FencesLifted", at: session.liftedAt ?? session.timeline.now() }, facts }
  })

/** Proves the recovery: a write sent after the lift, every voter back, one leader, nothing of ours left. */
export const recover = (
  session: Session,
  order: Order,
  phase: typeof Phase.cases.Recovering.Type
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { cluster, timeline } = session
    if (cluster === null) return unwatchable(session)
    let acknowledged: ProbeSample | null = null
    let standing: { readonly healthy: boolean; readonly words: string } = {
      healthy: false,
      words: "the group was not seen"
    }
    let clean = false
    const proof = Effect.gen(function* () {
      const sample = yield* writeUntilAcknowledged(session, phase.liftedAt)
      acknowledged = sample
      while (true) {
        standing = yield* lookAtHealth(session)
        if (standing.healthy) clean = yield* allOff(session, order)
        if (standing.healthy && clean) return
        yield* Effect.sleep(healthEvery)
      }
    })
    // A keeper may have lifted long before anybody of ours came back: the budget runs from when we could first look.
    const budgetEnds = Math.max(phase.liftedAt, session.began) + cluster.target.recoveryBudget
    yield* Effect.raceFirst(proof, timeline.sleepUntil(budgetEnds))
    const sample = acknowledged as ProbeSample | null
    const verdict = judgeRecovery({
      acknowledged: sample,
      liftedAt: phase.liftedAt,
      healthy: standing.healthy,
      health: standing.words,
      clean
    })
    const facts: Array<Fact> = [{ _tag: "Judged", verdict }]
    if (sample?.endedAt != null) {
      facts.unshift({ _tag: "RecoveryMeasured", recovery: Math.max(0, sample.endedAt - phase.liftedAt) })
    }
    if (verdict.outcome === "Confirmed") return { event: { _tag: "RecoveryProven", at: timeline.now() }, facts }
    return failed(session, "FABRIC_E_TIMEOUT", false, `The recovery was not proven: ${verdict.facts.join("; ")}`, facts)
  })

// --- internal ---

const armedFact = (member: string, { grade, processes }: typeof FenceState.cases.Armed.Type): Fact => ({
  _tag: "FenceArmed",
  member,
  processes,
  ...(grade === undefined ? {} : { grade })
})

const judgeEvery = 10
const healthEvery = 100
const survivorsEvery = 500
const lookEvery = 500
/** How long a hold asks the survivors so often, how often it asks them after that, and how long before the lift again so. */
const listenClosely: Millis = 10_000
const survivorsSeldom: Millis = 5000
const listenBeforeLift: Millis = 2000
/** How long a drive must have been there for the survivors' silence to count: one question and its bound. */
const timeToAsk = 1500
/** How much shorter than asked a fence may have stood by its host's record: the promise for a measured hold. */
const holdTolerance: Millis = 100

const armOne = (
  session: Session,
  operation: Operation,
  order: Order,
  fence: PlannedFence,
  startByMonotonic: Millis
): Effect.Effect<Result.Result<typeof FenceState.cases.Armed.Type, InjectorError>> => {
  const { cluster, epoch, timeline } = session
  const armed = bounded(
    fence,
    cluster!.injector.arm({
      fence: fenceId(operation, fence),
      process: fence.process,
      epoch,
      deadline: timeline.toWall(order.deadline),
      startByMonotonic
    })
  )
  return Effect.result(
    Effect.catchTag(armed, "InjectorError", (problem) =>
      problem.reason !== "Unknown"
        ? Effect.fail(problem)
        : // The answer was lost: the host's record tells whether the fence stands.
          Effect.filterOrFail(
            inspect(session, fence),
            (state) => state?._tag === "Armed" && !state.broken,
            () => problem
          ).pipe(Effect.map((state) => state as typeof FenceState.cases.Armed.Type))
    )
  )
}

const armFailed = (
  session: Session,
  problems: ReadonlyArray<readonly [PlannedFence, InjectorError]>,
  facts: ReadonlyArray<Fact>
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const text = problems
      .map(([{ member }, { detail, reason }]) => `${member} was not fenced (${reason}): ${detail}`)
      .join("; ")
    // A host refuses late, repeated and mistaken orders alike; only a process that is not the server makes another try vain.
    for (const [fence, { reason }] of problems) {
      if (reason !== "OrderRefused" || session.cluster === null) continue
      const said = yield* Effect.option(session.cluster.injector.preflight(fence.process, fence.member))
      if (said._tag === "Some" && said.value._tag === "Mistaken") {
        const refusal = Refusal.cases.NotTheServer.make({ member: fence.member, problem: said.value.problem })
        return refusedBy(session, refusal, [...facts, { _tag: "Noted", text }])
      }
    }
    const unreachable = problems.some(([, { reason }]) => reason === "Unreachable" || reason === "Unknown")
    return failed(session, unreachable ? "FABRIC_E_COMMUNICATION_ERROR" : "E_ABORT", true, text, facts)
  })

// Never arms: an earlier owner's order may have been carried out, and only the hosts know.
const confirmArmed = (session: Session, operation: Operation, order: Order): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const looked = yield* inspectAll(session, order)
    const facts: Array<Fact> = []
    for (const [{ member }, state] of looked) {
      if (state?._tag !== "Armed" || state.broken) {
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
    const at = session.timeline.now()
    session.confirmed = { attempt: operation.attempt, at }
    return { event: { _tag: "FencesArmed", at }, facts }
  })

const independentFact = (topology: Topology | null, order: Order): string | null => {
  if (topology === null) return null
  const fenced = new Set(order.fences.map(({ member }) => member))
  const left = topology.members.filter(({ counts, name, up }) => counts && up && !fenced.has(name)).length
  if (left >= topology.needed) return null
  const { length } = order.fences
  return `${length} of ${length} fenced members are out by their hosts' own check; ${left} of ${topology.needed} needed can answer`
}

// What an earlier owner left: fences that stand are watched on; what ended early or broke ends the hold; a host that
// does not answer is asked again, and the lift reads its record at the latest.
const lookAtTakenHold = (
  session: Session,
  operation: Operation,
  order: Order,
  judge: () => Outcome
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    while (true) {
      const looked = yield* inspectAll(session, order)
      for (const [{ member }, state] of looked) {
        if (state === null || (state._tag === "Armed" && !state.broken)) continue
        if (state._tag === "Lifted") continue
        const found =
          state._tag === "Armed" ? "its processes were seen running" : `its host's record says ${state._tag}`
        return brokenHold(session, member, found, [])
      }
      // One that is off already is judged by the lift, which knows the host's time: nothing is left to wait for.
      if (looked.some(([, state]) => state?._tag === "Lifted")) return judge()
      if (looked.every(([, state]) => state !== null)) {
        session.confirmed = { attempt: operation.attempt, at: session.timeline.now() }
        return yield* Effect.never
      }
      yield* Effect.sleep(lookEvery)
    }
  })

// A cut of every replica leaves nobody who could say that the quorum is gone; then the writes and the hosts must do.
const somebodySpeaks = (target: Target, topology: Topology | null, order: Order): boolean => {
  if (!target.survivorsSpeak) return false
  if (topology === null) return true
  const canSpeak = target.canSpeak ?? (({ counts }) => counts)
  const cut = new Set(order.fences.map(({ member }) => member))
  return topology.members.some((member) => member.up && !cut.has(member.name) && canSpeak(member))
}

const judgeWholeHold = (
  session: Session,
  prober: Prober,
  mayAsk: boolean,
  operation: Operation,
  order: Order,
  { lossBegan }: typeof Phase.cases.Holding.Type
): Outcome => {
  closeGap(session)
  prober.noteUnanswered()
  const at = session.timeline.now()
  const verdict = judgeHold({
    samples: withStored(session, prober, lossBegan),
    survivors: session.survivors,
    // Where nobody of ours was there to ask, the hosts' own record stands in for the survivors' word.
    speakAfter: session.cluster?.target.survivorsSpeakAfter ?? survivorsWordFrom,
    mayAsk: mayAsk && (session.survivors.length > 0 || at - session.began - session.frozen >= timeToAsk),
    lossBegan,
    // No lift was sent yet, so an acknowledgement of this very millisecond still fell into the hold. Past the deadline
    // the fences are off by themselves, and an answer that a frozen worker finds then says nothing of the hold.
    liftedAt: Math.min(at + 1, order.deadline),
    asked: operation.request.hold,
    unobserved: session.unobserved
  })
  const facts: ReadonlyArray<Fact> = [{ _tag: "Judged", verdict }]
  return verdict.outcome === "Confirmed"
    ? { event: { _tag: "HoldEnded", at }, facts }
    : failed(
        session,
        "E_ABORT",
        verdict.outcome === "Inconclusive",
        `The hold was not proven: ${verdict.facts.join("; ")}`,
        facts
      )
}

// The write that fixed t0 was seen by whoever stored the loss, whether or not that was this drive.
const withStored = (session: Session, prober: Prober, lossBegan: Instant): ReadonlyArray<ProbeSample> => {
  const own = prober.samples()
  if (own.some(({ sentAt }) => sentAt <= lossBegan)) return own
  const first: ProbeSample = { sequence: 0, endpoint: "", sentAt: lossBegan, endedAt: null, outcome: null }
  return session.began > lossBegan ? [first, ...own] : own
}

const noticeFreeze = (session: Session, span: Millis): void => {
  session.frozen += span
  session.unwatchedSince ??= session.timeline.now() - span
  closeGap(session)
}

// docs/decisions/0009. Closely at first, until they say that the quorum is lost, and before the lift, so that the hold is
// judged by a fresh word; in the middle of a long hold seldom, for every question is work for the worker and the system.
const nextQuestion = (now: Instant, began: Instant, last: SurvivorsWord | undefined, liftAt: Instant): Instant =>
  now - began < listenClosely || last?.word !== "QuorumLost" || now >= liftAt - listenBeforeLift
    ? now + survivorsEvery
    : Math.max(now + survivorsEvery, Math.min(now + survivorsSeldom, liftAt - listenBeforeLift))

const listen = (session: Session, order: Order, { liftAt }: typeof Phase.cases.Holding.Type): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster, journal, prober, timeline } = session
    if (prober === null || cluster?.target.survivorsSpeak !== true) return
    const began = timeline.now()
    while (true) {
      const word = yield* Effect.option(prober.survivors)
      // Past the deadline the fences are off by themselves: what is heard then says nothing of the hold.
      if (timeline.now() >= order.deadline) return
      if (word._tag === "Some") {
        const last = session.survivors.at(-1)
        session.survivors.push(word.value)
        // What they say is stored when it changes, and what they are asked again and again is one word.
        if (last?.word !== word.value.word) journal.note({ _tag: "Heard", survivors: word.value })
        else session.survivors.splice(-2, 1)
      }
      const said = word._tag === "Some" ? word.value : undefined
      yield* timeline.sleepUntil(nextQuestion(timeline.now(), began, said, liftAt))
    }
  })

const tightenAll = (session: Session, operation: Operation, order: Order): Effect.Effect<void> =>
  Effect.forEach(order.fences, (fence) => tightenOne(session, operation, order, fence), {
    concurrency: "unbounded",
    discard: true
  })

const tightenOne = (session: Session, operation: Operation, order: Order, fence: PlannedFence): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster, epoch, journal, timeline } = session
    if (cluster === null) return
    while (true) {
      yield* session.ground.lease.permit
      const state = yield* Effect.result(
        bounded(
          fence,
          cluster.injector.tighten(
            fence.process.host,
            fenceId(operation, fence),
            epoch,
            timeline.toWall(order.deadline)
          )
        )
      )
      if (Result.isSuccess(state)) {
        return journal.note({ _tag: "FenceTightened", member: fence.member, deadline: order.deadline })
      }
      // Refused means that it ends no later already.
      if (state.failure.reason === "OrderRefused") return
      yield* Effect.sleep(lookEvery)
    }
  })

const unwatchable = (session: Session): Outcome =>
  failed(session, "FABRIC_E_COMMUNICATION_ERROR", false, "The cluster is not configured any more")

const stoodShort = ({ broken, offAt }: Off, askedEnd: Instant): boolean => broken || offAt < askedEnd - holdTolerance

const shortReason = ({ broken, by }: Off): string =>
  broken
    ? "its processes were seen running while it stood"
    : `it was ended by the ${by.toLowerCase()} before the asked time was over`

const brokenHold = (session: Session, member: string, reason: string, facts: ReadonlyArray<Fact>): Outcome => {
  const said = `the fence on ${member} did not hold: ${reason}`
  closeGap(session)
  const verdict = { about: "Hold", outcome: "Inconclusive", facts: [said] } as const
  return failed(session, "E_ABORT", false, `The hold was not proven: ${said}`, [...facts, { _tag: "Judged", verdict }])
}

const lookAtHealth = (session: Session): Effect.Effect<{ readonly healthy: boolean; readonly words: string }> =>
  Effect.gen(function* () {
    const { cluster, journal } = session
    const { partitionId } = journal.stored().operation.request
    const seen = yield* Effect.option(discover(cluster!.target))
    const topology = seen._tag === "Some" ? seen.value.find((group) => group.partitionId === partitionId) : undefined
    if (topology === undefined) return { healthy: false, words: "the group could not be seen" }
    const leaders = topology.members.filter(({ role, up }) => role === "Primary" && up).length
    const voters = topology.members.filter(({ role }) => role !== "IdleSecondary")
    const words = `${voters.filter(({ up }) => up).length} of ${voters.length} voters up, ${leaders} leader${leaders === 1 ? "" : "s"}`
    // A group that was broken while degraded is back when everybody is back who was there.
    const before = overrides(journal.stored().operation.request, "degraded") ? session.topology : null
    const back =
      before === null
        ? health(topology) === "Healthy"
        : health(topology) !== "Lost" &&
          before.members.every(({ name, up }) => !up || topology.members.some((now) => now.name === name && now.up))
    return { healthy: back && leaders === 1, words }
  })

const allOff = (session: Session, order: Order): Effect.Effect<boolean> =>
  Effect.map(inspectAll(session, order), (looked) => looked.every(([, state]) => state?._tag === "Lifted"))
