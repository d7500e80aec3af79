// The worker: `npm run worker -- --emulator`.
import { runApplication } from "./application.mjs"

await runApplication("apps/worker/dist/worker.mjs")
