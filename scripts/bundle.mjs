// Makes an application a bundle: everything is inside, and only node: modules stay outside. The bundle first checks the
// version of Node. An old Node would otherwise fail somewhere inside, with a stack that nobody can read.
// An application with a src/Prepared.ts is made to start quickly. It loads a module of Node when it first uses it. It
// carries its answers to a few arguments, for which this script asks the built command itself. Its program is in files
// beside the entry, so that such an answer reads none of them, and another command only those that it needs. Each is
// compiled once for a user and not at each start (docs/decisions/0006).
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
  process.stderr.write("${name} needs Node 24 or newer; this is Node " + process.versions.node + ". Install Node 24, or take one from npm for this run: npx -y node@24 " + process.argv[1] + "\\n");
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

// What few commands use is evaluated when it is first used, and not with whatever imports it: an importer gets a stand-in
// that evaluates the module when it is asked for something. Whatever uses one of these while it is itself evaluated
// takes the gain away, and nothing else.
const laterModules = [
  ...["CliError", "Prompt", "internal/wizard"].map((name) => `effect/dist/cli/${name}.js`),
  ...["bash", "descriptor", "fish", "powershell", "zsh"].map((name) => `cli/internal/completions/${name}.js`),
  ...["encoding/Ndjson", "encoding/Sse", "internal/glob", "socket/Socket"].map((name) => `effect/dist/${name}.js`),
  ...["Chaos", "Operations"].map((name) => `core/src/${name}.ts`),
  ...["ChaosView", "HealthView", "NodeView", "RecoverRequest"].map((name) => `transport/src/v1/${name}.ts`),
  "transport/src/client/Credentials.ts"
]

const evaluatedWhenUsed = () => {
  const isLater = (id) => laterModules.some((module) => id.endsWith(`/${module}`))
  return {
    name: "evaluated-when-used",
    async resolveId(id, importer, options) {
      if (importer === undefined || importer.startsWith("\0") || options.kind !== "import-statement") return null
      const found = await this.resolve(id, importer, { ...options, skipSelf: true })
      return found !== null && isLater(found.id) && !isLater(importer)
        ? found.id.replace(/^(.*\/)/, "\0$1later-")
        : found
    },
    load: {
      filter: { id: /^\0.*\/later-/ },
      handler: (id) => {
        const file = JSON.stringify(id.replace(/^\0(.*\/)later-/, "$1"))
        return `let evaluated
        module.exports = new Proxy({}, { get: (_, name) => (evaluated ??= require(${file}))[name] })`
      }
    },
    buildEnd() {
      const all = [...this.getModuleIds()]
      for (const module of laterModules) {
        if (!all.some((id) => id.endsWith(`/${module}`))) throw new Error(`there is no ${module} any more`)
      }
    }
  }
}

// Names and lines of the program stay as they are, so that a stack trace can be read.
const readable = { compress: true, mangle: false, codegen: false }

/**
 * What few commands need stands in files of its own, so that the others do not read it. Each has the modules that are
 * named here and all that they need, but for what stands in the program or in a file before it.
 */
const files = {
  yaml: /yaml\/dist\/index\.js$/,
  gateway: /src\/Gateway\w*\.ts$/,
  machine: /src\/(Init|TargetCheck|Labs|Doctor)\.ts$/
}

/** Finds out in which file a module stands. */
const filing = () => {
  const fileOf = new Map()
  return {
    of: (id) => fileOf.get(id),
    plugin: {
      name: "filing",
      buildEnd() {
        const named = (id) => Object.keys(files).find((file) => files[file].test(id))
        const put = (id, file) => {
          if (fileOf.has(id)) return
          fileOf.set(id, file)
          const { dynamicallyImportedIds, importedIds } = this.getModuleInfo(id)
          for (const next of [...importedIds, ...dynamicallyImportedIds]) {
            if (named(next) === undefined) put(next, file)
          }
        }
        const all = [...this.getModuleIds()]
        for (const id of all.filter((id) => this.getModuleInfo(id).isEntry)) put(id, "program")
        for (const file of Object.keys(files)) {
          for (const id of all.filter((id) => named(id) === file)) put(id, file)
        }
      }
    }
  }
}

/**
 * Warnings that are no fault of ours: what stands in the same file anyway is still evaluated only when it is asked for, and
 * a busy machine makes any plugin slow.
 */
const harmless = new Set(["INEFFECTIVE_DYNAMIC_IMPORT", "PLUGIN_TIMINGS"])

/** What the bundler makes of one entry. */
const generate = async (input, prepared, plugins, options) => {
  const bundle = await rolldown({
    input,
    platform: "node",
    external: [quick ? "node:module" : /^node:(?!sqlite$)/, "pg-native"],
    plugins: [...(quick ? [builtinsWhenUsed, httpsWhenUsed, effectWhenUsed] : [newBuiltins]), ...plugins],
    transform: {
      define: {
        "import.meta.env": "undefined",
        "process.env.INQUORATE_VERSION": JSON.stringify(version),
        "process.env.INQUORATE_PREPARED": JSON.stringify(JSON.stringify(prepared))
      }
    },
    optimization: { pifeForModuleWrappers: false },
    onwarn: ({ code, message }) => {
      if (!harmless.has(code)) throw new Error(message)
    }
  })
  const { output } = await bundle.generate({ ...options, comments: false })
  await bundle.close()
  return output
}

/** The code of one entry with everything inside. */
const build = async (input, prepared) => {
  const output = await generate(input, prepared, [], { format: "esm", codeSplitting: false, minify: true })
  if (output.length !== 1) throw new Error(`${input} gave ${output.length} files`)
  return output[0].code
}

/**
 * The code of the program, file by file. The bundler also writes a file that only begins the program, which is done here at
 * the program's end, and one with a few functions of its own, which each of the others has inside instead.
 */
const buildFiles = async () => {
  const filed = filing()
  const names = ["program", ...Object.keys(files)]
  const output = await generate("src/main.ts", [], [evaluatedWhenUsed(), filed.plugin], {
    format: "cjs",
    strictExecutionOrder: true,
    minifyInternalExports: false,
    chunkFileNames: ({ moduleIds }) => `${filed.of(moduleIds[0]) ?? "runtime"}.cjs`,
    codeSplitting: {
      groups: names.map((name, index) => ({
        name,
        test: (id) => filed.of(id) === name,
        priority: names.length - index
      }))
    },
    minify: readable
  })
  const codeOf = (file) => output.find(({ fileName }) => fileName === file).code
  const [, begins] = /require\("\.\/program\.cjs"\)\.(\w+\(\));\s*$/.exec(codeOf("main.js"))
  const runtime = 'require("./runtime.cjs")'
  return names.map((name) => {
    const inside = `((exports) => {${codeOf("runtime.cjs")}; return exports})({})`
    const inlined = (code) => replaced(name, code, runtime, () => inside)
    const code = codeOf(`${name}.cjs`)
    if (name !== "program") return { name, code: inlined(code) }
    // What the other files have of the program is given to them when the first of them asks.
    const shared = replaced(name, code, /\n(Object\.defineProperty\(exports, [^]*)$/, "\nmodule.share = () => {$1};")
    return { name, code: `${inlined(shared)}\n${begins};` }
  })
}

/** Writes the bundle. `prepared` are the answers that it gives before it evaluates anything. */
const write = async (prepared) => {
  rmSync("dist", { recursive: true, force: true })
  mkdirSync("dist")
  writeFileSync(file, banner + (quick ? await staged(prepared) : await build("src/main.ts", prepared)))
  chmodSync(file, 0o755)
}

/** The same code in letters that Node reads as they are, a byte each, instead of decoding a megabyte at each start. */
const inAscii = (code) => {
  if (/String\.raw`[^`]*[^\0-\x7f]/.test(code)) throw new Error("a raw text has letters that cannot be escaped")
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

/** The same code, which notes each part that is evaluated only when it is asked for, in this file or in another. */
const noted = (code) =>
  code.replaceAll(
    /\.then\(\((n?)\) => \((n\.)?init_([\w$]+)\(\), /g,
    '.then(($1) => (module.parts.add("$3"), $2init_$3(), '
  )

/**
 * The same code, in which each module takes what it imports of Node, or of what is evaluated later, from the one object of
 * that module. The bundler would make everyone a copy of its own, property by property.
 */
const unwrapped = (code) =>
  code.replaceAll(/require_\w+\.__toESM\(((?:require_\w+\.)?require_(?:_node|later)_[\w$]+\(\))(?:, 1)?\)/g, "$1")

/** The code as the function that runs it: the text that is compiled is that of the file, and not a copy with more. */
const wrapped = (code) => `(function (require, module, exports, __filename, __dirname) {${code}\n})`

/** The answers, then the code that compiles and runs the program in the files beside them. */
const staged = async (prepared) => {
  const marks = {}
  for (const { code, name: part } of await buildFiles()) {
    const direct = unwrapped(code)
    const whole = noted(direct)
    if (part === "program" && (direct === code || whole === direct)) {
      throw new Error("the bundler no longer imports a module of Node, or a part that waits, as it did")
    }
    const text = wrapped(inAscii(whole))
    writeFileSync(join("dist", `${name}.${part}.cjs`), text)
    marks[part] = createHash("sha256").update(text).digest("hex").slice(0, 16)
  }
  return `${await build("src/Prepared.ts", prepared)}
(${runProgram})(import.meta, ${JSON.stringify(name)}, (${keptCode})(${JSON.stringify({ name, version, marks })}));
export {};
`
}

/**
 * What V8 made of a file is kept for the next start, in the user's own cache folder, under a name that follows from the
 * file's content, followed by the names of the parts that were evaluated. It is taken only where nobody else could have
 * written it, and kept anew when a start evaluates a part that it lacks. Where it cannot be kept, each start compiles anew.
 * This function and the next are written into the entry as they stand here.
 */
const keptCode = ({ marks, name, version }) => {
  const fs = process.getBuiltinModule("node:fs")
  const path = process.getBuiltinModule("node:path")
  const { HOME, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env
  const caches = XDG_CACHE_HOME || (HOME && path.join(HOME, ".cache"))
  if (!caches || !path.isAbsolute(caches) || NODE_DISABLE_COMPILE_CACHE || !process.geteuid) return undefined
  const folder = path.join(caches, "inquorate")
  const isOurs = ({ mode, uid }) => uid === process.geteuid() && (mode & 0o022) === 0
  const pathOf = (file) =>
    path.join(folder, `${name}.${file}-${version}-${marks[file]}-${process.version}-${process.arch}.v8`)
  return {
    recall: (file) => {
      try {
        const kept = pathOf(file)
        if (!isOurs(fs.lstatSync(folder)) || !isOurs(fs.lstatSync(kept))) return { known: [] }
        const content = fs.readFileSync(kept)
        const end = content.lastIndexOf("\n")
        return { cachedData: content.subarray(0, end), known: content.toString("latin1", end + 1).split(" ") }
      } catch {
        return { known: [] }
      }
    },
    keep: (file, script, known, parts) => {
      const all = new Set(script.cachedDataRejected === false ? [...known, ...parts] : parts)
      if (script.cachedDataRejected === false && all.size === known.length) return
      try {
        fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
        if (!isOurs(fs.lstatSync(folder))) return
        for (const other of fs.readdirSync(folder)) {
          if (other.startsWith(`${name}.${file}-`)) fs.rmSync(path.join(folder, other), { force: true })
        }
        const whole = `${pathOf(file)}.${process.pid}`
        // V8 believes what it is given, so the file is whole on disk before it has its name.
        const content = Buffer.concat([script.createCachedData(), Buffer.from(`\n${[...all].join(" ")}`)])
        fs.writeFileSync(whole, content, { mode: 0o600, flag: "wx", flush: true })
        fs.renameSync(whole, pathOf(file))
      } catch {
        // A folder that cannot be written: the next start compiles anew.
      }
    }
  }
}

/** Runs the program in the files beside the entry, of which each is read when something asks for it. */
const runProgram = (meta, name, kept) => {
  const fs = process.getBuiltinModule("node:fs")
  const path = process.getBuiltinModule("node:path")
  const vm = process.getBuiltinModule("node:vm")
  /** The parts that this start evaluated, in whichever file they stand. */
  const parts = new Set()
  const loaded = new Map()
  const load = (file) => {
    const already = loaded.get(file)
    if (already !== undefined) {
      already.share?.()
      already.share = undefined
      return already.exports
    }
    const filename = path.join(meta.dirname, `${name}.${file}.cjs`)
    const { cachedData, known } = kept?.recall(file) ?? {}
    const script = new vm.Script(fs.readFileSync(filename, "latin1"), {
      filename,
      cachedData,
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
    })
    // At the end, when all that a start needs has been compiled.
    process.on("exit", () => kept?.keep(file, script, known, parts))
    const module = { exports: {}, parts }
    loaded.set(file, module)
    const require = (id) =>
      id.startsWith("./") ? load(id.slice(2, -4)) : process.getBuiltinModule("node:module").createRequire(filename)(id)
    script.runInThisContext()(require, module, module.exports, filename, meta.dirname)
    return module.exports
  }
  load("program")
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
