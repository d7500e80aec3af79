/**
 * Goal: what travels to hosts is what stands in `host/`, every shell that a host may have can read it, and a linter finds
 * nothing in it but what `.shellcheckrc` gives a reason for. Method: make the generated files again, and hand every file
 * and every composed program to the parsers there are.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"

const root = path.resolve(import.meta.dirname, "../../..")
const packages = ["injectors", "targets"]
const hostFolder = (name: string): string => path.join(root, "packages", name, "host")
const files = packages.flatMap((name) =>
  fs
    .readdirSync(hostFolder(name))
    .filter((file) => /\.(sh|pl)$/.test(file))
    .map((file) => path.join("packages", name, "host", file))
)
const scripts = files.filter((file) => file.endsWith(".sh"))

/** What a program says of its input, or of a file; empty where nothing. */
const complaint = (program: ReadonlyArray<string>, input = ""): string => {
  const [command, ...words] = program
  const { error, status, stderr, stdout } = spawnSync(command!, words, { input, encoding: "utf8", cwd: root })
  return error === undefined && status === 0 ? "" : `${program.join(" ")}: ${error?.message ?? stdout + stderr}`
}

const isThere = (program: string): boolean => spawnSync(program, ["--help"]).error === undefined

const composed = await Promise.all(
  packages.map(async (name) => {
    const url = pathToFileURL(path.join(root, "packages", name, "src/Programs.ts"))
    const programs = (await import(url.href)) as Readonly<Record<string, string>>
    const manifest = JSON.parse(fs.readFileSync(path.join(hostFolder(name), "manifest.json"), "utf8")) as Readonly<
      Record<string, { readonly files: ReadonlyArray<string> }>
    >
    return Object.entries(programs)
      .filter(([program]) => manifest[program]!.files.every((file) => file.endsWith(".sh")))
      .map(([program, text]) => [`${name}/${program}`, text] as const)
  })
).then((all) => all.flat())

describe("the programs for hosts", () => {
  it("are there", () => {
    assert.isAbove(scripts.length, 12)
    assert.isAbove(composed.length, 5)
  })

  it("are generated from the files as they are now", () => {
    assert.strictEqual(complaint([process.execPath, path.join(root, "scripts/host-programs.mjs"), "--check"]), "")
  })

  for (const shell of [["dash"], ["bash"], ["busybox", "sh"]]) {
    const missing = isThere(shell[0]!) ? "" : ` (skipped: apt-get install ${shell[0]})`
    it.skipIf(missing !== "")(`are read by ${shell.join(" ")}${missing}`, () => {
      for (const [name, text] of composed) assert.strictEqual(complaint([...shell, "-n"], text), "", name)
    })
  }

  const unlinted = isThere("shellcheck") ? "" : " (skipped: apt-get install shellcheck)"
  it.skipIf(unlinted !== "")(`are taken by shellcheck, file by file${unlinted}`, () => {
    assert.strictEqual(complaint(["shellcheck", "--format=gcc", ...scripts]), "")
  })

  it.each(files.filter((file) => file.endsWith(".pl")))("%s is read by Perl", (file) => {
    assert.strictEqual(complaint(["perl", "-c", file]), "")
  })
})
