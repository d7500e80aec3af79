/**
 * The commands of nodes: list, stop, start.
 */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { first, operatorOf } from "./Answering.ts"
import { type Asked, noNode, type Operator } from "./Operator.ts"
import { print } from "./Endpoint.ts"
import { startFlags, startGuarded } from "./GuardedStart.ts"
import { readDuration } from "./Question.ts"
import { table } from "./Table.ts"

// --- models ---

const nodeName = Argument.String("node").pipe(Argument.withDescription("The name of a node"))

// --- make ---

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
    ...startFlags
  },
  Effect.fnUntraced(function* (input) {
    const duration = yield* readDuration(input.duration)
    const { instanceId, operator } = yield* findNode("node stop", input.nodeName)
    yield* startGuarded("node stop", operator, input, {
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
  { nodeName, ...startFlags },
  Effect.fnUntraced(function* (input) {
    const { instanceId, operator } = yield* findNode("node start", input.nodeName)
    yield* startGuarded("node start", operator, input, {
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
    const answering = yield* first("node list", (client) => client.nodes)
    if (answering.surface === "fabric") {
      const { explain, fabric } = answering.gateway
      const nodes = yield* fabric.getNodes.pipe(explain("node list"))
      return yield* print(nodes, () =>
        lines(
          nodes.map((one) => [
            one.Name,
            one.NodeStatus ?? "",
            one.HealthState ?? "",
            one.IsStopped === true ? "yes" : "no",
            one.InstanceId,
            one.IpAddressOrFQDN ?? "",
            one.Type ?? ""
          ])
        )
      )
    }
    const nodes = answering.answer
    yield* print(nodes, () =>
      lines(
        nodes.map((one) => [
          one.name,
          one.status,
          one.health,
          one.stopped ? "yes" : "no",
          one.instanceId,
          one.address,
          one.type
        ])
      )
    )
  })
).pipe(Command.withDescription("List the nodes"))

/** `inq node`: stops, starts and lists nodes. */
export const node = Command.make("node").pipe(
  Command.withSubcommands([stop, begin, list]),
  Command.withDescription("Stop, start and list nodes")
)

// --- internal ---

/** The instance of a node that a transition has to name, and who acts on it. */
const findNode = (
  doing: string,
  nodeName: string
): Asked<{ readonly instanceId: string; readonly operator: Operator }> =>
  Effect.gen(function* () {
    const answering = yield* first(doing, (client) =>
      Effect.catchIf(
        client.node(nodeName),
        (error) => error._tag === "ApiError" && error.code === "FABRIC_E_NODE_NOT_FOUND",
        () => Effect.fail(noNode(nodeName))
      )
    )
    const operator = operatorOf(answering)
    return answering.surface === "fabric"
      ? { instanceId: yield* answering.gateway.instanceOf(nodeName), operator }
      : { instanceId: answering.answer.instanceId, operator }
  })

const lines = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  rows.length === 0
    ? ["There is no node."]
    : table(["NODE", "STATUS", "HEALTH", "STOPPED", "INSTANCE", "ADDRESS", "TYPE"], rows)
