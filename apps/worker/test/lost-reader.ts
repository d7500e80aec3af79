/** Prints until nobody reads it any longer, and then ends well. */
import * as Effect from "effect/Effect"
import * as Log from "../src/Log.ts"

Log.outliveReaders()
const lost = new Promise<void>((resume) => process.stderr.once("error", () => resume()))
const line = Effect.andThen(Effect.logWarning("one"), Log.say("one")).pipe(Effect.provide(Log.layer("text")))
const lines = setInterval(() => Effect.runFork(line), 1)
await lost
clearInterval(lines)
setTimeout(() => process.exit(7), 50)
