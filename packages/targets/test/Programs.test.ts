/**
 * Goal: what travels to hosts is what stands in `host/`, and the shells and Perl that a host may have can read it. Method:
 * make the generated file again, and hand each program to the parsers there are.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Programs from "../src/Programs.ts"

const folder = path.resolve(import.meta.dirname, "..")

const complaint = (program: string, words: ReadonlyArray<string>, input: string) => {
  const { error, status, stderr } = spawnSync(program, words, { input, encoding: "utf8" })
  return error === undefined && status === 0 ? "" : `${program}: ${error?.message ?? stderr}`
}

describe("the programs for hosts", () => {
  it("are generated from the files as they are now", () => {
    const script = path.resolve(folder, "../../scripts/host-programs.mjs")
    const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" })
    assert.strictEqual(stderr, "")
    assert.strictEqual(status, 0)
  })

  it.each(Object.entries(Programs))("%s is read by sh", (_, text) => {
    assert.strictEqual(complaint("sh", ["-n"], text), "")
  })

  it("the look is read by Perl", () => {
    assert.strictEqual(complaint("perl", ["-c", "-"], fs.readFileSync(path.join(folder, "host/look.pl"), "utf8")), "")
  })
})
