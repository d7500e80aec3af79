// The checks that run nothing: layering, lint, format, exports that nobody imports, and types.
// `check` does all of them; `lint`, `typecheck` and `format` do one, and `format` writes.
import { pathToFileURL } from "node:url"
import { root, run } from "./process.mjs"

const folders = ["packages", "apps", "scripts", "bench", "stories"]

/** Name, program and arguments of each check. */
export const checks = [
  ["layering", "turbo", ["boundaries"]],
  ["lint", "oxlint", ["--deny-warnings", ...folders]],
  ["format", "oxfmt", ["--check", ...folders]],
  ["dead exports", "knip", ["--no-progress", "--no-config-hints"]],
  // One program of all packages: each of its own would check again what it imports from the others.
  ["types", "tsc", ["--project", "tsconfig.json"]]
]

/** Runs the named checks. The process ends with the exit code of the first one that fails. */
export const runChecks = async (names) => {
  for (const [name, program, arguments_] of checks) {
    if (!names.includes(name)) continue
    try {
      await run(program, arguments_, { env: { PATH: `${root}/node_modules/.bin:${process.env.PATH}` } })
    } catch (error) {
      process.exit(error.code ?? 1)
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await runChecks(checks.map(([name]) => name))
