/**
 * Nodes as the wire shows them, and the manifest that lists them. A node of a real cluster is up since this worker first
 * saw it so; times of which nothing is known are "never".
 */
import { nodeInstanceId } from "@inquorate/core/Topology"
import * as Health from "./FabricHealth.ts"
import type * as Model from "./FabricModel.ts"
import type { NodeStatusFilter } from "./FabricCall.ts"
import { formatTime } from "./FabricTime.ts"
import * as World from "./FabricWorld.ts"

// --- make ---

/** A node. */
export const nodeInfo = (world: World.World, node: World.Node): Model.NodeInfo => {
  const { facts } = node
  const up = World.isUp(node)
  const since = World.upSince(world, node)
  const seconds = String(Math.max(0, Math.floor((world.now - since) / 1000)))
  return {
    Name: node.name,
    IpAddressOrFQDN: facts?.address ?? node.members[0]?.address.replace(/:[0-9]+$/, "") ?? "",
    Type: facts?.type ?? nodeType,
    CodeVersion: World.runtimeVersion,
    ConfigVersion: "1.0",
    NodeStatus: nodeStatus(world, node),
    NodeUpTimeInSeconds: up ? seconds : "0",
    HealthState: Health.ofNode(world, node).state,
    IsSeedNode: World.isSeed(node),
    UpgradeDomain: facts?.upgradeDomain ?? node.name,
    FaultDomain: World.faultDomain(node),
    Id: { Id: node.id },
    InstanceId: nodeInstanceId(node.name, facts ?? undefined),
    NodeDeactivationInfo: deactivationInfo(world, node),
    IsStopped: World.isStopped(world, node),
    NodeDownTimeInSeconds: up ? "0" : seconds,
    NodeUpAt: formatTime(up ? since : (facts?.upAt ?? null)),
    NodeDownAt: formatTime(up ? (facts?.downAt ?? null) : since),
    NodeTags: [],
    IsNodeByNodeUpgradeInProgress: false,
    InfrastructurePlacementID: ""
  }
}

/** The status of a node: deactivated, or about to be, before up or down. */
const nodeStatus = (world: World.World, node: World.Node): Model.NodeInfo["NodeStatus"] => {
  const deactivation = world.deactivated.get(node.name)
  if (deactivation !== undefined) return deactivation.until === null ? "Disabling" : "Disabled"
  return World.isUp(node) ? "Up" : "Down"
}

/** True where the filter takes the node. None of ours is ever enabling, unknown or removed. */
export const takesNode = (filter: NodeStatusFilter, world: World.World, node: World.Node): boolean =>
  filter === "default" || filter === "all" || filter === nodeStatus(world, node).toLowerCase()

/** The manifest: the XML that a Service Fabric tool expects, with our nodes in it. */
export const clusterManifest = (world: World.World): string => {
  const infos = world.nodes.map((node) => nodeInfo(world, node))
  const types = [...new Set([...infos.map(({ Type }) => Type), ...(infos.length === 0 ? [nodeType] : [])])]
  const list = infos.map(
    (info) =>
      `<Node NodeName="${xml(info.Name)}" IPAddressOrFQDN="${xml(info.IpAddressOrFQDN)}" ` +
      `IsSeedNode="${info.IsSeedNode}" NodeTypeRef="${xml(info.Type)}" FaultDomain="${xml(info.FaultDomain)}" ` +
      `UpgradeDomain="${xml(info.UpgradeDomain)}" />`
  )
  return (
    '<?xml version="1.0" encoding="utf-8"?>' +
    '<ClusterManifest xmlns="http://schemas.microsoft.com/2011/01/fabric" Name="Inquorate" Version="1.0">' +
    `<NodeTypes>${types.map((type) => `<NodeType Name="${xml(type)}" />`).join("")}</NodeTypes>` +
    `<Infrastructure><Linux IsScaleMin="false"><NodeList>${list.join("")}</NodeList></Linux></Infrastructure>` +
    `<FabricSettings>${settings.map((name) => `<Section Name="${name}" />`).join("")}</FabricSettings>` +
    "</ClusterManifest>"
  )
}

/** Text as it stands in XML. */
export const xml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

// --- internal ---

const deactivationInfo = (
  world: World.World,
  node: World.Node
): NonNullable<Model.NodeInfo["NodeDeactivationInfo"]> => {
  const deactivation = world.deactivated.get(node.name)
  if (deactivation === undefined) {
    return {
      NodeDeactivationIntent: "Invalid",
      NodeDeactivationStatus: "None",
      NodeDeactivationTask: [],
      PendingSafetyChecks: []
    }
  }
  const { intent, operationId, until } = deactivation
  return {
    NodeDeactivationIntent: intent,
    NodeDeactivationStatus: until === null ? "SafetyCheckInProgress" : "Completed",
    NodeDeactivationTask: [
      {
        NodeDeactivationTaskId: { Id: operationId, NodeDeactivationTaskType: "Client" },
        NodeDeactivationIntent: intent,
        NodeDeactivationDescription:
          until === null
            ? "The members on the node are being stopped."
            : `The members on the node start by themselves at ${formatTime(until)} at the latest; Activate starts them at once.`
      }
    ],
    PendingSafetyChecks: []
  }
}

const nodeType = "InquorateNode"

/** The services that are there by the manifest; a tool shows the pages of those alone: no backups, no repairs. */
const settings = ["EventStoreService", "FaultAnalysisService", "Management"]
