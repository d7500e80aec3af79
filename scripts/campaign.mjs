// Builds the applications and kills them over and over; see stories/campaign/main.ts.
import { join } from "node:path"
import { buildApps, endOnSignals, root, start } from "./process.mjs"

endOnSignals()

await buildApps()
const main = join(root, "stories/campaign/main.ts")
const { code } = await start(process.execPath, [
  "--disable-warning=ExperimentalWarning",
  main,
  ...process.argv.slice(2)
]).done
process.exit(code)
