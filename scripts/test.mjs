// Checks what must hold after every change: layering, lint, format, types, builds, then the tests of every package, and
// last that nothing of ours is left on the machine.
// The closing line counts all of it: "N passed, N failed[, N skipped]".
// What takes long (`*.long.test.ts`, packing every package) is run by `npm run verify`, which is this script with
// INQUORATE_SUITE=verify.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { leftovers, snapshot } from "./leftovers.mjs"
import { describeMachine, measureFactor } from "./machine.mjs"
import { checks } from "./check.mjs"
import { endChildren, root, start } from "./process.mjs"

const bin = { PATH: `${root}/node_modules/.bin:${process.env.PATH}` }
const forbidSkips = process.env.INQUORATE_FORBID_SKIPS === "1"
const scratch = mkdtempSync(join(tmpdir(), "inquorate-test-"))
const verifying = process.env.INQUORATE_SUITE === "verify"
const failures = []
let passed = 0

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => void endChildren(signal).then(() => process.exit(130)))
}

/** Runs one check; it passes by its exit code. */
const check = async (name, program, arguments_) => {
  process.stdout.write(`\n— ${name}\n`)
  const { code } = await start(program, arguments_, { env: bin }).done
  if (code === 0) passed++
  else failures.push(`${name} (${program} ${arguments_.join(" ")}, exit code ${code})`)
}

const before = snapshot()
if (!verifying) for (const [name, program, arguments_] of checks) await check(name, program, arguments_)
await check("build", "turbo", ["run", "build", "--output-logs=errors-only"])
if (verifying) await check("publishing", "node", ["scripts/publish-check.mjs"])

const factor = measureFactor()
process.stdout.write(`\n— tests (${describeMachine()}; limits of time are multiplied by ${factor})\n`)
const results = join(scratch, "results.json")
// Most test files have a process of their own, which would compile Effect anew.
const compiled = join(scratch, "compiled")
const tests = await start(
  "vitest",
  ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${results}`, ...process.argv.slice(2)],
  { env: { ...bin, INQUORATE_FACTOR: String(factor), NODE_COMPILE_CACHE: compiled } }
).done
let skipped = 0
try {
  const report = JSON.parse(readFileSync(results, "utf8"))
  if (report.numTotalTests === 0) failures.push("no test ran")
  for (const file of report.testResults) {
    const name = file.name.replace(`${root}/`, "")
    if (file.assertionResults.length === 0) failures.push(`${name}: ${file.message || "holds no test"}`)
    // What fails outside every test, such as a hook that cleans up, is said of the file alone.
    else if (file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed")) {
      failures.push(`${name}: ${file.message || "failed outside its tests"}`)
    }
    for (const test of file.assertionResults) {
      if (test.status === "passed") passed++
      else if (test.status === "failed") failures.push(`${name}: ${test.fullName}`)
      else {
        skipped++
        process.stdout.write(`skipped ${name}: ${test.fullName}\n`)
        if (forbidSkips) failures.push(`${name}: ${test.fullName} was skipped, and here nothing may be`)
      }
    }
  }
  if (tests.code !== 0 && failures.length === 0) failures.push(`vitest ended with exit code ${tests.code}`)
} catch (error) {
  failures.push(`vitest left no results (exit code ${tests.code}): ${error.message}`)
}

const left = await leftovers(before)
if (left.length === 0) passed++
else failures.push(...left.map((what) => `left behind: ${what}`))

rmSync(scratch, { recursive: true, force: true })
if (failures.length > 0) {
  process.stdout.write(`\n${failures.map((failure) => `FAILED ${failure}`).join("\n")}\n`)
  process.stdout.write(`\nThe machine at the end: ${describeMachine()}\n`)
}
if (!verifying) process.stdout.write("\nThe long tests are left to: npm run verify")
process.stdout.write(`\n${passed} passed, ${failures.length} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`)
process.exit(failures.length === 0 ? 0 : 1)
