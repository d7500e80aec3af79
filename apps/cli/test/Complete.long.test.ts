/** What bash offers by the script that the command prints: the names there are now. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as FakeWorker from "./FakeWorker.ts"
import { bundled } from "./Inq.ts"

const inq = bundled()

const O = "abcd1111-1111-4111-8111-111111111111"

/** What bash offers for a line, by the script that the command prints. */
const offered = (endpoint: string, line: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.callback((resume) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-complete-"))
    const file = path.join(folder, "inq")
    fs.writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${inq.main}' "$@"\n`, { mode: 0o755 })
    const script = [
      `source <(inq --completions bash)`,
      `COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; read -ra COMP_WORDS <<<"$COMP_LINE"`,
      `[[ "$COMP_LINE" == *' ' ]] && COMP_WORDS+=("")`,
      `COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _inq_names inq "\${COMP_WORDS[COMP_CWORD]}"; printf '%s\\n' "\${COMPREPLY[@]}"`
    ].join("\n")
    const child = spawn("bash", ["-c", script], {
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, INQUORATE_ENDPOINT: endpoint },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let out = ""
    child.on("error", () => resume(Effect.succeed([])))
    child.stdout?.on("data", (data: Buffer) => (out += data.toString()))
    child.on("close", () => {
      fs.rmSync(folder, { recursive: true })
      resume(Effect.succeed(out.split("\n").filter((word) => word !== "")))
    })
  })

describe("bash", () => {
  it.live("offers partitions, operations and nodes, beside what it knows by itself", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.serveWith({ holds: true })
      yield* inq.run(["start", "lab", "-d", "60s", "--id", O, "--endpoint", url])
      assert.deepStrictEqual(yield* offered(url, "inq start "), ["lab/kv"])
      assert.deepStrictEqual(yield* offered(url, "inq start x"), [])
      assert.deepStrictEqual(yield* offered(url, "inq cancel ab"), [O])
      assert.includeMembers([...(yield* offered(url, "inq node stop "))], ["lab-m0", "lab-m1", "lab-m2"])
      assert.include(yield* offered(url, "inq sta"), "start")
      assert.include(yield* offered(url, "inq start --du"), "--duration")
      assert.deepStrictEqual(yield* offered("http://127.0.0.1:1", "inq start "), [])
    }).pipe(Effect.scoped)
  )
})
