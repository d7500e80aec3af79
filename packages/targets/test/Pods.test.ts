/**
 * Members that are pods: which of them are meant, how they are reached and found, and who would act on their silence.
 * Also what follows when one comes back elsewhere, or when its API is silent.
 */
import { type Host, HostError } from "@inquorate/core/Host"
import type { Pod } from "@inquorate/core/Pod"
import type { Target } from "@inquorate/core/Target"
import type { Topology } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { etcd } from "../src/Etcd.ts"
import * as Pods from "../src/Pods.ts"

const settings: Pods.PodsSettings = { host: "prod", namespace: "db", statefulSet: "etcd" }

const podOf = (index: number, changes: Partial<Pod> = {}): Pod => ({
  name: `etcd-${index}`,
  namespace: "db",
  host: `prod/node-${index}`,
  address: `10.0.0.${index}`,
  containers: [{ name: "etcd", id: String(index).repeat(64), liveness: null }],
  owner: "StatefulSet/etcd",
  labels: {},
  ...changes
})

const bare: Topology = {
  cluster: "orders",
  system: "etcd",
  group: "raft",
  partitionId: "00000000-0000-5000-8000-000000000000",
  observedAt: 0,
  needed: 2,
  rule: "majority of 3",
  members: []
}

/** A target that shows nothing but the topology, and says when it is closed. */
const shown =
  (opened: Array<ReadonlyArray<Pods.PodMember>>, closed: Array<number>) => (members: ReadonlyArray<Pods.PodMember>) =>
    Effect.acquireRelease(
      Effect.sync((): Target => {
        opened.push(members)
        return {
          system: "etcd",
          cluster: "orders",
          discover: Effect.succeed([bare]),
          probe: () => Effect.die("nobody probes it"),
          survivorsSpeak: true,
          survivorsSpeakAfter: 4321,
          recoveryBudget: 1234,
          recoveryWriteTimeout: 1
        }
      }),
      () => Effect.sync(() => void closed.push(opened.indexOf(members)))
    )

const world = (answer: () => ReadonlyArray<Pod> | HostError) => {
  const entered: Array<string> = []
  const hosts = new Map<string, Host>()
  hosts.set("prod", {
    label: "prod",
    run: () => Effect.die("it has no shell"),
    pods: (namespace, selector) =>
      Effect.suspend(() => {
        assert.deepStrictEqual([namespace, selector], ["db", ""])
        const pods = answer()
        return pods instanceof HostError ? Effect.fail(pods) : Effect.succeed(pods)
      })
  })
  for (const index of [0, 1, 2, 7]) {
    const label = `prod/node-${index}`
    const run: Host["run"] = () =>
      Effect.sync(() => {
        entered.push(label)
        return { stdout: "", stderr: "", exitCode: 0 }
      })
    hosts.set(label, { label, run })
  }
  return { hosts, entered }
}

describe("members that are pods", () => {
  it.effect(
    "are those of the StatefulSet, reached by their addresses and found by their containers of the moment",
    () =>
      Effect.gen(function* () {
        let pods = [podOf(1), podOf(0), podOf(2), podOf(7, { owner: "StatefulSet/other" })]
        const opened: Array<ReadonlyArray<Pods.PodMember>> = []
        const { entered, hosts } = world(() => pods)
        const target = yield* Pods.follow(
          "orders",
          { pods: settings, port: 2379, system: "etcd" },
          hosts,
          shown(opened, [])
        )
        yield* target.discover
        const members = opened[0]!
        assert.deepStrictEqual(
          members.map(({ address, host, name }) => [name, address, host]),
          [
            ["etcd-0", "10.0.0.0:2379", "prod/node-0"],
            ["etcd-1", "10.0.0.1:2379", "prod/node-1"],
            ["etcd-2", "10.0.0.2:2379", "prod/node-2"]
          ]
        )
        assert.deepStrictEqual(members[1]!.pod().words, ["in", "cri", "1".repeat(64), "", ""])
        assert.deepStrictEqual(entered.sort(), ["prod/node-0", "prod/node-1", "prod/node-2"])
        assert.deepStrictEqual([target.survivorsSpeakAfter, target.recoveryBudget], [4321, 1234])
        // A container that was started again is the same member in another one.
        pods = [podOf(0), podOf(1, { containers: [{ name: "etcd", id: "e".repeat(64), liveness: null }] }), podOf(2)]
        yield* target.discover
        assert.lengthOf(opened, 1)
        assert.strictEqual(members[1]!.pod().words[2], "e".repeat(64))
        assert.lengthOf(entered, 3)
      }).pipe(Effect.scoped)
  )

  it.effect("are asked anew where one came back elsewhere, and closed with their scope at the latest", () =>
    Effect.gen(function* () {
      let pods = [podOf(0), podOf(1), podOf(2)]
      const opened: Array<ReadonlyArray<Pods.PodMember>> = []
      const closed: Array<number> = []
      const { hosts } = world(() => pods)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const target = yield* Pods.follow(
            "orders",
            { pods: { ...settings, address: "{pod}.etcd.db.svc", port: 12_379 }, port: 2379, system: "etcd" },
            hosts,
            shown(opened, closed)
          )
          yield* target.discover
          assert.strictEqual(opened[0]![2]!.address, "etcd-2.etcd.db.svc:12379")
          pods = [podOf(0), podOf(1), podOf(2, { host: "prod/node-7" })]
          yield* target.discover
          assert.strictEqual(opened[1]![2]!.host, "prod/node-7")
          assert.deepStrictEqual(closed, [], "a probe may still ask the former members")
        })
      )
      assert.deepStrictEqual(closed.sort(), [0, 1])
    })
  )

  it.effect("are those that were last seen while the API is silent, and nobody where it never spoke", () =>
    Effect.gen(function* () {
      let answer: ReadonlyArray<Pod> | HostError = new HostError({
        host: "prod",
        reason: "Unreachable",
        detail: "kubectl: no"
      })
      const { hosts } = world(() => answer)
      const target = yield* Pods.follow("orders", { pods: settings, port: 2379, system: "etcd" }, hosts, shown([], []))
      assert.strictEqual((yield* Effect.flip(target.discover)).detail, "kubectl: no")
      answer = []
      assert.match((yield* Effect.flip(target.discover)).detail, /no pod of StatefulSet etcd is in namespace db/)
      const silence = (answer = new HostError({ host: "prod", reason: "LostAnswer", detail: "silent" }))
      answer = [podOf(0), podOf(1), podOf(2)]
      yield* target.discover
      answer = silence
      assert.lengthOf(yield* target.discover, 1)
    }).pipe(Effect.scoped)
  )

  it("are watched by kubelets, the ones that are left alone too, unless the probe only connects", () => {
    const probed = (index: number, by: string) =>
      podOf(index, { containers: [{ name: "etcd", id: null, liveness: { by, failures: 3, period: 10_000 } }] })
    const { supervisors = [] } = Pods.beside(
      bare,
      "etcd",
      [probed(0, "httpGet"), probed(1, "exec"), probed(2, "tcpSocket")],
      settings
    )
    assert.deepStrictEqual(
      supervisors.map(({ patience, reaction, watches }) => [watches, patience, reaction]),
      [
        ["etcd-0", 20_000, "RestartsMember"],
        ["etcd-1", 20_000, "RestartsMember"]
      ]
    )
    assert.match(supervisors[0]!.source, /liveness probe of pod db\/etcd-0 \(httpGet, 3 failures, every 10 s\)/)
  })

  it("name their operator, which is refused where it rebuilds a cluster from one survivor", () => {
    const owned = (owner: string) => Pods.beside(bare, "etcd", [podOf(0, { owner })], settings)
    assert.match(owned("postgresql.cnpg.io/Cluster/db").warnings![0]!, /belong to Cluster db .* may act on the loss/)
    const { supervisors = [] } = owned("etcd.database.coreos.com/EtcdCluster/orders")
    assert.deepStrictEqual(
      supervisors.map(({ patience, reaction }) => [patience, reaction]),
      [[0, "DestroysData"]]
    )
  })

  it("that are the API's own store can only be lifted by the deadline for sure, and the plan says so", () => {
    const own = podOf(0, { namespace: "kube-system", labels: { component: "etcd" }, owner: "Node/one" })
    assert.match(Pods.beside(bare, "etcd", [own], settings).warnings![0]!, /only the deadline is sure to lift/)
    assert.isUndefined(Pods.beside(bare, "postgres", [own], settings).warnings)
    assert.isUndefined(Pods.beside(bare, "etcd", [podOf(0)], settings).warnings)
  })

  it("are configured in place of members, by a StatefulSet or a selector", () => {
    const decode = (value: unknown) => Schema.decodeUnknownResult(etcd.config, { onExcessProperty: "error" })(value)
    const pods = { host: "prod", namespace: "db", statefulSet: "etcd" }
    assert.isTrue(Result.isSuccess(decode({ pods })))
    const wrong: ReadonlyArray<readonly [unknown, RegExp]> = [
      [{}, /Missing key/],
      [{ pods, members: [{ name: "m0", address: "127.0.0.1:2379" }] }, /Expected members or pods, not both/],
      [{ pods: { host: "prod", namespace: "db" } }, /Expected statefulSet or selector, one of the two/],
      [{ pods: { ...pods, selector: "app=etcd" } }, /Expected statefulSet or selector, one of the two/],
      [{ pods: { ...pods, namespace: "--all" } }, /a namespace's name/]
    ]
    for (const [value, words] of wrong) {
      const decoded = decode(value)
      assert.match(Result.isFailure(decoded) ? decoded.failure.message : "", words)
    }
  })
})
