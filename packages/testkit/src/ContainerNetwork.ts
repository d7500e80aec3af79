/**
 * A network for containers whose engine is told a network namespace: one namespace for each, all on one bridge in another,
 * where this machine is one of them. None of it is among the machine's own rules and bridges, and all ends with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as AddressBlock from "./AddressBlock.ts"
import { attempt, run } from "./ContainerEngine.ts"

/** A network of containers that are called by numbers from 0 on. */
export interface ContainerNetwork {
  readonly address: (index: number) => string
  /** The file by which a container enters its network. */
  readonly namespace: (index: number) => string
}

/** Makes a network of so many places, twelve at most. */
export const make = (count: number): Effect.Effect<ContainerNetwork, never, Scope.Scope> => {
  const bridge = `inqn${process.pid}`
  const indices = Array.from({ length: count }, (_, index) => index)
  const place = (index: number): string => `${bridge}m${index}`
  const build = Effect.sync(() => {
    run("ip", "netns", "add", bridge)
    run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", bridge, "link", "set", "br0", "up")
    const { address, link } = AddressBlock.claim(bridge, "host")
    run("ip", "address", "add", `${address(1)}/${AddressBlock.prefix}`, "dev", link)
    run("ip", "link", "set", link, "up")
    run("ip", "-n", bridge, "link", "set", "host", "master", "br0", "up")
    for (const index of indices) {
      run("ip", "netns", "add", place(index))
      run("ip", "-n", place(index), "link", "set", "lo", "up")
      const ends = ["eth0", "type", "veth", "peer", "name", `m${index}`, "netns", bridge]
      run("ip", "-n", place(index), "link", "add", ...ends)
      run("ip", "-n", place(index), "address", "add", `${address(2 + index)}/${AddressBlock.prefix}`, "dev", "eth0")
      run("ip", "-n", place(index), "link", "set", "eth0", "up")
      run("ip", "-n", bridge, "link", "set", `m${index}`, "master", "br0", "up")
    }
    return { address, link }
  })
  const remove = (link: string) =>
    Effect.sync(() => {
      attempt("ip", "link", "delete", link)
      for (const index of indices) attempt("ip", "netns", "delete", place(index))
      attempt("ip", "netns", "delete", bridge)
    })
  return Effect.map(
    Effect.acquireRelease(build, ({ link }) => remove(link)),
    ({ address }) => ({
      address: (index) => address(2 + index),
      namespace: (index) => `/run/netns/${place(index)}`
    })
  )
}
