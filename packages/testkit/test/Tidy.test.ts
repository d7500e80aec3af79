/**
 * Goal: what every reader of this code may rely on stays true. Method: read all of it as text.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { root, under } from "./SourceFiles.ts"

const code = ["packages", "apps", "bench", "scripts", "stories"]
  .flatMap((folder) => under(path.join(root, folder)))
  .filter((file) => /\.(ts|mjs)$/.test(file))
const sources = code.filter((file) => /\/src\//.test(file))
const relative = (file: string): string => path.relative(root, file)
const text = (file: string): string => fs.readFileSync(file, "utf8")

describe("the code", () => {
  it("is all there", () => assert.isAbove(sources.length, 30))

  it("has no file named for what it is not", () => {
    const vague = /^(utils?|helpers?|common|shared|managers?|handlers?|misc|types|index)\.(ts|mjs)$/i
    assert.deepStrictEqual(code.filter((file) => vague.test(path.basename(file))).map(relative), [])
  })

  it("has no file of more than 800 lines", () => {
    const long = code.filter((file) => text(file).split("\n").length > 800)
    assert.deepStrictEqual(long.map(relative), [])
  })

  it("opens every source file with what is true in it", () => {
    assert.deepStrictEqual(sources.filter((file) => !text(file).startsWith("/**\n")).map(relative), [])
  })

  it("asks effect for the time", () => {
    // A benchmark measures with the platform's own clock, and a certificate for tests is valid by it.
    const asking = sources.filter(
      (file) =>
        !/^bench\/|testkit\/src\/Certificates/.test(relative(file)) &&
        /\bDate\.now\(|new Date\(\)|performance\.now\(/.test(text(file))
    )
    assert.deepStrictEqual(asking.map(relative), [])
  })

  it("says a stage's wire state in one place only", () => {
    const elsewhere = sources.filter(
      (file) =>
        !/core\/src\/(Wire|Operation)\.ts$/.test(file) && /"RollingBack"\s*:\s*"|\?\s*"RollingBack"/.test(text(file))
    )
    assert.deepStrictEqual(elsewhere.map(relative), [])
  })

  it("names no path or host of the machine it was written on", () => {
    const files = [
      ...code,
      ...under(path.join(root, "docs")),
      ...["README.md", "CONTRIBUTING.md", "SECURITY.md"].map((name) => path.join(root, name))
    ]
    const leaks = files.filter(
      (file) => file !== import.meta.filename && /\/work\/|\/root\/|https?:\/\/(10|192\.168)\./.test(text(file))
    )
    assert.deepStrictEqual(leaks.map(relative), [])
  })
})

describe("the rooms of the engine", () => {
  it("import only those below them: the rules of planning know nothing of the drive that asks them", () => {
    const below: Readonly<Record<string, ReadonlyArray<string>>> = {
      plan: [],
      watch: ["plan"],
      drive: ["plan", "watch"],
      front: ["plan", "drive"],
      chaos: ["drive"]
    }
    const engine = path.join(root, "packages/engine/src")
    const rooms = fs
      .readdirSync(engine, { withFileTypes: true })
      .flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    assert.sameMembers(rooms, Object.keys(below))
    const forEveryRoom = new Set(["Monotonic.ts", "Together.ts"])
    const upward = rooms.flatMap((room) =>
      under(path.join(engine, room)).flatMap((file) =>
        [...text(file).matchAll(/from "\.\.\/([^"]+)"/g)]
          .map(([, module]) => module!)
          .filter((module) => !forEveryRoom.has(module) && !below[room]!.includes(module.split("/")[0]!))
          .map((module) => `${relative(file)} imports ${module}`)
      )
    )
    assert.deepStrictEqual(upward, [])
  })
})

describe("every export of a published package", () => {
  const published = fs
    .readdirSync(path.join(root, "packages"))
    .filter(
      (name) => !(JSON.parse(text(path.join(root, "packages", name, "package.json"))) as { private?: boolean }).private
    )

  it("is documented in a sentence right above it", () => {
    const bare: Array<string> = []
    for (const name of published) {
      for (const file of under(path.join(root, "packages", name, "src"))) {
        const lines = text(file).split("\n")
        for (const [index, line] of lines.entries()) {
          if (!/^export (const|class|interface|type|function|abstract|declare)\b/.test(line)) continue
          // A schema's type has the schema's name, and the sentence that stands above the schema.
          if (/^export type (\w+) = typeof \1\.Type$/.test(line)) continue
          if (!/\*\/\s*$/.test(lines[index - 1] ?? "")) bare.push(`${relative(file)}:${index + 1} ${line.slice(0, 60)}`)
        }
      }
    }
    assert.deepStrictEqual(bare, [])
  })

  it("can be reached by a subpath that exists", () => {
    for (const name of published) {
      const manifest = JSON.parse(text(path.join(root, "packages", name, "package.json"))) as {
        exports: Record<string, string>
        publishConfig: { exports: Record<string, { types: string; default: string }> }
      }
      assert.deepStrictEqual(Object.keys(manifest.exports), Object.keys(manifest.publishConfig.exports), name)
      for (const target of Object.values(manifest.exports)) {
        assert.isTrue(fs.existsSync(path.join(root, "packages", name, target)), `${name} ${target}`)
      }
    }
  })
})

describe("the decisions", () => {
  it("are one page each, with context, choice and cost", () => {
    const pages = under(path.join(root, "docs/decisions"))
    assert.isAbove(pages.length, 0)
    for (const page of pages) {
      const body = text(page)
      for (const part of ["**Context.**", "**Choice.**", "**Cost.**"]) assert.include(body, part, relative(page))
      assert.isBelow(body.split("\n").length, 60, relative(page))
    }
  })
})

describe("the bugs", () => {
  it("stand in one table, each once", () => {
    const rows = text(path.join(root, "docs/bugs.md"))
      .split("\n")
      .filter((line) => line.startsWith("| "))
      .map((line) => line.replace(/ +/g, " "))
    assert.isAbove(rows.length, 100)
    assert.deepStrictEqual(
      rows.filter((row, index) => rows.indexOf(row) !== index),
      []
    )
  })
})
