/**
 * Goal: every query call says what the contract says, over a simulated cluster and over real ones. Method: a request target
 * goes through the parser, the answer is judged by hand-written values, and each is decoded by the model that the client
 * decodes with.
 */
import { assert, describe, it } from "@effect/vitest"
import { nodeId } from "@inquorate/core/Topology"
import type { Aftermath } from "@inquorate/core/Operations"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Model from "../src/fabric/FabricModel.ts"
import { parse } from "../src/fabric/FabricPath.ts"
import type { QueryAnswer } from "../src/fabric/FabricPaging.ts"
import * as Queries from "../src/fabric/FabricQueries.ts"
import * as World from "../src/fabric/FabricWorld.ts"
import { clusterOf, etcd, postgres } from "./FakeOperations.ts"
import * as Simulated from "./SimulatedFacts.ts"

const clusters = [
  Simulated.simulated,
  clusterOf(etcd),
  clusterOf(postgres, { problem: "it does not answer now; this is what was last seen" })
]

const nothing: Aftermath = { stoppedNodes: [], lastLosses: [] }

const ask = (target: string, version = "6.0", aftermath = nothing): QueryAnswer => {
  const mark = target.includes("?") ? "&" : "?"
  const { call, version: read } = Result.getOrThrow(parse("GET", `${target}${mark}api-version=${version}`))
  return Queries.answer(
    World.make(clusters, [], aftermath, { now: Simulated.at, version: read }),
    call as Queries.QueryCall
  )
}

const value = (target: string, version?: string): Record<string, unknown> => {
  const answered = ask(target, version)
  if (answered._tag !== "Found") return assert.fail(`${target}: ${JSON.stringify(answered)}`)
  // What goes over the wire is what is judged: no `undefined`, no number beyond 53 bits.
  return JSON.parse(JSON.stringify(answered.value)) as Record<string, unknown>
}

const items = (target: string, version?: string) =>
  value(target, version)["Items"] as ReadonlyArray<Record<string, unknown>>

const pages = (target: string, key: string, limit: number): ReadonlyArray<unknown> => {
  const found: Array<unknown> = []
  let token = ""
  for (let turn = 0; turn < 50; turn++) {
    const page = value(`${target}?MaxResults=${limit}${token === "" ? "" : `&ContinuationToken=${token}`}`)
    const shown = page["Items"] as ReadonlyArray<Record<string, unknown>>
    assert.isAtMost(shown.length, limit)
    found.push(...shown.map((item) => item[key]))
    token = page["ContinuationToken"] as string
    if (token === "") return found
  }
  return assert.fail(`${target} has no last page`)
}

const refused = (target: string): string => {
  const parsed = parse("GET", `${target}${target.includes("?") ? "&" : "?"}api-version=6.0`)
  if (Result.isFailure(parsed)) return parsed.failure.code
  const answered = ask(target)
  return answered._tag === "Refused" ? answered.code : answered._tag
}

// Strictly: what decoding takes from others besides, such as words that it does not know, is not ours to send.
const decodes = (schema: Schema.Codec<unknown, unknown>, json: unknown) =>
  assert.isTrue(Result.isSuccess(Schema.decodeUnknownResult(Schema.toType(schema))(json)), JSON.stringify(json))

const P = Simulated.lost.partitionId
const nil = "00000000-0000-0000-0000-000000000000"

describe("a cluster that was not seen", () => {
  const unseen = (seen: "Never" | "NotLookedAt") => [
    clusterOf(postgres),
    { ...clusterOf(etcd, { seen, problem: "not looked at yet" }), groups: [] }
  ]
  const say = (seen: "Never" | "NotLookedAt", target: string): string => {
    const { call, version } = Result.getOrThrow(
      parse("GET", `${target}${target.includes("?") ? "&" : "?"}api-version=6.0`)
    )
    const world = World.make(unseen(seen), [], nothing, { now: Simulated.at, version })
    const answered = Queries.answer(world, call as Queries.QueryCall)
    return answered._tag === "Refused" ? answered.code : answered._tag
  }
  const app = `/Applications/${etcd.cluster}`
  const inIt = `/Services/${etcd.cluster}~${etcd.group}`
  const ofIt = `/Partitions/${etcd.partitionId}`
  const never = [
    `${app}/$/GetServices`,
    `${app}${inIt.replace("/Services", "/$/GetServices")}`,
    `${inIt}/$/GetDescription`,
    `${inIt}/$/GetApplicationName`,
    `${inIt}/$/GetPartitions`,
    `${inIt}/$/GetHealth`,
    ofIt,
    `${ofIt}/$/GetServiceName`,
    `${ofIt}/$/GetReplicas`,
    `${ofIt}/$/GetReplicas/1`,
    `${ofIt}/$/GetHealth`,
    `${ofIt}/$/GetReplicas/1/$/GetHealth`,
    `/Nodes/${etcd.members[0]!.node}`,
    `/Nodes/${etcd.members[0]!.node}/$/GetHealth`,
    "/ApplicationTypes/etcd/$/GetServiceTypes?ApplicationTypeVersion=1.0",
    "/ApplicationTypes/etcd/$/GetServiceManifest?ApplicationTypeVersion=1.0&ServiceManifestName=etcdPkg"
  ]

  it("is not ready to be asked, whatever is asked of it: never an empty list, and never not there", () => {
    for (const target of never) {
      assert.strictEqual(say("NotLookedAt", target), "FABRIC_E_NOT_READY", target)
      assert.strictEqual(say("Never", target), "FABRIC_E_NOT_READY", target)
    }
  })

  it("keeps every list and sum that it would be missing from until it was looked at, and no longer", () => {
    for (const target of ["/Nodes", "/$/GetClusterHealth", `${app}/$/GetHealth`]) {
      assert.strictEqual(say("NotLookedAt", target), "FABRIC_E_NOT_READY", target)
      assert.strictEqual(say("Never", target), "Found", target)
    }
  })

  it("keeps nobody from what is known: the applications, and what is in the others", () => {
    const known = `/Partitions/${postgres.partitionId}`
    const others = [
      "/Applications",
      app,
      `/Applications/${postgres.cluster}/$/GetServices`,
      known,
      `${known}/$/GetReplicas`,
      "/ApplicationTypes/postgres/$/GetServiceTypes?ApplicationTypeVersion=1.0"
    ]
    for (const target of others) assert.strictEqual(say("NotLookedAt", target), "Found", target)
    assert.strictEqual(
      say("NotLookedAt", `/Services/${postgres.cluster}~none/$/GetPartitions`),
      "FABRIC_E_SERVICE_DOES_NOT_EXIST"
    )
  })
})

describe("what ended operations have left", () => {
  const of = (target: string, aftermath: Aftermath) => {
    const answered = ask(target, "6.0", aftermath)
    return answered._tag === "Found" ? (answered.value as Record<string, unknown>) : assert.fail(target)
  }

  it("is a stopped node, where it is down and its cluster tells nothing of it", () => {
    const aftermath = { ...nothing, stoppedNodes: ["orders-s2", "orders-s1", "_Node_4"] }
    assert.isTrue(of("/Nodes/orders-s2", aftermath)["IsStopped"])
    assert.isFalse(of("/Nodes/orders-s2", nothing)["IsStopped"])
    // It is up again, whatever the store remembers.
    assert.isFalse(of("/Nodes/orders-s1", aftermath)["IsStopped"])
    assert.strictEqual(of("/Nodes/_Node_4", aftermath)["IsStopped"], of("/Nodes/_Node_4", nothing)["IsStopped"])
  })

  it("is how long the last loss of a partition was", () => {
    const { partitionId } = etcd
    const lost = of(`/Partitions/${partitionId}`, { ...nothing, lastLosses: [{ partitionId, lasted: 61_500 }] })
    assert.strictEqual(lost["LastQuorumLossDuration"], "PT0H1M1.5S")
    assert.strictEqual(lost["LastQuorumLossDurationInSeconds"], "61")
    assert.strictEqual(of(`/Partitions/${partitionId}`, nothing)["LastQuorumLossDurationInSeconds"], "0")
  })
})

describe("nodes", () => {
  it("are listed in the order of their ids, each once, with what their cluster knows of them", () => {
    const nodes = items("/Nodes")
    const names = nodes.map((one) => one["Name"] as string)
    assert.strictEqual(names.length, 5 + 3 + 3)
    assert.deepStrictEqual(
      names,
      names.toSorted((a, b) => (nodeId(a) < nodeId(b) ? -1 : 1))
    )
    for (const one of nodes) decodes(Model.NodeInfo, one)
    const { Id, ...first } = value("/Nodes/_Node_0")
    assert.deepStrictEqual(Id, { Id: nodeId("_Node_0") })
    assert.deepStrictEqual(first, {
      Name: "_Node_0",
      IpAddressOrFQDN: "10.0.0.0",
      Type: "NodeType0",
      CodeVersion: "8.2.0.0",
      ConfigVersion: "1.0",
      NodeStatus: "Up",
      NodeUpTimeInSeconds: "60",
      HealthState: "Ok",
      IsSeedNode: true,
      UpgradeDomain: "0",
      FaultDomain: "fd:/0",
      InstanceId: "133000000000000000",
      NodeDeactivationInfo: {
        NodeDeactivationIntent: "Invalid",
        NodeDeactivationStatus: "None",
        NodeDeactivationTask: [],
        PendingSafetyChecks: []
      },
      IsStopped: false,
      NodeDownTimeInSeconds: "0",
      NodeUpAt: "2023-11-14T22:12:20.000Z",
      NodeDownAt: "0001-01-01T00:00:00.000Z",
      NodeTags: [],
      IsNodeByNodeUpgradeInProgress: false,
      InfrastructurePlacementID: ""
    })
    const stopped = value("/Nodes/_Node_4")
    assert.deepStrictEqual(
      [stopped["NodeStatus"], stopped["IsStopped"], stopped["NodeDownTimeInSeconds"], stopped["HealthState"]],
      ["Down", true, "5", "Error"]
    )
  })

  it("are filtered by the words of the filter, in any case, and by nothing else", () => {
    const count = (word: string) => items(`/Nodes?NodeStatusFilter=${word}`).length
    for (const [word, expected] of [
      ["default", 11],
      ["all", 11],
      ["Up", 9],
      ["DOWN", 2],
      ["enabling", 0],
      ["disabling", 0],
      ["disabled", 0],
      ["unknown", 0],
      ["removed", 0]
    ] as const) {
      assert.strictEqual(count(word), expected, word)
    }
    assert.strictEqual(refused("/Nodes?NodeStatusFilter=1"), "E_INVALIDARG")
    assert.strictEqual(refused("/Nodes/nope"), "None")
  })

  it("come in pages strictly after the token, whatever has gone meanwhile", () => {
    const all = items("/Nodes").map((one) => one["Name"])
    for (const limit of [1, 2, 3, 100]) assert.deepStrictEqual(pages("/Nodes", "Name", limit), all)
    assert.lengthOf(items(`/Nodes?ContinuationToken=${"f".repeat(32)}`), 0)
    assert.lengthOf(items("/Nodes?ContinuationToken=0"), 11)
    assert.lengthOf(items("/Nodes?MaxResults=0"), 11)
    for (const bad of ["ContinuationToken=zz", "MaxResults=-1", "MaxResults=x"]) {
      assert.strictEqual(refused(`/Nodes?${bad}`), "E_INVALIDARG", bad)
    }
  })
})

describe("applications and services", () => {
  it("carry their own type and parameters, or those of the system", () => {
    const [app, lab, orders] = ["App", "lab", "orders%20db"].map((id) => value(`/Applications/${id}`))
    decodes(Model.ApplicationInfo, app)
    assert.deepStrictEqual(app, {
      Id: "App",
      Name: "fabric:/App",
      TypeName: "AppType",
      TypeVersion: "1.2.3",
      Status: "Ready",
      Parameters: [{ Key: "Colour", Value: "blue" }],
      HealthState: "Error",
      ApplicationDefinitionKind: "ServiceFabricApplicationDescription"
    })
    assert.deepStrictEqual([lab!["TypeName"], lab!["HealthState"]], ["etcd", "Ok"])
    assert.deepStrictEqual([orders!["Id"], orders!["HealthState"]], ["orders%20db", "Warning"])
    assert.strictEqual(refused("/Applications/System"), "None")
  })

  it("are filtered and paged", () => {
    const names = items("/Applications").map((one) => one["Name"])
    assert.deepStrictEqual(names, ["fabric:/App", "fabric:/lab", "fabric:/orders db"])
    assert.deepStrictEqual(pages("/Applications", "Name", 1), names)
    assert.lengthOf(items("/Applications?ApplicationTypeName=AppType"), 1)
    assert.lengthOf(items("/Applications?ApplicationDefinitionKindFilter=1"), 3)
    assert.lengthOf(items("/Applications?ApplicationDefinitionKindFilter=2"), 0)
    assert.lengthOf(items("/Applications?ApplicationDefinitionKindFilter=65535"), 3)
    assert.deepStrictEqual(value("/Applications/App?ExcludeApplicationParameters=true")["Parameters"], [])
    assert.strictEqual(refused("/Applications?ContinuationToken=App"), "E_INVALIDARG")
    const services = pages("/Applications/App/$/GetServices", "Name", 1)
    assert.deepStrictEqual(
      services,
      ["Ledger", "Orders", "Regions", "Web"].map((name) => `fabric:/App/${name}`)
    )
    assert.lengthOf(items("/Applications/App/$/GetServices?ServiceTypeName=WebType"), 1)
    assert.strictEqual(refused("/Applications/nope/$/GetServices"), "FABRIC_E_APPLICATION_NOT_FOUND")
  })

  it("are told apart by kind, and spelt by the version", () => {
    const of = (name: string, version?: string) => value(`/Applications/App/$/GetServices/App~${name}`, version)
    for (const name of ["Ledger", "Orders", "Regions", "Web"]) decodes(Model.ServiceInfo, of(name))
    assert.deepStrictEqual(of("Regions"), {
      Id: "App~Regions",
      Name: "fabric:/App/Regions",
      ServiceKind: "Stateful",
      TypeName: "RegionsType",
      ManifestVersion: "1.2.3",
      HealthState: "Ok",
      ServiceStatus: "Active",
      IsServiceGroup: false,
      HasPersistedState: false
    })
    assert.deepStrictEqual([of("Web")["ServiceKind"], "HasPersistedState" in of("Web")], ["Stateless", false])
    assert.strictEqual(of("Orders")["HasPersistedState"], true)
    assert.strictEqual(of("Web", "5.0")["Id"], "App/Web")
    assert.strictEqual(value("/Applications/App/$/GetServices/App/Web")["Name"], "fabric:/App/Web")
    assert.strictEqual(refused("/Applications/lab/$/GetServices/App~Web"), "None")
    assert.deepStrictEqual(value("/Services/App~Web/$/GetApplicationName"), { Id: "App", Name: "fabric:/App" })
    assert.strictEqual(refused("/Services/App~nope/$/GetApplicationName"), "FABRIC_E_SERVICE_DOES_NOT_EXIST")
  })

  it("are described with the scheme of their partitions", () => {
    const scheme = (name: string) => value(`/Services/App~${name}/$/GetDescription`)["PartitionDescription"]
    assert.deepStrictEqual(scheme("Orders"), { PartitionScheme: "Singleton" })
    assert.deepStrictEqual(scheme("Ledger"), {
      PartitionScheme: "UniformInt64Range",
      Count: 3,
      LowKey: "0",
      HighKey: "29"
    })
    assert.deepStrictEqual(scheme("Regions"), { PartitionScheme: "Named", Count: 2, Names: ["north", "south"] })
    const web = value("/Services/App~Web/$/GetDescription")
    assert.deepStrictEqual([web["InstanceCount"], "TargetReplicaSetSize" in web], [3, false])
    for (const name of ["Orders", "Ledger", "Regions", "Web"]) {
      decodes(Model.ServiceDescription, value(`/Services/App~${name}/$/GetDescription`))
    }
    assert.strictEqual(refused("/Services/App~nope/$/GetDescription"), "FABRIC_E_SERVICE_DOES_NOT_EXIST")
  })

  it("of the system are this worker, and its application is not listed", () => {
    assert.deepStrictEqual(
      items("/Applications/System/$/GetServices").map((one) => one["Id"]),
      ["ClusterManagerService", "FailoverManagerService", "FaultAnalysisService", "NamingService"].map(
        (name) => `System~${name}`
      )
    )
    const [partition] = items("/Services/System~FaultAnalysisService/$/GetPartitions", "6.4")
    const { Id } = partition!["PartitionInformation"] as { readonly Id: string }
    assert.strictEqual(partition!["PartitionStatus"], "Ready")
    assert.lengthOf(items(`/Partitions/${Id}/$/GetReplicas`), 1)
    assert.strictEqual(value("/Applications/System/$/GetHealth")["AggregatedHealthState"], "Ok")
  })
})

describe("partitions and replicas", () => {
  it("say every clashing name, the key, and how they stand", () => {
    const one = value(`/Partitions/${P}`)
    decodes(Model.Partition, one)
    const epoch = { ConfigurationVersion: "8589934592", DataLossVersion: "131" }
    assert.deepStrictEqual(one, {
      ServiceKind: "Stateful",
      PartitionInformation: { ServicePartitionKind: "Singleton", Id: P },
      HealthState: "Error",
      PartitionStatus: "InQuorumLoss",
      TargetReplicaSetSize: 3,
      MinReplicaSetSize: 2,
      PrimaryEpoch: epoch,
      CurrentConfigurationEpoch: epoch,
      LastQuorumLossDuration: "PT0H1M30.5S",
      LastQuorumLossDurationInSeconds: "90"
    })
    const information = (service: string) =>
      items(`/Services/App~${service}/$/GetPartitions`, "6.4").map((item) => item["PartitionInformation"])
    assert.sameDeepMembers(
      information("Regions") as Array<unknown>,
      Simulated.named.map(({ partitionId }, index) => ({
        ServicePartitionKind: "Named",
        Id: partitionId,
        Name: ["north", "south"][index]
      }))
    )
    assert.deepInclude(information("Ledger"), {
      ServicePartitionKind: "Int64Range",
      Id: Simulated.ranged[1]!.partitionId,
      LowKey: "10",
      HighKey: "19"
    })
    const [web] = items("/Services/App~Web/$/GetPartitions", "6.4")
    decodes(Model.Partition, web)
    assert.deepStrictEqual(
      [web!["ServiceKind"], web!["InstanceCount"], "PrimaryEpoch" in web!],
      ["Stateless", 3, false]
    )
  })

  it("of a service come in the order of their ids, after a token in either case", () => {
    const ids = Simulated.ranged.map(({ partitionId }) => partitionId).toSorted()
    const after = (token: string) =>
      items(`/Services/App~Ledger/$/GetPartitions?ContinuationToken=${token}`).map(
        (one) => (one["PartitionInformation"] as { readonly Id: string }).Id
      )
    assert.deepStrictEqual(after(nil), ids)
    assert.deepStrictEqual(after(ids[0]!), ids.slice(1))
    assert.deepStrictEqual(after(ids[0]!.toUpperCase()), ids.slice(1))
    assert.deepStrictEqual(after(ids[2]!), [])
    assert.strictEqual(refused("/Services/App~Ledger/$/GetPartitions?ContinuationToken=7"), "E_INVALIDARG")
    assert.strictEqual(refused("/Services/App~nope/$/GetPartitions"), "FABRIC_E_SERVICE_DOES_NOT_EXIST")
    assert.strictEqual(refused(`/Partitions/${nil}`), "None")
    assert.strictEqual(refused(`/Partitions/${nil}/$/GetServiceName`), "FABRIC_E_PARTITION_NOT_FOUND")
    assert.deepStrictEqual(value(`/Partitions/${ids[0]}/$/GetServiceName`), {
      Id: "App~Ledger",
      Name: "fabric:/App/Ledger"
    })
  })

  it("have replicas in the order of their numbers, by the bits of the filter", () => {
    const list = (query = "") => items(`/Partitions/${P}/$/GetReplicas${query}`).map((one) => one["ReplicaId"])
    assert.deepStrictEqual(list(), ["9", "10", "30", "200"])
    for (const [filter, expected] of [
      [0, ["9", "10", "30", "200"]],
      [1, ["30"]],
      [2, ["200"]],
      [4, ["9"]],
      [8, ["10"]],
      [16, ["4"]],
      [12, ["9", "10"]],
      [65535, ["4", "9", "10", "30", "200"]]
    ] as const) {
      assert.deepStrictEqual(list(`?ReplicaStatusFilter=${filter}`), [...expected], String(filter))
    }
    assert.deepStrictEqual(list("?ContinuationToken=9"), ["10", "30", "200"])
    assert.deepStrictEqual(pages(`/Partitions/${P}/$/GetReplicas`, "ReplicaId", 1), ["9", "10", "30", "200"])
    assert.strictEqual(refused(`/Partitions/${P}/$/GetReplicas?ContinuationToken=x`), "E_INVALIDARG")
    assert.strictEqual(refused(`/Partitions/${nil}/$/GetReplicas`), "FABRIC_E_PARTITION_NOT_FOUND")
    assert.strictEqual(refused(`/Partitions/${P}/$/GetReplicas/0`), "E_INVALIDARG")
    assert.strictEqual(refused(`/Partitions/${P}/$/GetReplicas/11`), "None")
    const down = value(`/Partitions/${P}/$/GetReplicas/10`)
    decodes(Model.Replica, down)
    assert.deepStrictEqual(down, {
      ServiceKind: "Stateful",
      ReplicaId: "10",
      ReplicaRole: "ActiveSecondary",
      PreviousReplicaRole: "None",
      ReplicaStatus: "Down",
      HealthState: "Warning",
      NodeName: "_Node_1",
      Address: "10.0.0.1:20001",
      LastInBuildDurationInSeconds: "0"
    })
    const instance = items(`/Partitions/${Simulated.stateless.partitionId}/$/GetReplicas`)[0]!
    assert.deepStrictEqual(
      [instance["ServiceKind"], instance["InstanceId"], "ReplicaId" in instance, "ReplicaRole" in instance],
      ["Stateless", "10", false, false]
    )
  })
})

describe("health", () => {
  const state = (target: string) => value(target)["AggregatedHealthState"]

  it("of an entity is as bad as the worst below it", () => {
    assert.strictEqual(state("/$/GetClusterHealth"), "Error")
    assert.strictEqual(state("/Nodes/_Node_0/$/GetHealth"), "Ok")
    assert.strictEqual(state("/Nodes/_Node_4/$/GetHealth"), "Error")
    assert.strictEqual(state("/Applications/App/$/GetHealth"), "Error")
    assert.strictEqual(state("/Applications/orders%20db/$/GetHealth"), "Warning")
    assert.strictEqual(state("/Services/App~Ledger/$/GetHealth"), "Ok")
    assert.strictEqual(state("/Services/App~Orders/$/GetHealth"), "Error")
    assert.strictEqual(state(`/Partitions/${P}/$/GetHealth`), "Error")
    assert.strictEqual(state(`/Partitions/${P}/$/GetReplicas/10/$/GetHealth`), "Warning")
    assert.strictEqual(state(`/Partitions/${P}/$/GetReplicas/9/$/GetHealth`), "Ok")
  })

  it("says why, down to the event", () => {
    interface Evaluation {
      readonly HealthEvaluation: {
        readonly Kind: string
        readonly UnhealthyEvaluations?: ReadonlyArray<Evaluation>
      }
    }
    const kinds = (of: ReadonlyArray<Evaluation>): ReadonlyArray<string> =>
      of.flatMap(({ HealthEvaluation: { Kind, UnhealthyEvaluations = [] } }) => [
        Kind,
        ...kinds(UnhealthyEvaluations).map((kind) => `${Kind}/${kind}`)
      ])
    const found = kinds(value("/$/GetClusterHealth")["UnhealthyEvaluations"] as ReadonlyArray<Evaluation>)
    assert.includeMembers(
      [...found],
      ["Nodes/Node/Event", "Applications/Application/Services/Service/Partitions/Partition/Replicas/Replica/Event"]
    )
    assert.deepStrictEqual(value("/Services/App~Ledger/$/GetHealth")["UnhealthyEvaluations"], [])
  })

  it("decodes as the client reads it, everywhere", () => {
    decodes(Model.ClusterHealth, value("/$/GetClusterHealth"))
    decodes(Model.NodeHealth, value("/Nodes/_Node_4/$/GetHealth"))
    decodes(Model.ApplicationHealth, value("/Applications/App/$/GetHealth"))
    decodes(Model.ServiceHealth, value("/Services/App~Orders/$/GetHealth"))
    decodes(Model.PartitionHealth, value(`/Partitions/${P}/$/GetHealth`))
    decodes(Model.ReplicaHealth, value(`/Partitions/${P}/$/GetReplicas/9/$/GetHealth`))
  })

  it("is filtered by the bits of each filter, and counts unless told not to", () => {
    const count = (target: string, list: string) => (value(target)[list] as ReadonlyArray<unknown>).length
    const partition = `/Partitions/${P}/$/GetHealth`
    assert.strictEqual(count(partition, "ReplicaHealthStates"), 4)
    for (const [filter, expected] of [
      [0, 4],
      [1, 0],
      [2, 3],
      [4, 1],
      [8, 0],
      [6, 4],
      [65535, 4]
    ] as const) {
      assert.strictEqual(count(`${partition}?ReplicasHealthStateFilter=${filter}`, "ReplicaHealthStates"), expected)
    }
    assert.strictEqual(count(`${partition}?EventsHealthStateFilter=8`, "HealthEvents"), 1)
    assert.strictEqual(count(`${partition}?EventsHealthStateFilter=2`, "HealthEvents"), 0)
    assert.strictEqual(count("/Applications/App/$/GetHealth?ServicesHealthStateFilter=8", "ServiceHealthStates"), 1)
    assert.strictEqual(
      count("/Services/App~Ledger/$/GetHealth?PartitionsHealthStateFilter=2", "PartitionHealthStates"),
      3
    )
    assert.strictEqual(count("/$/GetClusterHealth?NodesHealthStateFilter=8", "NodeHealthStates"), 2)
    assert.deepStrictEqual(value(partition)["HealthStatistics"], {
      HealthStateCountList: [
        { EntityKind: "Replica", HealthStateCount: { OkCount: 3, WarningCount: 1, ErrorCount: 0 } }
      ]
    })
    assert.notProperty(value(`${partition}?ExcludeHealthStatistics=true`), "HealthStatistics")
    assert.strictEqual(refused(`${partition}?ReplicasHealthStateFilter=many`), "E_INVALIDARG")
  })

  it("of what is not there is 404 in the health store's own words", () => {
    for (const target of [
      "/Nodes/nope/$/GetHealth",
      "/Applications/nope/$/GetHealth",
      "/Services/App~nope/$/GetHealth",
      `/Partitions/${nil}/$/GetHealth`,
      `/Partitions/${P}/$/GetReplicas/11/$/GetHealth`,
      `/Partitions/${P}/$/GetReplicas/4/$/GetHealth`
    ]) {
      assert.strictEqual(refused(target), "FABRIC_E_HEALTH_ENTITY_NOT_FOUND", target)
    }
  })
})

describe("the cluster", () => {
  it("has a version and a manifest with every node and node type", () => {
    assert.deepStrictEqual(value("/$/GetClusterVersion"), { Version: "8.2.0.0" })
    const manifest = value("/$/GetClusterManifest")["Manifest"] as string
    assert.lengthOf(manifest.match(/<Node /g) ?? [], 11)
    assert.include(manifest, '<NodeType Name="NodeType0" />')
    assert.include(manifest, '<NodeType Name="InquorateNode" />')
    assert.include(manifest, 'NodeName="_Node_0" IPAddressOrFQDN="10.0.0.0" IsSeedNode="true" NodeTypeRef="NodeType0"')
  })
})
