// Makes the next version from the pending changesets. Every package gets it, and the sentences of the changesets move
// to the top of CHANGELOG.md, the biggest changes first. Publishes nothing.
// Usage: node scripts/release.mjs
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, run } from "./process.mjs"

const folder = join(root, ".changeset")
const sizes = ["major", "minor", "patch"]

/** The size and the sentence of one changeset; the front matter names packages with their sizes. */
const read = (file) => {
  const [, front, text] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(readFileSync(join(folder, file), "utf8")) ?? []
  const named = sizes.filter((size) => new RegExp(`: "?${size}"?\\s*$`, "m").test(front ?? ""))
  if (named.length === 0 || text.trim() === "") throw new Error(`.changeset/${file} names no package or says nothing`)
  return { size: named[0], text: text.trim() }
}

const files = readdirSync(folder).filter((file) => file.endsWith(".md") && file !== "README.md")
if (files.length === 0) throw new Error('there is no changeset; "pnpm changeset" writes one')
const changes = files.map(read).sort((one, other) => sizes.indexOf(one.size) - sizes.indexOf(other.size))

await run(join(root, "node_modules/.bin/changeset"), ["version"])

const { version } = JSON.parse(readFileSync(join(root, "packages/core/package.json"), "utf8"))
const changelog = join(root, "CHANGELOG.md")
const before = readFileSync(changelog, "utf8")
const at = before.indexOf("\n## ")
const entries = changes.map(({ text }) => `- ${text.replaceAll("\n", "\n  ")}`).join("\n")
writeFileSync(changelog, `${before.slice(0, at)}\n## ${version}\n\n${entries}\n${before.slice(at)}`)
process.stdout.write(
  `${version}: ${changes.length} changes. Look at the diff, run npm test, commit, tag v${version}.\n`
)
