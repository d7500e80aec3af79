/** Which headers are ours: laws and corners of the check that runs before anything else. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Defences from "../src/server/Defences.ts"

const check = Defences.make({ port: 19080, names: ["db.example", "proxy.example:8443", "[fd00::1]"] })
const host = "127.0.0.1:19080"

describe("the defences", () => {
  it("take our names with our port, and configured names with theirs or any", () => {
    for (const name of [
      host,
      "localhost:19080",
      "LocalHost:19080",
      "[::1]:19080",
      "db.example",
      "db.example:1",
      "proxy.example:8443",
      "[fd00::1]:19080",
      "[fd00::1]"
    ])
      assert.isUndefined(check({ host: name }), name)
  })
  it("refuse everything else that looks like them", () => {
    for (const name of [
      undefined,
      "",
      "127.0.0.1",
      "127.0.0.1:80",
      "127.0.0.2:19080",
      "localhost.evil.example:19080",
      "evil.example:19080",
      "proxy.example:8444",
      "proxy.example",
      "db.example.evil:19080",
      "x@127.0.0.1:19080"
    ])
      assert.isString(check({ host: name }), String(name))
  })
  it("on port 443 as well", () => {
    const check = Defences.make({ port: 443, names: [] })
    assert.isUndefined(check({ host: "localhost", origin: "https://localhost" }))
  })
  it("on port 80 the names go without a port as well", () => {
    const check = Defences.make({ port: 80, names: [] })
    assert.isUndefined(check({ host: "localhost" }))
    assert.isUndefined(check({ host: "localhost", origin: "http://localhost" }))
    assert.isString(check({ host: "localhost:8080" }))
  })
  it("an origin must be one of ours, whole", () => {
    assert.isUndefined(check({ host, origin: "http://localhost:19080" }))
    assert.isUndefined(check({ host, origin: "https://db.example" }))
    for (const origin of [
      "null",
      "",
      "http://evil.example",
      "http://127.0.0.1:19080.evil",
      "file://127.0.0.1:19080",
      "x"
    ]) {
      assert.isString(check({ host, origin }), origin)
    }
  })
  it.prop("no text but a configured one is a host", [Schema.String], ([text]) => {
    if (check({ host: text }) === undefined) {
      assert.match(text, /^(127\.0\.0\.1:19080|localhost:19080|\[::1\]:19080|db\.example(:\d+)?|proxy\.example:8443)$/i)
    }
  })
})
