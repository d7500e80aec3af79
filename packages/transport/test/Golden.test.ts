/**
 * Wire exchanges that must never change. Requests are what the official command line was seen to send; replies are
 * written by hand from the contract, never by our own encoder. The file only grows.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as NodeServer from "../src/server/NodeServer.ts"
import { etcd, layer } from "./FakeOperations.ts"
import { request } from "./http.ts"

interface Exchange {
  readonly story: string
  readonly request: string
  readonly status: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const exchanges = JSON.parse(
  readFileSync(new URL("golden/quorum-loss.json", import.meta.url), "utf8")
) as ReadonlyArray<Exchange>

it.live("every exchange is answered as it is written down", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
    assert.isAbove(exchanges.length, 10)
    for (const exchange of exchanges) {
      const [method = "", target = ""] = exchange.request.replace("{partition}", etcd.partitionId).split(" ")
      const raw = yield* request(port, method, target, method === "POST" ? { headers: ["Content-Length: 0"] } : {})
      assert.strictEqual(`${raw.status} ${raw.reason}`, exchange.status, exchange.story)
      if (exchange.body !== undefined) assert.strictEqual(raw.body, exchange.body, exchange.story)
      for (const [name, value] of Object.entries(exchange.headers ?? {})) {
        assert.strictEqual(raw.headers[name], value, exchange.story)
      }
    }
  }).pipe(Effect.scoped, Effect.provide(layer))
)
