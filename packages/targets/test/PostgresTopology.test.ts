/**
 * What we make of members' answers, without a server: who is up and why not, the advice, the warnings, the obstacles.
 */
import { describeRefusal, chooseCut } from "@inquorate/core/Plan"
import { health, type Topology } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { ConnectionError } from "../src/PostgresConnection.ts"
import type { Answer, StandbySeen } from "../src/PostgresQuestion.ts"
import * as PostgresRule from "../src/PostgresRule.ts"
import * as PostgresTopology from "../src/PostgresTopology.ts"
import * as SynchronousStandbyNames from "../src/SynchronousStandbyNames.ts"

const now = 1_800_000_000_000

const seen = (name: string, change: Partial<StandbySeen> = {}): StandbySeen => ({
  name,
  state: "streaming",
  from: "10.0.0.9:40000",
  flushed: 1000,
  repliedAt: now - 50,
  ...change
})

const answer = (change: Partial<Answer> = {}): Answer => ({
  inRecovery: true,
  standbyNames: "",
  systemIdentifier: "7300000000000000000",
  startedAt: "2026-11-28 06:00:00+00",
  dataDirectory: "",
  now,
  statusInterval: 10_000,
  flushed: null,
  standbys: [],
  receiver: { status: "streaming", from: "10.0.0.1:5432" },
  replayPaused: false,
  applyDelay: 0,
  rights: { current: "inquorate", session: "inquorate", uses: true, member: true },
  connections: { all: 5, most: 97, role: 1, roleMost: 2147483647, database: 2, databaseMost: 2147483647 },
  commits: [],
  patroni: false,
  ...change
})

const primary = (standbys: ReadonlyArray<StandbySeen>, change: Partial<Answer> = {}): Answer =>
  answer({ inRecovery: false, flushed: 1000, receiver: null, standbyNames: "ANY 1 (s1, s2)", standbys, ...change })

const failing = (reason: ConnectionError["reason"], code: string, detail: string): ConnectionError =>
  new ConnectionError({ reason, code, detail })

const asked = (
  name: string,
  what: Answer | ConnectionError,
  change: Partial<PostgresTopology.Asked> = {}
): PostgresTopology.Asked => ({
  name,
  node: name,
  address: `10.0.0.${name.length}:5432`,
  otherAddresses: [],
  answer:
    what instanceof ConnectionError
      ? Result.fail(what)
      : Result.succeed({ ...what, startedAt: `${what.startedAt} ${name}` }),
  process: null,
  processProblem: "",
  stands: "Runs",
  ...change
})

const look = (members: ReadonlyArray<PostgresTopology.Asked>): Topology => {
  const known = Result.getOrThrow(PostgresTopology.interpret("orders", members, null))
  return PostgresTopology.topology("orders", members, known, now)
}

const problemOf = (members: ReadonlyArray<PostgresTopology.Asked>): string =>
  Result.getOrThrow(Result.flip(PostgresTopology.interpret("orders", members, null))).detail

const both = [seen("s1"), seen("s2")]
const three = (s2: Answer | ConnectionError, standbys = both, change: Partial<PostgresTopology.Asked> = {}) => [
  asked("p", primary(standbys)),
  asked("s1", answer()),
  asked("s2", s2, change)
]

describe("a member of a PostgreSQL cluster that is down", () => {
  const reasons: ReadonlyArray<readonly [string, ReadonlyArray<PostgresTopology.Asked>, string]> = [
    [
      "streams from another",
      three(answer({ receiver: { status: "streaming", from: "10.0.0.2:5432" } }), [seen("s1")]),
      "s2 is not streaming from p under its name: it streams from 10.0.0.2:5432"
    ],
    ["streams from nobody", three(answer({ receiver: null }), [seen("s1")]), "its receiver does not run"],
    [
      "waits for its upstream",
      three(answer({ receiver: { status: "waiting", from: "10.0.0.1:5432" } }), [seen("s1")]),
      "its receiver of 10.0.0.1:5432 is in state waiting"
    ],
    ["catches up", three(answer(), [seen("s1"), seen("s2", { state: "catchup" })]), "in state catchup"],
    [
      "acknowledges nothing",
      three(answer(), [seen("s1"), seen("s2", { repliedAt: now - 7000, flushed: 10 })]),
      "has acknowledged nothing for 7.0 s"
    ],
    [
      "is stopped",
      three(failing("TimedOut", "", "no answer within 800 ms"), both, {
        stands: "Stopped",
        process: { host: "h", pid: 4711, startTime: "1", executable: "/postgres", dataDirectory: "/d" }
      }),
      "s2 is stopped: process 4711 stands still"
    ],
    [
      "is frozen",
      three(failing("TimedOut", "", "no answer within 800 ms"), both, {
        stands: "Frozen",
        process: { host: "h", pid: 4711, startTime: "1", executable: "/postgres", dataDirectory: "/d" }
      }),
      "s2 is frozen: process 4711 stands still, by the freezer of its control group"
    ],
    [
      "is silent",
      three(failing("TimedOut", "", "10.0.0.3:5432 did not answer within 800 ms")),
      "s2 takes no queries: 10.0.0.3:5432 did not answer within 800 ms"
    ],
    [
      "is gone",
      three(failing("Unreachable", "ECONNREFUSED", "connect ECONNREFUSED"), [seen("s1")]),
      "s2 is not streaming from p, and refuses connections at 10.0.0.2:5432"
    ],
    [
      "starts up",
      three(failing("Unreachable", "57P03", "the database system is starting up"), [seen("s1")]),
      "takes no queries of ours: the database system is starting up"
    ],
    [
      "lets us not in, and does not stream",
      three(failing("Rejected", "28P01", "password authentication failed"), [seen("s1")]),
      "takes no queries of ours: password authentication failed"
    ]
  ]
  for (const [what, members, words] of reasons) {
    it(`because it ${what} says so`, () => {
      const topology = look(members)
      assert.strictEqual(health(topology), "Degraded")
      const refusal = Result.getOrThrow(Result.flip(chooseCut(topology, "QuorumReplicas")))
      const said = describeRefusal(refusal)
      assert.include(said, "s2 down (s2 ")
      assert.include(said, words)
    })
  }
})

describe("a standby that cannot be asked", () => {
  const failures = [
    failing("Rejected", "28000", "no pg_hba.conf entry for host"),
    failing("Rejected", "3D000", 'database "orders" does not exist'),
    failing("Unreachable", "57P03", "the database system is not accepting connections"),
    failing("Unreachable", "53300", "too many clients already"),
    failing("Unreachable", "ECONNREFUSED", "connect ECONNREFUSED"),
    failing("TimedOut", "ETIMEDOUT", "no connection was made within 800 ms")
  ]
  for (const failure of failures) {
    it(`(${failure.detail}) counts as up while its primary hears from it`, () => {
      const topology = look(three(failure))
      assert.strictEqual(health(topology), "Healthy")
      // By nobody's word but that of its primary, whose clock then counts.
      const silent = look(three(failure, [seen("s1"), seen("s2", { repliedAt: now - 9000, flushed: 10 })]))
      assert.strictEqual(health(silent), "Degraded")
      assert.include(silent.members[2]!.downBecause, "9.0 s by p's clock")
    })
  }
  it("is not taken at its primary's word where it is reached and says nothing", () => {
    assert.strictEqual(health(look(three(failing("TimedOut", "", "no answer")))), "Degraded")
  })
})

describe("advice for synchronous_standby_names", () => {
  const named = (names: ReadonlyArray<string>, change: Partial<Answer> = {}): string =>
    problemOf([
      asked(
        "p",
        primary(
          names.map((name) => seen(name)),
          { standbyNames: "", ...change }
        )
      ),
      ...names.map((name) => asked(name, answer({ receiver: null })))
    ])

  for (const names of [
    ["pg-2", "pg-3"],
    ["S1", "s2"],
    ["any", "first"],
    ["node.example.com", "a b"],
    ['say "hi"', "o'brien"],
    ["1st", "büro"],
    ["s1"]
  ]) {
    it(`quotes ${names.join(", ")} so that the server reads them back`, () => {
      const said = named(names)
      const [, text] = /set synchronous_standby_names to (ANY .*\))$/.exec(said) ?? []
      assert.isDefined(text, said)
      // Between single quotes two of them are one.
      const rule = Result.getOrThrow(SynchronousStandbyNames.parse(text!.replaceAll("''", "'")))
      assert.deepStrictEqual(rule, {
        _tag: "Any",
        needed: Math.max(1, Math.floor((names.length + 1) / 2)),
        standbys: names
      })
      assert.notMatch(text!, /(?<!')'(?!')/)
    })
  }

  it("asks for standbys where none is configured", () => {
    assert.include(named([]), "configure the standbys")
    assert.notInclude(named([]), "ANY 0")
  })

  it("has the standbys stream under their names first, where it would stop every commit else", () => {
    const said = named(["s1", "s2"], { standbys: [seen("walreceiver"), seen("walreceiver")] })
    assert.match(
      said,
      /first let s1, s2 stream under these names .*called walreceiver.*then set synchronous_standby_names to ANY 1 \(s1, s2\)$/
    )
    assert.include(named(["s1"], { standbys: [] }), "nobody streams now")
    assert.notInclude(named(["s1", "s2"], { standbys: [seen("S1")] }), "first let")
  })

  it("names Patroni's own settings under Patroni", () => {
    const said = named(["s1", "s2"], { patroni: true })
    assert.include(said, "synchronous_mode: quorum")
    assert.include(said, "synchronous_node_count: 1")
    assert.include(said, "patronictl edit-config")
    assert.notInclude(said, "set synchronous_standby_names")
  })
})

describe("a list of the first kind", () => {
  const rule = (standbyNames: string) =>
    PostgresRule.read(
      ["p", "s1", "s2"],
      "p",
      answer({ inRecovery: false, standbyNames, standbys: [seen("s1"), seen("s2")] })
    )

  it("of which all are waited for is a quorum like any other, as Patroni before 4 writes it", () => {
    for (const [text, needed, standbys] of [
      ["s1", 1, ["s1"]],
      ['"s1"', 1, ["s1"]],
      ["2 (s1,s2)", 2, ["s1", "s2"]],
      ["FIRST 2 (s1, s2)", 2, ["s1", "s2"]]
    ] as const) {
      assert.deepInclude(Result.getOrThrow(rule(text)), { needed, standbys }, text)
    }
  })

  it("of which the first are waited for is none", () => {
    for (const text of ["s1, s2", "FIRST 1 (s1, s2)", "1 (s1, s2)", "*", "FIRST 1 (*)"]) {
      assert.isTrue(Result.isFailure(rule(text)), text)
    }
  })
})

describe("a role without what pg_monitor gives", () => {
  const hidden = [seen("s1", { state: null, repliedAt: null, flushed: null })]
  const said = (rights: Partial<Answer["rights"]>) =>
    problemOf(
      three(answer(), hidden).map((one) =>
        one.name === "p"
          ? asked(
              "p",
              primary(hidden, { rights: { current: "inq", session: "inq", uses: false, member: false, ...rights } })
            )
          : one
      )
    )
  it("is told to be granted it", () => assert.include(said({}), "grant pg_monitor to inq"))
  it("that has it and does not inherit it is told so", () => {
    assert.include(said({ member: true }), "alter role inq inherit")
    assert.include(said({ member: true }), "with inherit true")
  })
  it("that a setting makes another role is told so", () => {
    assert.include(said({ member: true, current: "other" }), "makes it other")
  })
})

describe("a group whose loss could not be told truly", () => {
  const obstacles = (standbys: ReadonlyArray<StandbySeen>, change: Partial<Answer> = {}) =>
    look([asked("p", primary(standbys, change)), asked("s1", answer()), asked("s2", answer())]).unfit ?? []

  it("has two streams under a listed name, told with how many and from where", () => {
    const [said] = obstacles([...both, seen("S1", { from: "10.0.0.7:41000" })])
    assert.include(said, "2 connections stream as s1 (from 10.0.0.9:40000 and 10.0.0.7:41000)")
    assert.deepStrictEqual(obstacles([...both, seen("s1", { state: "backup" }), seen("other"), seen("other")]), [])
  })

  for (const [of, change] of [
    ["max_connections", { all: 96, most: 97 }],
    ["of our role", { role: 1, roleMost: 2 }],
    ["of our database", { database: 10, databaseMost: 10 }]
  ] as const) {
    it(`has no connections left ${of}, told with how many of how many`, () => {
      const [said] = obstacles(both, { connections: { ...answer().connections, ...change } })
      assert.include(said, of)
      assert.include(said, "53300")
      assert.match(said ?? "", /(96 of 97|1 of 2|10 of 10) connections/)
    })
  }
})

describe("a rule that no commit can meet", () => {
  const unfit = (standbyNames: string): string =>
    look([asked("p", primary(both, { standbyNames })), asked("s1", answer()), asked("s2", answer())]).unfit?.join() ??
    ""

  for (const [rule, words] of [
    ["ANY 3 (s1, s2)", "'ANY 3 (s1, s2)' waits for 3 standbys, and only s1 and s2 of its list can acknowledge"],
    ["FIRST 3 (s1, s2)", "waits for 3 standbys"],
    ["ANY 2 (p, s1)", "waits for 2 standbys, and only s1 of its list can acknowledge"],
    ["ANY 2 (s1, S1)", "waits for 2 standbys, and only s1 of its list can acknowledge"],
    ["ANY 1 (p)", "waits for 1 standby, and none of those that it lists can acknowledge"]
  ] as const) {
    it(`(${rule}) says so, with a rule that can be met`, () => {
      assert.include(unfit(rule), words)
      assert.include(unfit(rule), "set synchronous_standby_names to ANY 1 (s1, s2)")
    })
  }

  it("is none where all that are listed are waited for", () => assert.strictEqual(unfit("ANY 2 (s1, s2)"), ""))
})

describe("a standby that streams under another member's name", () => {
  const as = (called: string | null, status = "streaming") =>
    answer({ receiver: { status, from: "10.0.0.1:5432", as: called } })
  const process = { host: "h", pid: 4711, startTime: "1", executable: "/postgres", dataDirectory: "/d" }
  const swapped = (one: Answer, other: Answer) =>
    look([
      asked("p", primary(both, { standbyNames: "ANY 1 (s1)" })),
      asked("s1", one, { process }),
      asked("s2", other, { process })
    ])

  it("is not the server of its own, and no loss is planned until the addresses are mended", () => {
    const found = swapped(as("s2"), as("s1"))
    const words = "the server at 10.0.0.2:5432 streams as s2 and not as s1, which p streams to at 10.0.0.9:40000"
    assert.include(found.unfit?.join(), words)
    const s1 = found.members.find(({ name }) => name === "s1")!
    assert.isNull(s1.process)
    assert.include(s1.processProblem, words)
  })

  it("is itself where it streams under its own, or does not say under which", () => {
    for (const called of [
      "s1",
      "S1",
      null,
      "a name of more than sixty-three bytes, which a server never keeps whole",
      "é"
    ]) {
      const found = swapped(as(called), as("s2"))
      assert.isUndefined(found.unfit, String(called))
      assert.deepStrictEqual(found.members[1]!.process, process)
    }
    assert.isUndefined(swapped(as("s2", "waiting"), as("s2")).unfit)
  })
})

describe("a cluster whose primary is not seen", () => {
  const streaming = answer({ receiver: { status: "streaming", from: "10.0.0.7:5432" } })

  it("says where its standbys stream from", () => {
    const refusing = failing("Unreachable", "ECONNREFUSED", "connect ECONNREFUSED 10.0.0.1:5432")
    assert.include(problemOf([asked("p", refusing), asked("s1", streaming)]), ": s1 streams from 10.0.0.7:5432")
    assert.include(problemOf([asked("s1", streaming)]), "configure the primary too: s1 streams from 10.0.0.7:5432")
  })
})

describe("commits that wait for nobody", () => {
  const warned = (commits: Answer["commits"], change: Partial<Answer> = {}) =>
    look([asked("p", primary(both, { commits })), asked("s1", answer(change)), asked("s2", answer())]).warnings ?? []
  it("are told of the cluster, a database, a role and a role in a database", () => {
    assert.include(
      warned([{ role: null, database: null, value: "off" }])[0],
      "Sessions commit by default without waiting"
    )
    assert.include(warned([{ role: "app", database: null, value: "local" }])[0], "role app")
    assert.include(warned([{ role: null, database: "shop", value: "off" }])[0], "database shop")
    assert.include(warned([{ role: "app", database: "shop", value: "off" }])[0], "role app in database shop")
    assert.deepStrictEqual(warned([]), [])
  })
  it("are not those that wait for a standby to apply, unless one applies late", () => {
    const commits = [{ role: null, database: null, value: "remote_apply" }]
    assert.deepStrictEqual(warned(commits), [])
    assert.include(warned(commits, { replayPaused: true })[0], "replay is paused")
    assert.include(warned(commits, { applyDelay: 5000 })[0], "recovery_min_apply_delay")
  })
})

describe("two members of the configuration", () => {
  it("that are one server are told so, not taken for two", () => {
    const one = { ...asked("s1", answer()), name: "s2" }
    const said = problemOf([asked("p", primary(both)), asked("s1", answer()), one])
    assert.include(said, "s1 and s2 are one and the same server")
  })
})

describe("a standby that its primary sees and we do not reach", () => {
  it("is up, and its address is told, but only where its process was to be found", () => {
    const refused = failing("Unreachable", "ECONNREFUSED", "connect ECONNREFUSED 10.0.0.2:5432")
    const of = (change: Partial<PostgresTopology.Asked>, failure = refused) =>
      look([
        asked("p", primary([seen("s1"), seen("s2")])),
        asked("s1", failure, { processProblem: "as it was", ...change }),
        asked("s2", answer())
      ]).members[1]!
    assert.isTrue(of({ hasHost: true }).up)
    assert.strictEqual(
      of({ hasHost: true }).processProblem,
      "it cannot be reached at 10.0.0.2:5432, though p streams to it (connect ECONNREFUSED 10.0.0.2:5432)"
    )
    assert.strictEqual(of({ hasHost: false }).processProblem, "as it was")
    assert.strictEqual(
      of({ hasHost: true }, failing("Unreachable", "57P03", "starting up")).processProblem,
      "as it was"
    )
  })
})
