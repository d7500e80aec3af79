/**
 * The machines that a worker reaches: this one, and those that the configuration names.
 */
import type { Host } from "@inquorate/core/Host"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as SshHost from "@inquorate/injectors/SshHost"
import * as Effect from "effect/Effect"
import type { WorkerConfig } from "./Config.ts"
import { localHost } from "./WorkerFile.ts"

/** This machine, and the configured ones, which are connected to when they are first asked. */
export const open = Effect.fnUntraced(function* (config: WorkerConfig) {
  const far = yield* Effect.forEach(Object.entries(config.hosts), ([label, { ssh, ...options }]) =>
    SshHost.make({ label, destination: ssh, options })
  )
  return new Map<string, Host>([LocalHost.make(localHost, config.local), ...far].map((host) => [host.label, host]))
})
