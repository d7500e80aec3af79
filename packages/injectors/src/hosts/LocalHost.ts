/**
 * This machine as a `Host`: one `sh` per call, spawned directly, with bounded time and output.
 * What a program leaves running in a session of its own outlives the call; only the `sh` itself is killed when late.
 */
import { spawn } from "node:child_process"
import { type Host, HostError, type HostOutput } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"

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
        )
})

// --- internal ---

/** More than any answer of ours; a program that says more is stopped. */
const outputLimit = 4 * 1024 * 1024

const lost = (host: string, detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })

const start = (
  label: string,
  program: string,
  arguments_: ReadonlyArray<string>
): Effect.Effect<HostOutput, HostError> =>
  Effect.callback((resume) => {
    const child = spawn("sh", ["-c", program, "inquorate", ...arguments_], {
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"]
    })
    const chunks: { readonly stdout: Array<Buffer>; readonly stderr: Array<Buffer> } = { stdout: [], stderr: [] }
    let length = 0
    const collect =
      (into: Array<Buffer>) =>
      (chunk: Buffer): void => {
        length += chunk.length
        if (length <= outputLimit) into.push(chunk)
        else child.kill("SIGKILL")
      }
    child.stdout.on("data", collect(chunks.stdout))
    child.stderr.on("data", collect(chunks.stderr))
    child.on("error", (error) => {
      // An error after the start would be about a signal of ours, which `close` tells.
      if (child.pid === undefined) {
        resume(Effect.fail(new HostError({ host: label, reason: "Unreachable", detail: error.message })))
      }
    })
    child.on("close", (exitCode, signal) => {
      if (length > outputLimit) return resume(Effect.fail(lost(label, `more than ${outputLimit} bytes of output`)))
      if (exitCode === null) return resume(Effect.fail(lost(label, `ended by ${signal}`)))
      resume(
        Effect.succeed({
          stdout: Buffer.concat(chunks.stdout).toString("utf8"),
          stderr: Buffer.concat(chunks.stderr).toString("utf8"),
          exitCode
        })
      )
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })
