/** Nothing that others say can act on a terminal, and JSON means the same before and after. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { printable, printableJson, printableLines } from "../src/Printable.ts"

const hostile = {
  "an escape sequence": ["\u001B[2J\u001B[H", "\\u001b[2J\\u001b[H"],
  "a sequence of one C1 character": ["\u009B31m", "\\u009b31m"],
  "a title of the window": ["\u001B]0;x\u0007", "\\u001b]0;x\\u0007"],
  "a line of its own": ["a\nFORGED\r\nline", "a\\nFORGED\\r\\nline"],
  "a column of its own": ["a\tb", "a\\tb"],
  "other line breaks": ["a\u2028b\u2029c\u0085d\u000Be\u000Cf", "a\\u2028b\\u2029c\\u0085d\\u000be\\u000cf"],
  "a turned direction": ["\u202Eabc\u2066\u200F", "\\u202eabc\\u2066\\u200f"],
  "what is not seen": ["a\u200Bb\uFEFF\u{E0041}\u00AD", "a\\u200bb\\ufeff\\udb40\\udc41\\u00ad"],
  "erased characters": ["abc\b\b\u007F", "abc\\u0008\\u0008\\u007f"],
  "half a pair": ["a\uD800b", "a\\ud800b"]
} as const

describe("what others say", () => {
  for (const [what, [said, shown]] of Object.entries(hostile)) {
    it(`does not act as ${what}`, () => assert.strictEqual(printable(said), shown))
  }

  it("is shown as it is where it only is text", () => {
    for (const text of ["", "locks/kv  3 of 3, 5.2 s", "größer als 東京 👍", "C:\\temp", "\uFFFD"]) {
      assert.strictEqual(printable(text), text)
    }
  })

  it("keeps the lines of a text of ours", () => {
    assert.strictEqual(printableLines("one\n\u001Btwo\r\n"), "one\n\\u001btwo\\r\n")
  })

  it.prop("holds nothing that acts, whatever it was", { text: Schema.String }, ({ text }) => {
    const shown = printable(text)
    assert.notMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
    assert.strictEqual(printable(shown), shown)
  })
})

describe("JSON", () => {
  it("holds nothing that acts and means the same", () => {
    for (const [said] of Object.values(hostile)) {
      for (const space of [0, 2]) {
        const json = printableJson(JSON.stringify({ [said]: [said] }, null, space))
        assert.notMatch(json.replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
        assert.deepStrictEqual(JSON.parse(json), { [said]: [said] })
      }
    }
  })

  it.prop("means the same, whatever it says", { text: Schema.String }, ({ text }) => {
    assert.strictEqual(JSON.parse(printableJson(JSON.stringify(text))), text)
  })
})
