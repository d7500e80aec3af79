// Writes docs/schema from the schemas by which a worker reads its configuration and the answers of look commands.
// Usage: node scripts/config-schema.mjs
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { layoutSchema, lookSchema, workerSchema } from "../packages/configuration/src/ConfigSchema.ts"
import { root } from "./process.mjs"

for (const [name, schema] of Object.entries({
  worker: workerSchema(),
  "command-look": lookSchema(),
  "emulator-layout": layoutSchema()
})) {
  writeFileSync(join(root, `docs/schema/${name}.schema.json`), `${JSON.stringify(schema, null, 2)}\n`)
}
