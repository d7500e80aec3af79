import { assert, describe, it } from "@effect/vitest"
import type { OperationChange } from "@inquorate/core/Operations"
import { collect } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import { make } from "@inquorate/core/Operation"
import type { FaultRequest } from "@inquorate/core/Request"
import { previewLines, report, topologyLines } from "../src/Report.ts"
import { changeLines, live, liveLine, see } from "../src/Watch.ts"
import { fold, table } from "../src/Table.ts"
import { topology } from "./FakeWorker.ts"

const operation = make(
  "11111111-2222-3333-4444-555555555555",
  {
    kind: "PartitionQuorumLoss",
    serviceName: "fabric:/orders/quorum",
    partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
    mode: "QuorumReplicas",
    hold: 5000
  },
  1_000_000
)

describe("a table", () => {
  it("is as wide as its widest cells and ends no line in blanks", () => {
    assert.deepStrictEqual(
      table(
        ["A", "LONG"],
        [
          ["wide cell", ""],
          ["x", "y"]
        ]
      ),
      ["A          LONG", "wide cell", "x          y"]
    )
    assert.deepStrictEqual(table(["A"], []), [])
  })
})

describe("a plan without arithmetic", () => {
  it("shows its fences and its notes", () => {
    const process = { host: "here", pid: 4242, startTime: "1", executable: "/bin/etcd", dataDirectory: "/tmp/etcd" }
    const fences = [{ member: "m1", node: "lab-m1", injector: "kill", grade: "Keeper", process }] as const
    const lines = previewLines({ topology: null, plan: null, fences, notes: ["Restarts m1 (kill)"], refusal: null })
    assert.deepStrictEqual(lines, [
      "Fences",
      "  CUT  NODE    BY    GRADE   PROCESS           DATA DIRECTORY",
      "  m1   lab-m1  kill  Keeper  pid 4242 on here  /tmp/etcd",
      "Notes",
      "  Restarts m1 (kill)"
    ])
  })
})

describe("a report", () => {
  it("says whose patience bounds the hold, what a witness suffered, and what one saw that served all along", () => {
    const watchdog = {
      watches: "m1",
      source: "systemd's WatchdogSec of etcd.service",
      patience: 1250,
      reaction: "RestartsMember"
    } as const
    const plan = {
      mode: "QuorumReplicas",
      hold: 1000,
      configured: 3,
      up: 3,
      needed: 2,
      rule: "majority of 3",
      fences: [],
      arithmetic: "3 count",
      supervisors: [watchdog],
      longestHold: 1250
    } as const
    const told = (witness: string, sentAt: number, tag: "Serves" | "Fails", detail: string) =>
      ({
        at: sentAt,
        monotonic: 0,
        worker: "w",
        fact: { _tag: "Witnessed", witness, sentAt, endedAt: sentAt + 500, answer: { _tag: tag, detail }, times: 1 }
      }) as const
    const evidence = collect([
      { at: 1, monotonic: 0, worker: "w", fact: { _tag: "Planned", plan } },
      told("api", 1_000_000, "Serves", "HTTP 200"),
      told("api", 1_001_000, "Fails", "HTTP 503"),
      told("api", 1_003_000, "Serves", "HTTP 200"),
      told("Patroni", 1_000_000, "Serves", "pg1 leader running")
    ])
    const lines = report({ operation, evidence, state: "Running" } as never, 1_004_000).join("\n")
    assert.include(lines, "supervisor: systemd's WatchdogSec of etcd.service may start m1 again after 1250 ms")
    assert.include(lines, "longest honest hold: 1250 ms, by systemd's WatchdogSec of etcd.service")
    assert.match(
      lines,
      /api  asked 3 times, did not serve 1 times\n +failed first .*, back .*, after 2\.5 s; answered: HTTP 503/
    )
    assert.match(lines, /Patroni  asked 1 times, served each time\n +pg1 leader running/)
  })
})

describe("a group", () => {
  const member = {
    node: "n",
    address: "h:1",
    counts: true,
    cuttable: "Always",
    process: null,
    processProblem: ""
  } as const

  it("has its members in a table, and below it why each one that is down is down", () => {
    const lines = topologyLines({
      cluster: "orders",
      system: "postgres",
      group: "quorum",
      partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
      observedAt: 0,
      needed: 1,
      rule: "ANY 1 (s1, s2)",
      members: [
        { ...member, name: "p", role: "Primary", counts: false, up: true },
        { ...member, name: "s1", role: "ActiveSecondary", up: true },
        { ...member, name: "s2", role: "ActiveSecondary", up: false, downBecause: "is not streaming from p" }
      ]
    })
    assert.strictEqual(lines.at(-1), "  s2 is not streaming from p")
    assert.strictEqual(lines.length, 6)
  })

  it("says why a loss of it could not be proven", () => {
    const lines = topologyLines({
      cluster: "locks",
      system: "etcd",
      group: "raft",
      partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
      observedAt: 0,
      needed: 1,
      rule: "majority of 1",
      members: [{ ...member, name: "m0", role: "Primary", up: true }],
      unfit: ["the alarm NOSPACE is raised by m0"]
    })
    assert.strictEqual(lines.at(-1), "  a loss could not be proven: the alarm NOSPACE is raised by m0")
  })
})

describe("a watched operation", () => {
  it("shows each write, accepted or not, with the time since it was received", () => {
    const change: OperationChange = {
      operation,
      state: "Running",
      entries: [
        {
          at: 1_001_500,
          monotonic: 0,
          worker: "w",
          fact: {
            _tag: "Sampled",
            samples: [
              { sequence: 1, endpoint: "e", sentAt: 1_001_400, endedAt: 1_001_402, outcome: { _tag: "Acknowledged" } },
              { sequence: 2, endpoint: "e", sentAt: 1_001_450, endedAt: null, outcome: null }
            ]
          }
        }
      ]
    }
    assert.deepStrictEqual(changeLines(change), [
      "   1.50 s    write 1: acknowledged after 2 ms",
      "   1.50 s    write 2: no answer yet"
    ])
  })

  it("counts down the hold to the lift", () => {
    const order = { fences: [], armedAt: 1, deadline: 2_000_000 }
    const holding = {
      ...operation,
      stage: {
        _tag: "Advancing",
        step: { _tag: "PerformingActions", order, phase: { _tag: "Holding", lossBegan: 1_001_000, liftAt: 1_006_000 } }
      }
    } as const
    assert.match(liveLine(holding, 1_002_800), /^Running  Holding, 3\.2 s left █{4}░{8} until \d\d:\d\d:\d\d$/)
    assert.match(liveLine(holding, 1_009_000), /^Running  Holding, 0 ms left █{12} until \d\d:\d\d:\d\d$/)
  })
})

describe("what is watched", () => {
  const note = (at: number, text: string) =>
    ({ at, monotonic: at, worker: "w", fact: { _tag: "Noted", text } }) as const
  const sampled = (at: number, sequence: number, acknowledged: boolean) =>
    ({
      at,
      monotonic: at,
      worker: "w",
      fact: {
        _tag: "Sampled",
        samples: [
          {
            sequence,
            endpoint: "e",
            sentAt: at,
            endedAt: acknowledged ? at + 1 : null,
            outcome: acknowledged ? ({ _tag: "Acknowledged" } as const) : null
          }
        ]
      }
    }) as const
  const change = (...entries: OperationChange["entries"]): OperationChange => ({ operation, state: "Running", entries })
  const quiet = { verbose: false }

  it("never shows a time going back, nor the same twice where a stream was opened anew", () => {
    const first = see(undefined, change(note(1_002_000, "one"), note(1_001_000, "two")), quiet)
    assert.deepStrictEqual(first.lines, ["   2.00 s    one", "   2.00 s    two"])
    const again = see(first.watched, change(note(1_002_000, "one"), note(1_003_000, "three")), quiet)
    assert.deepStrictEqual(again.lines, ["   3.00 s    three"])
  })

  it("counts the writes on the live line, and shows them where that is wished", () => {
    const entries = [sampled(1_000_100, 1, true), sampled(1_000_200, 2, false), sampled(1_000_200, 2, true)]
    const { lines, watched } = see(undefined, change(...entries), quiet)
    assert.deepStrictEqual(lines, [])
    assert.match(live(watched, 1_000_300, false).text, / {2}2 writes, 2 ok$/)
    assert.lengthOf(see(undefined, change(...entries), { verbose: true }).lines, 3)
  })

  it("counts down and never up, whatever the clock does", () => {
    const order = { fences: [], armedAt: 1, deadline: 2_000_000 }
    const phase = { _tag: "Holding", lossBegan: 1_001_000, liftAt: 1_006_000 } as const
    const holding = {
      ...operation,
      stage: { _tag: "Advancing", step: { _tag: "PerformingActions", order, phase } }
    } as const
    const { watched } = see(undefined, { operation: holding, state: "Running", entries: [] }, quiet)
    const before = live(watched, 1_004_000, false)
    assert.include(before.text, "2.0 s left")
    assert.include(live(before.watched, 1_001_000, false).text, "2.0 s left", "the clock went back")
    assert.match(
      live(before.watched, 1_004_000, true).text,
      /^The worker does not answer; the fence ends by itself at /
    )
  })
})

describe("a group that a fault of ours holds", () => {
  const fault = {
    operationId: "76041111-2222-3333-4444-555555555555",
    partitionId: topology.partitionId,
    nodeName: null,
    members: [{ member: "m1", node: "lab-m1", by: "pause" }],
    lost: true,
    until: 1_006_000,
    phase: ""
  } as const

  it("is told as lost by us, whatever was last seen, with how it ends before", () => {
    const [head, ...rest] = topologyLines(topology, [fault], 1_000_000)
    assert.match(
      head!,
      /^lab\/kv {2}etcd, majority of 3, Lost, held by 76041111 until \d\d:\d\d:\d\d \(inq cancel 76041111\)$/
    )
    const lines = rest.filter((line) => line.includes("by us"))
    assert.lengthOf(lines, 1)
    assert.match(lines[0]!, /^ {2}m1 .* paused by us until \d\d:\d\d:\d\d$/)
  })

  it("is told of the node that was stopped, and how it starts before", () => {
    const stopped = { ...fault, partitionId: null, nodeName: "lab-m0", members: [], lost: false }
    const [head, ...rest] = topologyLines(topology, [stopped], 1_000_000)
    assert.match(head!, /, Healthy$/)
    assert.match(rest[1]!, /^ {2}m0 .* stopped by us until \d\d:\d\d:\d\d \(inq node start lab-m0\)$/)
  })

  it("is what it is where none does", () => {
    const [head] = topologyLines(topology, [{ ...fault, partitionId: "99999999-2222-3333-4444-555555555555" }], 0)
    assert.match(head!, /, Healthy$/)
  })
})

describe("a line that is too wide for the terminal", () => {
  it("is broken at blanks, and pushed in", () => {
    assert.deepStrictEqual(fold("  one two three four", 12, 4), ["  one two", "    three", "    four"])
    assert.deepStrictEqual(fold("short", 12, 4), ["short"])
    assert.deepStrictEqual(fold(`a ${"x".repeat(30)} b`, 12, 2), ["a", `  ${"x".repeat(30)} b`])
    assert.deepStrictEqual(fold("", 12, 2), [""])
  })
})

describe("what was asked for", () => {
  const partition = { serviceName: "fabric:/Shop/Web", partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa" }
  const node = { kind: "NodeTransition", nodeName: "n1", instanceId: "7" } as const

  it("is told in a few words, and in one or two for a table", () => {
    const told = (
      [
        { ...node, transition: "Restart" },
        { ...node, transition: "Stop", duration: 60_000, intent: "Pause" },
        { ...node, transition: "Start" },
        { kind: "PartitionRestart", ...partition, mode: "AllReplicasOrInstances", member: "Web@n1" },
        { kind: "PartitionDataLoss", ...partition, mode: "PartialDataLoss", member: "Web@n1" },
        { kind: "PartitionDataLoss", ...partition, mode: "FullDataLoss" }
      ] as const satisfies ReadonlyArray<FaultRequest>
    )
      .map((request) => faultOf(request).words)
      .map(({ asked, short }) => `${short} | ${asked}`)
    assert.deepStrictEqual(told, [
      "restart | Restart",
      "stop 60.0 s | Stop, for 60.0 s, deactivated (Pause)",
      "start | Start",
      "restart | Web@n1 alone",
      "removal | Web@n1 alone",
      "data loss | FullDataLoss"
    ])
  })
})
