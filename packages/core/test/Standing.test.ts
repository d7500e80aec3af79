import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { advance, type Event, make, type Operation } from "@inquorate/core/Operation"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { FaultRequest } from "@inquorate/core/Request"
import { standingFaults, takenBy } from "@inquorate/core/Standing"

const at = 1_000_000
const partitionId = "66666666-7777-8888-9999-aaaaaaaaaaaa"
const loss: FaultRequest = {
  kind: "PartitionQuorumLoss",
  serviceName: "fabric:/locks/kv",
  partitionId,
  mode: "QuorumReplicas",
  hold: 5000
}
const node = { kind: "NodeTransition", nodeName: "locks-m0", instanceId: "7" } as const

const fence = (member: string): PlannedFence => ({
  member,
  node: `locks-${member}`,
  injector: "pause",
  grade: "Keeper",
  process: { host: "local", pid: 4711, startTime: "123456", executable: "/bin/etcd", dataDirectory: `/data/${member}` }
})

const idOf = (n: number) => `${String(n).repeat(8)}-2222-4333-8444-555555555555`

const play = (n: number, request: FaultRequest, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((state, event) => Result.getOrThrow(advance(state, event)), make(idOf(n), request, at))

const ordered = (...members: ReadonlyArray<string>): ReadonlyArray<Event> => [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: members.map(fence) }
]

describe("the faults that stand", () => {
  it("tell of a proven loss until when it is held, and who was taken how", () => {
    const holder = play(
      1,
      loss,
      ...ordered("m1", "m2"),
      { _tag: "FencesArmed", at },
      { _tag: "LossProven", at, lossBegan: at }
    )
    assert.deepStrictEqual(standingFaults([holder], [holder], at + 1000), [
      {
        operationId: idOf(1),
        partitionId,
        nodeName: null,
        members: ["m1", "m2"].map((member) => ({ member, node: `locks-${member}`, by: "pause" })),
        lost: true,
        until: at + 5000,
        phase: `quorum lost, 4.0 s left, until ${new Date(at + 5000).toISOString()}`
      }
    ])
  })

  it("tell of one that is not proven yet, or may still stand, that it is so", () => {
    const looking = play(1, loss, { _tag: "Taken", at })
    const [before] = standingFaults([looking], [], at)
    assert.deepStrictEqual([before?.lost, before?.until, before?.phase], [false, null, "looking at the group"])
    const unclean = play(
      2,
      loss,
      ...ordered("m1"),
      { _tag: "StepFailed", at, error: "FABRIC_E_COMMUNICATION_ERROR", retryable: false },
      { _tag: "UndoEnded", at: at + 100_000, clean: false }
    )
    assert.strictEqual(standingFaults([unclean], [], at)[0]?.phase, "not known whether its fences are off")
  })

  it("tell of a stopped node until it starts by itself, is started, or its time is over", () => {
    const stopped = play(3, { ...node, transition: "Stop", duration: 300_000 }, ...ordered("m0"), {
      _tag: "FencesArmed",
      at
    })
    const [fault, ...more] = standingFaults([], [stopped], at + 1000)
    assert.deepStrictEqual(more, [])
    assert.deepStrictEqual(
      [fault?.nodeName, fault?.partitionId, fault?.lost, fault?.phase],
      ["locks-m0", null, false, ""]
    )
    assert.isAtLeast(fault?.until ?? 0, at + 300_000)
    assert.deepStrictEqual(standingFaults([], [stopped], fault?.until ?? 0), [])
    const started = play(
      4,
      { ...node, transition: "Start" },
      { _tag: "Taken", at },
      {
        _tag: "FencesOrdered",
        at,
        fences: [fence("m0")],
        standing: { operationId: idOf(3), attempt: 1, armedAt: at, deadline: at + 300_000 }
      },
      { _tag: "FencesLifted", at },
      { _tag: "RecoveryProven", at }
    )
    assert.deepStrictEqual(standingFaults([], [stopped, started], at + 1000), [])
    assert.lengthOf(standingFaults([], [stopped, started, stopped], at + 1000), 1)
  })

  it("are told by what was done", () => {
    assert.deepStrictEqual(["pause", "kill", "netfilter", "command"].map(takenBy), [
      "paused",
      "killed",
      "cut off",
      "taken out"
    ])
  })
})
