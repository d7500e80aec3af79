import { assert, describe, it } from "@effect/vitest"
import { faultKinds, faultOf } from "@inquorate/core/Fault"
import { advance, type Event, make, Operation, standingOrder } from "@inquorate/core/Operation"
import { FaultRequest } from "@inquorate/core/Request"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const id = "11111111-2222-3333-4444-555555555555"
const about = { serviceName: "fabric:/orders/quorum", partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa" }
const node = { kind: "NodeTransition", nodeName: "orders-m0", instanceId: "7" } as const
const loss = { kind: "PartitionQuorumLoss", ...about, mode: "QuorumReplicas", hold: 5000 } as const
const known: ReadonlyArray<FaultRequest> = [
  loss,
  { kind: "PartitionDataLoss", ...about, mode: "PartialDataLoss" },
  { kind: "PartitionRestart", ...about, mode: "OnlyActiveSecondaries", member: "m1" },
  { ...node, transition: "Stop", duration: 60_000, intent: "Pause" },
  { ...node, transition: "Start" },
  { ...node, transition: "Restart" }
]

const decode = Schema.decodeUnknownResult(FaultRequest)
const fence = {
  member: "m0",
  node: "orders-m0",
  injector: "kill",
  grade: "Keeper",
  process: { host: "h", pid: 1, startTime: "1", dataDirectory: "/d", executable: "/x" }
} as never

const play = (request: FaultRequest, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((operation, event) => Result.getOrThrow(advance(operation, event)), make(id, request, 1000))

describe("a request", () => {
  it("of a quorum loss is read with its kind and without, and is stored and sent without, as old workers know it", () => {
    const { kind: _kind, ...old } = loss
    assert.deepStrictEqual(decode(old), Result.succeed(loss))
    assert.deepStrictEqual(decode(loss), Result.succeed(loss))
    assert.deepStrictEqual(Schema.encodeSync(FaultRequest)(loss) as object, old)
  })

  it("of every other kind keeps its form", () => {
    for (const request of known.filter(({ kind }) => kind !== "PartitionQuorumLoss")) {
      assert.deepStrictEqual(decode(request), Result.succeed(request))
      assert.deepStrictEqual(Schema.encodeSync(FaultRequest)(request) as object, request)
    }
  })

  it("of a kind that is not known is never read as one that is", () => {
    for (const kind of ["LeaderTransfer", "", null, undefined, 7, "constructor", "partitionquorumloss"]) {
      for (const request of known) assert.isTrue(Result.isFailure(decode({ ...request, kind })), `${String(kind)}`)
    }
  })

  it("of a kind that is not known makes a stored operation unreadable, and so nobody drives it", () => {
    const stored = Schema.encodeSync(Operation)(make(id, loss, 1000))
    const newer = { ...stored, request: { ...stored.request, kind: "LeaderTransfer" } }
    assert.isTrue(Result.isSuccess(Schema.decodeUnknownResult(Operation)(stored)))
    assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(Operation)(newer)))
  })
})

describe("the row of a kind", () => {
  it("is there for every kind", () => {
    assert.sameMembers([...faultKinds], [...new Set(known.map(({ kind }) => kind))])
  })

  it("is nobody else's: a kind without one moves no operation", () => {
    const stranger = make(id, { ...loss, kind: "LeaderTransfer" } as never, 1000)
    const looking = Result.getOrThrow(advance(stranger, { _tag: "Taken", at: 1000 }))
    assert.throws(() => advance(looking, { _tag: "FencesOrdered", at: 1001, fences: [fence] }))
    const ordered = play(loss, { _tag: "Taken", at: 1000 }, { _tag: "FencesOrdered", at: 1001, fences: [fence] })
    const armed = { ...ordered, request: stranger.request }
    assert.throws(() => advance(armed, { _tag: "FencesArmed", at: 1002 }))
  })

  it("leaves fences standing for the stop of a node alone", () => {
    for (const request of known) {
      const { first } = faultOf(request)
      const ordered = play(request, { _tag: "Taken", at: 1000 }, { _tag: "FencesOrdered", at: 1001, fences: [fence] })
      if (first !== "Arming") continue
      const { stage } = Result.getOrThrow(advance(ordered, { _tag: "FencesArmed", at: 1002 }))
      const stands = stage._tag === "Completed" && stage.standing !== undefined
      assert.strictEqual(stands, request.kind === "NodeTransition" && request.transition === "Stop", request.kind)
    }
  })

  it("bounds how long its fences stand", () => {
    const lasting = known.map((request) => {
      const ordered = play(request, { _tag: "Taken", at: 1000 }, { _tag: "FencesOrdered", at: 1001, fences: [fence] })
      return standingOrder(ordered)!.deadline - 1001
    })
    assert.deepStrictEqual(lasting, [7000, 10_000, 10_000, 60_000, 10_000, 10_000])
  })

  it("has its words", () => {
    const rows = known.map((request) => faultOf(request).words)
    assert.deepStrictEqual(
      rows.map(({ asked }) => asked),
      [
        "QuorumReplicas, hold 5.0 s",
        "PartialDataLoss",
        "m1 alone",
        "Stop, for 60.0 s, deactivated (Pause)",
        "Start",
        "Restart"
      ]
    )
    assert.deepStrictEqual(
      rows.map(({ short }) => short),
      ["loss 5.0 s", "data loss", "restart", "stop 60.0 s", "start", "restart"]
    )
    assert.deepStrictEqual(
      rows.map(({ lifting }) => lifting("m0")),
      ["lifting", ...Array.from({ length: 5 }, () => "bringing back m0")]
    )
  })
})
