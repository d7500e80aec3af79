// Builds the applications and kills them over and over; see stories/campaign/main.ts.
import { join } from "node:path"
import { buildApps, endChildren, root, start } from "./process.mjs"

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => void endChildren(signal).then(() => process.exit(130)))
}

await buildApps()
const main = join(root, "stories/campaign/main.ts")
const { code } = await start(process.execPath, [
  "--disable-warning=ExperimentalWarning",
  main,
  ...process.argv.slice(2)
]).done
process.exit(code)
