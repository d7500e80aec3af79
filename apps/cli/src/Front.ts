/**
 * What the commands that act on faults ask of whoever answers at the endpoint: a worker over `/v1`, or a Service Fabric
 * gateway (a real cluster's, or any that speaks as one). Which it is is asked once for each command, unless `--surface`
 * says it.
 */
import { describe } from "@inquorate/core/Describe"
import type { ClusterView, OperationChange } from "@inquorate/core/Operations"
import { isTerminal } from "@inquorate/core/Operation"
import type { FaultRequest } from "@inquorate/core/Request"
import { type OperationState, stateOf } from "@inquorate/core/Wire"
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import type * as FabricClient from "@inquorate/transport/FabricClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type * as Command from "effect/cli/Command"
import { choose, connect, connectFabric, explain, explainFabric, failureOf, place, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { screen, width } from "./Screen.ts"
import { fold } from "./Table.ts"
import { localTime } from "./Moment.ts"
import { endsBy, live, see, type Watched } from "./Watch.ts"

// --- models ---

type Asked<A> = Effect.Effect<A, Failure, Command.CommandContext<"inq">>

/** A partition as a fault names it. */
export interface NamedPartition {
  readonly serviceName: string
  readonly partitionId: string
}

/** What was answered to a start: `value` is what `--output json` prints. */
export interface Started {
  readonly replayed: boolean
  readonly value: unknown
}

/** How an operation ended: its state, and the sentence for a person where there is one. */
export interface Ended {
  readonly state: OperationState
  readonly sentence: string
}

/** An operation by its id, and whether it lives. */
export interface Known {
  readonly id: string
  readonly lives: boolean
}

/** Whoever answers at the endpoint. */
export interface Front {
  readonly surface: "inquorate" | "fabric"
  /** The calls of the Service Fabric surface, which a worker answers as well. */
  readonly fabric: FabricClient.FabricClient
  readonly partition: (name: string) => Asked<NamedPartition>
  readonly start: (doing: string, id: string, request: FaultRequest) => Asked<Started>
  /** The state after the wish was recorded; `value` is what `--output json` prints. */
  readonly cancel: (id: string, force: boolean) => Asked<{ readonly state: OperationState; readonly value: unknown }>
  /** Shows changes until the operation has ended, and gives back how it ended. */
  readonly follow: (id: string, options: { readonly verbose: boolean }) => Asked<Ended>
  /** The operations that there are, in the order they were received. */
  readonly operations: Asked<ReadonlyArray<Known>>
}

/** A worker, with the calls of `/v1` as well. */
export interface InquorateFront extends Front {
  readonly surface: "inquorate"
  readonly client: Client.Client
}

/** A Service Fabric gateway. */
export interface FabricFront extends Front {
  readonly surface: "fabric"
}

// --- make ---

/** Whoever answers at the endpoint; `doing` is the command that asks. */
export const front = Effect.fnUntraced(function* (doing: string) {
  const { endpoint, surface } = yield* place
  const client = yield* connect
  const fabric = yield* connectFabric
  const worker = workerFront(client, fabric)
  if (surface === "inquorate") return worker
  const { make } = yield* Effect.promise(() => import("./FabricFront.ts"))
  if (surface === "fabric") return make(fabric)
  const healthy = yield* Effect.result(client.alive)
  if (Result.isSuccess(healthy)) return worker
  const failure = failureOf(healthy.failure, doing, endpoint)
  if (healthy.failure._tag === "ClientError" && healthy.failure.reason === "Unreachable") return yield* failure
  // No worker. A gateway knows its version, and refuses a question that it does not understand in words of its own.
  const version = yield* Effect.result(fabric.getClusterVersion)
  if (Result.isSuccess(version) || !/^(?:UNKNOWN|FabricTransportError)$/.test(version.failure._tag)) return make(fabric)
  return yield* failure
})

/** The clusters of a worker. */
export const clustersOf = (client: Client.Client, doing: string): Asked<ReadonlyArray<ClusterView>> =>
  client.clusters.pipe(explain(doing))

/** The instance id of a node, by which a transition names it. */
export const instanceOf = Effect.fnUntraced(function* (fabric: FabricClient.FabricClient, nodeName: string) {
  const node = yield* fabric.getNode(nodeName).pipe(explainFabric("node"))
  if (node !== null) return node.InstanceId
  return yield* new Failure({
    exit: "refused",
    detail: `There is no node ${nodeName}. "inq node list" lists the ones there are.`
  })
})

// --- internal ---

const workerFront = (client: Client.Client, fabric: FabricClient.FabricClient): InquorateFront => ({
  surface: "inquorate",
  client,
  fabric,
  partition: (name) =>
    clustersOf(client, "partitions").pipe(
      Effect.flatMap((clusters) => choose(clusters, name)),
      Effect.map(({ serviceName, topology }) => ({ serviceName, partitionId: topology.partitionId }))
    ),
  start: (doing, id, request) =>
    client.start(id, request).pipe(
      explain(doing),
      Effect.map((receipt) => ({ replayed: receipt.replayed, value: receipt }))
    ),
  cancel: (id, force) =>
    client.cancel(id, force).pipe(
      explain("cancel"),
      Effect.map((view) => ({ state: view.state, value: view }))
    ),
  follow: (id, options) => followWorker(client, id, options),
  operations: client.list(lookedThrough).pipe(
    explain("operation"),
    Effect.map((all) => all.map(({ operation }) => ({ id: operation.id, lives: !isTerminal(operation) })))
  )
})

/** How many of the newest operations a short id is looked for among. */
const lookedThrough = 1000

/** How long after its fences have ended by themselves an operation is still waited for while the worker is away. */
const awayAfter = 30_000

const followWorker = Effect.fnUntraced(function* (
  client: Client.Client,
  id: string,
  options: { readonly verbose: boolean }
) {
  const { output } = yield* root
  const last = yield* Ref.make<Watched | undefined>(undefined)
  const away = yield* Ref.make(false)
  const show = (change: OperationChange) =>
    Effect.gen(function* () {
      const { lines, watched } = see(yield* Ref.get(last), change, options)
      yield* Ref.set(last, watched)
      const shown = screen.terminal ? lines.flatMap((line) => fold(line, width() - 1, 15)) : lines
      yield* output === "json" ? screen.json(change) : screen.lines(shown)
    })
  const paint = Effect.gen(function* () {
    const seen = yield* Ref.get(last)
    if (seen === undefined) return
    const shown = live(seen, yield* Clock.currentTimeMillis, yield* Ref.get(away))
    yield* Ref.update(last, (now) => (now === undefined ? now : { ...now, left: shown.watched.left }))
    yield* screen.live(shown.text)
  }).pipe(Effect.repeat(Schedule.spaced(Duration.millis(100))))
  const painting = yield* Effect.forkChild(screen.terminal && output === "table" ? paint : Effect.never)
  const onAway = (isAway: boolean) =>
    Effect.gen(function* () {
      const before = yield* Ref.getAndSet(away, isAway)
      const seen = yield* Ref.get(last)
      if (before === isAway || output === "json" || screen.terminal) return
      if (!isAway) return yield* screen.lines(["The worker answers again."])
      if (seen !== undefined) yield* screen.lines([live(seen, yield* Clock.currentTimeMillis, true).text])
    })
  // As long as something may stand the worker is waited for: what is watched is not left alone.
  const isWorthWaiting = (error: ApiError | Client.ClientError) =>
    Effect.gen(function* () {
      const seen = yield* Ref.get(last)
      const by = seen === undefined ? null : endsBy(seen)
      return error._tag === "ClientError" && by !== null && (yield* Clock.currentTimeMillis) < by + awayAfter
    })
  const watching = Stream.runForEach(client.watch(id, { onAway }), show)
  yield* watching.pipe(
    Effect.retry({ while: isWorthWaiting }),
    explain("watch"),
    Effect.ensuring(Fiber.interrupt(painting)),
    Effect.ensuring(screen.live(""))
  )
  const seen = yield* Ref.get(last)
  if (seen === undefined || !isTerminal(seen.operation)) {
    return yield* new Failure({ exit: "unreachable", detail: `The worker stopped telling before ${id} had ended.` })
  }
  const { operation } = seen
  // In local time, and by all of the evidence: the stream may have been broken meanwhile.
  const evidence = yield* Effect.option(client.detail(id))
  const now = yield* Clock.currentTimeMillis
  const words = { moment: (at: number) => localTime(at, now) }
  const sentence = describe(operation, evidence._tag === "Some" ? evidence.value.evidence : null, words)
  return { state: stateOf(operation.stage), sentence }
})
