/**
 * The machines that a worker reaches: this one, and those that the configuration names.
 */
import * as KubernetesHost from "@inquorate/injectors/KubernetesHost"
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
  const longest = Math.max(config.maxHold, ...config.clusters.map(({ maxHold }) => maxHold ?? 0))
  const clusters = yield* Effect.forEach(
    Object.entries(config.kubernetes),
    ([label, { context, cuts = false, image, kubeconfig, namespace = "inquorate", state = "/var/lib/inquorate" }]) =>
      KubernetesHost.make({
        ...{ label, image, namespace, state, cuts },
        kubectl: {
          ...(context === undefined ? {} : { context }),
          ...(kubeconfig === undefined ? {} : { kubeconfig })
        },
        // Half of it is for the hold of an operation that began at the end of the other half.
        life: 2 * Math.max(longest + besideHold, shortestLife)
      })
  )
  return KubernetesHost.hostsOf([LocalHost.make(localHost, config.local), ...far], clusters)
})

// --- internal ---

/** What an operation takes beside its hold, at the most, and the least that a keeper pod is made for, in milliseconds. */
const besideHold = 300_000
const shortestLife = 1_800_000
