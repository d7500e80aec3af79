// Builds the applications and measures them; see bench/src/main.ts.
import { join } from "node:path"
import { buildApps, endOnSignals, root, start } from "./process.mjs"

endOnSignals()

await buildApps()
const main = join(root, "bench/src/main.ts")
const { code } = await start(process.execPath, [
  "--expose-gc",
  "--disable-warning=ExperimentalWarning",
  main,
  ...process.argv.slice(2)
]).done
process.exit(code)
