/**
 * Goal: an answer that nests without measure ends nobody. Method: the parser, and a client whose server answers so.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Json from "../src/client/Json.ts"
import * as NodeClient from "../src/client/NodeClient.ts"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as Client from "../src/v1/Client.ts"

const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`

describe("JSON of others", () => {
  it("is read as it is, whatever brackets its strings hold", () => {
    for (const value of [null, 1, "[[{", { a: ['\\"[[', '"{', { "]}": [] }] }, []]) {
      assert.deepStrictEqual(Json.parse(JSON.stringify(value)), value)
    }
    assert.deepStrictEqual(Json.parse(JSON.stringify("[".repeat(1000))), "[".repeat(1000))
    assert.deepStrictEqual(
      Json.parse(`[${"[],".repeat(1000)}[]]`),
      Array.from({ length: 1001 }, () => [])
    )
    assert.doesNotThrow(() => Json.parse(nested(Json.deepest)))
  })

  it("is refused where it nests too deep, or is none", () => {
    assert.throws(() => Json.parse(nested(Json.deepest + 1)), /nests more than 200 deep/)
    assert.throws(() => Json.parse(`{"a":`.repeat(300)), /nests more than 200 deep/)
    for (const text of ['"', '"\\', "[", "x"]) assert.throws(() => Json.parse(text), SyntaxError)
  })

  it.live("is no worker's answer where it nests too deep", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = http.createServer((_, response) => {
          response.setHeader("Content-Type", "application/json")
          response.end(`{"Items":${nested(500_000)}}`)
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
        yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
        const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        const worker = yield* Client.make({ endpoint })
        const error = yield* Effect.flip(worker.clusters)
        assert.deepStrictEqual(error._tag === "ClientError" && error.reason, "NotAWorker")
        const gateway = yield* FabricClient.make({ endpoint })
        const other = yield* Effect.flip(gateway.getNodes)
        assert.deepStrictEqual(other._tag === "FabricTransportError" && other.reason, "BadAnswer")
      })
    ).pipe(Effect.provide(NodeClient.layer({})))
  )
})
