/**
 * The one way in which a drive writes. Every move goes through core's `advance` and one compare-and-set. Evidence in
 * between is gathered, and appended at most every half second with one write in flight. A drive never writes to an
 * operation that another worker owns.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { EvidenceEntry, Fact, PhaseName, ProbeSample } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { advance, type Event, type Operation } from "@inquorate/core/Operation"
import { type OperationStore, StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { Instant } from "@inquorate/core/Time"
import * as Figures from "../watch/Figures.ts"
import type { Timeline } from "./Timeline.ts"

/** What became of an event: stored, refused by the rules as they stand now, or kept out by another operation's fences. */
export type Moved = "Moved" | "Refused" | "Occupied"

/** How a drive writes. */
export interface Journal {
  /** The operation as this drive last saw it, moves that are not stored yet included. */
  readonly stored: () => Stored
  /**
   * Reads the operation again. Fails with `Fenced` where another worker owns it. A store that cannot be asked changes
   * nothing.
   */
  readonly refresh: Effect.Effect<Stored, StoreError>
  /** Stores what an event makes of the operation, with its facts. A changed operation is read again and judged anew. */
  readonly move: (event: Event, facts: ReadonlyArray<Fact>) => Effect.Effect<Moved, StoreError>
  /**
   * Makes a move that is stored with the next one, or with what is gathered. It is for moves after which nothing is
   * done outside that a later owner would have to know of. Such an owner would find the operation a step behind, look,
   * and come to the same.
   */
  readonly moveAhead: (event: Event, facts: ReadonlyArray<Fact>) => Moved
  /** Adds facts, to be stored with the next write. */
  readonly note: (...facts: ReadonlyArray<Fact>) => void
  /** Adds a sample, to be stored with the next write. A later form of the same sample replaces an earlier one. */
  readonly sample: (sample: ProbeSample) => void
  /** Stores what was gathered now. */
  readonly flush: Effect.Effect<void, StoreError>
  /** All the evidence that is stored, where it is short and this drive alone has stored it; else null. */
  readonly whole: () => ReadonlyArray<EvidenceEntry> | null
  /** What a write was told that has shown that another worker owns the operation; null as long as none has. */
  readonly lost: () => StoreError | null
}

/**
 * Opens the journal of an operation that this worker owns. `fresh` tells that nothing of its evidence is stored yet, and
 * `nudged` is opened when the operation is lost. When the scope closes the journal stores what was gathered.
 */
export const make = (
  store: OperationStore["Service"],
  claimed: Stored,
  worker: string,
  timeline: Timeline,
  fresh: boolean,
  nudged: Latch.Latch
): Effect.Effect<Journal, never, Scope.Scope> =>
  Effect.gen(function* () {
    let current = claimed
    // Moves that were made and are not stored yet, in their order, and the operation as they make it. All of them are
    // moves of `current`: whatever changes that keeps those of them that its rules still take.
    let ahead: ReadonlyArray<Step> = []
    let made = claimed.operation
    const keepAhead = (steps: ReadonlyArray<Step>): void => {
      const { operation, taken } = play(current.operation, steps)
      ahead = taken.map(({ step }) => step)
      made = operation
    }
    let gathered: Array<EvidenceEntry> = []
    const samples = new Map<number, ProbeSample>()
    // A hold is mostly silence, and thousands may be held at once: a journal with nothing to store sets no timer.
    const something = Latch.makeUnsafe(false)
    const writing = yield* Semaphore.make(1)
    let lost: StoreError | null = null
    const observe = makeObserve()
    const { id } = claimed.operation
    const whole = makeWhole(fresh ? claimed.operation : null)
    const as = { worker, epoch: claimed.epoch }
    const halting = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
      Effect.tapError(effect, (error) =>
        Effect.sync(() => {
          if (error.reason !== "Fenced") return
          lost = error
          nudged.openUnsafe()
        })
      )

    const entry = (fact: Fact, at: Instant): EvidenceEntry => ({
      at,
      monotonic: Math.max(0, timeline.monotonic() - (timeline.now() - at)),
      worker,
      fact
    })
    const drain = (): ReadonlyArray<EvidenceEntry> => {
      if (samples.size > 0) gathered.push(entry({ _tag: "Sampled", samples: [...samples.values()] }, timeline.now()))
      samples.clear()
      return gathered.splice(0)
    }
    const giveBack = (entries: ReadonlyArray<EvidenceEntry>): void => {
      gathered = [...entries, ...gathered].slice(-gatheredMost)
      if (gathered.length > 0) something.openUnsafe()
    }

    const refresh = Effect.gen(function* () {
      const fresh = yield* store.get(id)
      if (fresh === null || fresh.owner !== worker || fresh.epoch !== as.epoch) {
        return yield* new StoreError({
          reason: "Fenced",
          detail: `operation ${id} belongs to another worker or epoch now`
        })
      }
      if (fresh.version > current.version) {
        current = fresh
        whole.lose()
        keepAhead(ahead)
      }
      return current
    }).pipe(halting)

    const stepOf = (event: Event, facts: ReadonlyArray<Fact>): Step => {
      const own = facts.map((fact) => entry(fact, timeline.now()))
      // An order that was not stored was never given; all other facts stand whatever becomes of the move.
      gathered.push(...own.filter(({ fact }) => fact._tag !== "FenceOrdered"))
      return { event, facts, orders: own.filter(({ fact }) => fact._tag === "FenceOrdered") }
    }

    /** Stores what is ahead and this step, in one write. */
    const storeSteps = (step: Step | null): Effect.Effect<Moved, StoreError> =>
      Effect.gen(function* () {
        while (true) {
          const before = current
          const { operation, taken } = play(before.operation, step === null ? ahead : [...ahead, step])
          const steps = taken.map((one) => one.step)
          if (step !== null && !steps.includes(step)) return "Refused"
          if (steps.length === 0) return "Moved"
          const told = drain()
          const entries = [
            ...told,
            ...steps.flatMap(({ orders }) => orders),
            ...taken.flatMap(({ began }) => began.map(({ at, fact }) => entry(fact, at)))
          ]
          const saved = yield* Effect.result(store.save(before, operation, entries, as))
          if (Result.isSuccess(saved)) {
            current = saved.success
            whole.keep(entries)
            // What was made ahead while this was on its way.
            keepAhead(ahead.filter((one) => !steps.includes(one)))
            yield* Effect.withFiber(({ context }) => Effect.sync(() => observe(context, taken)))
            return "Moved"
          }
          giveBack(told)
          if (ahead.length > 0) something.openUnsafe()
          if (saved.failure.reason === "Fenced") return yield* saved.failure
          if (saved.failure.reason === "Conflict") {
            const fresh = yield* Effect.result(refresh)
            if (Result.isSuccess(fresh) && fresh.success.version === before.version) return "Occupied"
            if (Result.isSuccess(fresh)) continue
            if (fresh.failure.reason === "Fenced") return yield* fresh.failure
          }
          if (step === null) return yield* saved.failure
          yield* Effect.logWarning(`The store did not take a move: ${saved.failure.detail}`)
          yield* Effect.sleep(storeRetry)
        }
      })

    const move = (event: Event, facts: ReadonlyArray<Fact>): Effect.Effect<Moved, StoreError> =>
      Effect.suspend(() => storeSteps(stepOf(event, facts))).pipe(halting, writing.withPermits(1))

    const moveAhead = (event: Event, facts: ReadonlyArray<Fact>): Moved => {
      const next = advance(made, event)
      const step = stepOf(event, facts)
      if (Result.isFailure(next)) return "Refused"
      ahead = [...ahead, step]
      made = next.success
      something.openUnsafe()
      return "Moved"
    }

    const flush = Effect.suspend(() => {
      if (ahead.length > 0) return Effect.asVoid(storeSteps(null))
      const entries = drain()
      if (entries.length === 0) return Effect.void
      const kept = Effect.map(store.append(id, entries, as), () => whole.keep(entries))
      return Effect.onError(kept, () => Effect.sync(() => giveBack(entries)))
    }).pipe(halting, writing.withPermits(1))

    const isTold = (): boolean => ahead.length + gathered.length + samples.size === 0
    yield* Effect.addFinalizer(() => (isTold() ? Effect.void : Effect.ignore(Effect.timeout(flush, lastFlush))))
    yield* Effect.forkScoped(
      Effect.forever(
        something.await.pipe(
          Effect.andThen(Effect.sleep(flushEvery)),
          Effect.andThen(Effect.sync(() => something.closeUnsafe())),
          Effect.andThen(Effect.catchTag(flush, "StoreError", () => Effect.void))
        )
      )
    )
    return {
      stored: () => (ahead.length === 0 ? current : { ...current, operation: made }),
      refresh: writing.withPermits(1)(refresh),
      move,
      moveAhead,
      note: (...facts) => {
        gathered.push(...facts.map((fact) => entry(fact, timeline.now())))
        something.openUnsafe()
      },
      sample: (sample) => {
        samples.set(sample.sequence, sample)
        something.openUnsafe()
      },
      flush,
      whole: whole.entries,
      lost: () => lost
    }
  })

/** The name of the visible phase that an operation is in. */
const phaseOf = ({ stage }: Operation): PhaseName => {
  switch (stage._tag) {
    case "Advancing":
      return stage.step._tag === "IntentSaved"
        ? "Queued"
        : stage.step._tag === "LookingUpState"
          ? "LookingUpState"
          : stage.step.phase._tag
    case "Undoing":
      return "Undoing"
    case "Completed":
    case "Failed":
      return "Ended"
  }
}

/** The facts of the phases that a move began, each with its moment. */
export const phaseFacts = (
  before: Operation,
  after: Operation,
  at: Instant
): ReadonlyArray<{ readonly at: Instant; readonly fact: Fact }> => {
  const phase = phaseOf(after)
  if (phase === phaseOf(before) && after.attempt === before.attempt) return []
  const began = { at, fact: { _tag: "PhaseBegan", phase, attempt: after.attempt } } as const
  return phaseOf(before) === "Queued"
    ? [{ at: before.receivedAt, fact: { _tag: "PhaseBegan", phase: "Queued", attempt: before.attempt } }, began]
    : [began]
}

// --- internal ---

/** A move as it was made: what happened, its facts, and the orders that stand only if it does. */
interface Step {
  readonly event: Event
  readonly facts: ReadonlyArray<Fact>
  readonly orders: ReadonlyArray<EvidenceEntry>
}

/** A step that the rules took: the operation before it, and the phases that it began. */
interface Taken {
  readonly step: Step
  readonly before: Operation
  readonly began: ReturnType<typeof phaseFacts>
}

/**
 * What was stored of an operation of which nothing was stored before, while it is short. It is kept only of one that ends
 * soon: of thousands that are held it would be much, and it is asked for once.
 */
const makeWhole = (fresh: Operation | null) => {
  let entries: ReadonlyArray<EvidenceEntry> | null = fresh !== null && faultOf(fresh.request).duration === 0 ? [] : null
  return {
    entries: () => entries,
    keep: (stored: ReadonlyArray<EvidenceEntry>): void => {
      entries = entries === null || entries.length + stored.length > wholeMost ? null : [...entries, ...stored]
    },
    lose: (): void => {
      entries = null
    }
  }
}

/** Tells the figures what a drive's moves measure, once they are stored. */
const makeObserve = () => {
  let phaseBegan: number | null = null
  return (context: Context.Context<never>, taken: ReadonlyArray<Taken>): void => {
    for (const { before, began, step } of taken) {
      const { event, facts } = step
      const undone = before.stage._tag === "Undoing"
      for (const fact of facts) Figures.observe(context, fact, before.request.kind, undone)
      if (began.length === 0) continue
      if (phaseBegan !== null) Figures.phaseEnded(context, phaseOf(before), Math.max(0, event.at - phaseBegan))
      phaseBegan = event.at
    }
  }
}

/** An operation after these steps, and those of them that its rules took. */
const play = (from: Operation, steps: ReadonlyArray<Step>) => {
  let operation = from
  const taken: Array<Taken> = []
  for (const step of steps) {
    const next = advance(operation, step.event)
    if (Result.isFailure(next)) continue
    taken.push({ step, before: operation, began: phaseFacts(operation, next.success, step.event.at) })
    operation = next.success
  }
  return { operation, taken }
}

const flushEvery = 500
const lastFlush = 1000
const storeRetry = 200
/** The most entries that wait for a store which cannot be written. The oldest give way. */
const gatheredMost = 2000
/** The most entries that are kept once they are stored. */
const wholeMost = 200
