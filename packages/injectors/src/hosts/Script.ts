/**
 * How a program comes to a shell on a host: by its standard input, never in arguments, which everybody on that host can
 * read. The arguments hold one short line. What it quotes has no single quote, line end or exclamation mark in it, so
 * any login shell hands it on unchanged.
 */

/** A word for a POSIX shell that means exactly this text. */
export const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** A program with its arguments as one text for a shell's standard input. It begins with a shell's own options. */
export const textOf = (program: string, arguments_: ReadonlyArray<string>): string =>
  `set ${ownOptions} -- ${arguments_.map(quote).join(" ")}\n${program}\n`

/** Why no shell can be told these words; empty where one can. */
export const problemWith = (arguments_: ReadonlyArray<string>): string =>
  arguments_.some((word) => word.includes("\0")) ? "a word for the host holds a NUL, which no shell can be told" : ""

/**
 * The command by which a shell reads this text from its standard input and leaves the rest for the program. It reads by
 * `dd`, since the `head` of busybox takes more than it was told.
 */
export const loaderOf = (text: string): string =>
  `eval "$(dd bs=${Buffer.byteLength(text)} count=1 iflag=fullblock 2>/dev/null)"`

/**
 * One short command for the login shell on a host, whichever that is. The command takes all else from its standard
 * input.
 */
export const commandOf = (text: string): string => `sh -c '${loaderOf(text)}' inquorate`

/** `outer` is what the shell on the host reads first; `input` is all that its standard input holds. */
export interface RemoteText {
  readonly outer: string
  readonly input: string
}

/**
 * The program in a shell of its own, between two marks. What a login shell says by itself comes before the first mark.
 * The second mark carries the exit code.
 */
export const remoteText = (program: string, arguments_: ReadonlyArray<string>, nonce: string): RemoteText => {
  const text = textOf(program, arguments_)
  return between(`printf '\\n%s\\n' ${nonce}; sh -c ${quote(loaderOf(text))} inquorate`, text, nonce)
}

/** The same for a command that reads this text and prints the first mark itself. */
export const between = (command: string, text: string, nonce: string): RemoteText => {
  const outer = `set ${ownOptions}; cd /; ${command}; printf '\\n%s %s\\n' ${nonce} "$?"`
  return { outer, input: `${outer}${text}` }
}

/**
 * No option that the environment sets: where sh is bash, an exported `SHELLOPTS` makes it end at the first command that
 * fails, or give each background process a job of its own.
 */
const ownOptions = "+aCefmuvx"

/** True where the command has ended and the first mark is missing: the program in it never began. */
export const neverBegan = (stdout: string, nonce: string): boolean =>
  !stdout.includes(`\n${nonce}\n`) && new RegExp(`\\n${nonce} \\d{1,3}\\n$`).test(stdout)

/** What the program said between the two marks, and its exit code; undefined where the answer is not whole. */
export const answerOf = (
  stdout: string,
  nonce: string
): { readonly stdout: string; readonly exitCode: number } | undefined => {
  const match = new RegExp(`\\n${nonce} (\\d{1,3})\\n$`).exec(stdout)
  const mark = `\n${nonce}\n`
  const began = stdout.indexOf(mark)
  return match === null || began < 0
    ? undefined
    : { stdout: stdout.slice(began + mark.length, match.index), exitCode: Number(match[1]) }
}
