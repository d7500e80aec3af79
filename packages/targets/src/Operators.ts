/**
 * The operators of Kubernetes that are known to us, each with what shows that it made a pod and what it does once a
 * quorum is gone. Resources, labels and deeds are facts of their public sources, and each row names the one where its
 * deed is written. An operator that is not in the table is named, and nobody knows what it does.
 */
import type { Pod } from "@inquorate/core/Pod"
import type { Reaction } from "@inquorate/core/Supervision"
import type { Millis } from "@inquorate/core/Time"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What an operator does about a loss, and how long after the loss began it does so at the earliest. */
export interface Deed {
  readonly reaction: Reaction
  /** `Unready`: once the kubelet calls a member's pod unready. */
  readonly after: Millis | "Unready"
}

/** What an operator does about a loss of one of its clusters. */
export interface Mode {
  /** What it does, to follow its name in a sentence. */
  readonly does: string
  /** Null where it does nothing that bounds a hold. */
  readonly deed: Deed | null
  /** Why its setting could not be read, where it has one. */
  readonly unread?: string
}

/** One operator. */
export interface Operator extends Omit<Mode, "unread"> {
  readonly name: string
  /** The group of the resources that own its pods. */
  readonly group: string
  /** Labels that its pods have, each with its value, or with null where the value may be any. */
  readonly labels: Readonly<Record<string, string | null>>
  /** Two labels that have the same value on its pods, where it has no label of its own. */
  readonly alike?: readonly [string, string]
  /** The label that names its cluster. */
  readonly called: string
  /** Where that is written. */
  readonly source: string
  /** Where it depends on the resource of a cluster: which resource, and what that one says; null for another form. */
  readonly setting?: { readonly resource: string; readonly read: (resource: unknown) => Mode | null }
}

/** An operator, its cluster in words, and that cluster's name. */
export interface Known {
  readonly operator: Operator
  readonly cluster: string
  readonly name: string
}

/** The operator that made a pod: by what owns the pod, or by its labels. Null where none of the table did. */
export const of = (pod: Pod): Known | null => {
  const [group = "", kind = "", name = ""] = pod.owner?.split("/") ?? []
  const operator = operators.find((one) => one.group === group) ?? operators.find((one) => isMarked(one, pod))
  if (operator === undefined) return null
  const called = operator.group === group ? name : (pod.labels[operator.called] ?? pod.name)
  return { operator, cluster: operator.group === group ? `${kind} ${name}` : called, name: called }
}

/** All that are known. */
const operators: ReadonlyArray<Operator> = [
  {
    name: "the etcd-operator of CoreOS",
    group: "etcd.database.coreos.com",
    labels: { app: "etcd", etcd_cluster: null, etcd_node: null },
    called: "etcd_cluster",
    does: "removes what is left of a cluster without its quorum and restores it from a backup",
    source: "https://github.com/coreos/etcd-operator/blob/master/pkg/cluster/reconcile.go",
    deed: { reaction: "DestroysData", after: 0 }
  },
  {
    name: "the etcd-operator of etcd-io",
    group: "operator.etcd.io",
    labels: {},
    alike: ["app", "controller"],
    called: "controller",
    does: "rebuilds a cluster from one survivor by --force-new-cluster, once its quorum was gone for 60 s",
    source: "https://github.com/etcd-io/etcd-operator/blob/main/internal/controller/quorum_recovery.go",
    deed: { reaction: "DestroysData", after: 60_000 }
  },
  {
    name: "etcd-druid",
    group: "druid.gardener.cloud",
    labels: { "app.kubernetes.io/managed-by": "etcd-druid" },
    called: "app.kubernetes.io/part-of",
    does: "leaves a lost quorum to a person",
    source: "https://github.com/gardener/etcd-druid/blob/master/docs/usage/recovering-etcd-clusters.md",
    deed: null
  },
  {
    name: "CloudNativePG",
    group: "postgresql.cnpg.io",
    labels: { "cnpg.io/cluster": null },
    called: "cnpg.io/cluster",
    does: "takes standbys that are not ready out of synchronous_standby_names unless dataDurability is required, and fails over where the primary is not ready",
    source: "https://cloudnative-pg.io/docs/current/replication",
    deed: { reaction: "EmptiesQuorum", after: "Unready" },
    setting: { resource: "clusters.postgresql.cnpg.io", read: (resource) => modeOfCloudNativePG(resource) }
  },
  {
    name: "the postgres-operator of Zalando",
    group: "acid.zalan.do",
    labels: { application: "spilo" },
    called: "cluster-name",
    does: "leaves a lost quorum to the Patroni in its pods",
    source: "https://github.com/zalando/postgres-operator/blob/master/docs/index.md",
    deed: null
  },
  {
    name: "PGO of Crunchy Data, or of Percona's operator that is made from it",
    group: "postgres-operator.crunchydata.com",
    labels: { "postgres-operator.crunchydata.com/cluster": null },
    called: "postgres-operator.crunchydata.com/cluster",
    does: "leaves a lost quorum to the Patroni in its pods",
    source: "https://github.com/CrunchyData/postgres-operator/blob/main/internal/naming/labels.go",
    deed: null
  }
]

// --- internal ---

const ClusterOfCloudNativePG = Schema.Struct({
  spec: Schema.Struct({
    instances: Schema.optionalKey(Schema.Int),
    postgresql: Schema.optionalKey(
      Schema.Struct({
        synchronous: Schema.optionalKey(
          Schema.Struct({
            dataDurability: Schema.optionalKey(Schema.Literals(["required", "preferred"])),
            maxStandbyNamesFromCluster: Schema.optionalKey(Schema.Int)
          })
        )
      })
    )
  })
})

/**
 * By pkg/postgres/replication of its source. Only with `required`, which is its default, does it leave all standbys in
 * the list; a list with an upper limit begins with those that are ready. Before 1.24 there was no `synchronous`, and
 * `minSyncReplicas` gives way to what is ready.
 */
const modeOfCloudNativePG = (resource: unknown): Mode | null => {
  const decoded = Option.getOrNull(Schema.decodeUnknownOption(ClusterOfCloudNativePG)(resource))
  if (decoded === null) return null
  const { instances = 1, postgresql: { synchronous } = {} } = decoded.spec
  const { dataDurability = "required", maxStandbyNamesFromCluster: most = instances } = synchronous ?? {}
  const failsOver = "and fails over where the primary is not ready"
  const empties = (how: string): Mode => ({
    does: `${how}, ${failsOver}`,
    deed: { reaction: "EmptiesQuorum", after: "Unready" }
  })
  const out = "takes standbys that are not ready out of synchronous_standby_names"
  if (synchronous === undefined) return empties(`${out} (its cluster has no postgresql.synchronous)`)
  if (dataDurability === "preferred") return empties(`${out} (dataDurability: preferred)`)
  if (most < instances - 1)
    return empties(`lists ready standbys in the place of others (maxStandbyNamesFromCluster: ${most})`)
  return {
    does: `leaves standbys that are not ready in synchronous_standby_names (dataDurability: required), ${failsOver}`,
    deed: { reaction: "DemotesPrimary", after: "Unready" }
  }
}

const isMarked = ({ alike, labels }: Operator, pod: Pod): boolean => {
  const [one, other] = alike ?? []
  if (one !== undefined && other !== undefined && (pod.labels[one] ?? "") !== pod.labels[other]) return false
  return Object.entries(labels).every(([key, value]) => {
    const label = pod.labels[key]
    return label !== undefined && (value === null || label === value)
  })
}
