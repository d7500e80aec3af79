/**
 * One child process, run to its end with bounded output. Every child of this package is started here, so that its failure
 * to start is heard before anything of it is touched: a machine without free files or processes gives an error, never a
 * crash. A child that says too much is killed and its pipes are closed, so that whatever it left behind stops writing.
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

/** More bytes than any answer of ours has; a program that says more is cut off. */
export const outputLimit = 4 * 1024 * 1024

/**
 * Runs a program and collects what it says. Interruption kills the program and closes its pipes. Without `collects` nothing
 * is collected, and a process that the program leaves behind keeps nobody waiting. `apart` gives it a session of its own,
 * without our terminal.
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
    // A program that reads less than it is given closes its end, which is no error of ours.
    child.stdin?.on("error", () => {})
    child.stdin?.end(input)
    child.on(collects ? "close" : "exit", answer)
    return Effect.sync(end)
  })

/** A child that is spoken with. */
export interface Conversation {
  readonly isOpen: () => boolean
  readonly isBusy: () => boolean
  /**
   * Writes `text` and gives what is said after it, up to a line that is `end`; null where the child ended before it, or
   * said more than `outputLimit` bytes.
   */
  readonly ask: (text: string, end: string) => Effect.Effect<string | null>
  /** What it has said on its standard error, the end of it. */
  readonly complaint: () => string
  /** True where it was closed for saying more than `outputLimit` bytes. */
  readonly isCut: () => boolean
  readonly close: () => void
}

/** Starts a program that is spoken with. It hears the end of its input when the conversation is closed, and then is killed. */
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
      // It ends by itself at the end of its input; one that does not, or cannot, is ended.
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
    // What it left behind may hold its pipes open.
    child.on("exit", () => setTimeout(close, 50))
    const ask = (text: string, end: string): Effect.Effect<string | null> =>
      Effect.callback((answer) => {
        if (!isOpen || waiting !== undefined) return answer(Effect.succeed(null))
        waiting = { end, tell: (lines) => answer(Effect.succeed(lines)) }
        said = ""
        child.stdin?.write(text)
        // Nobody waits for the answer any longer, which would be taken for that to the next question.
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

// Node leaves the pipes of a child undefined where no file is free, whatever its types say: so they are `?.` above.
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
    // An error after the start would be about a signal of ours, which the end tells.
    child.on("error", ({ message }) => {
      if (child.pid === undefined) tell(new NotStarted({ detail: message }))
    })
    return { child, failed: (heard) => void (tell = heard) }
  } catch (cause) {
    // Node throws where it did not expect the machine's refusal: no memory, an argument that is too long.
    return new NotStarted({ detail: cause instanceof Error ? cause.message : String(cause) })
  }
}
