/**
 * The dry run of any fault. A quorum loss is planned by the worker, with its arithmetic and every guard. The other kinds
 * have nothing to compute: here it is told which members they would act on, as last seen, and the refusals that this much
 * shows. What only the hosts know (which mechanism can restart a member, say) is told by the start itself.
 */
import type { ClusterView, Operations, RequestRefused } from "@inquorate/core/Operations"
import { holdsPartition } from "@inquorate/core/Operation"
import { Refusal } from "@inquorate/core/Plan"
import { type FaultRequest, isNodeRequest, isQuorumLoss, type NodeRequest, subjectOf } from "@inquorate/core/Request"
import { type Member, nodeInstanceId, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import type { FaultPreview, Touched } from "./Api.ts"

// --- make ---

/** The dry run of a request, without touching anything. */
export const of = (
  operations: Operations["Service"],
  request: FaultRequest
): Effect.Effect<FaultPreview, RequestRefused> =>
  isQuorumLoss(request)
    ? operations.plan(request)
    : Effect.gen(function* () {
        const clusters = yield* operations.clusters
        const seen = isNodeRequest(request) ? previewNode(clusters, request) : previewPartition(clusters, request)
        const busy = (yield* operations.holders).find(
          (operation) => holdsPartition(operation) && subjectOf(operation.request) === subjectOf(request)
        )
        if (seen.refusal !== null || busy === undefined) return seen
        const refusal = Refusal.cases.Busy.make({ operationId: busy.id, problem: "it has not ended" })
        return { ...seen, refusal }
      })

// --- internal ---

type PartitionFault = Exclude<FaultRequest, NodeRequest | { readonly hold: number }>

const previewPartition = (clusters: ReadonlyArray<ClusterView>, request: PartitionFault): FaultPreview => {
  const { partitionId, serviceName } = request
  const groups = clusters.flatMap((cluster) => cluster.groups)
  const ofService = groups.filter((group) => serviceNameOf(group) === serviceName)
  const topology = ofService.find((group) => group.partitionId === partitionId)
  if (topology === undefined) {
    return refuse(
      null,
      ofService.length === 0
        ? Refusal.cases.UnknownService.make({ serviceName })
        : Refusal.cases.UnknownPartition.make({ partitionId })
    )
  }
  const cluster = clusters.find(({ name }) => name === topology.cluster)
  if (cluster?.protected === true) return refuse(topology, Refusal.cases.Protected.make({ cluster: cluster.name }))
  if (topology.service?.kind === "Stateless") {
    if (request.kind === "PartitionDataLoss") return refuse(topology, Refusal.cases.Stateless.make({ serviceName }))
    if (request.mode === "OnlyActiveSecondaries") {
      return refuse(topology, Refusal.cases.NoSecondaries.make({ serviceName }))
    }
  }
  const spared = request.kind === "PartitionRestart" && request.mode === "OnlyActiveSecondaries"
  const members = topology.members.filter((member) => member.up && !(spared && member.role === "Primary"))
  return { topology, plan: null, refusal: null, touches: members.map((member) => touched(topology, member)) }
}

const previewNode = (clusters: ReadonlyArray<ClusterView>, request: NodeRequest): FaultPreview => {
  const { instanceId: asked, nodeName } = request
  const facts = clusters.flatMap((cluster) => cluster.nodes ?? []).find((node) => node.name === nodeName)
  const standing = clusters.flatMap((cluster) =>
    cluster.groups.flatMap((topology) =>
      topology.members
        .filter((member) => member.node === nodeName)
        .map((member) => ({ cluster, member, touched: touched(topology, member) }))
    )
  )
  if (facts === undefined && standing.length === 0) {
    return refuse(null, Refusal.cases.UnknownNode.make({ nodeName }))
  }
  const guarded = standing.find(({ cluster }) => cluster.protected)
  if (guarded !== undefined) return refuse(null, Refusal.cases.Protected.make({ cluster: guarded.cluster.name }))
  const up = facts?.up ?? standing.some(({ member }) => member.up)
  const refusal =
    request.transition === "Start"
      ? up
        ? Refusal.cases.NodeUp.make({ nodeName })
        : null
      : facts?.stopped === true
        ? Refusal.cases.NodeStopped.make({ nodeName })
        : up
          ? null
          : Refusal.cases.NodeDown.make({ nodeName })
  if (refusal !== null) return refuse(null, refusal)
  const found = nodeInstanceId(nodeName, facts)
  return asked === found
    ? { topology: null, plan: null, refusal: null, touches: standing.map(({ touched }) => touched) }
    : refuse(null, Refusal.cases.InstanceMismatch.make({ nodeName, asked, found }))
}

const touched = ({ cluster, group }: Topology, { name, node }: Member): Touched => ({
  cluster,
  group,
  member: name,
  node
})

const refuse = (topology: Topology | null, refusal: Refusal): FaultPreview => ({ topology, plan: null, refusal })
