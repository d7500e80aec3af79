/**
 * What the parser tells: help where it was asked for, and of a wrong command line first what is wrong, on standard error,
 * and then where to read more.
 */
import * as Effect from "effect/Effect"
import * as CliOutput from "effect/cli/CliOutput"
import { complain } from "./Screen.ts"

/** The presenter of the command. */
export const layer = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => {
          const [first = "", ...more] = event.errors.map(({ message }) => message.trim())
          complain(first, [...more, `Usage: ${event.helpDoc.usage}`, `See ${event.commandPath.join(" ")} --help.`])
        })
      : CliOutput.defaultPresenter.present(event)
})
