/**
 * The commands that look at what there is: clusters, partitions and health.
 */
import { health } from "@inquorate/core/Topology"
import { formatMillis } from "@inquorate/core/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { connectFabric, explainFabric, print } from "./Endpoint.ts"
import { clustersOf, front } from "./Front.ts"
import { topologyLines } from "./Report.ts"
import { Failure } from "./Failure.ts"
import { indent, table } from "./Table.ts"

/** `inq clusters`: the configured clusters. */
export const clusters = Command.make(
  "clusters",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* front("clusters")
    if (answering.surface === "fabric") {
      const { applications } = yield* fabricFront
      const told = yield* applications(answering.fabric)
      return yield* print(told.found, told.lines)
    }
    const found = yield* clustersOf(answering.client, "clusters")
    yield* print(found, () =>
      found.length === 0
        ? ['No cluster is configured. Add one under "clusters:" in the worker\'s configuration.']
        : table(
            ["CLUSTER", "SYSTEM", "INJECTOR", "GROUPS", "MAX HOLD", "PROTECTED", "PROBLEM"],
            found.map((cluster) => [
              cluster.name,
              cluster.system,
              cluster.injector,
              String(cluster.groups.length),
              cluster.maxHold === null ? "" : formatMillis(cluster.maxHold),
              cluster.protected ? "yes" : "no",
              cluster.problem
            ])
          )
    )
  })
).pipe(Command.withDescription("List the configured clusters"))

/** `inq partitions`: every partition with its members. */
export const partitions = Command.make(
  "partitions",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* front("partitions")
    if (answering.surface === "fabric") {
      const Fabric = yield* fabricFront
      const told = yield* Fabric.partitions(answering.fabric)
      return yield* print(told.found, told.lines)
    }
    const found = yield* clustersOf(answering.client, "partitions")
    const now = yield* Clock.currentTimeMillis
    const groups = found.flatMap(({ faults = [], groups }) => groups.map((topology) => ({ topology, faults })))
    yield* print(
      groups.map(({ faults, topology }) => {
        const own = faults.filter(
          ({ nodeName, partitionId }) => nodeName !== null || partitionId === topology.partitionId
        )
        return { ...topology, health: own.some(({ lost }) => lost) ? "Lost" : health(topology), faults: own }
      }),
      () => [
        ...groups.flatMap(({ faults, topology }) => [
          ...topologyLines(topology, faults, now),
          `  partition id ${topology.partitionId}`
        ]),
        ...found.filter(({ problem }) => problem !== "").map(({ name, problem }) => `${name}: ${problem}`),
        ...(found.length === 0 ? ["No cluster is configured."] : [])
      ]
    )
  })
).pipe(Command.withDescription("List every partition with its members"))

/** `inq health`: the health of the cluster, or of one thing in it. */
export const healthCommand = Command.make(
  "health",
  {
    node: Flag.String("node").pipe(Flag.withDescription("Of this node"), Flag.optional),
    application: Flag.String("application").pipe(Flag.withDescription("Of this application"), Flag.optional),
    service: Flag.String("service").pipe(Flag.withDescription("Of this service"), Flag.optional),
    partition: Flag.String("partition").pipe(Flag.withDescription("Of the partition with this id"), Flag.optional)
  },
  Effect.fnUntraced(function* (input) {
    const fabric = yield* connectFabric
    const id = (name: string): string => name.replace(/^fabric:\//, "").replaceAll("/", "~")
    const asked = [
      Option.map(input.node, (name) => fabric.getNodeHealth(name)),
      Option.map(input.application, (name) => fabric.getApplicationHealth(id(name))),
      Option.map(input.service, (name) => fabric.getServiceHealth(id(name))),
      Option.map(input.partition, (name) => fabric.getPartitionHealth(name))
    ].filter(Option.isSome)
    if (asked.length > 1) {
      return yield* new Failure({
        exit: "usage",
        detail: "health: give one of --node, --application, --service and --partition, or none."
      })
    }
    const [one] = asked
    if (one !== undefined) {
      const found = yield* one.value.pipe(explainFabric("health"))
      return yield* print(found, () => [
        found.AggregatedHealthState,
        ...indent(
          table(
            ["SOURCE", "PROPERTY", "STATE", "DESCRIPTION"],
            (found.HealthEvents ?? []).map((event) => [
              event.SourceId,
              event.Property,
              event.HealthState,
              event.Description ?? ""
            ])
          )
        )
      ])
    }
    const found = yield* fabric.getClusterHealth.pipe(explainFabric("health"))
    yield* print(found, () => [
      `The cluster is ${found.AggregatedHealthState}.`,
      ...indent(
        table(
          ["KIND", "NAME", "HEALTH"],
          [
            ...(found.ApplicationHealthStates ?? []).map((state) => ["application", state] as const),
            ...(found.NodeHealthStates ?? []).map((state) => ["node", state] as const)
          ].map(([kind, { AggregatedHealthState, Name }]) => [kind, Name, AggregatedHealthState])
        )
      )
    ])
  })
).pipe(Command.withDescription("Show the health of the cluster, or of one thing in it"))

// --- internal ---

// Evaluated for a Service Fabric cluster only.
const fabricFront = Effect.promise(() => import("./FabricFront.ts"))
