/**
 * Goal: the questions of an explorer's pages are answered over simulated and real clusters alike, by short and by long
 * paths, with times that stand still. Method: a request target goes through the parser, and the answer is judged by
 * hand-written values.
 */
import { assert, describe, it } from "@effect/vitest"
import { advance, make } from "@inquorate/core/Operation"
import type { ClusterView } from "@inquorate/core/Operations"
import * as Result from "effect/Result"
import * as Chunk from "../src/fabric/FabricChunk.ts"
import * as Health from "../src/fabric/FabricHealth.ts"
import * as History from "../src/fabric/FabricHistory.ts"
import { parse } from "../src/fabric/FabricPath.ts"
import * as Queries from "../src/fabric/FabricQueries.ts"
import * as World from "../src/fabric/FabricWorld.ts"
import { clusterOf, etcd, fence, member, postgres } from "./FakeOperations.ts"
import * as Simulated from "./SimulatedFacts.ts"

const clusters = [Simulated.simulated, clusterOf(etcd), clusterOf(postgres)]
const aftermath = { stoppedNodes: [], lastLosses: [] }

interface Asked {
  readonly version?: string
  readonly now?: number
  readonly history?: History.History
  readonly clusters?: ReadonlyArray<ClusterView>
}

const worldOf = (asked: Asked, version: number): World.World =>
  World.make(asked.clusters ?? clusters, [], aftermath, {
    now: asked.now ?? Simulated.at,
    version,
    history: asked.history ?? History.make()
  })

const ask = (target: string, asked: Asked = {}) => {
  const line = `${target}${target.includes("?") ? "&" : "?"}api-version=${asked.version ?? "3.0"}`
  const parsed = parse("GET", line)
  if (Result.isFailure(parsed)) return assert.fail(`${line}: ${parsed.failure.code}`)
  const { call, version } = parsed.success
  return Queries.answer(worldOf(asked, version), call as Queries.QueryCall)
}

const value = (target: string, asked: Asked = {}): unknown => {
  const answered = ask(target, asked)
  if (answered._tag !== "Found") return assert.fail(`${target}: ${JSON.stringify(answered)}`)
  return JSON.parse(JSON.stringify(answered.value)) as unknown
}

const at = (from: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce((found, key) => (found as Record<string | number, unknown>)[key], from)

const code = (target: string, asked: Asked = {}): string => {
  const answered = ask(target, asked)
  return answered._tag === "Refused" ? answered.code : answered._tag
}

const P = Simulated.lost.partitionId

describe("paths below an application", () => {
  it("are answered as the short ones, with an escaped slash too, from 1.0 to newer than we know", () => {
    for (const version of ["1.0", "3.0", "6.0", "11.4"]) {
      for (const service of ["App%2FOrders", "App~Orders", "App/Orders"]) {
        const long = `/Applications/App/$/GetServices/${service}/$`
        for (const rest of ["GetHealth", "GetDescription", "GetPartitions", "ResolvePartition"]) {
          assert.deepStrictEqual(
            value(`${long}/${rest}`, { version }),
            value(`/Services/App~Orders/$/${rest}`, { version }),
            `${rest} ${version}`
          )
        }
        for (const rest of ["", "/$/GetHealth", "/$/GetLoadInformation", "/$/GetReplicas", "/$/GetServiceName"]) {
          const short = value(`/Partitions/${P}${rest}`, { version })
          assert.deepStrictEqual(value(`${long}/GetPartitions/${P}${rest}`, { version }), short, rest)
          assert.deepStrictEqual(value(`/Services/${service}/$/GetPartitions/${P}${rest}`, { version }), short, rest)
        }
        for (const rest of ["", "/$/GetHealth"]) {
          assert.deepStrictEqual(
            value(`${long}/GetPartitions/${P}/$/GetReplicas/9${rest}`, { version }),
            value(`/Partitions/${P}/$/GetReplicas/9${rest}`, { version })
          )
        }
      }
    }
  })

  it("recover what the short ones recover, and hold their names to the same form", () => {
    const tag = (target: string) => {
      const parsed = parse("POST", `${target}?api-version=6.0`)
      return Result.isSuccess(parsed) ? parsed.success.call._tag : parsed.failure.code
    }
    assert.strictEqual(
      tag(`/Applications/App/$/GetServices/App~Orders/$/GetPartitions/${P}/$/Recover`),
      "RecoverPartition"
    )
    assert.strictEqual(
      tag("/Applications/App/$/GetServices/App~Orders/$/GetPartitions/$/Recover"),
      "RecoverServicePartitions"
    )
    assert.strictEqual(
      tag(`/Applications/App/$/GetServices/App%3FOrders/$/GetPartitions/${P}/$/Recover`),
      "FABRIC_E_INVALID_NAME_URI"
    )
  })
})

describe("what every page asks", () => {
  it("is answered for the cluster, with every upgrade domain complete", () => {
    const upgrade = value("/$/GetUpgradeProgress", { version: "8.2" })
    assert.strictEqual(at(upgrade, "UpgradeState"), "RollingForwardCompleted")
    assert.deepStrictEqual(
      (at(upgrade, "UpgradeDomains") as ReadonlyArray<{ Name: string; State: string }>).map(({ State }) => State),
      Array.from({ length: 5 + 3 + 3 }, () => "Completed")
    )
    assert.deepStrictEqual(at(value("/$/GetLoadInformation"), "LoadMetricInformation"), [])
    assert.deepStrictEqual(value("/$/GetRepairTaskList"), [])
    const manager = value("/$/GetFailoverManagerManagerInformation", { version: "11.4" })
    assert.strictEqual(
      at(value(`/Nodes/${String(at(manager, "NodeName"))}`), "InstanceId"),
      at(manager, "NodeInstanceId")
    )
    const manifest = at(value("/$/GetClusterManifest"), "Manifest") as string
    assert.include(manifest, '<FabricSettings><Section Name="EventStoreService" />')
    assert.notInclude(manifest, "BackupRestoreService")
  })

  it("is answered for application types: bare before 4.0, in pages after", () => {
    const bare = value("/ApplicationTypes/") as ReadonlyArray<{ readonly Name: string }>
    assert.deepStrictEqual(
      bare.map(({ Name }) => Name),
      ["AppType", "etcd", "postgres"]
    )
    assert.deepStrictEqual(at(value("/ApplicationTypes/", { version: "6.0" }), "Items"), bare)
    const page = value("/ApplicationTypes?MaxResults=1", { version: "6.0" })
    const next = `/ApplicationTypes?ContinuationToken=${String(at(page, "ContinuationToken"))}`
    assert.deepStrictEqual(at(value(next, { version: "6.0" }), "Items"), bare.slice(1))
    const types = value("/ApplicationTypes/AppType/$/GetServiceTypes?ApplicationTypeVersion=1.2.3")
    assert.deepStrictEqual(
      (types as ReadonlyArray<unknown>).map((one) => [
        at(one, "ServiceTypeDescription", "ServiceTypeName"),
        at(one, "ServiceTypeDescription", "Kind")
      ]),
      [
        ["LedgerType", "Stateful"],
        ["OrdersType", "Stateful"],
        ["RegionsType", "Stateful"],
        ["WebType", "Stateless"]
      ]
    )
    assert.include(
      at(value("/ApplicationTypes/AppType/$/GetApplicationManifest?ApplicationTypeVersion=1.2.3"), "Manifest"),
      'ApplicationTypeName="AppType"'
    )
    assert.strictEqual(
      code("/ApplicationTypes/AppType/$/GetServiceTypes?ApplicationTypeVersion=9"),
      "FABRIC_E_APPLICATION_TYPE_NOT_FOUND"
    )
  })

  it("is answered for what stands on a node: applications, packages, replicas and what they do", () => {
    const onNode = value("/Nodes/_Node_0/$/GetApplications") as ReadonlyArray<{ readonly Name: string }>
    assert.deepStrictEqual(
      onNode.map(({ Name }) => Name),
      ["fabric:/App"]
    )
    assert.deepStrictEqual(at(value("/Nodes/_Node_0/$/GetApplications", { version: "6.1" }), "Items"), onNode)
    assert.strictEqual(code("/Nodes/nope/$/GetApplications"), "FABRIC_E_NODE_NOT_FOUND")
    assert.strictEqual(code("/Nodes/lab-m0/$/GetApplications/App"), "None")
    const deployed = "/Nodes/lab-m1/$/GetApplications/lab/$"
    const [pack] = value(`${deployed}/GetServicePackages`) as ReadonlyArray<{ readonly Name: string }>
    assert.strictEqual(pack!.Name, "etcdPkg")
    assert.strictEqual(at(pack, "HealthState"), "Ok")
    const replicas = value(`${deployed}/GetReplicas?ServiceManifestName=${pack!.Name}`) as ReadonlyArray<object>
    assert.lengthOf(replicas, 1)
    assert.strictEqual(at(replicas, 0, "ReplicaRole"), "ActiveSecondary")
    assert.strictEqual(at(value(`${deployed}/GetHealth`), "AggregatedHealthState"), "Ok")
    const id = World.replicaId(etcd.partitionId, etcd.members[1]!)
    const detail = value(`/Nodes/lab-m1/$/GetPartitions/${etcd.partitionId}/$/GetReplicas/${id}/$/GetDetail`)
    assert.strictEqual(at(detail, "ReplicaId"), id)
    assert.strictEqual(at(detail, "DeployedServiceReplica", "HostProcessId"), "4242")
    assert.deepStrictEqual(at(detail, "ReportedLoad"), [])
    assert.strictEqual(at(detail, "ReplicatorStatus", "ReplicationQueueStatus", "LastSequenceNumber"), "0")
    const [code_] = value(`${deployed}/GetCodePackages`) as ReadonlyArray<unknown>
    assert.deepStrictEqual(
      ["MainEntryPoint", "SetupEntryPoint"].map((point) =>
        at(code_, point, "CodePackageEntryPointStatistics", "ActivationCount")
      ),
      ["1", "0"]
    )
    assert.strictEqual(
      code(`/Nodes/lab-m2/$/GetPartitions/${etcd.partitionId}/$/GetReplicas/${id}/$/GetDetail`),
      "FABRIC_E_REPLICA_DOES_NOT_EXIST"
    )
  })

  it("is answered for a backup service that is not there with empty lists", () => {
    assert.deepStrictEqual(value("/BackupRestore/BackupPolicies/"), { ContinuationToken: "", Items: [] })
    assert.deepStrictEqual(at(value("/Applications/App/$/GetBackupConfigurationInfo"), "Items"), [])
    assert.deepStrictEqual(at(value("/Services/App/Orders/$/GetBackupConfigurationInfo"), "Items"), [])
    assert.deepStrictEqual(at(value(`/Partitions/${P}/$/GetBackups`), "Items"), [])
    assert.strictEqual(code("/Services/App/nope/$/GetBackupConfigurationInfo"), "FABRIC_E_SERVICE_DOES_NOT_EXIST")
    assert.strictEqual(at(value(`/Partitions/${P}/$/GetBackupProgress`), "BackupState"), "Invalid")
    assert.strictEqual(at(value(`/Partitions/${P}/$/GetRestoreProgress`), "RestoreState"), "Invalid")
    assert.strictEqual(at(value(`/Partitions/${P}/$/GetBackupConfigurationInfo`), "PolicyName"), "")
    assert.strictEqual(code("/BackupRestore/BackupPolicies/nightly"), "FABRIC_E_KEY_NOT_FOUND")
  })

  it("finds a partition by its key, with whom to speak to", () => {
    const resolved = (query: string) => value(`/Services/App~Ledger/$/ResolvePartition?${query}`, { version: "6.0" })
    const found = resolved("PartitionKeyType=2&PartitionKeyValue=15")
    assert.strictEqual(at(found, "PartitionInformation", "LowKey"), "10")
    assert.strictEqual(at(found, "Endpoints", 0, "Kind"), "StatefulPrimary")
    const by = (service: string, query: string) => code(`/Services/App~${service}/$/ResolvePartition?${query}`)
    assert.strictEqual(by("Ledger", "PartitionKeyType=2&PartitionKeyValue=99"), "FABRIC_E_INVALID_PARTITION_KEY")
    assert.strictEqual(by("Ledger", ""), "FABRIC_E_INVALID_PARTITION_KEY")
    assert.strictEqual(by("Regions", "PartitionKeyType=3&PartitionKeyValue=north"), "Found")
    assert.strictEqual(by("nope", ""), "FABRIC_E_SERVICE_DOES_NOT_EXIST")
  })
})

describe("the system's services", () => {
  it("have the partitions that the insights page asks for", () => {
    for (const [service, id] of [
      ["FailoverManagerService", "00000000-0000-0000-0000-000000000001"],
      ["ClusterManagerService", "00000000-0000-0000-0000-000000002000"]
    ] as const) {
      const path = `/Applications/System/$/GetServices/System/${service}/$/GetPartitions/${id}`
      assert.strictEqual(at(value(path), "PartitionStatus"), "Ready")
      assert.strictEqual(at(value(`${path}/$/GetReplicas`), "Items", 0, "ReplicaRole"), "Primary")
    }
    const states = at(value("/$/GetClusterHealth"), "ApplicationHealthStates") as ReadonlyArray<{
      readonly Name: string
    }>
    assert.include(
      states.map(({ Name }) => Name),
      "fabric:/System"
    )
    const none = at(value("/$/GetClusterHealth?ApplicationsHealthStateFilter=1"), "ApplicationHealthStates")
    assert.deepStrictEqual(none, [])
  })
})

describe("the insights page", () => {
  it("counts the system's replicas on every node, and finds none where none is", () => {
    const count = (node: string) =>
      (value(`/Nodes/${node}/$/GetApplications/System/$/GetReplicas`) as ReadonlyArray<unknown>).length
    const nodes = (at(value("/Nodes"), "Items") as ReadonlyArray<{ readonly Name: string }>).map(({ Name }) =>
      count(Name)
    )
    assert.sameMembers(nodes, [4, ...nodes.slice(1).map(() => 0)])
    assert.strictEqual(code("/Nodes/lab-m0/$/GetApplications/App/$/GetReplicas"), "FABRIC_E_APPLICATION_NOT_FOUND")
    assert.strictEqual(code("/Nodes/nope/$/GetApplications/System/$/GetReplicas"), "FABRIC_E_NODE_NOT_FOUND")
  })
})

describe("a loss that is not ours", () => {
  it("lasts since it was first seen, and a later one does not begin with it", () => {
    const history = History.make()
    const down = { ...etcd, members: etcd.members.map((one, index) => ({ ...one, up: index === 0 })) }
    const seen = (group: typeof etcd, now: number) =>
      at(
        value(`/Partitions/${etcd.partitionId}`, { now, history, clusters: [clusterOf(group)] }),
        "LastQuorumLossDurationInSeconds"
      )
    assert.strictEqual(seen(etcd, Simulated.at), "0")
    assert.strictEqual(seen(down, Simulated.at + 1000), "0")
    assert.strictEqual(seen(down, Simulated.at + 6000), "5")
    seen(etcd, Simulated.at + 7000)
    assert.strictEqual(seen(down, Simulated.at + 60_000), "0")
    assert.strictEqual(seen(down, Simulated.at + 62_000), "2")
  })
})

describe("a node of a real cluster", () => {
  it("is a seed where it votes, has a fault domain of its own, and is up since it was first seen so", () => {
    const history = History.make()
    const learner = { ...etcd, members: [...etcd.members, member("lab", "m3", "IdleSecondary", false)] }
    const seen = { history, clusters: [clusterOf(learner)] }
    const nodes = at(value("/Nodes/", seen), "Items") as ReadonlyArray<Record<string, unknown>>
    assert.deepStrictEqual(
      nodes.map((node) => [node["Name"], node["IsSeedNode"], node["FaultDomain"]]).toSorted(),
      [0, 1, 2, 3].map((index) => [`lab-m${index}`, index < 3, `fd:/lab-m${index}`])
    )
    const later = value("/Nodes/lab-m0", { ...seen, now: Simulated.at + 90_000 })
    assert.deepStrictEqual(
      [at(later, "NodeUpTimeInSeconds"), at(later, "NodeUpAt")],
      ["90", new Date(Simulated.at).toISOString()]
    )
  })
})

describe("health events", () => {
  const event = (target: string, asked: Asked) => at(value(target, asked), "HealthEvents", 0)

  it("carry the time of the transition and a number that stands still, however often is asked", () => {
    const history = History.make()
    const down = {
      ...etcd,
      members: etcd.members.map((one, index) => (index === 2 ? { ...one, up: false } : one))
    }
    const target = `/Partitions/${etcd.partitionId}/$/GetHealth`
    const first = event(target, { history })
    assert.deepStrictEqual(event(target, { history, now: Simulated.at + 5000 }), first)
    const sick = event(target, { history, now: Simulated.at + 7000, clusters: [clusterOf(down)] })
    assert.strictEqual(at(sick, "HealthState"), "Warning")
    assert.strictEqual(at(sick, "SourceUtcTimestamp"), new Date(Simulated.at + 7000).toISOString())
    assert.strictEqual(at(sick, "LastOkTransitionAt"), at(first, "SourceUtcTimestamp"))
    assert.isTrue(BigInt(at(sick, "SequenceNumber") as string) > BigInt(at(first, "SequenceNumber") as string))
    assert.deepStrictEqual(event(target, { history, now: Simulated.at + 9000, clusters: [clusterOf(down)] }), sick)
    const well = event(target, { history, now: Simulated.at + 11_000 })
    assert.strictEqual(at(well, "LastOkTransitionAt"), new Date(Simulated.at + 11_000).toISOString())
    assert.strictEqual(at(well, "LastWarningTransitionAt"), at(sick, "SourceUtcTimestamp"))
  })

  it("of what a fence of ours took out carry the moment of the fence, whenever they are first asked for", () => {
    const id = "11111111-2222-4333-8444-555555555555"
    const armedAt = Simulated.at - 30_000
    const request = {
      kind: "PartitionQuorumLoss",
      serviceName: "fabric:/lab/kv",
      partitionId: etcd.partitionId,
      mode: "QuorumReplicas",
      hold: 1
    } as const
    const holder = [
      { _tag: "Taken", at: armedAt - 100 },
      { _tag: "FencesOrdered", at: armedAt, fences: [fence] },
      { _tag: "FencesArmed", at: armedAt + 50 }
    ] as const
    const operation = holder.reduce(
      (played, one) => Result.getOrThrow(advance(played, one)),
      make(id, request, armedAt - 200)
    )
    const seen = { ...etcd, members: etcd.members.map((one) => (one.name === "m1" ? { ...one, up: false } : one)) }
    const world = World.make([clusterOf(seen)], [operation], aftermath, { now: Simulated.at, version: 3 })
    const down = seen.members[1]!
    const expected = new Date(armedAt).toISOString()
    for (const entity of [
      Health.ofReplica(world, seen, down),
      Health.ofNode(
        world,
        world.nodes.find(({ name }) => name === "lab-m1")!
      )
    ]) {
      assert.strictEqual(entity.events[0]!.SourceUtcTimestamp, expected, entity.kind)
    }
    const up = Health.ofReplica(world, seen, seen.members[0]!).events[0]!
    assert.strictEqual(up.SourceUtcTimestamp, new Date(Simulated.at).toISOString())
  })

  it("take the moment that a cluster tells itself", () => {
    const told = at(value("/Nodes/_Node_4/$/GetHealth", { now: Simulated.at + 60_000 }), "HealthEvents", 0)
    assert.strictEqual(at(told, "SourceUtcTimestamp"), new Date(Simulated.at - 5000).toISOString())
  })

  it("are not repeated in the words of the evaluation", () => {
    const health = value("/Nodes/_Node_4/$/GetHealth")
    const evaluation = at(health, "UnhealthyEvaluations", 0, "HealthEvaluation")
    assert.strictEqual(at(evaluation, "Description"), "'System.FM' reported Error for property 'State'.")
    assert.strictEqual(at(evaluation, "UnhealthyEvent", "Description"), "Fabric node is down.")
  })
})

describe("the health chunk", () => {
  const chunk = (description: unknown) => {
    const read = Result.getOrThrow(Chunk.read(JSON.stringify(description)))
    const answered = Queries.chunk(worldOf({}, 3), read)
    return answered._tag === "Found" ? (JSON.parse(JSON.stringify(answered.value)) as unknown) : assert.fail("refused")
  }
  const names = (list: unknown, name: string) =>
    (at(list, "Items") as ReadonlyArray<Record<string, unknown>>).map((item) => item[name])

  it("has every application, the system's among them, and every node where the filter takes all", () => {
    const all = chunk({
      ApplicationFilters: [{ HealthStateFilter: 65535 }],
      NodeFilters: [{ HealthStateFilter: 65535 }]
    })
    assert.deepStrictEqual(names(at(all, "ApplicationHealthStateChunks"), "ApplicationName"), [
      "fabric:/App",
      "fabric:/lab",
      "fabric:/orders db",
      "fabric:/System"
    ])
    assert.lengthOf(names(at(all, "NodeHealthStateChunks"), "NodeName"), 11)
    assert.strictEqual(at(all, "HealthState"), "Error")
  })

  it("goes down to the replicas that filters name, and has nothing of what none does", () => {
    const deep = chunk({
      ApplicationFilters: [
        { HealthStateFilter: 8 },
        {
          ApplicationNameFilter: "fabric:/App",
          ServiceFilters: [
            {
              ServiceNameFilter: "fabric:/App/Orders",
              PartitionFilters: [{ PartitionIdFilter: P.toUpperCase(), ReplicaFilters: [{ HealthStateFilter: "4" }] }]
            }
          ],
          DeployedApplicationFilters: [
            { NodeNameFilter: "_Node_1", DeployedServicePackageFilters: [{ HealthStateFilter: 2 }] }
          ]
        }
      ]
    })
    const [app, ...others] = at(deep, "ApplicationHealthStateChunks", "Items") as ReadonlyArray<unknown>
    assert.deepStrictEqual(others, [])
    const service = at(app, "ServiceHealthStateChunks", "Items", 0)
    assert.strictEqual(at(service, "ServiceName"), "fabric:/App/Orders")
    const partition = at(service, "PartitionHealthStateChunks", "Items", 0)
    assert.deepStrictEqual(names(at(partition, "ReplicaHealthStateChunks"), "ReplicaOrInstanceId"), ["10"])
    // The count is of what the filter takes: of four replicas one.
    assert.strictEqual(at(partition, "ReplicaHealthStateChunks", "TotalCount"), 1)
    assert.strictEqual(at(deep, "NodeHealthStateChunks", "TotalCount"), 0)
    const deployed = at(app, "DeployedApplicationHealthStateChunks", "Items", 0)
    assert.deepStrictEqual(names(at(deployed, "DeployedServicePackageHealthStateChunks"), "ServiceManifestName"), [
      "AppTypePkg"
    ])
    assert.deepStrictEqual(names(at(deep, "NodeHealthStateChunks"), "NodeName"), [])
  })

  it("takes a filter that names somebody before one of its type, and that before one that names nobody", () => {
    const found = (...filters: ReadonlyArray<unknown>) =>
      names(at(chunk({ ApplicationFilters: filters }), "ApplicationHealthStateChunks"), "ApplicationName")
    assert.deepStrictEqual(found(), [])
    assert.deepStrictEqual(found({}), [])
    assert.deepStrictEqual(found({ ApplicationNameFilter: "fabric:/lab" }), ["fabric:/lab"])
    assert.deepStrictEqual(found({ ApplicationTypeNameFilter: "etcd", HealthStateFilter: 2 }), ["fabric:/lab"])
    assert.deepStrictEqual(
      found({ HealthStateFilter: 2 }, { ApplicationNameFilter: "fabric:/lab", HealthStateFilter: 1 }),
      ["fabric:/System"]
    )
  })

  it("is refused for a body that is none, and takes no body for no filters", () => {
    for (const body of ["{", "[]", '{"NodeFilters":7}', '{"NodeFilters":[{"HealthStateFilter":"many"}]}']) {
      assert.isTrue(Result.isFailure(Chunk.read(body)), body)
    }
    assert.deepStrictEqual(Result.getOrThrow(Chunk.read("")), {})
    assert.deepStrictEqual(Result.getOrThrow(Chunk.read("null")), {})
  })
})

describe("the event window", () => {
  const read = (query: string) => parse("GET", `/EventsStore/Cluster/Events?${query}&api-version=7.2`)

  it("takes its names in any case and its times with an offset", () => {
    const parsed = read(
      "starttimeutc=2026-01-01T00%3A00%3A00Z&EndTimeUtc=2026-01-01T02:00:00%2B01:00&EventsTypesFilter=A,B"
    )
    assert(Result.isSuccess(parsed))
    const { call } = parsed.success
    assert.deepStrictEqual(call._tag === "GetEvents" ? [call.from, call.to, call.kinds] : [], [
      Date.UTC(2026, 0, 1),
      Date.UTC(2026, 0, 1, 1),
      ["A", "B"]
    ])
  })

  it("is refused where a time is missing, is none, or the two are crossed", () => {
    for (const query of [
      "starttimeutc=2026-01-01T00:00:00Z",
      "starttimeutc=yesterday&endtimeutc=2026-01-01T00:00:00Z",
      "starttimeutc=2026-01-02T00:00:00Z&endtimeutc=2026-01-01T00:00:00Z"
    ]) {
      const parsed = read(query)
      assert.strictEqual(Result.isFailure(parsed) ? parsed.failure.code : "parsed", "E_INVALIDARG", query)
    }
  })
})
