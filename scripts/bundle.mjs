// Makes an application one file: everything inside, only node: modules outside, and before anything else a check of the
// Node version, since an old Node would otherwise fail somewhere inside with a stack that nobody can read.
// An application with a src/Prepared.ts is made to start quickly: it loads modules of Node when it first uses them, and
// carries what it answers to a few arguments, which the built command itself is asked for.
// Usage, in the application's folder: node ../../scripts/bundle.mjs NAME
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, readFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { join } from "node:path"
import { rolldown } from "rolldown"

const name = process.argv[2]
const { version } = JSON.parse(readFileSync("package.json", "utf8"))
const file = join("dist", `${name}.mjs`)
const quick = existsSync("src/Prepared.ts")

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

// An import of a module of Node loads all of it before anything runs, and TLS alone takes about as long as starting a Node
// that does nothing. So each is loaded when something of it is first used.
const builtinsWhenUsed = {
  name: "builtins-when-used",
  resolveId: {
    // The bundle finds its require in node:module before anything else.
    filter: { id: /^node:(?!module$)/ },
    handler: (id, _importer, { kind }) =>
      kind === "import-statement" && isBuiltin(id) ? `\0${id}` : { id, external: true }
  },
  load: {
    filter: { id: /^\0node:/ },
    handler: (id) => {
      const name = id.slice(1)
      const exported = Object.keys(process.getBuiltinModule(name))
      return `let module
      for (const name of ${JSON.stringify(exported)}) {
        const get = () => (module ??= process.getBuiltinModule(${JSON.stringify(name)}))[name]
        Object.defineProperty(exports, name, { enumerable: true, get })
      }`
    }
  }
}

// Loads node:https, and TLS with it, for addresses that are http as well.
const httpsWhenUsed = {
  name: "https-when-used",
  transform: {
    filter: { id: /platform-node\/dist\/internal\/http\.js$/ },
    handler: () => `import * as http from "node:http"
      import * as https from "node:https"
      export { http, https }`
  }
}

/** Writes the bundle; `prepared` are the answers that it tells before it evaluates anything. */
const write = async (prepared) => {
  const bundle = await rolldown({
    input: "src/main.ts",
    platform: "node",
    external: [quick ? "node:module" : /^node:(?!sqlite$)/, "pg-native"],
    plugins: quick ? [builtinsWhenUsed, httpsWhenUsed] : [newBuiltins],
    transform: {
      define: {
        "process.env.INQUORATE_VERSION": JSON.stringify(version),
        "process.env.INQUORATE_PREPARED": JSON.stringify(JSON.stringify(prepared))
      }
    },
    onwarn: (warning) => {
      throw new Error(warning.message)
    }
  })
  await bundle.write({ file, format: "esm", codeSplitting: false, minify: true, banner })
  await bundle.close()
  chmodSync(file, 0o755)
}

/** What the bundle prints for these arguments. */
const ask = (arguments_) => {
  const run = (env) => spawnSync(process.execPath, [file, ...arguments_], { encoding: "utf8", env })
  const plain = run({})
  const coloured = run({ FORCE_COLOR: "1" })
  if (plain.stderr !== "" || coloured.stderr !== "" || plain.status !== coloured.status) {
    throw new Error(`${file} ${arguments_.join(" ")} gave no answer that can be prepared: ${plain.stderr}`)
  }
  return { arguments: arguments_, code: plain.status, plain: plain.stdout, coloured: coloured.stdout }
}

await write([])
if (quick) await write([[], ["--help"], ["-h"], ["--version"], ["-v"]].map(ask))
