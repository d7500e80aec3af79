/**
 * The list of target modules. A new system is one module and one line here.
 */
import { command } from "./Command.ts"
import { etcd } from "./Etcd.ts"
import { postgres } from "./Postgres.ts"
import type { TargetModule } from "./TargetModule.ts"

/** The systems that Inquorate can watch being broken. */
export const modules: readonly [TargetModule, ...ReadonlyArray<TargetModule>] = [postgres, etcd, command]
