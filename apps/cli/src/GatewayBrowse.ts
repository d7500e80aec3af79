/**
 * What there is in a Service Fabric cluster, as its gateway tells it: applications, partitions and health. Loaded only where
 * what answers is no worker.
 */
import * as Effect from "effect/Effect"
import type { NodeHealth } from "@inquorate/transport/FabricAnswers"
import type { HealthSubject } from "@inquorate/transport/Api"
import type { Gateway } from "./Gateway.ts"
import { healthLines } from "./HealthLines.ts"
import { indent, table } from "./Table.ts"

/** The applications of a cluster, one line each. */
export const applications = Effect.fnUntraced(function* (gateway: Gateway) {
  const found = yield* gateway.fabric.getApplications.pipe(gateway.explain("clusters"))
  const lines = () =>
    found.length === 0
      ? ["The cluster has no application."]
      : table(
          ["APPLICATION", "TYPE", "VERSION", "STATUS", "HEALTH"],
          found.map(({ HealthState, Name, Status, TypeName, TypeVersion }) => [
            Name,
            TypeName ?? "",
            TypeVersion ?? "",
            Status ?? "",
            HealthState ?? ""
          ])
        )
  return { found, lines }
})

/** Every partition of a cluster with its replicas. */
export const partitions = Effect.fnUntraced(function* (gateway: Gateway) {
  const found = yield* Effect.gen(function* () {
    const services = (yield* Effect.forEach(yield* gateway.fabric.getApplications, ({ Id }) =>
      gateway.fabric.getServices(Id)
    )).flat()
    const of = yield* Effect.forEach(services, (service) =>
      Effect.flatMap(gateway.fabric.getPartitions(service.Id), (all) =>
        Effect.forEach(all, (one) =>
          Effect.map(gateway.fabric.getReplicas(one.PartitionInformation.Id), (replicas) => ({
            serviceName: service.Name,
            partition: one,
            replicas
          }))
        )
      )
    )
    return of.flat()
  }).pipe(gateway.explain("partitions"))
  const lines = () =>
    found.length === 0
      ? ["The cluster has no partition."]
      : found.flatMap(({ partition: one, replicas, serviceName }) => [
          `${serviceName}  ${one.ServiceKind}, ${one.PartitionStatus ?? "Unknown"}, ${one.HealthState ?? "Unknown"}`,
          ...indent(
            table(
              ["REPLICA", "NODE", "ROLE", "STATUS", "HEALTH"],
              replicas.map((replica) => [
                replica.ReplicaId ?? replica.InstanceId ?? "",
                replica.NodeName ?? "",
                replica.ReplicaRole ?? "",
                replica.ReplicaStatus ?? "",
                replica.HealthState ?? ""
              ])
            )
          ),
          `  partition id ${one.PartitionInformation.Id}`
        ])
  return { found, lines }
})

/** The health of the cluster, or of the one thing that is named. */
export const health = Effect.fnUntraced(function* (gateway: Gateway, subject: HealthSubject) {
  const { fabric } = gateway
  const id = (name: string): string => name.replace(/^fabric:\//, "").replaceAll("/", "~")
  const { application, node, partition, service } = subject
  const asked =
    node !== undefined
      ? fabric.getNodeHealth(node)
      : application !== undefined
        ? fabric.getApplicationHealth(id(application))
        : service !== undefined
          ? fabric.getServiceHealth(id(service))
          : partition !== undefined
            ? fabric.getPartitionHealth(partition)
            : undefined
  if (asked !== undefined) {
    const found = yield* asked.pipe(gateway.explain("health"))
    return {
      found,
      lines: () =>
        healthLines({ kind: "Node", state: found.AggregatedHealthState, reports: reportsOf(found), below: [] })
    }
  }
  const found = yield* fabric.getClusterHealth.pipe(gateway.explain("health"))
  const below = [
    ...(found.ApplicationHealthStates ?? []).map((state) => ["application", state] as const),
    ...(found.NodeHealthStates ?? []).map((state) => ["node", state] as const)
  ].map(([kind, { AggregatedHealthState, Name }]) => ({ kind, name: Name, state: AggregatedHealthState }))
  return {
    found,
    lines: () => healthLines({ kind: "Cluster", state: found.AggregatedHealthState, reports: reportsOf(found), below })
  }
})

// --- internal ---

const reportsOf = ({ HealthEvents = [] }: Pick<NodeHealth, "HealthEvents">) =>
  HealthEvents.map((event) => ({
    source: event.SourceId,
    property: event.Property,
    state: event.HealthState,
    description: event.Description ?? ""
  }))
