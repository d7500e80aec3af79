/**
 * The client of `/v1` for programs without Effect: promises, `AbortSignal`, `for await`. Lengths are milliseconds where the
 * name ends in `Ms`, or text with a unit (`5s`, `250ms`, `2m`). Runs wherever there is a `fetch`.
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

/** How a worker is reached. */
export interface ConnectOptions {
  /** The bearer token. */
  readonly token?: string
  /** The `fetch` to use; the platform's own unless given. In Node, TLS with a certificate needs an agent of your own. */
  readonly fetch?: typeof fetch
  /** Ends every call of this connection. */
  readonly signal?: AbortSignal
}

/** What may be said with every call. */
export interface CallOptions {
  /** Ends this call. An operation that was started goes on; `cancel` ends it. */
  readonly signal?: AbortSignal
}

/** A loss of a quorum as it is asked for. */
export interface LossOptions extends CallOptions {
  /** The partition: its id, `cluster/group`, `fabric:/cluster/group`, or the cluster alone where it has one group. */
  readonly partition: string
  /** How long to hold it: milliseconds. Give this or `hold`. */
  readonly holdMs?: number
  /** How long to hold it, with its unit: `5s`, `250ms`, `2m`. */
  readonly hold?: string
  /** Take as few members as lose the quorum, which is usual, or all that may be taken. */
  readonly mode?: QuorumLossMode
  /** Guards to set aside, by name. */
  readonly overrides?: ReadonlyArray<Override>
  /** The id of the operation, a UUID; a new one unless given. The same start with the same id is harmless. */
  readonly id?: string
}

/** A stop or a start of a node as it is asked for. */
export interface NodeOptions extends CallOptions {
  /** The name of the node. */
  readonly node: string
  /** The id of the operation, a UUID; a new one unless given. */
  readonly id?: string
}

/** A stop of a node as it is asked for. */
export interface NodeStopOptions extends NodeOptions {
  /** After how long the node starts by itself: milliseconds. Give this or `stopFor`. */
  readonly stopForMs?: number
  /** After how long the node starts by itself, with its unit: `30s`, `5m`. */
  readonly stopFor?: string
}

/** How an operation ended, with everything that was seen of it. */
export interface Ended extends OperationDetail {
  readonly id: string
  /** How it ended, in one or two sentences for a person. */
  readonly sentence: string
}

/**
 * One operation. `for await` over it gives every change until it has ended. With `await using` it is over with its scope:
 * what has not ended then is cancelled, and the scope is left once it has ended.
 */
export interface RunningOperation extends AsyncIterable<OperationChange>, AsyncDisposable {
  readonly id: string
  /** True where the same start was taken before and nothing was started now. */
  readonly replayed: boolean
  /**
   * Settles once writes have proven the loss; rejects where the operation ended before that, with what `done` rejects with,
   * or `E_ABORT` where it was cancelled.
   */
  readonly lost: Promise<void>
  /**
   * Settles when the operation has ended: with its evidence where it was Completed or cancelled, else with an
   * `InquorateError` that has the operation's own code and sentence.
   */
  readonly done: Promise<Ended>
  /** Lifts at once. With `force`, after a cancel, stops waiting for the hosts. */
  readonly cancel: (options?: CallOptions & { readonly force?: boolean }) => Promise<OperationState>
  /** Everything known of it now. */
  readonly detail: (options?: CallOptions) => Promise<OperationDetail>
}

/** A worker, or one that will be there when it is asked. */
export interface Connection {
  /** The clusters with their groups as last seen. */
  readonly clusters: (options?: CallOptions) => Promise<ReadonlyArray<ClusterView>>
  /** What a loss would do and by which arithmetic, or why it may not be; nothing is touched. */
  readonly plan: (loss: LossOptions) => Promise<PlanPreview>
  /** Starts a loss of a quorum; settles once it is stored. */
  readonly start: (loss: LossOptions) => Promise<RunningOperation>
  /** An operation that was started before, by its id. */
  readonly operation: (id: string) => RunningOperation
  /** The nodes that members stand on. */
  readonly nodes: (options?: CallOptions) => Promise<ReadonlyArray<NodeView>>
  /** The health of everything that the worker knows, or of the one thing that is named. */
  readonly health: (options?: CallOptions & HealthSubject) => Promise<HealthView>
  /** Stops every member on a node, which starts again by itself when its time is over. */
  readonly stopNode: (stop: NodeStopOptions) => Promise<RunningOperation>
  /** Starts a node that was stopped so, before its time is over. */
  readonly startNode: (start: NodeOptions) => Promise<RunningOperation>
  /** The newest operations, in the order in which they were received. */
  readonly list: (options?: CallOptions & { readonly limit?: number }) => Promise<ReadonlyArray<OperationView>>
}

// --- make ---

/** A connection to the worker at `endpoint`, such as `http://127.0.0.1:19080`. Asks nothing yet. */
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
      // The moment itself may have been missed, where the worker could not be listened to.
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
        // It may end by itself before the cancel is there.
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

  // The instance that stands there now: a fault of a node has to name it.
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
      // A wrong id is told before anything is asked.
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
