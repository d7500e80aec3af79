import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type ChaosParameters, readParameters } from "@inquorate/core/Chaos"
import { drawFaults, noteOf, type Sight, unhealthy, unknownTargets } from "@inquorate/core/ChaosFaults"
import { forPartition, type Guid } from "@inquorate/core/Guid"
import type { ClusterView } from "@inquorate/core/Operations"
import { isNodeRequest, isQuorumLoss } from "@inquorate/core/Request"
import type { Member, Topology } from "@inquorate/core/Topology"

const member = (node: string, index: number): Member => ({
  name: `m${index}`,
  node,
  address: "127.0.0.1:1",
  role: index === 0 ? "Primary" : "ActiveSecondary",
  counts: true,
  up: true,
  cuttable: "Always",
  process: null,
  processProblem: ""
})

const group = (cluster: string, name: string, members: ReadonlyArray<Member>, needed = 2): Topology => ({
  cluster,
  system: "simulated",
  group: name,
  partitionId: forPartition(cluster, name),
  observedAt: 0,
  needed,
  rule: "majority",
  members
})

const cluster = (name: string, groups: ReadonlyArray<Topology>, over: Partial<ClusterView> = {}): ClusterView => ({
  name,
  system: "simulated",
  injector: "kill",
  protected: false,
  maxHold: null,
  groups,
  problem: "",
  ...over
})

const own = (name: string): ClusterView =>
  cluster(name, [
    group(
      name,
      "kv",
      [0, 1, 2].map((index) => member(`${name}-m${index}`, index))
    )
  ])

const ask = (input: object = {}): ChaosParameters => Result.getOrThrow(readParameters(input))

const see = (clusters: ReadonlyArray<ClusterView>, over: Partial<Sight> = {}): Sight => ({
  clusters,
  restartable: new Set(clusters.map(({ name }) => name)),
  busy: new Map(),
  ...over
})

const runId = "00000000-0000-4000-8000-000000000001"
const draw = (sight: Sight, parameters = ask({ MaxConcurrentFaults: 10 }), iteration = 0, id: Guid = runId) =>
  drawFaults(sight, { runId: id, iteration, at: 1000, parameters })

const allow = { Context: { Map: { "inquorate.quorumLoss": "allow" } } }

describe("the faults of an iteration", () => {
  it("follow from the run and the iteration, each with ids of its own", () => {
    const sight = see(["a", "b", "c", "d"].map(own))
    assert.deepStrictEqual(draw(sight), draw(sight))
    const ids = [0, 1, 2, 3].flatMap((iteration) =>
      draw(sight, ask({ MaxConcurrentFaults: 4 }), iteration).flatMap(({ steps }) =>
        steps.map(({ operationId }) => operationId)
      )
    )
    assert.strictEqual(new Set(ids).size, 4 * 4 * 2)
    const texts = new Set([0, 1, 2, 3, 4, 5].map((iteration) => draw(sight, ask(), iteration)[0]!.text.slice(40)))
    assert.isAbove(texts.size, 1)
  })

  it("are as many as may be, one for each group, the later ones later", () => {
    const sight = see(["a", "b", "c"].map(own))
    const two = draw(sight, ask({ MaxConcurrentFaults: 2, WaitTimeBetweenFaultsInSeconds: 7 }))
    assert.deepStrictEqual(
      two.map(({ startAt }) => startAt),
      [1000, 8000]
    )
    assert.strictEqual(draw(sight).length, 3)
    assert.strictEqual(draw(sight, ask({ MaxConcurrentFaults: 0 })).length, 0)
  })

  it("restart a node by its stop and its start, in the reference's words", () => {
    const [one] = draw(see([own("a")]))
    assert.match(one!.text, /^ID:\{[0-9a-f-]{36}\}:ActionType: RestartReplica, ServiceName: fabric:\/a\/kv, /)
    assert.deepStrictEqual(
      one!.steps.map(({ request }) => isNodeRequest(request) && request.transition),
      ["Stop", "Start"]
    )
  })

  it("leave out what is protected, busy, sick, not restartable, or would not survive", () => {
    const kv = own("a").groups[0]!
    const nothing: ReadonlyArray<Sight> = [
      see([{ ...own("a"), protected: true }]),
      see([{ ...own("a"), problem: "it does not answer" }]),
      see([own("a")], { restartable: new Set() }),
      see([own("a")], { busy: new Map([[kv.partitionId, runId]]) }),
      see([{ ...own("a"), maxHold: 299_999 }]),
      see([cluster("a", [{ ...kv, needed: 3 }])]),
      see([cluster("a", [{ ...kv, members: kv.members.with(2, { ...kv.members[2]!, up: false }) }])]),
      see([cluster("a", [{ ...kv, members: kv.members.map((one) => ({ ...one, node: "host" })) }])])
    ]
    for (const sight of nothing) assert.deepStrictEqual(draw(sight), [])
    const sparing = see([
      cluster("a", [{ ...kv, members: kv.members.with(0, { ...kv.members[0]!, cuttable: "OnlyInAllReplicas" }) }])
    ])
    for (const iteration of Array.from({ length: 20 }, (_, n) => n)) {
      const request = draw(sparing, ask(), iteration)[0]!.steps[0]!.request
      assert.isTrue(isNodeRequest(request) && request.nodeName !== "a-m0")
    }
  })

  it("lose a quorum only where the context allows it", () => {
    const sight = see([own("a")], { restartable: new Set() })
    assert.deepStrictEqual(draw(sight), [])
    const [one] = draw(sight, ask(allow))
    assert.isTrue(isQuorumLoss(one!.steps[0]!.request))
    assert.match(one!.text, /ActionType: InvokeQuorumLoss/)
  })

  it("keep to the filter: nodes by their type, replicas by their application", () => {
    const shared = (name: string) =>
      cluster(name, [
        group(name, "x", ["n0", "n1", "n2"].map(member)),
        group(name, "y", ["n0", "n1", "n2"].map(member))
      ])
    const sight = see([shared("a"), own("b")])
    const of = (filter: object) =>
      draw(sight, ask({ MaxConcurrentFaults: 10, ChaosTargetFilter: filter })).map(({ text }) => text.slice(41))
    assert.isTrue(of({ ApplicationInclusionList: ["fabric:/b"] }).every((text) => text.includes("fabric:/b/kv")))
    assert.deepStrictEqual(of({ ApplicationInclusionList: ["fabric:/a"] }), [])
    assert.strictEqual(of({ NodeTypeInclusionList: ["InquorateNode"] }).length, 2)
    assert.isUndefined(
      unknownTargets(ask({ ChaosTargetFilter: { NodeTypeInclusionList: ["InquorateNode"] } }), sight.clusters)
    )
    assert.match(unknownTargets(ask({ ChaosTargetFilter: { NodeTypeInclusionList: ["X"] } }), sight.clusters)!, /"X"/)
    assert.match(
      unknownTargets(ask({ ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/c"] } }), sight.clusters)!,
      /fabric:\/c.*fabric:\/a, fabric:\/b/
    )
  })

  const Size = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))
  const Node = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  const Groups = Schema.Array(Schema.Struct({ needed: Size, nodes: Schema.Array(Node), protected: Schema.Boolean }))

  it.prop(
    "never meet in a group, never take a quorum, never touch what is protected",
    { groups: Groups, iteration: Schema.Int },
    ({ groups, iteration }) => {
      const clusters = groups.map((one, index) =>
        cluster(
          `c${index}`,
          [
            group(
              `c${index}`,
              "g",
              [...new Set(one.nodes)].map((node, at) => member(`n${node}`, at)),
              one.needed
            )
          ],
          { protected: one.protected }
        )
      )
      const faults = draw(see(clusters), ask({ MaxConcurrentFaults: 10 }), iteration)
      const downAt = new Set(
        faults.map(({ steps: [first] }) => (isNodeRequest(first!.request) ? first!.request.nodeName : ""))
      )
      for (const {
        groups: [one],
        protected: isProtected
      } of clusters) {
        const gone = one!.members.filter(({ node }) => downAt.has(node))
        if (isProtected) assert.strictEqual(gone.length, 0)
        assert.isAtMost(gone.length, 1)
        if (gone.length > 0) assert.isAtLeast(one!.members.length - gone.length, one!.needed)
      }
    }
  )
})

describe("healthy clusters", () => {
  const kv = own("a").groups[0]!
  const sick = (down: number): ClusterView =>
    cluster("a", [{ ...kv, members: kv.members.map((one, index) => ({ ...one, up: index >= down })) }])

  it("give no reason, sick ones say which and why", () => {
    assert.deepStrictEqual(unhealthy(see([own("a")]), ask()), [])
    assert.deepStrictEqual(unhealthy(see([sick(3)]), ask()), [
      "The application fabric:/a is in Error: fabric:/a/kv has no quorum.",
      "The node a-m0 is down.",
      "The node a-m1 is down.",
      "The node a-m2 is down."
    ])
    assert.match(unhealthy(see([own("a")], { busy: new Map([[kv.partitionId, runId]]) }), ask())[0]!, /busy with/)
    assert.match(unhealthy(see([{ ...own("a"), problem: "It is silent." }]), ask())[0]!, /in Warning: It is silent\./)
  })

  it("are judged by the policy, shares rounded up", () => {
    const policy = (over: object) => ask({ ClusterHealthPolicy: { MaxPercentUnhealthyNodes: 10, ...over } })
    const one = cluster("a", [{ ...kv, members: kv.members.with(2, { ...kv.members[2]!, up: false }) }])
    assert.deepStrictEqual(unhealthy(see([one]), policy({})), [])
    assert.match(unhealthy(see([one]), policy({ ConsiderWarningAsError: true }))[0]!, /in Warning/)
    const typed = { ApplicationTypeHealthPolicyMap: [{ Key: "simulated", Value: 100 }] }
    assert.deepStrictEqual(unhealthy(see([one]), policy({ ConsiderWarningAsError: true, ...typed })), [])
  })

  it("are those that may be broken: protected ones and those filtered out are not asked", () => {
    const lost = { ...sick(3), name: "z", protected: true }
    const reasons = unhealthy(see([own("b"), lost]), ask())
    assert.deepStrictEqual(
      reasons.filter((text) => text.includes("fabric:/z")),
      []
    )
  })

  it("say once that nothing is moved, and why nothing is drawn", () => {
    const sight = see([own("a")], { restartable: new Set() })
    assert.match(noteOf(sight, ask(), 0, 0), /No cluster has a mechanism.*Move replica faults are not applicable/)
    assert.notInclude(noteOf(sight, ask(), 0, 1), "Move")
    assert.strictEqual(noteOf(sight, ask({ EnableMoveReplicaFaults: false }), 1, 0), "")
  })
})

describe("the faults of a simulated cluster", () => {
  const facts = (name: string, kind: "Stateful" | "Stateless", persisted: boolean) => ({
    service: {
      name: `fabric:/a/${name}`,
      typeName: "T",
      kind,
      persisted,
      targetSize: 3,
      minSize: 1,
      key: { _tag: "Singleton" as const },
      status: "Ready" as const,
      configurationVersion: "1",
      dataLossVersion: "1",
      lastQuorumLoss: 0
    }
  })
  const on = ["n0", "n1", "n2"].map(member)
  // Every node carries replicas of all three, so that none can be stopped without more than one of them.
  const shop = cluster("a", [
    { ...group("a", "kept", on), ...facts("kept", "Stateful", true) },
    { ...group("a", "memory", on), ...facts("memory", "Stateful", false) },
    { ...group("a", "web", on, 1), ...facts("web", "Stateless", false) }
  ])
  const sight = see([shop], { removable: new Set(["a"]) })
  const only = ask({ MaxConcurrentFaults: 1, ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/a"] } })
  const drawn = (of: Sight) =>
    Array.from({ length: 60 }, (_, iteration) => draw(of, only, iteration)).flatMap((faults) => {
      assert.lengthOf(faults, 1)
      return faults.map(({ steps, text }) => {
        const { request } = steps[0]!
        assert(!isNodeRequest(request) && "member" in request && request.member !== undefined, text)
        return `${/ActionType: (\w+)/.exec(text)![1]} ${request.kind} ${request.serviceName}`
      })
    })

  it("are single replicas, restarted and removed, where a filter leaves out the nodes", () => {
    assert.deepStrictEqual([...new Set(drawn(sight))].toSorted(), [
      "RemoveReplica PartitionDataLoss fabric:/a/kept",
      "RemoveReplica PartitionDataLoss fabric:/a/memory",
      "RemoveReplica PartitionDataLoss fabric:/a/web",
      "RestartReplica PartitionRestart fabric:/a/kept"
    ])
  })

  it("remove nothing where data may not go, and touch no group that would lose its quorum", () => {
    assert.deepStrictEqual([...new Set(drawn(see([shop])))], ["RestartReplica PartitionRestart fabric:/a/kept"])
    const [kept] = shop.groups
    const thin = {
      ...kept!,
      members: kept!.members.map((one) => ({ ...one, counts: one.role === "Primary" })),
      needed: 1
    }
    for (const { text } of draw(see([cluster("a", [thin, shop.groups[2]!])]), only)) assert.notInclude(text, "m0")
  })
})
