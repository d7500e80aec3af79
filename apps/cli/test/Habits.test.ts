/** What people type out of habit, and what they may leave out. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { exitCodes } from "../src/ExitCode.ts"
import { asksForJson, inOurWords as wordsFor } from "../src/Habits.ts"
import { age } from "../src/Moment.ts"
import * as FakeWorker from "./FakeWorker.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

const O = "abcd1111-1111-4111-8111-111111111111"
const O2 = "abcd2222-1111-4111-8111-111111111111"

/** A worker that holds what is started, and the command asked there. */
const holding = Effect.map(FakeWorker.serveWith({ holds: true }), ({ all, url }) => ({
  all,
  url,
  run: (line: string) => inq.run([...line.split(" "), "--endpoint", url])
}))

const inOurWords = (typed: ReadonlyArray<string>) => wordsFor(typed, (name) => name === "node")

describe("habits", () => {
  it("are put into our words", () => {
    assert.deepStrictEqual(inOurWords(["help", "node", "stop"]), ["node", "stop", "--help"])
    assert.deepStrictEqual(inOurWords(["help"]), ["--help"])
    assert.deepStrictEqual(inOurWords(["help", "nod"]), ["nod"])
    for (const word of ["version", "-v", "-V"]) assert.deepStrictEqual(inOurWords([word]), ["--version"])
    assert.deepStrictEqual(inOurWords(["watch", "last", "-v"]), ["watch", "last", "-v"])
    assert.deepStrictEqual(inOurWords(["chaos", "start", "--context", "a=b", "--context=c=d", "--context", "lab"]), [
      "chaos",
      "start",
      "--note",
      "a=b",
      "--note=c=d",
      "--context",
      "lab"
    ])
    assert.deepStrictEqual(inOurWords(["start", "x", "-d", "-5s", "-w"]), ["start", "x", "-d=-5s", "-w"])
    assert.deepStrictEqual(inOurWords(["list", "--limit", "-1"]), ["list", "--limit=-1"])
    assert.isTrue(asksForJson(["list", "-o", "json"]) && asksForJson(["--output=json"]))
    assert.isFalse(asksForJson(["list", "json"]) || asksForJson(["-o", "table"]))
  })

  it("tell an age in one unit", () => {
    assert.deepStrictEqual([0, 119_000, 120_000, 7_199_000, 7_200_000, 200_000_000, -5].map(age), [
      "0s",
      "119s",
      "2m",
      "119m",
      "2h",
      "2d",
      "0s"
    ])
  })

  it.live("have help first by groups, with examples", () =>
    Effect.gen(function* () {
      const { code, out } = yield* inq.run(["help"])
      assert.strictEqual(code, 0)
      for (const word of ["Look:", "Break:", "End:", "inq start orders -d 10s --watch"]) assert.include(out, word)
      assert.include((yield* inq.run(["help", "list"])).out, "inq list --state live")
      const unknown = yield* inq.run(["help", "lst"])
      assert.strictEqual(unknown.code, exitCodes.usage)
      assert.match(unknown.error, /^inq: .*"lst".*Did you mean this\? list\n/)
      const wrong = yield* inq.run(["list", "--limt", "5"])
      assert.strictEqual(wrong.code, exitCodes.usage)
      assert.strictEqual(wrong.out, "")
      assert.match(wrong.error, /^inq: .*--limt.*Did you mean this\? --limit\nUsage: inq list /)
    })
  )
})

describe("an operation is named", () => {
  it.live("by its beginning, by last, or by nothing where only one lives", () =>
    Effect.gen(function* () {
      const { run } = yield* holding
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

  it.live("and told of where it has ended already", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.serve
      yield* inq.run(["start", "lab", "-d", "5s", "--id", O, "--endpoint", url])
      const again = yield* inq.run(["cancel", O, "--endpoint", url])
      assert.strictEqual(again.code, exitCodes.refused)
      assert.match(
        again.error,
        /cancel: abcd1111-\S+ ended Completed at .* already\. No write was acknowledged for 5\.0 s/
      )
    }).pipe(Effect.scoped)
  )
})

describe("the list", () => {
  it.live("is newest first, and by state, cluster and age", () =>
    Effect.gen(function* () {
      const { run } = yield* holding
      yield* run(`start lab -d 60s --id ${O}`)
      yield* run(`start lab -d 60s --id ${O2}`)
      yield* run(`cancel ${O2}`)
      const ids = (text: string) => [...text.matchAll(/^abcd\S+/gm)].map(([id]) => id)
      assert.deepStrictEqual(ids((yield* run("list")).out), [O2, O])
      assert.deepStrictEqual(ids((yield* run("list --state live")).out), [O])
      assert.deepStrictEqual(ids((yield* run("list --state Cancelled --state Faulted --cluster lab --since 1h")).out), [
        O2
      ])
      assert.include((yield* run("list --cluster other")).out, "No operation is so.")
      assert.strictEqual((yield* run("list --since soon")).code, exitCodes.usage)
      const { out } = yield* run("list -o json")
      const [first] = JSON.parse(out) as ReadonlyArray<Readonly<Record<string, unknown>>>
      assert.match(String(first?.["received"]), /^\d{4}-\d\d-\d\dT/)
      assert.match(String(first?.["summary"]), /^Cancelled/)
    }).pipe(Effect.scoped)
  )
})

describe("what is wrong", () => {
  it.live("is JSON where JSON is asked for", () =>
    Effect.gen(function* () {
      const { code, error, out } = yield* inq.run(["list", "-o", "json", "--endpoint", "http://127.0.0.1:1"])
      assert.deepStrictEqual([code, out], [exitCodes.unreachable, ""])
      const told = JSON.parse(error) as { readonly error: Readonly<Record<string, unknown>> }
      assert.deepStrictEqual([told.error["exit"], told.error["code"]], ["unreachable", 6])
      assert.include(String(told.error["message"]), "ECONNREFUSED")
    })
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
