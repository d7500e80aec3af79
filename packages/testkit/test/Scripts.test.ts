/** Our scripts leave nothing behind when they are asked to end. */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"

const script = path.join(import.meta.dirname, "../../../scripts/process.mjs")

// The first program is still there when the signal comes, and the second would start when it has ended.
const two = `
  const { endOnSignals, start } = await import(process.argv[1])
  endOnSignals()
  const first = start("sleep", ["1000"])
  console.log("first " + first.child.pid)
  await first.done
  console.log("second " + start("sleep", ["1000"]).child.pid)`

describe("a script that is asked to end", () => {
  it("ends what it started, and starts nothing more", async () => {
    const asked = spawn(process.execPath, ["--input-type=module", "-e", two, script], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let said = ""
    asked.stdout.on("data", (data: Buffer) => {
      if (said === "") asked.kill("SIGTERM")
      said += String(data)
    })
    const code = await new Promise((resolve) => asked.on("close", resolve))
    assert.strictEqual(code, 130)
    assert.match(said, /^first [0-9]+\n$/)
    assert.throws(() => process.kill(Number(said.split(" ")[1]), 0), "ESRCH")
  })
})
