/** Asks a host while no file is free, then when some are again, and says how each ended. */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"

const ask = async (): Promise<void> => {
  const answer = await Effect.runPromise(
    Effect.result(LocalHost.make("here").run("echo hello", [], { timeout: 10_000 }))
  )
  console.log(
    answer._tag === "Failure" ? `${answer.failure.reason}: ${answer.failure.detail}` : answer.success.stdout.trim()
  )
}

await ask()
const taken: Array<number> = []
try {
  for (;;) taken.push(fs.openSync("/dev/null", "r"))
} catch {
  await ask()
}
for (const file of taken) fs.closeSync(file)
await ask()
