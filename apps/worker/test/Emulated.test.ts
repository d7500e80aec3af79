/**
 * Goal: an emulator is started with what fits it alone, and a layout is read with every mistake told at its line. Method: the
 * command line and files through the readers that the worker uses; the layout in the package's page among them.
 */
import { assert, describe, it } from "@effect/vitest"
import { place } from "@inquorate/emulator/Layout"
import { LayoutFile, toLayout } from "@inquorate/emulator/LayoutFile"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as path from "node:path"
import { readYaml } from "@inquorate/configuration/ConfigText"
import { layoutSchema } from "@inquorate/configuration/ConfigSchema"
import { read } from "../src/Options.ts"

const root = path.resolve(import.meta.dirname, "../../..")

const asked = (...arguments_: ReadonlyArray<string>) => {
  const options = Result.getOrThrow(read(arguments_, {}))
  return options._tag === "Run" ? options : assert.fail(options._tag)
}

const refused = (...arguments_: ReadonlyArray<string>): string => {
  const options = read(arguments_, {})
  return Result.isFailure(options) ? options.failure : assert.fail(`taken: ${arguments_.join(" ")}`)
}

describe("the command line of an emulator", () => {
  it("takes any name, a layout, and a host without a port", () => {
    const { emulator, overrides } = asked("--emulator", "--listen", "0.0.0.0", "--any-host", "--layout", "l.yaml")
    assert.deepStrictEqual(emulator, { seed: 1, speed: 1, anyHost: true, layout: "l.yaml" })
    assert.strictEqual(overrides.listen, "0.0.0.0:19080")
    assert.strictEqual(asked("--emulator", "--listen", "[::]").overrides.listen, "[::]:19080")
    assert.strictEqual(asked("--emulator", "--listen", "0.0.0.0:80").overrides.listen, "0.0.0.0:80")
    assert.strictEqual(asked("--emulator").emulator?.anyHost, false)
  })

  it("is for nobody else", () => {
    for (const flags of [["--any-host"], ["--layout", "l.yaml"]]) {
      assert.include(refused("--config", "w.yaml", ...flags), "for --emulator alone")
    }
    // A worker of real clusters is told where it listens, whole.
    assert.strictEqual(asked("--listen", "0.0.0.0").overrides.listen, "0.0.0.0")
    assert.strictEqual(asked("--explorer", "dist").explorer, "dist")
  })
})

describe("a layout", () => {
  const layoutOf = (text: string) => toLayout(Result.getOrThrow(readYaml(LayoutFile, text, "layout.yaml")))
  const mistakes = (text: string): string => {
    const layout = readYaml(LayoutFile, text, "layout.yaml")
    return Result.isFailure(layout) ? layout.failure.message : assert.fail("read")
  }

  it("is what the package's page shows, and can be", () => {
    const page = fs.readFileSync(path.join(root, "packages/emulator/README.md"), "utf8")
    const example = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)]
      .map(([, text]) => text!)
      .find((text) => text.includes("nodes: 7"))
    const layout = layoutOf(example!)
    assert.lengthOf(layout.nodes, 7)
    const placed = Result.getOrThrow(place(layout, 1))
    const groups = placed.map(({ group, nodes }) => `${group} ${nodes.length}`)
    assert.includeMembers(groups, ["Orders 3", "Ledger.3 5", "Keys.1 3", "Regions.south 3", "Carts 3", "Web 7"])
    assert.deepStrictEqual(
      placed.flatMap(({ group, key }) => (group.startsWith("Keys") ? [key] : [])),
      [
        { _tag: "Int64Range", low: "0", high: "49" },
        { _tag: "Int64Range", low: "50", high: "99" }
      ]
    )
    assert.deepStrictEqual(
      layout.applications.map(({ parameters, typeName, typeVersion }) => [typeName, typeVersion, parameters]),
      [["StoreType", "2.0.0", { Colour: "blue" }]]
    )
  })

  it("names its nodes, with what is usual where nothing is said", () => {
    const { nodes } = layoutOf(
      "nodes: [{ name: a, seed: false }, { name: b, type: Big, faultDomain: fd:/dc1 }]\napplications: {}"
    )
    assert.deepStrictEqual(
      nodes.map(({ faultDomain, name, seed, type }) => [name, seed, type, faultDomain]),
      [
        ["a", false, "NodeType0", "fd:/0"],
        ["b", true, "Big", "fd:/dc1"]
      ]
    )
  })

  it("tells every mistake at its line", () => {
    const told = mistakes(
      "nodes: 0\napplications:\n  Shop:\n    services:\n      Web: { kind: statless }\n      Db: { replicas: many, colour: blue }\n"
    )
    for (const [line, key] of [
      [1, "nodes"],
      [5, "applications.Shop.services.Web.kind"],
      [6, "applications.Shop.services.Db.replicas"]
    ] as const) {
      assert.include(told, `layout.yaml:${line}: ${key}`)
    }
    assert.include(told, "colour")
    assert.include(mistakes("applications: ["), "layout.yaml:")
    assert.include(mistakes("nodes: 3"), "applications")
  })

  it("that cannot be is told by its place", () => {
    const wrong = (text: string): string => {
      const placed = place(layoutOf(text), 1)
      return Result.isFailure(placed) ? placed.failure.message : assert.fail("placed")
    }
    const service = (text: string) => wrong(`nodes: 3\napplications: { A: { services: { S: ${text} } } }`)
    assert.include(service("{ replicas: 5 }"), "A/S: 5 replicas do not fit on 3 nodes")
    assert.include(service("{ minimum: 4 }"), "A/S")
    assert.include(service("{ partitions: { count: 3, low: 0, high: 1 } }"), "as many keys")
    assert.include(service('{ partitions: { count: 3, high: "9223372036854775808" } }'), "64 bits")
    assert.include(wrong("nodes: [{ name: a }, { name: a }]\napplications: {}"), "twice")
  })

  it("has a published schema, the one that the code makes", () => {
    const committed: unknown = JSON.parse(
      fs.readFileSync(path.join(root, "docs/schema/emulator-layout.schema.json"), "utf8")
    )
    assert.deepStrictEqual(committed, JSON.parse(JSON.stringify(layoutSchema())))
  })
})
