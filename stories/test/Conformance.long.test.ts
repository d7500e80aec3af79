/**
 * Goal: Service Fabric's own clients cannot tell that we are not it, whichever cluster stands behind the worker. Method:
 * Microsoft's Python client calls every operation of the fault, query and chaos surface, each call judged by scripts
 * (`sdk_*.py`), and then the request lines that its command line sends are sent as they were seen; against the simulated
 * cluster, a real PostgreSQL group and a real etcd cluster. What a system cannot suffer (real ones no loss of data) is to
 * end with the contract's error.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import { execFile, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const python = "/usr/bin/python3"
const missing = spawnSync(python, ["-c", "import azure.servicefabric"]).status !== 0

/** Every operation of the fault, query, chaos and event surface that is served, by the client's names. */
const everyOperation = [
  ...["start_quorum_loss", "get_quorum_loss_progress", "start_data_loss", "get_data_loss_progress"],
  ...["start_partition_restart", "get_partition_restart_progress", "start_node_transition"],
  ...["get_node_transition_progress", "get_fault_operation_list", "cancel_operation"],
  ...["get_cluster_version", "get_cluster_manifest", "get_cluster_health", "get_aad_metadata", "get_node_info_list"],
  ...["get_node_info", "get_application_info_list", "get_application_info", "get_service_info_list"],
  ...["get_service_info", "get_service_description", "get_application_name_info", "get_partition_info_list"],
  ...["get_partition_info", "get_service_name_info", "get_replica_info_list", "get_replica_info"],
  ...["recover_partition", "recover_service_partitions", "recover_system_partitions", "recover_all_partitions"],
  ...["get_node_health", "get_application_health", "get_service_health", "get_partition_health", "get_replica_health"],
  ...["get_cluster_upgrade_progress", "get_cluster_load", "get_repair_task_list", "get_cluster_health_chunk"],
  ...["get_cluster_health_chunk_using_policy_and_advanced_filters", "get_application_type_info_list"],
  ...["get_application_type_info_list_by_name", "get_service_type_info_list", "get_service_type_info_by_name"],
  ...["get_application_manifest", "get_service_manifest", "get_application_upgrade", "get_application_load_info"],
  ...["get_node_load_info", "get_partition_load_information", "get_deployed_application_info_list"],
  ...["get_deployed_application_info", "get_deployed_application_health", "get_deployed_service_package_info_list"],
  ...["get_deployed_service_package_info_list_by_name", "get_deployed_service_package_health"],
  ...["get_deployed_service_type_info_list", "get_deployed_code_package_info_list"],
  ...["get_deployed_service_replica_info_list", "get_deployed_service_replica_detail_info", "resolve_service"],
  ...["get_cluster_event_list", "get_nodes_event_list", "get_node_event_list", "get_applications_event_list"],
  ...["get_application_event_list", "get_services_event_list", "get_service_event_list"],
  ...["get_partitions_event_list", "get_partition_event_list", "get_partition_replicas_event_list"],
  ...["get_partition_replica_event_list", "get_containers_event_list", "get_correlated_event_list"],
  ...["get_backup_policy_list", "get_application_backup_configuration_info"],
  ...["get_service_backup_configuration_info", "get_partition_backup_configuration_info"],
  ...["get_partition_backup_progress", "get_partition_restore_progress", "get_partition_backup_list"],
  ...["restart_node", "disable_node", "enable_node", "restart_replica", "remove_replica"],
  ...["start_chaos", "stop_chaos", "get_chaos", "get_chaos_events", "get_chaos_schedule", "post_chaos_schedule"]
]

/** One cluster behind a worker, and the partition of it that is broken. */
interface Subject {
  readonly endpoint: string
  readonly service: string
  readonly partition: string
  readonly kind: "simulated" | "real"
}

/** A call that was tried. */
type Tried = readonly [name: string, passed: boolean, came: string]

describe.skipIf(missing)("Service Fabric's clients (skipped without the Python package azure.servicefabric)", () => {
  const systems = ["postgres", "etcd"] as const
  const real = new Map<string, { readonly world: Harness.World; readonly endpoint: string }>()
  let emulator: Harness.Worker | undefined

  beforeAll(async () => {
    emulator = await Harness.startEmulator(["--speed", "10", "--seed", "7"])
    for (const system of systems) {
      const world = await Harness.open(system, "books")
      real.set(system, { world, endpoint: (await Harness.startWorker(world, "sdk.db")).endpoint })
    }
  }, Harness.within(120_000))

  afterAll(async () => {
    emulator?.kill("SIGKILL")
    await emulator?.ended
    for (const { world } of real.values()) await Harness.close(world)
  }, Harness.within(120_000))

  // At once, for most of the time goes by in waiting for holds and recoveries.
  it.concurrent(
    "find in a simulated cluster what they know",
    async () => {
      const { endpoint } = emulator!
      const service = "Bank~Accounts"
      const partition = await Harness.partitionAt(endpoint, service)
      await conforms("simulated", { endpoint, service, partition, kind: "simulated" }, ["sdk_emulator.py", endpoint])
    },
    Harness.within(180_000)
  )

  for (const system of systems) {
    it.concurrent(
      `find in a real ${system} cluster what they know`,
      async () => {
        const { endpoint, world } = real.get(system)!
        const service = `books~${Harness.groupOf(world)}`
        const partition = await Harness.partitionAt(endpoint, service)
        const first = ["sdk_life.py", endpoint, service, partition]
        await conforms(system, { endpoint, service, partition, kind: "real" }, first)
        assert.isTrue(Harness.nothingStopped(world))
        assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)))
        await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      },
      Harness.within(180_000)
    )
  }
})

// --- internal ---

/** Walks every operation and sends every line, and fails with all that did not pass. */
const conforms = async (name: string, subject: Subject, first: ReadonlyArray<string>): Promise<void> => {
  const { endpoint, kind, partition, service } = subject
  const walks = [
    await walk(first),
    await walk(["sdk_every.py", endpoint, service, partition, kind]),
    await walk(["sdk_explorer.py", endpoint, service, partition, kind])
  ]
  const tried = [...walks.flatMap(({ tried }) => tried), ...(await sendLines(subject))]
  const failed = tried.filter(([, passed]) => !passed)
  console.log(`${name}: ${tried.length} calls tried, ${tried.length - failed.length} passed`)
  assert.deepStrictEqual(failed, [], failed.length === 0 ? "" : await faultedAt(endpoint))
  const called = new Set(walks.flatMap(({ methods }) => methods))
  const uncalled = everyOperation.filter((method) => !called.has(method))
  assert.deepStrictEqual(uncalled, [], "operations that no script calls")
}

/** What the operations that ended Faulted say of themselves. */
const faultedAt = async (endpoint: string): Promise<string> => {
  const list = (await (await fetch(`${endpoint}/Faults/?api-version=6.0&StateFilter=16`)).json()) as ReadonlyArray<{
    readonly OperationId: string
  }>
  const details = list.map(async ({ OperationId }) => {
    const answer = await fetch(`${endpoint}/v1/operations/${OperationId}`)
    const { evidence } = (await answer.json()) as OperationDetail
    return JSON.stringify({ id: OperationId, notes: evidence.notes, fences: evidence.fences })
  })
  return (await Promise.all(details)).join("\n")
}

const walk = async ([script, ...arguments_]: ReadonlyArray<string>) => {
  const file = path.join(import.meta.dirname, script!)
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" }
  const output = await new Promise<string>((resolve, reject) => {
    execFile(python, [file, ...arguments_], { timeout: 120_000, env }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`))
    )
  })
  const lines = output
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line))
  return {
    tried: lines.filter((line): line is Tried => Array.isArray(line)),
    methods: (lines.at(-1) as { readonly methods: ReadonlyArray<string> }).methods
  }
}

// --- the command line's own requests, as they were seen ---

interface Sent {
  readonly status: number
  readonly code: string
  readonly body: unknown
}

const sendLines = async (subject: Subject): Promise<ReadonlyArray<Tried>> => {
  const { endpoint, kind, partition: P, service: S } = subject
  const tried: Array<Tried> = []
  const headers = {
    accept: "application/json",
    "user-agent": "python/3.13.5 (Linux) msrest/0.6.21 azure-servicefabric/8.2.0.0"
  }
  const send = async (line: string, body?: unknown): Promise<Sent> => {
    const [method, at] = line.split(" ") as [string, string]
    const typed = body === undefined ? {} : { "content-type": "application/json; charset=utf-8" }
    const answer = await fetch(`${endpoint}${at}`, {
      method,
      headers: { ...headers, ...typed },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await answer.text()
    const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true
    const read: unknown = isJson ? JSON.parse(text) : text
    return { status: answer.status, code: (read as { Error?: { Code: string } }).Error?.Code ?? "", body: read }
  }
  /** Sends one line and judges the answer by its status and code, and by its body where that is asked. */
  const line = async (
    request: string,
    expected: number | string,
    { body, right = () => true }: { readonly body?: unknown; readonly right?: (sent: unknown) => boolean } = {}
  ): Promise<unknown> => {
    const sent = await send(request, body)
    const came = sent.code === "" ? sent.status : `${sent.status} ${sent.code}`
    const passed = came === expected && right(sent.body)
    tried.push([request, passed, passed ? String(came) : `${came}: ${JSON.stringify(sent.body).slice(0, 400)}`])
    return sent.body
  }
  const until = async (request: string, right: (body: never) => boolean) => {
    await Harness.until(request, 60_000, async () => right((await send(request)).body as never))
  }
  const over = ({ State }: { readonly State: string }) => State !== "Running" && State !== "RollingBack"
  const stateIs = (state: string) => (body: unknown) => (body as { readonly State: string }).State === state
  const empty = { right: (body: unknown) => body === "" }
  const listed = { right: (body: unknown) => (body as { Items: ReadonlyArray<unknown> }).Items.length > 0 }

  const A = S.split("~")[0]!
  const T = "timeout=60"
  await line("GET /", 200)
  await line(`GET /$/GetClusterVersion?api-version=6.4&${T}`, 200)
  await line(
    `GET /$/GetClusterHealth?api-version=6.0&NodesHealthStateFilter=0&ApplicationsHealthStateFilter=0&EventsHealthStateFilter=0&ExcludeHealthStatistics=false&IncludeSystemApplicationHealthStatistics=false&${T}`,
    200
  )
  await line(`GET /$/GetClusterManifest?api-version=6.0&${T}`, 200)
  const nodes = (await line(`GET /Nodes?api-version=6.3&NodeStatusFilter=default&MaxResults=0&${T}`, 200, listed)) as {
    readonly Items: ReadonlyArray<{ readonly Name: string; readonly Type: string }>
  }
  await line(`GET /Nodes/${nodes.Items[0]!.Name}?api-version=6.0&${T}`, 200)
  await line(
    `GET /Applications?api-version=6.1&ApplicationDefinitionKindFilter=0&ExcludeApplicationParameters=false&MaxResults=0&${T}`,
    200,
    listed
  )
  await line(`GET /Applications/${A}/$/GetServices?api-version=6.0&${T}`, 200, listed)
  await line(`GET /Services/${S}/$/GetDescription?api-version=6.0&${T}`, 200)
  await line(`GET /Services/${S}/$/GetPartitions?api-version=6.4&${T}`, 200, listed)
  await line(`GET /Partitions/${P}?api-version=6.0&${T}`, 200)
  await line(`GET /Partitions/${P}/$/GetServiceName?api-version=6.0&${T}`, 200)
  await line(
    `GET /Partitions/${P}/$/GetHealth?api-version=6.0&EventsHealthStateFilter=0&ReplicasHealthStateFilter=0&ExcludeHealthStatistics=false&${T}`,
    200
  )
  const replicas = (await line(`GET /Partitions/${P}/$/GetReplicas?api-version=6.0&${T}`, 200, listed)) as {
    readonly Items: ReadonlyArray<{
      readonly ReplicaId: string
      readonly NodeName: string
      readonly ReplicaRole: string
    }>
  }
  const { length } = replicas.Items
  const token = replicas.Items[0]!.ReplicaId
  await line(`GET /Partitions/${P}/$/GetReplicas?api-version=6.0&ContinuationToken=${token}&${T}`, 200, {
    right: (body) => (body as typeof replicas).Items.length === length - 1
  })
  await line(`POST /Partitions/${P}/$/Recover?api-version=6.0&${T}`, 200, empty)
  await line(`POST /Services/$/${S}/$/GetPartitions/$/Recover?api-version=6.0&${T}`, 200, empty)
  await line(`POST /$/RecoverAllPartitions?api-version=6.0&${T}`, 200, empty)

  const F = `/Faults/Services/${S}/$/GetPartitions/${P}/$`
  const cancel = (id: string, force: boolean) =>
    `POST /Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}&${T}`
  const loss = (id: string, seconds: number, mode = "QuorumReplicas") =>
    `POST ${F}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=${mode}&QuorumLossDuration=${seconds}&${T}`
  const lossProgress = (id: string, of = S) =>
    `GET /Faults/Services/${of}/$/GetPartitions/${P}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${id}&${T}`
  const O = randomUUID()
  await line(loss("notaguid", 2), "400 E_INVALIDARG")
  await line(loss(O, 2, "Bogus"), "400 E_INVALIDARG")
  await line(loss(O, -5), "400 E_INVALIDARG")
  await line(loss(O, 2), 202, empty)
  await line(lossProgress(O), 200, { right: stateIs("Running") })
  await line(lossProgress(O, S.replace("~", "/")), 200, { right: stateIs("Running") })
  await until(lossProgress(O), over)
  await line(lossProgress(O), 200, { right: stateIs("Completed") })
  await line(`GET /Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535&${T}`, 200)
  await line(`GET /Faults/?api-version=6.0&TypeFilter=2&StateFilter=8&${T}`, 200, {
    right: (body) => (body as ReadonlyArray<{ readonly OperationId: string }>).at(-1)!.OperationId === O
  })
  await line(cancel(O, false), "404 FABRIC_E_KEY_NOT_FOUND")
  const O2 = randomUUID()
  await line(loss(O2, 60), 202, empty)
  await line(cancel(O2, true), "400 FABRIC_E_INVALID_TEST_COMMAND_STATE")
  await line(cancel(O2, false), 200, empty)
  await until(lossProgress(O2), over)
  await line(lossProgress(O2), 200, { right: stateIs("Cancelled") })
  await line(cancel(O2, true), "404 FABRIC_E_KEY_NOT_FOUND")
  // What was cancelled has ended before the last member is seen up, and the restart below is refused until then.
  const whole = ({ HealthState }: { readonly HealthState: string }) => HealthState === "Ok"
  await until(`GET /Partitions/${P}?api-version=6.0&${T}`, whole)

  const D = randomUUID()
  const lost = `GET ${F}/GetDataLossProgress?api-version=6.0&OperationId=${D}&${T}`
  await line(`POST ${F}/StartDataLoss?api-version=6.0&OperationId=${D}&DataLossMode=PartialDataLoss&${T}`, 202, empty)
  await until(lost, over)
  await line(lost, 200, { right: stateIs(kind === "simulated" ? "Completed" : "Faulted") })
  const R = randomUUID()
  const restarted = `GET ${F}/GetRestartProgress?api-version=6.0&OperationId=${R}&${T}`
  await line(
    `POST ${F}/StartRestart?api-version=6.0&OperationId=${R}&RestartPartitionMode=OnlyActiveSecondaries&${T}`,
    202,
    empty
  )
  await until(restarted, over)
  await line(restarted, 200, { right: stateIs("Completed") })

  const N = replicas.Items.find(({ ReplicaRole }) => ReplicaRole !== "Primary")!.NodeName
  const transition = async (type: string, seconds: number) => {
    const id = randomUUID()
    const { body } = await send(`GET /Nodes/${N}?api-version=6.0&${T}`)
    const { InstanceId } = body as { readonly InstanceId: string }
    const progress = `GET /Faults/Nodes/${N}/$/GetTransitionProgress?api-version=6.0&OperationId=${id}&${T}`
    await line(
      `POST /Faults/Nodes/${N}/$/StartTransition/?api-version=6.0&OperationId=${id}&NodeTransitionType=${type}&NodeInstanceId=${InstanceId}&StopDurationInSeconds=${seconds}&${T}`,
      202,
      empty
    )
    await until(progress, over)
    await line(progress, 200, { right: stateIs("Completed") })
  }
  await transition("Stop", 600)
  await transition("Start", 0)

  const parameters = {
    TimeToRunInSeconds: "60",
    MaxClusterStabilizationTimeoutInSeconds: 60,
    MaxConcurrentFaults: 1,
    EnableMoveReplicaFaults: true,
    WaitTimeBetweenFaultsInSeconds: 20,
    WaitTimeBetweenIterationsInSeconds: 30,
    ClusterHealthPolicy: {
      ConsiderWarningAsError: false,
      MaxPercentUnhealthyNodes: 0,
      MaxPercentUnhealthyApplications: 0,
      ApplicationTypeHealthPolicyMap: [{ Key: "T", Value: 10 }]
    },
    Context: { Map: { k: "v" } },
    ChaosTargetFilter: {
      NodeTypeInclusionList: [nodes.Items[0]!.Type],
      ApplicationInclusionList: [`fabric:/${A}`]
    }
  }
  const chaos = `GET /Tools/Chaos?api-version=6.2&${T}`
  const status = (wanted: string) => (body: unknown) => (body as { readonly Status: string }).Status === wanted
  await line(`POST /Tools/Chaos/$/Start?api-version=6.0&${T}`, 200, { body: parameters })
  await line(chaos, 200, { right: status("Running") })
  await line(`POST /Tools/Chaos/$/Stop?api-version=6.0&${T}`, 200, empty)
  await until(chaos, status("Stopped"))
  await line(`GET /Tools/Chaos/Events?api-version=6.2&MaxResults=0&${T}`, 200)
  const times = "StartTimeUtc=131000000000000000&EndTimeUtc=131000000010000000"
  await line(`GET /Tools/Chaos/Events?api-version=6.2&${times}&MaxResults=0&${T}`, 200, {
    right: (body) => (body as { History: ReadonlyArray<unknown> }).History.length === 0
  })
  const { Version } = (await line(`GET /Tools/Chaos/Schedule?api-version=6.2&${T}`, 200)) as { Version: number }
  const time = { StartTime: { Hour: 1, Minute: 0 }, EndTime: { Hour: 2, Minute: 0 } }
  await line(`POST /Tools/Chaos/Schedule?api-version=6.2&${T}`, 200, {
    body: {
      Version,
      Schedule: {
        StartDate: "2990-01-01T00:00:00.000Z",
        ExpiryDate: "2999-01-01T00:00:00.000Z",
        ChaosParametersDictionary: [{ Key: "calm", Value: parameters }],
        Jobs: [{ ChaosParameters: "calm", Days: { Monday: true }, Times: [time] }]
      }
    }
  })
  return tried
}
