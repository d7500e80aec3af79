/**
 * The faults of one call, for which Service Fabric Explorer's buttons and half of its command line ask: restart,
 * deactivate and activate a node, restart or remove a replica. Each call starts an ordinary operation under an id of
 * ours, behind every guard. The worker refuses at once what may not be, in the contract's words. The answer says that
 * the fault has begun, not that it has ended.
 */
import type { FabricErrorCode } from "@inquorate/core/FabricError"
import type { Guid } from "@inquorate/core/Guid"
import { type Operations, RequestRefused } from "@inquorate/core/Operations"
import type { DeactivationIntent, FaultRequest } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { nodeInstanceId, serviceNameOf } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Deployed from "./FabricDeployed.ts"
import type { FabricCall, OneCallFault } from "./FabricCall.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

const RestartBody = Schema.Struct({
  NodeInstanceId: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Finite])))
})

const DeactivateBody = Schema.Struct({
  DeactivationIntent: Schema.Union([
    Schema.Literals(["Pause", "Restart", "RemoveData", "RemoveNode"]),
    Schema.Literals([1, 2, 3, 4])
  ])
})

// --- make ---

/** True for a fault of one call. */
const isOneCall = (call: FabricCall): call is OneCallFault => Object.hasOwn(takesBody, call._tag)

/** True for a call whose body the server reads. */
export const readsBody = (call: FabricCall): boolean => isOneCall(call) && takesBody[call._tag]

/** Begins the fault that a call asks for. `newId` becomes the id of its operation. */
export const begin = (
  operations: Operations["Service"],
  world: World.World,
  call: OneCallFault,
  asked: { readonly body: string; readonly newId: Guid }
): Effect.Effect<void, RequestRefused> => {
  const { body, newId } = asked
  const start = (request: FaultRequest) =>
    Effect.asVoid(operations.start(newId, request, { guard: true, maxHold: "configured" }))
  switch (call._tag) {
    case "RestartNode":
      return Effect.gen(function* () {
        const node = yield* nodeOf(world, call.nodeName)
        const { NodeInstanceId } = yield* read(RestartBody, body === "" ? "{}" : body)
        const given = String(NodeInstanceId ?? "0")
        const instanceId = given === "0" ? instanceOf(node) : given
        yield* start({ kind: "NodeTransition", transition: "Restart", nodeName: node.name, instanceId })
      })
    case "DeactivateNode":
      return Effect.gen(function* () {
        const node = yield* nodeOf(world, call.nodeName)
        const { DeactivationIntent } = yield* read(DeactivateBody, body)
        const intent = typeof DeactivationIntent === "number" ? intents[DeactivationIntent] : DeactivationIntent
        yield* deactivate(world, node, intent, start)
      })
    case "ActivateNode":
      return Effect.flatMap(nodeOf(world, call.nodeName), (node) => activate(operations, world, node, start))
    case "RestartReplica":
    case "RemoveReplica":
      return Effect.flatMap(replicaRequest(world, call), start)
  }
}

/**
 * How long a node may stay deactivated: the longest hold that every cluster on it allows, and at most what the wire can
 * say.
 */
const longestOn = (world: World.World, node: World.Node): Millis =>
  Math.min(
    longest,
    ...world.applications
      .filter(({ view }) => view.groups.some(({ members }) => members.some((member) => node.members.includes(member))))
      .flatMap(({ view }) => view.maxHold ?? [])
  )

// --- internal ---

type Start = (request: FaultRequest) => Effect.Effect<void, RequestRefused>

/** Every fault of one call, and whether the server reads its body. */
const takesBody: Readonly<Record<OneCallFault["_tag"], boolean>> = {
  RestartNode: true,
  DeactivateNode: true,
  ActivateNode: false,
  RestartReplica: false,
  RemoveReplica: false
}

/** The intents by the numbers that older clients send. */
const intents: Readonly<Record<1 | 2 | 3 | 4, DeactivationIntent>> = {
  1: "Pause",
  2: "Restart",
  3: "RemoveData",
  4: "RemoveNode"
}

/** The most that 32 bits with a sign hold, in milliseconds, rounded down to whole seconds. */
const longest: Millis = 2_147_483_000

const refuse = (code: FabricErrorCode, detail: string): Effect.Effect<never, RequestRefused> =>
  Effect.fail(new RequestRefused({ code, detail, refusal: null }))

const parseJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

const read = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  body: string
): Effect.Effect<S["Type"], RequestRefused> => {
  const decoded = parseJson(body.replace(/^\ufeff/, ""))
  const value = Result.flatMap(decoded, (json) => Schema.decodeUnknownResult(schema)(json))
  return Result.isSuccess(value)
    ? Effect.succeed(value.success)
    : refuse("E_INVALIDARG", `The body does not fit this call: ${value.failure.message}`)
}

const nodeOf = (world: World.World, name: string): Effect.Effect<World.Node, RequestRefused> => {
  const node = world.nodes.find((one) => one.name === name)
  if (node !== undefined) return Effect.succeed(node)
  const unknown = World.unknown(world)
  return unknown.length > 0
    ? refuse("FABRIC_E_NOT_READY", `${unknown[0]!.name} is not seen yet, and may have the node ${name}.`)
    : refuse("FABRIC_E_NODE_NOT_FOUND", `No configured cluster has the node ${name}.`)
}

const instanceOf = (node: World.Node): string => nodeInstanceId(node.name, node.facts ?? undefined)

// The node is out of service already. A deactivation that reaches as far or less far is done, and one that reaches
// further takes nothing more from the node.
const deactivate = (
  world: World.World,
  node: World.Node,
  intent: DeactivationIntent,
  start: Start
): Effect.Effect<void, RequestRefused> =>
  world.deactivated.has(node.name)
    ? Effect.void
    : start({
        kind: "NodeTransition",
        transition: "Stop",
        nodeName: node.name,
        instanceId: instanceOf(node),
        duration: longestOn(world, node),
        intent
      })

// If a deactivation is under way, cancel it, which lifts at once. If one stands, a start ends it. A node that is up is
// active already.
const activate = (
  operations: Operations["Service"],
  world: World.World,
  node: World.Node,
  start: Start
): Effect.Effect<void, RequestRefused> => {
  const standing = world.deactivated.get(node.name)
  if (standing?.until === null) return Effect.asVoid(operations.cancel(standing.operationId, false))
  if (standing === undefined && World.isUp(node)) return Effect.void
  return start({ kind: "NodeTransition", transition: "Start", nodeName: node.name, instanceId: instanceOf(node) })
}

const replicaRequest = (
  world: World.World,
  call: Extract<OneCallFault, { readonly _tag: "RestartReplica" | "RemoveReplica" }>
): Effect.Effect<FaultRequest, RequestRefused> =>
  Effect.gen(function* () {
    yield* nodeOf(world, call.nodeName)
    if (World.findPartition(world, call.partitionId) === undefined) {
      return yield* refuse(
        "FABRIC_E_PARTITION_NOT_FOUND",
        `No configured cluster has the partition ${call.partitionId}.`
      )
    }
    const found = Deployed.findReplica(world, call)
    if (found === undefined) {
      return yield* refuse(
        "FABRIC_E_REPLICA_DOES_NOT_EXIST",
        `The partition ${call.partitionId} has no replica ${call.replicaId} on the node ${call.nodeName}.`
      )
    }
    const { member, topology } = found.placed
    const facts = World.factsOf(topology)
    const about = { serviceName: serviceNameOf(topology), partitionId: topology.partitionId, member: member.name }
    if (call._tag === "RemoveReplica") {
      return { kind: "PartitionDataLoss", ...about, mode: "PartialDataLoss" }
    }
    if (facts.kind === "Stateless" || !facts.persisted) return yield* refuse("FABRIC_E_INVALID_REPLICA_OPERATION", "")
    if (!member.up) {
      return yield* refuse(
        "FABRIC_E_INVALID_REPLICA_STATE",
        `The replica ${call.replicaId} is not up; there is nothing to end.`
      )
    }
    return { kind: "PartitionRestart", ...about, mode: "AllReplicasOrInstances" }
  })
