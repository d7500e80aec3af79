// Bundles one module for a browser and tells which of its imports no browser has: Node's own modules, Effect's platform
// for Node, and whatever cannot be found.
import { builtinModules } from "node:module"
import { relative } from "node:path"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"

const builtin = new Set(builtinModules)

const isForeign = (source) =>
  source.startsWith("node:") ||
  builtin.has(source) ||
  builtin.has(source.split("/")[0]) ||
  source.startsWith("@effect/platform-")

/**
 * Bundles `input`, as found from `folder`, into `file` where one is named. `foreign` lists the imports that no browser
 * has. `size` is the number of bytes over the line: minified, compressed by gzip, with everything that `input` stands
 * on.
 */
export const bundleForBrowser = async (folder, input, file) => {
  const foreign = []
  const finder = {
    name: "foreign-imports",
    resolveId(source, importer) {
      if (!isForeign(source)) return null
      foreign.push({ source, importer: importer === undefined ? "itself" : relative(folder, importer) })
      return { id: source, external: true }
    }
  }
  try {
    const bundle = await rolldown({
      input,
      cwd: folder,
      platform: "browser",
      plugins: [finder],
      onwarn: (warning) => {
        if (warning.code === "UNRESOLVED_IMPORT") throw new Error(warning.message)
      }
    })
    const options = { format: "esm", codeSplitting: false, minify: file === undefined }
    const { output } = file === undefined ? await bundle.generate(options) : await bundle.write({ ...options, file })
    await bundle.close()
    // An import that was shaken out of the bundle does not reach a browser.
    const left = new Set(output.flatMap((chunk) => [...(chunk.imports ?? []), ...(chunk.dynamicImports ?? [])]))
    const size = gzipSync(output[0].code, { level: 9 }).length
    return { foreign: foreign.filter(({ source }) => left.has(source)), failure: undefined, size }
  } catch (error) {
    return { foreign, failure: error.message }
  }
}
