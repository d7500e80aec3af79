/**
 * The machines that a configuration names, beside this one: those that are reached over ssh, and the nodes of Kubernetes
 * clusters. What each key is called, what may stand there, and the hosts that come of it.
 */
import type { Host } from "@inquorate/core/Host"
import { lengthOf, type Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as KubernetesHost from "./KubernetesHost.ts"
import * as LocalHost from "./LocalHost.ts"
import * as SshHost from "./SshHost.ts"

// --- models ---

/** The name of this very machine among the hosts. */
export const localHost = "local"

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

const absolutePath = Schema.String.check(
  Schema.isPattern(/^\/[^\r\n"]*$/, { expected: "an absolute path without quotes and line ends" })
)

/** A Kubernetes cluster. Its nodes are reached by the system's own kubectl. */
export const KubernetesSettings = Schema.Struct({
  image: Schema.String.check(
    Schema.isPattern(/^[a-zA-Z0-9][^\s]*$/, { expected: "an image, by digest best" })
  ).annotateKey({
    description:
      "The image of keeper pods: sh, coreutils, util-linux and perl, and nft where networks are cut; by digest best."
  }),
  namespace: described(
    Schema.String.check(Schema.isPattern(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, { expected: "a namespace's name" })),
    "The namespace of keeper pods; inquorate unless given."
  ),
  context: described(
    Schema.String.check(Schema.isMinLength(1, { expected: "a context's name" })),
    "The context of kubectl's configuration; its current one unless given."
  ),
  kubeconfig: described(absolutePath, "The file of kubectl's configuration; kubectl's own unless given."),
  state: described(absolutePath, "The folder on nodes where fences are on record; /var/lib/inquorate unless given."),
  cuts: described(
    Schema.Boolean,
    "True where networks of pods are cut (injector netfilter): keeper pods get NET_ADMIN and SYS_ADMIN too; false unless given."
  )
})
export type KubernetesSettings = typeof KubernetesSettings.Type

/** A machine that members run on, or a Kubernetes cluster whose nodes they run on. */
export const HostSettings = Schema.Struct({
  ssh: described(
    Schema.String.check(Schema.isPattern(/^[^-\s][^\s]*$/)),
    "What ssh takes: a host, USER@HOST, or a name of its own configuration. Every machine but local has it."
  ),
  kubernetes: described(
    KubernetesSettings,
    "In place of ssh: a Kubernetes cluster, each of whose nodes is then a host."
  ),
  sudo: described(
    Schema.Boolean,
    "True where the programs on the host run as root, by sudo, which must not ask for a password; false unless given."
  ),
  port: described(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
    "The port, where not ssh's own."
  ),
  identity: described(absolutePath, "A private key file to use instead of all others."),
  knownHosts: described(absolutePath, "The file of host keys to trust instead of the user's own."),
  configFile: described(absolutePath, "A configuration file of ssh instead of the user's own."),
  connectTimeout: Schema.optionalKey(lengthOf("How long a connection may take; 5s unless given."))
})
export type HostSettings = typeof HostSettings.Type

/** What is wrong with the keys of one host beside each other. `key` is the one that is told. */
export const problemsOf = (
  name: string,
  host: Readonly<Record<string, unknown>>
): ReadonlyArray<{ readonly key: string; readonly problem: string }> => {
  const others = (allowed: string, problem: string) =>
    Object.keys(host).flatMap((key) => (key === allowed ? [] : [{ key, problem }]))
  if (name === localHost) {
    return others(
      "sudo",
      `Expected only sudo here: ${localHost} is the worker's own machine, which is not reached over ssh`
    )
  }
  if (host["kubernetes"] !== undefined) return others("kubernetes", "Expected no key of ssh beside kubernetes")
  return host["ssh"] === undefined ? [{ key: "ssh", problem: "Missing key" }] : []
}

// --- make ---

/**
 * This machine and the configured ones. We connect to a configured one when we first ask it. Nothing longer than
 * `longestHold` will be held on them.
 */
export const open = Effect.fnUntraced(function* (
  hosts: Readonly<Record<string, HostSettings>>,
  longestHold: Millis
): Effect.fn.Return<ReadonlyMap<string, Host>, never, Scope.Scope> {
  const { [localHost]: local = {}, ...others } = hosts
  const far: Array<Host> = []
  const clusters: Array<KubernetesHost.KubernetesCluster> = []
  for (const [label, { kubernetes, ssh, ...options }] of Object.entries(others)) {
    if (ssh !== undefined) far.push(yield* SshHost.make({ label, destination: ssh, options }))
    if (kubernetes !== undefined) clusters.push(yield* openCluster(label, kubernetes, longestHold))
  }
  return KubernetesHost.hostsOf([yield* LocalHost.keeping(localHost, local), ...far], clusters)
})

/** The namespace of the keeper pods of a Kubernetes cluster. */
export const keeperNamespace = ({ namespace = "inquorate" }: Pick<KubernetesSettings, "namespace">): string => namespace

// --- internal ---

/** The most that an operation takes beside its hold, and the shortest life of a keeper pod. */
const [besideHold, shortestLife]: readonly [Millis, Millis] = [300_000, 1_800_000]

const openCluster = (label: string, settings: KubernetesSettings, longestHold: Millis) => {
  const { context, cuts = false, image, kubeconfig, state = "/var/lib/inquorate" } = settings
  return KubernetesHost.make({
    ...{ label, image, namespace: keeperNamespace(settings), state, cuts },
    kubectl: { ...(context === undefined ? {} : { context }), ...(kubeconfig === undefined ? {} : { kubeconfig }) },
    // An operation that begins at the end of one half of this life has the other half for its hold.
    life: 2 * Math.max(longestHold + besideHold, shortestLife)
  })
}
