/**
 * Goal: what travels to hosts is what stands in `host/`, and every shell that a host may have can read it. Method: make
 * the generated file again, and hand each program to the parsers there are.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Programs from "../src/Programs.ts"

const folder = path.resolve(import.meta.dirname, "..")
const programs = Object.entries(Programs).filter(([name]) => name !== "tracer" && name !== "starter")

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

  it.each(programs)("%s is read by sh", (_, text) => {
    assert.strictEqual(complaint("sh", ["-n"], text), "")
  })

  it.each(["tracer", "starter"])("the %s is read by Perl", (name) => {
    assert.strictEqual(
      complaint("perl", ["-c", "-"], fs.readFileSync(path.join(folder, `host/${name}.pl`), "utf8")),
      ""
    )
  })
})
