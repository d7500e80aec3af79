import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { defineConfig } from "vitest/config"
// @ts-expect-error A script without types.
import { describeMachine, measureFactor } from "./scripts/machine.mjs"

// Which tests run: `*.long.test.ts` by `npm run verify` (INQUORATE_SUITE=verify), all others by `npm test`. Limits of
// time follow the factor by which this machine starts processes more slowly than a quick one; scripts/test.mjs measures it.
const suite = process.env.INQUORATE_SUITE ?? "test"
const measured = process.env.INQUORATE_FACTOR
const factor = measured === undefined ? measureFactor() : Number(measured)
if (measured === undefined) process.stdout.write(`${describeMachine()}; limits of time are multiplied by ${factor}\n`)
process.env.INQUORATE_FACTOR = String(factor)
if (!["test", "verify", "all"].includes(suite)) throw new Error(`INQUORATE_SUITE is test, verify or all, not ${suite}`)

const long = "test/**/*.long.test.ts"

const settings = {
  include: suite === "verify" ? [long] : ["test/**/*.test.ts"],
  exclude: suite === "test" ? [long] : [],
  setupFiles: [join(import.meta.dirname, "packages/testkit/src/RedTest.ts")],
  testTimeout: 60_000 * factor,
  hookTimeout: 60_000 * factor
}

// What breaks real processes comes last, three files at once: they mostly wait, for holds and elections to end.
const waiting = { ...settings, maxWorkers: 3, sequence: { groupOrder: 1 } }
// The long tests of the mechanisms start processes by the dozen at once, so they have the machine to themselves.
const alone = { ...settings, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 2 } }
// These test one process alone and keep nothing between files, so files of one project share a worker: reading Effect anew
// for each takes as long as the tests themselves.
const sharing = { ...settings, isolate: false }
const inOneProcess = new Set([
  "packages/configuration",
  "packages/core",
  "packages/emulator",
  "packages/engine",
  "packages/transport"
])
const breaking = new Set(["packages/injectors", "packages/lab", "packages/targets", "packages/testing", "stories"])
const settingsOf = (folder: string) => {
  if (suite !== "test" && folder === "packages/injectors") return alone
  if (breaking.has(folder)) return waiting
  return inOneProcess.has(folder) ? sharing : settings
}

const root = import.meta.dirname
const manifestOf = (folder: string): string => join(root, folder, "package.json")
const folders = ["packages", "apps"]
  .flatMap((group) => readdirSync(join(root, group)).map((name) => `${group}/${name}`))
  .filter((folder) => existsSync(manifestOf(folder)))

const nameOf = (folder: string): string =>
  (JSON.parse(readFileSync(manifestOf(folder), "utf8")) as { name: string }).name

export default defineConfig({
  test: {
    projects: [...folders, "stories"].map((folder) => ({
      root: join(root, folder),
      test: { name: nameOf(folder), ...settingsOf(folder) }
    })),
    maxWorkers: 2,
    passWithNoTests: false
  }
})
