/**
 * What one system must bring to be a target: its name, the schema of its own part of a cluster's configuration, and how
 * to open it. A module holds no state. The scope closes what it opens.
 */
import type { Host } from "@inquorate/core/Host"
import type { Target, TargetError } from "@inquorate/core/Target"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** One system that Inquorate can watch being broken. */
export interface TargetModule {
  /** The system, such as `postgres`; the value of `system` in a cluster's configuration. */
  readonly system: string
  /** What a cluster of this system holds in a configuration file, besides the keys that all systems share. */
  readonly config: Schema.ConstraintDecoder<unknown>
  /**
   * Opens a cluster under its configured name. The settings must be those that `config` decoded; any others are a
   * defect. Connects to nothing yet. Settings that refer to an unknown host or to a missing secret are `Misconfigured`.
   */
  readonly make: (
    cluster: string,
    settings: unknown,
    hosts: ReadonlyMap<string, Host>
  ) => Effect.Effect<Target, TargetError, Scope.Scope>
}

/** Makes a module from one whose settings have a type of their own, so that it fits among those of other systems. */
export const make = <Settings>(typed: {
  readonly system: string
  readonly config: Schema.ConstraintDecoder<Settings>
  readonly make: (
    cluster: string,
    settings: Settings,
    hosts: ReadonlyMap<string, Host>
  ) => Effect.Effect<Target, TargetError, Scope.Scope>
}): TargetModule => {
  const isOurs = Schema.is(typed.config)
  return {
    system: typed.system,
    config: typed.config,
    make: (cluster, settings, hosts) =>
      isOurs(settings)
        ? typed.make(cluster, settings, hosts)
        : Effect.die(new Error(`the settings of ${cluster} are not those of ${typed.system}`))
  }
}
