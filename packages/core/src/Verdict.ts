/**
 * The judges: pure functions from probe samples and facts to verdicts. A single silence of 50 ms is only a hint: a
 * healthy PostgreSQL was seen to stall for 461 ms in ten idle seconds. So a loss is confirmed by 500 ms without an
 * acknowledgement, or by the hint and an independent fact.
 */
import type { ProbeSample, SurvivorsWord, Verdict } from "./Evidence.ts"
import { formatMillis, type Instant, type Millis } from "./Time.ts"

/** The silence that is a hint, and enough beside an independent fact. */
export const hintSilence: Millis = 50
/** The silence that is proof by itself. */
export const proofSilence: Millis = 500
/**
 * In a hold of this length or longer the survivors' own word counts, where they have one. Their word that they hold a
 * quorum refutes the loss. So does their silence, once they had the time that they need to notice.
 */
export const survivorsWordFrom: Millis = 2000

/** The samples are all there is to know so far; the verdict is open. */
export interface Pending {
  readonly _tag: "Pending"
  /** The first moment at which it can be another one, whatever is acknowledged until then. */
  readonly until: Instant
}

/** The loss is proven: `lossBegan` is when the first write never acknowledged was sent. */
export interface LossConfirmed {
  readonly _tag: "LossConfirmed"
  readonly lossBegan: Instant
  readonly verdict: Verdict
}

/** The loss is not proven and will not be. */
export interface LossDenied {
  readonly _tag: "LossDenied"
  readonly verdict: Verdict
}

/** Where the judgement of a loss stands. */
export type LossJudgement = Pending | LossConfirmed | LossDenied

/**
 * Judges whether the quorum is gone after the fences were armed. By `deadline` the fences end by themselves. What was
 * acknowledged after it says nothing of the loss, and a loss that nobody could judge before it is Inconclusive.
 * `independentFact` is a sentence such as "2 of 2 standbys have no running thread", or null where there is none.
 * `budgetEnds` closes the question: acknowledgements to the end are a Mismatch, anything else is Inconclusive.
 */
export const judgeLoss = (input: {
  readonly samples: ReadonlyArray<ProbeSample>
  readonly armedAt: Instant
  readonly independentFact: string | null
  readonly now: Instant
  readonly budgetEnds: Instant
  readonly deadline: Instant
}): LossJudgement => {
  const samples = input.samples.flatMap((sample) => asOf(sample, input.deadline))
  const lossBegan = firstUnacknowledged(samples, input.armedAt)
  const lastAcknowledged = lastAcknowledgement(samples)
  const over = input.now >= input.deadline
  const enough = input.independentFact === null ? proofSilence : hintSilence
  const silentSince = Math.max(lossBegan ?? input.now, lastAcknowledged)
  if (lossBegan !== null && !over) {
    const silence = input.now - silentSince
    if (silence >= enough) {
      const facts = [`no write acknowledged for ${formatMillis(silence)}`]
      if (input.independentFact !== null) facts.push(input.independentFact)
      return { _tag: "LossConfirmed", lossBegan, verdict: { about: "Loss", outcome: "Confirmed", facts } }
    }
  }
  if (input.now < input.budgetEnds) {
    return { _tag: "Pending", until: Math.min(input.budgetEnds, silentSince + enough) }
  }
  const acknowledged = samples.filter(
    (sample) => sample.sentAt > input.armedAt && sample.outcome?._tag === "Acknowledged"
  ).length
  if (over && (lossBegan !== null || acknowledged === 0)) {
    return denied("Inconclusive", "the fences ended before it could be judged")
  }
  return acknowledged > 0
    ? denied("Mismatch", `${acknowledged} writes sent after the fences were armed were acknowledged`)
    : denied("Inconclusive", "no probe write gave an answer to judge by")
}

/** The write that breaks a hold: the first acknowledgement that came after the loss began and before the lift was sent. */
export const acknowledgedDuring = (
  samples: ReadonlyArray<ProbeSample>,
  lossBegan: Instant,
  until: Instant
): ProbeSample | undefined =>
  samples.find(
    (sample) =>
      sample.outcome?._tag === "Acknowledged" &&
      sample.endedAt !== null &&
      sample.sentAt >= lossBegan &&
      sample.endedAt < until
  )

/**
 * Judges the hold as a whole, at its end. `survivors` are all words heard during it. `mayAsk` says that somebody was
 * left who has one. `speakAfter` is how long they may take for it, `survivorsWordFrom` unless given.
 */
export const judgeHold = (input: {
  readonly samples: ReadonlyArray<ProbeSample>
  readonly survivors: ReadonlyArray<SurvivorsWord>
  readonly mayAsk: boolean
  readonly speakAfter?: Millis
  readonly lossBegan: Instant
  readonly liftedAt: Instant
  readonly asked: Millis
  readonly unobserved: Millis
}): Verdict => {
  const broken = acknowledgedDuring(input.samples, input.lossBegan, input.liftedAt)
  if (broken !== undefined) {
    return {
      about: "Hold",
      outcome: "Mismatch",
      facts: [
        `write ${broken.sequence} was acknowledged ${formatMillis(broken.endedAt! - input.lossBegan)} into the hold`
      ]
    }
  }
  const unanswered = input.samples.filter(
    (sample) => sample.sentAt >= input.lossBegan && sample.sentAt < input.liftedAt
  ).length
  const facts = [
    `${unanswered} ${unanswered === 1 ? "write" : "writes"} sent during the hold, none acknowledged before the lift`
  ]
  if (input.unobserved > 0) facts.push(`unobserved ${(input.unobserved / 1000).toFixed(1)} s`)
  const word = input.survivors.findLast((survivors) => survivors.word !== "Silent")
  const silence = input.survivors.at(-1)
  if (word !== undefined) facts.push(`survivors: ${word.detail}`)
  else if (input.mayAsk && silence !== undefined) facts.push(`survivors, silent so far: ${silence.detail}`)
  const doubt = unanswered === 0 ? "no write was in flight" : doubtOfSurvivors(input, word)
  return doubt === null
    ? { about: "Hold", outcome: "Confirmed", facts }
    : { about: "Hold", outcome: "Inconclusive", facts: [...facts, doubt] }
}

/** What the hosts say of what is left of ours. */
export const describeLeft = (left: ReadonlyArray<string> | null): ReadonlyArray<string> =>
  left === null
    ? ["no host was asked whether anything of ours is left on it"]
    : left.length === 0
      ? ["nothing of ours is left on any host"]
      : left

/** What is stored for a write that nobody waits for any longer. It says nothing of the system. */
export const abandoned = "abandoned"

/** That no write came back, with what the last one that was sent after the lift was answered. */
export const noneAcknowledged = (samples: ReadonlyArray<ProbeSample>, liftedAt: Instant, within: string): string => {
  const told = samples.flatMap(({ outcome, sentAt }) =>
    sentAt < liftedAt || outcome === null || outcome._tag === "Acknowledged" || outcome.detail === abandoned
      ? []
      : [outcome.detail]
  )
  const why = told.length === 0 ? "" : ` (the last one: ${told.at(-1)})`
  return `no write sent after the lift was acknowledged${within}${why}`
}

/**
 * Judges the recovery. `acknowledged` is the first write sent after the lift that was acknowledged, and `samples` are
 * the writes of a group that has none. `left` names what of ours may stand on a host by the host's own word, and is
 * null where no host was asked.
 */
export const judgeRecovery = (input: {
  readonly acknowledged: ProbeSample | null
  readonly samples?: ReadonlyArray<ProbeSample>
  readonly liftedAt: Instant
  readonly healthy: boolean
  readonly health: string
  readonly left: ReadonlyArray<string> | null
}): Verdict => {
  const facts = [
    input.acknowledged?.endedAt == null
      ? noneAcknowledged(input.samples ?? [], input.liftedAt, "")
      : `a write sent after the lift was acknowledged ${formatMillis(input.acknowledged.endedAt - input.liftedAt)} after it`,
    input.health,
    ...describeLeft(input.left)
  ]
  const proven = input.acknowledged !== null && input.healthy && input.left?.length === 0
  return { about: "Recovery", outcome: proven ? "Confirmed" : "Inconclusive", facts }
}

// --- internal ---

const denied = (outcome: "Mismatch" | "Inconclusive", fact: string): LossDenied => ({
  _tag: "LossDenied",
  verdict: { about: "Loss", outcome, facts: [fact] }
})

/** The sample as it stood at a moment: not there yet, or without the answer that came later. */
const asOf = (sample: ProbeSample, moment: Instant): ReadonlyArray<ProbeSample> =>
  sample.sentAt >= moment
    ? []
    : sample.endedAt !== null && sample.endedAt >= moment
      ? [{ ...sample, endedAt: null, outcome: null }]
      : [sample]

// A survivor that has not noticed yet that the quorum is gone is silent. Its silence speaks against nothing while it
// may still be so. A survivor that says that it has a quorum speaks against the loss, however long it may take to
// notice one.
const doubtOfSurvivors = (
  { asked, mayAsk, speakAfter = 0 }: { readonly asked: Millis; readonly mayAsk: boolean; readonly speakAfter?: Millis },
  word: SurvivorsWord | undefined
): string | null => {
  if (!mayAsk || asked < survivorsWordFrom || word?.word === "QuorumLost") return null
  if (word !== undefined) return "the survivors say that they hold a quorum"
  return asked < speakAfter ? null : "the survivors did not say that the quorum was lost"
}

const lastAcknowledgement = (samples: ReadonlyArray<ProbeSample>): Instant =>
  samples.reduce(
    (last, sample) =>
      sample.outcome?._tag === "Acknowledged" && sample.endedAt !== null ? Math.max(last, sample.endedAt) : last,
    0
  )

// This is t0. A write whose successor was acknowledged was lost for a reason of its own, not for want of a quorum.
const firstUnacknowledged = (samples: ReadonlyArray<ProbeSample>, armedAt: Instant): Instant | null => {
  const lastGood = samples.reduce(
    (last, sample) => (sample.outcome?._tag === "Acknowledged" ? Math.max(last, sample.sentAt) : last),
    -1
  )
  const lost = samples.filter(
    (sample) =>
      sample.outcome?._tag !== "Acknowledged" &&
      sample.sentAt > lastGood &&
      (sample.endedAt === null || sample.endedAt >= armedAt)
  )
  return lost.length === 0 ? null : Math.min(...lost.map((sample) => sample.sentAt))
}
