/**
 * Starts a fault and, if wanted, watches it to its end. A watched operation is never left alone: whoever ends the
 * watching is asked, or the operation is cancelled and its lift awaited.
 */
import { faultOf } from "@inquorate/core/Fault"
import { type FaultRequest, placeOf } from "@inquorate/core/Request"
import type { OperationState } from "@inquorate/core/Wire"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { randomUUID } from "node:crypto"
import { print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import type { Ended, Operator } from "./Operator.ts"
import { readId } from "./OperationName.ts"
import { folded } from "./Question.ts"
import { canAsk, choose, screen } from "./Screen.ts"
import { type SignalName, Signals } from "./Signals.ts"

// --- models ---

/** The flags of every command that starts a fault. */
export const startFlags = {
  id: Flag.String("id").pipe(
    Flag.withDescription("The operation's id, a GUID; repeating a start with the same id is harmless"),
    Flag.optional
  ),
  watch: Flag.Boolean("watch").pipe(
    Flag.withAlias("w"),
    Flag.withDescription("Show it until it has ended; interrupting asks whether to cancel it"),
    Flag.withDefault(false)
  ),
  verbose: Flag.Boolean("verbose").pipe(
    Flag.withAlias("v"),
    Flag.withDescription("With --watch: show every write of the probe too"),
    Flag.withDefault(false)
  )
}

/** What those flags were. */
export interface StartInput {
  readonly id: Option.Option<string>
  readonly watch: boolean
  readonly verbose: boolean
}

type Context = Command.CommandContext<"inq"> | Signals

// --- make ---

/** Starts a fault, says so, and shows it to its end where that is wanted. */
export const startGuarded = (
  doing: string,
  operator: Operator,
  input: StartInput,
  request: FaultRequest
): Effect.Effect<void, Failure, Context> =>
  Effect.gen(function* () {
    const id = yield* Option.match(input.id, { onNone: () => Effect.succeed(randomUUID() as string), onSome: readId })
    // The signals are taken before the start is sent: from here on there may be a fault to lift.
    const signals = yield* (yield* Signals).take
    const started = yield* operator.start(doing, id, request)
    const { output } = yield* root
    if (!input.watch) {
      const cancels = `"inq cancel ${id}" ${faultOf(request).words.cancelled}`
      return yield* print(started.value, () => [
        `Started ${id}${started.replayed ? " (it was started before)" : ""}. "inq watch ${id}" shows it, ${cancels}.`
      ])
    }
    if (output === "table")
      yield* screen.lines([`Operation ${id} on ${placeOf(request)}, ${faultOf(request).words.announced}`])
    yield* watchAndGuard(operator, id, signals, input)
  }).pipe(Effect.scoped)

/** Says how an operation ended, and fails with the exit code of it. */
export const endOf = (
  id: string,
  { sentence, state }: Ended
): Effect.Effect<void, Failure, Command.CommandContext<"inq">> =>
  Effect.gen(function* () {
    const { output } = yield* root
    if (output === "table") yield* screen.lines([`${id} ended ${state}.`, ...(sentence === "" ? [] : folded(sentence))])
    const exit = ends[state]
    if (exit !== undefined) return yield* new Failure({ exit, detail: "" })
  })

// --- internal ---

/**
 * Watches; a Ctrl-C on a terminal asks whether to lift, to go on, or to leave the operation to the worker. Without a
 * terminal, when it comes again, or when the terminal is gone, the operation is cancelled and its lift awaited.
 */
const watchAndGuard = Effect.fnUntraced(function* (
  operator: Operator,
  id: string,
  signals: Queue.Dequeue<SignalName>,
  options: { readonly verbose: boolean }
) {
  const following = yield* Effect.forkChild(operator.follow(id, options))
  let interrupted = false
  const guard = Effect.gen(function* () {
    while (true) {
      const signal = yield* Queue.take(signals)
      // The lift is on its way. A person who cannot wait learns where to look.
      if (interrupted) {
        if (signal === "SIGINT") yield* screen.lines([`The lift is on its way. "inq watch ${id}" shows it.`])
        continue
      }
      const wish = signal === "SIGINT" && canAsk() ? yield* askAbout(signals) : "y"
      if (wish === "d") return "detached" as const
      if (wish === "n") continue
      interrupted = true
      yield* screen.live("")
      yield* screen.lines([`Cancelling ${id} and waiting for the lift …`])
      yield* operator.cancel(id, false).pipe(
        // It may have ended in the same moment, which the watching will tell.
        Effect.catchIf(
          (failure) => failure.exit === "refused",
          () => Effect.void
        )
      )
    }
  })
  const last = yield* Effect.raceFirst(Fiber.join(following), guard)
  if (last === "detached") {
    yield* Fiber.interrupt(following)
    return yield* screen.lines([
      `Left to the worker. "inq watch ${id}" shows it, "inq cancel ${id}" lifts at once; it ends by itself in any case.`
    ])
  }
  if (interrupted) {
    return yield* new Failure({ exit: "interrupted", detail: `${id} ended ${last.state}. ${last.sentence}`.trim() })
  }
  yield* endOf(id, last)
})

/** What to do: a second signal means to lift. */
const askAbout = Effect.fnUntraced(function* (signals: Queue.Dequeue<SignalName>) {
  const answer = choose(
    "Cancel the operation and lift now? [y]es lift now / [n]o keep holding / [d]etach ",
    ["y", "n", "d"],
    { enter: "n", interrupted: "y" }
  )
  return yield* Effect.raceFirst(answer, Effect.as(Queue.take(signals), "y" as const))
})

const ends: Partial<Record<OperationState, "faulted" | "cancelled">> = {
  Faulted: "faulted",
  Cancelled: "cancelled",
  ForceCancelled: "cancelled"
}
