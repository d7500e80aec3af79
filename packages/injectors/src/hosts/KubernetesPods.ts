/**
 * The pods of a Kubernetes cluster, read from the API's own list. What a pod does not have (no node yet, no address, no
 * container that runs) is null.
 */
import type { Pod, PodProbe } from "@inquorate/core/Pod"
import * as Schema from "effect/Schema"

/**
 * Reads a list of pods as the API gives it; `hostOf` gives the label of a node. Throws where the answer is no such
 * list.
 */
export const read = (answer: unknown, hostOf: (node: string) => string): ReadonlyArray<Pod> =>
  decode(answer).items.map(({ metadata, spec, status }) => {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
    return {
      name: metadata.name,
      namespace: metadata.namespace,
      host: spec.nodeName === undefined ? null : hostOf(spec.nodeName),
      address: status?.podIP ?? null,
      containers: spec.containers.map(({ livenessProbe, name, readinessProbe }) => {
        const standing = status?.containerStatuses?.find((one) => one.name === name)
        // The prefix `containerd://`, `cri-o://` or `docker://`, and the runtime's own id.
        const id = /^[a-z0-9-]+:\/\/([0-9a-f]{64})$/.exec(standing?.containerID ?? "")?.[1]
        return {
          name,
          id: standing?.state?.running === undefined ? null : (id ?? null),
          liveness: probeOf(livenessProbe),
          readiness: probeOf(readinessProbe)
        }
      }),
      owner: owner === undefined ? null : ownerOf(owner),
      labels: metadata.labels ?? {}
    }
  })

/** The only resource of a list as the API gives it; null for any other answer. */
export const only = (answer: unknown): unknown => {
  const { items } = Schema.is(List)(answer) ? answer : { items: [] }
  return items.length === 1 ? items[0] : null
}

// --- internal ---

const List = Schema.Struct({ items: Schema.Array(Schema.Unknown) })

const kinds = ["exec", "grpc", "httpGet", "tcpSocket"] as const

// The API fills in what was not given: 3 failures, 10 s.
const probeOf = (probe: typeof Probe.Type | undefined): PodProbe | null =>
  probe === undefined
    ? null
    : {
        by: kinds.find((kind) => probe[kind] !== undefined) ?? "an unknown way",
        failures: probe.failureThreshold ?? 3,
        period: (probe.periodSeconds ?? 10) * 1000
      }

const ownKinds: ReadonlySet<string> = new Set(["v1", "apps/v1", "batch/v1"])

const ownerOf = ({ apiVersion, kind, name }: typeof Owner.Type): string =>
  ownKinds.has(apiVersion) ? `${kind}/${name}` : `${apiVersion.split("/")[0]}/${kind}/${name}`

const way = Schema.optionalKey(Schema.Unknown)
const Probe = Schema.Struct({
  exec: way,
  grpc: way,
  httpGet: way,
  tcpSocket: way,
  failureThreshold: Schema.optionalKey(Schema.Int),
  periodSeconds: Schema.optionalKey(Schema.Int)
})
const Owner = Schema.Struct({
  apiVersion: Schema.String,
  kind: Schema.String,
  name: Schema.String,
  controller: Schema.optionalKey(Schema.Boolean)
})
const PodList = Schema.Struct({
  items: Schema.Array(
    Schema.Struct({
      metadata: Schema.Struct({
        name: Schema.String,
        namespace: Schema.String,
        labels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
        ownerReferences: Schema.optionalKey(Schema.Array(Owner))
      }),
      spec: Schema.Struct({
        nodeName: Schema.optionalKey(Schema.String),
        containers: Schema.Array(
          Schema.Struct({
            name: Schema.String,
            livenessProbe: Schema.optionalKey(Probe),
            readinessProbe: Schema.optionalKey(Probe)
          })
        )
      }),
      status: Schema.optionalKey(
        Schema.Struct({
          podIP: Schema.optionalKey(Schema.String),
          containerStatuses: Schema.optionalKey(
            Schema.Array(
              Schema.Struct({
                name: Schema.String,
                containerID: Schema.optionalKey(Schema.String),
                state: Schema.optionalKey(Schema.Struct({ running: way }))
              })
            )
          )
        })
      )
    })
  )
})
const decode = Schema.decodeUnknownSync(PodList)
