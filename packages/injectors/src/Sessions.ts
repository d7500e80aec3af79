/**
 * Speaks with programs that stay on hosts and take one order after another. One that a host keeps from before is given
 * to whoever asks next.
 */
import type { Channel, Host, HostError } from "@inquorate/core/Host"
import { InjectorError } from "@inquorate/core/Injector"
import * as Session from "@inquorate/core/Session"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"

/** A session that takes longer is frozen or gone. The order then goes to a new program. */
export const sessionTimeout: Millis = 2000
/** How long a question may take that touches nothing. */
export const askTimeout: Millis = 10_000

/** A failure about one member on a host. */
export const fail = (
  host: string,
  member: string,
  reason: InjectorError["reason"],
  detail: string
): Effect.Effect<never, InjectorError> => Effect.fail(new InjectorError({ host, member, reason, detail }))

/** The error of a question that ordered nothing. Whatever became of the question, it left nothing on the host. */
export const unsent = (error: InjectorError | HostError, member: string): InjectorError =>
  error._tag === "InjectorError"
    ? error
    : new InjectorError({ host: error.host, member, reason: "Unreachable", detail: error.detail })

/** The sessions of one program on these hosts, by label. */
export const make = (program: string, hosts: ReadonlyMap<string, Host>) => {
  const greeted = Effect.fnUntraced(function* (host: string, member: string) {
    const open = hosts.get(host)?.open
    if (open === undefined) return yield* fail(host, member, "Unreachable", "no host of this name is configured")
    return yield* Effect.mapError(Session.open(open, program, { kept: sessionTimeout, fresh: askTimeout }), (error) =>
      unsent(error, member)
    )
  })

  const tell = (channel: Channel, words: ReadonlyArray<string>, about: string, timeout: Millis) =>
    Effect.mapError(channel.ask(Session.textOf(words), Session.endMark, { timeout }), ({ detail, host, reason }) => {
      const unsure = reason === "LostAnswer" ? "Unknown" : "Unreachable"
      return new InjectorError({ host, member: about, reason: unsure, detail })
    })

  // The same over a program that the host keeps, where the operation's own is busy with another member.
  const overKept = (host: string, member: string, words: ReadonlyArray<string>) =>
    hosts.get(host)?.keeps !== true
      ? Effect.succeed(null)
      : Effect.flatMap(greeted(host, member), (channel) => tell(channel, words, member, sessionTimeout)).pipe(
          Effect.scoped,
          Effect.match({ onFailure: () => null, onSuccess: (lines) => lines })
        )

  return { greeted, overKept, tell }
}
