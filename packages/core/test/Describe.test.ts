import { assert, describe as suite, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { describe, describeBriefly, describeWrites, phaseOf } from "@inquorate/core/Describe"
import { collect, type EvidenceEntry, type Fact } from "@inquorate/core/Evidence"
import { advance, type Event, make, type Operation } from "@inquorate/core/Operation"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { FaultRequest } from "@inquorate/core/Request"

const at = 1_000_000
const id = "11111111-2222-3333-4444-555555555555"
const partition = { serviceName: "fabric:/locks/kv", partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa" }
const loss: FaultRequest = { kind: "PartitionQuorumLoss", ...partition, mode: "QuorumReplicas", hold: 5000 }

const fence = (member: string): PlannedFence => ({
  member,
  node: `locks-${member}`,
  injector: "pause",
  grade: "Keeper",
  process: { host: "local", pid: 4711, startTime: "123456", executable: "/bin/etcd", dataDirectory: `/data/${member}` }
})

const play = (operation: Operation, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((state, event) => Result.getOrThrow(advance(state, event)), operation)

const ordered: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [fence("m1"), fence("m2")] }
]
const held: ReadonlyArray<Event> = [...ordered, { _tag: "FencesArmed", at }, { _tag: "LossProven", at, lossBegan: at }]
const lifted: ReadonlyArray<Event> = [
  ...held,
  { _tag: "HoldEnded", at: at + 5000 },
  { _tag: "FencesLifted", at: at + 5000 }
]
const recovered: ReadonlyArray<Event> = [...lifted, { _tag: "RecoveryProven", at: at + 5023 }]

const evidence = (...facts: ReadonlyArray<Fact | readonly [number, Fact]>) =>
  collect(
    facts.map((given, index): EvidenceEntry => {
      const [moment, fact] = "_tag" in given ? [at + index, given] : given
      return { at: moment, monotonic: moment - at, worker: "w1", fact }
    })
  )

const armed: ReadonlyArray<Fact> = ["m1", "m2"].flatMap((member): ReadonlyArray<Fact> => [
  { _tag: "FenceOrdered", member, host: "local", grade: "Keeper", epoch: 1, deadline: at + 7000 },
  { _tag: "FenceArmed", member, processes: 1 }
])
const off: ReadonlyArray<Fact> = ["m1", "m2"].map((member): Fact => ({
  _tag: "FenceLifted",
  member,
  by: "Worker",
  offAt: at + 5000,
  overrun: 0
}))

suite("an end in one sentence", () => {
  it("of a node's restart and of a replica's removal says what was done, and to whom", () => {
    const done = (request: FaultRequest, ...events: ReadonlyArray<Event>) =>
      describe(play(make(id, request, at), { _tag: "Taken", at }, ...events), evidence(...armed, ...off))
    const restart: FaultRequest = { kind: "NodeTransition", transition: "Restart", nodeName: "n1", instanceId: "7" }
    assert.include(
      done(
        restart,
        { _tag: "FencesOrdered", at, fences: [fence("m1")] },
        { _tag: "FencesArmed", at },
        { _tag: "FencesLifted", at },
        { _tag: "RecoveryProven", at }
      ),
      "The node n1 was restarted"
    )
    const removal: FaultRequest = { kind: "PartitionDataLoss", ...partition, mode: "PartialDataLoss", member: "m1" }
    assert.include(
      done(
        removal,
        { _tag: "FencesOrdered", at, fences: [] },
        { _tag: "DataDestroyed", at },
        { _tag: "RecoveryProven", at }
      ),
      "The replica m1 was removed with its data"
    )
  })

  it("of a proven loss says what clients felt", () => {
    const facts = [
      { _tag: "HoldMeasured", asked: 5000, measured: 5204 },
      { _tag: "RecoveryMeasured", recovery: 23 }
    ] as const
    assert.strictEqual(
      describe(play(make(id, loss, at), ...recovered), evidence(...facts)),
      "No write was acknowledged for 5.2 s; 23 ms after the lift writes went through again."
    )
    assert.strictEqual(
      describe(play(make(id, loss, at), ...recovered), evidence({ _tag: "Unobserved", span: 1500 }, ...facts)),
      "No write was acknowledged for 5.2 s, of which nobody watched for 1.5 s; 23 ms after the lift writes went through again."
    )
    assert.strictEqual(
      describe(play(make(id, loss, at), ...recovered), evidence({ _tag: "Unobserved", span: 6000 }, ...facts)),
      "No write was acknowledged for 5.2 s, though nobody watched its end (6.0 s); 23 ms after the lift writes went through again."
    )
    assert.strictEqual(
      describe(play(make(id, loss, at), ...recovered), null),
      "No write was acknowledged for 5.0 s, and then writes went through again."
    )
  })

  it("of a refusal says why, what to do, and that nothing was stopped", () => {
    const refused = play(
      make(id, loss, at),
      { _tag: "Taken", at },
      { _tag: "StepFailed", at, error: "FABRIC_E_INVALID_OPERATION", retryable: false }
    )
    assert.strictEqual(
      describe(refused, evidence({ _tag: "Refused", refusal: { _tag: "Protected", cluster: "locks" } })),
      'Faulted: The cluster locks is marked protected. Remove "protected: true" from its configuration to allow faults; nothing was stopped.'
    )
    assert.strictEqual(describe(refused, null), "Faulted: a guard said no; nothing of it stands.")
  })

  it("of what could not be done says the last word and what became of the members", () => {
    const failed = play(
      make(id, loss, at),
      ...ordered,
      { _tag: "StepFailed", at, error: "E_ABORT", retryable: false },
      { _tag: "FencesLifted", at },
      { _tag: "UndoEnded", at, clean: true }
    )
    const note = {
      _tag: "Noted",
      text: "m1 was not fenced (OrderRefused): host local is short of processor time"
    } as const
    assert.strictEqual(
      describe(failed, evidence(note)),
      "Faulted: m1 was not fenced (OrderRefused): host local is short of processor time; nothing was stopped."
    )
    assert.strictEqual(
      describe(failed, evidence(...armed, ...off, note)),
      "Faulted: m1 was not fenced (OrderRefused): host local is short of processor time; m1 and m2 were taken out and are back."
    )
    const owner = { _tag: "Noted", text: "The fence on m1 was ordered by an earlier owner, and it is Lifted" } as const
    assert.strictEqual(
      describe(failed, evidence(...armed.filter(({ _tag }) => _tag === "FenceOrdered"), ...off, owner)),
      "Faulted: The fence on m1 was ordered by an earlier owner, and it is Lifted; m1 and m2 may have been taken out, and are back."
    )
    const verdict = { about: "Loss", outcome: "Mismatch", facts: ["3 writes were acknowledged"] } as const
    assert.strictEqual(
      describe(failed, evidence(...armed, ...off, { _tag: "Judged", verdict })),
      "Faulted: the loss was not proven (3 writes were acknowledged); m1 and m2 were taken out and are back."
    )
  })

  it("of a cancel says how far it was", () => {
    const cancelled = (events: ReadonlyArray<Event>) =>
      play(
        make(id, loss, at),
        ...events,
        { _tag: "CancelRequested", at, force: false },
        { _tag: "FencesLifted", at },
        { _tag: "UndoEnded", at, clean: true }
      )
    assert.strictEqual(describe(cancelled(ordered), evidence()), "Cancelled: nothing was stopped.")
    assert.strictEqual(
      describe(
        cancelled(held),
        evidence(
          ...armed,
          [at, { _tag: "PhaseBegan", phase: "Holding", attempt: 1 }],
          [at + 1200, { _tag: "PhaseBegan", phase: "Undoing", attempt: 1 }],
          ...off
        )
      ),
      "Cancelled 1.2 s into the loss: m1 and m2 were taken out and are back."
    )
  })

  it("of what may still stand says until when, and who looks after it", () => {
    const unclean = play(
      make(id, loss, at),
      ...ordered,
      { _tag: "StepFailed", at, error: "FABRIC_E_COMMUNICATION_ERROR", retryable: false },
      { _tag: "UndoEnded", at: at + 100_000, clean: false }
    )
    assert.match(
      describe(unclean, evidence({ _tag: "Noted", text: "host far did not answer." }), { moment: () => "02:13:33" }),
      /^Faulted: host far did not answer\. It is not known whether everything that was stopped runs again: each fence ends by itself by 02:13:33, and "inq doctor --sweep"/
    )
    // Where a host has said why one stands, that is the reason, and what was noted after it is not.
    const why = `m1 was killed, and the server could not be started again: FATAL: no space left; start it by hand, then "inq doctor --sweep" on host h1`
    const noted = { _tag: "Noted", text: "m2: runs again as process 7" } as const
    assert.strictEqual(
      describe(unclean, evidence(...armed, { _tag: "FenceUnknown", member: "m1", detail: why }, noted)),
      `Faulted: ${why}.`
    )
    const forced = play(
      make(id, loss, at),
      ...held,
      { _tag: "CancelRequested", at, force: false },
      { _tag: "CancelRequested", at, force: true }
    )
    assert.match(describe(forced, null), /^Cancelled by force: nobody waited for the lift\. It is not known/)
  })

  it("of a node says until when it is stopped, and how it starts before", () => {
    const node = { kind: "NodeTransition", nodeName: "locks-m0", instanceId: "7" } as const
    const stopped = play(make(id, { ...node, transition: "Stop", duration: 300_000 }, at), ...ordered, {
      _tag: "FencesArmed",
      at
    })
    assert.strictEqual(
      describe(stopped, null, { moment: () => "02:23:33" }),
      'The node locks-m0 is stopped until 02:23:33, and then starts by itself; "inq node start locks-m0" starts it before.'
    )
  })
})

suite("what an operation does now", () => {
  it("is told in a few words", () => {
    const operation = make(id, loss, at)
    const moment = () => "02:25:59"
    const now = at + 1800
    assert.strictEqual(phaseOf(operation, now), "waiting for its turn")
    assert.strictEqual(phaseOf(play(operation, { _tag: "Taken", at }), now), "looking at the group")
    assert.strictEqual(phaseOf(play(operation, ...ordered), now), "taking out m1 and m2")
    assert.strictEqual(phaseOf(play(operation, ...held), now, { moment }), "quorum lost, 3.2 s left, until 02:25:59")
    assert.strictEqual(
      phaseOf(play(operation, ...held), at + 60_000, { moment }),
      "quorum lost, 0 ms left, until 02:25:59"
    )
    assert.strictEqual(phaseOf(play(operation, ...lifted), now), "lifted; waiting for writes to go through again")
    const cancelled = play(operation, ...held, { _tag: "CancelRequested", at, force: false })
    assert.strictEqual(phaseOf(cancelled, now), "lifting (cancelled)")
    assert.strictEqual(phaseOf(play(operation, ...recovered), now), "Completed")
  })
})

it("the probe's writes are prompt, held back, refused or lost", () => {
  const sample = (
    sequence: number,
    sentAt: number,
    endedAt: number | null,
    tag: "Acknowledged" | "Refused" | null
  ) => ({
    sequence,
    endpoint: "e",
    sentAt: at + sentAt,
    endedAt: endedAt === null ? null : at + endedAt,
    outcome: tag === null ? null : tag === "Refused" ? ({ _tag: tag, detail: "no" } as const) : ({ _tag: tag } as const)
  })
  const lifting = [at + 5000, { _tag: "PhaseBegan", phase: "Lifting", attempt: 1 }] as const
  const told = (...samples: ReadonlyArray<ReturnType<typeof sample>>) =>
    describeWrites(evidence({ _tag: "Sampled", samples }, lifting))
  assert.strictEqual(
    told(sample(1, 0, 3, "Acknowledged"), sample(2, 10, 5110, "Acknowledged"), sample(3, 5200, 5203, "Acknowledged")),
    "3 writes: 2 prompt, 1 held back 5.1 s until after the lift, 0 lost"
  )
  assert.strictEqual(
    told(sample(1, 0, 3, "Refused"), sample(2, 10, null, null)),
    "2 writes: 0 prompt, 1 refused, 1 without an answer"
  )
})

suite("an operation in a few words", () => {
  const moment = (instant: number): string => `moment ${instant - at}`
  const briefly = (request: FaultRequest, ...events: ReadonlyArray<Event>): string =>
    describeBriefly(play(make(id, request, at), ...events), at + 1000, { moment })
  const cancel: Event = { _tag: "CancelRequested", at, force: false }
  const lift: ReadonlyArray<Event> = [
    { _tag: "FencesLifted", at },
    { _tag: "UndoEnded", at, clean: true }
  ]

  it("says what it does while it lives", () => {
    assert.strictEqual(briefly(loss, ...held), "quorum lost, 4.0 s left, until moment 5000")
  })

  it("says of each kind what came of it", () => {
    assert.strictEqual(briefly(loss, ...recovered), "lost, and given back")
    assert.strictEqual(
      briefly(
        { kind: "PartitionRestart", ...partition, mode: "AllReplicasOrInstances" },
        ...ordered,
        {
          _tag: "FencesArmed",
          at
        },
        { _tag: "FencesLifted", at },
        { _tag: "RecoveryProven", at }
      ),
      "restarted"
    )
    assert.strictEqual(
      briefly(
        { kind: "PartitionDataLoss", ...partition, mode: "FullDataLoss" },
        { _tag: "Taken", at },
        {
          _tag: "FencesOrdered",
          at,
          fences: []
        },
        { _tag: "DataDestroyed", at },
        { _tag: "RecoveryProven", at }
      ),
      "data gone, works again"
    )
  })

  it("tells a person's cancel from a fault that could not be proven", () => {
    assert.strictEqual(briefly(loss, ...held, cancel, ...lift), "cancelled")
    assert.strictEqual(
      briefly(loss, ...held, cancel, { _tag: "CancelRequested", at, force: true }),
      "cancelled by force; may still stand"
    )
    assert.strictEqual(
      briefly(loss, ...ordered, { _tag: "StepFailed", at, error: "E_ABORT", retryable: false }, ...lift),
      "the fault could not be proven"
    )
  })
})
