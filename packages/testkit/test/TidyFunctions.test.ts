/**
 * Goal: no function is longer than a page. Method: read the code as oxfmt writes it, where a function ends at the first line
 * that is indented no deeper than the one it begins on. The ones that were too long already stand on a list that may only
 * shrink. Comments do not count.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { root, under } from "./SourceFiles.ts"

const longest = 70

/** How long each may be at most. Whoever shortens one writes the new length here, or takes it off. */
const allowed: Readonly<Record<string, number>> = {
  "bench/src/Many.ts measureWith": 101,
  "packages/core/src/Evidence.ts collect": 125,
  "packages/core/src/MemoryStore.ts makeDatabase": 189,
  "packages/emulator/src/Simulation.ts build": 83,
  "packages/engine/src/drive/Journal.ts make": 156,
  "packages/engine/src/drive/Prober.ts make": 88,
  "packages/injectors/src/HostProgram.ts make": 160,
  "packages/injectors/src/HostProgram.ts makeCourier": 128,
  "packages/injectors/src/hosts/Child.ts converse": 73,
  "packages/injectors/src/hosts/KubernetesHost.ts nodeOf": 161,
  "packages/injectors/src/hosts/SshHost.ts make": 78,
  "packages/stores/src/postgres/PostgresBatch.ts make": 97,
  "packages/stores/src/postgres/PostgresChanges.ts make": 89,
  "packages/stores/src/postgres/PostgresChaos.ts make": 95,
  "packages/stores/src/postgres/PostgresLeases.ts make": 91,
  "packages/stores/src/postgres/PostgresRows.ts make": 131,
  "packages/stores/src/sqlite/GroupCommit.ts make": 74,
  "packages/stores/src/sqlite/SqliteStore.ts makeRows": 240,
  "packages/targets/src/EtcdClient.ts make": 91,
  "packages/targets/src/PostgresConnection.ts connect": 72,
  "packages/targets/src/PostgresProbe.ts writer": 74,
  "packages/testkit/src/OperationStoreContract.ts leaseLaws": 168,
  "packages/testkit/src/OperationStoreContract.ts listLaws": 132,
  "packages/testkit/src/OperationStoreContract.ts writeLaws": 120,
  "packages/testkit/src/SimulatedCluster.ts makeInjector": 157,
  "packages/testkit/src/SimulatedCluster.ts makeWorld": 91,
  "packages/testkit/src/SimulatedGroup.ts make": 109,
  "packages/testkit/src/SimulatedHost.ts injector": 79,
  "packages/testkit/src/SimulatedHost.ts makeDesk": 151,
  "packages/testkit/src/SimulatedTime.ts makeProcess": 76,
  "packages/testkit/src/TargetContract.ts targetContract": 91,
  "packages/transport/src/promise/Connection.ts connect": 97,
  "packages/transport/src/server/NodeServer.ts serve": 73
}

const indentOf = (line: string): number => line.length - line.trimStart().length

const opens = /(=>|=> [({[]+|function\*? ?\w*\(.*\).* \{|^\s*(async )?\*?\w+\(.*\).* \{|^\s*(\)|\}: ).* \{)$/
const branches = /^\s*(\} )?(if|else|for|while|switch|catch|do|try)\b/

/** The functions of a text that are longer than a page, by the name of what they stand in. */
const longIn = (text: string): ReadonlyMap<string, number> => {
  const lines = text.split("\n")
  const found = new Map<string, number>()
  let name = ""
  for (const [index, line] of lines.entries()) {
    name = /^(?:export )?(?:abstract )?(?:const|class|function\*?|async function) (\w+)/.exec(line)?.[1] ?? name
    if (!opens.test(line)) continue
    const indent = indentOf(line)
    // The parameters of a function may stand on lines of their own above.
    let first = index
    if (/^\s*(\)|\}: )/.test(line)) while (indentOf(lines[--first]!) !== indent || lines[first] === "") continue
    if (branches.test(lines[first]!)) continue
    let last = index + 1
    while (last < lines.length && (lines[last] === "" || indentOf(lines[last]!) > indent)) last++
    if (!/^\s*[)}\]]/.test(lines[last] ?? "")) last--
    const length = lines.slice(first, last + 1).filter((one) => !/^\s*(\/\/|\/\*|\*|$)/.test(one)).length
    if (length > longest) found.set(name, Math.max(length, found.get(name) ?? 0))
  }
  return found
}

describe("every function", () => {
  const files = ["packages", "apps", "bench", "scripts"]
    .flatMap((folder) => under(path.join(root, folder)))
    .filter((file) => /\/src\/.*\.ts$|\.mjs$/.test(file))
  const found = new Map<string, number>(
    files.flatMap((file) =>
      [...longIn(fs.readFileSync(file, "utf8"))].map(
        ([name, length]) => [`${path.relative(root, file)} ${name}`, length] as const
      )
    )
  )

  it(`has ${longest} lines at most, or is one of those that are to be shortened`, () => {
    const grown = [...found].filter(([name, length]) => length > (allowed[name] ?? longest))
    assert.deepStrictEqual(Object.fromEntries(grown), {})
  })

  it("is taken off the list once it is short enough", () => {
    assert.deepStrictEqual(
      Object.keys(allowed).filter((name) => !found.has(name)),
      []
    )
  })

  it("is measured from its name to its end", () => {
    const body = (count: number): string => Array.from({ length: count }, (_, n) => `  const x${n} = ${n}`).join("\n")
    assert.deepStrictEqual(
      [...longIn(`const a = (\n  one: string\n): void => {\n${body(67)}\n}\nconst b = () => {\n${body(68)}\n}\n`)],
      [["a", 71]]
    )
    assert.deepStrictEqual(
      [...longIn(`export const c = () =>\n  Effect.gen(function* () {\n${body(70)}\n  })\nconst d = 1\n`)],
      [["c", 73]]
    )
    assert.deepStrictEqual([...longIn(`const e = {\n${body(80)}\n}\nif (e) {\n${body(80)}\n}\n`)], [])
  })
})
