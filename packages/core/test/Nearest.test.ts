import { assert, describe, it } from "@effect/vitest"
import { nearest } from "@inquorate/core/Nearest"

describe("what was meant", () => {
  const keys = ["members", "address", "dataDirectory", "host"]

  it("is the name that is a slip away", () => {
    assert.strictEqual(nearest("member", keys), "members")
    assert.strictEqual(nearest("adress", keys), "address")
    assert.strictEqual(nearest("datadirectory", keys), "dataDirectory")
    assert.strictEqual(nearest("hsot", keys), "host")
    assert.strictEqual(nearest("dataDir", keys), undefined)
  })

  it("is nobody's guess where nothing is near", () => {
    assert.strictEqual(nearest("frobnicate", keys), undefined)
    assert.strictEqual(nearest("", keys), undefined)
    assert.strictEqual(nearest("x", []), undefined)
    assert.strictEqual(nearest("x".repeat(5000), ["x".repeat(4999)]), undefined)
  })
})
