/**
 * The list of lab modules. A new system is one module and one line here.
 */
import { etcd } from "./Etcd.ts"
import type { LabModule } from "./LabModule.ts"
import { postgres } from "./Postgres.ts"

/** Every system of which labs can be made, the default first. */
export const labModules: readonly [LabModule, ...ReadonlyArray<LabModule>] = [postgres, etcd]
