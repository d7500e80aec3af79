/** The command as it is published: bundled once for a test file, and run as a person types it. */
import { afterAll, beforeAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { rolldown } from "rolldown"

export interface Ran {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** Bundles the command for this file: from the source every run would take several times as long. */
export const bundled = (): {
  readonly main: string
  /** Runs it; what `environment` names is set beside our own. */
  readonly run: (
    args: ReadonlyArray<string>,
    environment?: Readonly<Record<string, string>>,
    input?: string
  ) => Effect.Effect<Ran>
} => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-cli-"))
  const main = path.join(folder, "inq.mjs")
  beforeAll(async () => {
    const bundle = await rolldown({
      input: path.resolve(import.meta.dirname, "../src/main.ts"),
      platform: "node",
      external: [/^node:/, "pg-native"]
    })
    await bundle.write({ file: main, format: "esm", codeSplitting: false })
    await bundle.close()
  })
  afterAll(() => fs.rmSync(folder, { recursive: true }))
  return {
    main,
    run: (args, environment = {}, input) =>
      Effect.callback((resume) => {
        const child = spawn(process.execPath, [main, ...args], {
          env: { ...process.env, ...environment },
          stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"]
        })
        child.stdin?.end(input)
        let out = ""
        let error = ""
        child.on("error", (cause) => resume(Effect.succeed({ code: -1, out, error: cause.message })))
        child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text))
        child.stderr?.setEncoding("utf8").on("data", (text: string) => (error += text))
        child.on("close", (code) => resume(Effect.succeed({ code: code ?? -1, out, error })))
        return Effect.sync(() => void child.kill("SIGKILL"))
      })
  }
}
