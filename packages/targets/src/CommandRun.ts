/**
 * Runs one command of the user's to its end, in a session of its own with bounded output. Interruption, a limit of time
 * and too much output end the whole session, so a client that hangs where the quorum is gone leaves nothing behind.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** How a command ended. */
export interface Ended {
  readonly exitCode: number
  readonly stdout: string
  /** The last 500 characters of its standard error, on one line. */
  readonly said: string
}

/** The command gave no answer: it could not be started, took too long, said too much, or a signal ended it. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", {
  reason: Schema.Literals(["NotStarted", "TimedOut", "TooLong", "Signalled"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The most bytes that a command may print. */
const outputMax = 1024 * 1024

/** Runs a shell command for at most `timeout` ms, with these variables added to its environment. */
export const run = (
  command: string,
  environment: Readonly<Record<string, string>>,
  timeout: number
): Effect.Effect<Ended, NoAnswer> =>
  Effect.callback<Ended, NoAnswer>((resume) => {
    const fail = (reason: NoAnswer["reason"], detail: string) => resume(Effect.fail(new NoAnswer({ reason, detail })))
    let child: ChildProcess
    try {
      child = spawn("/bin/sh", ["-c", command], {
        cwd: "/",
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...environment }
      })
    } catch (cause) {
      return void fail("NotStarted", cause instanceof Error ? cause.message : String(cause))
    }
    const end = (): void => endSession(child)
    child.on("error", (error) => fail("NotStarted", error.message))
    let stdout = ""
    let said = ""
    let length = 0
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      length += text.length
      if (length <= outputMax) return void (stdout += text)
      end()
      fail("TooLong", `it printed more than ${outputMax} bytes`)
    })
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-500)
    })
    child.on("close", (exitCode, signal) => {
      end()
      if (exitCode === null) return fail("Signalled", `it was ended by ${signal}${tail(said)}`)
      resume(Effect.succeed({ exitCode, stdout, said: oneLine(said) }))
    })
    return Effect.sync(end)
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(new NoAnswer({ reason: "TimedOut", detail: `it did not end within ${timeout} ms` }))
    })
  )

// --- internal ---

// The session's number is the child's own. No other process has that number while the child or anything of its session
// lives.
const endSession = (child: ChildProcess): void => {
  child.stdout?.destroy()
  child.stderr?.destroy()
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // The whole session has ended already.
  }
}

const oneLine = (text: string): string => text.trim().replace(/\s+/g, " ")

const tail = (said: string): string => (said.trim() === "" ? "" : `: ${oneLine(said)}`)
