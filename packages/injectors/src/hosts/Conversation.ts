/**
 * A channel to a program that stays on a host, over the pipes of a child: this machine's shell, or the ssh that leads to
 * another's.
 */
import { type Channel, HostError } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"

/** Starts a child, tells it the program, and gives the channel to it; it is closed with the scope. */
export const channel = (
  host: string,
  file: string,
  arguments_: ReadonlyArray<string>,
  text: string
): Effect.Effect<Channel, HostError, Scope.Scope> =>
  Effect.gen(function* () {
    const conversation = yield* Effect.acquireRelease(
      Effect.mapError(
        Child.converse(file, arguments_),
        ({ detail }) => new HostError({ host, reason: "Unreachable", detail })
      ),
      ({ close }) => Effect.sync(close)
    )
    let untold: string | null = text
    const lost = (detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })
    const ask: Channel["ask"] = (said, end, { timeout }) =>
      Effect.suspend(() => {
        const whole = `${untold ?? ""}${said}`
        untold = null
        return conversation.ask(whole, end)
      }).pipe(
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(lost(`no answer within ${timeout} ms`))
        }),
        Effect.flatMap((answer) =>
          answer === null
            ? Effect.fail(lost(`the program on the host ended: ${conversation.complaint().trim().slice(-500)}`))
            : Effect.succeed(answer.split("\n").filter((line) => line !== ""))
        )
      )
    return { isOpen: conversation.isOpen, isBusy: conversation.isBusy, ask }
  })
