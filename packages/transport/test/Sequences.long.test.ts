/**
 * Goal: whatever callers do in whatever order, and whatever the engine does in between, every answer is one that the
 * contract's tables allow. Method: sequences from a seed of starts, cancels, forces, progress calls and lists, mixed with
 * the events of an engine, against a model that knows the tables and nothing of core's stages.
 * `INQUORATE_SEQUENCES` says how many, `INQUORATE_SEQUENCES_SEED` which.
 */
import { assert, it } from "@effect/vitest"
import { table } from "@inquorate/core/FabricError"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as FabricPath from "../src/fabric/FabricPath.ts"
import * as FabricServer from "../src/fabric/FabricServer.ts"
import { Control, etcd, fence, layer } from "./FakeOperations.ts"
import { type Dice, dice } from "./Fuzzing.ts"
import type { Event } from "@inquorate/core/Operation"

const count = Number(process.env["INQUORATE_SEQUENCES"] ?? 2000)
const seed = Number(process.env["INQUORATE_SEQUENCES_SEED"] ?? 8_2_0)
const steps = 30

type Kind = "PartitionQuorumLoss" | "PartitionDataLoss" | "PartitionRestart" | "NodeTransition"

/** What a caller can know of an operation: what was asked of it, and the last state it was seen in. */
interface Known {
  readonly kind: Kind
  readonly cancelled: boolean
  readonly forced: boolean
  readonly seen: string
}

const ids = [1, 2, 3].map((digit) => `${digit}1111111-1111-4111-8111-111111111111`)
const kinds: ReadonlyArray<Kind> = ["PartitionQuorumLoss", "PartitionDataLoss", "PartitionRestart", "NodeTransition"]
const typeBits = { PartitionDataLoss: 1, PartitionQuorumLoss: 2, PartitionRestart: 4, NodeTransition: 8 }
const stateBits: Readonly<Record<string, number>> = {
  Running: 1,
  RollingBack: 2,
  Completed: 8,
  Faulted: 16,
  Cancelled: 32,
  ForceCancelled: 64
}
const results = {
  PartitionQuorumLoss: "InvokeQuorumLossResult",
  PartitionDataLoss: "InvokeDataLossResult",
  PartitionRestart: "RestartPartitionResult",
  NodeTransition: "NodeTransitionResult"
}
const terminal = new Set(["Completed", "Faulted", "Cancelled", "ForceCancelled"])

const partition = (call: string, query: string): string =>
  `/Faults/Services/lab~kv/$/GetPartitions/${etcd.partitionId}/$/${call}?api-version=6.0&${query}`

const starts: Readonly<Record<Kind, (id: string) => string>> = {
  PartitionQuorumLoss: (id) =>
    partition("StartQuorumLoss", `OperationId=${id}&QuorumLossMode=AllReplicas&QuorumLossDuration=1`),
  PartitionDataLoss: (id) => partition("StartDataLoss", `OperationId=${id}&DataLossMode=FullDataLoss`),
  PartitionRestart: (id) => partition("StartRestart", `OperationId=${id}&RestartPartitionMode=AllReplicasOrInstances`),
  NodeTransition: (id) =>
    `/Faults/Nodes/lab-m1/$/StartTransition/?api-version=6.0&OperationId=${id}&NodeTransitionType=Stop&NodeInstanceId=1&StopDurationInSeconds=300`
}
const progresses: Readonly<Record<Kind, (id: string) => string>> = {
  PartitionQuorumLoss: (id) => partition("GetQuorumLossProgress", `OperationId=${id}`),
  PartitionDataLoss: (id) => partition("GetDataLossProgress", `OperationId=${id}`),
  PartitionRestart: (id) => partition("GetRestartProgress", `OperationId=${id}`),
  NodeTransition: (id) => `/Faults/Nodes/lab-m1/$/GetTransitionProgress?api-version=6.0&OperationId=${id}`
}

const at = 1_700_000_000_000
const events: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [fence] },
  { _tag: "FencesArmed", at },
  { _tag: "LossProven", at, lossBegan: at },
  { _tag: "DataDestroyed", at },
  { _tag: "HoldEnded", at },
  { _tag: "FencesLifted", at },
  { _tag: "RecoveryProven", at },
  { _tag: "UndoEnded", at, clean: true },
  { _tag: "UndoEnded", at, clean: false },
  { _tag: "ResidueSwept", at }
]

const failures: ReadonlyArray<Event> = [
  { _tag: "StepFailed", at, error: "FABRIC_E_TIMEOUT", retryable: true },
  { _tag: "StepFailed", at, error: "FABRIC_E_INVALID_OPERATION", retryable: false }
]

/** The states that the table allows after what was asked and seen. */
const mayBe = ({ cancelled, forced, seen }: Known, state: string): boolean => {
  if (terminal.has(seen)) return state === seen
  if (forced) return state === "ForceCancelled"
  if (cancelled) return state === "RollingBack" || state === "Cancelled"
  if (seen === "RollingBack") return state === "RollingBack" || state === "Faulted"
  return state !== "Cancelled" && state !== "ForceCancelled" && state !== "Invalid"
}

const sequence = (server: FabricServer.FabricServer, roll: Dice) =>
  Effect.gen(function* () {
    const { play } = yield* Control
    const known = new Map<string, Known>()
    const ask = Effect.fnUntraced(function* (method: string, target: string) {
      const parsed = FabricPath.parse(method, target)
      const reply = Result.isSuccess(parsed)
        ? yield* server.handle(parsed.success)
        : FabricServer.errorReply(parsed.failure)
      const code =
        reply.status < 400 ? "" : (JSON.parse(reply.body) as { readonly Error: { readonly Code: string } }).Error.Code
      if (code !== "") assert.strictEqual(reply.status, table[code as keyof typeof table].status, code)
      return { status: reply.status, code, body: reply.body }
    })
    const look = Effect.fnUntraced(function* (id: string, one: Known) {
      const { body, status } = yield* ask("GET", progresses[one.kind](id))
      assert.strictEqual(status, 200)
      const progress = JSON.parse(body) as Readonly<Record<string, unknown>>
      const state = String(progress["State"])
      assert.isTrue(mayBe(one, state), `${JSON.stringify(one)} → ${state}`)
      const result = progress[results[one.kind]] as { readonly ErrorCode: number } | undefined
      assert.deepStrictEqual(
        Object.keys(progress),
        state === "Completed" || state === "Faulted" ? ["State", results[one.kind]] : ["State"]
      )
      if (result !== undefined) assert.strictEqual(result.ErrorCode === 0, state === "Completed")
      known.set(id, { ...one, seen: state })
      return state
    })
    for (let step = 0; step < steps; step++) {
      const id = roll.of(ids)
      const one = known.get(id)
      switch (roll.below(8)) {
        case 0: {
          const kind = roll.of(kinds)
          // What is going on with the node decides before the id does.
          const others = [...known].filter(([, other]) => other.kind === "NodeTransition")
          const states = yield* Effect.forEach(others, ([other, its]) => look(other, its))
          const busy = kind === "NodeTransition" && states.some((state) => !terminal.has(state))
          const { body, code, status } = yield* ask("POST", starts[kind](id))
          // A transition that ended with a residue, which no sweep has confirmed gone, may keep the node as well.
          const mayBeBusy = kind === "NodeTransition" && others.length > 0
          if (busy || (mayBeBusy && code === "FABRIC_E_NODE_TRANSITION_IN_PROGRESS")) {
            assert.strictEqual(code, "FABRIC_E_NODE_TRANSITION_IN_PROGRESS")
          } else if (one !== undefined) {
            assert.strictEqual(code, "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS")
          } else {
            assert.deepStrictEqual([status, body], [202, ""])
            known.set(id, { kind, cancelled: false, forced: false, seen: "Running" })
          }
          break
        }
        case 1:
        case 2: {
          const force = roll.once(2)
          const state = one === undefined ? undefined : yield* look(id, one)
          const { body, code, status } = yield* ask(
            "POST",
            `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}`
          )
          if (one === undefined || terminal.has(state!)) assert.strictEqual(code, "FABRIC_E_KEY_NOT_FOUND")
          else if (force ? !one.cancelled || one.forced : one.forced) {
            assert.strictEqual(code, "FABRIC_E_INVALID_TEST_COMMAND_STATE")
          } else {
            assert.deepStrictEqual([status, body], [200, ""])
            known.set(id, { ...one, seen: state!, cancelled: true, forced: force })
          }
          break
        }
        case 3: {
          if (one !== undefined) yield* look(id, one)
          const wrong = roll.of(kinds.filter((kind) => kind !== one?.kind))
          const { code, status } = yield* ask("GET", progresses[wrong](id))
          assert.deepStrictEqual([status, code], [404, "FABRIC_E_KEY_NOT_FOUND"])
          break
        }
        case 4: {
          const type = roll.of([0, 1, 2, 4, 8, 9, 65535])
          const state = roll.of([0, 1, 2, 8, 16, 32, 64, 96, 65535])
          const expected: Array<unknown> = []
          for (const [each, its] of known) {
            const State = yield* look(each, its)
            if ((type === 0 || type & typeBits[its.kind]) && (state === 0 || state & stateBits[State]!)) {
              expected.push({ OperationId: each, State, Type: its.kind })
            }
          }
          const { body } = yield* ask("GET", `/Faults/?api-version=6.0&TypeFilter=${type}&StateFilter=${state}`)
          assert.deepStrictEqual(JSON.parse(body), expected)
          break
        }
        default:
          // The engine moves: by the next event that it may have now, or by a failure.
          if (one === undefined) break
          for (const event of roll.once(8) ? [roll.of(failures)] : events) {
            if (Exit.isSuccess(yield* Effect.exit(play(id, event)))) break
          }
      }
    }
    return [...known.values()]
  })

it.live(
  `${count} sequences of calls from seed ${seed} get only answers that the tables allow`,
  () =>
    Effect.gen(function* () {
      const ends = new Map<string, number>()
      for (let index = 0; index < count; index++) {
        const roll = dice(Math.imul(seed, 2654435761) + index)
        const known = yield* Effect.gen(function* () {
          return yield* sequence(yield* FabricServer.make, roll)
        }).pipe(
          Effect.provide(layer),
          Effect.catchDefect((defect) =>
            Effect.die(new Error(`INQUORATE_SEQUENCES_SEED=${seed}, number ${index}: ${String(defect)}`))
          )
        )
        for (const { seen } of known) ends.set(seen, (ends.get(seen) ?? 0) + 1)
      }
      // Sequences that never got anywhere would show nothing.
      for (const state of Object.keys(stateBits)) assert.isAbove(ends.get(state) ?? 0, 0, state)
    }),
  within(Math.max(60_000, count * 30))
)
