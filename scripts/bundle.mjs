// Makes an application one file: everything inside, only node: modules outside, and before anything else a check of the
// Node version, since an old Node would otherwise fail somewhere inside with a stack that nobody can read.
// Usage, in the application's folder: node ../../scripts/bundle.mjs NAME
import { chmodSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { rolldown } from "rolldown"

const name = process.argv[2]
const { version } = JSON.parse(readFileSync("package.json", "utf8"))
const file = join("dist", `${name}.mjs`)

const banner = `#!/usr/bin/env node
if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write("${name} needs Node 24 or newer; this is Node " + process.versions.node + ".\\n");
  process.exit(1);
}
process.removeAllListeners("warning");
`

// An older Node links a module's static imports before it runs a line, and would fail on one it does not have. So what
// only Node 24 has is asked for when the program runs, which is after the check above.
const newBuiltins = {
  name: "new-builtins",
  resolveId: (id) => (id === "node:sqlite" ? "\0node:sqlite" : null),
  load: (id) =>
    id === "\0node:sqlite"
      ? 'export const { DatabaseSync, StatementSync, constants, backup } = process.getBuiltinModule("node:sqlite")'
      : null
}

const bundle = await rolldown({
  plugins: [newBuiltins],
  input: "src/main.ts",
  platform: "node",
  external: [/^node:(?!sqlite$)/, "pg-native"],
  transform: { define: { "process.env.INQUORATE_VERSION": JSON.stringify(version) } },
  onwarn: (warning) => {
    throw new Error(warning.message)
  }
})
await bundle.write({ file, format: "esm", codeSplitting: false, minify: true, banner })
await bundle.close()
chmodSync(file, 0o755)
