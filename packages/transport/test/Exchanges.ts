/**
 * The exchanges of the official clients: stories told as calls, and what went over the wire when they were recorded. A
 * file of `exchanges/` is a story with its exchanges in order; `record.ts` writes what is missing and changes nothing that
 * is there.
 */
import * as Guid from "@inquorate/core/Guid"
import type { Event } from "@inquorate/core/Operation"
import { nodeInstanceId } from "@inquorate/core/Topology"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { etcd, fence } from "./FakeOperations.ts"

// --- models ---

/** What happens on the worker's side between two calls. */
export interface Play {
  readonly play: string
  readonly events: ReadonlyArray<Event>
}

/** A call of the official Python client. */
export interface Call {
  readonly call: string
  readonly args: ReadonlyArray<string | number | boolean>
  readonly kwargs?: Readonly<Record<string, string | number | boolean>>
}

/** A request line as it was seen of the official command line. */
export interface Line {
  readonly line: string
  /** True where only the status and the headers are to stay: the body tells of the cluster. */
  readonly bodyMayChange?: boolean
}

/** What went over the wire. `body` is left out where it may change. */
export interface Exchange {
  readonly request: string
  readonly requestHeaders: Readonly<Record<string, string>>
  readonly status: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export type Step = Play | Call | Line
export type Recorded = Play | ((Call | Line) & Exchange)

export interface Story {
  readonly story: string
  readonly client: string
  readonly steps: ReadonlyArray<Recorded>
}

// --- make ---

/** The headers of a request and of a reply that are part of an exchange. */
export const requestHeaders = ["accept", "accept-encoding", "content-length", "content-type", "user-agent"]
export const replyHeaders = ["content-type", "content-length", "x-content-type-options"]

/** Moments differ from one run to the next; everything else is to be the same. */
export const normalise = (text: string): string =>
  text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (moment) =>
    moment.startsWith("0001") ? moment : "<moment>"
  )

const nameOf = (story: string): URL => new URL(`exchanges/${story}.json`, import.meta.url)

export const recorded = (): ReadonlyArray<Story> =>
  readdirSync(new URL("exchanges/", import.meta.url))
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(nameOf(name.slice(0, -5)), "utf8")) as Story)

export const find = (story: string): Story | undefined =>
  existsSync(nameOf(story)) ? (JSON.parse(readFileSync(nameOf(story), "utf8")) as Story) : undefined

export const write = (story: Story): void => writeFileSync(nameOf(story.story), `${JSON.stringify(story, null, 2)}\n`)

const O = (digit: number): string => `${digit}1111111-1111-4111-8111-111111111111`
const P = etcd.partitionId
const at = 1_700_000_000_000
const ordered: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [fence] }
]
const lost: ReadonlyArray<Event> = [...ordered, { _tag: "FencesArmed", at }, { _tag: "LossProven", at, lossBegan: at }]
const back: ReadonlyArray<Event> = [
  { _tag: "FencesLifted", at },
  { _tag: "RecoveryProven", at }
]
const faulted = (error: "FABRIC_E_PARTITION_NOT_FOUND" | "FABRIC_E_NODE_NOT_FOUND"): ReadonlyArray<Event> => [
  { _tag: "Taken", at },
  { _tag: "StepFailed", at, error, retryable: false }
]
const call = (name: string, ...args: Call["args"]): Call => ({ call: name, args })
const node = "lab-m1"
const instance = nodeInstanceId(node)
const list = (kwargs: Record<string, number> = {}): Call => ({ call: "get_fault_operation_list", args: [], kwargs })

/** The stories that are told to the Python client, in the order of their steps. */
export const stories: Readonly<Record<string, ReadonlyArray<Step>>> = {
  "quorum-loss": [
    call("start_quorum_loss", "lab~kv", P, O(1), "QuorumReplicas", 60),
    call("get_quorum_loss_progress", "lab~kv", P, O(1)),
    call("get_quorum_loss_progress", "lab/kv", P, O(1)),
    call("start_quorum_loss", "lab~kv", P, O(1), "AllReplicas", 60),
    { play: O(1), events: [...lost, { _tag: "HoldEnded", at }, ...back] },
    call("get_quorum_loss_progress", "lab~kv", P, O(1)),
    call("start_quorum_loss", "lab~kv", P, O(2), "AllReplicas", 0),
    { play: O(2), events: faulted("FABRIC_E_PARTITION_NOT_FOUND") },
    call("get_quorum_loss_progress", "lab~kv", P, O(2)),
    list(),
    list({ state_filter: 8 })
  ],
  "data-loss": [
    call("start_data_loss", "lab~kv", P, O(1), "PartialDataLoss"),
    call("get_data_loss_progress", "lab~kv", P, O(1)),
    {
      play: O(1),
      events: [
        { _tag: "Taken", at },
        { _tag: "FencesOrdered", at, fences: [] },
        { _tag: "DataDestroyed", at },
        { _tag: "RecoveryProven", at }
      ]
    },
    call("get_data_loss_progress", "lab~kv", P, O(1)),
    call("start_data_loss", "lab/kv", P, O(2), "FullDataLoss"),
    { play: O(2), events: faulted("FABRIC_E_PARTITION_NOT_FOUND") },
    call("get_data_loss_progress", "lab/kv", P, O(2)),
    call("get_data_loss_progress", "lab/kv", P, O(3)),
    call("start_data_loss", "lab/kv", P, O(3), "Invalid"),
    list({ type_filter: 1 })
  ],
  restart: [
    call("start_partition_restart", "lab~kv", P, O(1), "AllReplicasOrInstances"),
    call("get_partition_restart_progress", "lab~kv", P, O(1)),
    { play: O(1), events: [...ordered, { _tag: "FencesArmed", at }, ...back] },
    call("get_partition_restart_progress", "lab~kv", P, O(1)),
    call("start_partition_restart", "lab~kv", P, O(1), "OnlyActiveSecondaries"),
    call("start_partition_restart", "lab~kv", P, O(2), "OnlyActiveSecondaries"),
    call("get_quorum_loss_progress", "lab~kv", P, O(2)),
    call("start_partition_restart", "lab~kv", P, O(3), "Bogus"),
    list({ type_filter: 4, state_filter: 9 })
  ],
  "node-transition": [
    call("start_node_transition", node, O(1), "Stop", instance, 300),
    call("get_node_transition_progress", node, O(1)),
    call("start_node_transition", node, O(1), "Stop", instance, 300),
    call("start_node_transition", node, O(2), "Start", instance, 300),
    { play: O(1), events: [...ordered, { _tag: "FencesArmed", at }] },
    call("get_node_transition_progress", node, O(1)),
    call("start_node_transition", "nowhere", O(3), "Start", "132", 0),
    { play: O(3), events: faulted("FABRIC_E_NODE_NOT_FOUND") },
    call("get_node_transition_progress", "nowhere", O(3)),
    call("start_node_transition", node, O(4), "Stop", "0", 300),
    call("start_node_transition", node, O(4), "Stop", instance, 299),
    call("start_node_transition", node, O(4), "Stop", instance, 14401),
    call("start_node_transition", node, O(4), "Bogus", instance, 300),
    call("start_node_transition", "n".repeat(4097), O(4), "Stop", instance, 300),
    call("get_node_transition_progress", node, O(4)),
    list({ type_filter: 8 })
  ],
  cancel: [
    call("cancel_operation", O(1)),
    call("start_quorum_loss", "lab~kv", P, O(1), "QuorumReplicas", 60),
    { play: O(1), events: lost },
    call("cancel_operation", O(1), true),
    call("cancel_operation", O(1), false),
    call("get_quorum_loss_progress", "lab~kv", P, O(1)),
    call("cancel_operation", O(1), false),
    call("cancel_operation", O(1), true),
    call("get_quorum_loss_progress", "lab~kv", P, O(1)),
    call("cancel_operation", O(1), true),
    call("start_partition_restart", "lab~kv", P, O(2), "AllReplicasOrInstances"),
    call("cancel_operation", O(2), false),
    call("get_partition_restart_progress", "lab~kv", P, O(2)),
    call("cancel_operation", O(2), false)
  ],
  recover: [
    call("recover_partition", P),
    call("recover_partition", Guid.nil),
    call("recover_partition", "nonsense"),
    call("recover_service_partitions", "lab~kv"),
    call("recover_service_partitions", "lab/kv"),
    call("recover_service_partitions", "no~such"),
    call("recover_system_partitions"),
    call("recover_all_partitions")
  ],
  refusals: [
    call("start_quorum_loss", "a~~b", P, O(1), "QuorumReplicas", 1),
    call("start_quorum_loss", "lab~kv", "nonsense", O(1), "QuorumReplicas", 1),
    call("start_quorum_loss", "lab~kv", P, "nonsense", "QuorumReplicas", 1),
    call("start_quorum_loss", "lab~kv", P, O(1), "Bogus", 1),
    call("start_quorum_loss", "lab~kv", P, O(1), "QuorumReplicas", -5),
    call("start_quorum_loss", "lab~kv", P, O(1), "QuorumReplicas", 901),
    call("get_quorum_loss_progress", "lab~kv", P, "nonsense"),
    { call: "get_fault_operation_list", args: [], kwargs: { type_filter: -1 } },
    call("get_service_name_info", Guid.nil),
    call("get_replica_info_list", Guid.nil),
    call("get_partition_info_list", "no~such"),
    call("get_service_name_info", P),
    call("get_application_name_info", "lab~kv"),
    call("get_node_info", "nowhere")
  ]
}

const quorum = `/Faults/Services/lab~kv/$/GetPartitions/${P}/$`
const line = (text: string): Line => ({ line: text })
const browse = (text: string): Line => ({ line: text, bodyMayChange: true })

/** What the official command line was seen to send (sfctl 11.2.1), against a cluster with our names. */
export const commandLine: ReadonlyArray<Step> = [
  line("GET /"),
  line("GET /$/GetClusterVersion?api-version=6.4&timeout=60"),
  browse(
    "GET /$/GetClusterHealth?api-version=6.0&NodesHealthStateFilter=0&ApplicationsHealthStateFilter=0&EventsHealthStateFilter=0&ExcludeHealthStatistics=false&IncludeSystemApplicationHealthStatistics=false&timeout=60"
  ),
  browse("GET /$/GetClusterManifest?api-version=6.0&timeout=60"),
  browse("GET /Nodes?api-version=6.3&NodeStatusFilter=default&MaxResults=0&timeout=60"),
  browse("GET /Nodes/lab-m0?api-version=6.0&timeout=60"),
  browse(
    "GET /Applications?api-version=6.1&ApplicationDefinitionKindFilter=0&ExcludeApplicationParameters=false&MaxResults=0&timeout=60"
  ),
  browse("GET /Applications/lab/$/GetServices?api-version=6.0&timeout=60"),
  browse("GET /Services/lab~kv/$/GetDescription?api-version=6.0&timeout=60"),
  browse("GET /Services/lab~kv/$/GetPartitions?api-version=6.4&timeout=60"),
  browse(`GET /Partitions/${P}?api-version=6.0&timeout=60`),
  line(`GET /Partitions/${P}/$/GetServiceName?api-version=6.0&timeout=60`),
  browse(`GET /Partitions/${P}/$/GetReplicas?api-version=6.0&timeout=60`),
  browse(`GET /Partitions/${P}/$/GetReplicas?api-version=6.0&ContinuationToken=1&timeout=60`),
  line(`POST /Partitions/${P}/$/Recover?api-version=6.0&timeout=60`),
  line("POST /Services/$/lab~kv/$/GetPartitions/$/Recover?api-version=6.0&timeout=60"),
  line("POST /$/RecoverAllPartitions?api-version=6.0&timeout=60"),
  line(
    `POST ${quorum}/StartQuorumLoss?api-version=6.0&OperationId=${O(1)}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=2&timeout=60`
  ),
  line(`GET ${quorum}/GetQuorumLossProgress?api-version=6.0&OperationId=${O(1)}&timeout=60`),
  line(
    `GET /Faults/Services/lab/kv/$/GetPartitions/${P}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${O(1)}&timeout=60`
  ),
  line("GET /Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535&timeout=60"),
  line("GET /Faults/?api-version=6.0&TypeFilter=2&StateFilter=8&timeout=60"),
  line(`POST /Faults/$/Cancel?api-version=6.0&OperationId=${O(1)}&Force=true&timeout=60`),
  line(`POST /Faults/$/Cancel?api-version=6.0&OperationId=${O(1)}&Force=false&timeout=60`),
  line(`POST ${quorum}/StartDataLoss?api-version=6.0&OperationId=${O(2)}&DataLossMode=PartialDataLoss&timeout=60`),
  line(`GET ${quorum}/GetDataLossProgress?api-version=6.0&OperationId=${O(2)}&timeout=60`),
  line(
    `POST ${quorum}/StartRestart?api-version=6.0&OperationId=${O(3)}&RestartPartitionMode=OnlyActiveSecondaries&timeout=60`
  ),
  line(`GET ${quorum}/GetRestartProgress?api-version=6.0&OperationId=${O(3)}&timeout=60`),
  line(
    `POST /Faults/Nodes/lab-m0/$/StartTransition/?api-version=6.0&OperationId=${O(4)}&NodeTransitionType=Stop&NodeInstanceId=132&StopDurationInSeconds=600&timeout=60`
  ),
  line(`GET /Faults/Nodes/lab-m0/$/GetTransitionProgress?api-version=6.0&OperationId=${O(4)}&timeout=60`),
  // Nothing of this is checked by the command line itself.
  line(
    `POST ${quorum}/StartQuorumLoss?api-version=6.0&OperationId=notaguid&QuorumLossMode=QuorumReplicas&QuorumLossDuration=2&timeout=60`
  ),
  line(
    `POST ${quorum}/StartQuorumLoss?api-version=6.0&OperationId=${O(5)}&QuorumLossMode=Bogus&QuorumLossDuration=2&timeout=60`
  ),
  line(
    `POST ${quorum}/StartQuorumLoss?api-version=6.0&OperationId=${O(5)}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=-5&timeout=60`
  )
]

/** The headers that the command line sends with every request. */
export const commandLineHeaders: Readonly<Record<string, string>> = {
  "User-Agent": "python/3.12 msrest/0.6.21 azure-servicefabric/8.2.0.0",
  Accept: "application/json",
  "Accept-Encoding": "gzip, deflate"
}
