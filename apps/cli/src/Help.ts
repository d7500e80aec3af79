/**
 * What the parser tells: help where it was asked for, and of a wrong command line first what is wrong, on standard error,
 * and then where to read more.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Layer from "effect/Layer"
import { addition } from "./Complete.ts"
import { complain } from "./Screen.ts"

/** What is told, and the flags that every command line has: `-v` is for verbose, as people expect of it. */
export const layer = Layer.suspend(() => Layer.merge(presenter, CliConfig.layer({ builtIns })))

// --- internal ---

const version: typeof GlobalFlag.Version = {
  ...GlobalFlag.Version,
  flag: Flag.Boolean("version").pipe(Flag.withDescription("Show version information"), Flag.withDefault(false))
}

const completions: typeof GlobalFlag.Completions = {
  ...GlobalFlag.Completions,
  run: (shell, context) =>
    Effect.andThen(
      GlobalFlag.Completions.run(shell, context),
      Option.isSome(shell) ? Console.log(addition(shell.value)) : Effect.void
    )
}

const builtIns = [GlobalFlag.Help, version, completions, GlobalFlag.LogLevel]

const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => {
          const [first = "", ...more] = event.errors.map(({ message }) => message.trim().replace(/\s*\n\s*/g, " "))
          complain(first, [...more, `Usage: ${event.helpDoc.usage}`, `See ${event.commandPath.join(" ")} --help.`])
        })
      : CliOutput.defaultPresenter.present(event)
})
