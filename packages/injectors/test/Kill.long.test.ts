/**
 * The kill on real processes: its contract, and that a server comes back and never twice, whoever is killed or frozen
 * meanwhile.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Kill from "../src/mechanisms/Kill.ts"
import * as Bench from "./Bench.ts"
import { hosts, kill, lift } from "./KillBench.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RestartedServer from "./RestartedServer.ts"

Bench.useState()

injectorContract(
  "the kill keeps the contract of an injector",
  Effect.succeed<InjectorBench>({
    injector: kill,
    start: RestartedServer.start(),
    current: ({ process }) => Effect.sync(() => RestartedServer.current(process)),
    runs: ({ process }) => Effect.sync(() => RestartedServer.runs(process)),
    killKeepers: Bench.killKeepers
  }),
  { clock: "live" }
)

describe("a killed server", () => {
  it.live("that does not come back is not called lifted, and is once it can", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const open = path.join(tree.process.dataDirectory, "open")
      const command = `[ -e ${open} ] && exec sh -c 'sleep 1000; :'; echo "no way" >&2`
      const ours = Kill.make(hosts, { members: { [tree.member]: { command } } })
      const order = yield* Bench.orderFor(tree, { hold: 1500 })
      yield* ours.arm(order)
      yield* Effect.sleep(Math.max(0, order.deadline - Date.now()) + 1000)
      assert.strictEqual((yield* ours.inspect("here", order.fence, 1))._tag, "Armed")
      fs.writeFileSync(open, "")
      assert.strictEqual((yield* Bench.ended(order, ours)).by, "Keeper")
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )
})

describe("never two servers", () => {
  it.live("when either keeper is killed or frozen", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      for (const [victim, signal] of [
        [0, "SIGKILL"],
        [1, "SIGKILL"],
        [0, "SIGSTOP"],
        [1, "SIGSTOP"]
      ] as const) {
        const order = yield* Bench.orderFor({ ...tree, process: RestartedServer.current(tree.process) }, { hold: 1500 })
        yield* kill.arm(order)
        process.kill(Bench.keepersOf(order.fence)[victim], signal)
        assert.strictEqual((yield* Bench.ended(order, kill)).by, "Keeper")
        assert.isTrue(RestartedServer.runs(tree.process))
        yield* Bench.until("no keeper", () => !Bench.keepersOf(order.fence).some(ProcessTree.isThere))
      }
    })
  )

  it.live("when lifts and the deadline come at once", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      for (let turn = 0; turn < 3; turn++) {
        const order = yield* Bench.orderFor({ ...tree, process: RestartedServer.current(tree.process) }, { hold: 1200 })
        const armed = yield* kill.arm(order)
        yield* Effect.sleep(Math.max(0, armed.deadline - Date.now() - 40 + turn * 40))
        const results = yield* Effect.forEach([1, 2, 3], () => Effect.result(lift(order)), { concurrency: 3 })
        assert.isTrue(results.some(({ _tag }) => _tag === "Success"))
        assert.strictEqual((yield* lift(order))._tag, "Lifted")
        yield* Effect.sleep(200)
        assert.isTrue(RestartedServer.runs(tree.process))
      }
    })
  )

  it.live("when whoever starts it is killed at any moment of that", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      for (let turn = 1; turn <= 5; turn++) {
        const order = yield* Bench.orderFor({ ...tree, process: RestartedServer.current(tree.process) })
        yield* kill.arm(order)
        yield* Effect.timeoutOption(Effect.result(lift(order)), turn * 25)
        assert.strictEqual((yield* lift(order))._tag, "Lifted")
        assert.isTrue(RestartedServer.runs(tree.process))
        yield* Effect.sleep(100)
        assert.isTrue(RestartedServer.runs(tree.process))
      }
    })
  )

  it.live("when both keepers are killed: a sweep past the deadline starts it", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const order = yield* Bench.orderFor(tree, { hold: 1000 })
      yield* kill.arm(order)
      ProcessTree.signalAll(Bench.keepersOf(order.fence), "SIGKILL")
      yield* Effect.sleep(Math.max(0, order.deadline - Date.now()) + 200)
      assert.isFalse(RestartedServer.runs(tree.process))
      const reports = yield* kill.sweep("here", { clear: true })
      const state = reports.find(({ fence }) => fence.operationId === order.fence.operationId)?.state
      assert.strictEqual(state?._tag === "Lifted" && state.by, "Sweep")
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )
})
