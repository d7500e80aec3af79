/** What a shell is to ask for: it follows from the command and what it has already. */
import { assert, describe, it } from "@effect/vitest"
import { asking } from "../src/Complete.ts"

describe("what comes next", () => {
  it("follows from the command and what it has already", () => {
    assert.deepStrictEqual(asking(["start"]), ["__names", "partitions"])
    assert.deepStrictEqual(asking(["--endpoint", "http://x:1", "start", "-d", "5s", "--watch"]), [
      "__names",
      "partitions",
      "--endpoint=http://x:1"
    ])
    assert.deepStrictEqual(asking(["cancel", "--context=lab"]), ["__names", "operations", "--context=lab"])
    assert.deepStrictEqual(asking(["node", "stop"]), ["__names", "nodes"])
    for (const words of [[], ["start", "lab"], ["node"], ["start", "-d"], ["doctor"]]) {
      assert.strictEqual(asking(words), undefined, words.join(" "))
    }
  })
})
