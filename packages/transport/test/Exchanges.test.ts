/**
 * The recorded exchanges of the official clients, replayed byte for byte: what Microsoft's own Python client and command
 * line sent, and what they were answered. The files only grow; `node test/record.ts` adds to them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exchanges from "./Exchanges.ts"
import { Control, layer } from "./FakeOperations.ts"
import { request } from "./http.ts"
import * as NodeServer from "../src/server/NodeServer.ts"

const recorded = Exchanges.recorded()

it("every story is recorded to its end, and nothing recorded was taken away", () => {
  const told: Readonly<Record<string, ReadonlyArray<Exchanges.Step>>> = {
    ...Exchanges.stories,
    "command-line": Exchanges.commandLine
  }
  assert.deepStrictEqual(recorded.map(({ story }) => story).sort(), Object.keys(told).sort())
  for (const { steps, story } of recorded) {
    assert.strictEqual(steps.length, told[story]!.length, story)
  }
  const exchanges = recorded.flatMap(({ steps }) => steps.filter((step) => "request" in step))
  assert.isAtLeast(exchanges.length, 100)
})

describe("is answered as it was", () => {
  for (const { client, steps, story } of recorded) {
    it.live(`${story} (${client})`, () =>
      Effect.gen(function* () {
        const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
        const { play } = yield* Control
        for (const step of steps) {
          if ("play" in step) {
            for (const event of step.events) yield* play(step.play, event)
            continue
          }
          const space = step.request.indexOf(" ")
          const raw = yield* request(port, step.request.slice(0, space), step.request.slice(space + 1), {
            headers: Object.entries(step.requestHeaders).map(([name, value]) => `${name}: ${value}`)
          })
          const what = `${story}: ${step.request.slice(0, 120)}`
          assert.strictEqual(`${raw.status} ${raw.reason}`, step.status, what)
          for (const [name, value] of Object.entries(step.headers)) assert.strictEqual(raw.headers[name], value, what)
          if (step.body !== undefined) assert.strictEqual(Exchanges.normalise(raw.body), step.body, what)
        }
      }).pipe(Effect.scoped, Effect.provide(layer))
    )
  }
})
