import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import {
  advance,
  attemptsMax,
  Event,
  grace,
  holdsPartition,
  isTerminal,
  make,
  Operation,
  standingOrder,
  verifyBudget,
  verifyBudgetMost,
  verifyBudgetOn
} from "@inquorate/core/Operation"
import { isFabricRequest, progressOf, stateOf } from "@inquorate/core/Wire"
import type { PlannedFence } from "@inquorate/core/Plan"
import type { FaultRequest, QuorumLossRequest } from "@inquorate/core/Request"

const fence: PlannedFence = {
  member: "s1",
  node: "node-1",
  injector: "pause",
  grade: "Keeper",
  process: { host: "local", pid: 4711, startTime: "123456", executable: "/bin/postgres", dataDirectory: "/data/s1" }
}

const loss: QuorumLossRequest = {
  kind: "PartitionQuorumLoss",
  serviceName: "fabric:/orders/quorum",
  partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
  mode: "QuorumReplicas",
  hold: 5000
}
const { serviceName, partitionId } = loss
const node = { kind: "NodeTransition", nodeName: "node-1", instanceId: "7" } as const

/** One request of every kind. */
const requests: ReadonlyArray<FaultRequest> = [
  loss,
  { kind: "PartitionDataLoss", serviceName, partitionId, mode: "FullDataLoss" },
  { kind: "PartitionRestart", serviceName, partitionId, mode: "OnlyActiveSecondaries" },
  { ...node, transition: "Stop", duration: 300_000 },
  { ...node, transition: "Start" }
]

const begin = (request: FaultRequest): Operation => make("11111111-2222-3333-4444-555555555555", request, 1_000_000)

const fresh = begin(loss)

const standing = {
  operationId: "99999999-2222-3333-4444-555555555555",
  attempt: 1,
  armedAt: 900_000,
  deadline: 1_300_000
}

const play = (operation: Operation, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((state, event) => Result.getOrThrow(advance(state, event)), operation)

/** Every kind of event at one moment, with each choice that changes where it leads. */
const eventsAt = (at: number): ReadonlyArray<Event> => [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [fence] },
  { _tag: "FencesOrdered", at, fences: [fence], standing },
  { _tag: "FencesArmed", at },
  { _tag: "DataDestroyed", at },
  { _tag: "LossProven", at, lossBegan: at },
  { _tag: "HoldEnded", at },
  { _tag: "FencesLifted", at },
  { _tag: "RecoveryProven", at },
  { _tag: "StepFailed", at, error: "FABRIC_E_TIMEOUT", retryable: false },
  { _tag: "StepFailed", at, error: "FABRIC_E_COMMUNICATION_ERROR", retryable: true },
  { _tag: "UndoEnded", at, clean: true },
  { _tag: "UndoEnded", at, clean: false },
  { _tag: "CancelRequested", at, force: false },
  { _tag: "CancelRequested", at, force: true },
  { _tag: "ResidueSwept", at }
]

interface Node {
  readonly operation: Operation
  readonly now: number
}

const forever = 1_000_000_000

/** What tells two states apart for the rules: everything but the moments, and of the moments only which side they lie on. */
const keyOf = ({ now, operation }: Node): string => {
  const order = standingOrder(operation)
  const stage = JSON.stringify(operation.stage, (name, value) =>
    ["armedAt", "deadline", "lossBegan", "liftAt", "liftedAt", "until", "fences"].includes(name) ? undefined : value
  )
  return [
    JSON.stringify(operation.request),
    stage,
    operation.attempt,
    operation.firstDeadline === null ? "none" : now < operation.firstDeadline,
    order === null ? "none" : now < order.deadline + grace
  ].join("|")
}

/** Every state that any sequence of events leads to, searched breadth first, with the states one event away. */
const reachable = (): ReadonlyMap<string, { readonly node: Node; readonly next: ReadonlyArray<string> }> => {
  const seen = new Map<string, { node: Node; next: Array<string> }>()
  const queue = requests.map((request): Node => ({ operation: begin(request), now: fresh.receivedAt }))
  for (const node of queue) seen.set(keyOf(node), { node, next: [] })
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    const here = seen.get(keyOf(node))!
    const later: Array<Node> = [{ ...node, now: forever }]
    for (const at of [node.now + 1, forever]) {
      for (const event of eventsAt(at)) {
        const moved = advance(node.operation, event)
        if (Result.isSuccess(moved)) later.push({ operation: moved.success, now: at })
      }
    }
    for (const next of later) {
      const key = keyOf(next)
      here.next.push(key)
      if (!seen.has(key)) {
        seen.set(key, { node: next, next: [] })
        queue.push(next)
      }
    }
  }
  return seen
}

const states = reachable()

const phaseOf = ({ stage }: Operation): string =>
  stage._tag === "Advancing" && stage.step._tag === "PerformingActions" ? stage.step.phase._tag : stage._tag

const resultOf = {
  PartitionQuorumLoss: "InvokeQuorumLossResult",
  PartitionDataLoss: "InvokeDataLossResult",
  PartitionRestart: "RestartPartitionResult",
  NodeTransition: "NodeTransitionResult"
}

// WRITE_STORED=1 adds the forms of this version as a new file; the files that are there are never changed.
if (process.env.WRITE_STORED !== undefined) {
  const forms = new Map<string, unknown>()
  for (const { node } of states.values()) {
    const { stage } = node.operation
    const kind = JSON.stringify(stage, (name, value) =>
      name === "order" ? undefined : typeof value === "number" ? 0 : value
    )
    if (!forms.has(kind)) forms.set(kind, Schema.encodeSync(Operation)(node.operation))
  }
  const file = new URL(`./stored/operation-${process.env.WRITE_STORED}.json`, import.meta.url)
  fs.writeFileSync(file, `[\n${[...forms.values()].map((form) => JSON.stringify(form)).join(",\n")}\n]\n`, {
    flag: "wx"
  })
}

describe("every reachable state of an operation", () => {
  it("was visited, and there is more than a handful", () => {
    console.log(`visited ${states.size} reachable states, ${[...states.values()].flatMap((s) => s.next).length} moves`)
    assert.isAbove(states.size, 50)
    const tags = new Set([...states.values()].map(({ node }) => node.operation.stage._tag))
    assert.deepStrictEqual([...tags].sort(), ["Advancing", "Completed", "Failed", "Undoing"])
  })

  it("shows a legal wire state, never Invalid, and a result only when Completed or Faulted", () => {
    for (const { node } of states.values()) {
      const progress = progressOf(node.operation)
      assert.notStrictEqual(progress.State, "Invalid")
      const ended = progress.State === "Completed" || progress.State === "Faulted"
      const { State, ...results } = progress
      const { request } = node.operation
      assert.deepStrictEqual(Object.keys(results), ended && isFabricRequest(request) ? [resultOf[request.kind]] : [])
      for (const { ErrorCode } of Object.values(results)) {
        if (State === "Completed") assert.strictEqual(ErrorCode, 0)
        else assert.isBelow(ErrorCode, 0)
      }
    }
  })

  it("can still reach an end", () => {
    const ends = new Set([...states].filter(([, { node }]) => isTerminal(node.operation)).map(([key]) => key))
    for (let grown = true; grown;) {
      grown = false
      for (const [key, { next }] of states) {
        if (!ends.has(key) && next.some((other) => ends.has(other))) {
          ends.add(key)
          grown = true
        }
      }
    }
    assert.deepStrictEqual(
      [...states.keys()].filter((key) => !ends.has(key)),
      []
    )
  })

  it("absorbs every event once it is terminal, save that a sweep clears a residue", () => {
    for (const { node } of states.values()) {
      if (!isTerminal(node.operation)) continue
      assert.isNotNull(node.operation.endedAt)
      for (const event of eventsAt(forever)) {
        const moved = advance(node.operation, event)
        if (Result.isFailure(moved)) continue
        assert.strictEqual(event._tag, "ResidueSwept")
        assert.strictEqual(stateOf(moved.success.stage), stateOf(node.operation.stage))
        assert.isFalse(holdsPartition(moved.success))
      }
    }
  })

  it("accepts a graceful cancel while it lives, and then never ends Completed or Faulted", () => {
    for (const { node } of states.values()) {
      const cancelled = advance(node.operation, { _tag: "CancelRequested", at: node.now + 1, force: false })
      assert.strictEqual(Result.isSuccess(cancelled), !isTerminal(node.operation))
      if (Result.isFailure(cancelled)) {
        assert.strictEqual(cancelled.failure.code, "FABRIC_E_KEY_NOT_FOUND")
        continue
      }
      for (const end of endsFrom(cancelled.success)) {
        assert.include(["Cancelled", "ForceCancelled"], stateOf(end.stage))
      }
    }
  })

  it("accepts force only after a graceful cancel, and then ends at once", () => {
    for (const { node } of states.values()) {
      const { stage } = node.operation
      const forced = advance(node.operation, { _tag: "CancelRequested", at: node.now + 1, force: true })
      const cancelling = stage._tag === "Undoing" && stage.reason === "cancel"
      assert.strictEqual(Result.isSuccess(forced), cancelling)
      if (Result.isSuccess(forced)) assert.strictEqual(stateOf(forced.success.stage), "ForceCancelled")
    }
  })

  it("never ends Completed once a step has failed for good", () => {
    for (const { node } of states.values()) {
      const { stage } = node.operation
      if (stage._tag !== "Undoing" || stage.reason === "retry") continue
      for (const end of endsFrom(node.operation)) assert.notStrictEqual(end.stage._tag, "Completed")
    }
  })

  it("ends with fences only past their lift or with an expiry on record", () => {
    let ends = 0
    for (const { node } of states.values()) {
      const order = standingOrder(node.operation)
      if (order === null || isTerminal(node.operation)) continue
      for (const event of [...eventsAt(node.now + 1), ...eventsAt(forever)]) {
        const moved = advance(node.operation, event)
        if (Result.isFailure(moved) || !isTerminal(moved.success)) continue
        ends++
        const { stage } = moved.success
        const onRecord =
          (stage._tag === "Failed" &&
            stage.residue._tag === "Unknown" &&
            stage.residue.until === order.deadline + grace) ||
          (stage._tag === "Completed" && stage.standing?.deadline === order.deadline)
        assert.isTrue(liftWasSeen(node.operation) || onRecord)
      }
    }
    assert.isAbove(ends, 0)
  })

  it("tries no more than the attempts it has, and moves a deadline back only where an order that touched nothing is given anew", () => {
    for (const { node, next } of states.values()) {
      assert.isAtMost(node.operation.attempt, attemptsMax)
      const order = standingOrder(node.operation)
      for (const event of eventsAt(node.now + 1)) {
        const moved = advance(node.operation, event)
        if (Result.isFailure(moved) || order === null) continue
        if (event._tag === "FencesOrdered") {
          assert.strictEqual(node.operation.stage._tag === "Advancing" && phaseOf(node.operation), "Arming")
          continue
        }
        const after = standingOrder(moved.success)
        if (after !== null) assert.isAtMost(after.deadline, order.deadline)
        if (node.operation.firstDeadline !== null) {
          assert.strictEqual(moved.success.firstDeadline, node.operation.firstDeadline)
        }
      }
      assert.isAbove(next.length, 0)
    }
  })

  it("keeps its stored form", () => {
    const codec = Schema.fromJsonString(Operation)
    for (const { node } of states.values()) {
      const stored = Schema.encodeSync(codec)(node.operation)
      assert.deepStrictEqual(Schema.decodeSync(codec)(stored), node.operation)
    }
  })
})

describe("an order that every host refused as late", () => {
  it("is given anew with its whole time, and the budget of the attempts goes with it", () => {
    const ordered = play(fresh, { _tag: "Taken", at: 1 }, { _tag: "FencesOrdered", at: 1000, fences: [fence] })
    const anew = play(ordered, { _tag: "FencesOrdered", at: 9000, fences: [fence], verifyWithin: 3000 })
    const order = standingOrder(anew)!
    assert.strictEqual(order.deadline, 9000 + 3000 + loss.hold)
    assert.strictEqual(order.armedAt, 9000)
    assert.strictEqual(anew.firstDeadline, order.deadline)
    assert.strictEqual(anew.attempt, ordered.attempt)
    const armed = play(anew, { _tag: "FencesArmed", at: 9100 })
    assert.isTrue(Result.isFailure(advance(armed, { _tag: "FencesOrdered", at: 9200, fences: [fence] })))
  })

  it("gives the loss more time to show on a slow host, between a floor and a ceiling", () => {
    assert.strictEqual(verifyBudgetOn(0), verifyBudget)
    assert.strictEqual(verifyBudgetOn(100), verifyBudget)
    assert.isAbove(verifyBudgetOn(1000), verifyBudget)
    assert.strictEqual(verifyBudgetOn(60_000), verifyBudgetMost)
  })
})

describe("the stored forms of earlier versions", () => {
  const directory = new URL("./stored/", import.meta.url)
  const names = fs.readdirSync(directory)

  it("are there", () => assert.isAbove(names.length, 0))

  for (const name of names) {
    it(`${name} still decode, encode to the same and go on`, () => {
      const forms = JSON.parse(fs.readFileSync(new URL(name, directory), "utf8")) as ReadonlyArray<unknown>
      assert.isAbove(forms.length, 0)
      for (const form of forms) {
        const operation = Schema.decodeUnknownSync(Operation)(form)
        assert.deepStrictEqual(Schema.encodeSync(Operation)(operation) as unknown, form)
        if (!isTerminal(operation)) {
          play(operation, { _tag: "CancelRequested", at: forever, force: false })
        }
      }
    })
  }
})

describe("an operation", () => {
  const armed = play(
    fresh,
    { _tag: "Taken", at: 1_000_010 },
    { _tag: "FencesOrdered", at: 1_000_100, fences: [fence] },
    { _tag: "FencesArmed", at: 1_000_130 }
  )

  it("arms with a deadline of two seconds to verify and the asked hold, and tightens it once the loss is proven", () => {
    assert.strictEqual(standingOrder(armed)!.deadline, 1_000_100 + 2000 + 5000)
    const holding = play(armed, { _tag: "LossProven", at: 1_000_300, lossBegan: 1_000_120 })
    assert.strictEqual(standingOrder(holding)!.deadline, 1_000_120 + 5000 + 500)
    assert.deepStrictEqual(holding.stage, {
      _tag: "Advancing",
      step: {
        _tag: "PerformingActions",
        order: { ...standingOrder(holding)! },
        phase: { _tag: "Holding", lossBegan: 1_000_120, liftAt: 1_005_120 }
      }
    })
  })

  it("lets a stopped node stand until its own deadline, and its start lift what the stop armed", () => {
    const stopped = play(
      begin(requests[3]!),
      { _tag: "Taken", at: 1_000_010 },
      { _tag: "FencesOrdered", at: 1_000_100, fences: [fence] },
      { _tag: "FencesArmed", at: 1_000_130 }
    )
    assert.deepStrictEqual(stopped.stage, {
      _tag: "Completed",
      standing: { fences: [fence], armedAt: 1_000_100, deadline: 1_300_100 }
    })
    const starting = play(
      begin(requests[4]!),
      { _tag: "Taken", at: 1_000_210 },
      { _tag: "FencesOrdered", at: 1_000_300, fences: [fence], standing }
    )
    const { armedAt, deadline, ...of } = standing
    assert.deepStrictEqual(standingOrder(starting), { fences: [fence], armedAt, deadline, of })
    const started = play(starting, { _tag: "FencesLifted", at: 1_000_400 }, { _tag: "RecoveryProven", at: 1_000_900 })
    assert.strictEqual(stateOf(started.stage), "Completed")
  })

  it("restarts without a hold, and loses data without a fence", () => {
    const restarted = play(
      begin(requests[2]!),
      { _tag: "Taken", at: 1_000_010 },
      { _tag: "FencesOrdered", at: 1_000_100, fences: [fence] },
      { _tag: "FencesArmed", at: 1_000_130 },
      { _tag: "FencesLifted", at: 1_000_140 },
      { _tag: "RecoveryProven", at: 1_002_000 }
    )
    assert.strictEqual(stateOf(restarted.stage), "Completed")
    const destroyed = play(
      begin(requests[1]!),
      { _tag: "Taken", at: 1_000_010 },
      { _tag: "FencesOrdered", at: 1_000_100, fences: [] },
      { _tag: "DataDestroyed", at: 1_000_130 },
      { _tag: "RecoveryProven", at: 1_002_000 }
    )
    assert.strictEqual(stateOf(destroyed.stage), "Completed")
  })

  it("lifts at the verdict when no hold was asked for", () => {
    const brief = play(
      { ...fresh, request: { ...loss, hold: 0 } },
      { _tag: "Taken", at: 1_000_010 },
      { _tag: "FencesOrdered", at: 1_000_100, fences: [fence] },
      { _tag: "FencesArmed", at: 1_000_130 },
      { _tag: "LossProven", at: 1_000_700, lossBegan: 1_000_120 }
    )
    assert.include(JSON.stringify(brief.stage), '"liftAt":1000700')
    assert.strictEqual(standingOrder(brief)!.deadline, 1_000_700 + 500)
  })

  it("waits 1 s and then 2 s between its three attempts, and fails after the third", () => {
    const failure: Event = { _tag: "StepFailed", at: 1_001_000, error: "FABRIC_E_COMMUNICATION_ERROR", retryable: true }
    const looking = play(fresh, { _tag: "Taken", at: 1_000_010 })
    const second = play(looking, failure)
    const third = play(second, failure)
    const over = play(third, failure)
    assert.deepStrictEqual([second.attempt, second.notBefore - 1_001_000], [2, 1000])
    assert.deepStrictEqual([third.attempt, third.notBefore - 1_001_000], [3, 2000])
    assert.strictEqual(stateOf(over.stage), "Faulted")
  })

  it("does not try again once its first deadline is over", () => {
    const failed = play(armed, { _tag: "StepFailed", at: 1_007_100, error: "E_ABORT", retryable: true })
    assert.deepInclude(failed.stage, { _tag: "Undoing", reason: "fail" })
  })

  it("cannot end its undo before the lift was seen or every expiry is over", () => {
    const undoing = play(armed, { _tag: "CancelRequested", at: 1_000_200, force: false })
    const deadline = standingOrder(undoing)!.deadline
    assert.isTrue(Result.isFailure(advance(undoing, { _tag: "UndoEnded", at: 1_000_300, clean: true })))
    assert.isTrue(Result.isFailure(advance(undoing, { _tag: "UndoEnded", at: deadline + grace - 1, clean: false })))
    const ended = play(undoing, { _tag: "UndoEnded", at: deadline + grace, clean: false })
    assert.isTrue(holdsPartition(ended))
    assert.isFalse(holdsPartition(play(ended, { _tag: "ResidueSwept", at: deadline + grace + 1 })))
  })

  it("never shows a retry as RollingBack", () => {
    const retrying = play(armed, { _tag: "StepFailed", at: 1_000_200, error: "E_ABORT", retryable: true })
    assert.strictEqual(stateOf(retrying.stage), "Running")
  })

  it("names the partition in a fault only once the look-up has finished", () => {
    const early = play(
      fresh,
      { _tag: "Taken", at: 1_000_010 },
      {
        _tag: "StepFailed",
        at: 1_000_020,
        error: "FABRIC_E_SERVICE_DOES_NOT_EXIST",
        retryable: false
      }
    )
    assert.deepStrictEqual(progressOf(early), {
      State: "Faulted",
      InvokeQuorumLossResult: {
        ErrorCode: -2147017779,
        SelectedPartition: {
          ServiceName: "fabric:/orders/quorum",
          PartitionId: "00000000-0000-0000-0000-000000000000"
        }
      }
    })
  })
})

describe("any sequence of events", () => {
  it.prop("leads to a legal operation that keeps its stored form", { events: Schema.Array(Event) }, ({ events }) => {
    const codec = Schema.fromJsonString(Operation)
    const equal = Schema.toEquivalence(Operation)
    let operation = fresh
    for (const event of events) {
      const moved = advance(operation, event)
      if (Result.isFailure(moved)) continue
      assert.isFalse(isTerminal(operation) && event._tag !== "ResidueSwept")
      operation = moved.success
    }
    return equal(Schema.decodeSync(codec)(Schema.encodeSync(codec)(operation)), operation)
  })
})

const liftWasSeen = ({ stage }: Operation): boolean =>
  (stage._tag === "Undoing" && stage.phase === "Probing") ||
  (stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Recovering")

/** Every end that can be reached from an operation. */
const endsFrom = (operation: Operation): ReadonlyArray<Operation> => {
  const seen = new Set<string>()
  const ends: Array<Operation> = []
  const queue: Array<Node> = [{ operation, now: fresh.receivedAt + 10 }]
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    const key = keyOf(node)
    if (seen.has(key)) continue
    seen.add(key)
    if (isTerminal(node.operation)) ends.push(node.operation)
    else {
      for (const at of [node.now + 1, forever]) {
        for (const event of eventsAt(at)) {
          const moved = advance(node.operation, event)
          if (Result.isSuccess(moved)) queue.push({ operation: moved.success, now: at })
        }
      }
    }
  }
  return ends
}
