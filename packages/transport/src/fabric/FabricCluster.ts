/**
 * The wire's answers about a cluster that nobody upgrades, balances or repairs: the progress of upgrades is complete,
 * loads have no metrics, and the failover manager's manager is on a node.
 */
import * as Nodes from "./FabricNodes.ts"
import * as Services from "./FabricServices.ts"
import { formatTime } from "./FabricTime.ts"
import * as World from "./FabricWorld.ts"

// --- make ---

/** The upgrade of the cluster, which is always over. */
export const clusterUpgrade = (world: World.World) => ({
  CodeVersion: World.runtimeVersion,
  ConfigVersion: "1.0",
  ...upgraded(world)
})

/** The upgrade of an application, which is always over. */
export const applicationUpgrade = (world: World.World, application: World.Application) => ({
  Name: application.name,
  TypeName: Services.applicationType(application),
  TargetApplicationTypeVersion: Services.applicationVersion(application),
  UpgradeStatusDetails: "",
  ...upgraded(world)
})

/** The load of the cluster. No service reports one. */
export const clusterLoad = () => ({
  LastBalancingStartTimeUtc: formatTime(null),
  LastBalancingEndTimeUtc: formatTime(null),
  LoadMetricInformation: []
})

/** The load of a node. */
export const nodeLoad = ({ name }: World.Node) => ({ NodeName: name, NodeLoadMetricInformation: [] })

/** The load of an application. Nothing keeps it to certain nodes. */
export const applicationLoad = (world: World.World, application: World.Application) => ({
  Id: Services.nameInfo(application.name, world.version).Id,
  MinimumNodes: "0",
  MaximumNodes: "0",
  NodeCount: "0",
  ApplicationLoadMetricInformation: []
})

/** The load of a partition. */
export const partitionLoad = (partitionId: string) => ({
  PartitionId: partitionId,
  PrimaryLoadMetricReports: [],
  SecondaryLoadMetricReports: [],
  AuxiliaryLoadMetricReports: []
})

/** The node of the failover manager's manager: the first node that is up, or `undefined` if no node is up. */
export const failoverManagerManager = (world: World.World) => {
  const node = world.nodes.find(World.isUp) ?? world.nodes[0]
  if (node === undefined) return undefined
  const { Id, InstanceId, Name } = Nodes.nodeInfo(world, node)
  return { NodeName: Name, NodeId: Id, NodeInstanceId: InstanceId }
}

// --- internal ---

const upgraded = (world: World.World) => {
  const domains = [...new Set(world.nodes.map((node) => node.facts?.upgradeDomain ?? node.name))].sort()
  const nothing = { DomainName: "", NodeUpgradeProgressList: [] }
  return {
    UpgradeDomains: domains.map((Name) => ({ Name, State: "Completed" })),
    UpgradeUnits: [],
    UpgradeState: "RollingForwardCompleted",
    NextUpgradeDomain: "",
    RollingUpgradeMode: "Monitored",
    UpgradeDurationInMilliseconds: "PT0H0M0S",
    UpgradeDomainDurationInMilliseconds: "PT0H0M0S",
    UnhealthyEvaluations: [],
    CurrentUpgradeDomainProgress: nothing,
    CurrentUpgradeUnitsProgress: { DomainName: "", NodeUpgradeProgressList: [] },
    StartTimestampUtc: formatTime(null),
    FailureTimestampUtc: formatTime(null),
    FailureReason: "None",
    UpgradeDomainProgressAtFailure: nothing,
    IsNodeByNode: false
  }
}
