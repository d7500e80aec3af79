/**
 * The commands that look at what there is: clusters and partitions.
 */
import { health } from "@inquorate/core/Topology"
import { formatMillis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { connect, explain, print } from "./Endpoint.ts"
import { topologyLines } from "./Report.ts"
import { table } from "./Table.ts"

/** `inq clusters`: the configured clusters. */
export const clusters = Command.make(
  "clusters",
  {},
  Effect.fnUntraced(function* () {
    const client = yield* connect
    const found = yield* client.clusters.pipe(explain("clusters"))
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
    const client = yield* connect
    const found = yield* client.clusters.pipe(explain("partitions"))
    const groups = found.flatMap((cluster) => cluster.groups)
    yield* print(
      groups.map((topology) => ({ ...topology, health: health(topology) })),
      () => [
        ...groups.flatMap((topology) => [...topologyLines(topology), `  partition id ${topology.partitionId}`]),
        ...found.filter(({ problem }) => problem !== "").map(({ name, problem }) => `${name}: ${problem}`),
        ...(found.length === 0 ? ["No cluster is configured."] : [])
      ]
    )
  })
).pipe(Command.withDescription("List every partition with its members"))
