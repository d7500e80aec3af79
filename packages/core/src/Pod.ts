/**
 * Pods of a Kubernetes cluster, as far as a target needs to know them: where each runs, which containers it has, and who
 * would act when it goes quiet. Its node is a host, labelled `<cluster>/<node>`.
 */
import type { Millis } from "./Time.ts"

/** A probe by which a kubelet decides to restart a container, or to call its pod unready. */
export interface PodProbe {
  /** How it asks: `exec`, `httpGet`, `tcpSocket` or `grpc`. */
  readonly by: string
  readonly failures: number
  readonly period: Millis
}

/** One container of a pod. */
export interface PodContainer {
  readonly name: string
  /** The 64 hexadecimal digits by which the node's runtime knows it; null while it does not run. */
  readonly id: string | null
  readonly liveness: PodProbe | null
  readonly readiness: PodProbe | null
}

/** One pod. */
export interface Pod {
  readonly name: string
  readonly namespace: string
  /** The label of the host that is its node; null while it has none. */
  readonly host: string | null
  /** Its address in the cluster's network; null while it has none. */
  readonly address: string | null
  readonly containers: ReadonlyArray<PodContainer>
  /** What made it: `StatefulSet/etcd`, or the group too where it is no kind of Kubernetes' own: `etcd.example.org/Etcd/orders`. */
  readonly owner: string | null
  readonly labels: Readonly<Record<string, string>>
}
