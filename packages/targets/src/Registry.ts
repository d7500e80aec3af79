/**
 * The systems that Inquorate can watch being broken. A new system is one module and one line here.
 */
import type { Host } from "@inquorate/core/Host"
import type { Target, TargetError } from "@inquorate/core/Target"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { postgres } from "./Postgres.ts"
import type { TargetModule } from "./TargetModule.ts"

/** Every target module. */
export const targetModules = [postgres] as const

/** A cluster of any system as it stands in a configuration file; `system` says which. */
export const TargetConfiguration = Schema.Union(targetModules.map((module) => module.configuration))
/** A cluster of any system as it stands in a configuration file. */
export type TargetConfiguration = typeof TargetConfiguration.Type

/** Opens a cluster with the module of its system. */
export const make = (
  cluster: string,
  configuration: TargetConfiguration,
  hosts: ReadonlyMap<string, Host>
): Effect.Effect<Target, TargetError, Scope.Scope> => {
  const modules: ReadonlyArray<TargetModule<TargetConfiguration>> = targetModules
  // A decoded configuration names one of the modules it was decoded by.
  return modules.find((module) => module.system === configuration.system)!.make(cluster, configuration, hosts)
}
