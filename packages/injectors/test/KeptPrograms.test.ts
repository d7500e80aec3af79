/**
 * Goal: a program that stays serves one after the other, and only while it answers. Method: a shell that says its process
 * number, on this machine; and a pause whose kept program is frozen or killed before it is needed.
 */
import * as fs from "node:fs"
import type { Host } from "@inquorate/core/Host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as KeptPrograms from "../src/hosts/KeptPrograms.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

Bench.useState()

const program = 'while read -r word; do printf "%s\\n" "$$ $word" end; done'

const pidOf = (host: Host, words: ReadonlyArray<string> = []) =>
  Effect.scoped(
    Effect.flatMap(host.open!(program, words), (channel) => channel.ask("who\n", "end", { timeout: 10_000 }))
  ).pipe(Effect.map(([line = ""]) => Number(line.split(" ")[0])))

const isThere = (pid: number): boolean => fs.existsSync(`/proc/${pid}`)

describe("a program that stays", () => {
  it.live("is kept for whoever asks next, and ends with the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const host = yield* Scope.provide(LocalHost.keeping("here"), scope)
      const first = yield* pidOf(host)
      assert.strictEqual(yield* pidOf(host), first)
      assert.notStrictEqual(yield* pidOf(host, ["other"]), first)
      // Two at once have one each.
      const both = yield* Effect.scoped(
        Effect.all([host.open!(program, []), host.open!(program, [])]).pipe(
          Effect.map((channels) => channels.map(({ isKept }) => isKept === true))
        )
      )
      assert.deepStrictEqual(both, [true, false])
      yield* Scope.close(scope, Exit.void)
      yield* Bench.until("it ended", () => !isThere(first))
    })
  )

  it.live("is not kept once an answer of it was lost, or it is gone", () =>
    Effect.gen(function* () {
      const host = yield* LocalHost.keeping("here")
      const first = yield* pidOf(host)
      const lost = yield* Effect.exit(
        Effect.scoped(
          Effect.flatMap(host.open!(program, []), (channel) => channel.ask("who\n", "another end", { timeout: 50 }))
        )
      )
      assert.isTrue(Exit.isFailure(lost))
      const second = yield* pidOf(host)
      assert.notStrictEqual(second, first)
      process.kill(second, "SIGKILL")
      yield* Bench.until("it ended", () => !isThere(second))
      assert.notStrictEqual(yield* pidOf(host), second)
    }).pipe(Effect.scoped)
  )

  it.live("leaves a host that cannot open one as it is", () =>
    Effect.gen(function* () {
      const { label, run } = LocalHost.make("here")
      assert.isUndefined((yield* KeptPrograms.around({ label, run })).keeps)
    }).pipe(Effect.scoped)
  )
})

describe("a pause on a host that keeps programs", () => {
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    it.live(`is planned, prepared and lifted though what was kept has got a ${signal}`, () =>
      Effect.gen(function* () {
        const pause = Pause.make(new Map([["here", yield* LocalHost.keeping("here")]]))
        const tree = yield* ProcessTree.start("still")
        assert.strictEqual((yield* pause.preflight(tree.process))._tag, "Ready")
        const kept = programs()
        assert.isNotEmpty(kept)
        ProcessTree.signalAll(kept, signal)
        assert.strictEqual((yield* pause.preflight(tree.process))._tag, "Ready")
        const order = yield* Bench.orderFor(tree, { hold: 60_000 })
        const prepared = yield* pause.prepare!("here", [order], 60_000)
        const [answer] = yield* prepared.go(order)
        assert.strictEqual(answer?._tag, "Success")
        assert.strictEqual((yield* pause.lift("here", order.fence, 1))._tag, "Lifted")
      }).pipe(Effect.scoped)
    )
  }
})

/** Our own children that read a program. */
const programs = (): ReadonlyArray<number> =>
  fs
    .readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .split(" ")
    .filter((pid) => pid !== "")
    .map(Number)
    .filter((pid) => ProcessTree.commandOf(pid).includes("$(dd "))
