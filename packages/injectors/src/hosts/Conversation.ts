/**
 * A channel to a program that stays on a host, over the pipes of a child. The child is this machine's shell, or the ssh
 * or kubectl that leads to another machine's shell.
 */
import { type Channel, HostError } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"

/** A child to speak with. */
export interface Speaker {
  readonly file: string
  readonly arguments: ReadonlyArray<string>
  /** What the child is told first: the program. */
  readonly text: string
  /** Whether it has a session of its own, without our terminal. */
  readonly apart?: boolean
  /** Says why the child ended, from what it said on its standard error. Unless given, the end of that is the reason. */
  readonly why?: (complaint: string) => string
}

/**
 * Starts a child and gives the channel to it. The program goes out with the first question. The scope closes the
 * channel.
 */
export const channel = (
  host: string,
  { apart = false, arguments: arguments_, file, text, why = (complaint) => complaint.trim().slice(-500) }: Speaker
): Effect.Effect<Channel, HostError, Scope.Scope> =>
  Effect.gen(function* () {
    const conversation = yield* Effect.acquireRelease(
      Effect.mapError(
        Child.converse(file, arguments_, { apart }),
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
          orElse: () => Effect.fail(lost(`no answer within ${Math.round(timeout)} ms`))
        }),
        Effect.flatMap((answer) =>
          answer === null
            ? Effect.fail(lost(`the program on the host ended: ${why(conversation.complaint())}`))
            : Effect.succeed(answer.split("\n").filter((line) => line !== ""))
        )
      )
    return { isOpen: conversation.isOpen, isBusy: conversation.isBusy, ask }
  })
