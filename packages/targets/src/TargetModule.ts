/**
 * What one system has to bring to be a target: its name, the schema of its part of a cluster's configuration, and how to
 * open it. A module holds no state; what it opens is closed with the scope.
 */
import type { Host } from "@inquorate/core/Host"
import type { Target, TargetError } from "@inquorate/core/Target"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** One system that Inquorate can watch being broken. */
export interface TargetModule<Configuration extends { readonly system: string }> {
  /** The system, such as `postgres`; the value of `system` in its configuration. */
  readonly system: Configuration["system"]
  /** The form of a cluster of this system in a configuration file. */
  readonly configuration: Schema.Codec<Configuration, unknown>
  /**
   * Opens a cluster under its configured name. Connects to nothing yet. A configuration that refers to an unknown host
   * or to a secret that is not there is `Misconfigured`.
   */
  readonly make: (
    cluster: string,
    configuration: Configuration,
    hosts: ReadonlyMap<string, Host>
  ) => Effect.Effect<Target, TargetError, Scope.Scope>
}
