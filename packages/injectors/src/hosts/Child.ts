/**
 * One child process, run to its end with bounded output. Every child of this package is started here. A failure to
 * start is heard before the child is used, so a machine without free files or processes gives an error, never a crash.
 * A child that says too much is killed and its pipes are closed, so that whatever it left behind stops writing.
 */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Readable } from "node:stream"

/** How a child ended. `isCut` is true where it said more than `outputLimit` bytes and was killed for it. */
export interface Ended {
  readonly stdout: string
  readonly stderr: string
  /** Null where a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
  readonly isCut: boolean
}

/** The child could not be started: the program is not there, or the machine has no free files, processes or memory. */
export class NotStarted extends Schema.TaggedError<NotStarted>()("NotStarted", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The most bytes that a program may say. Our programs' answers are all shorter; a program that says more is cut off.
 */
export const outputLimit = 4 * 1024 * 1024

/**
 * Runs a program and collects what it says. Interruption kills the program and closes its pipes. Without `collects`
 * nothing is collected, and nobody waits for a process that the program leaves behind. With `apart` the program has a
 * session of its own, without our terminal.
 */
export const run = (
  file: string,
  arguments_: ReadonlyArray<string>,
  options: { readonly collects: boolean; readonly input?: string | Uint8Array; readonly apart?: boolean }
): Effect.Effect<Ended, NotStarted> =>
  Effect.callback((resume) => {
    const { apart = false, collects, input } = options
    const said = collects ? "pipe" : "ignore"
    const started = start(file, arguments_, {
      cwd: "/",
      detached: apart,
      stdio: [input === undefined ? "ignore" : "pipe", said, said]
    })
    if (started instanceof NotStarted) return resume(Effect.fail(started))
    const { child, failed } = started
    failed((error) => resume(Effect.fail(error)))
    const stdout: Array<Buffer> = []
    const stderr: Array<Buffer> = []
    let length = 0
    const answer = (exitCode: number | null, signal: string | null): void =>
      resume(
        Effect.succeed({
          stdout: Buffer.concat(stdout).toString("utf8"),
          stderr: Buffer.concat(stderr).toString("utf8"),
          exitCode,
          signal,
          isCut: length > outputLimit
        })
      )
    const end = (): void => {
      child.kill("SIGKILL")
      child.stdin?.destroy()
      child.stdout?.destroy()
      child.stderr?.destroy()
    }
    const collect = (from: Readable | null | undefined, into: Array<Buffer>): void => {
      from?.on("error", () => {})
      from?.on("data", (chunk: Buffer) => {
        length += chunk.length
        if (length <= outputLimit) return void into.push(chunk)
        end()
        answer(null, "SIGKILL")
      })
    }
    collect(child.stdout, stdout)
    collect(child.stderr, stderr)
    // A program that reads less than it is given closes its end. That is no error of ours.
    child.stdin?.on("error", () => {})
    child.stdin?.end(input)
    child.on(collects ? "close" : "exit", answer)
    return Effect.sync(end)
  })

/** A child that we speak with. */
export interface Conversation {
  readonly isOpen: () => boolean
  readonly isBusy: () => boolean
  /**
   * Writes `text` and gives what the child says after it, up to a line that is `end`. Null where the child ended before
   * that line, or said more than `outputLimit` bytes.
   */
  readonly ask: (text: string, end: string) => Effect.Effect<string | null>
  /** The end of what the child said on its standard error. */
  readonly complaint: () => string
  /** True where it was closed for saying more than `outputLimit` bytes. */
  readonly isCut: () => boolean
  readonly close: () => void
}

/**
 * Starts a program that we speak with. Closing the conversation ends the program's input. A program that then does not
 * end by itself is killed.
 */
export const converse = (
  file: string,
  arguments_: ReadonlyArray<string>,
  { apart = false }: { readonly apart?: boolean } = {}
): Effect.Effect<Conversation, NotStarted> =>
  Effect.callback((resume) => {
    const started = start(file, arguments_, { cwd: "/", detached: apart, stdio: ["pipe", "pipe", "pipe"] })
    if (started instanceof NotStarted) return resume(Effect.fail(started))
    const { child, failed } = started
    let isOpen = true
    let isCut = false
    let said = ""
    let complaint = ""
    let waiting: { readonly end: string; readonly tell: (answer: string | null) => void } | undefined
    const tell = (answer: string | null): void => {
      const { tell } = waiting ?? {}
      waiting = undefined
      tell?.(answer)
    }
    const close = (): void => {
      if (!isOpen) return
      isOpen = false
      child.stdin?.destroy()
      child.stdout?.destroy()
      child.stderr?.destroy()
      // A child ends by itself at the end of its input. A child that does not, or cannot, is killed.
      const last = setTimeout(() => child.kill("SIGKILL"), closeWithin)
      child.on("exit", () => clearTimeout(last))
      tell(null)
    }
    failed((error) => {
      close()
      resume(Effect.fail(error))
    })
    child.stdin?.on("error", close)
    child.stdout?.on("error", close)
    child.stdout?.on("data", (chunk: Buffer) => {
      said += chunk.toString("latin1")
      if (said.length > outputLimit) {
        isCut = true
        child.kill("SIGKILL")
        return close()
      }
      if (waiting === undefined) return
      const mark = `\n${waiting.end}\n`
      const at = `\n${said}`.indexOf(mark)
      if (at < 0) return
      const answer = Buffer.from(said.slice(0, Math.max(0, at)), "latin1").toString("utf8")
      said = said.slice(at + mark.length - 1)
      tell(answer)
    })
    child.stderr?.on("error", () => {})
    child.stderr?.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString("utf8")).slice(-2000)))
    child.on("close", close)
    // A process that the child left behind may hold the child's pipes open.
    child.on("exit", () => setTimeout(close, 50))
    const ask = (text: string, end: string): Effect.Effect<string | null> =>
      Effect.callback((answer) => {
        if (!isOpen || waiting !== undefined) return answer(Effect.succeed(null))
        waiting = { end, tell: (lines) => answer(Effect.succeed(lines)) }
        said = ""
        child.stdin?.write(text)
        // Nobody waits for this answer any longer. Over an open conversation it would be taken for the answer to the
        // next question.
        return Effect.sync(close)
      })
    const opened = {
      isOpen: () => isOpen,
      isBusy: () => waiting !== undefined,
      ask,
      complaint: () => complaint,
      isCut: () => isCut,
      close
    }
    child.on("spawn", () => resume(Effect.succeed(opened)))
    return Effect.sync(close)
  })

// --- internal ---

/** How long a program may take to end by itself once nobody speaks with it any more, in milliseconds. */
const closeWithin = 2000

// Where no file is free, Node leaves the pipes of a child undefined, whatever its types say. So the code above uses
// `?.`.
type Pipes = { readonly [Name in "stdin" | "stdout" | "stderr"]?: ChildProcess[Name] }

const start = (
  file: string,
  arguments_: ReadonlyArray<string>,
  options: SpawnOptions
):
  | {
      readonly child: Omit<ChildProcess, keyof Pipes> & Pipes
      readonly failed: (tell: (error: NotStarted) => void) => void
    }
  | NotStarted => {
  try {
    const child = spawn(file, arguments_, options)
    let tell: (error: NotStarted) => void = () => {}
    // An error after the start is about a signal that we sent. The child's end tells that as well.
    child.on("error", ({ message }) => {
      if (child.pid === undefined) tell(new NotStarted({ detail: message }))
    })
    return { child, failed: (heard) => void (tell = heard) }
  } catch (cause) {
    // Node throws where it does not expect the machine to refuse: no memory, an argument that is too long.
    return new NotStarted({ detail: cause instanceof Error ? cause.message : String(cause) })
  }
}
