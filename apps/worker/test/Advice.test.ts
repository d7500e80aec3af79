/** The mistakes of a configuration in words that a person can act on, and of those that follow from one another the first. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import { advise } from "@inquorate/configuration/Advice"
import { parse } from "@inquorate/configuration/Config"
import { read } from "../src/Options.ts"

const none = { listen: undefined, store: undefined, workerId: undefined }

const told = (text: string): string => {
  const parsed = parse(text, "w.yaml", none, { store: "sqlite:/x", workerId: "w" })
  return Result.isFailure(parsed) ? advise(parsed.failure).message : assert.fail("it is right")
}

describe("a mistake of a configuration", () => {
  it("in a key says which was meant, and not that this one is missing", () => {
    const message = told(`clusters:
  locks:
    system: etcd
    member:
      - name: m0
`)
    assert.strictEqual(message, "w.yaml:4: clusters.locks.member: there is no such key; did you mean members?")
    assert.strictEqual(told("frobnicate: 1\n"), "w.yaml:1: frobnicate: there is no such key")
    assert.strictEqual(told("members: 1\n"), "w.yaml:1: members: there is no such key here")
  })

  it("in clusters shows what a map by name is", () => {
    assert.match(
      told("clusters:\n  - name: locks\n"),
      /clusters: expected a map of clusters by name, such as\n {4}clusters:\n {6}orders: /
    )
  })

  it("of two members with one address or name says which two, where the second one stands", () => {
    const cluster = (system: string, second: string): string =>
      told(`clusters:
  c:
    system: ${system}
    members:
      - { name: m1, address: "127.0.0.1:1" }
      - { ${second} }
`)
    const postgres = `postgres
    user: u
    database: d`
    assert.strictEqual(
      cluster("etcd", `name: m2, address: "127.0.0.1:1"`),
      "w.yaml:6: clusters.c.members.1.address: m1 and m2 have the same address 127.0.0.1:1: each has one of its own"
    )
    assert.strictEqual(
      cluster(postgres, `name: m2, address: ["127.0.0.1:2", "127.0.0.1:1"]`),
      "w.yaml:8: clusters.c.members.1.address: m1 and m2 have the same address 127.0.0.1:1: each has one of its own"
    )
    assert.strictEqual(
      cluster(postgres, `name: M1, address: "127.0.0.1:2"`),
      "w.yaml:8: clusters.c.members.1.name: members 1 and 2 have the same name M1: each has one of its own"
    )
  })

  it("by a tab is told once, whatever follows from it", () => {
    assert.strictEqual(
      told("clusters:\n\tlocks:\n\t\tsystem: etcd\n"),
      "w.yaml:2: YAML is indented by blanks, and this line begins with a tab"
    )
  })
})

describe("a mistyped flag", () => {
  it("says which was meant", () => {
    const said = (...words: ReadonlyArray<string>): string => {
      const asked = read(words, {})
      return Result.isFailure(asked) ? asked.failure : assert.fail("it is right")
    }
    assert.strictEqual(
      said("--confg", "x"),
      "There is no flag --confg; did you mean --config? See inquorate-worker --help."
    )
    assert.strictEqual(said("--frobnicate"), "There is no flag --frobnicate. See inquorate-worker --help.")
    assert.include(said("--completions", "tcsh"), "--completions: expected bash, zsh, fish")
    assert.include(said("--config"), "See inquorate-worker --help.")
  })
})

describe("the completion script", () => {
  const scriptOf = (shell: string): string => {
    const asked = read(["--completions", shell], {})
    return Result.isSuccess(asked) && asked.success._tag === "Completions" ? asked.success.script : assert.fail(shell)
  }

  it("knows every flag and its choices, in every shell", () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      for (const word of ["config", "listen", "emulator", "log-format", "json"]) assert.include(scriptOf(shell), word)
    }
  })

  it("completes in bash", () => {
    const lines = `COMP_WORDS=(inquorate-worker --log-format j); COMP_CWORD=2; _inquorate_worker; echo "\${COMPREPLY[@]}"
COMP_WORDS=(inquorate-worker --conf); COMP_CWORD=1; _inquorate_worker; echo "\${COMPREPLY[@]}"`
    const { stdout } = spawnSync("bash", ["-c", `${scriptOf("bash")}\n${lines}`], { encoding: "utf8" })
    assert.strictEqual(stdout, "json\n--config\n")
  })
})
