/**
 * Verify and hold, the forward actions of a loss of the quorum once it is armed; and the lift of every fault. Each
 * carries out one phase of the stored operation and says what happened. None stores a move itself. Another worker may
 * begin any of them again, and then begins by looking.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { Fact, ProbeSample, SurvivorsWord } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { type Operation, type Order, type Phase, provenBy } from "@inquorate/core/Operation"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import { judgeHold, judgeLoss, survivorsWordFrom } from "@inquorate/core/Verdict"
import { lookArmed } from "./Arming.ts"
import { bounded, fenceId, injectorOf, inspectAll } from "./Hosts.ts"
import type { Place } from "./Known.ts"
import { holdFacts, liftAll, liftFacts, type Off } from "./Lifting.ts"
import { failed } from "./Outcomes.ts"
import type { Prober } from "./Prober.ts"
import { keepWatching, type Outcome, type Session } from "./Session.ts"

/** Judges from writes whether the quorum is gone, until it is proven or the budget for it is over. */
export const verify = (session: Session, operation: Operation, order: Order, place: Place): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { attendance, known, timeline } = session
    const looked = known.fences._tag === "Armed" ? null : yield* lookArmed(session, operation, order)
    if (looked?.event._tag === "StepFailed") return looked
    const armedAt = known.fences._tag === "Armed" ? known.fences.at : (looked?.event.at ?? timeline.now())
    return yield* Effect.acquireUseRelease(
      Effect.forkChild(keepWatching(place.prober, attendance), { startImmediately: true }),
      () => judgeUntilKnown(session, operation, order, place, armedAt),
      Fiber.interrupt
    )
  })

/** Holds until the asked time is over. Only a write that was acknowledged, or a broken fence, makes it lift early. */
export const hold = (
  session: Session,
  operation: Operation,
  order: Order,
  phase: typeof Phase.cases.Holding.Type,
  place: Place
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { attendance, ground, timeline } = session
    const { prober } = place
    const holding: Holding = { operation, order, phase, place, survivors: [...session.known.survivors] }
    const judge = (): Outcome => {
      ground.presence.beat()
      return judgeWholeHold(session, holding)
    }
    const isHere = session.known.fences._tag === "Armed"
    // Nothing was to be held, and whoever proved the loss is here: it is over with the proof.
    if (isHere && faultOf(operation.request).duration === 0 && phase.liftAt <= timeline.now()) return judge()
    const watched = Effect.all(
      [keepWatching(prober, attendance), listen(session, holding), tightenAll(session, operation, order)],
      { concurrency: "unbounded", discard: true }
    ).pipe(Effect.andThen(Effect.never))
    const over = Effect.map(timeline.sleepUntil(phase.liftAt), judge)
    const acknowledged = Effect.map(prober.acknowledged(phase.lossBegan), (sample) => {
      session.journal.sample(sample)
      return judge()
    })
    const taken = isHere ? Effect.never : lookAtTakenHold(session, order, judge)
    return yield* ground.presence.during(attendance.wasAway, Effect.raceAllFirst([watched, over, acknowledged, taken]))
  })

/** Takes every fence off and checks by the hosts' own records that they stood for the asked time. */
export const lift = (
  session: Session,
  operation: Operation,
  order: Order,
  phase: typeof Phase.cases.Lifting.Type
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    session.attendance.resume()
    const lifted = yield* liftAll(session, order, { patient: false })
    if (lifted._tag === "Expired") {
      return failed(
        session,
        "FABRIC_E_COMMUNICATION_ERROR",
        false,
        "Not every host has said that its fences are off, though their deadline and grace are over; each is asked until it does",
        liftFacts(order, lifted)
      )
    }
    const facts = [...liftFacts(order, lifted), ...holdFacts(session, lifted.liftedAt)]
    // The other kinds hold nothing: a restarted member that was seen running early is back early.
    const { duration, losesQuorum } = faultOf(operation.request)
    const short = losesQuorum ? lifted.off.find((off) => stoodShort(off, phase.lossBegan + duration)) : undefined
    if (short !== undefined) return brokenHold(session, short.fence.member, shortReason(short), facts)
    return { event: { _tag: "FencesLifted", at: lifted.liftedAt }, facts }
  })

// --- internal ---

/** One hold as this drive watches it. */
interface Holding {
  readonly operation: Operation
  readonly order: Order
  readonly phase: typeof Phase.cases.Holding.Type
  readonly place: Place
  /** What the survivors have said, one word for each change. */
  readonly survivors: Array<SurvivorsWord>
}

const survivorsEvery = 500
const lookEvery = 500
/**
 * How long a hold asks the survivors every half second, how often it asks them after that, and how long before the lift
 * it asks them closely again.
 */
const listenClosely: Millis = 10_000
const survivorsSeldom: Millis = 5000
const listenBeforeLift: Millis = 2000
/**
 * How long a drive must have been there for the survivors' silence to count: long enough for one question and its
 * bound.
 */
const timeToAsk = 1500
/** How much shorter than asked a fence may have stood by its host's record. This is the promise for a measured hold. */
const holdTolerance: Millis = 100

const judgeUntilKnown = (
  session: Session,
  operation: Operation,
  order: Order,
  { prober, topology }: Place,
  armedAt: Instant
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { journal, timeline } = session
    while (true) {
      const now = timeline.now()
      const judgement = judgeLoss({
        samples: prober.samples(),
        armedAt,
        independentFact: independentFact(topology, order),
        now,
        budgetEnds: provenBy(operation, order),
        deadline: order.deadline
      })
      if (judgement._tag === "LossConfirmed") {
        prober.noteUnanswered()
        session.learn({ lossBegan: judgement.lossBegan })
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
      yield* timeline.sleepUntil(judgement.until)
    }
  })

const independentFact = (topology: Topology | null, order: Order): string | null => {
  if (topology === null) return null
  const fenced = new Set(order.fences.map(({ member }) => member))
  const left = topology.members.filter(({ counts, name, up }) => counts && up && !fenced.has(name)).length
  if (left >= topology.needed) return null
  const { length } = order.fences
  return `${length} of ${length} fenced members are out by their hosts' own check; ${left} of ${topology.needed} needed can answer`
}

// Looks at the fences that an earlier owner left. Those that stand are watched on. One that ended early or broke ends
// the hold. A host that does not answer is asked again, and the lift reads its record at the latest.
const lookAtTakenHold = (session: Session, order: Order, judge: () => Outcome): Effect.Effect<Outcome> =>
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
      // A fence that is off already is judged by the lift, which knows the host's time. There is nothing left to wait
      // for.
      if (looked.some(([, state]) => state?._tag === "Lifted")) return judge()
      if (looked.every(([, state]) => state !== null)) {
        session.learn({ fences: { _tag: "Armed", at: session.timeline.now() } })
        return yield* Effect.never
      }
      yield* Effect.sleep(lookEvery)
    }
  })

// After a cut of every replica nobody is left who could say that the quorum is gone. Then the writes and the hosts must
// do.
const somebodySpeaks = (target: Target, topology: Topology | null, order: Order): boolean => {
  if (!target.survivorsSpeak) return false
  if (topology === null) return true
  const canSpeak = target.canSpeak ?? (({ counts }) => counts)
  const cut = new Set(order.fences.map(({ member }) => member))
  return topology.members.some((member) => member.up && !cut.has(member.name) && canSpeak(member))
}

const judgeWholeHold = (session: Session, { operation, order, phase, place, survivors }: Holding): Outcome => {
  const { attendance, began, timeline } = session
  const { cluster, prober, topology } = place
  attendance.resume()
  prober.noteUnanswered()
  const at = timeline.now()
  const mayAsk =
    somebodySpeaks(cluster.target, topology, order) &&
    (survivors.length > 0 || at - began - attendance.frozen() >= timeToAsk)
  const verdict = judgeHold({
    samples: withStored(session, prober, phase.lossBegan),
    survivors,
    speakAfter: cluster.target.survivorsSpeakAfter ?? survivorsWordFrom,
    // Where nobody of ours was there to ask, the hosts' own record stands in for the survivors' word.
    mayAsk,
    lossBegan: phase.lossBegan,
    // No lift was sent yet, so an acknowledgement of this very millisecond still fell into the hold. Past the deadline
    // the fences are off by themselves, and an answer that a frozen worker finds then says nothing of the hold.
    liftedAt: Math.min(at + 1, order.deadline),
    asked: faultOf(operation.request).duration,
    unobserved: attendance.unobserved()
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

// Whoever stored the loss saw the write that fixed t0. That may have been another drive.
const withStored = (session: Session, prober: Prober, lossBegan: Instant): ReadonlyArray<ProbeSample> => {
  const own = prober.samples()
  if (own.some(({ sentAt }) => sentAt <= lossBegan)) return own
  const first: ProbeSample = { sequence: 0, endpoint: "", sentAt: lossBegan, endedAt: null, outcome: null }
  return session.began > lossBegan ? [first, ...own] : own
}

// docs/decisions/0009. The survivors are asked closely at first, until they say that the quorum is lost, and again
// before the lift, so that a fresh word judges the hold. In the middle of a long hold they are asked seldom: every
// question is work for the worker and for the system.
const nextQuestion = (now: Instant, began: Instant, last: SurvivorsWord | undefined, liftAt: Instant): Instant =>
  now - began < listenClosely || last?.word !== "QuorumLost" || now >= liftAt - listenBeforeLift
    ? now + survivorsEvery
    : Math.max(now + survivorsEvery, Math.min(now + survivorsSeldom, liftAt - listenBeforeLift))

const listen = ({ journal, timeline }: Session, { order, phase, place, survivors }: Holding): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster, prober } = place
    if (!cluster.target.survivorsSpeak) return
    const began = timeline.now()
    while (true) {
      const word = yield* Effect.option(prober.survivors)
      // Past the deadline the fences are off by themselves. A word that is heard then says nothing of the hold.
      if (timeline.now() >= order.deadline) return
      if (word._tag === "Some") {
        const last = survivors.at(-1)
        survivors.push(word.value)
        // What they say is stored when it changes. The same word said again and again counts as one.
        if (last?.word !== word.value.word) journal.note({ _tag: "Heard", survivors: word.value })
        else survivors.splice(-2, 1)
      }
      const said = word._tag === "Some" ? word.value : undefined
      yield* timeline.sleepUntil(nextQuestion(timeline.now(), began, said, phase.liftAt))
    }
  })

const tightenAll = (session: Session, operation: Operation, order: Order): Effect.Effect<void> =>
  Effect.forEach(order.fences, (fence) => tightenOne(session, operation, order, fence), {
    concurrency: "unbounded",
    discard: true
  })

const tightenOne = (session: Session, operation: Operation, order: Order, fence: PlannedFence): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { epoch, journal, timeline } = session
    const injector = injectorOf(session, fence)
    if (injector === null) return
    while (true) {
      yield* session.ground.lease.permit
      const state = yield* Effect.result(
        bounded(
          fence,
          injector.tighten(fence.process.host, fenceId(operation, order, fence), epoch, timeline.toWall(order.deadline))
        )
      )
      if (Result.isSuccess(state)) {
        return journal.note({ _tag: "FenceTightened", member: fence.member, deadline: order.deadline })
      }
      // The host refuses where the fence ends no later already.
      if (state.failure.reason === "OrderRefused") return
      yield* Effect.sleep(lookEvery)
    }
  })

const stoodShort = ({ broken, offAt }: Off, askedEnd: Instant): boolean => broken || offAt < askedEnd - holdTolerance

const shortReason = ({ broken, by, detail }: Off): string =>
  broken
    ? detail || "its processes were seen running while it stood"
    : `it was ended by the ${by.toLowerCase()} before the asked time was over`

const brokenHold = (session: Session, member: string, reason: string, facts: ReadonlyArray<Fact>): Outcome => {
  const said = `the fence on ${member} did not hold: ${reason}`
  session.attendance.resume()
  const verdict = { about: "Hold", outcome: "Inconclusive", facts: [said] } as const
  return failed(session, "E_ABORT", false, `The hold was not proven: ${said}`, [...facts, { _tag: "Judged", verdict }])
}
