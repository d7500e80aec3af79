/**
 * etcd as others configure it and as it stands in public reports: alarms, long elections, addresses of every kind,
 * members that were added, removed or never seen.
 */
import { chooseCut, describeRefusal } from "@inquorate/core/Plan"
import { health } from "@inquorate/core/Topology"
import { within } from "@inquorate/testkit/Pace"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  type ClusterMember,
  etcdctl,
  etcdctlOnceHealthy,
  eventually,
  freePort,
  isLate,
  kill,
  only,
  open,
  pause,
  ready,
  run,
  settingsOf,
  skip,
  start,
  written
} from "./EtcdCluster.ts"

const reason = skip === undefined ? "" : ` (skipped: ${skip})`

const renamed = (members: ReadonlyArray<ClusterMember>): ReadonlyArray<ClusterMember> =>
  members.map((member, index) => ({ ...member, name: ["alpha", "beta", "gamma"][index]! }))

const raise = (member: ClusterMember, alarm: string) =>
  Effect.promise(async () => {
    const ask = async (question: string, body: unknown) =>
      (
        await fetch(`http://${member.client}/v3/maintenance/${question}`, {
          method: "POST",
          body: JSON.stringify(body)
        })
      ).json()
    const { header } = (await ask("status", {})) as { readonly header: { readonly member_id: string } }
    await ask("alarm", { action: "ACTIVATE", memberID: header.member_id, alarm })
  })

const hasIpv6 = (() => {
  try {
    return fs.readFileSync("/proc/net/if_inet6", "utf8").includes(" lo\n")
  } catch {
    return false
  }
})()

describe.skipIf(skip !== undefined)(`an etcd cluster from outside${reason}`, () => {
  for (const alarm of ["NOSPACE", "CORRUPT"]) {
    it.live(`with the alarm ${alarm} is healthy, and unfit by it until it is disarmed`, () =>
      Effect.gen(function* () {
        const { members } = yield* start()
        const target = yield* open(settingsOf(members))
        yield* ready(target)
        yield* raise(members[1]!, alarm)
        const seen = yield* eventually(only(target), ({ unfit }) => unfit !== undefined)
        assert.strictEqual(health(seen), "Healthy")
        assert.isTrue(seen.unfit!.every((words) => words.startsWith(`the alarm ${alarm} is raised by m1: `)))
        yield* etcdctl([`--endpoints=${members[0]!.client}`, "alarm", "disarm"])
        yield* eventually(only(target), ({ unfit }) => unfit === undefined)
        const probe = yield* target.probe("raft")
        yield* written(probe)
      })
    )
  }

  it.live("whose database is full refuses a write by the alarm's name", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ members: 1, flags: { "quota-backend-bytes": "100000" } })
      const target = yield* open(settingsOf(members))
      yield* ready(target)
      const probe = yield* target.probe("raft")
      const value = "x".repeat(60_000)
      for (let index = 0; index < 5; index++) {
        yield* Effect.exit(etcdctl([`--endpoints=${members[0]!.client}`, "put", `fill${index}`, value]))
      }
      const outcome = yield* eventually(probe.write(members[0]!.client), ({ _tag }) => _tag === "Refused")
      assert.match((outcome as { readonly detail: string }).detail, /^the alarm NOSPACE: /)
      assert.match((yield* only(target)).unfit!.join(), /NOSPACE/)
    })
  )

  it.live("of which every member advertises the same address has no stranger while one was never seen", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ flags: { "advertise-client-urls": "http://localhost:2379" } })
      yield* ready(yield* open(settingsOf(renamed(members))))
      yield* kill(members[1]!.child)
      const fresh = yield* open(settingsOf(renamed(members)))
      const seen = yield* eventually(
        only(fresh),
        ({ members }) =>
          members.some(({ role, up }) => role === "Primary" && up) && members.filter(({ up }) => up).length === 2
      )
      assert.deepStrictEqual(
        seen.members.map(({ name, up }) => [name, up]),
        [
          ["alpha", true],
          ["beta", false],
          ["gamma", true]
        ]
      )
      const words = describeRefusal(Result.getOrThrow(Result.flip(chooseCut(seen, "QuorumReplicas"))))
      assert.match(words, /beta down \(beta does not answer: .*ECONNREFUSED/)
      assert.notInclude(words, "not configured")
    })
  )

  it.live("to which a member was added says that it never started, and of one removed that it was", () =>
    Effect.gen(function* () {
      const { members } = yield* start()
      const target = yield* open(settingsOf(members))
      yield* ready(target)
      const ctl = (...words: ReadonlyArray<string>) => etcdctl([`--endpoints=${members[0]!.client}`, ...words])
      const peer = `http://127.0.0.1:${yield* freePort()}`
      yield* etcdctlOnceHealthy(members[0]!, "member", "add", "later", `--peer-urls=${peer}`)
      const grown = yield* eventually(only(target), ({ members }) => members.length === 4)
      const [, id] = /^([0-9a-f]+), unstarted/m.exec(yield* ctl("member", "list"))!
      assert.include(
        grown.members[3]!.processProblem,
        `was added and never started: start it for ${peer}, or etcdctl member remove ${id}`
      )
      assert.deepInclude(grown, { needed: 3, rule: "majority of 4" })
      yield* ctl("member", "remove", id!)
      const [, second] = /^([0-9a-f]+), started, m2,/m.exec(yield* ctl("member", "list"))!
      yield* etcdctlOnceHealthy(members[0]!, "member", "remove", second!)
      const less = yield* eventually(only(target), ({ rule, members }) => rule === "majority of 2" && !members[2]!.up)
      assert.match(less.members[2]!.downBecause!, new RegExp(`^its id ${second} is not in the cluster's list`))
      assert.isFalse(less.members[2]!.counts)
    })
  )

  it.live("with a learner that is promoted while it is watched counts it from then on", () =>
    Effect.gen(function* () {
      const { folder, initial, members } = yield* start()
      const target = yield* open(settingsOf(members))
      yield* ready(target)
      const ctl = (...words: ReadonlyArray<string>) => etcdctl([`--endpoints=${members[0]!.client}`, ...words])
      const [client, peer] = [`127.0.0.1:${yield* freePort()}`, `127.0.0.1:${yield* freePort()}`]
      yield* etcdctlOnceHealthy(members[0]!, "member", "add", "learner", "--learner", `--peer-urls=http://${peer}`)
      const child = yield* run(folder, {
        name: "learner",
        "data-dir": path.join(folder, "learner"),
        "listen-client-urls": `http://${client}`,
        "advertise-client-urls": `http://${client}`,
        "listen-peer-urls": `http://${peer}`,
        "initial-advertise-peer-urls": `http://${peer}`,
        "initial-cluster": `${initial},learner=http://${peer}`,
        "initial-cluster-state": "existing"
      })
      const four = yield* open(settingsOf([...members, { name: "learner", client, peer, folder: "", child }]))
      const before = yield* eventually(only(four), ({ members }) => members.every(({ up }) => up))
      assert.deepInclude(before.members[3], { role: "IdleSecondary", counts: false, cuttable: "Never" })
      // The learner knows its name before the member that is asked has applied it.
      const listed = (pattern: RegExp) => eventually(ctl("member", "list"), (list) => pattern.test(list))
      const [, id] = /^([0-9a-f]+), started, learner/m.exec(yield* listed(/, started, learner,/))!
      yield* etcdctlOnceHealthy(members[0]!, "member", "promote", id!)
      const after = yield* eventually(only(four), ({ rule }) => rule === "majority of 4")
      assert.deepInclude(after.members[3], { role: "ActiveSecondary", counts: true, cuttable: "Always" })
    })
  )

  const addresses: ReadonlyArray<readonly [string, Parameters<typeof start>[0]]> = [
    ["with its JSON gateway off", { flags: { "enable-grpc-gateway": "false" } }],
    [
      "with its metrics elsewhere",
      {
        flagsOf: (_, { client }) => ({
          "listen-metrics-urls": `http://127.0.0.1:${Number(client.split(":")[1]) ^ 1}`,
          metrics: "extensive"
        })
      }
    ],
    [
      "with pre-vote and a proxy's environment",
      { flags: { "pre-vote": "true" }, environment: { HTTP_PROXY: "http://127.0.0.1:9" } }
    ],
    [
      "that listens on all addresses and advertises that",
      {
        flagsOf: (_, { client }) => ({
          "listen-client-urls": `http://0.0.0.0:${client.split(":")[1]}`,
          "advertise-client-urls": "http://0.0.0.0:2379"
        })
      }
    ],
    [
      "that listens on a socket file too, and advertises it first",
      {
        flagsOf: (_, { client }) => ({
          "listen-client-urls": `unix://localhost:${client.split(":")[1]},http://${client}`,
          "advertise-client-urls": `unix://localhost:${client.split(":")[1]},http://${client}`
        })
      }
    ]
  ]
  for (const [what, wanted] of addresses) {
    it.live(`${what} is seen, believed and written to`, () =>
      Effect.gen(function* () {
        const { members } = yield* start(wanted)
        const target = yield* open(settingsOf(renamed(members)))
        yield* ready(target)
        const seen = yield* eventually(only(target), ({ members }) => members.every(({ process }) => process !== null))
        assert.deepStrictEqual(
          seen.members.map(({ process }) => process!.pid),
          members.map(({ child }) => child.pid)
        )
        const probe = yield* target.probe("raft")
        for (const endpoint of probe.endpoints) yield* written(probe, endpoint)
      })
    )
  }

  it.live.skipIf(!hasIpv6)("on IPv6 is seen, believed and written to", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ host: "[::1]" })
      const target = yield* open(settingsOf(members))
      yield* ready(target)
      const seen = yield* eventually(only(target), ({ members }) => members.every(({ process }) => process !== null))
      assert.match(seen.members[0]!.process!.peers!.own.join(), /^\[::1\]:\d+$/)
      const probe = yield* target.probe("raft")
      yield* written(probe)
    })
  )

  it.live("that speaks no TLS says so where TLS is configured", () =>
    Effect.gen(function* () {
      const { members } = yield* start()
      yield* ready(yield* open(settingsOf(members)))
      const error = yield* Effect.flip((yield* open(settingsOf(members, { tls: {} }))).discover)
      assert.strictEqual(error.reason, "Misconfigured")
      assert.match(error.detail, /speak TLS/)
    })
  )

  for (const flags of [
    { "heartbeat-interval": "500", "election-timeout": "5000" },
    { "heartbeat-interval": "1000", "election-timeout": "10000" },
    { "heartbeat-interval": "100", "election-timeout": "1000" }
  ]) {
    it.live(`with an election timeout of ${flags["election-timeout"]} ms is given twice that to notice a loss`, () =>
      Effect.gen(function* () {
        const { members } = yield* start({ flags })
        const target = yield* open(settingsOf(members))
        assert.strictEqual(target.survivorsSpeakAfter, Number.POSITIVE_INFINITY)
        yield* eventually(only(target), ({ members }) => members.every(({ process }) => process !== null))
        assert.strictEqual(target.survivorsSpeakAfter, 2 * Number(flags["election-timeout"]) + 1000)
        assert.strictEqual(target.recoveryBudget, 60_000)
      })
    )
  }

  it.live("whose leader has not noticed yet is silent, and never says that it holds a quorum", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ flags: { "heartbeat-interval": "500", "election-timeout": "5000" } })
      const target = yield* open(settingsOf(members))
      const seen = yield* ready(target)
      const probe = yield* target.probe("raft")
      assert.strictEqual((yield* eventually(probe.survivors, ({ word }) => word !== "Silent")).word, "QuorumHeld")
      const led = seen.members.find(({ role }) => role === "Primary")!.name
      const stopped = members.filter(({ name }) => name !== led)
      yield* pause(stopped.map(({ child }) => child))
      const write = yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 300)
      assert.isTrue(Option.isNone(write))
      const words: Array<string> = []
      yield* Effect.timeoutOrElse(
        Effect.repeat(probe.survivors, {
          until: ({ word }) => {
            words.push(word)
            return word === "QuorumLost"
          }
        }),
        { duration: within(20_000), orElse: () => Effect.die(new Error(words.join(" "))) }
      )
      assert.strictEqual(words[0], "Silent")
      assert.notInclude(words, "QuorumHeld")
      for (const { child } of stopped) child.kill("SIGCONT")
    })
  )

  it.live("makes a revision with each write, of one key", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ members: 1 })
      const target = yield* open(settingsOf(members))
      yield* ready(target)
      const probe = yield* target.probe("raft")
      const version = Effect.map(
        etcdctl([`--endpoints=${members[0]!.client}`, "get", "--prefix", "", "-w", "json"]),
        (text) =>
          (JSON.parse(text) as { readonly kvs: ReadonlyArray<{ readonly version: number }> }).kvs.map(
            ({ version }) => version
          )
      )
      const [before] = yield* version
      for (let writes = 0; writes < 3; writes++) yield* probe.write(members[0]!.client)
      assert.deepStrictEqual(yield* version, [before! + 3])
    })
  )

  it.live("whose leader is killed has a quorum of members up, and then another leader", () =>
    Effect.gen(function* () {
      const { members } = yield* start({ flags: { "heartbeat-interval": "200", "election-timeout": "2000" } })
      const target = yield* open(settingsOf(members))
      const seen = yield* ready(target)
      const leader = seen.members.find(({ role }) => role === "Primary")!.name
      yield* kill(members.find(({ name }) => name === leader)!.child)
      const looks: Array<number> = []
      yield* eventually(only(target), (topology) => {
        if (!topology.members.some(isLate)) looks.push(topology.members.filter(({ counts, up }) => counts && up).length)
        return topology.members.some(({ name, role, up }) => role === "Primary" && up && name !== leader)
      })
      assert.deepStrictEqual([...new Set(looks)], [2])
    })
  )
})
