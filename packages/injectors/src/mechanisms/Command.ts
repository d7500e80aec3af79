/**
 * The command: the user's own `apply` takes a member out. In the end the keepers run the user's own `lift`, again and
 * again until it succeeds. Two lifts of one fence never run at once. Where there is a `check`, the fence counts as
 * applied once the check succeeds, and as broken when the check says no during the hold.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as Schema from "effect/Schema"
import * as HostProgram from "../HostProgram.ts"
import * as Programs from "../Programs.ts"

const seconds = (description: string, maximum: number) =>
  Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))).annotateKey({ description })

const line = (description: string) => Schema.NonEmptyString.annotateKey({ description })

/** How one member is taken out and put back, in shell commands that the worker's user runs on the member's host. */
export const MemberCommands = Schema.Struct({
  apply: line("Takes the member out; any exit code but 0 means that it did not."),
  lift: line("Puts the member back; may run again, after an apply that failed too, and must then do no harm."),
  check: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Exits with 0 while the member is out and with another code while it is not."
  })
})
export type MemberCommands = typeof MemberCommands.Type

/** The settings of the command. */
export const Settings = Schema.Struct({
  members: Schema.Record(Schema.String, MemberCommands).annotateKey({
    description: "How each member is taken out and put back, by name; one that is not named cannot be taken out."
  }),
  applySeconds: seconds("How many seconds an apply may take; 3 unless given.", 4),
  liftSeconds: seconds("How many seconds a lift may take before it is killed and tried again; 10 unless given.", 300)
})
export type Settings = typeof Settings.Type

/** The user's own commands on these hosts, by label. Of keeper grade: one of two keepers runs the lift at the deadline. */
export const make = (
  hosts: ReadonlyMap<string, Host>,
  { applySeconds = 3, liftSeconds = 10, members }: Settings
): Injector =>
  HostProgram.make(
    {
      name: "command",
      stays: true,
      liftsSlowly: true,
      program: Programs.command,
      wordsOf: (_, member) => {
        const own = member === undefined || !Object.hasOwn(members, member) ? undefined : members[member]
        if (own === undefined) return member === undefined ? [] : ["none"]
        return ["own", own.apply, own.lift, own.check ?? "", String(applySeconds), String(liftSeconds)]
      }
    },
    hosts
  )
