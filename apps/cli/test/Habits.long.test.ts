/** By what an operation is named, what a context gives, and that the manual page says what the help says. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { exitCodes } from "../src/ExitCode.ts"
import * as FakeWorker from "./FakeWorker.ts"
import { holding, O, O2 } from "./HoldingWorker.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

describe("an operation is named", () => {
  it.live("by its beginning, by last, or by nothing where only one lives", () =>
    Effect.gen(function* () {
      const { run } = yield* holding(inq)
      const none = yield* run("show")
      assert.strictEqual(none.code, exitCodes.refused)
      assert.include(none.error, "No operation lives now.")
      yield* run(`start lab -d 60s --id ${O}`)
      for (const line of ["show", "show last", "show abcd1111", `show ${O}`, "show ABCD"]) {
        assert.include((yield* run(line)).out, `Operation ${O}  Running`, line)
      }
      yield* run(`start lab -d 60s --id ${O2}`)
      assert.include((yield* run("show last")).out, `Operation ${O2}`)
      const two = yield* run("cancel abcd")
      assert.strictEqual(two.code, exitCodes.refused)
      assert.include(two.error, `2 operations' ids begin with abcd: ${O}, ${O2}.`)
      assert.include((yield* run("cancel")).error, "2 operations live")
      assert.strictEqual((yield* run("cancel abcd1")).out, `${O}: Cancelled\nCancelled: nothing of it stands.\n`)
      // Of the two only one lives now.
      assert.include((yield* run("cancel")).out, `${O2}: Cancelled\n`)
      assert.include((yield* run("watch")).out, "No operation lives now.")
      const wrong = yield* run("show abc")
      assert.strictEqual(wrong.code, exitCodes.usage)
    }).pipe(Effect.scoped)
  )
})

describe("a context", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-contexts-"))),
    (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
  )

  it.live("gives the endpoint, and flags and environment win over it", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.serve
      const home = yield* folder
      fs.mkdirSync(path.join(home, "inquorate"))
      const file = path.join(home, "inquorate", "config.yaml")
      const write = (text: string) => fs.writeFileSync(file, text)
      const run = (line: string, more = {}) =>
        inq.run(line.split(" "), { XDG_CONFIG_HOME: home, INQUORATE_ENDPOINT: "", ...more })
      write(
        `context: lab\ncontexts:\n  lab:\n    endpoint: ${url.replace("http://", "")}\n  away:\n    endpoint: http://127.0.0.1:1\n`
      )
      assert.strictEqual((yield* run("list")).code, 0)
      assert.strictEqual((yield* run("list --context away")).code, exitCodes.unreachable)
      assert.strictEqual((yield* run("list", { INQUORATE_CONTEXT: "away" })).code, exitCodes.unreachable)
      assert.strictEqual((yield* run(`list --context away --endpoint ${url}`)).code, 0)
      const unknown = yield* run("list --context nowhere")
      assert.strictEqual(unknown.code, exitCodes.usage)
      assert.include(unknown.error, "has no context nowhere; there are: lab, away.")
      for (const [text, problem] of [
        ["contexts: [", "cannot be used"],
        ["contexts:\n  lab: 5\n", "contexts.lab: expected a map of flags"],
        ["contexts:\n  lab:\n    endpont: x\n", "contexts.lab.endpont is none of endpoint"],
        ["contxt: lab\n", "contxt is none of its keys"]
      ] as const) {
        write(text)
        const wrong = yield* run("list")
        assert.strictEqual(wrong.code, exitCodes.usage, text)
        assert.include(wrong.error, problem)
      }
    }).pipe(Effect.scoped)
  )
})

it("the manual page is what the help says now (node scripts/man-page.mjs writes it anew)", () => {
  const script = path.resolve(import.meta.dirname, "../../../scripts/man-page.mjs")
  const { status, stderr } = spawnSync(process.execPath, [script, "--check", inq.main], { encoding: "utf8" })
  assert.strictEqual(status, 0, stderr)
})
