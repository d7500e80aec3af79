// Checks the types of all packages.
import { runChecks } from "./check.mjs"

await runChecks(["types"])
