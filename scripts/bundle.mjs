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
      const get = () => (module ??= process.getBuiltinModule(${JSON.stringify(name)}))
      Object.defineProperty(exports, "default", { get })
      for (const name of ${JSON.stringify(exported)}) {
        Object.defineProperty(exports, name, { enumerable: true, get: () => get()[name] })
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

// Effect makes these when its files are evaluated, and few commands use them: what ICU knows of letters, and two stack
// traces, for which V8 counts the lines of the whole program. By them Effect finds out how the engine writes one. To the
// first question it has an answer that is right on any engine; the second asks what V8 does, and Node is V8.
const whenUsed = {
  "Utils.js": [["const limit = getStackTraceLimit();", "const limit = 0;"]],
  "internal/effect.js": [[/(const continuationMarksStack = ).*?\}\)\(\);/s, "$1true;"]],
  "cli/CliOutput.js": [
    [/const graphemeSegmenter = (.*?);/s, "let segmenter;\nconst graphemeSegmenter = () => (segmenter ??= $1);"],
    ["of graphemeSegmenter.segment(", "of graphemeSegmenter().segment("],
    [/const (zeroWidthCodePoints|emojiPresentation) = (.*?);/g, "const $1 = () => $2;"],
    ["replace(zeroWidthCodePoints,", "replace(zeroWidthCodePoints(),"],
    ["emojiPresentation.test(", "emojiPresentation().test("]
  ]
}

const effectWhenUsed = {
  name: "effect-when-used",
  transform: {
    filter: { id: /effect\/dist\/(Utils|internal\/effect|cli\/CliOutput)\.js$/ },
    handler: (code, id) => {
      const changes = whenUsed[/effect\/dist\/(.*)$/.exec(id)[1]]
      return changes.reduce((changed, [old, new_]) => replaced(id, changed, old, new_), code)
    }
  }
}

const replaced = (id, code, old, new_) => {
  const result = code.replace(old, new_)
  if (result === code) throw new Error(`${id} has no ${old} any more`)
  return result
}

// Names and lines of the program stay as they are, so that a stack trace can be read.
const readable = { compress: true, mangle: false, codegen: false }

/** The code of one entry with everything inside. */
const build = async (input, format, prepared, minify = true) => {
  const bundle = await rolldown({
    input,
    platform: "node",
    external: [quick ? "node:module" : /^node:(?!sqlite$)/, "pg-native"],
    plugins: quick ? [builtinsWhenUsed, httpsWhenUsed, effectWhenUsed] : [newBuiltins],
    transform: {
      define: {
        "import.meta.env": "undefined",
        "process.env.INQUORATE_VERSION": JSON.stringify(version),
        "process.env.INQUORATE_PREPARED": JSON.stringify(JSON.stringify(prepared))
      }
    },
    optimization: { pifeForModuleWrappers: false },
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

/** The same program in letters that Node reads as they are, a byte each, instead of decoding two megabytes at each start. */
const inAscii = (program) => {
  if (/String\.raw`[^`]*[^\0-\x7f]/.test(program)) throw new Error("a raw text has letters that cannot be escaped")
  return program.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

/** The same program, which notes each part of it that is evaluated only when it is asked for. */
const noted = (program) => {
  const parts = /\.then\(\(\) => \(init_([\w$]+)\(\), /g
  if (!parts.test(program)) throw new Error("the bundler no longer writes a part that waits as it did")
  return program.replaceAll(parts, '.then(() => (module.parts.add("$1"), init_$1(), ')
}

/**
 * The same program, in which each of its files takes what it imports of Node from the one object of that module. The
 * bundler would make every file a copy of its own, property by property.
 */
const unwrapped = (program) => {
  const copies = /__toESM\((require__node_\w+\(\)), 1\)/g
  if (!copies.test(program)) throw new Error("the bundler no longer imports a module of Node as it did")
  return program.replaceAll(copies, "$1")
}

/** The program as the function that runs it: the text that is compiled is that of the file, and not a copy with more. */
const wrapped = (program) => `(function (require, module, exports, __filename, __dirname) {${program}\n})`

/** The answers, then the code that compiles and runs the program in the file beside them. */
const staged = async (prepared) => {
  const program = wrapped(inAscii(noted(unwrapped(await build("src/main.ts", "cjs", [], readable)))))
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
 * program's content, followed by the names of the parts that were evaluated. It is taken only where nobody else could
 * have written it, and kept anew when a start evaluates a part that it lacks. Where it cannot be kept, each start compiles
 * anew.
 */
const runProgram = (meta, { mark, name, version }) => {
  const fs = process.getBuiltinModule("node:fs")
  const path = process.getBuiltinModule("node:path")
  const vm = process.getBuiltinModule("node:vm")
  const filename = path.join(meta.dirname, `${name}.program.cjs`)
  const program = fs.readFileSync(filename, "latin1")

  const { HOME, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env
  const caches = XDG_CACHE_HOME || (HOME && path.join(HOME, ".cache"))
  const folder =
    !caches || !path.isAbsolute(caches) || NODE_DISABLE_COMPILE_CACHE || !process.geteuid
      ? undefined
      : path.join(caches, "inquorate")
  const kept = folder && path.join(folder, `${name}-${version}-${mark}-${process.version}-${process.arch}.v8`)
  const isOurs = ({ mode, uid }) => uid === process.geteuid() && (mode & 0o022) === 0
  const recall = () => {
    try {
      if (!isOurs(fs.lstatSync(folder)) || !isOurs(fs.lstatSync(kept))) return { parts: [] }
      const file = fs.readFileSync(kept)
      const end = file.lastIndexOf("\n")
      return { cachedData: file.subarray(0, end), parts: file.toString("latin1", end + 1).split(" ") }
    } catch {
      return { parts: [] }
    }
  }
  const { cachedData, parts } = kept === undefined ? { parts: [] } : recall()
  const script = new vm.Script(program, {
    filename,
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  })
  const module = { exports: {}, parts: new Set() }
  if (kept !== undefined) {
    // At the end, when all that a start needs has been compiled.
    process.on("exit", () => {
      const all = new Set(script.cachedDataRejected === false ? [...parts, ...module.parts] : module.parts)
      if (script.cachedDataRejected === false && all.size === parts.length) return
      try {
        fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
        if (!isOurs(fs.lstatSync(folder))) return
        for (const other of fs.readdirSync(folder)) {
          if (other.startsWith(`${name}-`)) fs.rmSync(path.join(folder, other), { force: true })
        }
        const whole = `${kept}.${process.pid}`
        // V8 believes what it is given, so the file is whole on disk before it has its name.
        const content = Buffer.concat([script.createCachedData(), Buffer.from(`\n${[...all].join(" ")}`)])
        fs.writeFileSync(whole, content, { mode: 0o600, flag: "wx", flush: true })
        fs.renameSync(whole, kept)
      } catch {
        // A folder that cannot be written: the next start compiles anew.
      }
    })
  }
  const require = (id) => process.getBuiltinModule("node:module").createRequire(filename)(id)
  script.runInThisContext()(require, module, module.exports, filename, meta.dirname)
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
