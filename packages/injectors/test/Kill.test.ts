/**
 * The kill on real processes: a server comes back just as it was, by what is configured, and never twice.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Kill from "../src/mechanisms/Kill.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as GatedHost from "./GatedHost.ts"
import { hosts, kill, lift } from "./KillBench.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RestartedServer from "./RestartedServer.ts"

Bench.useState()

describe("an order to kill that is not wanted any more", () => {
  it.live("holds no place where it had just made its folder", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const gate = yield* GatedHost.make({ programs: ["mkdir"], matching: "*/fences/*/1.*", when: "after" })
      const order = yield* Bench.orderFor(tree)
      const scope = yield* Scope.make()
      const preparing = yield* Kill.make(new Map([["here", gate.host]])).prepare!("here", [order], 60_000).pipe(
        Scope.provide(scope),
        Effect.forkIn(scope)
      )
      yield* Bench.until("its folder", () => gate.reached().length > 0)
      yield* Scope.close(scope, Exit.void)
      gate.open()
      yield* Fiber.await(preparing)
      const next = yield* Bench.orderFor(tree)
      yield* kill.arm(next)
      yield* lift(next)
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )
})

describe("a killed server", () => {
  it.live("is really gone, and comes back as another process with the same arguments and surroundings", () =>
    Effect.gen(function* () {
      const log = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-log-")), "a log's name")
      const odd = ["it's", "", 'say "$HOME" `x` \\', "two\nlines ", "*", "-n"]
      const tree = yield* RestartedServer.start(logged(log, odd))
      const before = surroundings(tree.process.pid)
      const order = yield* Bench.orderFor(tree)
      const armed = yield* kill.arm(order)
      assert.isAtLeast(armed.processes, 1)
      assert.isFalse(ProcessTree.isThere(tree.process.pid))
      const lifted = yield* lift(order)
      const now = RestartedServer.current(tree.process)
      assert.notStrictEqual(now.pid, tree.process.pid)
      assert.strictEqual(lifted.detail, `runs again as process ${now.pid}`)
      assert.deepStrictEqual(surroundings(now.pid), before)
      yield* Bench.until("the second line of the log", () => fs.readFileSync(log, "utf8") === "began\nready\nbegan\n")
      assert.strictEqual(fieldOf(now.pid, 6), String(now.pid), "it has no session of its own")
      assert.isFalse(fs.existsSync(path.join(Bench.directoryOf(order.fence), "restart")), "its environment was left")
      fs.rmSync(path.dirname(log), { recursive: true })
    })
  )

  it.live.skipIf(process.getuid?.() !== 0)("comes back as its own user, not as ours", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start(ProcessTree.start("still", { uid: 65_534 }))
      const before = surroundings(tree.process.pid)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      yield* lift(order)
      assert.deepStrictEqual(surroundings(RestartedServer.current(tree.process).pid), before)
    })
  )

  it.live("comes back by a command where one is configured", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const mark = path.join(tree.process.dataDirectory, "by-command")
      const command = `echo "$PWD" >by-command; (exec setsid sh -c 'sleep 1000; :' >/dev/null 2>&1) & sleep 0.1`
      const ours = Kill.make(hosts, { members: { [tree.member]: { command } } })
      assert.strictEqual((yield* ours.preflight(tree.process, tree.member))._tag, "Ready")
      const order = yield* Bench.orderFor(tree)
      yield* ours.arm(order)
      assert.isFalse(fs.existsSync(mark))
      yield* lift(order, ours)
      assert.strictEqual(fs.readFileSync(mark, "utf8"), `${tree.process.dataDirectory}\n`)
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )

  it.live("is stopped and started by its unit where one is configured (a stand-in for systemctl)", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const folder = tree.process.dataDirectory
      const script = `#!/bin/sh\ncd ${folder}\necho "$@" >>calls\n[ "$1" = stop ] || (exec setsid sh -c 'sleep 1000; :' >/dev/null 2>&1) &\n`
      fs.writeFileSync(path.join(folder, "systemctl"), script, { mode: 0o755 })
      const near = LocalHost.make("here")
      const withUnits: Host = {
        ...near,
        run: (program, words, options) => near.run(`PATH=${folder}:$PATH; export PATH\n${program}`, words, options)
      }
      const ours = Kill.make(new Map([["here", withUnits]]), { members: { [tree.member]: { unit: "m@1.service" } } })
      assert.strictEqual((yield* ours.preflight(tree.process, tree.member))._tag, "Ready")
      const order = yield* Bench.orderFor(tree)
      yield* ours.arm(order)
      assert.isFalse(RestartedServer.runs(tree.process))
      yield* lift(order, ours)
      assert.isTrue(RestartedServer.runs(tree.process))
      assert.strictEqual(fs.readFileSync(path.join(folder, "calls"), "utf8"), "stop m@1.service\nstart m@1.service\n")
    })
  )

  it.live("that starts again by itself during the hold breaks the fence, and is not started twice", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      const supervised = spawn("sh", ["-c", "sleep 1000; :"], { cwd: tree.process.dataDirectory, stdio: "ignore" })
      yield* Bench.until("the record that it is broken", () =>
        fs.existsSync(path.join(Bench.directoryOf(order.fence), "broken"))
      )
      const lifted = yield* lift(order)
      assert.isTrue(lifted.broken)
      assert.deepStrictEqual(RestartedServer.serversOf(tree.process), [supervised.pid!])
    })
  )

  it.live("cannot be one that rewrote its arguments, unless its restart is configured", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start(
        ProcessTree.startWith(["perl", ["-e", '$| = 1; $0 = "server: ready [m1]"; print "ready\n"; sleep 1000']])
      )
      const preflight = yield* kill.preflight(tree.process, tree.member)
      assert.strictEqual(preflight._tag === "Impossible" && /rewritten its arguments/.test(preflight.problem), true)
      assert.strictEqual((yield* Effect.flip(kill.arm(yield* Bench.orderFor(tree)))).reason, "OrderRefused")
      assert.isTrue(ProcessTree.isThere(tree.process.pid))
      const configured = Kill.make(hosts, { members: { [tree.member]: { command: "true" } } })
      assert.strictEqual((yield* configured.preflight(tree.process, tree.member))._tag, "Ready")
    })
  )
})

describe("never two servers", () => {
  it.live("when another mechanism wants the server before the kill is over", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const pause = Pause.make(hosts)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      const supervised = spawn("sh", ["-c", "sleep 1000; :"], { cwd: tree.process.dataDirectory, stdio: "ignore" })
      yield* Bench.until("the supervised server", () => RestartedServer.serversOf(tree.process).length === 1)
      const other = { ...tree, process: RestartedServer.current(tree.process) }
      assert.strictEqual(other.process.pid, supervised.pid)
      const error = yield* Effect.flip(pause.arm(yield* Bench.orderFor(other)))
      assert.include(error.detail, "is held by the fence")
      assert.notInclude(
        (yield* pause.sweep("here", { clear: false })).map(({ fence }) => fence.operationId),
        order.fence.operationId
      )
      yield* lift(order)
      const next = yield* Bench.orderFor(other)
      yield* pause.arm(next)
      yield* pause.lift("here", next.fence, 1)
    })
  )
})

// --- internal ---

const logged = (log: string, words: ReadonlyArray<string>) =>
  ProcessTree.startWith([
    "sh",
    [
      "-c",
      `echo ready; exec >>'${log.replaceAll("'", "'\\''")}' 2>&1; echo began; while :; do sleep 1000; done`,
      "server",
      ...words
    ]
  ])

/** What must be the same before and after. */
const surroundings = (pid: number): Readonly<Record<string, string>> => {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8")
  const line = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? ""
  return {
    arguments: fs.readFileSync(`/proc/${pid}/cmdline`, "latin1"),
    environment: fs.readFileSync(`/proc/${pid}/environ`, "latin1"),
    folder: fs.readlinkSync(`/proc/${pid}/cwd`),
    users: line("Uid"),
    groups: `${line("Gid")} ${line("Groups")}`,
    umask: line("Umask"),
    ignored: line("SigIgn"),
    limits: fs.readFileSync(`/proc/${pid}/limits`, "utf8"),
    score: fs.readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"),
    groupsOfControl: fs.readFileSync(`/proc/${pid}/cgroup`, "utf8")
  }
}

/** A field of `/proc/<pid>/stat`, counted from 1 as proc(5) does. */
const fieldOf = (pid: number, field: number): string => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[field - 3]!
}
