/** What the tests of the kill share: the mechanism on this machine, and the lift of what it did. */
import type { FenceOrder, Injector } from "@inquorate/core/Injector"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Kill from "../src/mechanisms/Kill.ts"

export const hosts = new Map([["here", LocalHost.make("here")]])
export const kill = Kill.make(hosts)
export const lift = (order: FenceOrder, injector: Injector = kill) => injector.lift("here", order.fence, 1)
