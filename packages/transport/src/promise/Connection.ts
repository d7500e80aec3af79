/**
 * The client of `/v1` for programs without Effect: promises, `AbortSignal`, `for await`. A length is in milliseconds if
 * its name ends in `Ms`, else it is text with a unit (`5s`, `250ms`, `2m`). It runs wherever there is a `fetch`.
 */
import { describe } from "@inquorate/core/Describe"
import type { TimedVerdict } from "@inquorate/core/Evidence"
import { type Guid, parse as parseGuid } from "@inquorate/core/Guid"
import { isTerminal, type Operation } from "@inquorate/core/Operation"
import type { ClusterView, OperationChange, OperationDetail, PlanPreview } from "@inquorate/core/Operations"
import type { Override, QuorumLossMode } from "@inquorate/core/Plan"
import { parseMillis } from "@inquorate/core/Time"
import { serviceNameOf, type Topology } from "@inquorate/core/Topology"
import type { OperationState } from "@inquorate/core/Wire"
import type { FaultRequest } from "@inquorate/core/Request"
import type { OperationView } from "../v1/Answers.ts"
import type { HealthSubject, HealthView } from "../v1/HealthView.ts"
import type { NodeView } from "../v1/NodeView.ts"
import { InquorateError } from "./InquorateError.ts"
import * as WorkerCalls from "./WorkerCalls.ts"

export { InquorateError } from "./InquorateError.ts"

// --- models ---

/** How to reach a worker. */
export interface ConnectOptions {
  /** The bearer token. */
  readonly token?: string
  /** The `fetch` to use. The platform's own if absent. In Node, TLS with a certificate needs an agent of your own. */
  readonly fetch?: typeof fetch
  /** Ends every call of this connection. */
  readonly signal?: AbortSignal
}

/** What every call takes. */
export interface CallOptions {
  /** Ends this call. A started operation goes on, and `cancel` ends it. */
  readonly signal?: AbortSignal
}

/** A quorum loss to ask for. */
export interface LossOptions extends CallOptions {
  /** The partition: its id, `cluster/group`, `fabric:/cluster/group`, or the cluster alone if it has one group. */
  readonly partition: string
  /** How long to hold the loss, in milliseconds. Give this or `hold`. */
  readonly holdMs?: number
  /** How long to hold the loss, with a unit: `5s`, `250ms`, `2m`. */
  readonly hold?: string
  /** Which members to take: as few as lose the quorum, which is usual, or all that may be taken. */
  readonly mode?: QuorumLossMode
  /** Guards to set aside, by name. */
  readonly overrides?: ReadonlyArray<Override>
  /** The id of the operation, a UUID. A new one if absent. The same start with the same id does no harm. */
  readonly id?: string
}

/** A node to stop or to start. */
export interface NodeOptions extends CallOptions {
  /** The name of the node. */
  readonly node: string
  /** The id of the operation, a UUID. A new one if absent. */
  readonly id?: string
}

/** A stop of a node to ask for. */
export interface NodeStopOptions extends NodeOptions {
  /** After how long the node starts by itself, in milliseconds. Give this or `stopFor`. */
  readonly stopForMs?: number
  /** After how long the node starts by itself, with a unit: `30s`, `5m`. */
  readonly stopFor?: string
}

/** How an operation ended, with all the evidence of it. */
export interface Ended extends OperationDetail {
  readonly id: string
  /** How it ended, in one or two sentences for a person. */
  readonly sentence: string
}

/**
 * One operation. `for await` over it gives every change until it has ended. The scope of `await using` cancels it if it
 * has not ended by then, and waits until it has.
 */
export interface RunningOperation extends AsyncIterable<OperationChange>, AsyncDisposable {
  readonly id: string
  /** True if the worker took the same start before and started nothing now. */
  readonly replayed: boolean
  /**
   * Settles once writes have proven the loss. If the operation ends before that, it rejects with the error of `done`,
   * or with `E_ABORT` if the operation was cancelled.
   */
  readonly lost: Promise<void>
  /**
   * Settles when the operation has ended. It gives the evidence if the operation was Completed or cancelled. Else it
   * rejects with an `InquorateError` that has the operation's own code and sentence.
   */
  readonly done: Promise<Ended>
  /** Lifts the fault at once. `force`, after a cancel, stops waiting for the hosts. */
  readonly cancel: (options?: CallOptions & { readonly force?: boolean }) => Promise<OperationState>
  /** Everything that is known of it now. */
  readonly detail: (options?: CallOptions) => Promise<OperationDetail>
}

/** A connection to a worker, which need not be there before the first call. */
export interface Connection {
  /** The clusters with their groups, as the worker last saw them. */
  readonly clusters: (options?: CallOptions) => Promise<ReadonlyArray<ClusterView>>
  /** What a loss would do and by which arithmetic, or why it is not allowed. Nothing is touched. */
  readonly plan: (loss: LossOptions) => Promise<PlanPreview>
  /** Starts a quorum loss. Settles once the operation is stored. */
  readonly start: (loss: LossOptions) => Promise<RunningOperation>
  /** An operation that was started before, by its id. */
  readonly operation: (id: string) => RunningOperation
  /** The nodes that members stand on. */
  readonly nodes: (options?: CallOptions) => Promise<ReadonlyArray<NodeView>>
  /** The health of everything that the worker knows, or of the one thing that the subject names. */
  readonly health: (options?: CallOptions & HealthSubject) => Promise<HealthView>
  /** Stops every member on a node. The node starts again by itself when its time is over. */
  readonly stopNode: (stop: NodeStopOptions) => Promise<RunningOperation>
  /** Starts a node that `stopNode` stopped, before its time is over. */
  readonly startNode: (start: NodeOptions) => Promise<RunningOperation>
  /** The newest operations, in the order in which they were received. */
  readonly list: (options?: CallOptions & { readonly limit?: number }) => Promise<ReadonlyArray<OperationView>>
}

// --- make ---

/** Makes a connection to the worker at `endpoint`, such as `http://127.0.0.1:19080`. It asks nothing yet. */
export const connect = (endpoint: string, options: ConnectOptions = {}): Connection => {
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw bad(
      `the endpoint is ${JSON.stringify(endpoint)}, where an address such as http://127.0.0.1:19080 is expected`
    )
  }
  const calls = WorkerCalls.make({ ...options, endpoint: endpoint.replace(/\/+$/, "") })

  const requestOf = async (loss: LossOptions) => {
    const hold = holdOf(loss)
    const clusters = await calls.clusters(loss.signal)
    const group = findGroup(clusters, loss.partition)
    const { mode = "QuorumReplicas", overrides } = loss
    return {
      kind: "PartitionQuorumLoss" as const,
      serviceName: serviceNameOf(group),
      partitionId: group.partitionId,
      mode,
      hold,
      ...(overrides === undefined ? {} : { overrides })
    }
  }

  const running = (id: string, replayed: boolean): RunningOperation => {
    const guid = guidOf(id)
    const changes = () => calls.watch(guid)
    const untilOver = async (): Promise<OperationDetail> => {
      for await (const { operation } of changes()) if (isTerminal(operation)) break
      return calls.detail(guid)
    }
    const end = async (): Promise<Ended> => settled(id, await untilOver())
    const untilLost = async (): Promise<void> => {
      for await (const { operation } of changes()) if (wasLost(operation)) return
      const { evidence } = await over()
      // The client may have missed the moment itself, if it could not listen to the worker.
      if (!evidence.verdicts.some(isLossProven)) throw cancelledEarly(id)
    }
    const cancel = async ({ force = false, signal }: CallOptions & { readonly force?: boolean } = {}) =>
      (await calls.cancel(guid, force, signal)).state
    let done: Promise<Ended> | undefined
    const over = () => (done ??= end())
    let lost: Promise<void> | undefined
    return {
      id,
      replayed,
      get lost() {
        return (lost ??= untilLost())
      },
      get done() {
        return over()
      },
      cancel,
      detail: ({ signal } = {}) => calls.detail(guid, signal),
      [Symbol.asyncIterator]: changes,
      [Symbol.asyncDispose]: async () => {
        const { operation } = await calls.detail(guid)
        if (isTerminal(operation)) return
        // The operation may end by itself before the cancel arrives.
        await cancel().catch(() => {})
        await untilOver()
      }
    }
  }

  const begin = async (id: string | undefined, request: FaultRequest, signal: AbortSignal | undefined) => {
    const guid = guidOf(id ?? crypto.randomUUID())
    const { replayed } = await calls.start(guid, request, signal)
    return running(guid, replayed)
  }

  // A fault of a node must name the instance that is there now.
  const nodeOf = async ({ node, signal }: NodeOptions) => {
    const { instanceId, name } = await calls.node(node, signal)
    return { kind: "NodeTransition" as const, nodeName: name, instanceId }
  }

  return {
    clusters: ({ signal } = {}) => calls.clusters(signal),
    nodes: ({ signal } = {}) => calls.nodes(signal),
    health: ({ signal, ...subject } = {}) => calls.health(subject, signal),
    stopNode: async (stop) => {
      const duration = lengthOf("stopFor", stop.stopFor, stop.stopForMs)
      return begin(stop.id, { ...(await nodeOf(stop)), transition: "Stop", duration }, stop.signal)
    },
    startNode: async (start) => begin(start.id, { ...(await nodeOf(start)), transition: "Start" }, start.signal),
    plan: async (loss) => {
      const request = await requestOf(loss)
      return calls.plan(request, loss.signal)
    },
    start: async (loss) => {
      // A wrong id is refused before anything is asked.
      const id = guidOf(loss.id ?? crypto.randomUUID())
      return begin(id, await requestOf(loss), loss.signal)
    },
    operation: (id) => running(id, true),
    list: ({ limit, signal } = {}) => calls.list(limit, signal)
  }
}

// --- internal ---

const bad = (message: string): InquorateError => new InquorateError("BadRequest", message)

const guidOf = (id: string): Guid => {
  const guid = parseGuid(id)
  if (guid === undefined) throw bad(`the operation's id is ${JSON.stringify(id)}, where a UUID is expected`)
  return guid
}

const holdOf = ({ hold, holdMs }: LossOptions): number => lengthOf("hold", hold, holdMs)

const lengthOf = (name: string, text: string | undefined, given: number | undefined): number => {
  if ((text === undefined) === (given === undefined)) throw bad(`give either ${name}, such as 5s, or ${name}Ms`)
  const millis = given ?? (/[a-z]\s*$/.test(text!) ? parseMillis(text!) : undefined)
  if (millis === undefined) {
    throw bad(`${name} is ${JSON.stringify(text)}, where a length such as 5s or 250ms is expected`)
  }
  if (!Number.isSafeInteger(millis) || millis < 0) {
    throw bad(`${name}Ms is ${millis}, where whole milliseconds are expected`)
  }
  return millis
}

const findGroup = (clusters: ReadonlyArray<ClusterView>, partition: string): Topology => {
  const named = partition.replace(/^fabric:\//, "")
  const groups = clusters.flatMap((cluster) => cluster.groups)
  const found = groups.filter(
    (group) =>
      group.partitionId === partition.toLowerCase() ||
      `${group.cluster}/${group.group}` === named ||
      serviceNameOf(group) === partition ||
      group.cluster === named
  )
  if (found.length === 1) return found[0]!
  const there = groups.map((group) => `${group.cluster}/${group.group}`).join(", ") || "none yet"
  throw bad(
    found.length === 0
      ? `there is no partition ${JSON.stringify(partition)}; there are: ${there}`
      : `${JSON.stringify(partition)} has several partitions: ${there}`
  )
}

/** True once writes have proven the loss. */
const wasLost = ({ stage }: Operation): boolean =>
  stage._tag === "Completed" ||
  (stage._tag === "Advancing" &&
    stage.step._tag === "PerformingActions" &&
    ["Holding", "Lifting", "Recovering"].includes(stage.step.phase._tag))

const isLossProven = ({ about, outcome }: TimedVerdict): boolean => about === "Loss" && outcome === "Confirmed"

const cancelledEarly = (id: string): InquorateError =>
  new InquorateError("E_ABORT", "the operation was cancelled before the loss was proven", { operationId: id })

const settled = (id: string, detail: OperationDetail): Ended => {
  const { stage } = detail.operation
  const sentence = describe(detail.operation, detail.evidence)
  if (!isTerminal(detail.operation)) {
    throw new InquorateError("Unreachable", "the worker went away before the operation had ended", { operationId: id })
  }
  if (detail.state === "Faulted" && stage._tag === "Failed") {
    throw new InquorateError(stage.error, sentence, {
      operationId: id,
      refusal: detail.evidence.refusals.at(-1) ?? null
    })
  }
  return { ...detail, id, sentence }
}
