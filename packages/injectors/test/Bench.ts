/** What the tests of kept injectors share: a state directory of their own, orders, and waiting for what must come. */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { FenceId, FenceOrder, FenceState, Injector } from "@inquorate/core/Injector"
import type { ProcessRef } from "@inquorate/core/Topology"
import { factor, within } from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ProcessTree from "./ProcessTree.ts"

let state = ""

/** Gives the file a state directory of its own, and fails it where a keeper is left at its end. */
export const useState = (): void => {
  beforeAll(() => {
    state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-state-"))
    process.env.INQUORATE_STATE = state
  })
  afterAll(async () => {
    for (let turn = 0; turn < 200 * factor && ours().length > 0; turn++)
      await new Promise((resume) => setTimeout(resume, 50))
    assert.deepStrictEqual(ours(), [], "a keeper is left")
    fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
  })
}

/** An order for a process, of a new operation unless one is given. */
export const orderFor = Effect.fnUntraced(function* (
  { member, process }: { readonly member: string; readonly process: ProcessRef },
  changes: { readonly attempt?: number; readonly hold?: number; readonly operationId?: string } = {}
) {
  const order: FenceOrder = {
    fence: { operationId: changes.operationId ?? randomUUID(), attempt: changes.attempt ?? 1, member },
    process,
    epoch: 1,
    deadline: (yield* Clock.currentTimeMillis) + within(changes.hold ?? 20_000),
    startByMonotonic: Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + 10_000 * factor
  }
  return order
})

/** The state of a fence once it is off. */
export const ended = Effect.fnUntraced(function* (order: FenceOrder, injector: Injector) {
  for (let turn = 0; turn < 200 * factor; turn++) {
    const state = yield* (
      injector
        .inspect(order.process.host, order.fence, 1)
        // A host that cannot be asked just now says nothing.
        .pipe(Effect.orElseSucceed((): FenceState => ({ _tag: "Absent" })))
    )
    if (state._tag === "Lifted") return state
    yield* Effect.sleep(100)
  }
  return assert.fail("nobody ended the fence in time")
})

/** Waits until something is so, 15 s at most. */
export const until = Effect.fnUntraced(function* (what: string, condition: () => boolean) {
  // What has come to be may be over in the next moment.
  for (let turn = 0; turn < 1500 * factor; turn++) {
    if (condition()) return
    yield* Effect.sleep(10)
  }
  assert.fail(`it did not come to be in time: ${what}`)
})

/** The host's own record of a fence. */
export const directoryOf = (fence: FenceId): string =>
  path.join(
    process.env.INQUORATE_STATE!,
    "fences",
    fence.operationId,
    `${fence.attempt}.${Buffer.from(fence.member).toString("hex")}`
  )

/**
 * Fails where a fence was off before its earliest deadline, by the uptime in the host's own record of it. A host is given
 * the least that its uptime may be, so the deadline on record may be earlier than the one that was asked for.
 */
export const assertOffOnlyAtItsDeadline = (directory: string): void => {
  const deadlines = fs
    .readdirSync(directory)
    .filter((name) => name.startsWith("deadline."))
    .map((name) => Number(name.split(".")[1]))
  assert.isNotEmpty(deadlines)
  const [off] = fs.readFileSync(path.join(directory, "lifted"), "utf8").split(" ")
  assert.isAtLeast(Number(off), Math.min(...deadlines))
}

/** The two keepers of a fence. */
export const keepersOf = (fence: FenceId): readonly [number, number] => {
  const [first, , second] = fs.readFileSync(path.join(directoryOf(fence), "keepers"), "utf8").split(" ")
  return [Number(first), Number(second)]
}

/** The holder of a fence of kernel grade. */
export const holderOf = (fence: FenceId): number =>
  Number(fs.readFileSync(path.join(directoryOf(fence), "holder"), "utf8").split(" ")[0])

const operations = new Map<number, string>()

/** One operation for each process, the same whenever it is asked for. */
export const operationOf = ({ process }: { readonly process: ProcessRef }): string => {
  const known = operations.get(process.pid) ?? randomUUID()
  operations.set(process.pid, known)
  return known
}

/** Kills all that stands by for a fence: its keepers, and its holder where it has one. */
export const killKeepers = (fence: FenceId): Effect.Effect<void> =>
  Effect.sync(() => {
    const holder = path.join(directoryOf(fence), "holder")
    const held = fs.existsSync(holder) ? [Number(fs.readFileSync(holder, "utf8").split(" ")[0])] : []
    ProcessTree.signalAll([...keepersOf(fence), ...held], "SIGKILL")
  })

/** The processes that carry our state directory in their arguments: keepers, whoever their parent is. */
export const ours = (): ReadonlyArray<number> => ProcessTree.carrying(`${state}/`)
