import { describeHostError, HostError } from "@inquorate/core/Host"
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  bytesOf,
  chooseCut,
  describeRefusal,
  explain,
  fenceNameMost,
  isFenceName,
  type QuorumLossMode,
  Refusal,
  refusalCode,
  smallestCut
} from "@inquorate/core/Plan"
import { health, isServing, type Member, type Topology } from "@inquorate/core/Topology"

const member = (name: string, change: Partial<Member> = {}): Member => ({
  name,
  node: `node-${name}`,
  address: "127.0.0.1:1",
  role: "ActiveSecondary",
  counts: true,
  up: true,
  cuttable: "Always",
  process: null,
  processProblem: "",
  ...change
})

const topology = (needed: number, members: ReadonlyArray<Member>, rule = "majority"): Topology => ({
  cluster: "c",
  system: "simulated",
  group: "g",
  partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
  observedAt: 0,
  needed,
  rule,
  members
})

/** `configured` voters of a majority system, the first of them the leader, the last `down` of them down. */
const majority = (configured: number, down = 0): Topology =>
  topology(
    Math.floor(configured / 2) + 1,
    Array.from({ length: configured }, (_, index) =>
      member(`m${index}`, { role: index === 0 ? "Primary" : "ActiveSecondary", up: index < configured - down })
    )
  )

/** A PostgreSQL primary with `listed` standbys of which `needed` must acknowledge. */
const postgres = (needed: number, listed: number): Topology =>
  topology(needed, [
    member("p", { role: "Primary", counts: false, cuttable: "OnlyInAllReplicas" }),
    ...Array.from({ length: listed }, (_, index) => member(`s${index + 1}`)),
    member("async", { role: "IdleSecondary", counts: false, cuttable: "Never" })
  ])

const names = (result: Result.Result<ReadonlyArray<Member>, Refusal>): ReadonlyArray<string> =>
  Result.getOrThrow(result).map(({ name }) => name)

describe("the smallest cut", () => {
  // Measured on etcd with 5 configured voters: 4 up need 2 stops, 3 up need 1 (reference: systems, section 8).
  for (const [configured, down, expected] of [
    [1, 0, 1],
    [2, 0, 1],
    [3, 0, 2],
    [4, 0, 2],
    [5, 0, 3],
    [7, 0, 4],
    [5, 1, 2],
    [5, 2, 1]
  ] as const) {
    it(`of ${configured} voters with ${down} down takes ${expected}`, () => {
      assert.strictEqual(names(smallestCut(majority(configured, down), "QuorumReplicas")).length, expected)
    })
  }

  it("spares the leader where it can", () => {
    assert.deepStrictEqual(names(chooseCut(majority(3), "QuorumReplicas")), ["m1", "m2"])
    assert.deepStrictEqual(names(chooseCut(majority(1), "QuorumReplicas")), ["m0"])
  })

  it("of PostgreSQL's ANY k (n) takes n − k + 1 of the listed standbys and never the primary", () => {
    assert.deepStrictEqual(names(chooseCut(postgres(1, 2), "QuorumReplicas")), ["s1", "s2"])
    assert.deepStrictEqual(names(chooseCut(postgres(2, 2), "QuorumReplicas")), ["s1"])
    assert.deepStrictEqual(names(chooseCut(postgres(2, 4), "QuorumReplicas")), ["s1", "s2", "s3"])
  })

  it("takes every member that may be cut when all replicas are asked for, learners never", () => {
    assert.deepStrictEqual(names(chooseCut(postgres(1, 2), "AllReplicas")), ["p", "s1", "s2"])
    assert.deepStrictEqual(names(chooseCut(majority(3), "AllReplicas")), ["m0", "m1", "m2"])
  })

  it.prop(
    "loses the quorum, and one less would not",
    {
      configured: Schema.Literals([1, 2, 3, 4, 5, 6, 7, 9]),
      down: Schema.Literals([0, 1, 2, 3, 4]),
      mode: Schema.Literals(["QuorumReplicas", "AllReplicas"])
    },
    ({ configured, down, mode }: { configured: number; down: number; mode: QuorumLossMode }) => {
      const group = majority(configured, Math.min(down, configured - 1))
      const up = group.members.filter((each) => each.up).length
      const cut = smallestCut(group, mode)
      if (up < group.needed) return Result.isFailure(cut)
      const size = names(cut).length
      return mode === "AllReplicas" ? size === up : up - size === group.needed - 1
    }
  )
})

describe("a plan is refused", () => {
  it("on a group that is degraded, naming who is down", () => {
    const cut = chooseCut(majority(5, 1), "QuorumReplicas")
    assert.deepStrictEqual(Result.getOrThrow(Result.flip(cut)), { _tag: "Degraded", down: ["m4"] })
    assert.strictEqual(health(majority(5, 1)), "Degraded")
  })

  it("on a group whose members cannot be seen, saying why not", () => {
    const processProblem = "m4 is a member of the cluster but not configured: add it with its address"
    for (const [down, tag] of [
      [1, "Degraded"],
      [3, "AlreadyLost"]
    ] as const) {
      const whole = majority(5, down)
      const members = whole.members.map((each) => (each.name === "m4" ? { ...each, processProblem } : each))
      const refusal = Result.getOrThrow(Result.flip(chooseCut({ ...whole, members }, "QuorumReplicas")))
      assert.strictEqual(refusal._tag, tag)
      assert.include(describeRefusal(refusal), processProblem)
    }
  })

  it("with the reason of each member that is down, by its name", () => {
    const whole = majority(5, 1)
    const members = whole.members.map((each) => (each.up ? each : { ...each, downBecause: "takes no queries" }))
    const refusal = Result.getOrThrow(Result.flip(chooseCut({ ...whole, members }, "QuorumReplicas")))
    assert.include(describeRefusal(refusal), "m4 down (m4 takes no queries)")
  })

  it("on a group whose quorum is gone, or that has no primary while its quorum is there: two things", () => {
    assert.strictEqual(health(majority(3, 2)), "Lost")
    assert.isTrue(Result.isFailure(chooseCut(majority(3, 2), "QuorumReplicas")))
    const headless = postgres(1, 2)
    const gone = {
      ...headless,
      members: headless.members.map((each) => (each.name === "p" ? { ...each, up: false } : each))
    }
    assert.strictEqual(health(gone), "Reconfiguring")
    assert.deepStrictEqual(Result.getOrThrow(Result.flip(chooseCut(gone, "AllReplicas"))), {
      _tag: "NoPrimary",
      up: 2,
      needed: 1
    })
    // An election of three that are all up: nobody leads yet, and nothing is lost.
    const whole = majority(3, 0)
    const electing = { ...whole, members: whole.members.map((each) => ({ ...each, role: "ActiveSecondary" as const })) }
    assert.strictEqual(health(electing), "Reconfiguring")
    assert.isFalse(isServing(electing))
    // The leader is down, and the two others are a quorum.
    const leader = whole.members.find(({ role }) => role === "Primary")!.name
    const led = { ...whole, members: whole.members.map((each) => ({ ...each, up: each.name !== leader })) }
    assert.strictEqual(health(led), "Reconfiguring")
    // Without a quorum it is lost, whoever leads.
    assert.strictEqual(health({ ...electing, needed: 4 }), "Lost")
  })

  it("when too few members may be cut", () => {
    const guarded = topology(2, [
      member("a", { role: "Primary" }),
      member("b", { cuttable: "Never" }),
      member("c", { cuttable: "Never" })
    ])
    assert.deepStrictEqual(Result.getOrThrow(Result.flip(chooseCut(guarded, "QuorumReplicas"))), {
      _tag: "CannotLoseQuorum",
      cuttable: 1,
      required: 2
    })
  })

  it("not for an idle member that is down", () => {
    const group = postgres(1, 2)
    const idle = {
      ...group,
      members: group.members.map((each) => (each.name === "async" ? { ...each, up: false } : each))
    }
    assert.strictEqual(health(idle), "Healthy")
  })

  it.prop("in a sentence that says what to do, with a code of the table", { refusal: Refusal }, ({ refusal }) => {
    assert.match(describeRefusal(refusal), /\S.*[.:]/s)
    assert.match(refusalCode(refusal), /^(FABRIC_)?E_/)
  })
})

describe("the name of a fence", () => {
  it.prop("is measured in the bytes of UTF-8, as hosts count them", { name: Schema.String }, ({ name }) => {
    assert.strictEqual(bytesOf(name), Buffer.byteLength(name))
    assert.strictEqual(isFenceName(name), name !== "" && Buffer.byteLength(name) <= fenceNameMost)
  })
})

describe("the explanation", () => {
  it("shows the arithmetic in one line", () => {
    const group = topology(1, postgres(1, 2).members, "ANY 1 (s1, s2)")
    assert.strictEqual(
      explain(group, Result.getOrThrow(chooseCut(group, "QuorumReplicas"))),
      "ANY 1 (s1, s2): 2 count, 2 up, a write needs 1; 2 − 1 + 1 = 2 must go; cutting s1, s2 leaves 0 < 1; the primary p is spared"
    )
  })
})

describe("the page of troubleshooting", () => {
  it("explains every refusal", () => {
    const page = fs.readFileSync(new URL("../../../docs/troubleshooting.md", import.meta.url), "utf8")
    const missing = Object.keys(Refusal.cases).filter((name) => !page.includes(`\`${name}\``))
    assert.deepStrictEqual(missing, [])
  })
})

describe("a refusal in words", () => {
  const notTheServer = (problem: string, unknown = false) =>
    describeRefusal({ _tag: "NotTheServer", member: "m0", problem, ...(unknown ? { unknown } : {}) })

  it("says of a host that did not answer that nothing is known, and to try again", () => {
    const lost = new HostError({ host: "local", reason: "LostAnswer", detail: "no answer within 800 ms" })
    assert.strictEqual(
      notTheServer(describeHostError(lost), true),
      "Which process is the server of m0 is not known: host local did not answer in time (no answer within 800 ms; it may be busy): try again."
    )
    assert.strictEqual(
      notTheServer("it cannot be reached at 10.0.0.2:5432, though p streams to it (connect ECONNREFUSED)", true),
      "Which process is the server of m0 is not known: it cannot be reached at 10.0.0.2:5432, though p streams to it (connect ECONNREFUSED)."
    )
    // Whether it is known is a fact beside the words, whatever these are.
    assert.match(notTheServer(describeHostError(lost)), /^The process found for m0 is not its server: /)
    assert.match(
      notTheServer("its data directory is /x"),
      /^The process found for m0 is not its server: .* is \/x\. Check /
    )
  })

  it("has one full stop", () => {
    assert.match(notTheServer("is it in a container, or elsewhere?"), /elsewhere\? Check /)
    assert.strictEqual(
      describeRefusal({ _tag: "NotSupported", member: "m0", problem: "no right to trace." }),
      "m0 cannot be taken out by this mechanism: no right to trace."
    )
  })

  it("names an override as it is typed", () => {
    assert.include(
      describeRefusal({ _tag: "TooLong", asked: 1_200_000, limit: 900_000 }),
      "start with --override tooLong"
    )
    assert.include(describeRefusal({ _tag: "Degraded", down: ["m1"] }), "start with --override degraded")
  })
})
