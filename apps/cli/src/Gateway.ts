/**
 * A Service Fabric gateway, with nothing but its own calls: operations are found in its list, their progress is asked for by
 * the call of their kind, and partitions are found by walking applications and services. Loaded only where what answers is
 * no worker.
 */
import { parse as parseGuid } from "@inquorate/core/Guid"
import { type FaultRequest, type NodeRequest, overridesOf, type PartitionRequest } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { type FabricRequest, isFabricRequest, type OperationState, type OperationStatus } from "@inquorate/core/Wire"
import * as FabricClient from "@inquorate/transport/FabricClient"
import { idOf } from "@inquorate/transport/FabricPath"
import * as NodeClient from "@inquorate/transport/NodeClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { type Asked, type Known, type NamedPartition, noNode, type Operator } from "./Operator.ts"
import { connection, place, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { screen } from "./Screen.ts"

// --- models ---

/** The calls of a gateway, and what their errors mean to a person. */
export interface Calls {
  readonly fabric: FabricClient.FabricClient
  readonly explain: (
    doing: string
  ) => <A, E extends FabricClient.FabricClientError | Failure, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, Failure, R | Context>
}

/** A gateway. */
export interface Gateway extends Operator, Calls {
  readonly partition: (name: string) => Asked<NamedPartition>
  /** The instance id of a node, by which a transition names it. */
  readonly instanceOf: (nodeName: string) => Asked<string>
  /** The operations that there are, in the order they were received. */
  readonly operations: Asked<ReadonlyArray<Known>>
  /** An operation with its progress. */
  readonly show: (id: string) => Asked<OperationStatus>
}

// --- make ---

/** The gateway at the endpoint. `noWorker` says why there is no worker; a person reads it if there is no gateway either. */
export const connect = (noWorker: Failure | undefined): Asked<Gateway> =>
  Effect.gen(function* () {
    const { address, options } = yield* connection
    const fabric = yield* FabricClient.make({ endpoint: address }).pipe(
      Effect.provide(NodeClient.layer(options)),
      Effect.mapError(({ detail }) => new Failure({ exit: "usage", detail }))
    )
    let doubt = noWorker
    const explain: Calls["explain"] = (doing) => (self) =>
      self.pipe(
        Effect.tap(() =>
          Effect.sync(() => {
            doubt = undefined
          })
        ),
        Effect.catch((error: FabricClient.FabricClientError | Failure) =>
          Effect.gen(function* () {
            if (error._tag === "Failure") return yield* error
            const { endpoint } = yield* place
            const failure = failureOf(error, doing, endpoint)
            // A gateway has its own error codes, and answers what its version is. Anything else is no gateway.
            if (doubt === undefined || !/^(?:UNKNOWN|FabricTransportError)$/.test(error._tag)) return yield* failure
            return yield* (yield* Effect.isSuccess(fabric.getClusterVersion)) ? failure : doubt
          })
        )
      )
    return make({ fabric, explain })
  })

/** The error that a faulted operation ended by, in brackets. */
export const errorOf = (progress: object): string => {
  for (const result of Object.values(progress)) {
    const code = (result as { readonly ErrorCode?: number }).ErrorCode
    if (code !== undefined && code !== 0) return ` (error ${code})`
  }
  return ""
}

// --- internal ---

const make = (at: Calls): Gateway => ({
  ...at,
  partition: (name) => partition(at, name),
  instanceOf: (nodeName) =>
    at.fabric.getNode(nodeName).pipe(
      at.explain("node"),
      Effect.flatMap((node) => (node === null ? Effect.fail(noNode(nodeName)) : Effect.succeed(node.InstanceId)))
    ),
  start: (doing, id, request) =>
    Effect.as(call(at, doing, id, request), { replayed: false, value: { operationId: id, request } }),
  cancel: (id, force) =>
    at.fabric.cancelOperation(id, force).pipe(
      at.explain("cancel"),
      Effect.andThen(status(at, id, "cancel")),
      Effect.map((found) => ({ state: found.State, value: found }))
    ),
  follow: (id) => Effect.map(follow(at, id), (state) => ({ state, sentence: "" })),
  operations: at.fabric.getFaultOperationList().pipe(
    at.explain("operation"),
    Effect.map((all) => all.map(({ OperationId, State }) => ({ id: OperationId, lives: !isEnd(State) })))
  ),
  show: (id) =>
    Effect.gen(function* () {
      const found = yield* status(at, id, "show")
      const ref = refOf(found)
      if (ref === null) return found
      const progress = yield* at.fabric.getProgress(ref).pipe(at.explain("show"))
      return { ...found, ...progress }
    })
})

const status = (at: Calls, id: string, doing: string): Effect.Effect<OperationStatus, Failure, Context> =>
  at.fabric.getFaultOperationList().pipe(
    at.explain(doing),
    Effect.flatMap((all) => {
      const found = all.find(({ OperationId }) => OperationId === id)
      return found === undefined
        ? Effect.fail(
            new Failure({
              exit: "refused",
              detail: `${doing}: the cluster knows no operation ${id}. "inq list" lists.`
            })
          )
        : Effect.succeed(found)
    })
  )

type Context = Effect.Services<typeof root>

const isEnd = (state: OperationState): boolean =>
  state === "Completed" || state === "Faulted" || state === "Cancelled" || state === "ForceCancelled"

// The gateway looks at the operation's id alone, but its path needs the other parts too. Each kind has a call of its own, so
// the progress cannot be asked for if the cluster does not tell the type.
const refOf = ({ OperationId: operationId, Type }: OperationStatus): FabricClient.FaultRef | null => {
  switch (Type) {
    case "PartitionQuorumLoss":
    case "PartitionDataLoss":
    case "PartitionRestart":
      return { kind: Type, serviceId: "any", partitionId: "00000000-0000-0000-0000-000000000000", operationId }
    case "NodeTransition":
      return { kind: Type, nodeName: "any", operationId }
    case "Invalid":
      return null
  }
}

const follow = Effect.fnUntraced(function* (at: Calls, id: string) {
  const { output } = yield* root
  const found = yield* status(at, id, "watch")
  const ref = refOf(found)
  if (ref === null) {
    return yield* new Failure({
      exit: "refused",
      detail: `watch: the cluster does not tell the type of operation ${id} (${found.State}), so its progress cannot be asked for.`
    })
  }
  const began = yield* Clock.currentTimeMillis
  const last = yield* Ref.make<OperationState>("Invalid")
  yield* Stream.runForEach(at.fabric.watchProgress(ref), (progress) =>
    Effect.gen(function* () {
      yield* Ref.set(last, progress.State)
      const elapsed = ((yield* Clock.currentTimeMillis) - began) / 1000
      const line = `${elapsed.toFixed(2).padStart(7)} s  ${progress.State}${errorOf(progress)}`
      yield* output === "json" ? screen.json({ ...found, ...progress }) : screen.lines([line])
    })
  ).pipe(at.explain("watch"))
  return yield* Ref.get(last)
})

const withoutScheme = (name: string): string => name.replace(/^fabric:\//, "").replaceAll("~", "/")

const partition = Effect.fnUntraced(function* (at: Calls, name: string) {
  const partitionId = parseGuid(name)
  if (partitionId !== undefined) {
    const service = yield* at.fabric.getServiceName(partitionId).pipe(at.explain("partition"))
    return { serviceName: service.Name, partitionId }
  }
  const bare = withoutScheme(name)
  const id = idOf(`fabric:/${bare}`, 6)
  const services = bare.includes("/")
    ? [{ Id: id, Name: `fabric:/${bare}` }]
    : yield* at.fabric.getServices(id).pipe(at.explain("partition"))
  const found = (yield* Effect.forEach(services, (service) =>
    at.fabric.getPartitions(service.Id).pipe(
      at.explain("partition"),
      Effect.map((all) =>
        all.map(({ PartitionInformation }) => ({ serviceName: service.Name, partitionId: PartitionInformation.Id }))
      )
    )
  )).flat()
  if (found.length === 1) return found[0]!
  return yield* new Failure({
    exit: "refused",
    detail:
      found.length === 0
        ? `There is no partition ${name}. "inq partitions" lists the ones there are.`
        : `${name} has ${found.length} partitions; name one by its id: ${found.map((one) => `${one.partitionId} (${one.serviceName})`).join(", ")}.`
  })
})

const seconds = (doing: string, length: Millis): Effect.Effect<number, Failure> =>
  length % 1000 === 0
    ? Effect.succeed(length / 1000)
    : Effect.fail(
        new Failure({
          exit: "usage",
          detail: `${doing}: --duration: Service Fabric takes whole seconds, got ${length} ms.`
        })
      )

const call = Effect.fnUntraced(function* (at: Calls, doing: string, operationId: string, request: FaultRequest) {
  if (overridesOf(request).length > 0) {
    return yield* new Failure({
      exit: "usage",
      detail: `${doing}: --override is for a worker's guards, and a Service Fabric cluster has none. Leave it out.`
    })
  }
  if ("member" in request && request.member !== undefined) {
    return yield* new Failure({
      exit: "usage",
      detail: `${doing}: a Service Fabric cluster is asked for whole partitions. Leave ${request.member} out.`
    })
  }
  if (!isFabricRequest(request)) {
    return yield* new Failure({ exit: "usage", detail: `${doing}: a Service Fabric cluster has no such fault.` })
  }
  return yield* send(at, doing, operationId, request)
})

const send = (
  at: Calls,
  doing: string,
  operationId: string,
  request: FabricRequest
): Effect.Effect<void, Failure, Context> => {
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return Effect.flatMap(seconds(doing, request.hold), (durationSeconds) =>
        at.fabric
          .startQuorumLoss({ ...partitionOf(operationId, request), mode: request.mode, durationSeconds })
          .pipe(at.explain(doing))
      )
    case "PartitionDataLoss":
      return at.fabric
        .startDataLoss({ ...partitionOf(operationId, request), mode: request.mode })
        .pipe(at.explain(doing))
    case "PartitionRestart":
      return at.fabric
        .startPartitionRestart({ ...partitionOf(operationId, request), mode: request.mode })
        .pipe(at.explain(doing))
    case "NodeTransition":
      return sendTransition(at, doing, operationId, request)
  }
}

const partitionOf = (operationId: string, { partitionId, serviceName }: PartitionRequest) => ({
  serviceId: idOf(serviceName, 6),
  partitionId,
  operationId
})

const sendTransition = (
  at: Calls,
  doing: string,
  operationId: string,
  request: NodeRequest
): Effect.Effect<void, Failure, Context> => {
  const { instanceId, nodeName } = request
  const about = { nodeName, operationId, instanceId }
  switch (request.transition) {
    case "Start":
      return at.fabric.startNodeTransition({ ...about, transition: "Start" }).pipe(at.explain(doing))
    case "Stop":
      return Effect.flatMap(seconds(doing, request.duration), (durationSeconds) =>
        at.fabric.startNodeTransition({ ...about, transition: "Stop", durationSeconds }).pipe(at.explain(doing))
      )
    case "Restart":
      return Effect.fail(
        new Failure({
          exit: "usage",
          detail: `${doing}: a Service Fabric cluster restarts a node by a stop and a start. Ask for those.`
        })
      )
  }
}

const failureOf = (error: FabricClient.FabricClientError, doing: string, endpoint: string): Failure => {
  if (error._tag !== "FabricTransportError") {
    const said = error.message === "" || error.message === "Null" ? `HTTP status ${error.status}` : error.message
    return new Failure({ exit: "refused", detail: `${doing}: ${said} (${error.code})` })
  }
  const { detail, reason } = error
  const sentence = {
    Unreachable: `nobody answers at ${endpoint} (${detail}). Name another with --endpoint.`,
    TimedOut: `nobody answers at ${endpoint} (${detail}). Name another with --endpoint.`,
    Untrusted: `${endpoint} is not trusted: ${detail}.`,
    BadAnswer: `what answers at ${endpoint} does not speak Service Fabric (${detail}). Name another with --endpoint.`
  }[reason]
  return new Failure({ exit: "unreachable", detail: `${doing}: ${sentence}` })
}
