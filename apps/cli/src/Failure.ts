/**
 * How a command fails: one line for a person and the exit code. Everything that can go wrong turns into this at the
 * edge of a command, and nowhere else.
 */
import * as Schema from "effect/Schema"
import type { exitCodes } from "./ExitCode.ts"

/** Which of the exit codes. */
export type ExitName = keyof typeof exitCodes

/** A command failed; `detail` says what was wrong, where, and what to do. */
export class Failure extends Schema.TaggedError<Failure>()("Failure", {
  exit: Schema.Literals([
    "internal",
    "usage",
    "refused",
    "faulted",
    "cancelled",
    "unreachable",
    "residue",
    "lab",
    "interrupted"
  ]),
  detail: Schema.String,
  /** What more there is to say, in lines of their own. */
  more: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get message(): string {
    return [this.detail, ...(this.more ?? [])].join("\n")
  }
}
