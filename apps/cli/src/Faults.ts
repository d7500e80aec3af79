/**
 * The commands of the other faults: restart, data loss, nodes, and the recovery of partitions.
 */
import { DataLossMode, RestartMode } from "@inquorate/core/Request"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { connectFabric, explainFabric, print } from "./Endpoint.ts"
import { clustersOf, front, instanceOf } from "./Front.ts"
import { confirm, launch, launchFlags, readDuration } from "./Launch.ts"
import { table } from "./Table.ts"

// --- models ---

const partition = Argument.String("service").pipe(
  Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
)

const nodeName = Argument.String("node").pipe(Argument.withDescription("The name of a node"))

const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do not ask before what cannot be undone"),
  Flag.withDefault(false)
)

// --- make ---

/** `inq restart`: restarts the replicas of a partition. */
const restart = Command.make(
  "restart",
  {
    partition,
    mode: Flag.Literals("mode", RestartMode.literals).pipe(
      Flag.withDescription("Every replica or instance, or every one but the primary"),
      Flag.withDefault("AllReplicasOrInstances")
    ),
    ...launchFlags
  },
  Effect.fnUntraced(function* (input) {
    const found = yield* front("restart")
    const about = yield* found.partition(input.partition)
    yield* launch("restart", found, input, { kind: "PartitionRestart", ...about, mode: input.mode })
  })
).pipe(Command.withDescription("Restart the replicas of a partition"))

/** `inq data-loss`: destroys replicas of a partition with their data. */
const dataLoss = Command.make(
  "data-loss",
  {
    partition,
    mode: Flag.Literals("mode", DataLossMode.literals).pipe(
      Flag.withDescription("As many replicas as make the quorum, or all of them"),
      Flag.withDefault("PartialDataLoss")
    ),
    yes,
    ...launchFlags
  },
  Effect.fnUntraced(function* (input) {
    const found = yield* front("data-loss")
    const about = yield* found.partition(input.partition)
    yield* confirm(`Destroy data of ${about.serviceName} for good?`, input.yes)
    yield* launch("data-loss", found, input, { kind: "PartitionDataLoss", ...about, mode: input.mode })
  })
).pipe(Command.withDescription("Destroy replicas of a partition with their data, where that is allowed"))

const stop = Command.make(
  "stop",
  {
    nodeName,
    duration: Flag.String("duration").pipe(
      Flag.withAlias("d"),
      Flag.withDescription("After how long it starts by itself: 5m, 1h, or seconds; Service Fabric takes 5m to 4h"),
      Flag.withMetavar("LENGTH"),
      Flag.withDefault("5m")
    ),
    ...launchFlags
  },
  Effect.fnUntraced(function* (input) {
    const duration = yield* readDuration(input.duration)
    const found = yield* front("node stop")
    const instanceId = yield* instanceOf(found.fabric, input.nodeName)
    yield* launch("node stop", found, input, {
      kind: "NodeTransition",
      transition: "Stop",
      nodeName: input.nodeName,
      instanceId,
      duration
    })
  })
).pipe(Command.withDescription("Stop a node, which starts again by itself when its time is over"))

const begin = Command.make(
  "start",
  { nodeName, ...launchFlags },
  Effect.fnUntraced(function* (input) {
    const found = yield* front("node start")
    const instanceId = yield* instanceOf(found.fabric, input.nodeName)
    yield* launch("node start", found, input, {
      kind: "NodeTransition",
      transition: "Start",
      nodeName: input.nodeName,
      instanceId
    })
  })
).pipe(Command.withDescription("Start a node that was stopped, before its time is over"))

const list = Command.make(
  "list",
  {},
  Effect.fnUntraced(function* () {
    const fabric = yield* connectFabric
    const nodes = yield* fabric.getNodes.pipe(explainFabric("node list"))
    yield* print(nodes, () =>
      nodes.length === 0
        ? ["There is no node."]
        : table(
            ["NODE", "STATUS", "HEALTH", "STOPPED", "INSTANCE", "ADDRESS", "TYPE"],
            nodes.map((node) => [
              node.Name,
              node.NodeStatus ?? "",
              node.HealthState ?? "",
              node.IsStopped === true ? "yes" : "no",
              node.InstanceId,
              node.IpAddressOrFQDN ?? "",
              node.Type ?? ""
            ])
          )
    )
  })
).pipe(Command.withDescription("List the nodes"))

/** `inq node`: stops, starts and lists nodes. */
const node = Command.make("node").pipe(
  Command.withSubcommands([stop, begin, list]),
  Command.withDescription("Stop, start and list nodes")
)

/** Every fault but the quorum loss, in the order of the help. */
export const faults = [restart, dataLoss, node] as const

const told = (what: string) => print({ recover: what }, () => [`Recovery of ${what} was asked for.`])

const recoverPartition = Command.make(
  "partition",
  { partition, yes },
  Effect.fnUntraced(function* (input) {
    const found = yield* front("recover")
    const { partitionId, serviceName } = yield* found.partition(input.partition)
    yield* confirm(`Give up what ${serviceName} waits for? Data may be lost.`, input.yes)
    yield* found.fabric.recover({ partitionId }).pipe(explainFabric("recover"))
    const own = found.surface === "inquorate" ? yield* clustersOf(found.client, "recover") : []
    const cluster = own.find(({ groups }) => groups.some((topology) => topology.partitionId === partitionId))
    // Only a simulated cluster has an application type, and can be told to give data up.
    if (cluster !== undefined && cluster.application === undefined) {
      return yield* print({ recover: `partition ${partitionId}` }, () => [
        `${cluster.system} recovers by itself: nothing had to be done. "inq partitions" shows how it stands, and "inq cancel" lifts a fault of ours.`
      ])
    }
    yield* told(`partition ${partitionId}`)
  })
).pipe(Command.withDescription("Recover one partition"))

const recoverService = Command.make(
  "service",
  { service: Argument.String("service").pipe(Argument.withDescription("cluster/group, or a service's name")), yes },
  Effect.fnUntraced(function* (input) {
    const fabric = yield* connectFabric
    const serviceId = input.service.replace(/^fabric:\//, "").replaceAll("/", "~")
    yield* confirm(`Give up what ${input.service} waits for? Data may be lost.`, input.yes)
    yield* fabric.recover({ serviceId }).pipe(explainFabric("recover"))
    yield* told(`service ${input.service}`)
  })
).pipe(Command.withDescription("Recover every partition of a service"))

const recoverMany = (name: "system" | "all", scope: "SystemPartitions" | "AllPartitions", what: string) =>
  Command.make(
    name,
    { yes },
    Effect.fnUntraced(function* (input) {
      const fabric = yield* connectFabric
      yield* confirm(`Give up what ${what} wait for? Data may be lost.`, input.yes)
      yield* fabric.recover(scope).pipe(explainFabric("recover"))
      yield* told(what)
    })
  ).pipe(Command.withDescription(`Recover ${what}`))

/** `inq recover`: gives up what partitions in quorum loss wait for. */
export const recover = Command.make("recover").pipe(
  Command.withSubcommands([
    recoverPartition,
    recoverService,
    recoverMany("system", "SystemPartitions", "the partitions of the system services"),
    recoverMany("all", "AllPartitions", "all partitions")
  ]),
  Command.withDescription("Give up what partitions in quorum loss wait for; it lifts no fault of ours")
)
