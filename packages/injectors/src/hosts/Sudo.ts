/**
 * A program that runs as root by `sudo` where the user of a host is another. sudo is never let ask, and never let remember:
 * what counts is what sudoers allows without a password, for a password that was typed once is forgotten in the middle of
 * a hold. The program comes by standard input as any other does, which `use_pty` leaves as it is.
 */
import * as Script from "./Script.ts"

/** What an `sh` is given to run so that another, root's, runs this text from the same standard input. */
export const commandOf = (text: string): string =>
  `${words} sh -c ${Script.quote(Script.loaderOf(text))} inquorate "$INQUORATE_STATE"`

/**
 * The program as root's shell reads it. It says `began` first, where that is not empty: until then nothing of it can have
 * run. The state directory is the one that the environment of the user names, which sudo would keep from root; else root's.
 */
export const textOf = (program: string, arguments_: ReadonlyArray<string>, began: string): string =>
  `${began === "" ? "" : `printf '\\n%s\\n' ${began}\n`}[ -z "$1" ] || { INQUORATE_STATE=$1 && export INQUORATE_STATE; }\n${Script.textOf(program, arguments_)}`

/** The program behind sudo, between the marks of `Script.remoteText`; the first is printed by the program's own shell. */
export const remoteText = (program: string, arguments_: ReadonlyArray<string>, nonce: string): Script.RemoteText => {
  const text = textOf(program, arguments_, nonce)
  return Script.between(commandOf(text), text, nonce)
}

/** Why sudo ran nothing, from what it said, in words for a person; `user` is who asked it, such as `user ubuntu`. */
export const refusal = (complaint: string, user: string): string => {
  const said = complaint.trim().split("\n").at(-1)?.slice(0, 300) ?? ""
  const [, why] = sentences.find(([pattern]) => pattern.test(complaint)) ?? [undefined, () => "sudo ran nothing"]
  return `${why(user)} (${said === "" ? "sudo said nothing" : said})`
}

// --- internal ---

// Its complaints are to be read, so they are in one language.
const words = "LC_ALL=C sudo -n -k --"

const sentences: ReadonlyArray<readonly [pattern: RegExp, sentence: (user: string) => string]> = [
  [
    /password is required|authentication is required/,
    (user) =>
      `sudo asks ${user} for a password, and nobody is there to type it: allow this user everything in sudoers with NOPASSWD`
  ],
  [
    /not in the sudoers|not allowed to|may not run sudo/,
    (user) => `sudoers does not allow ${user} to run sh as root: allow this user everything with NOPASSWD`
  ],
  [/must have a tty/, () => "sudo wants a terminal: take requiretty out of sudoers"],
  [/sudo: (?:command )?not found|sudo: inaccessible/, () => "the host has no sudo: install it, or enter as root"]
]
