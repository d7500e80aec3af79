/**
 * The signals of the process, as a service: whoever takes them decides what they mean; while nobody does, the first one
 * interrupts the command.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** A signal that asks a command to end. */
export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP"

/** The signals of the process. */
export class Signals extends Context.Service<
  Signals,
  {
    /** Takes the signals for as long as the scope is open. */
    readonly take: Effect.Effect<Queue.Dequeue<SignalName>, never, Scope.Scope>
  }
>()("@inquorate/cli/Signals") {}
