/**
 * Runs a program as root by `sudo` where the user of a host is another. sudo may never ask and never remember. Only
 * what sudoers allows without a password counts, since in the middle of a hold sudo may have forgotten a password that
 * was typed once. The program comes by standard input as any other does; `use_pty` does not change that.
 */
import * as Script from "./Script.ts"

/** The command by which an `sh` starts another, root's, which runs this text from the same standard input. */
export const commandOf = (text: string): string =>
  `${words} sh -c ${Script.quote(Script.loaderOf(text))} inquorate "$INQUORATE_STATE"`

/**
 * The program as root's shell reads it. The shell first says `began`, where that is not empty: until then nothing of
 * the program can have run. The state directory is the one that the user's environment names, which sudo would keep
 * from root. Where it names none, it is root's.
 */
export const textOf = (program: string, arguments_: ReadonlyArray<string>, began: string): string =>
  `${began === "" ? "" : `printf '\\n%s\\n' ${began}\n`}[ -z "$1" ] || { INQUORATE_STATE=$1 && export INQUORATE_STATE; }\n${Script.textOf(program, arguments_)}`

/** The program behind sudo, between the marks of `Script.remoteText`. The program's own shell prints the first mark. */
export const remoteText = (program: string, arguments_: ReadonlyArray<string>, nonce: string): Script.RemoteText => {
  const text = textOf(program, arguments_, nonce)
  return Script.between(commandOf(text), text, nonce)
}

/** Why sudo ran nothing, in words for a person, from what it said. `user` is who asked sudo, such as `user ubuntu`. */
export const refusal = (complaint: string, user: string): string => {
  const said = complaint.trim().split("\n").at(-1)?.slice(0, 300) ?? ""
  const [, why] = sentences.find(([pattern]) => pattern.test(complaint)) ?? [undefined, () => "sudo ran nothing"]
  return `${why(user)} (${said === "" ? "sudo said nothing" : said})`
}

// --- internal ---

// `refusal` reads what sudo complains of, so it must be in one language.
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
