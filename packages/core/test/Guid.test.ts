import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Guid from "@inquorate/core/Guid"

describe("a GUID", () => {
  it("is 36 characters with hyphens in their places, in either case", () => {
    assert.strictEqual(Guid.parse("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"), "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    assert.strictEqual(Guid.parse(Guid.nil), Guid.nil)
    for (const wrong of [
      "",
      "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
      "6ba7b8109dad11d180b400c04fd430c8",
      "g".repeat(36)
    ]) {
      assert.isUndefined(Guid.parse(wrong))
    }
  })
})

describe("a name-based UUID", () => {
  it("is the one that RFC 9562 gives as its example", () => {
    assert.strictEqual(
      Guid.v5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com"),
      "2ed6657d-e927-568b-95e1-2665a8aea6a2"
    )
  })

  it.prop("agrees with the platform's SHA-1 for any name", { name: Schema.String }, ({ name }) => {
    const namespace = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    // Lone surrogates have no UTF-8 form; no name we are given can hold one.
    const text = Buffer.from(name, "utf8").toString("utf8")
    const hash = createHash("sha1")
      .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
      .update(text)
      .digest()
    hash[6] = (hash[6]! & 0x0f) | 0x50
    hash[8] = (hash[8]! & 0x3f) | 0x80
    assert.strictEqual(Guid.v5(namespace, text).replaceAll("-", ""), hash.subarray(0, 16).toString("hex"))
  })

  it("agrees with the platform's SHA-1 at the lengths where a block fills up", () => {
    for (let length = 30; length < 130; length++) {
      const name = "x".repeat(length)
      const hash = createHash("sha1").update(Buffer.alloc(16)).update(name).digest()
      assert.strictEqual(Guid.v5(Guid.nil, name).slice(0, 8), hash.subarray(0, 4).toString("hex"))
    }
  })

  it("keeps cluster and group apart", () => {
    assert.notStrictEqual(Guid.forPartition("ab", "c"), Guid.forPartition("a", "bc"))
  })
})
