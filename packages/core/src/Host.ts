/**
 * The port to a machine on which processes run and fences stand: this one, or one reached over ssh.
 * A host runs one POSIX-shell program with arguments; nothing has to be installed on it.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Millis } from "./Time.ts"

/** Which machine it is, for as long as it is up: a process is (host, boot, pid, start time). */
export const HostIdentity = Schema.Struct({
  machineId: Schema.String,
  bootId: Schema.String
}).annotate({ identifier: "HostIdentity" })
/** Which machine it is. */
export type HostIdentity = typeof HostIdentity.Type

/** What a command left behind. */
export interface HostOutput {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/** The host could not be asked. `LostAnswer` means the command may have run: probe, never guess. */
export class HostError extends Schema.TaggedError<HostError>()("HostError", {
  host: Schema.String,
  reason: Schema.Literals(["Unreachable", "LostAnswer", "NotThisPlatform"]),
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
  }
}

/** A machine on which processes run and fences stand. */
export interface Host {
  /** The label by which configuration and evidence name it. */
  readonly label: string
  /**
   * Runs a shell program (`sh -c program name arguments…`) and waits for its end.
   * A non-zero exit code is an answer, not an error; no end within `timeout` is `LostAnswer`.
   */
  readonly run: (
    program: string,
    arguments_: ReadonlyArray<string>,
    options: { readonly timeout: Millis }
  ) => Effect.Effect<HostOutput, HostError>
}
