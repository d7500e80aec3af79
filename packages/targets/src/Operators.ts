/**
 * The operators of Kubernetes that are known to us, each with what shows that it made a pod and what it does once a
 * quorum is gone. Resources, labels and deeds are facts of their public sources, and each row names the one where its
 * deed is written. An operator that is not in the table is named, and nobody knows what it does.
 */
import type { Pod } from "@inquorate/core/Pod"
import type { Reaction } from "@inquorate/core/Supervision"
import type { Millis } from "@inquorate/core/Time"

/** What an operator does about a loss, and how long after the loss began it does so at the earliest. */
export interface Deed {
  readonly reaction: Reaction
  /** `Unready`: once the kubelet calls a member's pod unready. */
  readonly after: Millis | "Unready"
}

/** One operator. */
export interface Operator {
  readonly name: string
  /** The group of the resources that own its pods. */
  readonly group: string
  /** Labels that its pods have, each with its value, or with null where the value may be any. */
  readonly labels: Readonly<Record<string, string | null>>
  /** Two labels that have the same value on its pods, where it has no label of its own. */
  readonly alike?: readonly [string, string]
  /** The label that names its cluster. */
  readonly called: string
  /** What it does, to follow its name in a sentence. */
  readonly does: string
  /** Where that is written. */
  readonly source: string
  /** Null where it does nothing that bounds a hold. */
  readonly deed: Deed | null
}

/** An operator, and what its cluster is called. */
export interface Known {
  readonly operator: Operator
  readonly cluster: string
}

/** The operator that made a pod: by what owns the pod, or by its labels. Null where none of the table did. */
export const of = (pod: Pod): Known | null => {
  const [group = "", kind = "", name = ""] = pod.owner?.split("/") ?? []
  const operator = operators.find((one) => one.group === group) ?? operators.find((one) => isMarked(one, pod))
  if (operator === undefined) return null
  return { operator, cluster: operator.group === group ? `${kind} ${name}` : (pod.labels[operator.called] ?? pod.name) }
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
    deed: { reaction: "EmptiesQuorum", after: "Unready" }
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
    name: "PGO of Crunchy Data",
    group: "postgres-operator.crunchydata.com",
    labels: { "postgres-operator.crunchydata.com/cluster": null },
    called: "postgres-operator.crunchydata.com/cluster",
    does: "leaves a lost quorum to the Patroni in its pods",
    source: "https://github.com/CrunchyData/postgres-operator/blob/main/internal/naming/labels.go",
    deed: null
  }
]

// --- internal ---

const isMarked = ({ alike, labels }: Operator, pod: Pod): boolean => {
  const [one, other] = alike ?? []
  if (one !== undefined && other !== undefined && (pod.labels[one] ?? "") !== pod.labels[other]) return false
  return Object.entries(labels).every(([key, value]) => {
    const label = pod.labels[key]
    return label !== undefined && (value === null || label === value)
  })
}
