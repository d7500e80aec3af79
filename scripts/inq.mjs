// The command line: `npm run inq -- list`.
import { runApplication } from "./application.mjs"

await runApplication("apps/cli/dist/inq.mjs")
