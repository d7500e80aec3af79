// Runs the bundle of `clients.mjs` against the endpoint on the command line, and compares what it says with what was
// sent.
import * as assert from "node:assert/strict"
import { ask } from "./clients.bundle.mjs"
import { listed, operations, progress } from "./answers.mjs"

const told = await ask(process.argv[2])
assert.deepEqual(told.progress, progress)
assert.deepEqual(told.operations, operations)
assert.equal(told.refused, "FABRIC_E_INVALID_TEST_COMMAND_STATE")
assert.deepEqual(told.listed, listed)
