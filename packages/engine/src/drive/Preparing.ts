/**
 * What the hosts of a plan make ready while the rest is still looked at. No order is stored yet, and nothing is
 * touched. Arming tells a host that stands ready to go. What is not wanted any more is let go; if no go comes it undoes
 * itself.
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
import type { Journal } from "./Journal.ts"

// --- models ---

/** The fences of one mechanism on one host. They stand ready together. */
export interface Group {
  readonly injector: Injector
  readonly host: string
  readonly fences: ReadonlyArray<PlannedFence>
  readonly prepared: Deferred.Deferred<Result.Result<Prepared, InjectorError>>
}

/** What the hosts of one drive make ready. */
export interface Preparing {
  /**
   * Has every host begin, in the background, and lets go what an earlier attempt left. False where the hosts make ready
   * another plan for this attempt already: the name of a fence can be used once on its host.
   */
  readonly begin: (
    operation: Operation,
    fences: ReadonlyArray<PlannedFence>,
    injectorOf: (fence: PlannedFence) => Injector | null
  ) => Effect.Effect<boolean>
  /**
   * Waits until all stands ready, 30 s at most, and gives the fences that do not. A long wait is shown as a phase of
   * its own.
   */
  readonly awaitAll: (operation: Operation) => Effect.Effect<ReadonlyArray<readonly [PlannedFence, InjectorError]>>
  /** What stands ready for this fence of an attempt, or null. */
  readonly groupOf: (attempt: number, fence: PlannedFence) => Group | null
  /** Lets everything go that stands ready. */
  readonly letGo: Effect.Effect<void>
}

// --- make ---

/** Nothing stands ready yet. When the scope closes, everything that does is let go. */
export const make = (journal: Pick<Journal, "note">, epoch: number, scope: Scope.Scope): Preparing => {
  let prepared: Preparation | null = null
  const letGo = Effect.suspend(() => {
    const before = prepared
    prepared = null
    return before === null ? Effect.void : Scope.close(before.scope, Exit.void)
  })
  return {
    begin: Effect.fnUntraced(function* (operation, fences, injectorOf) {
      const key = JSON.stringify(fences)
      if (prepared?.attempt === operation.attempt) return prepared.key === key
      yield* letGo
      const own = yield* Scope.fork(scope)
      const groups: Array<Group> = []
      for (const [injector, host, together] of grouped(fences, injectorOf)) {
        const ready = yield* Deferred.make<Result.Result<Prepared, InjectorError>>()
        const group: Group = { injector, host, fences: together, prepared: ready }
        groups.push(group)
        yield* prepareGroup(operation, epoch, group).pipe(
          Effect.flatMap((result) => Deferred.succeed(ready, result)),
          Scope.provide(own),
          Effect.forkIn(own)
        )
      }
      prepared = { attempt: operation.attempt, groups, key, scope: own }
      return true
    }),
    awaitAll: Effect.fnUntraced(function* ({ attempt }) {
      const preparation = prepared
      if (preparation === null || preparation.attempt !== attempt || preparation.groups.length === 0) return []
      const { groups } = preparation
      const answers = yield* Effect.raceFirst(
        Effect.forEach(groups, ({ prepared }) => Deferred.await(prepared), { concurrency: "unbounded" }),
        Effect.andThen(tellWaiting(journal, preparation), Effect.never)
      )
      // On such a host no program may stay now, and nothing was sent to it. It is ordered in one step, like a host on
      // which none ever may.
      prepared = { ...preparation, groups: groups.filter((_, index) => Result.isSuccess(answers[index]!)) }
      return answers.flatMap((answer, index) =>
        Result.isSuccess(answer) || answer.failure.reason === "Unreachable"
          ? []
          : groups[index]!.fences.map((fence) => [fence, answer.failure] as const)
      )
    }),
    groupOf: (attempt, fence) =>
      prepared?.attempt !== attempt
        ? null
        : (prepared.groups.find(({ fences }) => fences.some(({ member }) => member === fence.member)) ?? null),
    letGo
  }
}

// --- internal ---

/** What the hosts make ready for one attempt. */
interface Preparation {
  readonly attempt: number
  readonly groups: ReadonlyArray<Group>
  /** Tells one plan from another. */
  readonly key: string
  readonly scope: Scope.Closeable
}

/** How long the hosts may take before the order cannot be given. */
const prepareWithin: Millis = 30_000
/** From when on the waiting is shown. */
const tellAfter: Millis = 500
/**
 * How long what stands ready waits for its go. That is longer than the wait for it, and longer than a late order is
 * given again.
 */
const standBy: Millis = 65_000

const tellWaiting = (journal: Pick<Journal, "note">, { attempt, groups }: Preparation): Effect.Effect<void> =>
  Effect.andThen(
    Effect.sleep(tellAfter),
    Effect.sync(() => {
      const hosts = groups.map(({ fences, host }) => `${host} (${fences.map(({ member }) => member).join(", ")})`)
      const text = `Waits, ${formatMillis(prepareWithin)} at most, until all stands ready on ${hosts.join(", ")}`
      journal.note({ _tag: "PhaseBegan", phase: "Preparing", attempt }, { _tag: "Noted", text })
    })
  )

const grouped = (
  fences: ReadonlyArray<PlannedFence>,
  injectorOf: (fence: PlannedFence) => Injector | null
): ReadonlyArray<readonly [Injector, string, ReadonlyArray<PlannedFence>]> => {
  const groups: Array<readonly [Injector, string, Array<PlannedFence>]> = []
  for (const fence of fences) {
    const injector = injectorOf(fence)
    if (injector?.prepare === undefined) continue
    const { host } = fence.process
    const own = groups.find(([one, at]) => one === injector && at === host)
    if (own === undefined) groups.push([injector, host, [fence]])
    else own[2].push(fence)
  }
  return groups
}

const prepareGroup = (operation: Operation, epoch: number, { fences, host, injector }: Group) =>
  Effect.result(
    Effect.timeoutOrElse(
      injector.prepare!(
        host,
        fences.map((fence) => ({
          fence: { operationId: operation.id, attempt: operation.attempt, member: fence.member },
          process: fence.process,
          epoch,
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
