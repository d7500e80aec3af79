/**
 * The port to a machine on which processes run and fences stand: this one, or one reached over ssh.
 * A host runs one POSIX-shell program with arguments; nothing has to be installed on it.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Pod } from "./Pod.ts"
import type { Millis } from "./Time.ts"

/** Tells a machine from others, and from itself before a reboot. Host, boot, pid and start time identify a process. */
export class HostIdentity extends Schema.Opaque<HostIdentity>()(
  Schema.Struct({
    machineId: Schema.String,
    bootId: Schema.String
  }).annotate({ identifier: "HostIdentity" })
) {}

/** What a program printed, and how it ended. */
export interface HostOutput {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/**
 * The host could not be asked, or gave no answer to use. `LostAnswer`: the command may have run, so probe and never
 * guess. `Unable`: the host answered that it cannot do what was asked.
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

/** The error in a sentence for a person whose request to the host touches nothing. */
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

/**
 * A program that runs on a host and is told one thing at a time while it runs. It ends with its scope at the latest.
 */
export interface Channel {
  /** False once we saw the program, or the way to it, end. The program may still have heard what was said last. */
  readonly isOpen: () => boolean
  /** True where the program was kept from before, and has said its greeting to somebody else. */
  readonly isKept?: boolean
  /** True while an answer is awaited. Nothing else can be said before it comes. */
  readonly isBusy: () => boolean
  /**
   * Says something and waits for the lines of the answer, up to a line that is `end`. If that line does not come within
   * `timeout`, the error is `LostAnswer` and the channel is closed.
   */
  readonly ask: (
    text: string,
    end: string,
    options: { readonly timeout: Millis }
  ) => Effect.Effect<ReadonlyArray<string>, HostError>
}

/** Lists the pods of a namespace that match a label selector. An empty selector matches all of them. */
type ListPods = (namespace: string, selector: string) => Effect.Effect<ReadonlyArray<Pod>, HostError>

/** Reads one resource of the Kubernetes API, of a kind such as `clusters.postgresql.cnpg.io`; null where none is called so. */
type ReadResource = (kind: string, namespace: string, name: string) => Effect.Effect<unknown, HostError>

/** A machine on which processes run and fences stand. */
export interface Host {
  /** The label by which configuration and evidence name it. */
  readonly label: string
  /**
   * True where others may at any time end whatever we start there, as in a pod. Only fences that the kernel ends
   * without us may stand on such a host.
   */
  readonly kernelOnly?: boolean
  /**
   * Lists pods of the Kubernetes cluster that this label stands for. Each node of that cluster is a host of its own.
   */
  readonly pods?: ListPods
  /** Reads what a person asked of an operator there. */
  readonly resource?: ReadResource
  /**
   * Runs a shell program and waits for its end. Program and arguments reach the shell by its standard input, since
   * everybody can read the arguments of a process. A non-zero exit code is an answer, not an error. If the end does not
   * come within `timeout`, the error is `LostAnswer`.
   */
  readonly run: (
    program: string,
    arguments_: ReadonlyArray<string>,
    options: { readonly timeout: Millis }
  ) => Effect.Effect<HostOutput, HostError>
  /**
   * Starts a shell program that stays and reads from its standard input what it is told. A host that has no `open` is
   * asked everything by separate programs.
   */
  readonly open?: (program: string, arguments_: ReadonlyArray<string>) => Effect.Effect<Channel, HostError, Scope.Scope>
  /**
   * True where `open` keeps a program for a while once nobody needs it, and gives it to whoever asks next. A question
   * is then quicker by a program that stays than by one that is started for it.
   */
  readonly keeps?: boolean
}
