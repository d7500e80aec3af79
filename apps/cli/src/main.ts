/**
 * `inq`: the command line. Puts the commands together, gives them what they need, and turns the way they end into one
 * line on standard error and an exit code.
 */
import "./Prepared.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { clusters, healthCommand, partitions } from "./Browse.ts"
import { chaos } from "./Chaos.ts"
import { doctor } from "./Doctor.ts"
import { root } from "./Endpoint.ts"
import { exitCodes } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import { dataLoss, node, recover, restart } from "./Faults.ts"
import * as Help from "./Help.ts"
import { lab } from "./Labs.ts"
import { cancel, list, plan, show, start, watch } from "./Operate.ts"
import { complain } from "./Screen.ts"
import { target } from "./TargetCheck.ts"
import { type SignalName, Signals } from "./Signals.ts"

const inq = root.pipe(
  Command.withSubcommands([
    start,
    restart,
    dataLoss,
    node,
    recover,
    plan,
    watch,
    show,
    list,
    cancel,
    chaos,
    partitions,
    clusters,
    healthCommand,
    target,
    lab,
    doctor
  ])
)

let taker: Queue.Queue<SignalName> | undefined

const signals = Signals.of({
  take: Effect.acquireRelease(
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<SignalName>()
      taker = queue
      return queue
    }),
    () =>
      Effect.sync(() => {
        taker = undefined
      })
  )
})

const program = Command.runWith(inq, { version: process.env.INQUORATE_VERSION ?? "0.0.0" })(process.argv.slice(2)).pipe(
  Effect.provideService(Signals, signals),
  Effect.provide(Layer.merge(Help.layer, NodeServices.layer))
)

const codeOf = (exit: Exit.Exit<void, unknown>): number => {
  if (Exit.isSuccess(exit)) return exitCodes.done
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCodes.interrupted
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error instanceof Failure) {
    if (error.detail !== "") complain(error.detail)
    return exitCodes[error.exit]
  }
  // The command line's own mistakes have been told by the parser already.
  if (CliError.isCliError(error)) return exitCodes.usage
  complain("this should not have happened; please report it.", Cause.pretty(exit.cause).split("\n"))
  return exitCodes.internal
}

const fiber = Effect.runFork(program)

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (taker !== undefined) Queue.offerUnsafe(taker, signal)
    else Effect.runFork(Fiber.interrupt(fiber))
  })
}

// A reader that went away (inq list | head) is no error of ours.
process.stdout.on("error", () => process.exit(exitCodes.done))

fiber.addObserver((exit) => {
  const code = codeOf(exit)
  // Written output must reach a pipe before the process goes.
  process.stdout.write("", () => process.exit(code))
})
