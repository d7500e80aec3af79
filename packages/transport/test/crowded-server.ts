/**
 * A server that may open few files: serves, and once told so on its input says how many files it may still open, and
 * whether it can start a child.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { openSync } from "node:fs"
import * as NodeServer from "../src/server/NodeServer.ts"
import { layer } from "./FakeOperations.ts"

const tell = (): void => {
  const child = spawn("true")
  child.on("error", (error) => {
    console.log(error.message)
    process.exit()
  })
  child.on("exit", (code) => {
    let free = 0
    try {
      for (;;) free = openSync("/dev/null", "r") > 0 ? free + 1 : free
    } catch {
      console.log(`free ${free} child ${code}`)
      process.exit()
    }
  })
}

process.stdin.once("data", tell)

await Effect.runPromise(
  Effect.gen(function* () {
    const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
    console.log(`port ${port}`)
    return yield* Effect.never
  }).pipe(Effect.scoped, Effect.provide(layer))
)
