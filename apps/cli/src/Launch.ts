/**
 * A fault is started and, if wanted, watched to its end. A watched operation is never left alone: whoever ends the
 * watching is asked, or the operation is cancelled and its lift awaited.
 */
import { parse as parseGuid } from "@inquorate/core/Guid"
import { durationOf, type FaultRequest, isQuorumLoss, kindOf, placeOf } from "@inquorate/core/Request"
import { printable } from "@inquorate/core/Printable"
import { formatMillis, type Millis, parseMillis } from "@inquorate/core/Time"
import type { OperationState } from "@inquorate/core/Wire"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { randomUUID } from "node:crypto"
import { createInterface } from "node:readline"
import { print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import type { Front } from "./Front.ts"
import { askedOf } from "./Report.ts"
import { canAsk, screen } from "./Screen.ts"
import { type SignalName, Signals } from "./Signals.ts"

// --- models ---

/** The flags of every command that starts a fault. */
export const launchFlags = {
  id: Flag.String("id").pipe(
    Flag.withDescription("The operation's id, a GUID; repeating a start with the same id is harmless"),
    Flag.optional
  ),
  watch: Flag.Boolean("watch").pipe(
    Flag.withAlias("w"),
    Flag.withDescription("Show it until it has ended; interrupting cancels it"),
    Flag.withDefault(false)
  )
}

/** What those flags were. */
export interface LaunchInput {
  readonly id: Option.Option<string>
  readonly watch: boolean
}

type Context = Command.CommandContext<"inq"> | Signals

// --- make ---

/** Starts a fault, says so, and shows it to its end where that is wanted. */
export const launch = (
  doing: string,
  front: Front,
  input: LaunchInput,
  request: FaultRequest
): Effect.Effect<void, Failure, Context> =>
  Effect.gen(function* () {
    const id = yield* Option.match(input.id, { onNone: () => Effect.succeed(randomUUID() as string), onSome: readId })
    // The signals are taken before the start is sent: from here on there may be a fault to lift.
    const signals = yield* (yield* Signals).take
    const started = yield* front.start(doing, id, request)
    const { output } = yield* root
    if (!input.watch) {
      const cancels = isQuorumLoss(request) ? `"inq cancel ${id}" lifts at once` : `"inq cancel ${id}" cancels it`
      return yield* print(started.value, () => [
        `Started ${id}${started.replayed ? " (it was started before)" : ""}. "inq watch ${id}" shows it, ${cancels}.`
      ])
    }
    if (output === "table") yield* screen.lines([`Operation ${id} on ${placeOf(request)}, ${intent(request)}`])
    yield* watchAndGuard(front, id, signals)
    if (output === "table" && kindOf(request) === "NodeTransition" && durationOf(request) > 0) {
      yield* screen.lines([`The node starts again by itself after ${formatMillis(durationOf(request))}.`])
    }
  }).pipe(Effect.scoped)

/** The length of a `--duration`. */
export const readDuration = (text: string): Effect.Effect<Millis, Failure> => {
  const millis = parseMillis(text)
  return millis === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `--duration: expected a length such as 5s, 2m or 500ms, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(millis)
}

/** An operation's id. */
export const readId = (text: string): Effect.Effect<string, Failure> => {
  const id = parseGuid(text)
  return id === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `The operation id must be a GUID of 36 characters, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(id)
}

/** Says how an operation ended, and fails with the exit code of it. */
export const endOf = (id: string, state: OperationState): Effect.Effect<void, Failure, Command.CommandContext<"inq">> =>
  Effect.gen(function* () {
    const { output } = yield* root
    if (output === "table") yield* screen.lines([`${id} ended ${state}.`])
    const exit = ends[state]
    if (exit !== undefined) return yield* new Failure({ exit, detail: "" })
  })

/** Asks for a yes before something that cannot be undone; where nobody can be asked the command itself is the yes. */
export const confirm = Effect.fnUntraced(function* (question: string, yes: boolean) {
  if (yes || !canAsk()) return
  const agreed = yield* ask(`${question} [y/N] `, false)
  if (!agreed) return yield* new Failure({ exit: "refused", detail: "Nothing was done." })
})

// --- internal ---

const intent = (request: FaultRequest): string =>
  isQuorumLoss(request) ? `hold ${formatMillis(request.hold)}` : `${kindOf(request)} ${askedOf(request)}`

/** Watches; a signal asks on a terminal whether to cancel, and cancels without one or when it comes again. */
const watchAndGuard = Effect.fnUntraced(function* (front: Front, id: string, signals: Queue.Dequeue<SignalName>) {
  const following = yield* Effect.forkChild(front.follow(id))
  let interrupted = false
  const guard = Effect.gen(function* () {
    const signal = yield* Queue.take(signals)
    const leave = signal === "SIGINT" && canAsk() ? yield* askToCancel(signals) : true
    if (!leave) return
    interrupted = true
    yield* screen.live("")
    yield* screen.lines([`Cancelling ${id} and waiting for the lift …`])
    yield* front.cancel(id, false).pipe(
      // It may have ended in the same moment, which the watching will tell.
      Effect.catchIf(
        (failure) => failure.exit === "refused",
        () => Effect.void
      )
    )
    return yield* Effect.never
  }).pipe(Effect.forever)
  const last = yield* Effect.raceFirst(Fiber.join(following), guard)
  if (interrupted) {
    return yield* new Failure({ exit: "interrupted", detail: `${id} ended ${last}.` })
  }
  yield* endOf(id, last)
})

/** True when the answer, or a second signal, says to cancel. */
const askToCancel = Effect.fnUntraced(function* (signals: Queue.Dequeue<SignalName>) {
  yield* screen.live("")
  const answer = ask("Cancel the operation and lift now? [y/N] ", true)
  return yield* Effect.raceFirst(answer, Effect.as(Queue.take(signals), true))
})

/** The answer to a question; `interrupted` is what a Ctrl-C inside it means. */
const ask = (question: string, interrupted: boolean): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const lines = createInterface({ input: process.stdin, output: process.stdout })
    lines.question(printable(question), (text) => {
      lines.close()
      resume(Effect.succeed(/^\s*y/i.test(text)))
    })
    // Inside the question a Ctrl-C reaches readline instead of the process.
    lines.on("SIGINT", () => {
      lines.close()
      resume(Effect.succeed(interrupted))
    })
    return Effect.sync(() => lines.close())
  })

const ends: Partial<Record<OperationState, "faulted" | "cancelled">> = {
  Faulted: "faulted",
  Cancelled: "cancelled",
  ForceCancelled: "cancelled"
}
