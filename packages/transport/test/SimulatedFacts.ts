/** A simulated Service Fabric cluster as its browse calls see it: by hand, with one of everything and not all of it well. */
import * as Guid from "@inquorate/core/Guid"
import type { ClusterView } from "@inquorate/core/Operations"
import type { Member, NodeFacts, ReplicaStatus, Role, ServiceFacts, Topology } from "@inquorate/core/Topology"

export const at = 1_700_000_000_000

const node = (index: number, facts: Partial<NodeFacts> = {}): NodeFacts => ({
  name: `_Node_${index}`,
  address: `10.0.0.${index}`,
  type: "NodeType0",
  instanceId: String(133_000_000_000_000_000n + BigInt(index)),
  up: true,
  stopped: false,
  seed: index === 0,
  upgradeDomain: String(index),
  faultDomain: `fd:/${index}`,
  upAt: at - 60_000,
  downAt: null,
  ...facts
})

const replica = (index: number, role: Role, status: ReplicaStatus, id: string): Member => ({
  name: `r${index}`,
  node: `_Node_${index}`,
  address: `10.0.0.${index}:20001`,
  role,
  counts: true,
  up: status === "Ready",
  cuttable: "Always",
  process: null,
  processProblem: "",
  replica: { id, status }
})

const healthy = (base: number): ReadonlyArray<Member> =>
  [0, 1, 2].map((index) => replica(index, index === 0 ? "Primary" : "ActiveSecondary", "Ready", String(base + index)))

const group = (
  name: string,
  facts: Partial<ServiceFacts> & Pick<ServiceFacts, "name">,
  members: ReadonlyArray<Member> = healthy(10)
): Topology => ({
  cluster: "App",
  system: "simulated",
  group: name,
  partitionId: Guid.forPartition("App", name),
  observedAt: at,
  needed: 2,
  rule: "majority of 3",
  members,
  service: {
    typeName: `${name.split(".")[0]}Type`,
    kind: "Stateful",
    persisted: true,
    targetSize: 3,
    minSize: 2,
    key: { _tag: "Singleton" },
    status: "Ready",
    configurationVersion: "8589934592",
    dataLossVersion: "131",
    lastQuorumLoss: 0,
    ...facts
  }
})

export const lost = group("Orders", { name: "fabric:/App/Orders", status: "InQuorumLoss", lastQuorumLoss: 90_500 }, [
  replica(0, "Primary", "Ready", "9"),
  replica(1, "ActiveSecondary", "Down", "10"),
  replica(2, "ActiveSecondary", "Standby", "200"),
  replica(3, "IdleSecondary", "InBuild", "30"),
  replica(4, "IdleSecondary", "Dropped", "4")
])

export const ranged = [0, 1, 2].map((index) =>
  group(`Ledger.${index}`, {
    name: "fabric:/App/Ledger",
    key: { _tag: "Int64Range", low: String(index * 10), high: String(index * 10 + 9) }
  })
)

export const named = ["north", "south"].map((name) =>
  group(`Regions.${name}`, { name: "fabric:/App/Regions", persisted: false, key: { _tag: "Named", name } })
)

export const stateless = group("Web", {
  name: "fabric:/App/Web",
  kind: "Stateless",
  persisted: false,
  targetSize: 3,
  minSize: 1
})

export const simulated: ClusterView = {
  name: "App",
  system: "simulated",
  injector: "simulated",
  protected: false,
  maxHold: null,
  groups: [lost, ...ranged, ...named, stateless],
  application: {
    typeName: "AppType",
    typeVersion: "1.2.3",
    parameters: [{ key: "Colour", value: "blue" }]
  },
  nodes: [node(0), node(1), node(2), node(3), node(4, { up: false, stopped: true, downAt: at - 5000 })],
  problem: ""
}
