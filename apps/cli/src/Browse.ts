/**
 * The commands that look at what there is: clusters, partitions and health.
 */
import { parse as parseGuid } from "@inquorate/core/Guid"
import { health } from "@inquorate/core/Topology"
import { formatMillis } from "@inquorate/core/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { first } from "./Answering.ts"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { healthLines } from "./HealthLines.ts"
import { topologyLines } from "./Report.ts"
import { table } from "./Table.ts"

/** `inq clusters`: the configured clusters. */
export const clusters = Command.make(
  "clusters",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* first("clusters", (client) => client.clusters)
    if (answering.surface === "fabric") {
      const { applications } = yield* gatewayBrowse
      const told = yield* applications(answering.gateway)
      return yield* print(told.found, told.lines)
    }
    const found = answering.answer
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
    const answering = yield* first("partitions", (client) => client.clusters)
    if (answering.surface === "fabric") {
      const { partitions } = yield* gatewayBrowse
      const told = yield* partitions(answering.gateway)
      return yield* print(told.found, told.lines)
    }
    const found = answering.answer
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
    const partition = yield* Option.match(input.partition, {
      onNone: () => Effect.undefined,
      onSome: (text) => Effect.fromNullishOr(parseGuid(text)).pipe(Effect.mapError(() => notAnId(text)))
    })
    const subject = {
      ...given("node", input.node),
      ...given("application", input.application),
      ...given("service", input.service),
      ...(partition === undefined ? {} : { partition })
    }
    if (Object.keys(subject).length > 1) {
      return yield* new Failure({
        exit: "usage",
        detail: "health: give one of --node, --application, --service and --partition, or none."
      })
    }
    const answering = yield* first("health", (client) => client.health(subject))
    if (answering.surface === "fabric") {
      const { health } = yield* gatewayBrowse
      const told = yield* health(answering.gateway, subject)
      return yield* print(told.found, told.lines)
    }
    yield* print(answering.answer, () => healthLines(answering.answer))
  })
).pipe(Command.withDescription("Show the health of the cluster, or of one thing in it"))

// --- internal ---

// Evaluated for a Service Fabric cluster only.
const gatewayBrowse = Effect.promise(() => import("./GatewayBrowse.ts"))

const given = <Key extends string>(key: Key, text: Option.Option<string>): { readonly [K in Key]?: string } =>
  Option.isNone(text) ? {} : ({ [key]: text.value } as { readonly [K in Key]: string })

const notAnId = (text: string): Failure =>
  new Failure({
    exit: "usage",
    detail: `--partition: expected a partition's id, which "inq partitions" shows, got ${JSON.stringify(text)}.`
  })
