/**
 * Preparing: what every host of a plan makes ready while the rest is still looked at, before any order is stored and
 * before anything is touched. What stands ready is told to go by the arming; what is not wanted any more is let go, and
 * undoes itself in any case when no go comes.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { type Injector, InjectorError, type Prepared } from "@inquorate/core/Injector"
import type { Operation } from "@inquorate/core/Operation"
import type { PlannedFence } from "@inquorate/core/Plan"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import { injectorOf, type Session } from "./Session.ts"

/** The fences of one mechanism on one host, which stand ready together. */
export interface Group {
  readonly injector: Injector
  readonly host: string
  readonly fences: ReadonlyArray<PlannedFence>
  readonly prepared: Deferred.Deferred<Result.Result<Prepared, InjectorError>>
}

/** What the hosts make ready for one attempt. */
export interface Preparation {
  readonly attempt: number
  readonly groups: ReadonlyArray<Group>
  /** Tells one plan from another. */
  readonly key: string
  readonly scope: Scope.Closeable
}

/**
 * Has every host begin, in the background; what an earlier attempt left is let go. False where the hosts make ready
 * another plan for this attempt already: what a fence is called on its host can be used once.
 */
export const begin = (
  session: Session,
  operation: Operation,
  fences: ReadonlyArray<PlannedFence>
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const key = JSON.stringify(fences)
    if (session.prepared?.attempt === operation.attempt) return session.prepared.key === key
    yield* letGo(session)
    const scope = yield* Scope.fork(session.scope)
    const groups: Array<Group> = []
    for (const [injector, host, together] of grouped(session, fences)) {
      const prepared = yield* Deferred.make<Result.Result<Prepared, InjectorError>>()
      groups.push({ injector, host, fences: together, prepared })
      yield* prepareGroup(session, operation, groups.at(-1)!).pipe(
        Effect.flatMap((result) => Deferred.succeed(prepared, result)),
        Scope.provide(scope),
        Effect.forkIn(scope)
      )
    }
    session.prepared = { attempt: operation.attempt, groups, key, scope }
    return true
  })

/** Waits until all stands ready, 30 s at most, and gives what does not; where that takes time it is a phase of its own. */
export const awaitAll = (
  session: Session,
  operation: Operation
): Effect.Effect<ReadonlyArray<readonly [PlannedFence, InjectorError]>> =>
  Effect.gen(function* () {
    const preparation = session.prepared
    if (preparation === null || preparation.attempt !== operation.attempt) return []
    const { groups } = preparation
    const telling = Effect.andThen(
      Effect.sleep(tellAfter),
      Effect.sync(() => {
        const hosts = groups.map(({ fences, host }) => `${host} (${fences.map(({ member }) => member).join(", ")})`)
        session.journal.note(
          { _tag: "PhaseBegan", phase: "Preparing", attempt: operation.attempt },
          {
            _tag: "Noted",
            text: `Waits, ${formatMillis(prepareWithin)} at most, until all stands ready on ${hosts.join(", ")}`
          }
        )
      })
    )
    const answers = yield* Effect.raceFirst(
      Effect.forEach(groups, ({ prepared }) => Deferred.await(prepared), { concurrency: "unbounded" }),
      Effect.andThen(telling, Effect.never)
    )
    // Nothing was sent to a host on which no program may stay now: it is ordered in one, as where none ever may.
    session.prepared = { ...preparation, groups: groups.filter((_, index) => Result.isSuccess(answers[index]!)) }
    return answers.flatMap((answer, index) =>
      Result.isSuccess(answer) || answer.failure.reason === "Unreachable"
        ? []
        : groups[index]!.fences.map((fence) => [fence, answer.failure] as const)
    )
  })

/** What stands ready for this fence, or null. */
export const groupOf = (session: Session, attempt: number, fence: PlannedFence): Group | null =>
  session.prepared?.attempt !== attempt
    ? null
    : (session.prepared.groups.find(({ fences }) => fences.some(({ member }) => member === fence.member)) ?? null)

/** Lets everything go that stands ready. */
export const letGo = (session: Session): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { prepared } = session
    session.prepared = null
    return prepared === null ? Effect.void : Scope.close(prepared.scope, Exit.void)
  })

// --- internal ---

/** How long the hosts may take before the order cannot be given. */
const prepareWithin: Millis = 30_000
/** From when on the waiting is shown. */
const tellAfter: Millis = 500
/** How long what stands ready waits for its go. Longer than the wait, and than an order that comes late is given again. */
const standBy: Millis = 65_000

const grouped = (
  session: Session,
  fences: ReadonlyArray<PlannedFence>
): ReadonlyArray<readonly [Injector, string, ReadonlyArray<PlannedFence>]> => {
  const groups: Array<readonly [Injector, string, Array<PlannedFence>]> = []
  for (const fence of fences) {
    const injector = injectorOf(session, fence)
    if (injector?.prepare === undefined) continue
    const { host } = fence.process
    const own = groups.find(([one, at]) => one === injector && at === host)
    if (own === undefined) groups.push([injector, host, [fence]])
    else own[2].push(fence)
  }
  return groups
}

const prepareGroup = (session: Session, operation: Operation, { fences, host, injector }: Group) =>
  Effect.result(
    Effect.timeoutOrElse(
      injector.prepare!(
        host,
        fences.map((fence) => ({
          fence: { operationId: operation.id, attempt: operation.attempt, member: fence.member },
          process: fence.process,
          epoch: session.epoch,
          ...(fence.named === undefined ? {} : { member: fence.named })
        })),
        standBy
      ),
      {
        duration: prepareWithin,
        orElse: () =>
          Effect.fail(
            new InjectorError({
              host,
              member: fences[0]!.member,
              reason: "Unknown",
              detail: `the host was not ready within ${formatMillis(prepareWithin)}`
            })
          )
      }
    )
  )
