/**
 * A network for containers whose engine is told a network namespace: one namespace for each, all on one bridge in another,
 * where this machine is one of them. None of it is among the machine's own rules and bridges, and all ends with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { attempt, run } from "./ContainerEngine.ts"

/** A network of containers that are called by numbers from 0 on. */
export interface ContainerNetwork {
  readonly address: (index: number) => string
  /** The file by which a container enters its network. */
  readonly namespace: (index: number) => string
}

/** Makes a network of so many places. */
export const make = (count: number): Effect.Effect<ContainerNetwork, never, Scope.Scope> => {
  const bridge = `inqn${process.pid}`
  const net = `198.19.${process.pid % 250}`
  const indices = Array.from({ length: count }, (_, index) => index)
  const address = (index: number): string => `${net}.${10 + index}`
  const place = (index: number): string => `${bridge}m${index}`
  const build = Effect.sync(() => {
    run("ip", "netns", "add", bridge)
    run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", bridge, "link", "set", "br0", "up")
    run("ip", "link", "add", `${bridge}h`, "type", "veth", "peer", "name", "host", "netns", bridge)
    run("ip", "address", "add", `${net}.1/24`, "dev", `${bridge}h`)
    run("ip", "link", "set", `${bridge}h`, "up")
    run("ip", "-n", bridge, "link", "set", "host", "master", "br0", "up")
    for (const index of indices) {
      run("ip", "netns", "add", place(index))
      run("ip", "-n", place(index), "link", "set", "lo", "up")
      const ends = ["eth0", "type", "veth", "peer", "name", `m${index}`, "netns", bridge]
      run("ip", "-n", place(index), "link", "add", ...ends)
      run("ip", "-n", place(index), "address", "add", `${address(index)}/24`, "dev", "eth0")
      run("ip", "-n", place(index), "link", "set", "eth0", "up")
      run("ip", "-n", bridge, "link", "set", `m${index}`, "master", "br0", "up")
    }
  })
  const remove = Effect.sync(() => {
    attempt("ip", "link", "delete", `${bridge}h`)
    for (const index of indices) attempt("ip", "netns", "delete", place(index))
    attempt("ip", "netns", "delete", bridge)
  })
  return Effect.as(
    Effect.acquireRelease(build, () => remove),
    { address, namespace: (index) => `/run/netns/${place(index)}` }
  )
}
