/**
 * The user's own commands: the contract with commands that stop and continue a process, and what becomes of commands that
 * fail, hang, say much or are cut off halfway.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Command from "../src/mechanisms/Command.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const hosts = new Map([["here", LocalHost.make("here")]])

/** Commands that work on the main process of a tree of one. */
const stopAndGo: Command.MemberCommands = {
  apply: `kill -STOP "$INQUORATE_PID"; echo stopped "$INQUORATE_PID"`,
  lift: `kill -CONT "$INQUORATE_PID"; echo "$INQUORATE_DATA_DIRECTORY" goes on`,
  check: `grep -q '^State:.T' "/proc/$INQUORATE_PID/status"`
}

const commandFor = (tree: ProcessTree.ProcessTree, changes: Partial<Command.MemberCommands> = {}, seconds = {}) =>
  Command.make(hosts, { members: { [tree.member]: { ...stopAndGo, ...changes } }, ...seconds })

const single = ProcessTree.startWith(["sh", ["-c", "echo ready; exec sleep 1000"]]).pipe(
  Effect.map((tree) => ({ ...tree, process: { ...tree.process, executable: fs.realpathSync("/bin/sleep") } })),
  // It says that it is ready before it becomes the sleeper.
  Effect.tap((tree) =>
    Bench.until("the sleeper", () => fs.readlinkSync(`/proc/${tree.process.pid}/exe`) === tree.process.executable)
  )
)

Bench.useState()

let member = ""
injectorContract(
  "the command keeps the contract of an injector",
  Effect.sync((): InjectorBench => ({
    injector: Command.make(hosts, {
      members: new Proxy<Record<string, Command.MemberCommands>>(
        {},
        {
          get: () => stopAndGo,
          getOwnPropertyDescriptor: (_, name) =>
            name === member ? { configurable: true, enumerable: true, value: stopAndGo } : undefined
        }
      )
    }),
    start: Effect.tap(single, (tree) =>
      Effect.sync(() => {
        member = tree.member
      })
    ),
    runs: (tree) => Effect.sync(() => ProcessTree.runs(tree)),
    killKeepers: Bench.killKeepers
  })),
  { clock: "live" }
)

describe("a command", () => {
  it.live("tells how its lift ended, and keeps the output of both on the host", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const command = commandFor(tree)
      const order = yield* Bench.orderFor(tree)
      yield* command.arm(order)
      const lifted = yield* command.lift("here", order.fence, 1)
      assert.strictEqual(lifted.detail, `lift ended with 0: ${tree.process.dataDirectory} goes on`)
      const kept = (name: string) => fs.readFileSync(path.join(Bench.directoryOf(order.fence), name), "utf8")
      assert.strictEqual(kept("apply.out"), `stopped ${tree.process.pid}\n`)
      assert.strictEqual(kept("apply.code"), "0\n")
    })
  )

  it.live("has none of its texts in the arguments of the shell that runs it, which others can read", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const seen = path.join(tree.process.dataDirectory, "seen")
      const look = `: hidden-4711; tr '\\0' ' ' </proc/$$/cmdline >>${seen}; env >>${seen}`
      const command = commandFor(tree, {
        apply: `${look}; ${stopAndGo.apply}`,
        lift: `${look}; ${stopAndGo.lift}`
      })
      const order = yield* Bench.orderFor(tree)
      yield* command.arm(order)
      yield* command.lift("here", order.fence, 1)
      const text = fs.readFileSync(seen, "utf8")
      assert.include(text, `INQUORATE_PID=${tree.process.pid}\n`)
      assert.notInclude(text, "hidden-4711")
    })
  )

  it.live("that fails to apply is lifted at once and told with its exit code and last words", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const applies: ReadonlyArray<readonly [Partial<Command.MemberCommands>, RegExp]> = [
        [
          { apply: `kill -STOP "$INQUORATE_PID"; echo no such switch >&2; exit 3` },
          /apply ended with 3: no such switch/
        ],
        [{ apply: `kill -STOP "$INQUORATE_PID"; sleep 60` }, /apply took longer than 1 s/],
        [{ apply: "true" }, /is not out, check ended with 1/]
      ]
      for (const [changes, words] of applies) {
        const command = commandFor(tree, changes, { applySeconds: 1 })
        const error = yield* Effect.flip(command.arm(yield* Bench.orderFor(tree)))
        assert.strictEqual(error.reason, "NotApplied", error.detail)
        assert.match(error.detail, words)
        assert.isTrue(ProcessTree.runs(tree))
      }
    })
  )

  it.live("whose lift fails is tried again until it succeeds, and not called lifted before", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const open = path.join(tree.process.dataDirectory, "open")
      const command = commandFor(tree, { lift: `[ -e ${open} ] && kill -CONT "$INQUORATE_PID"` })
      const order = yield* Bench.orderFor(tree, { hold: 1200 })
      yield* command.arm(order)
      const error = yield* Effect.flip(command.lift("here", order.fence, 1).pipe(Effect.timeout(30_000)))
      assert.strictEqual(error._tag === "InjectorError" && error.reason, "Unknown")
      assert.isFalse(ProcessTree.runs(tree))
      fs.writeFileSync(open, "")
      assert.strictEqual((yield* Bench.ended(order, command)).by, "Keeper")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )

  it.live("is never lifted twice at once, whoever is cut off while it waits", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const log = path.join(tree.process.dataDirectory, "log")
      const lift = `echo begin >>${log}; sleep 0.6; kill -CONT "$INQUORATE_PID"; echo end >>${log}`
      const command = commandFor(tree, { lift })
      const order = yield* Bench.orderFor(tree)
      yield* command.arm(order)
      yield* Effect.timeoutOption(Effect.result(command.lift("here", order.fence, 1)), 300)
      const results = yield* Effect.forEach([1, 2], () => Effect.result(command.lift("here", order.fence, 1)), {
        concurrency: 2
      })
      assert.isTrue(results.some(({ _tag }) => _tag === "Success"))
      assert.isTrue(ProcessTree.runs(tree))
      assert.match(fs.readFileSync(log, "utf8"), /^(begin\nend\n)+$/)
    })
  )

  it.live("whose check says no during the hold has a broken fence", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const command = commandFor(tree)
      const order = yield* Bench.orderFor(tree)
      yield* command.arm(order)
      process.kill(tree.process.pid, "SIGCONT")
      yield* Bench.until("the record that it is broken", () =>
        fs.existsSync(path.join(Bench.directoryOf(order.fence), "broken"))
      )
      assert.isTrue((yield* command.lift("here", order.fence, 1)).broken)
    })
  )

  it.live("is not there for a member that the configuration does not name", () =>
    Effect.gen(function* () {
      const tree = yield* single
      const preflight = yield* commandFor(tree).preflight(tree.process, "another")
      assert.strictEqual(preflight._tag, "Impossible")
      const error = yield* Effect.flip(commandFor(tree).arm(yield* Bench.orderFor({ ...tree, member: "another" })))
      assert.strictEqual(error.reason, "OrderRefused")
      assert.isTrue(ProcessTree.runs(tree))
    })
  )
})
