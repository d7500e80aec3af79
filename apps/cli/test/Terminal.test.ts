/**
 * What a person sees while a fault is guarded: on a rendered screen, by what stands on it. The terminal is tmux's; the worker
 * holds until it is told to lift.
 */
import { assert, describe, it } from "@effect/vitest"
import { factor, within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as FakeWorker from "./FakeWorker.ts"
import { bundled } from "./Inq.ts"

const missing = spawnSync("tmux", ["-V"]).status !== 0
if (missing && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error("tmux is not installed")

const inq = bundled()

/** A terminal of 80 by 24 in which the command runs. */
const terminal = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-tmux-"))),
      (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true, maxRetries: 10 }))
    )
    const socket = path.join(folder, "socket")
    const code = path.join(folder, "code")
    const tmux = (...words: ReadonlyArray<string>): string =>
      execFileSync("tmux", ["-S", socket, "-f", "/dev/null", ...words], { encoding: "utf8" })
    const command = `trap : INT; ${[process.execPath, inq.main, ...args].map((word) => `'${word}'`).join(" ")}; echo $? >${code}; sleep 60`
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        tmux(
          "new-session",
          "-d",
          "-x",
          "80",
          "-y",
          "24",
          "-s",
          "t",
          `sh -c "${command.replaceAll('"', '\\"').replaceAll("$", "\\$")}"`
        )
      ),
      () => Effect.sync(() => void spawnSync("tmux", ["-S", socket, "kill-server"]))
    )
    const shown = (): string => {
      try {
        return tmux("capture-pane", "-p", "-t", "t")
      } catch {
        return ""
      }
    }
    const until = Effect.fnUntraced(function* (what: string, holds: () => boolean) {
      for (let turn = 0; turn < 400 * factor && !holds(); turn++) yield* Effect.sleep(50)
      assert.isTrue(holds(), `${what}; the screen shows\n${shown()}`)
    })
    return {
      shown,
      press: (...keys: ReadonlyArray<string>) => Effect.sync(() => void tmux("send-keys", "-t", "t", ...keys)),
      closes: Effect.sync(() => void tmux("kill-server")),
      shows: (pattern: RegExp) => until(`never ${pattern}`, () => pattern.test(shown())),
      until,
      ends: (expected: number) =>
        Effect.gen(function* () {
          yield* until("it did not end", () => fs.existsSync(code) && fs.readFileSync(code, "utf8") !== "")
          assert.strictEqual(fs.readFileSync(code, "utf8").trim(), String(expected), shown())
        })
    }
  })

const holding = Effect.gen(function* () {
  const { all, url } = yield* FakeWorker.serveWith({ holds: true })
  const screen = yield* terminal(["start", "lab", "-d", "60s", "--watch", "--yes", "--endpoint", url])
  yield* screen.shows(/^Running {2}Holding, [\d.]+ s left [█░]{12} until \d\d:\d\d:\d\d/m)
  return { ...screen, url, operation: () => [...all.values()][0]! }
})

const question = /\[y\]es lift now \/ \[n\]o keep holding \/ \[d\]etach/

describe.skipIf(missing)("a fault that is guarded on a terminal (skipped without tmux)", () => {
  it.live("asks at a Ctrl-C, and the question stays until it has its answer", () =>
    Effect.gen(function* () {
      const screen = yield* holding
      yield* screen.press("C-c")
      yield* screen.shows(question)
      // Ten times as long as the live line needs to be painted anew.
      yield* Effect.sleep(1000)
      assert.match(screen.shown(), question)
      assert.notMatch(screen.shown(), /Holding/)
      yield* screen.press("n")
      yield* screen.shows(/Running {2}Holding/)
      assert.strictEqual(screen.operation().endedAt, null)
      yield* screen.press("C-c")
      yield* screen.shows(question)
      yield* screen.press("y")
      yield* screen.ends(130)
      assert.match(screen.shown(), /Cancelling .* and waiting for the lift/)
      assert.isNotNull(screen.operation().endedAt)
    }).pipe(Effect.scoped)
  )

  it.live("lifts at the second Ctrl-C", () =>
    Effect.gen(function* () {
      const screen = yield* holding
      yield* screen.press("C-c")
      yield* screen.shows(question)
      yield* screen.press("C-c")
      yield* screen.ends(130)
      assert.isNotNull(screen.operation().endedAt)
    }).pipe(Effect.scoped)
  )

  it.live("is left to the worker where that is wished", () =>
    Effect.gen(function* () {
      const screen = yield* holding
      yield* screen.press("C-c")
      yield* screen.shows(question)
      yield* screen.press("d")
      yield* screen.ends(0)
      assert.match(screen.shown(), /Left to the worker\. "inq watch /)
      assert.isNull(screen.operation().endedAt)
    }).pipe(Effect.scoped)
  )

  it.live("is lifted when the terminal is closed, also in the middle of the question", () =>
    Effect.gen(function* () {
      for (const asked of [false, true]) {
        const screen = yield* holding
        if (asked) {
          yield* screen.press("C-c")
          yield* screen.shows(question)
        }
        yield* screen.closes
        yield* screen.until("the lift", () => screen.operation().endedAt !== null)
      }
    }).pipe(Effect.scoped)
  )

  it.live("says when the fence ends by itself while the worker is away", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.acquireRelease(
        Effect.sync(() => Scope.makeUnsafe()),
        (made) => Scope.close(made, Exit.void)
      )
      const { url } = yield* Scope.provide(FakeWorker.serveWith({ holds: true }), scope)
      const screen = yield* terminal(["start", "lab", "-d", "60s", "--watch", "--yes", "--endpoint", url])
      yield* screen.shows(/Running {2}Holding/)
      yield* Scope.close(scope, Exit.void)
      yield* screen.shows(/^The worker does not answer; the fence ends by itself at \d\d:\d\d:\d\d/m)
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(missing)("a start on a terminal (skipped without tmux)", () => {
  it.live("tells the arithmetic and asks, and starts nothing at a no", () =>
    Effect.gen(function* () {
      const { all, url } = yield* FakeWorker.serveWith({ holds: true })
      const screen = yield* terminal(["start", "lab", "-d", "60s", "--endpoint", url])
      yield* screen.shows(/3 − 2 \+ 1 = 2 must go/)
      yield* screen.shows(/Take the quorum of fabric:\/lab\/kv for 60\.0 s\? \[y\]es \/ \[n\]o/)
      yield* screen.press("n")
      yield* screen.ends(3)
      assert.strictEqual(all.size, 0)
    }).pipe(Effect.scoped)
  )

  it.live("starts at a yes", () =>
    Effect.gen(function* () {
      const { all, url } = yield* FakeWorker.serveWith({ holds: true })
      const screen = yield* terminal(["start", "lab", "-d", "60s", "--endpoint", url])
      yield* screen.shows(/\[y\]es/)
      yield* screen.press("y")
      yield* screen.ends(0)
      assert.strictEqual(all.size, 1)
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(missing)("the list on a terminal (skipped without tmux)", () => {
  it.live("is as wide as the terminal, with short ids", () =>
    Effect.gen(function* () {
      const { all, url } = yield* FakeWorker.serveWith({ holds: true })
      const id = "abcd1111-1111-4111-8111-111111111111"
      yield* inq.run(["start", "lab", "-d", "60s", "--id", id, "--endpoint", url])
      assert.strictEqual(all.size, 1)
      const screen = yield* terminal(["list", "--endpoint", url])
      yield* screen.shows(/^OPERATION {2}AGE/m)
      const [, row = "", after = ""] = screen.shown().split("\n")
      assert.match(row, /^abcd1111 {3}\d+s +Running +loss 60\.0 s +lab\/kv +quorum lost, /)
      assert.isAtMost(row.length, 80)
      assert.strictEqual(after.trim(), "", "no line is broken")
    }).pipe(Effect.scoped)
  )
})

describe("an output that is gone", () => {
  const run = (line: string) =>
    Effect.sync(() => {
      const { status, stderr } = spawnSync("bash", ["-c", `${line}; exit \${PIPESTATUS[0]}`], { encoding: "utf8" })
      return { status, stderr }
    })
  const command = (...args: ReadonlyArray<string>) => [process.execPath, inq.main, ...args].join(" ")

  it.live("is no success on a full disk, and no failure of a reader that has enough", () =>
    Effect.gen(function* () {
      const full = yield* run(`${command("--completions", "fish")} >/dev/full`)
      assert.strictEqual(full.status, 1)
      assert.match(full.stderr, /could not be written .*ENOSPC/)
      const read = yield* run(`${command("--completions", "fish")} | head -1 >/dev/null`)
      assert.deepStrictEqual(read, { status: 0, stderr: "" })
    })
  )

  it.live("is a hangup while a fault is guarded", () =>
    Effect.gen(function* () {
      const { all, url } = yield* FakeWorker.serveWith({ holds: true, talks: true })
      const line = command("start", "lab", "-d", "60s", "--watch", "--endpoint", url)
      const status = yield* Effect.callback<number | null>((resume) => {
        const child = spawn("bash", ["-c", `${line} | head -1 >/dev/null; exit \${PIPESTATUS[0]}`])
        child.on("error", () => resume(Effect.succeed(-1)))
        child.on("exit", (code) => resume(Effect.succeed(code)))
      })
      assert.strictEqual(status, 130)
      assert.isNotNull([...all.values()][0]!.endedAt)
    }).pipe(Effect.scoped, Effect.timeout(within(30_000)))
  )
})
