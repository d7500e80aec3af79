/** What people type out of habit, and what they may leave out. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { exitCodes } from "../src/ExitCode.ts"
import { asksForJson, inOurWords as wordsFor } from "../src/Habits.ts"
import { age } from "../src/Moment.ts"
import * as FakeWorker from "./FakeWorker.ts"
import { holding, O, O2 } from "./HoldingWorker.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

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
      const { run } = yield* holding(inq)
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
