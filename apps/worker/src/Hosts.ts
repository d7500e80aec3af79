/**
 * The machines that a worker reaches: this one, and those that the configuration names.
 */
import * as KubernetesHost from "@inquorate/injectors/KubernetesHost"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as SshHost from "@inquorate/injectors/SshHost"
import * as Effect from "effect/Effect"
import type { WorkerConfig } from "./Config.ts"
import { type KubernetesSettings, localHost } from "./WorkerFile.ts"

/** This machine and the configured ones. We connect to a configured one when we first ask it. */
export const open = Effect.fnUntraced(function* (config: WorkerConfig) {
  const far = yield* Effect.forEach(Object.entries(config.hosts), ([label, { ssh, ...options }]) =>
    SshHost.make({ label, destination: ssh, options })
  )
  const longest = Math.max(config.maxHold, ...config.clusters.map(({ maxHold }) => maxHold ?? 0))
  const clusters = yield* Effect.forEach(Object.entries(config.kubernetes), ([label, settings]) => {
    const { context, cuts = false, image, kubeconfig, state = "/var/lib/inquorate" } = settings
    return KubernetesHost.make({
      ...{ label, image, namespace: keeperNamespace(settings), state, cuts },
      kubectl: {
        ...(context === undefined ? {} : { context }),
        ...(kubeconfig === undefined ? {} : { kubeconfig })
      },
      // An operation that begins at the end of one half of this life has the other half for its hold.
      life: 2 * Math.max(longest + besideHold, shortestLife)
    })
  })
  return KubernetesHost.hostsOf([LocalHost.make(localHost, config.local), ...far], clusters)
})

/** The namespace of the keeper pods of a Kubernetes cluster. */
export const keeperNamespace = ({ namespace = "inquorate" }: Pick<KubernetesSettings, "namespace">): string => namespace

// --- internal ---

/** The most that an operation takes beside its hold, and the shortest life of a keeper pod, in milliseconds. */
const besideHold = 300_000
const shortestLife = 1_800_000
