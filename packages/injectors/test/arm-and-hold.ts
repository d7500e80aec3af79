/**
 * A worker that arms the fences it is given and then does nothing, for a test to kill.
 * Says "armed" once they stand.
 */
import { within } from "@inquorate/testkit/Pace"
import type { FenceOrder } from "@inquorate/core/Injector"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Netfilter from "../src/mechanisms/Netfilter.ts"

const orders = JSON.parse(process.argv[2]!) as ReadonlyArray<FenceOrder>
const netfilter = Netfilter.make(new Map([["here", LocalHost.make("here")]]))
const startByMonotonic = Number(process.hrtime.bigint() / 1_000_000n) + within(10_000)

await Effect.runPromise(
  Effect.forEach(orders, (order) => netfilter.arm({ ...order, startByMonotonic }), { concurrency: "unbounded" })
)
console.log("armed")
setInterval(() => {}, 1000)
