/**
 * The kill: ends a member's processes by SIGKILL and keeps them out until the keepers start the server again. They
 * start it as it was, by a command or by its systemd unit. The server is back when a process with the same executable
 * serves the data directory and stays. There is never a second start while the first may still come to life. A server
 * that somebody else starts during the hold breaks the fence.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as Schema from "effect/Schema"
import * as HostProgram from "../HostProgram.ts"
import * as Programs from "../Programs.ts"
import * as Supervisor from "../Supervisor.ts"

/** How one member is started again. */
export const RestartBy = Schema.Union([
  Schema.Struct({
    command: Schema.NonEmptyString.annotate({
      description:
        "A shell command that starts the server; runs as the server's own user, in its folder, with its environment."
    })
  }),
  Schema.Struct({
    unit: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_@:.\\][A-Za-z0-9_@:.\\-]*$/)).annotate({
      description: "Its systemd unit: stopped after the kill, so that nothing restarts it, and started at the end."
    })
  })
])
export type RestartBy = typeof RestartBy.Type

/** The settings of the kill. */
export const Settings = Schema.Struct({
  members: Schema.optionalKey(Schema.Record(Schema.String, RestartBy)).annotateKey({
    description: "How members are started again, by name; one that is not named is started just as it was."
  })
})
export type Settings = typeof Settings.Type

/** The kill on these hosts, by label. Of keeper grade: a fence ends by itself while one of its two keepers lives. */
export const make = (hosts: ReadonlyMap<string, Host>, { members = {} }: Settings = {}): Injector =>
  HostProgram.make(
    {
      name: "kill",
      stays: true,
      liftsSlowly: true,
      restarts: true,
      program: Programs.kill,
      wordsOf: (_, member) => {
        const by = restartOf(members, member)
        return by === undefined ? ["itself", ""] : "unit" in by ? ["unit", by.unit] : ["command", by.command]
      },
      watchersOf: (unit, member) => Supervisor.describeKill(restartOf(members, member) === undefined ? unit : null)
    },
    hosts
  )

// --- internal ---

const restartOf = (members: NonNullable<Settings["members"]>, member: string | undefined): RestartBy | undefined =>
  member === undefined || !Object.hasOwn(members, member) ? undefined : members[member]
