/**
 * A server in the store's place never stops answering. The store says so, and memory does not grow with what is sent. Rows
 * without an end are left to `PostgresBounds.long.test.ts`: they are seven million.
 */
import { leaves } from "./EndlessStore.ts"

leaves(["a row", "notices", "an error", "greetings"])
