/** What servers, hosts and callers say does not act on the terminal that shows the worker's log. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as TestConsole from "effect/testing/TestConsole"
import { spawn } from "node:child_process"
import * as path from "node:path"
import * as Log from "../src/Log.ts"

const evil = "\u001B[2J\u202E\u009B1m\r\nFORGED=line\u2028\u007F"
const acting = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

const tell = (format: "text" | "json") =>
  Effect.gen(function* () {
    yield* Effect.gen(function* () {
      yield* Effect.logWarning(evil)
      yield* Effect.logWarning("\u001B[2J")
      yield* Effect.logError("it broke", Cause.fail(new Error(evil)))
    }).pipe(Effect.annotateLogs({ [evil]: evil }), Effect.withLogSpan(evil), Effect.provide(Log.layer(format)))
    return (yield* TestConsole.errorLines).map(String)
  })

describe("the log", () => {
  it.effect("as text is one harmless line for each message", () =>
    Effect.gen(function* () {
      const lines = yield* tell("text")
      assert.lengthOf(lines, 3)
      for (const line of lines) assert.notMatch(line, acting)
    })
  )

  it.effect("as JSON is harmless and says exactly what was said", () =>
    Effect.gen(function* () {
      const lines = yield* tell("json")
      assert.lengthOf(lines, 3)
      for (const line of lines) assert.notMatch(line, acting)
      assert.strictEqual((JSON.parse(lines[0]!) as { readonly message: string }).message, evil)
    })
  )
})

it.live("a reader that goes away loses the lines, and does not end the worker", () =>
  Effect.gen(function* () {
    const code = yield* Effect.callback<number | null>((resume) => {
      const child = spawn(process.execPath, ["--no-warnings", path.join(import.meta.dirname, "lost-reader.ts")], {
        stdio: ["ignore", "pipe", "pipe"]
      })
      for (const stream of [child.stdout, child.stderr]) stream.once("data", () => stream.destroy())
      child.once("exit", (ended) => resume(Effect.succeed(ended)))
    })
    assert.strictEqual(code, 7)
  })
)

it.effect("what the worker says at its start and end is harmless, and may have lines", () =>
  Effect.gen(function* () {
    yield* Log.say(`one\ntwo\u001B[2J`)
    yield* Log.complain(`one\u202E\ntwo`, ["three\nfour"])
    assert.deepStrictEqual(yield* TestConsole.logLines, ["one\ntwo\\u001b[2J"])
    assert.deepStrictEqual(yield* TestConsole.errorLines, ["worker: one\\u202e\\ntwo\nthree\\nfour"])
  })
)
