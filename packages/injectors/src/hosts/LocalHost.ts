/**
 * This machine as a `Host`: one `sh` per call, spawned directly, with bounded time and output.
 * What a program leaves running in a session of its own outlives the call; only the `sh` itself is killed when late.
 */
import { type Host, HostError, type HostOutput } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import * as Child from "./Child.ts"
import * as Conversation from "./Conversation.ts"
import * as Script from "./Script.ts"

/** This machine under a label. Anything but Linux answers `NotThisPlatform`, since there is no /proc to rely on. */
export const make = (label: string): Host => ({
  label,
  run: (program, arguments_, { timeout }) =>
    process.platform === "linux"
      ? start(label, program, arguments_).pipe(
          Effect.timeoutOrElse({
            duration: timeout,
            orElse: () => Effect.fail(lost(label, `no answer within ${timeout} ms`))
          })
        )
      : Effect.fail(
          new HostError({ host: label, reason: "NotThisPlatform", detail: `${process.platform} has no /proc` })
        ),
  open: (program, arguments_) => {
    const text = Script.textOf(program, arguments_)
    return Conversation.channel(label, "sh", ["-c", Script.loaderOf(text), "inquorate"], text)
  }
})

// --- internal ---

const lost = (host: string, detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })

const start = (
  label: string,
  program: string,
  arguments_: ReadonlyArray<string>
): Effect.Effect<HostOutput, HostError> =>
  Effect.suspend(() => {
    const problem = Script.problemWith(arguments_)
    if (problem !== "") return Effect.fail(new Child.NotStarted({ detail: problem }))
    const input = Script.textOf(program, arguments_)
    return Child.run("sh", ["-c", Script.loaderOf(input), "inquorate"], { collects: true, input })
  }).pipe(
    Effect.mapError(({ detail }) => new HostError({ host: label, reason: "Unreachable", detail })),
    Effect.flatMap(({ exitCode, isCut, signal, stderr, stdout }) =>
      isCut
        ? Effect.fail(lost(label, `more than ${Child.outputLimit} bytes of output`))
        : exitCode === null
          ? Effect.fail(lost(label, `ended by ${signal}`))
          : Effect.succeed({ stdout, stderr, exitCode })
    )
  )
