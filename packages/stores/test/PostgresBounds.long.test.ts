/** A server in the store's place never stops sending small rows, of which each is an object until the store leaves. */
import { leaves } from "./EndlessStore.ts"

leaves(["rows"])
