/**
 * Goal: what is being made ready and is not wanted any more holds no place, wherever its program stands at that moment.
 * Method: each program that the host starts on the way is kept waiting in its turn, before its work and after it. Then
 * whoever wanted the fence goes away, which lets it go; the program goes on; and another operation wants the member.
 */
import { randomUUID } from "node:crypto"
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import { assert, describe, it } from "@effect/vitest"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Kill from "../src/mechanisms/Kill.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Bench from "./Bench.ts"
import * as GatedHost from "./GatedHost.ts"
import * as RestartedServer from "./RestartedServer.ts"

Bench.useState()

const programs = ["stat", "mkdir", "rm", "mkfifo", "date", "dd", "mv", "ln", "readlink", "tr", "cat", "perl", "find"]
const mechanisms: Readonly<Record<string, (hosts: ReadonlyMap<string, Host>) => Injector>> = {
  kill: Kill.make,
  pause: Pause.make,
  "pause by signals": (hosts) => Pause.make(hosts, { prefer: "Keeper" })
}

for (const [name, make] of Object.entries(mechanisms)) {
  describe(`a ${name} that is let go`, () => {
    for (const when of ["before", "after"] as const) {
      // A holder is a perl that ends with its fence, so nothing comes after it.
      const waiting = when === "after" ? programs.filter((program) => program !== "perl") : programs
      it.live(
        `${when} any program of its being made ready holds no place`,
        () =>
          Effect.gen(function* () {
            const tree = yield* RestartedServer.start()
            const plain = make(new Map([["here", LocalHost.make("here")]]))
            for (let nth = 1; ; nth++) {
              const gate = yield* GatedHost.make({ programs: waiting, nth, when })
              const order = yield* Bench.orderFor(tree)
              const scope = yield* Scope.make()
              const preparing = yield* make(new Map([["here", gate.host]])).prepare!(
                "here",
                [order],
                within(60_000)
              ).pipe(Scope.provide(scope), Effect.forkIn(scope))
              yield* Bench.until("the gate, or the end", () => gate.reached().length > 0 || isDone(preparing))
              const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
              // Where the gate keeps the one who lets go, it opens for him.
              yield* Effect.raceFirst(Fiber.await(closing), Effect.sleep(within(1000)))
              gate.open()
              yield* Fiber.await(closing)
              const other = { ...order, fence: { ...order.fence, operationId: randomUUID() } }
              const prepared = yield* Effect.exit(Effect.scoped(plain.prepare!("here", [other], within(60_000))))
              assert.isTrue(Exit.isSuccess(prepared), `${gate.reached().join()}: ${JSON.stringify(prepared)}`)
              if (gate.reached().length === 0) return assert.isAbove(nth, 5)
            }
          }),
        within(120_000)
      )
    }
  })
}

// --- internal ---

const isDone = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.pollUnsafe() !== undefined
