/**
 * Members that are the pods of a StatefulSet, or those that a label selector means. Each discovery reads from the
 * Kubernetes API which pods they are, where they run, and who would act when they go quiet. While the API does not
 * answer, what was last read counts. That is so when the API's own etcd is the one whose quorum is gone. After a
 * restart of a container the member is the same, in another container. A pod that came back elsewhere is a member with
 * another address.
 */
import type { Host } from "@inquorate/core/Host"
import type { Pod, PodContainer, PodProbe } from "@inquorate/core/Pod"
import type { Supervisor } from "@inquorate/core/Supervision"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Container from "./Container.ts"
import * as OperatorModes from "./OperatorModes.ts"
import * as Operators from "./Operators.ts"

// --- models ---

const dnsName = (expected: string) =>
  Schema.String.check(Schema.isPattern(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, { expected }))

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

/** Where the members are found. */
export const PodsSettings = Schema.Struct({
  host: Schema.String.annotateKey({ description: "The Kubernetes cluster, by its name among the hosts." }),
  namespace: dnsName("a namespace's name").annotateKey({ description: "The namespace of the pods." }),
  statefulSet: described(dnsName("a StatefulSet's name"), "The StatefulSet whose pods are the members."),
  selector: described(
    Schema.String.check(
      Schema.isPattern(/^[A-Za-z0-9_!][A-Za-z0-9_./=!,() -]*$/, { expected: "a label selector, such as app=etcd" })
    ),
    "In place of a StatefulSet: the label selector of the pods that are the members."
  ),
  container: described(
    dnsName("a container's name"),
    "The container of each pod that is the server; its first one unless given."
  ),
  address: described(
    Schema.String.check(
      Schema.isPattern(/^(?=.*\{(pod|ip)\})([A-Za-z0-9._-]|\{pod\}|\{ip\})+$/, {
        expected: "a name such as {pod}.etcd.db.svc, or {ip}: one of the two tells the pods apart"
      })
    ),
    "How a pod is reached: {pod} stands for its name, {ip} for its address; {ip} unless given."
  ),
  port: described(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
    "The port that clients use; the system's own unless given."
  ),
  dataDirectory: described(
    Schema.String.check(Schema.isPattern(/^\//, { expected: "an absolute path" })),
    "The data directory as the container sees it, where it has to be told or is to be checked."
  )
})
  .check(
    Schema.makeFilter(
      ({ selector, statefulSet }: { readonly selector?: unknown; readonly statefulSet?: unknown }) =>
        (selector === undefined) !== (statefulSet === undefined) || "Expected statefulSet or selector, one of the two",
      { toJsonSchema: () => ({}) }
    )
  )
  .annotate({ identifier: "PodsSettings" })
/** Where the members are found. */
export type PodsSettings = typeof PodsSettings.Type

/** Refuses settings with both members and pods, or with neither. */
export const isOneOf = Schema.makeFilter(
  ({ members, pods }: { readonly members?: unknown; readonly pods?: unknown }) =>
    (members === undefined) !== (pods === undefined) || {
      path: ["members"],
      issue: members === undefined ? "Missing key" : "Expected members or pods, not both"
    },
  { toJsonSchema: () => ({}) }
)

/** A pod as a member. */
export interface PodMember {
  readonly name: string
  readonly address: string
  readonly host?: string
  readonly dataDirectory?: string
  /** Where its container is to be found at the moment. */
  readonly pod: () => Container.Place
}

type Members = readonly [PodMember, ...ReadonlyArray<PodMember>]

type Open = (members: Members) => Effect.Effect<Target, TargetError, Scope.Scope>

// --- make ---

/**
 * The target whose members are these pods. `open` makes a target for the members of the moment. It is called again once
 * the members have changed.
 */
export const follow = (
  cluster: string,
  { pods, port, system }: { readonly pods: PodsSettings; readonly port: number; readonly system: string },
  hosts: ReadonlyMap<string, Host>,
  open: Open
): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const { pods: list, resource } = hosts.get(pods.host) ?? {}
    if (list === undefined) {
      const detail = `its pods are on host "${pods.host}", which is no Kubernetes cluster of the configuration`
      return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
    }
    const roster = rosterOf(cluster, pods, list)
    const modesOf = OperatorModes.make(resource)
    const current = currentOf(yield* Effect.scope, open)
    const enter = entrance(hosts)

    const now = Effect.gen(function* () {
      yield* roster.look(current.target() === undefined ? firstLook : nextLook)
      const [first, ...rest] = roster.seen().map((pod) => memberOf(pods, port, pod, roster.seen))
      return first === undefined ? yield* roster.empty : yield* current.of([first, ...rest])
    })

    return {
      system,
      cluster,
      discover: Effect.gen(function* () {
        const target = yield* now
        yield* enter(roster.seen())
        const [groups, modes] = yield* Effect.all([target.discover, modesOf(roster.seen(), nextLook)], {
          concurrency: 2
        })
        return groups.map((topology) => beside(topology, system, roster.seen(), pods, modes))
      }),
      probe: Effect.fnUntraced(function* (group) {
        const target = current.target() ?? (yield* now)
        return yield* target.probe(group)
      }),
      survivorsSpeak: true,
      canSpeak: (member) => current.target()?.canSpeak?.(member) ?? true,
      get survivorsSpeakAfter() {
        return current.target()?.survivorsSpeakAfter ?? 2000
      },
      get witnesses() {
        return current.target()?.witnesses ?? []
      },
      get recoveryBudget() {
        return current.target()?.recoveryBudget ?? 60_000
      },
      get recoveryWriteTimeout() {
        return current.target()?.recoveryWriteTimeout ?? 1000
      }
    }
  })

/**
 * A topology, with what Kubernetes would do about its members, and with what follows for a person from their being
 * pods.
 */
export const beside = (
  topology: Topology,
  system: string,
  pods: ReadonlyArray<Pod>,
  settings: Pick<PodsSettings, "container">,
  modes: OperatorModes.Modes = new Map()
): Topology => {
  const primary = topology.members.find(({ role }) => role === "Primary")?.name
  const supervisors = [
    ...pods.flatMap((pod) => kubeletOf(pod, settings)),
    ...operatorsOf(pods, primary, settings, modes)
  ]
  const warnings = [...new Set(pods.flatMap((pod) => warningsOf(pod, system, modes)))]
  return {
    ...topology,
    ...(supervisors.length === 0 ? {} : { supervisors: [...(topology.supervisors ?? []), ...supervisors] }),
    ...(warnings.length === 0 ? {} : { warnings: [...(topology.warnings ?? []), ...warnings] })
  }
}

// --- internal ---

const firstLook: Millis = 9000
const nextLook: Millis = 1500
const enterWithin: Millis = 6000
/** How many targets of former members stay open. */
const keptMost = 4

/** Who the members are, by what was last read. */
const rosterOf = (cluster: string, pods: PodsSettings, list: NonNullable<Host["pods"]>) => {
  let seen: ReadonlyArray<Pod> | undefined
  const unreachable = (detail: string) =>
    new TargetError({ cluster, endpoint: pods.host, reason: "Unreachable", detail })
  return {
    seen: (): ReadonlyArray<Pod> => seen ?? [],
    empty: Effect.suspend(() =>
      Effect.fail(unreachable(`no pod of ${nameOf(pods)} is in namespace ${pods.namespace}`))
    ),
    // Once the members are known, we do not wait long for an API that may be what is broken.
    look: (patience: Millis): Effect.Effect<void, TargetError> =>
      list(pods.namespace, pods.selector ?? "").pipe(
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.fail({ detail: "the Kubernetes API did not answer in time" })
        }),
        Effect.matchEffect({
          onFailure: ({ detail }) => (seen === undefined ? Effect.fail(unreachable(detail)) : Effect.void),
          onSuccess: (all) =>
            Effect.sync(() => {
              seen = all.filter((pod) => isMeant(pods, pod)).sort((one, other) => (one.name < other.name ? -1 : 1))
            })
        })
      )
  }
}

/**
 * The target of the members of the moment. Former targets stay open for a while, so that somebody who still asks them,
 * such as a probe in a hold, gets an answer.
 */
const currentOf = (scope: Scope.Scope, open: Open) => {
  const former: Array<Scope.Closeable> = []
  let current: { readonly key: string; readonly target: Target; readonly scope: Scope.Closeable } | undefined
  return {
    target: (): Target | undefined => current?.target,
    of: Effect.fnUntraced(function* (members: Members): Effect.fn.Return<Target, TargetError> {
      const key = JSON.stringify(members)
      if (current?.key === key) return current.target
      const inner = yield* Scope.fork(scope)
      const target = yield* Scope.provide(open(members), inner)
      if (current !== undefined) former.push(current.scope)
      if (former.length > keptMost) yield* Scope.close(former.shift()!, Exit.void)
      current = { key, target, scope: inner }
      return target
    })
  }
}

// A keeper pod takes seconds to start. So we wait for it once, before anything that is urgent.
const entrance = (hosts: ReadonlyMap<string, Host>) => {
  const ready = new Set<string>()
  return (pods: ReadonlyArray<Pod>): Effect.Effect<void> =>
    Effect.forEach(
      [...new Set(pods.flatMap(({ host }) => (host === null || ready.has(host) ? [] : [host])))],
      (label) =>
        Effect.ignore(
          Effect.tap(hosts.get(label)?.run("true", [], { timeout: enterWithin }) ?? Effect.void, () =>
            Effect.sync(() => void ready.add(label))
          )
        ),
      { concurrency: "unbounded", discard: true }
    )
}

const nameOf = ({ selector, statefulSet }: PodsSettings): string =>
  statefulSet === undefined ? `the selector ${selector}` : `StatefulSet ${statefulSet}`

const isMeant = ({ statefulSet }: PodsSettings, { owner }: Pod): boolean =>
  statefulSet === undefined || owner === `StatefulSet/${statefulSet}`

const serverOf = ({ containers }: Pod, { container }: Pick<PodsSettings, "container">): PodContainer | undefined =>
  container === undefined ? containers[0] : containers.find(({ name }) => name === container)

const memberOf = (settings: PodsSettings, port: number, pod: Pod, now: () => ReadonlyArray<Pod>): PodMember => {
  const { address = "{ip}", dataDirectory } = settings
  // A pod that has no address yet is a member too: one that is not up.
  const reached = address.replaceAll("{pod}", pod.name).replaceAll("{ip}", pod.address ?? "0.0.0.0")
  const isBare = reached.includes(":") && !reached.startsWith("[")
  return {
    name: pod.name,
    address: `${isBare ? `[${reached}]` : reached}:${settings.port ?? port}`,
    ...(pod.host === null ? {} : { host: pod.host }),
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
    pod: () => {
      const current = now().find(({ name }) => name === pod.name) ?? pod
      const server = serverOf(current, settings)
      const all = current.containers.map(({ name }) => name).join(", ")
      const missing = server === undefined ? `, whose containers are called ${all}` : ""
      const called = `container ${server?.name ?? settings.container ?? ""} of pod ${pod.namespace}/${pod.name}${missing}`
      return { engine: "cri", called, words: ["in", "cri", server?.id ?? "", "", ""] }
    }
  }
}

/**
 * What the kubelet does when a member goes quiet. Once a liveness probe has failed often enough in a row, the kubelet
 * restarts the container. That holds for the members that are left alone too, whose probes fail with the quorum. A
 * probe that only connects (`tcpSocket`) notices nothing.
 */
const kubeletOf = (pod: Pod, settings: Pick<PodsSettings, "container">): ReadonlyArray<Supervisor> => {
  const liveness = serverOf(pod, settings)?.liveness ?? null
  if (liveness === null || liveness.by === "tcpSocket") return []
  const { by, failures, period } = liveness
  return [
    {
      watches: pod.name,
      source: `the kubelet's liveness probe of pod ${pod.namespace}/${pod.name} (${by}, ${failures} failures, every ${period / 1000} s)`,
      patience: failingWithin(liveness),
      reaction: "RestartsMember"
    }
  ]
}

// The first failure may come at once with the loss.
const failingWithin = ({ failures, period }: PodProbe): Millis => (failures - 1) * period

/** What the operators do that made these pods. Each is told once, by the first of its pods that it may act on. */
const operatorsOf = (
  pods: ReadonlyArray<Pod>,
  primary: string | undefined,
  settings: Pick<PodsSettings, "container">,
  modes: OperatorModes.Modes
): ReadonlyArray<Supervisor> => {
  const told = new Map<string, Supervisor>()
  for (const pod of pods) {
    const known = Operators.of(pod)
    if (known === null) continue
    const key = OperatorModes.keyOf(known)
    const mode = modes.get(key) ?? known.operator
    const patience = patienceOf(mode, serverOf(pod, settings))
    if (mode.deed === null || patience === null) continue
    // Whoever fails over waits for the silence of the primary alone.
    const onPrimary = mode.deed.reaction === "DemotesPrimary"
    if (onPrimary && pod.name !== primary) continue
    const supervisor: Supervisor = {
      watches: onPrimary ? pod.name : known.cluster,
      source: `${known.operator.name} (it ${inWords(known, mode)})`,
      patience,
      reaction: mode.deed.reaction
    }
    if (patience < (told.get(key)?.patience ?? Number.POSITIVE_INFINITY)) told.set(key, supervisor)
  }
  return [...told.values()]
}

/** What an operator does, and where that is written. */
const inWords = ({ operator }: Operators.Known, { does, unread }: Operators.Mode): string =>
  `${does}: ${operator.source}${unread === undefined ? "" : `; ${operator.setting?.resource} was not read: ${unread}`}`

const patienceOf = ({ deed }: Operators.Mode, server: PodContainer | undefined): Millis | null => {
  if (deed === null) return null
  if (deed.after !== "Unready") return deed.after
  const readiness = server?.readiness ?? null
  return readiness === null || readiness.by === "tcpSocket" ? null : failingWithin(readiness)
}

const warningsOf = (pod: Pod, system: string, modes: OperatorModes.Modes): ReadonlyArray<string> => [
  ...operatorWarnings(pod, modes),
  ...(system === "etcd" && isStoreOfApi(pod) ? [storeOfApi] : [])
]

const operatorWarnings = (pod: Pod, modes: OperatorModes.Modes): ReadonlyArray<string> => {
  const known = Operators.of(pod)
  if (known !== null) {
    const { name, source } = known.operator
    const { does, unread }: Operators.Mode = modes.get(OperatorModes.keyOf(known)) ?? known.operator
    const doubt = unread === undefined ? "" : `; ${known.operator.setting?.resource} was not read: ${unread}`
    return [`its pods are those of ${name}, which ${does}${doubt} (${source})`]
  }
  const [group, kind, name] = pod.owner?.split("/") ?? []
  if (name !== undefined) return [`its pods belong to ${kind} ${name} (${group}), whose operator may act on the loss`]
  const managed = pod.labels["app.kubernetes.io/managed-by"]
  return managed === undefined || managed === "Helm"
    ? []
    : [`its pods are managed by ${managed}, which may act on the loss`]
}

/** True for a pod of the etcd that a Kubernetes API keeps everything in, by the labels that its installers use. */
const isStoreOfApi = ({ labels, namespace }: Pod): boolean =>
  (namespace === "kube-system" || namespace === "openshift-etcd") &&
  ["component", "app", "k8s-app", "app.kubernetes.io/name"].some((key) => labels[key]?.startsWith("etcd") === true)

const storeOfApi =
  "this etcd is the Kubernetes API's own store: without its quorum nobody can be sure to reach a node by the API, so only the deadline is sure to lift the fences, and a cancel may wait for it"
