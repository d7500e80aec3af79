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
  it("take a whole origin that is configured, wherever its page says that it comes from, and no other", () => {
    const check = Defences.make({ port: 19080, names: [], origins: ["http://localhost:4200"] })
    assert.isUndefined(check({ host, origin: "http://LOCALHOST:4200", "sec-fetch-site": "cross-site" }))
    for (const origin of ["http://localhost:4201", "https://localhost:4200", "http://localhost:4200.evil"]) {
      assert.isString(check({ host, origin }), origin)
    }
    // The page may ask; the server's name is still its own.
    assert.isString(check({ host: "evil.example", origin: "http://localhost:4200" }))
    assert.isString(check({ host, "sec-fetch-site": "cross-site" }))
  })
  it("say what to add", () => {
    assert.include(check({ host: "evil.example" }), "security.names")
    assert.include(check({ host, origin: "http://evil.example" }), "security.origins")
    assert.include(check({ host: "evil.example" }), "--any-host")
  })
  it("are none where nothing real stands behind", () => {
    assert.isUndefined(Defences.none({ host: "x", origin: "http://evil.example", "sec-fetch-site": "cross-site" }))
  })
  it.prop("no text but a configured one is a host", [Schema.String], ([text]) => {
    if (check({ host: text }) === undefined) {
      assert.match(text, /^(127\.0\.0\.1:19080|localhost:19080|\[::1\]:19080|db\.example(:\d+)?|proxy\.example:8443)$/i)
    }
  })
})
