/**
 * How a worker ends that cannot run: in words for a person, and with an exit code for a program.
 */
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

/** The worker's exit codes beside 0 and 1. They are part of its documented interface and never change their meaning. */
export const exitCodes = { usage: 2, store: 3, listen: 4, cluster: 5 } as const

/**
 * The worker cannot run. The message is for a person, and empty where everything was said already. The exit code is for
 * a program.
 */
export class CannotRun extends Schema.TaggedError<CannotRun>()("CannotRun", {
  exit: Schema.Int,
  detail: Schema.String,
  /** What more there is to say, in lines of their own. */
  more: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get [Runtime.errorExitCode](): number {
    return this.exit
  }
}
