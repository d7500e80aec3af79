// Checks what a stranger gets from the registry, before the registry has it. Every published package is built afresh
// and packed, and publint and attw look at it. Plain npm installs its tarball in a folder outside the workspace. There
// it is compiled against by TypeScript, imported and run, and bundled for a browser where it promises that. Each
// problem names its package and, where there is one, its subpath. Everything that was made on the way is removed.
// Usage: node scripts/publish-check.mjs [PACKAGE…]   such as "core transport"; all of them where none is named.
import { createServer } from "node:http"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { bundleForBrowser } from "./browser-bundle.mjs"
import { endChildren, root, start } from "./process.mjs"

// --- what is promised ---

/** Published packages in the order of their dependencies; `browser` lists the subpaths that run without Node. */
const libraries = [
  { name: "core", browser: "all" },
  {
    name: "transport",
    browser: [
      "FabricPath",
      "FabricModel",
      "FabricAnswers",
      "FabricRefusal",
      "FabricClient",
      "Api",
      "Client",
      "Access",
      "Promise"
    ]
  },
  { name: "stores", browser: [] },
  { name: "engine", browser: [] },
  { name: "injectors", browser: [] },
  { name: "targets", browser: [] },
  { name: "testing", browser: [] },
  { name: "lab", browser: [] },
  { name: "emulator", browser: ["Emulator", "Layout", "LayoutFile", "PartitionState"] }
]
/** Applications: their folder, the bundle in it, and the command they install. */
const applications = [
  { name: "cli", bundle: "inq", command: "inq" },
  { name: "worker", bundle: "worker", command: "inquorate-worker" }
]

/** The most that a page may load for one subpath with everything it stands on, minified and by gzip, in KiB. */
const pageBudgets = {
  "@inquorate/core/Operation": 36,
  "@inquorate/transport/Promise": 44,
  "@inquorate/transport/FabricClient": 58,
  "@inquorate/transport/Client": 75
}

// --- models ---

const scratch = mkdtempSync(join(tmpdir(), "inquorate-publish-"))
const tarballs = join(scratch, "tarballs")
const consumer = join(scratch, "consumer")
const bin = join(root, "node_modules", ".bin")
const problems = []
let checks = 0

const problem = (where, text) => problems.push(`${where}: ${text.trim().replaceAll(scratch, "…")}`)

/** Runs a program and gives back its exit code and everything it wrote. */
const capture = async (program, arguments_, options) => {
  const { child, done } = start(program, arguments_, { stdio: ["ignore", "pipe", "pipe"], ...options })
  let stderr = ""
  child.stderr.on("data", (data) => (stderr += data))
  const { code, stdout } = await done
  return { code, stdout, text: `${stdout}${stderr}` }
}

/** Counts a check, and tells its output as a problem where it fails. */
const expect = async (where, program, arguments_, options) => {
  checks++
  const result = await capture(program, arguments_, options)
  if (result.code !== 0) problem(where, result.text || `${program} ended with exit code ${result.code}`)
  return result
}

const manifestOf = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

const clearUp = () => rmSync(scratch, { recursive: true, force: true })

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    void endChildren("SIGTERM").then(() => {
      clearUp()
      process.exit(130)
    })
  })
}

// --- one package ---

/** Builds and packs a package; gives back its tarball, its published manifest and its subpaths, or undefined. */
const pack = async (folder, build) => {
  const { name, version } = manifestOf(folder)
  const built = await expect(name, build[0], build.slice(1), { cwd: folder })
  if (built.code !== 0) return undefined
  const packed = await expect(name, "pnpm", ["pack", "--pack-destination", tarballs], { cwd: folder })
  const tarball = join(tarballs, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`)
  if (packed.code !== 0 || !existsSync(tarball)) return undefined
  const listed = await capture("tar", ["-tzf", tarball])
  const files = listed.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^package\//, ""))
  const manifest = JSON.parse((await capture("tar", ["-xzOf", tarball, "package/package.json"])).stdout)
  return { folder, name, tarball, files, manifest, subpaths: Object.keys(manifest.exports ?? {}) }
}

/** What every published manifest must say, and what must and must not be in the tarball. */
const inspect = ({ files, folder, manifest, name, subpaths }) => {
  checks++
  const need = (holds, text) => {
    if (!holds) problem(name, text)
  }
  const resolved = { ...manifest.dependencies, ...manifest.peerDependencies }
  need(manifest.license === "Apache-2.0", "license is not Apache-2.0")
  need(manifest.repository?.directory === folder.slice(root.length + 1), "repository.directory is not its folder")
  need(manifest.publishConfig?.provenance === true, "publishConfig.provenance is not true")
  need(manifest.publishConfig?.access === "public", "publishConfig.access is not public")
  need(/^>=\d+(\.\d+)?$/.test(manifest.engines?.node ?? ""), "engines.node is missing")
  for (const [other, range] of Object.entries(resolved)) {
    need(!/^(workspace|catalog|link|file):/.test(range), `${other} is still asked for as ${range}`)
    if (other.startsWith("@inquorate/"))
      need(range === manifest.version, `${other} is asked for as ${range}, not exactly`)
  }
  need(manifest.dependencies?.effect === undefined, "effect must be a peer, or two copies of it may meet")
  for (const file of ["LICENSE", "README.md"]) need(files.includes(file), `${file} is not in the tarball`)
  const foreign = files.filter(
    (file) => !/^(LICENSE|README\.md|CHANGELOG\.md|package\.json|man\/[^/]+\.1|(dist|src)\/([^/]+\/)?[^/]+)$/.test(file)
  )
  need(foreign.length === 0, `holds what nobody needs: ${foreign.join(", ")}`)
  for (const subpath of subpaths) {
    const where = `${name}/${subpath.slice(2)}`
    if (subpath.includes("*")) problem(where, "is a wildcard; list each subpath")
    for (const file of Object.values(manifest.exports[subpath])) {
      if (!files.includes(file.slice(2))) problem(where, `points to ${file}, which is not in the tarball`)
    }
  }
}

/** Every package of the workspace that is not private must be checked here and released with all others. */
const inspectAll = () => {
  checks++
  const { fixed } = JSON.parse(readFileSync(join(root, ".changeset/config.json"), "utf8"))
  const known = new Set([...libraries, ...applications].map(({ name }) => `@inquorate/${name}`))
  const versions = new Map()
  for (const group of ["packages", "apps"]) {
    for (const entry of readdirSync(join(root, group))) {
      const manifest = manifestOf(join(root, group, entry))
      versions.set(manifest.version, manifest.name)
      if (!fixed.flat().includes(manifest.name))
        problem(manifest.name, "is not in the fixed group of .changeset/config.json")
      if (!manifest.private && !known.has(manifest.name)) problem(manifest.name, "is published but not checked here")
    }
  }
  if (versions.size !== 1)
    problem("versions", `differ: ${[...versions].map(([version, name]) => `${name} ${version}`).join(", ")}`)
}

/** publint on the tarball as it would be published. */
const lint = async ({ name, tarball }) => {
  checks++
  const data = readFileSync(tarball)
  const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, strict: true })
  for (const message of messages)
    problem(name, `publint: ${formatMessage(message, pkg, { color: false }) ?? message.code}`)
}

/** attw on the tarball: every subpath has types that agree with its code, for those who import ES modules. */
const checkTypes = async ({ name, subpaths, tarball }) => {
  checks++
  const { code, stdout, text } = await capture(join(bin, "attw"), [
    tarball,
    "--profile",
    "esm-only",
    "--format",
    "json"
  ])
  let report
  try {
    report = JSON.parse(stdout)
  } catch {
    return problem(name, `attw (exit code ${code}) said nothing that can be read: ${text}`)
  }
  const seen = Object.keys(report.analysis.entrypoints ?? {})
  for (const subpath of subpaths) {
    if (!seen.includes(subpath)) problem(`${name}/${subpath.slice(2)}`, "attw: was not looked at")
  }
  const told = Object.values(report.problems ?? {}).flat()
  const relevant = told.filter(({ resolutionKind }) => !/^(node10|node16-cjs)$/.test(resolutionKind ?? ""))
  for (const { entrypoint, kind, resolutionKind } of relevant) {
    problem(
      entrypoint === undefined ? name : `${name}/${entrypoint.slice(2)}`,
      `attw: ${kind} (${resolutionKind ?? "package"})`
    )
  }
  if (code !== 0 && relevant.length === 0) problem(name, `attw ended with exit code ${code}: ${text}`)
}

// --- all of them together, as a user has them ---

const install = async (packages) => {
  mkdirSync(consumer)
  const pinned = manifestOf(join(root, "node_modules/effect")).version
  const version = (name) => manifestOf(join(root, "node_modules", name)).version
  const platform = manifestOf(join(root, "packages/transport/node_modules/@effect/platform-node")).version
  const dependencies = {
    ...Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:${tarball}`])),
    effect: pinned,
    "@effect/platform-node": platform,
    "@types/node": version("@types/node"),
    typescript: version("typescript")
  }
  writeFileSync(
    join(consumer, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies }, null, 2)
  )
  const flags = [
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--ignore-scripts",
    "--strict-peer-deps",
    "--engine-strict"
  ]
  const { code } = await expect("npm install of all tarballs", "npm", ["install", "--prefer-offline", ...flags], {
    cwd: consumer
  })
  if (code !== 0) return false
  // With two copies of effect, neither copy would know the services and schemas of the other.
  checks++
  const copies = (await capture("npm", ["ls", "effect", "--all", "--parseable"], { cwd: consumer })).stdout
  const folders = copies.split("\n").filter((line) => line.endsWith("/node_modules/effect"))
  if (folders.length !== 1)
    problem("npm install of all tarballs", `${folders.length} copies of effect are installed:\n${copies}`)
  return true
}

const fileOf = (specifier) => `${specifier.replace(/^@/, "").replaceAll("/", "-")}.ts`

const promisedForBrowsers = ({ browser, name, subpaths }) =>
  (browser === "all" ? subpaths : (browser ?? []).map((subpath) => `./${subpath}`)).map(
    (subpath) => `${name}/${subpath.slice(2)}`
  )

/** One program per subpath, so that a failure to compile or to import names the subpath. */
const compile = async (packages) => {
  const programs = join(consumer, "programs")
  mkdirSync(programs)
  const of = new Map()
  for (const { name, subpaths } of packages) {
    for (const subpath of subpaths) {
      const specifier = `${name}/${subpath.slice(2)}`
      const file = fileOf(specifier)
      of.set(file, specifier)
      writeFileSync(
        join(programs, file),
        `import * as Subject from "${specifier}"\nexport type All = typeof Subject\nexport { Subject }\n`
      )
    }
  }
  const names = new Set(packages.map(({ name }) => name))
  if (names.has("@inquorate/core"))
    cpSync(join(root, "scripts/consumer/typed-core.ts"), join(programs, "typed-core.ts"))
  if (names.has("@inquorate/transport")) {
    cpSync(join(root, "scripts/consumer/typed-client.ts"), join(programs, "typed-client.ts"))
    cpSync(join(root, "scripts/consumer/typed-names.ts"), join(programs, "typed-names.ts"))
  }
  const compilerOptions = {
    target: "ES2024",
    lib: ["ES2024", "DOM", "ESNext.Disposable"],
    module: "NodeNext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true
  }
  const tsc = async (name, config) => {
    writeFileSync(join(consumer, name), JSON.stringify(config))
    return capture(join(consumer, "node_modules/.bin/tsc"), ["-p", name], { cwd: consumer })
  }
  checks += of.size
  const whole = await tsc("tsconfig.json", { compilerOptions, include: ["programs"] })
  // A page's program has no types of Node.
  const pages = packages.flatMap((one) => promisedForBrowsers(one).map((where) => `programs/${fileOf(where)}`))
  const paged =
    pages.length === 0
      ? { code: 0, text: "" }
      : await tsc("tsconfig.browser.json", { compilerOptions: { ...compilerOptions, types: [] }, files: pages })
  const text = `${whole.text}${paged.text}`
  if (whole.code === 0 && paged.code === 0) return
  const told = new Map()
  for (const line of text.split("\n").filter((line) => line.includes("error TS"))) {
    const file = /programs\/([^(]+)\(/.exec(line)?.[1]
    const where = of.get(file) ?? file ?? "the programs of the consumer"
    told.set(where, [...(told.get(where) ?? []), line])
  }
  for (const [where, lines] of told)
    problem(where, `does not compile in a clean folder:\n${lines.slice(0, 5).join("\n")}`)
  if (told.size === 0) problem("the programs of the consumer", text)
}

/** What the declarations of `typed-names.ts` must say: for each, the name of one published type. */
const named = {
  views: "ClusterView",
  group: "Topology",
  member: "Member",
  serverProcess: "ProcessRef",
  preview: "PlanPreview",
  plan: "Plan",
  detail: "OperationDetail",
  record: "Operation",
  evidence: "Evidence",
  verdict: "TimedVerdict",
  change: "OperationChange",
  listed: "OperationView",
  discovered: "Topology",
  receipt: "OperationView"
}

/** Types have names where an editor shows them: no value of ours is shown as a page of its fields. */
const nameAll = async () => {
  checks++
  const options =
    "--target ES2024 --lib ES2024,DOM,ESNext.Disposable --module NodeNext --types node --strict --skipLibCheck"
  const tsc = join(consumer, "node_modules/.bin/tsc")
  const emit = ["--ignoreConfig", ...options.split(" "), "--declaration", "--emitDeclarationOnly", "--outDir", "named"]
  const { code, text } = await capture(tsc, [...emit, "programs/typed-names.ts"], { cwd: consumer })
  const file = join(consumer, "named/typed-names.d.ts")
  if (code !== 0 || !existsSync(file)) return problem("names of types", text)
  const told = new Map(
    readFileSync(file, "utf8")
      .split(/^export declare const /m)
      .slice(1)
      .map((text) => [text.slice(0, text.indexOf(":")), text])
  )
  for (const [value, name] of Object.entries(named)) {
    const text = told.get(value) ?? "nothing"
    if (!new RegExp(`\\.${name}\\b`).test(text) || text.includes("{\n"))
      problem("names of types", `${value} is told as ${text}`)
  }
  if (told.size !== Object.keys(named).length) problem("names of types", `${told.size} values are told`)
}

const importAll = async (packages) => {
  const specifiers = packages.flatMap(({ name, subpaths }) => subpaths.map((subpath) => `${name}/${subpath.slice(2)}`))
  cpSync(join(root, "scripts/consumer/imports.mjs"), join(consumer, "imports.mjs"))
  checks += specifiers.length
  const { code, stdout, text } = await capture(process.execPath, ["imports.mjs", ...specifiers], { cwd: consumer })
  if (code === 0) return
  try {
    for (const [specifier, message] of Object.entries(JSON.parse(stdout)))
      problem(specifier, `cannot be imported: ${message}`)
  } catch {
    problem("import of every subpath", text)
  }
}

/** Bundles every subpath that promises to run in a browser. No module of Node may be left in the bundle. */
const bundleAll = async (packages) => {
  for (const where of packages.flatMap(promisedForBrowsers)) {
    checks++
    const { failure, foreign, size } = await bundleForBrowser(consumer, where)
    const budget = pageBudgets[where]
    if (budget !== undefined) {
      process.stdout.write(`${where}: ${(size / 1024).toFixed(1)} KiB of ${budget} in a page, by gzip\n`)
      if (size > budget * 1024)
        problem(where, `a page loads ${(size / 1024).toFixed(1)} KiB for it, more than ${budget}`)
    }
    if (failure !== undefined) problem(where, `cannot be bundled for a browser: ${failure}`)
    for (const { importer, source } of foreign)
      problem(where, `reaches ${source} through ${importer}, which no browser has`)
  }
}

/**
 * The small programs: core's rules, a simulated cluster, and the clients, bundled for a browser, against a server that
 * answers by script.
 */
const runPrograms = async (packages) => {
  const names = new Set(packages.map(({ name }) => name))
  for (const file of readdirSync(join(root, "scripts/consumer")).filter((file) => file.endsWith(".mjs"))) {
    cpSync(join(root, "scripts/consumer", file), join(consumer, file))
  }
  if (names.has("@inquorate/core"))
    await expect("@inquorate/core, used", process.execPath, ["rules.mjs"], { cwd: consumer })
  if (names.has("@inquorate/emulator"))
    await expect("@inquorate/emulator, used", process.execPath, ["emulated.mjs"], { cwd: consumer })
  if (!names.has("@inquorate/transport")) return
  const { failure } = await bundleForBrowser(consumer, "./clients.mjs", join(consumer, "clients.bundle.mjs"))
  if (failure !== undefined) return problem("@inquorate/transport, used", failure)
  const { answer } = await import("./consumer/answers.mjs")
  const server = createServer(answer)
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  const endpoint = `http://127.0.0.1:${server.address().port}`
  await expect("@inquorate/transport, used", process.execPath, ["run-clients.mjs", endpoint], { cwd: consumer })
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** The command of an application, as npm installed it. */
const runCommand = async ({ command, manifest, name }) => {
  const program = join(consumer, "node_modules/.bin", command)
  const help = await expect(name, program, ["--help"], { cwd: consumer })
  if (help.code === 0 && !/usage/i.test(help.text)) problem(name, `${command} --help shows no usage:\n${help.text}`)
  const { text } = await expect(name, program, ["--version"], { cwd: consumer })
  if (!text.includes(manifest.version))
    problem(name, `${command} --version says ${text.trim()}, not ${manifest.version}`)
}

// --- make ---

const main = async (wanted) => {
  const known = [...libraries, ...applications].map(({ name }) => name)
  const unknown = wanted.filter((name) => !known.includes(name))
  // A name that means no package must not pass because it selected nothing.
  if (unknown.length > 0)
    throw new Error(`there is no published package ${unknown.join(", ")}; there are ${known.join(", ")}`)
  const asked = (name) => wanted.length === 0 || wanted.includes(name)
  mkdirSync(tarballs)
  const packages = []
  for (const library of libraries.filter(({ name }) => asked(name))) {
    const folder = join(root, "packages", library.name)
    // A file of an earlier build, whose source is gone, would be published with the rest.
    rmSync(join(folder, "dist"), { recursive: true, force: true })
    const packed = await pack(folder, [join(bin, "tsc"), "-p", "tsconfig.build.json"])
    if (packed !== undefined) packages.push({ ...library, ...packed })
  }
  for (const application of applications.filter(({ name }) => asked(name))) {
    const packed = await pack(join(root, "apps", application.name), [
      process.execPath,
      join(root, "scripts/bundle.mjs"),
      application.bundle
    ])
    if (packed !== undefined) packages.push({ ...application, ...packed })
  }
  inspectAll()
  for (const one of packages) {
    inspect(one)
    await lint(one)
    if (one.subpaths.length > 0) await checkTypes(one)
  }
  if (packages.length > 0 && (await install(packages))) {
    await compile(packages)
    if (packages.some(({ name }) => name === "@inquorate/transport")) await nameAll()
    await importAll(packages)
    await bundleAll(packages)
    await runPrograms(packages)
    for (const one of packages.filter(({ command }) => command !== undefined)) await runCommand(one)
  }
  return packages
}

try {
  const packages = await main(process.argv.slice(2))
  const subpaths = packages.reduce((sum, one) => sum + one.subpaths.length, 0)
  for (const line of problems) process.stdout.write(`FAILED ${line}\n`)
  process.stdout.write(
    `${packages.length} packages with ${subpaths} subpaths packed, ${checks} checks, ${problems.length} problems\n`
  )
} catch (error) {
  problems.push(String(error))
  process.stdout.write(`FAILED ${error.stack ?? error}\n`)
} finally {
  clearUp()
}
process.exit(problems.length === 0 ? 0 : 1)
