/**
 * The evidence of an operation: an append-only list of entries, each with its moment in UTC and on the worker's own
 * monotonic clock, and the one fold that turns the list into what a person reads.
 */
import * as Schema from "effect/Schema"
import { Grade, Plan, Refusal } from "./Plan.ts"
import { Instant, Millis } from "./Time.ts"
import { Topology } from "./Topology.ts"

/** What became of one probe: the system said yes, said no, or was not heard (the write may still have happened). */
export const ProbeOutcome = Schema.TaggedUnion({
  Acknowledged: {},
  Refused: { detail: Schema.String },
  Unknown: { detail: Schema.String }
})
export type ProbeOutcome = typeof ProbeOutcome.Type

/** One probe write. `endedAt` and `outcome` are null while the system has not answered. */
export class ProbeSample extends Schema.Opaque<ProbeSample>()(
  Schema.Struct({
    sequence: Schema.Int,
    endpoint: Schema.String,
    sentAt: Instant,
    endedAt: Schema.NullOr(Instant),
    outcome: Schema.NullOr(ProbeOutcome)
  }).annotate({ identifier: "ProbeSample" })
) {}

/** What the members that were left alone say of the quorum themselves. */
export class SurvivorsWord extends Schema.Opaque<SurvivorsWord>()(
  Schema.Struct({
    word: Schema.Literals(["QuorumLost", "QuorumHeld", "Silent"]),
    detail: Schema.String
  }).annotate({ identifier: "SurvivorsWord" })
) {}

/**
 * What a witness answered: it serves, it says that it does not, or it says nothing. `detail` is its own words, where
 * they are short.
 */
export const WitnessAnswer = Schema.TaggedUnion({
  Serves: { detail: Schema.String },
  Fails: { detail: Schema.String },
  Silent: { detail: Schema.String }
})
export type WitnessAnswer = typeof WitnessAnswer.Type

/** A judgement with the facts it rests on. */
export class Verdict extends Schema.Opaque<Verdict>()(
  Schema.Struct({
    about: Schema.Literals(["Loss", "Hold", "Recovery"]),
    outcome: Schema.Literals(["Confirmed", "Mismatch", "Inconclusive"]),
    facts: Schema.Array(Schema.String)
  }).annotate({ identifier: "Verdict" })
) {}

/** A judgement, and when it was made. */
export class TimedVerdict extends Schema.Opaque<TimedVerdict>()(
  Schema.Struct({ at: Instant, ...Verdict.fields }).annotate({ identifier: "TimedVerdict" })
) {}

/** The names of the visible phases, in order. */
export const PhaseName = Schema.Literals([
  "Queued",
  "LookingUpState",
  "Preparing",
  "Arming",
  "Destroying",
  "Verifying",
  "Holding",
  "Lifting",
  "Recovering",
  "Undoing",
  "Ended"
])
export type PhaseName = typeof PhaseName.Type

/** What an entry tells. */
export const Fact = Schema.TaggedUnion({
  /** A phase began; `attempt` counts from 1. */
  PhaseBegan: { phase: PhaseName, attempt: Schema.Int },
  /** A worker took the operation; a taker that is not the first counts as a takeover. */
  OwnerChanged: { worker: Schema.String, epoch: Schema.Int },
  /** Nobody of ours watched for this long. */
  Unobserved: { span: Millis },
  /** The group as it was found. */
  TopologySeen: { topology: Topology },
  /** The plan of the cut with its arithmetic. */
  Planned: { plan: Plan },
  /** A guard said no. */
  Refused: { refusal: Refusal },
  /** An order was sent to a host. */
  FenceOrdered: { member: Schema.String, host: Schema.String, grade: Grade, epoch: Schema.Int, deadline: Instant },
  /** The host reported the fence applied and checked; `processes` counts what it stopped, `grade` is the host's word. */
  FenceArmed: { member: Schema.String, processes: Schema.Int, grade: Schema.optionalKey(Grade) },
  /** The deadline on the host was brought forward. */
  FenceTightened: { member: Schema.String, deadline: Instant },
  /**
   * The fence is off. `offAt` is the host's own record. `overrun` counts from the tightest deadline stored, and is null
   * for a fence that never stood.
   */
  FenceLifted: {
    member: Schema.String,
    by: Schema.Literals(["Worker", "Keeper", "Kernel", "Sweep", "Unknown"]),
    offAt: Instant,
    overrun: Schema.NullOr(Millis)
  },
  /** Something of ours may still stand on this host. */
  FenceUnknown: { member: Schema.String, detail: Schema.String },
  /** Probe writes that ended, or are still unanswered at a change of phase. */
  Sampled: { samples: Schema.Array(ProbeSample) },
  /** What the survivors said. */
  Heard: { survivors: SurvivorsWord },
  /** A judgement. */
  Judged: { verdict: Verdict },
  /** Asked hold against measured hold. */
  HoldMeasured: { asked: Millis, measured: Millis },
  /** How long after the lift the first write sent after it was acknowledged. */
  RecoveryMeasured: { recovery: Millis },
  /**
   * What a witness answered: told where the answer changes, and now and then where it stays. `times` counts the answers
   * like this one since the last that was told; the newest of them was asked for at `sentAt` and there at `endedAt`.
   */
  Witnessed: {
    witness: Schema.String,
    sentAt: Instant,
    endedAt: Instant,
    answer: WitnessAnswer,
    times: Schema.Int
  },
  /** Something a person should know, such as a step that failed and why. */
  Noted: { text: Schema.String }
})
export type Fact = typeof Fact.Type

/** One entry: `at` in UTC, `monotonic` in milliseconds on the clock of the worker that wrote it. */
export class EvidenceEntry extends Schema.Opaque<EvidenceEntry>()(
  Schema.Struct({
    at: Instant,
    monotonic: Millis,
    worker: Schema.String,
    fact: Fact
  }).annotate({ identifier: "EvidenceEntry" })
) {}

/** A phase with its times; `duration` is monotonic where one worker saw both ends, else null. */
export class PhaseTimes extends Schema.Opaque<PhaseTimes>()(
  Schema.Struct({
    phase: PhaseName,
    attempt: Schema.Int,
    began: Instant,
    duration: Schema.NullOr(Millis)
  })
) {}

/** What became of one fence. */
export class FenceRecord extends Schema.Opaque<FenceRecord>()(
  Schema.Struct({
    member: Schema.String,
    host: Schema.String,
    grade: Grade,
    attempt: Schema.Int,
    epoch: Schema.Int,
    deadline: Instant,
    processes: Schema.NullOr(Schema.Int),
    /** When the host reported it applied; a worker before 0.2 leaves it out. */
    armedAt: Schema.optionalKey(Instant),
    liftedBy: Schema.NullOr(Schema.String),
    offAt: Schema.NullOr(Instant),
    overrun: Schema.NullOr(Millis),
    problem: Schema.String
  })
) {}

/** A time in which a witness did not serve. */
export class WitnessOutage extends Schema.Opaque<WitnessOutage>()(
  Schema.Struct({
    /** When the first question was sent that was not answered as it should be. */
    from: Instant,
    /** When the first good answer was there again; null while there was none. */
    until: Schema.NullOr(Instant),
    /** What it answered meanwhile, each answer once. */
    said: Schema.Array(Schema.String)
  })
) {}

/** What became of one witness. */
export class WitnessRecord extends Schema.Opaque<WitnessRecord>()(
  Schema.Struct({
    witness: Schema.String,
    /** How often it was asked, and how often it did not serve. */
    asked: Schema.Int,
    failed: Schema.Int,
    outages: Schema.Array(WitnessOutage),
    /** Its answers where they changed, in their order. */
    answers: Schema.Array(Schema.Struct({ at: Instant, answer: WitnessAnswer }))
  }).annotate({ identifier: "WitnessRecord" })
) {}

/** The evidence as a person reads it. */
export class Evidence extends Schema.Opaque<Evidence>()(
  Schema.Struct({
    topology: Schema.NullOr(Topology),
    plan: Schema.NullOr(Plan),
    refusals: Schema.Array(Refusal),
    phases: Schema.Array(PhaseTimes),
    fences: Schema.Array(FenceRecord),
    samples: Schema.Array(ProbeSample),
    survivors: Schema.Array(Schema.Struct({ at: Instant, ...SurvivorsWord.fields })),
    verdicts: Schema.Array(TimedVerdict),
    hold: Schema.NullOr(Schema.Struct({ asked: Millis, measured: Millis })),
    recovery: Schema.NullOr(Millis),
    /** The longest time a fence stood past its tightest stored deadline; null until one was lifted. */
    overrun: Schema.NullOr(Millis),
    /** How long nobody of ours watched, in all. */
    unobserved: Millis,
    /** What those who depend on the group suffered; left out where nobody was asked. */
    witnesses: Schema.optionalKey(Schema.Array(WitnessRecord)),
    owners: Schema.Array(Schema.Struct({ at: Instant, worker: Schema.String, epoch: Schema.Int })),
    notes: Schema.Array(Schema.Struct({ at: Instant, text: Schema.String }))
  }).annotate({ identifier: "Evidence", title: "What was seen of an operation" })
) {}

/**
 * The evidence told by a list of entries in the order they were stored. An entry that was stored twice, because the
 * answer to its first storing was lost, is told once.
 */
export const collect = (entries: ReadonlyArray<EvidenceEntry>): Evidence => {
  const phases: Array<PhaseTimes> = []
  const fences: Array<FenceRecord> = []
  const samples = new Map<string, ProbeSample>()
  const refusals: Array<Refusal> = []
  const survivors: Array<Evidence["survivors"][number]> = []
  const verdicts: Array<TimedVerdict> = []
  const owners: Array<Evidence["owners"][number]> = []
  const notes: Array<Evidence["notes"][number]> = []
  const witnesses = new Map<string, WitnessRecord>()
  let evidence = empty
  let open: EvidenceEntry | undefined
  let attempt = 1
  const isRepeated = makeIsRepeated()
  const amend = (member: string, change: Partial<FenceRecord>): void => {
    const index = fences.findLastIndex((fence) => fence.member === member)
    if (index >= 0) fences[index] = { ...fences[index]!, ...change }
  }
  for (const entry of entries) {
    const { at, fact, worker } = entry
    if (fact._tag !== "Sampled" && isRepeated(entry)) continue
    switch (fact._tag) {
      case "PhaseBegan": {
        const last = phases.at(-1)
        // A drive that did not know yet of an end by somebody else may tell late what it had begun.
        if (last?.phase === "Ended") break
        if (last !== undefined && open?.worker === worker) {
          phases[phases.length - 1] = { ...last, duration: Math.max(0, entry.monotonic - open.monotonic) }
        }
        attempt = fact.attempt
        phases.push({ phase: fact.phase, attempt, began: at, duration: null })
        open = entry
        break
      }
      case "OwnerChanged":
        owners.push({ at, worker: fact.worker, epoch: fact.epoch })
        break
      case "Unobserved":
        evidence = { ...evidence, unobserved: evidence.unobserved + fact.span }
        break
      case "TopologySeen":
        evidence = { ...evidence, topology: fact.topology }
        break
      case "Planned":
        evidence = { ...evidence, plan: fact.plan }
        break
      case "Refused":
        refusals.push(fact.refusal)
        break
      case "FenceOrdered": {
        // Ordered anew within one attempt means that its host refused the order before as late and touched nothing.
        const before = fences.findIndex((fence) => fence.member === fact.member && fence.attempt === attempt)
        if (before >= 0) fences.splice(before, 1)
        fences.push({
          member: fact.member,
          host: fact.host,
          grade: fact.grade,
          attempt,
          epoch: fact.epoch,
          deadline: fact.deadline,
          processes: null,
          liftedBy: null,
          offAt: null,
          overrun: null,
          problem: ""
        })
        break
      }
      case "FenceArmed":
        amend(fact.member, {
          processes: fact.processes,
          armedAt: at,
          ...(fact.grade === undefined ? {} : { grade: fact.grade })
        })
        break
      case "FenceTightened":
        amend(fact.member, { deadline: fact.deadline })
        break
      case "FenceLifted":
        amend(fact.member, { liftedBy: fact.by, offAt: fact.offAt, overrun: fact.overrun, problem: "" })
        if (fact.overrun !== null) {
          evidence = { ...evidence, overrun: Math.max(evidence.overrun ?? 0, fact.overrun) }
        }
        break
      case "FenceUnknown":
        amend(fact.member, { problem: fact.detail })
        break
      case "Sampled":
        for (const sample of fact.samples) samples.set(`${worker}/${sample.sequence}`, sample)
        break
      case "Heard":
        survivors.push({ at, ...fact.survivors })
        break
      case "Judged":
        verdicts.push({ at, ...fact.verdict })
        break
      case "HoldMeasured":
        evidence = { ...evidence, hold: { asked: fact.asked, measured: fact.measured } }
        break
      case "RecoveryMeasured":
        evidence = { ...evidence, recovery: fact.recovery }
        break
      case "Witnessed":
        witnesses.set(fact.witness, witnessed(witnesses.get(fact.witness), fact))
        break
      case "Noted":
        notes.push({ at, text: fact.text })
        break
    }
  }
  return {
    ...evidence,
    refusals,
    phases,
    fences,
    samples: [...samples.values()].sort((a, b) => a.sentAt - b.sentAt),
    survivors,
    verdicts,
    ...(witnesses.size === 0 ? {} : { witnesses: [...witnesses.values()] }),
    owners,
    notes
  }
}

// --- internal ---

/**
 * Tells of each entry whether the same was given before. Nearly all differ in when they were told and of what kind they
 * are, so few are compared word by word.
 */
const makeIsRepeated = (): ((entry: EvidenceEntry) => boolean) => {
  const given = new Map<string, Array<Fact>>()
  return ({ at, fact, monotonic, worker }) => {
    const key = `${at} ${monotonic} ${fact._tag} ${worker}`
    const alike = given.get(key)
    if (alike === undefined) {
      given.set(key, [fact])
      return false
    }
    const words = JSON.stringify(fact)
    if (alike.some((other) => JSON.stringify(other) === words)) return true
    alike.push(fact)
    return false
  }
}

const witnessed = (
  before: WitnessRecord | undefined,
  { answer, endedAt, sentAt, times, witness }: typeof Fact.cases.Witnessed.Type
): WitnessRecord => {
  const record = before ?? { witness, asked: 0, failed: 0, outages: [], answers: [] }
  const last = record.answers.at(-1)?.answer
  const isNew = last === undefined || last._tag !== answer._tag || last.detail !== answer.detail
  const serves = answer._tag === "Serves"
  return {
    witness,
    asked: record.asked + times,
    failed: record.failed + (serves ? 0 : times),
    outages: serves ? ended(record.outages, endedAt) : suffered(record.outages, sentAt, answer.detail),
    answers: isNew && record.answers.length < toldMost ? [...record.answers, { at: endedAt, answer }] : record.answers
  }
}

/** How many changes of one witness are told. */
const toldMost = 200

const ended = (outages: ReadonlyArray<WitnessOutage>, at: Instant): ReadonlyArray<WitnessOutage> => {
  const last = outages.at(-1)
  return last === undefined || last.until !== null ? outages : [...outages.slice(0, -1), { ...last, until: at }]
}

const suffered = (
  outages: ReadonlyArray<WitnessOutage>,
  from: Instant,
  detail: string
): ReadonlyArray<WitnessOutage> => {
  const last = outages.at(-1)
  if (last === undefined || last.until !== null) {
    return outages.length < toldMost ? [...outages, { from, until: null, said: [detail] }] : outages
  }
  if (last.said.includes(detail) || last.said.length >= toldMost) return outages
  return [...outages.slice(0, -1), { ...last, said: [...last.said, detail] }]
}

const empty: Pick<Evidence, "topology" | "plan" | "hold" | "recovery" | "overrun" | "unobserved"> = {
  topology: null,
  plan: null,
  hold: null,
  recovery: null,
  overrun: null,
  unobserved: 0
}
