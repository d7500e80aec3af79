/**
 * This machine as a `Host`: one `sh` per call, spawned directly, with bounded time and output. A call that is late
 * kills its `sh` only. What a program leaves running in a session of its own outlives the call.
 */
import { type Host, HostError, type HostOutput } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as os from "node:os"
import * as Child from "./Child.ts"
import * as Conversation from "./Conversation.ts"
import * as KeptPrograms from "./KeptPrograms.ts"
import * as Script from "./Script.ts"
import * as Sudo from "./Sudo.ts"

/** Which rights the programs on this machine have. */
export interface LocalOptions {
  /** True where they run as root, by `sudo`. Otherwise they have our own rights. */
  readonly sudo?: boolean
}

/**
 * This machine under a label. On any system but Linux it fails with `NotThisPlatform`, since there is no /proc to rely
 * on.
 */
export const make = (label: string, { sudo = false }: LocalOptions = {}): Host => ({
  label,
  run: (program, arguments_, { timeout }) =>
    process.platform === "linux"
      ? start(label, program, arguments_, sudo).pipe(
          Effect.timeoutOrElse({
            duration: timeout,
            orElse: () => Effect.fail(lost(label, `no answer within ${Math.round(timeout)} ms`))
          })
        )
      : Effect.fail(
          new HostError({ host: label, reason: "NotThisPlatform", detail: `${process.platform} has no /proc` })
        ),
  open: (program, arguments_) => {
    const { command, text } = shellOf(program, arguments_, sudo ? "" : null)
    return Conversation.channel(label, {
      file: "sh",
      arguments: ["-c", command, "inquorate"],
      text,
      apart: sudo,
      ...(sudo ? { why: (complaint: string) => Sudo.refusal(complaint, user()) } : {})
    })
  }
})

/** The same, which keeps programs that stay for a while, until the scope closes. */
export const keeping = (label: string, options?: LocalOptions): Effect.Effect<Host, never, Scope.Scope> =>
  KeptPrograms.around(make(label, options))

// --- internal ---

const lost = (host: string, detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })

const user = (): string => `user ${os.userInfo().username}`

// What `sh` is given to run, and what it reads from its standard input. `began` is what a program under sudo says first.
const shellOf = (
  program: string,
  arguments_: ReadonlyArray<string>,
  began: string | null
): { readonly command: string; readonly text: string } => {
  const text = began === null ? Script.textOf(program, arguments_) : Sudo.textOf(program, arguments_, began)
  return { command: began === null ? Script.loaderOf(text) : Sudo.commandOf(text), text }
}

const start = (
  label: string,
  program: string,
  arguments_: ReadonlyArray<string>,
  sudo: boolean
): Effect.Effect<HostOutput, HostError> =>
  Effect.suspend(() => {
    const problem = Script.problemWith(arguments_)
    if (problem !== "") return Effect.fail(new Child.NotStarted({ detail: problem }))
    const began = sudo ? randomBytes(12).toString("hex") : null
    const { command, text } = shellOf(program, arguments_, began)
    return Effect.map(
      // sudo gets no terminal of ours, since it would use it for the program.
      Child.run("sh", ["-c", command, "inquorate"], { collects: true, input: text, apart: sudo }),
      (ended) => ({ ...ended, mark: began === null ? "" : `\n${began}\n` })
    )
  }).pipe(
    Effect.mapError(({ detail }) => new HostError({ host: label, reason: "Unreachable", detail })),
    Effect.flatMap(({ exitCode, isCut, mark, signal, stderr, stdout }) =>
      isCut
        ? Effect.fail(lost(label, `more than ${Child.outputLimit} bytes of output`))
        : exitCode === null
          ? Effect.fail(lost(label, `ended by ${signal}`))
          : stdout.startsWith(mark)
            ? Effect.succeed({ stdout: stdout.slice(mark.length), stderr, exitCode })
            : Effect.fail(new HostError({ host: label, reason: "Unreachable", detail: Sudo.refusal(stderr, user()) }))
    )
  )
