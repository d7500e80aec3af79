import { chooseCut, describeRefusal } from "@inquorate/core/Plan"
import { health } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Entry, Status } from "../src/EtcdClient.ts"
import { EtcdError } from "../src/EtcdError.ts"
import { type Asked, interpret, type Known, survivorsWord, topology, writable } from "../src/EtcdTopology.ts"

const entry = (id: string, more: Partial<Entry> = {}): Entry => ({
  id,
  name: `m${id}`,
  peerUrls: [`http://127.0.0.1:238${id}`],
  clientUrls: ["http://localhost:2379"],
  isLearner: false,
  ...more
})

const roster = [entry("a"), entry("b"), entry("c")]

const status = (memberId: string, leader: string | null, more: Partial<Status> = {}): Status => ({
  clusterId: "cdf8181e32277408",
  memberId,
  leader,
  term: 2n,
  applied: 10n,
  errors: [],
  ...more
})

const asked = (name: string, said: Status | null, more: Partial<Asked> = {}): Asked => {
  const silent = Result.fail(new EtcdError({ reason: "Unreachable", detail: "connect ECONNREFUSED" }))
  return {
    name,
    node: `locks-${name}`,
    address: `127.0.0.1:${name.length}379`,
    status: said === null ? silent : Result.succeed(said),
    list: said === null ? silent : Result.succeed(roster),
    entered: said === null ? silent : Result.succeed(undefined),
    process: null,
    processProblem: "",
    ...more
  }
}

const see = (all: ReadonlyArray<Asked>, before: Known | null = null) => {
  const known = Result.getOrThrow(interpret("locks", all, before))
  return { known, seen: topology("locks", all, known, 0) }
}

const refusal = (all: ReadonlyArray<Asked>): string =>
  describeRefusal(Result.getOrThrow(Result.flip(chooseCut(see(all).seen, "QuorumReplicas"))))

describe("a member of an etcd cluster", () => {
  it("that is the only one left over is the one that the cluster has left, whatever the addresses are", () => {
    const { seen } = see([asked("alpha", status("a", "a")), asked("beta", null), asked("gamma", status("c", "a"))])
    assert.deepStrictEqual(
      seen.members.map(({ counts, name, up }) => [name, counts, up]),
      [
        ["alpha", true, true],
        ["beta", true, false],
        ["gamma", true, true]
      ]
    )
    assert.strictEqual(seen.members[1]!.downBecause, "does not answer: connect ECONNREFUSED")
  })

  it("that its host shows stopped is told as stopped, and not as silent", () => {
    const process = { host: "local", pid: 4711, startTime: "1", executable: "/usr/bin/etcd", dataDirectory: "/data" }
    const { seen } = see([
      asked("alpha", status("a", "a")),
      asked("beta", null, { stands: "Stopped", process }),
      asked("gamma", status("c", "a"))
    ])
    assert.strictEqual(seen.members[1]!.downBecause, "is stopped: process 4711 stands still, by a signal or a debugger")
    const { seen: other } = see([
      asked("alpha", status("a", "a")),
      asked("beta", null, { stands: "Frozen", process }),
      asked("gamma", status("c", "a"))
    ])
    assert.match(other.members[1]!.downBecause ?? "", /^is frozen: process 4711 stands still, by the freezer/)
  })

  it("that was never seen is one of those left in the cluster, as long as there are as many", () => {
    const { seen } = see([asked("alpha", status("a", null)), asked("beta", null), asked("gamma", null)])
    assert.lengthOf(seen.members, 3)
    assert.isTrue(seen.members.every(({ counts }) => counts))
    assert.strictEqual(health(seen), "Lost")
  })

  it("that was never seen is one of more that are left, of which one is not configured", () => {
    const all = [asked("alpha", status("a", "a")), asked("beta", null)]
    const { seen } = see(all)
    assert.lengthOf(
      seen.members.filter(({ counts }) => counts),
      3
    )
    assert.strictEqual(seen.members[1]!.downBecause, "does not answer: connect ECONNREFUSED")
    assert.strictEqual(
      seen.members[2]!.processProblem,
      "of mb and mc not all are configured: which, is known once beta answered"
    )
  })

  it("that was never seen is in the cluster or is not, where fewer are left than configured", () => {
    const list = Result.succeed(roster.slice(0, 2))
    const { seen } = see([asked("alpha", status("a", null), { list }), asked("beta", null), asked("gamma", null)])
    assert.lengthOf(
      seen.members.filter(({ counts }) => counts),
      2
    )
    assert.lengthOf(seen.members, 3)
    assert.match(seen.members[2]!.downBecause!, /^of beta and gamma, which never answered, not all are in/)
  })

  it("that was guessed is itself again once it says who it is", () => {
    const before = see([asked("alpha", status("a", null)), asked("beta", null), asked("gamma", null)]).known
    const { known } = see([asked("alpha", null), asked("beta", status("c", null)), asked("gamma", null)], before)
    assert.deepStrictEqual(
      [...known.ids],
      [
        ["alpha", "a"],
        ["beta", "c"],
        ["gamma", "b"]
      ]
    )
  })

  it("that was added and never started is told so, with its id as etcdctl prints it", () => {
    const list = Result.succeed([...roster, entry("8e9e05c52164694d", { name: "", clientUrls: [] })])
    const all = ["a", "b", "c"].map((id) => asked(`m${id}`, status(id, "a"), { list }))
    const { seen } = see(all)
    assert.deepInclude(seen, { needed: 3, rule: "majority of 4" })
    assert.match(
      seen.members[3]!.processProblem,
      /was added and never started: .* etcdctl member remove 8e9e05c52164694d/
    )
    assert.include(refusal(all), "never started")
    // Configured already, it is the same one.
    assert.match(
      see([...all, asked("md", null)]).seen.members[3]!.downBecause!,
      /was added to the cluster and never started/
    )
  })

  it("that was removed while it ran is not of the cluster any more", () => {
    const list = Result.succeed(roster.slice(0, 2))
    const { seen } = see([
      asked("ma", status("a", "a"), { list }),
      asked("mb", status("b", "a"), { list }),
      asked("mc", status("c", "a", { applied: 5n }))
    ])
    assert.deepInclude(seen, { needed: 2, rule: "majority of 2" })
    assert.match(seen.members[2]!.downBecause!, /id c is not in the cluster's list of members: it was removed/)
  })

  it("with an alarm is up, and the group is unfit for a loss by it", () => {
    for (const alarm of ["NOSPACE", "CORRUPT"]) {
      const errors = [`memberID:11 alarm:${alarm} `]
      const all = ["a", "b", "c"].map((id) => asked(`m${id}`, status(id, "a", { errors })))
      const { seen } = see(all)
      assert.strictEqual(health(seen), "Healthy")
      assert.lengthOf(seen.unfit!, 1)
      assert.match(seen.unfit![0]!, new RegExp(`^the alarm ${alarm} is raised by mb: `))
    }
    const odd = see([asked("ma", status("a", "a", { errors: ["etcdserver: something new"] }))])
    assert.deepStrictEqual(odd.seen.unfit, ["ma reports: etcdserver: something new"])
  })

  it("that lets us in nowhere is up, and the group is unfit by that once", () => {
    const detail = "authentication is on: configure user and password"
    const entered = Result.fail(new EtcdError({ reason: "Unauthorized", detail }))
    const { seen } = see(["a", "b", "c"].map((id) => asked(`m${id}`, status(id, "a"), { entered })))
    assert.strictEqual(health(seen), "Healthy")
    assert.deepStrictEqual(seen.unfit, [detail])
  })

  it("without a leader is down where a quorum follows one, and up where none does", () => {
    const cut = see([asked("ma", status("a", "a")), asked("mb", status("b", "a")), asked("mc", status("c", null))])
    assert.deepStrictEqual(
      cut.seen.members.map(({ up }) => up),
      [true, true, false]
    )
    assert.strictEqual(cut.seen.members[2]!.downBecause, "has no leader, while the others follow ma")
    // An election, and a cut between all of them of which one has not noticed.
    for (const said of [
      [null, null, null],
      ["a", null, null]
    ]) {
      const { seen } = see(["a", "b", "c"].map((id, index) => asked(`m${id}`, status(id, said[index]!))))
      assert.isTrue(seen.members.every(({ up }) => up))
      assert.isFalse(seen.members.some(({ role }) => role === "Primary"))
    }
  })

  it("that leads and went down leaves a quorum of members that are up", () => {
    const all = [asked("ma", null), asked("mb", status("b", "a")), asked("mc", status("c", "a"))]
    const { seen } = see(all)
    assert.deepStrictEqual(
      seen.members.map(({ role, up }) => [role, up]),
      [
        ["Primary", false],
        ["ActiveSecondary", true],
        ["ActiveSecondary", true]
      ]
    )
  })

  it("that leads and that we cannot reach is told so, and not that nobody leads", () => {
    const reason = "getaddrinfo ENOTFOUND m0.invalid"
    const status0 = Result.fail(new EtcdError({ reason: "Unreachable", detail: reason }))
    const all = [asked("ma", null, { status: status0 }), asked("mb", status("b", "a")), asked("mc", status("c", "a"))]
    const said = refusal(all)
    assert.include(said, "No primary of the group is seen up now: 2 up, 2 needed")
    assert.include(said, `ma does not answer: ${reason}, though the others follow it as their leader`)
  })

  it("that does not trust us, or the other way round, is what all of them are refused for", () => {
    const distrust = Result.fail(
      new EtcdError({ reason: "Distrusted", detail: "127.0.0.1:2379 speaks TLS: configure tls" })
    )
    const all = ["ma", "mb", "mc"].map((name) => asked(name, null, { status: distrust, list: distrust }))
    const error = Result.getOrThrow(Result.flip(interpret("locks", all, null)))
    assert.deepInclude(error, { reason: "Misconfigured" })
    assert.include(error.detail, "ma: 127.0.0.1:2379 speaks TLS")
  })

  it("is written to, the leader first and a learner never", () => {
    const list = Result.succeed([...roster, entry("d", { isLearner: true })])
    const all = ["a", "b", "c", "d"].map((id) => asked(`m${id}`, status(id, "c"), { list }))
    const members = [..."abcd"].map((id) => ({ name: `m${id}`, address: id }))
    assert.deepStrictEqual(writable(members, see(all).known), ["c", "a", "b"])
  })

  it("keeps its partition's id, which came from etcd's number in decimal digits", () => {
    const { seen } = see([asked("ma", status("a", "a"))])
    assert.strictEqual(seen.partitionId, see([asked("mb", status("b", "a"))]).seen.partitionId)
  })
})

describe("the survivors' word", () => {
  const heard = (name: string, said: Status | null, confirmed = false) => ({
    name,
    status: Option.fromNullishOr(said),
    confirmed
  })
  const { known } = see(["a", "b", "c"].map((id) => asked(`m${id}`, status(id, "a"))))

  it("is that a quorum is held only where a quorum confirmed it", () => {
    const believing = ["a", "b", "c"].map((id) => heard(`m${id}`, status(id, "a")))
    assert.deepInclude(survivorsWord(believing, known), { word: "Silent" })
    assert.include(survivorsWord(believing, known).detail, "ma: leader ma; mb: leader ma")
    assert.deepInclude(survivorsWord([heard("ma", null, true), ...believing.slice(1)], known), { word: "QuorumHeld" })
  })

  it("is that it is lost where a voter has no leader, and silence of one who has not noticed", () => {
    assert.deepInclude(survivorsWord([heard("ma", status("a", null))], known), { word: "QuorumLost" })
    assert.deepInclude(survivorsWord([heard("ma", status("a", "a"))], known), { word: "Silent" })
    assert.deepInclude(survivorsWord([heard("ma", null)], known), { word: "Silent", detail: "no member answered" })
  })

  it("is no loss where one alone has no leader, and the others follow theirs", () => {
    const said = [heard("ma", status("a", "a")), heard("mb", status("b", "a")), heard("mc", status("c", null))]
    assert.deepInclude(survivorsWord(said, known), { word: "Silent" })
  })

  it("names a leader that is not configured by the id that etcdctl prints", () => {
    const word = survivorsWord([heard("ma", status("a", "8e9e05c52164694d"))], known)
    assert.include(word.detail, "leader 8e9e05c52164694d")
  })
})
