/**
 * `inq`: the command line. Puts the commands together, gives them what they need, and turns the way they end into one
 * line on standard error and an exit code.
 */
import "./Prepared.ts"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Commands from "./Commands.ts"
import * as Complete from "./Complete.ts"
import { root } from "./Endpoint.ts"
import { exitCodes } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import { asksForJson, inOurWords } from "./Habits.ts"
import * as Help from "./Help.ts"
import * as Platform from "./Platform.ts"
import { complain, complainJson, console } from "./Screen.ts"
import { type SignalName, Signals } from "./Signals.ts"

const inqWith = (commands: Awaited<ReturnType<typeof Commands.load>>) =>
  root.pipe(
    Command.withSubcommands(commands),
    Command.withExamples([
      { command: "inq partitions", description: "What there is" },
      { command: "inq plan orders -d 10s", description: "What would be done, and why that is enough" },
      { command: "inq start orders -d 10s --watch", description: "Do it, and see it through" },
      { command: "inq list --state live", description: "What runs now" },
      { command: "inq help start", description: "All there is to say of one command" }
    ])
  )

const [first, ...rest] = process.argv.slice(2)
const asked = first === Complete.word ? Complete.asking(rest) : inOurWords(process.argv.slice(2), Commands.isCommand)
// Nothing that we complete comes next, so nothing is printed.
if (asked === undefined) process.exit(exitCodes.done)
const typed = asked

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

const program = Effect.promise(() => Commands.load(typed)).pipe(
  Effect.flatMap((commands) =>
    Command.runWith(inqWith(commands), { version: process.env.INQUORATE_VERSION ?? "0.0.0" })(typed)
  ),
  Effect.provideService(Signals, signals),
  Effect.provideService(Console.Console, console),
  Effect.provide(Layer.merge(Help.layer, Platform.layer))
)

const codeOf = (exit: Exit.Exit<void, unknown>): number => {
  if (Exit.isSuccess(exit)) return exitCodes.done
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCodes.interrupted
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error instanceof Failure) {
    if (error.detail !== "" && asksForJson(process.argv)) {
      complainJson({ error: { exit: error.exit, code: exitCodes[error.exit], message: error.message } })
    } else if (error.detail !== "") complain(error.detail, error.more)
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

let lost: NodeJS.ErrnoException | undefined

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  lost ??= error
  // Nobody can see a guarded fault any more: treat it as a hangup.
  if (taker !== undefined) Queue.offerUnsafe(taker, "SIGHUP")
  else process.exit(codeWithout(error, exitCodes.done))
})
// No output is left to report this to.
process.stderr.on("error", () => {})

// A reader that went away (inq list | head) is no error. A full disk is.
const codeWithout = ({ code, message }: NodeJS.ErrnoException, otherwise: number): number => {
  if (otherwise !== exitCodes.done || code === "EPIPE") return otherwise
  complain(`The answer could not be written (${message}).`)
  return exitCodes.internal
}

fiber.addObserver((exit) => {
  const code = codeOf(exit)
  // Written output must reach a pipe before the process goes.
  // What went wrong with it is heard a moment after that.
  process.stdout.write("", (error) => {
    if (error == null) return process.exit(code)
    setImmediate(() => process.exit(codeWithout(lost ?? error, code)))
  })
})
