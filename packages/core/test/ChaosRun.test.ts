import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { defaultParameters, readParameters } from "@inquorate/core/Chaos"
import {
  advanceChaos,
  type ChaosFault,
  type ChaosHappening,
  ChaosState,
  initialState,
  statusOf,
  viewOf
} from "@inquorate/core/ChaosRun"
import { emptyDescription } from "@inquorate/core/ChaosSchedule"

const guid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`
const parameters = Result.getOrThrow(readParameters({ TimeToRunInSeconds: "3600" }))

const fault = (n: number): ChaosFault => ({
  text: `fault ${n}`,
  steps: [
    {
      operationId: guid(n),
      request: {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/lab/kv",
        partitionId: guid(999),
        mode: "QuorumReplicas",
        hold: 1000
      }
    }
  ],
  startAt: 0,
  state: "Open"
})

/** Every kind of happening at one moment, with each choice that changes where it leads. */
const happenings = (at: number): ReadonlyArray<ChaosHappening> => [
  { _tag: "StartAsked", at, runId: guid(1), parameters },
  { _tag: "ScheduleSet", at, description: emptyDescription },
  { _tag: "StopAsked", at },
  { _tag: "StretchBegan", at, runId: guid(2), parameters, until: at + 1000 },
  { _tag: "FaultsDrawn", at, faults: [], note: "nothing" },
  { _tag: "FaultsDrawn", at, faults: [fault(1), fault(2)], note: "" },
  { _tag: "ValidationFailed", at, reasons: ["down"] },
  { _tag: "FaultClosed", at, first: guid(1), problem: "" },
  { _tag: "FaultClosed", at, first: guid(2), problem: "refused" },
  { _tag: "WaitEnded", at },
  { _tag: "TimeOver", at },
  { _tag: "GivenUp", at }
]

const play = (...list: ReadonlyArray<ChaosHappening>) =>
  list.reduce(
    ({ kinds, state }, happening) => {
      const next = Result.getOrThrow(advanceChaos(state, happening))
      return { state: next.state, kinds: [...kinds, ...next.events.map(({ Kind }) => Kind)] }
    },
    { state: initialState, kinds: [] as ReadonlyArray<string> }
  )

const refusal = (state: ChaosState, happening: ChaosHappening): string => {
  const next = advanceChaos(state, happening)
  return Result.isFailure(next) ? next.failure.code : "taken"
}

const [start] = happenings(0) as [ChaosHappening]
const drawn: Extract<ChaosHappening, { readonly _tag: "FaultsDrawn" }> = {
  _tag: "FaultsDrawn",
  at: 1,
  faults: [fault(1), fault(2)],
  note: ""
}
const closed = (n: number, problem = ""): ChaosHappening => ({ _tag: "FaultClosed", at: 2, first: guid(n), problem })

describe("a run of chaos", () => {
  it("goes round and tells each step", () => {
    const { kinds, state } = play(
      start,
      drawn,
      closed(2, "it was refused"),
      closed(1),
      { _tag: "WaitEnded", at: 40_000 },
      { _tag: "ValidationFailed", at: 100_000, reasons: ["The node n1 is down."] },
      { _tag: "WaitEnded", at: 140_000 },
      { _tag: "FaultsDrawn", at: 140_001, faults: [], note: "Nothing." },
      { _tag: "TimeOver", at: 3_600_000 }
    )
    assert.deepStrictEqual(kinds, [
      "Started",
      "ExecutingFaults",
      "TestError",
      "Waiting",
      "ValidationFailed",
      "Waiting",
      "Waiting",
      "Stopped"
    ])
    assert.strictEqual(statusOf(state), "Stopped")
    assert.deepStrictEqual(state.last, parameters)
    const noted = play(start, { ...drawn, note: "Nothing moves." }, closed(1)).state
    const [waiting] = Result.getOrThrow(advanceChaos(noted, closed(2))).events
    assert.isTrue(waiting!.Kind === "Waiting" && waiting!.Reason.endsWith("iteration. Nothing moves."))
  })

  it("still runs while what it began is being undone, and stops at once where it began nothing", () => {
    const stop: ChaosHappening = { _tag: "StopAsked", at: 5 }
    const stopping = play(start, drawn, closed(1), stop)
    assert.deepStrictEqual(viewOf(stopping.state, 6), { parameters, status: "Running", scheduleStatus: "Stopped" })
    assert.strictEqual(refusal(stopping.state, start), "FABRIC_E_CHAOS_ALREADY_RUNNING")
    const over = Result.getOrThrow(advanceChaos(stopping.state, closed(2)))
    assert.deepStrictEqual(
      over.events.map(({ Kind }) => Kind),
      ["Stopped"]
    )
    assert.deepStrictEqual(play(start, stop).kinds, ["Started", "Stopped"])
    assert.deepStrictEqual(play(stop).kinds, [])
  })

  it("is refused a second start and another schedule, by the wire's code", () => {
    const { state } = play(start)
    assert.strictEqual(refusal(state, start), "FABRIC_E_CHAOS_ALREADY_RUNNING")
    assert.strictEqual(
      refusal(state, { _tag: "ScheduleSet", at: 1, description: state.description }),
      "FABRIC_E_CHAOS_ALREADY_RUNNING"
    )
    assert.strictEqual(state.description.Version, 1)
    assert.strictEqual(state.description.Schedule.ChaosParametersDictionary[0]!.Key, "adhoc")
  })

  it("keeps a stretch of the schedule quiet once its run has ended by its time to run", () => {
    const { state } = play(
      { _tag: "ScheduleSet", at: 0, description: emptyDescription },
      { _tag: "StretchBegan", at: 10, runId: guid(3), parameters, until: 10 ** 9 },
      { _tag: "TimeOver", at: 3_600_010 }
    )
    assert.strictEqual(state.quietUntil, 10 ** 9)
    assert.isFalse(state.scheduleStopped)
    assert.strictEqual(
      refusal(state, { _tag: "ScheduleSet", at: 4_000_000, description: emptyDescription }),
      "E_INVALIDARG"
    )
  })

  it.prop(
    "begins with Started and ends with one Stopped, keeps its stored form, and can always be brought to its end",
    { choices: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 }))) },
    ({ choices }) => {
      let state = initialState
      let open = false
      let version = 0
      for (const [index, choice] of choices.entries()) {
        const next = advanceChaos(state, happenings(index * 1000)[choice]!)
        if (Result.isFailure(next)) continue
        for (const { Kind } of next.success.events) {
          if (Kind === "Started") assert.isFalse(open)
          else assert.isTrue(open, Kind)
          if (Kind === "Started") open = true
          if (Kind === "Stopped") open = false
        }
        state = next.success.state
        assert.strictEqual(statusOf(state) === "Running", open)
        assert.isAtLeast(state.description.Version, version)
        version = state.description.Version
        const json = Schema.fromJsonString(ChaosState)
        assert.deepStrictEqual(Schema.decodeSync(json)(Schema.encodeSync(json)(state)), state)
      }
      const stopped = Result.getOrThrow(advanceChaos(state, { _tag: "StopAsked", at: 10 ** 9 })).state
      const over =
        stopped.run === null
          ? stopped
          : Result.getOrThrow(advanceChaos(stopped, { _tag: "GivenUp", at: 2 * 10 ** 9 })).state
      assert.notStrictEqual(statusOf(over), "Running")
    }
  )

  it("shows the defaults before anything was asked", () => {
    assert.deepStrictEqual(viewOf(initialState, 0), {
      parameters: defaultParameters,
      status: "Invalid",
      scheduleStatus: "Stopped"
    })
  })
})
