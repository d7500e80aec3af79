/**
 * The commands against a Service Fabric gateway, with nothing but its own calls: operations are found in its list, their
 * progress is asked for by the call of their kind, and partitions are found by walking applications and services.
 */
import { parse as parseGuid } from "@inquorate/core/Guid"
import { type FaultRequest, type NodeRequest, overridesOf, type PartitionRequest } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { type FabricRequest, isFabricRequest, type OperationState, type OperationStatus } from "@inquorate/core/Wire"
import type * as FabricClient from "@inquorate/transport/FabricClient"
import { idOf } from "@inquorate/transport/FabricPath"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { explainFabric, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import type { FabricFront } from "./Front.ts"
import { screen } from "./Screen.ts"
import { indent, table } from "./Table.ts"

type Fabric = FabricClient.FabricClient

// --- make ---

/** The commands against a gateway. */
export const make = (fabric: Fabric): FabricFront => ({
  surface: "fabric",
  fabric,
  partition: (name) => partition(fabric, name),
  start: (doing, id, request) =>
    Effect.as(call(fabric, doing, id, request), { replayed: false, value: { operationId: id, request } }),
  cancel: (id, force) =>
    fabric.cancelOperation(id, force).pipe(
      Effect.andThen(status(fabric, id, "cancel")),
      explainFabric("cancel"),
      Effect.map((found) => ({ state: found.State, value: found }))
    ),
  follow: (id) => Effect.map(follow(fabric, id), (state) => ({ state, sentence: "" })),
  operations: fabric.getFaultOperationList().pipe(
    explainFabric("operation"),
    Effect.map((all) => all.map(({ OperationId, State }) => ({ id: OperationId, lives: !isEnd(State) })))
  )
})

/** An operation with its progress. */
export const show = Effect.fnUntraced(function* (fabric: Fabric, id: string) {
  const found = yield* status(fabric, id, "show")
  const ref = refOf(found)
  if (ref === null) return found
  const progress = yield* fabric.getProgress(ref).pipe(explainFabric("show"))
  return { ...found, ...progress }
})

/** The applications of a cluster, one line each. */
export const applications = Effect.fnUntraced(function* (fabric: Fabric) {
  const found = yield* fabric.getApplications.pipe(explainFabric("clusters"))
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
export const partitions = Effect.fnUntraced(function* (fabric: Fabric) {
  const found = yield* Effect.gen(function* () {
    const services = (yield* Effect.forEach(yield* fabric.getApplications, ({ Id }) => fabric.getServices(Id))).flat()
    const of = yield* Effect.forEach(services, (service) =>
      Effect.flatMap(fabric.getPartitions(service.Id), (all) =>
        Effect.forEach(all, (one) =>
          Effect.map(fabric.getReplicas(one.PartitionInformation.Id), (replicas) => ({
            serviceName: service.Name,
            partition: one,
            replicas
          }))
        )
      )
    )
    return of.flat()
  }).pipe(explainFabric("partitions"))
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

// --- internal ---

const status = (fabric: Fabric, id: string, doing: string): Effect.Effect<OperationStatus, Failure, Context> =>
  fabric.getFaultOperationList().pipe(
    explainFabric(doing),
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

// Only the operation's id selects; a path needs the rest all the same. The progress of an operation whose type the cluster
// does not tell cannot be asked for: each kind has a call of its own.
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

const follow = Effect.fnUntraced(function* (fabric: Fabric, id: string) {
  const { output } = yield* root
  const found = yield* status(fabric, id, "watch")
  const ref = refOf(found)
  if (ref === null) {
    return yield* new Failure({
      exit: "refused",
      detail: `watch: the cluster does not tell the type of operation ${id} (${found.State}), so its progress cannot be asked for.`
    })
  }
  const began = yield* Clock.currentTimeMillis
  const last = yield* Ref.make<OperationState>("Invalid")
  yield* Stream.runForEach(fabric.watchProgress(ref), (progress) =>
    Effect.gen(function* () {
      yield* Ref.set(last, progress.State)
      const elapsed = ((yield* Clock.currentTimeMillis) - began) / 1000
      const line = `${elapsed.toFixed(2).padStart(7)} s  ${progress.State}${errorOf(progress)}`
      yield* output === "json" ? screen.json({ ...found, ...progress }) : screen.lines([line])
    })
  ).pipe(explainFabric("watch"))
  return yield* Ref.get(last)
})

/** The error that a faulted operation ended by, in brackets. */
export const errorOf = (progress: object): string => {
  for (const result of Object.values(progress)) {
    const code = (result as { readonly ErrorCode?: number }).ErrorCode
    if (code !== undefined && code !== 0) return ` (error ${code})`
  }
  return ""
}

const withoutScheme = (name: string): string => name.replace(/^fabric:\//, "").replaceAll("~", "/")

const partition = Effect.fnUntraced(function* (fabric: Fabric, name: string) {
  const partitionId = parseGuid(name)
  if (partitionId !== undefined) {
    const service = yield* fabric.getServiceName(partitionId).pipe(explainFabric("partition"))
    return { serviceName: service.Name, partitionId }
  }
  const bare = withoutScheme(name)
  const id = idOf(`fabric:/${bare}`, 6)
  const services = bare.includes("/")
    ? [{ Id: id, Name: `fabric:/${bare}` }]
    : yield* fabric.getServices(id).pipe(explainFabric("partition"))
  const found = (yield* Effect.forEach(services, (service) =>
    fabric.getPartitions(service.Id).pipe(
      explainFabric("partition"),
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

const call = Effect.fnUntraced(function* (fabric: Fabric, doing: string, operationId: string, request: FaultRequest) {
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
  return yield* send(fabric, doing, operationId, request)
})

const send = (
  fabric: Fabric,
  doing: string,
  operationId: string,
  request: FabricRequest
): Effect.Effect<void, Failure, Context> => {
  switch (request.kind) {
    case "PartitionQuorumLoss":
      return Effect.flatMap(seconds(doing, request.hold), (durationSeconds) =>
        fabric
          .startQuorumLoss({ ...partitionOf(operationId, request), mode: request.mode, durationSeconds })
          .pipe(explainFabric(doing))
      )
    case "PartitionDataLoss":
      return fabric
        .startDataLoss({ ...partitionOf(operationId, request), mode: request.mode })
        .pipe(explainFabric(doing))
    case "PartitionRestart":
      return fabric
        .startPartitionRestart({ ...partitionOf(operationId, request), mode: request.mode })
        .pipe(explainFabric(doing))
    case "NodeTransition":
      return sendTransition(fabric, doing, operationId, request)
  }
}

const partitionOf = (operationId: string, { partitionId, serviceName }: PartitionRequest) => ({
  serviceId: idOf(serviceName, 6),
  partitionId,
  operationId
})

const sendTransition = (
  fabric: Fabric,
  doing: string,
  operationId: string,
  request: NodeRequest
): Effect.Effect<void, Failure, Context> => {
  const { instanceId, nodeName } = request
  const about = { nodeName, operationId, instanceId }
  switch (request.transition) {
    case "Start":
      return fabric.startNodeTransition({ ...about, transition: "Start" }).pipe(explainFabric(doing))
    case "Stop":
      return Effect.flatMap(seconds(doing, request.duration), (durationSeconds) =>
        fabric.startNodeTransition({ ...about, transition: "Stop", durationSeconds }).pipe(explainFabric(doing))
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
