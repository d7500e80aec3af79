// Writes docs/schema/worker.schema.json from the schemas that a worker reads its configuration with.
// Usage: node scripts/config-schema.mjs
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { workerSchema } from "../apps/worker/src/ConfigSchema.ts"
import { root } from "./process.mjs"

writeFileSync(join(root, "docs/schema/worker.schema.json"), `${JSON.stringify(workerSchema(), null, 2)}\n`)
