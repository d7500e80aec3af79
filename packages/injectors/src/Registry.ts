/**
 * The mechanisms, by the names that a cluster's configuration uses. A new mechanism is a module and a line here. The
 * configuration, the worker and `inq doctor` read this list.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as Schema from "effect/Schema"
import * as Command from "./mechanisms/Command.ts"
import * as Kill from "./mechanisms/Kill.ts"
import * as Netfilter from "./mechanisms/Netfilter.ts"
import * as Pause from "./mechanisms/Pause.ts"

/** What a mechanism is told of the worker that uses it. */
export interface WorkerFacts {
  /** Ports that are never cut: the worker's own and its store's. */
  readonly keepPorts: ReadonlyArray<number>
}

/** One mechanism as a configuration knows it. */
export interface InjectorModule {
  /** The mechanism; the value of `injector` in a cluster's configuration, and the key its settings stand under. */
  readonly name: string
  /** What stands under that key; null for a mechanism without settings. */
  readonly settings: (Schema.Top & Schema.ConstraintDecoder<unknown>) | null
  /** True where the mechanism can do nothing without settings. */
  readonly needsSettings: boolean
  /** True where the mechanism restarts members. It may then be configured beside the mechanism that takes them out. */
  readonly restarts?: boolean
  /** The injector on these hosts, with settings that `settings` decoded (any others are a defect), or with none. */
  readonly make: (hosts: ReadonlyMap<string, Host>, worker: WorkerFacts, settings: unknown) => Injector
}

/** A mechanism whose settings have a type of their own, as one among the others. */
const withSettings = <Settings>(typed: {
  readonly name: string
  readonly settings: Schema.Top & Schema.ConstraintDecoder<Settings>
  readonly none: Settings | null
  readonly restarts?: boolean
  readonly make: (hosts: ReadonlyMap<string, Host>, settings: Settings) => Injector
}): InjectorModule => {
  const isOurs = Schema.is(typed.settings)
  return {
    name: typed.name,
    settings: typed.settings,
    needsSettings: typed.none === null,
    restarts: typed.restarts ?? false,
    make: (hosts, _, given) => {
      const settings = given ?? typed.none
      if (!isOurs(settings)) throw new Error(`these are not the settings of ${typed.name}`)
      return typed.make(hosts, settings)
    }
  }
}

/** The mechanisms, the usual one first. */
export const modules: readonly [InjectorModule, ...ReadonlyArray<InjectorModule>] = [
  { name: "pause", settings: null, needsSettings: false, make: (hosts) => Pause.make(hosts) },
  {
    name: "netfilter",
    settings: null,
    needsSettings: false,
    make: (hosts, { keepPorts }) => Netfilter.make(hosts, { keepPorts })
  },
  withSettings({ name: "kill", settings: Kill.Settings, none: {}, restarts: true, make: Kill.make }),
  withSettings({ name: "command", settings: Command.Settings, none: null, make: Command.make })
]

/** Every mechanism, without settings for any member. To look for fences and to sweep them needs none. */
export const sweepers = (hosts: ReadonlyMap<string, Host>): ReadonlyArray<Injector> =>
  modules.map((module) => module.make(hosts, { keepPorts: [] }, module.needsSettings ? { members: {} } : null))
