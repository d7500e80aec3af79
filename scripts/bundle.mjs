// Makes an application a bundle: everything is inside, and only node: modules stay outside. The bundle first checks the
// version of Node. An old Node would otherwise fail somewhere inside, with a stack that nobody can read.
// An application with a src/Prepared.ts is made to start quickly. It loads a module of Node when it first uses it. It
// carries its answers to a few arguments, for which this script asks the built command itself. Its program is a file
// beside the entry, so that such an answer reads none of the program. For all else the program is compiled once for a
// user and not at each start (docs/decisions/0006).
// Usage, in the application's folder: node ../../scripts/bundle.mjs NAME
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { join } from "node:path"
import { rolldown } from "rolldown"

const name = process.argv[2]
const { version } = JSON.parse(readFileSync("package.json", "utf8"))
const file = join("dist", `${name}.mjs`)
const quick = existsSync("src/Prepared.ts")

// The simulated cluster needs nothing new of Node, so that it also runs on the Node of somebody's tests.
const older = name === "worker" ? ' && !(major >= 20 && process.argv.includes("--emulator"))' : ""

const banner = `#!/usr/bin/env node
const major = Number(process.versions.node.split(".")[0]);
if (major < 24${older}) {
  process.stderr.write("${name} needs Node 24 or newer; this is Node " + process.versions.node + ".\\n");
  process.exit(1);
}
process.removeAllListeners("warning");
`

// An older Node links a module's static imports before it runs a line, and would fail on a module that it does not
// have. So the program asks for what only Node 24 has when it runs, which is after the check above.
const newBuiltins = {
  name: "new-builtins",
  resolveId: (id) => (id === "node:sqlite" ? "\0node:sqlite" : null),
  load: (id) =>
    id === "\0node:sqlite"
      ? 'export const { DatabaseSync, StatementSync, constants, backup } = process.getBuiltinModule?.("node:sqlite") ?? {}'
      : null
}

// An import of a module of Node loads all of it before anything runs, and TLS alone takes about as long as the start of
// a Node that does nothing. So each module is loaded when something of it is first used.
const builtinsWhenUsed = {
  name: "builtins-when-used",
  resolveId: {
    // Before anything else the bundle finds its require in node:module.
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

// Effect's file loads node:https, and TLS with it, for http addresses as well.
const httpsWhenUsed = {
  name: "https-when-used",
  transform: {
    filter: { id: /platform-node\/dist\/internal\/http\.js$/ },
    handler: () => `import * as http from "node:http"
      import * as https from "node:https"
      export { http, https }`
  }
}

// Names and lines of the program stay as they are, so that a stack trace can be read.
const readable = { compress: true, mangle: false, codegen: false }

/** The code of one entry with everything inside. */
const build = async (input, format, prepared, minify = true) => {
  const bundle = await rolldown({
    input,
    platform: "node",
    external: [quick ? "node:module" : /^node:(?!sqlite$)/, "pg-native"],
    plugins: quick ? [builtinsWhenUsed, httpsWhenUsed] : [newBuiltins],
    transform: {
      define: {
        "import.meta.env": "undefined",
        "process.env.INQUORATE_VERSION": JSON.stringify(version),
        "process.env.INQUORATE_PREPARED": JSON.stringify(JSON.stringify(prepared))
      }
    },
    onwarn: (warning) => {
      throw new Error(warning.message)
    }
  })
  const { output } = await bundle.generate({ format, codeSplitting: false, comments: false, minify })
  await bundle.close()
  if (output.length !== 1) throw new Error(`${input} gave ${output.length} files`)
  return output[0].code
}

/** Writes the bundle. `prepared` are the answers that it gives before it evaluates anything. */
const write = async (prepared) => {
  rmSync("dist", { recursive: true, force: true })
  mkdirSync("dist")
  writeFileSync(file, banner + (quick ? await staged(prepared) : await build("src/main.ts", "esm", prepared)))
  chmodSync(file, 0o755)
}

/** The answers, then the code that compiles and runs the program in the file beside them. */
const staged = async (prepared) => {
  const program = await build("src/main.ts", "cjs", [], readable)
  const path = join("dist", `${name}.program.cjs`)
  writeFileSync(path, program)
  const mark = createHash("sha256").update(program).digest("hex").slice(0, 16)
  return `${await build("src/Prepared.ts", "esm", prepared)}
(${runProgram})(import.meta, ${JSON.stringify({ name, version, mark })});
export {};
`
}

/**
 * Runs the program in the file beside the entry. This function is written into the entry as it stands here. What V8
 * made of the program is kept for the next start, in the user's own cache folder, under a name that follows from the
 * program's content. It is taken only where nobody else could have written it. Where it cannot be kept, each start
 * compiles anew.
 */
const runProgram = (meta, { mark, name, version }) => {
  const fs = process.getBuiltinModule("node:fs")
  const path = process.getBuiltinModule("node:path")
  const vm = process.getBuiltinModule("node:vm")
  const { createRequire } = process.getBuiltinModule("node:module")
  const filename = path.join(meta.dirname, `${name}.program.cjs`)
  const program = fs.readFileSync(filename, "utf8")

  const { HOME, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env
  const caches = XDG_CACHE_HOME || (HOME && path.join(HOME, ".cache"))
  const folder =
    !caches || !path.isAbsolute(caches) || NODE_DISABLE_COMPILE_CACHE || !process.geteuid
      ? undefined
      : path.join(caches, "inquorate")
  const kept = folder && path.join(folder, `${name}-${version}-${mark}-${process.version}-${process.arch}.v8`)
  const isOurs = ({ mode, uid }) => uid === process.geteuid() && (mode & 0o022) === 0
  const recall = () => {
    if (kept === undefined) return undefined
    try {
      return isOurs(fs.lstatSync(folder)) && isOurs(fs.lstatSync(kept)) ? fs.readFileSync(kept) : undefined
    } catch {
      return undefined
    }
  }
  const cachedData = recall()
  const script = new vm.Script(`(function (require, module, exports, __filename, __dirname) {${program}\n})`, {
    filename,
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  })
  if (kept !== undefined && (cachedData === undefined || script.cachedDataRejected)) {
    // At the end, when all that a start needs has been compiled.
    process.on("exit", () => {
      try {
        fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
        if (!isOurs(fs.lstatSync(folder))) return
        for (const other of fs.readdirSync(folder)) {
          if (other.startsWith(`${name}-`)) fs.rmSync(path.join(folder, other), { force: true })
        }
        const whole = `${kept}.${process.pid}`
        // V8 believes what it is given, so the file is whole on disk before it has its name.
        fs.writeFileSync(whole, script.createCachedData(), { mode: 0o600, flag: "wx", flush: true })
        fs.renameSync(whole, kept)
      } catch {
        // A folder that cannot be written: the next start compiles anew.
      }
    })
  }
  const module = { exports: {} }
  script.runInThisContext()(createRequire(filename), module, module.exports, filename, meta.dirname)
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
