/**
 * The systems that Inquorate can watch being broken. A new system is one module and one line here.
 */
import { command } from "./Command.ts"
import { etcd } from "./Etcd.ts"
import { postgres } from "./Postgres.ts"
import type { TargetModule } from "./TargetModule.ts"

/** Every target module. */
export const modules: readonly [TargetModule, ...ReadonlyArray<TargetModule>] = [postgres, etcd, command]
