/**
 * The pod through which we reach a node of a Kubernetes cluster, in the form that the API takes. It sees the node's
 * processes (`hostPID`) and is not privileged. It has the capabilities that are named here and no others, no token of
 * the API, no socket of a runtime, and one folder of the node's files. It ends by itself, and its end lifts every fence
 * in it.
 */
import { createHash } from "node:crypto"
import type { Millis } from "@inquorate/core/Time"
import * as Schema from "effect/Schema"
import * as Programs from "../Programs.ts"

/** What a keeper pod is made of. */
export interface KeeperPodOptions {
  readonly namespace: string
  readonly image: string
  /** The folder on the node where fences are on record. */
  readonly state: string
  /** True where it may cut the network of other pods. */
  readonly cuts: boolean
  /** How long it lives at most. */
  readonly life: Millis
}

/** The name of the pod's only container. */
export const container = "keeper"

/** The selector of all keeper pods on a node. */
export const selectorOf = (node: string): string => `${nodeLabel}=${wordOf(node)}`

/** The pod of this name on a node. */
export const manifest = (
  name: string,
  node: string,
  { cuts, image, life, namespace, state }: KeeperPodOptions
): unknown => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    namespace,
    labels: {
      "app.kubernetes.io/name": "inquorate-keeper",
      "app.kubernetes.io/managed-by": "inquorate",
      [nodeLabel]: wordOf(node)
    }
  },
  spec: {
    nodeName: node,
    hostPID: true,
    restartPolicy: "Never",
    activeDeadlineSeconds: Math.ceil(life / 1000),
    terminationGracePeriodSeconds: 10,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    tolerations: [{ operator: "Exists" }],
    containers: [
      {
        name: container,
        image,
        imagePullPolicy: "IfNotPresent",
        command: ["sh", "-c", Programs.keeperPod, "inquorate-pod", String(idleSeconds)],
        resources: { requests: { cpu: "20m", memory: "64Mi" } },
        securityContext: {
          runAsUser: 0,
          runAsGroup: 0,
          privileged: false,
          // Together with CAP_SYS_ADMIN the API accepts only `true`.
          allowPrivilegeEscalation: cuts,
          readOnlyRootFilesystem: true,
          seccompProfile: { type: "RuntimeDefault" },
          capabilities: { drop: ["ALL"], add: capabilities(cuts) }
        },
        volumeMounts: [
          { name: "state", mountPath: "/var/lib/inquorate" },
          { name: "scratch", mountPath: "/tmp" }
        ]
      }
    ],
    volumes: [
      { name: "state", hostPath: { path: state, type: "DirectoryOrCreate" } },
      { name: "scratch", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } }
    ]
  }
})

/** How a pod stands: its phase, and the reason why it does not start, where there is one. */
export interface PodStanding {
  readonly phase: string
  /** True once its container runs. */
  readonly runs: boolean
  /** Why it cannot start, in the API's own words. Empty while it still may start. */
  readonly problem: string
}

/** Reads how a pod stands from the API's answer. */
export const standingOf = (answer: unknown): PodStanding => {
  const { message = "", phase = "", reason = "", containerStatuses = [] } = decode(answer).status ?? {}
  const state = containerStatuses[0]?.state
  const waiting = state?.waiting
  const stuck = waiting !== undefined && hopeless.has(waiting.reason ?? "")
  const ended = phase === "Failed" || phase === "Succeeded"
  const words = (one?: { readonly reason?: string; readonly message?: string }) =>
    [one?.reason, one?.message].filter((word) => word !== undefined && word !== "").join(": ")
  return {
    phase,
    runs: phase === "Running" && state?.running !== undefined,
    problem: stuck
      ? words(waiting)
      : ended
        ? words({ reason, message }) || words(state?.terminated) || `it ended (${phase})`
        : ""
  }
}

/** The names of a list's pods that have ended. */
export const endedOf = (answer: unknown): ReadonlyArray<string> =>
  decodeList(answer).items.flatMap((pod) =>
    /^(Succeeded|Failed)$/.test(standingOf(pod).phase) && pod.metadata?.name !== undefined ? [pod.metadata.name] : []
  )

// --- internal ---

const nodeLabel = "inquorate.dev/node"

/** How long the pod stays while nobody speaks with it and it has no fence, in seconds. */
const idleSeconds = 300

// A label's value has at most 63 characters, and a node's name may have more.
const wordOf = (node: string): string => createHash("sha256").update(node).digest("hex").slice(0, 32)

/**
 * SYS_PTRACE stops a process and looks at it. KILL signals our own keepers of an earlier pod, and asks whether a server
 * may be signalled. DAC_READ_SEARCH sees the data directory of a server that is not root's. For a cut, SYS_ADMIN enters
 * a pod's network and NET_ADMIN makes a table there.
 */
const capabilities = (cuts: boolean): ReadonlyArray<string> => [
  "SYS_PTRACE",
  "KILL",
  "DAC_READ_SEARCH",
  ...(cuts ? ["NET_ADMIN", "SYS_ADMIN"] : [])
]

const hopeless: ReadonlySet<string> = new Set([
  "CreateContainerConfigError",
  "CreateContainerError",
  "ErrImageNeverPull",
  "ErrImagePull",
  "ImageInspectError",
  "ImagePullBackOff",
  "InvalidImageName",
  "RunContainerError"
])

const text = Schema.optionalKey(Schema.String)
const told = Schema.optionalKey(Schema.Struct({ reason: text, message: text }))
const Pod = Schema.Struct({
  metadata: Schema.optionalKey(Schema.Struct({ name: text })),
  status: Schema.optionalKey(
    Schema.Struct({
      phase: text,
      reason: text,
      message: text,
      containerStatuses: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            state: Schema.optionalKey(
              Schema.Struct({ waiting: told, terminated: told, running: Schema.optionalKey(Schema.Unknown) })
            )
          })
        )
      )
    })
  )
})
const decode = Schema.decodeUnknownSync(Pod)
const decodeList = Schema.decodeUnknownSync(Schema.Struct({ items: Schema.Array(Pod) }))
