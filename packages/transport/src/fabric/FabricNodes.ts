/**
 * Nodes as the wire shows them, and the manifest that lists them. A node of a real cluster is up since this worker
 * first saw it up. A time that nobody knows is "never".
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

/** The status of a node. A deactivation, even one that has only begun, comes before up and down. */
const nodeStatus = (world: World.World, node: World.Node): Model.NodeInfo["NodeStatus"] => {
  const deactivation = world.deactivated.get(node.name)
  if (deactivation !== undefined) return deactivation.until === null ? "Disabling" : "Disabled"
  return World.isUp(node) ? "Up" : "Down"
}

/** True if the filter takes the node. No node of ours is ever enabling, unknown or removed. */
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

/** Escapes text for XML. */
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

/** The services that the manifest names. A tool shows only their pages, so it shows no backups and no repairs. */
const settings = ["EventStoreService", "FaultAnalysisService", "Management"]
