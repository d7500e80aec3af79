// Lints all code.
import { runChecks } from "./check.mjs"

await runChecks(["lint"])
