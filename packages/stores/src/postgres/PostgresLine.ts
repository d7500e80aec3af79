/**
 * A line to the shared store: at most one connection, used by one piece of work after the other, and opened again when
 * it is lost. Each kind of work has a line of its own. So a heartbeat never waits behind a page of a million rows, and
 * a worker has a fixed number of connections however many callers there are.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { StoreError } from "@inquorate/core/OperationStore"
import type { Millis } from "@inquorate/core/Time"
import { type Connection, open, passes, PostgresFailure, type Site, unavailable } from "./StoreConnection.ts"

/** What one piece of work does on a connection. */
export type Work<A> = (connection: Connection) => Effect.Effect<A, StoreError | PostgresFailure>

/** A line to the shared store. */
export interface Line {
  /**
   * Runs work that may be done twice. It runs it again after a failure that passes, until `within` is over; then it
   * fails with `Unavailable`. An interrupted caller gives up its wait, not the work.
   */
  readonly repeatable: <A>(within: Millis, work: Work<A>) => Effect.Effect<A, StoreError>
  /** Runs work that must not be done twice once its commit was sent. */
  readonly once: <A>(within: Millis, work: Work<A>) => Effect.Effect<A, StoreError>
  /** Runs work one time and tells what happened. */
  readonly attempt: <A>(work: Work<A>) => Effect.Effect<A, StoreError | PostgresFailure>
}

/** Makes a line that connects when it is first used, and is closed with the scope. */
export const make = (site: Site): Effect.Effect<Line, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const turn = Semaphore.makeUnsafe(1)
    let current: Connection | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => current?.abandon()))

    const connected = Effect.suspend(() =>
      current?.isOpen() === true
        ? Effect.succeed(current)
        : Effect.tap(open(site), (opened) => Effect.sync(() => void (current = opened)))
    )
    const attempt = <A>(work: Work<A>): Effect.Effect<A, StoreError | PostgresFailure> =>
      Effect.flatMap(connected, (connection) =>
        Effect.tapError(work(connection), (failure) =>
          // A server that became a standby keeps its connections. Only a new connection finds the primary.
          failure._tag === "PostgresFailure" && (failure.reason === "Lost" || failure.code === "25006")
            ? Effect.sync(() => connection.abandon())
            : Effect.void
        )
      )
    const until = <A>(
      deadline: number,
      pause: Millis,
      again: (failure: PostgresFailure) => boolean,
      work: Work<A>
    ): Effect.Effect<A, StoreError | PostgresFailure> =>
      Effect.catchTag(attempt(work), "PostgresFailure", (failure) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          passes(failure) && again(failure) && now + pause < deadline
            ? Effect.andThen(
                Effect.sleep(pause),
                Effect.suspend(() => until(deadline, Math.min(2 * pause, pauseMost), again, work))
              )
            : Effect.fail(failure)
        )
      )
    const run = <A>(
      within: Millis,
      again: (failure: PostgresFailure) => boolean,
      work: Work<A>
    ): Effect.Effect<A, StoreError> =>
      Effect.gen(function* () {
        const deadline = (yield* Clock.currentTimeMillis) + within
        let waited = false
        const job = turn.withPermits(1)(
          Effect.suspend(() =>
            waited ? Effect.fail(noAnswer(site, within)) : until(deadline, pauseFirst, again, work)
          )
        )
        const fiber = yield* Effect.forkIn(job, scope, { startImmediately: true })
        return yield* Fiber.join(fiber).pipe(
          Effect.catchTag("PostgresFailure", (failure) => Effect.fail(unavailable(site, failure))),
          Effect.timeoutOrElse({ duration: within, orElse: () => Effect.fail(noAnswer(site, within)) }),
          Effect.ensuring(Effect.sync(() => void (waited = true)))
        )
      })
    return {
      repeatable: (within, work) => run(within, () => true, work),
      once: (within, work) => run(within, (failure) => !failure.committing, work),
      attempt: (work) => turn.withPermits(1)(attempt(work))
    }
  })

/** The store did not answer within that time. */
export const noAnswer = (site: Site, within: Millis): StoreError =>
  unavailable(
    site,
    new PostgresFailure({ reason: "Lost", code: "", detail: `no answer within ${within} ms`, committing: false })
  )

// --- internal ---

const pauseFirst: Millis = 50
const pauseMost: Millis = 1000
