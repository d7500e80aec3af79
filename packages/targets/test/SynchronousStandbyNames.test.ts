import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { parse, print, sameName, type StandbyRule } from "../src/SynchronousStandbyNames.ts"

const any = (needed: number, ...standbys: ReadonlyArray<string>): StandbyRule => ({ _tag: "Any", needed, standbys })
const first = (needed: number, ...standbys: ReadonlyArray<string>): StandbyRule => ({ _tag: "First", needed, standbys })

describe("synchronous_standby_names", () => {
  const understood: ReadonlyArray<readonly [string, StandbyRule]> = [
    ["", { _tag: "Off" }],
    ["ANY 1 (s1, s2)", any(1, "s1", "s2")],
    ["any 2(s1,s2 , s3)", any(2, "s1", "s2", "s3")],
    ["Any\t1\n( s1 )", any(1, "s1")],
    ["FIRST 1 (s1, s2)", first(1, "s1", "s2")],
    ["2 (s1, s2, s3)", first(2, "s1", "s2", "s3")],
    ["s1", first(1, "s1")],
    ["s1, s2", first(1, "s1", "s2")],
    ["*", first(1, "*")],
    ["ANY 1 (*)", any(1, "*")],
    ['ANY 1 ("a b", "say ""hi""", "any")', any(1, "a b", 'say "hi"', "any")],
    // A number may be a name, and a name may begin with a keyword or hold letters beyond ASCII.
    ["ANY 1 (1, 2)", any(1, "1", "2")],
    ["1", first(1, "1")],
    ["anyone, first_one", first(1, "anyone", "first_one")],
    ["ANY 1 (büro, tokyo$1)", any(1, "büro", "tokyo$1")]
  ]
  for (const [text, rule] of understood) {
    it(`reads ${JSON.stringify(text)}`, () => assert.deepStrictEqual(Result.getOrThrow(parse(text)), rule))
  }

  const refused = [
    "ANY",
    "ANY (s1)",
    "ANY 0 (s1)",
    "ANY 1 s1",
    "ANY 1 (s1",
    "ANY 1 ()",
    "ANY 1 (s1,)",
    "ANY 1 (s1 s2)",
    "ANY 1 (s1) s2",
    "ANY 1 (any)",
    "s1,",
    "s-1",
    '"s1',
    '""',
    "0 (s1)",
    ";"
  ]
  for (const text of refused) {
    it(`does not understand ${JSON.stringify(text)}`, () => {
      const parsed = parse(text)
      assert.isTrue(Result.isFailure(parsed), JSON.stringify(parsed))
    })
  }

  it("compares names without regard to case", () => {
    assert.isTrue(sameName("S1", "s1"))
    assert.isFalse(sameName("s1", "s2"))
  })

  const Name = Schema.String.check(Schema.isPattern(/^[^\0]+$/))
  it.prop(
    "reads back whatever it prints, names of any kind",
    {
      needed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
      standbys: Schema.NonEmptyArray(Name),
      kind: Schema.Literals(["Any", "First"])
    },
    ({ kind, needed, standbys }) => {
      const rule: StandbyRule = { _tag: kind, needed, standbys }
      assert.deepStrictEqual(Result.getOrThrow(parse(print(rule))), rule)
    }
  )
})
