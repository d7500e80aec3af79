/**
 * The port to a machine on which processes run and fences stand: this one, or one reached over ssh.
 * A host runs one POSIX-shell program with arguments; nothing has to be installed on it.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Pod } from "./Pod.ts"
import type { Millis } from "./Time.ts"

/** Which machine it is, for as long as it is up: a process is (host, boot, pid, start time). */
export class HostIdentity extends Schema.Opaque<HostIdentity>()(
  Schema.Struct({
    machineId: Schema.String,
    bootId: Schema.String
  }).annotate({ identifier: "HostIdentity" })
) {}

/** What a command left behind. */
export interface HostOutput {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/**
 * The host could not be asked. `LostAnswer` means the command may have run: probe, never guess. `Unable`: it answered that
 * it cannot do what was asked.
 */
export class HostError extends Schema.TaggedError<HostError>()("HostError", {
  host: Schema.String,
  reason: Schema.Literals(["Unreachable", "LostAnswer", "NotThisPlatform", "Unable"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** What such an error means to a person who asked a host for something that touches nothing. */
export const describeHostError = ({ detail, host, reason }: HostError): string => {
  switch (reason) {
    case "LostAnswer":
      return `host ${host} did not answer in time (${detail}; it may be busy): try again`
    case "Unreachable":
      return `host ${host} cannot be reached (${detail})`
    case "NotThisPlatform":
      return `host ${host} is no Linux (${detail})`
    case "Unable":
      return `host ${host} cannot tell: ${detail}`
  }
}

/** A program that runs on a host and is told more while it runs, one thing at a time. Ends with its scope at the latest. */
export interface Channel {
  /** False once the program or the way to it was seen to have ended; what was said last may have been heard. */
  readonly isOpen: () => boolean
  /** True while an answer is awaited: nothing else can be said before it comes. */
  readonly isBusy: () => boolean
  /**
   * Says something and waits for the lines of the answer, up to a line that is `end`. No such line within `timeout` is
   * `LostAnswer`, and the channel is then closed.
   */
  readonly ask: (
    text: string,
    end: string,
    options: { readonly timeout: Millis }
  ) => Effect.Effect<ReadonlyArray<string>, HostError>
}

/** Lists the pods of a namespace that a label selector means (all where it is empty). */
type ListPods = (namespace: string, selector: string) => Effect.Effect<ReadonlyArray<Pod>, HostError>

/** A machine on which processes run and fences stand. */
export interface Host {
  /** The label by which configuration and evidence name it. */
  readonly label: string
  /**
   * True where anybody may end at any time whatever we start there, as in a pod: only fences that the kernel ends without us
   * may stand on it.
   */
  readonly kernelOnly?: boolean
  /** The pods of the Kubernetes cluster that this label stands for, each of whose nodes is a host of its own. */
  readonly pods?: ListPods
  /**
   * Runs a shell program and waits for its end. Program and arguments reach the shell by its standard input, since what
   * stands in the arguments of a process is there for everybody to read.
   * A non-zero exit code is an answer, not an error; no end within `timeout` is `LostAnswer`.
   */
  readonly run: (
    program: string,
    arguments_: ReadonlyArray<string>,
    options: { readonly timeout: Millis }
  ) => Effect.Effect<HostOutput, HostError>
  /**
   * Starts a shell program that stays, and reads from its standard input what it is told. Where it is left out, everything
   * is asked by programs of their own.
   */
  readonly open?: (program: string, arguments_: ReadonlyArray<string>) => Effect.Effect<Channel, HostError, Scope.Scope>
}
