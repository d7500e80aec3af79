/**
 * Goal: an editor that knows the published schema and a worker that reads the file say the same, and the documentation
 * knows every key. Method: the committed schema against the one made from the code; every example through the reader;
 * every key looked for in the page.
 */
import { assert, describe, it } from "@effect/vitest"
import { modules } from "@inquorate/targets/Registry"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as path from "node:path"
import { parse } from "../src/Config.ts"
import { location, workerSchema } from "../src/ConfigSchema.ts"

const docs = path.resolve(import.meta.dirname, "../../../docs")
const page = fs.readFileSync(path.join(docs, "configuration.md"), "utf8")
const examplesOf = (text: string) => [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!)
const examples = examplesOf(page)
const read = (text: string) =>
  parse(
    text,
    "worker.yaml",
    { listen: undefined, store: undefined, workerId: undefined },
    { store: "sqlite:/state/worker.db", workerId: "here" }
  )

interface Node {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: unknown
}
const schema = workerSchema() as unknown as Node & { readonly $defs: Readonly<Record<string, Node>> }

/** Every object in a schema with the path it stands at. */
const objects = (at: string, value: unknown): ReadonlyArray<readonly [at: string, node: Node]> =>
  typeof value !== "object" || value === null
    ? []
    : [
        ...((value as Node).properties === undefined ? [] : [[at, value as Node] as const]),
        ...Object.entries(value).flatMap(([key, part]) => objects(`${at}/${key}`, part))
      ]

describe("the published schema of the configuration", () => {
  it("is the one the code makes (node scripts/config-schema.mjs writes it anew)", () => {
    const committed: unknown = JSON.parse(fs.readFileSync(path.join(docs, "schema/worker.schema.json"), "utf8"))
    assert.deepStrictEqual(committed, JSON.parse(JSON.stringify(schema)))
  })

  it("knows a cluster of every system there is, and no other", () => {
    const clusters = schema.properties!["clusters"]!.additionalProperties as { readonly anyOf: ReadonlyArray<unknown> }
    assert.deepStrictEqual(
      clusters.anyOf,
      modules.map(({ system }) => ({ $ref: `#/$defs/${system}` }))
    )
    for (const { system } of modules) assert.include(Object.keys(schema.$defs[system]!.properties!), "system")
  })

  it("refuses keys that the worker refuses", () => {
    const all = objects("", schema)
    assert.isAbove(all.length, 4)
    for (const [at, node] of all) assert.isFalse(node.additionalProperties, at)
  })
})

describe("the documentation of the configuration", () => {
  it("names every key", () => {
    const keys = objects("", schema).flatMap(([, node]) => Object.keys(node.properties!))
    const rows = page.split("\n").filter((line) => line.startsWith("|"))
    for (const key of keys) {
      assert.isTrue(
        rows.some((row) => new RegExp(`[.\` ]${key}[\`:]`).test(row)),
        key
      )
    }
  })

  it("has examples that a worker takes, and one for every system", () => {
    const taken = examples.map((text) => Result.getOrThrow(read(text)))
    const systems = new Set(taken.flatMap(({ clusters }) => clusters.map(({ module }) => module.system)))
    assert.deepStrictEqual(
      [...systems],
      modules.map(({ system }) => system)
    )
  })

  it("has examples of who may reach a worker that a worker takes", () => {
    const security = examplesOf(fs.readFileSync(path.join(docs, "security.md"), "utf8"))
    assert.strictEqual(security.length, 2)
    for (const text of security) assert.notDeepEqual(Result.getOrThrow(read(text)).security, {})
  })

  it("names the schema where an editor finds it", () => {
    assert.include(page, `# yaml-language-server: $schema=${location}`)
  })
})
