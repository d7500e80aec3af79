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
import { postgres } from "../src/Postgres.ts"

const settings: Pods.PodsSettings = { host: "prod", namespace: "db", statefulSet: "etcd" }

const podOf = (index: number, changes: Partial<Pod> = {}): Pod => ({
  name: `etcd-${index}`,
  namespace: "db",
  host: `prod/node-${index}`,
  address: `10.0.0.${index}`,
  containers: [{ name: "etcd", id: String(index).repeat(64), liveness: null, readiness: null }],
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

const member = (name: string): Topology["members"][number] => ({
  name,
  role: "ActiveSecondary",
  counts: true,
  up: true,
  address: "",
  node: name,
  cuttable: "Always",
  process: null,
  processProblem: ""
})

const emptyTarget: Omit<Target, "discover"> = {
  system: "etcd",
  cluster: "orders",
  probe: () => Effect.die("nobody probes it"),
  survivorsSpeak: true,
  survivorsSpeakAfter: 4321,
  recoveryBudget: 1234,
  recoveryWriteTimeout: 1
}

/** A target that shows nothing but the topology, and says when it is closed. */
const shown =
  (opened: Array<ReadonlyArray<Pods.PodMember>>, closed: Array<number>) => (members: ReadonlyArray<Pods.PodMember>) =>
    Effect.acquireRelease(
      Effect.sync((): Target => {
        opened.push(members)
        return { ...emptyTarget, discover: Effect.succeed([bare]) }
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
        pods = [
          podOf(0),
          podOf(1, { containers: [{ name: "etcd", id: "e".repeat(64), liveness: null, readiness: null }] }),
          podOf(2)
        ]
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
      podOf(index, {
        containers: [{ name: "etcd", id: null, liveness: { by, failures: 3, period: 10_000 }, readiness: null }]
      })
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

  const told = (changes: Partial<Pod>, system = "postgres") => {
    const { supervisors = [], warnings = [] } = Pods.beside(
      bare,
      system,
      [0, 1, 2].map((index) => podOf(index, changes)),
      {}
    )
    return { supervisors, warnings }
  }

  // The labels that each operator's own source puts on its pods.
  const rows: ReadonlyArray<readonly [string, Partial<Pod>, Array<Array<number | string>>, RegExp]> = [
    [
      "the etcd-operator of CoreOS, by its resource",
      { owner: "etcd.database.coreos.com/EtcdCluster/orders" },
      [[0, "DestroysData", "EtcdCluster orders"]],
      /etcd-operator of CoreOS, which removes what is left .*github\.com\/coreos\/etcd-operator/
    ],
    [
      "the etcd-operator of CoreOS, by its labels",
      { owner: null, labels: { app: "etcd", etcd_cluster: "orders", etcd_node: "orders-0000" } },
      [[0, "DestroysData", "orders"]],
      /etcd-operator of CoreOS/
    ],
    [
      "the etcd-operator of etcd-io, by its resource",
      { owner: "operator.etcd.io/EtcdCluster/orders", labels: { app: "orders", controller: "orders" } },
      [[60_000, "DestroysData", "EtcdCluster orders"]],
      /rebuilds a cluster from one survivor by --force-new-cluster/
    ],
    [
      "the etcd-operator of etcd-io, by its labels on the pods of a StatefulSet",
      { labels: { app: "orders", controller: "orders" } },
      [[60_000, "DestroysData", "orders"]],
      /rebuilds a cluster from one survivor/
    ],
    [
      "etcd-druid, by who manages the pods",
      { labels: { "app.kubernetes.io/managed-by": "etcd-druid", "app.kubernetes.io/part-of": "main" } },
      [],
      /etcd-druid, which leaves a lost quorum to a person/
    ],
    [
      "the postgres-operator of Zalando, by its labels",
      { labels: { application: "spilo", "cluster-name": "orders", "spilo-role": "replica" } },
      [],
      /postgres-operator of Zalando, which leaves a lost quorum to the Patroni in its pods/
    ],
    [
      "PGO of Crunchy Data, by its labels",
      { labels: { "postgres-operator.crunchydata.com/cluster": "orders" } },
      [],
      /PGO of Crunchy Data, or of Percona's .*, which leaves a lost quorum to the Patroni in its pods/
    ],
    [
      "CloudNativePG without a readiness probe",
      { owner: "postgresql.cnpg.io/Cluster/orders", labels: { "cnpg.io/cluster": "orders" } },
      [],
      /CloudNativePG, which takes standbys that are not ready out of synchronous_standby_names/
    ]
  ]
  for (const [who, changes, supervisors, warning] of rows) {
    it(`are known to be those of ${who}, and the plan says what it does and where that is written`, () => {
      const seen = told(changes)
      assert.deepStrictEqual(
        seen.supervisors.map(({ patience, reaction, watches }) => [patience, reaction, watches]),
        supervisors
      )
      for (const { source } of seen.supervisors) assert.match(source, / \(it .*: https:\/\/\S+\)$/)
      assert.lengthOf(seen.warnings, 1)
      assert.match(seen.warnings[0]!, warning)
      assert.match(seen.warnings[0]!, /\(https:\/\/\S+\)$/)
    })
  }

  it("are left behind by CloudNativePG once the kubelet calls a member unready, whichever is the first", () => {
    const readiness = (failures: number, by = "httpGet") =>
      podOf(failures, {
        owner: "postgresql.cnpg.io/Cluster/orders",
        containers: [{ name: "postgres", id: null, liveness: null, readiness: { by, failures, period: 10_000 } }]
      })
    const { supervisors = [] } = Pods.beside(
      bare,
      "postgres",
      [readiness(4), readiness(3), readiness(1, "tcpSocket")],
      {}
    )
    assert.deepStrictEqual(
      supervisors.map(({ patience, reaction, watches }) => [patience, reaction, watches]),
      [[20_000, "EmptiesQuorum", "Cluster orders"]]
    )
  })

  const durability = (resource: unknown) =>
    Effect.gen(function* () {
      const pods = [0, 1, 2].map((index) =>
        podOf(index, {
          owner: "postgresql.cnpg.io/Cluster/orders",
          containers: [
            { name: "postgres", id: null, liveness: null, readiness: { by: "httpGet", failures: 3, period: 10_000 } }
          ]
        })
      )
      const { hosts } = world(() => pods)
      const asked: Array<ReadonlyArray<string>> = []
      hosts.set("prod", {
        ...hosts.get("prod")!,
        resource: (...words) =>
          Effect.suspend(() => {
            asked.push(words)
            return resource instanceof HostError ? Effect.fail(resource) : Effect.succeed(resource)
          })
      })
      const primary = { ...bare, members: [{ ...member("etcd-0"), role: "Primary" as const }, member("etcd-1")] }
      const target = yield* Pods.follow(
        "orders",
        { pods: { host: "prod", namespace: "db", selector: "" }, port: 5432, system: "postgres" },
        hosts,
        () => Effect.succeed({ ...emptyTarget, discover: Effect.succeed([primary]) })
      )
      const [topology] = yield* target.discover
      assert.deepStrictEqual(asked, [["clusters.postgresql.cnpg.io", "db", "orders"]])
      return {
        supervisors: (topology!.supervisors ?? []).map(({ patience, reaction, watches }) => [
          watches,
          reaction,
          patience
        ]),
        source: topology!.supervisors?.[0]?.source,
        warning: topology!.warnings![0]!
      }
    }).pipe(Effect.scoped)
  const spec = (synchronous?: object, instances = 3) => ({
    spec: { instances, postgresql: synchronous === undefined ? {} : { synchronous: { method: "any", ...synchronous } } }
  })
  const emptied = [["Cluster orders", "EmptiesQuorum", 20_000]]

  it.effect.each([
    ["by default", spec({ number: 1 })],
    ["where it is required", spec({ number: 1, dataDurability: "required" })],
    ["with an upper limit that leaves nobody out", spec({ dataDurability: "required", maxStandbyNamesFromCluster: 2 })]
  ] as const)("stay in CloudNativePG's list %s, and only the primary's silence rouses it", ([, resource]) =>
    Effect.gen(function* () {
      const { source, supervisors, warning } = yield* durability(resource)
      assert.deepStrictEqual(supervisors, [["etcd-0", "DemotesPrimary", 20_000]])
      assert.match(source!, /leaves standbys .* \(dataDurability: required\), and fails over/)
      assert.match(warning, /dataDurability: required.*https:/)
    })
  )

  it.effect.each([
    ["preferred", spec({ dataDurability: "preferred" }), /out of .* \(dataDurability: preferred\)/],
    ["no synchronous", spec(), /out of .* \(its cluster has no postgresql\.synchronous\)/],
    [
      "a short list",
      spec({ maxStandbyNamesFromCluster: 1 }),
      /in the place of others \(maxStandbyNamesFromCluster: 1\)/
    ],
    ["an unknown word", spec({ dataDurability: "perhaps" }), /was not read: it is not of a form that is known/],
    ["no such cluster", null, /was not read: there is no clusters\.postgresql\.cnpg\.io orders in namespace db/],
    [
      "no right to look",
      new HostError({ host: "prod", reason: "Unreachable", detail: "kubectl: Forbidden" }),
      /unless dataDurability is required, .*; clusters\.postgresql\.cnpg\.io was not read: kubectl: Forbidden/
    ]
  ] as const)(
    "are left behind by CloudNativePG with %s, and the plan says by what it knows that",
    ([, resource, words]) =>
      Effect.gen(function* () {
        const { source, supervisors, warning } = yield* durability(resource)
        assert.deepStrictEqual(supervisors, emptied)
        assert.match(source!, words)
        assert.match(warning, words)
      })
  )

  it("name an operator that nobody knows, by what owns them or by who is said to manage them", () => {
    const owned = told({ owner: "etcd.aenix.io/EtcdCluster/orders" })
    assert.match(owned.warnings[0]!, /belong to EtcdCluster orders \(etcd\.aenix\.io\), .* may act on the loss/)
    const managed = told({ labels: { "app.kubernetes.io/managed-by": "some-operator" } })
    assert.match(managed.warnings[0]!, /managed by some-operator, which may act on the loss/)
    assert.isEmpty(told({ labels: { "app.kubernetes.io/managed-by": "Helm", app: "etcd" } }).warnings)
    assert.isEmpty(told({ labels: { app: "etcd", controller: "helm" } }).warnings)
    assert.isEmpty(told({ labels: { controller: "etcd" } }).warnings)
  })

  it("that are the API's own store can only be lifted by the deadline for sure, and the plan says so", () => {
    const own = podOf(0, { namespace: "kube-system", labels: { component: "etcd" }, owner: "Node/one" })
    assert.match(Pods.beside(bare, "etcd", [own], settings).warnings![0]!, /only the deadline is sure to lift/)
    assert.isUndefined(Pods.beside(bare, "postgres", [own], settings).warnings)
    assert.isUndefined(Pods.beside(bare, "etcd", [podOf(0)], settings).warnings)
  })

  it.each([etcd, postgres])(
    "are configured in place of members of $system, by a StatefulSet or a selector",
    (module) => {
      const login = module === postgres ? { user: "inquorate", database: "orders" } : {}
      const decode = (value: object) =>
        Schema.decodeUnknownResult(module.config, { onExcessProperty: "error" })({ ...login, ...value })
      const pods = { host: "prod", namespace: "db", statefulSet: "etcd" }
      assert.isTrue(Result.isSuccess(decode({ pods })))
      const wrong: ReadonlyArray<readonly [object, RegExp]> = [
        [{}, module === postgres ? /Expected members, or pods, or the address of the Patroni/ : /Missing key/],
        [{ pods, members: [{ name: "m0", address: "127.0.0.1:2379" }] }, /Expected members or pods, not both/],
        [{ pods: { host: "prod", namespace: "db" } }, /Expected statefulSet or selector, one of the two/],
        [{ pods: { ...pods, selector: "app=etcd" } }, /Expected statefulSet or selector, one of the two/],
        [{ pods: { ...pods, namespace: "--all" } }, /a namespace's name/],
        [{ pods: { host: "prod", namespace: "db", selector: "--all-namespaces" } }, /a label selector/],
        [{ pods: { ...pods, address: "etcd.db.svc" } }, /one of the two tells the pods apart/],
        [{ pods: { ...pods, address: "{pod}.{namespace}.svc" } }, /a name such as \{pod\}\.etcd/]
      ]
      for (const [value, words] of wrong) {
        const decoded = decode(value)
        assert.match(Result.isFailure(decoded) ? decoded.failure.message : "", words)
      }
    }
  )
})
