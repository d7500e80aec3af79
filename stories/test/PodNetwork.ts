/** A network for the pods of a story: each pod has a network namespace and an address of its own, and a way there from here. */
import { spawnSync } from "node:child_process"
import { assert } from "vitest"

/** A network of pods. */
export interface PodNetwork {
  /** What the double of kubectl is told of the network of a pod. */
  readonly of: (index: number) => { readonly namespace: string; readonly address: string }
  readonly remove: () => void
}

/** Makes a network for three pods. All its addresses begin with these three numbers, which are its own. */
export const make = (subnet: string): PodNetwork => {
  const mark = `${subnet.split(".").at(-1)}x${process.pid}`
  const [hub, link] = [`inq-hub-${mark}`, `inq${mark}`.slice(0, 15)]
  const nameOf = (index: number): string => `inq-pod-${mark}-${index}`
  const addressOf = (index: number): string => `${subnet}.1${index}`
  // A hub in a namespace of its own, so that no firewall of this machine stands between the pods.
  ip("netns", "add", hub)
  ip("-n", hub, "link", "add", "hub", "type", "bridge")
  ip("-n", hub, "link", "set", "hub", "up")
  ip("link", "add", link, "type", "veth", "peer", "name", "outside", "netns", hub)
  ip("-n", hub, "link", "set", "outside", "master", "hub", "up")
  ip("address", "add", `${subnet}.1/24`, "dev", link)
  ip("link", "set", link, "up")
  for (const index of indexes) {
    ip("netns", "add", nameOf(index))
    ip("-n", nameOf(index), "link", "set", "lo", "up")
    ip("-n", hub, "link", "add", `pod${index}`, "type", "veth", "peer", "name", "eth0", "netns", nameOf(index))
    ip("-n", hub, "link", "set", `pod${index}`, "master", "hub", "up")
    ip("-n", nameOf(index), "address", "add", `${addressOf(index)}/24`, "dev", "eth0")
    ip("-n", nameOf(index), "link", "set", "eth0", "up")
  }
  return {
    of: (index) => ({ namespace: `/run/netns/${nameOf(index)}`, address: addressOf(index) }),
    remove: () => {
      for (const name of [...indexes.map(nameOf), hub]) spawnSync("ip", ["netns", "delete", name])
      spawnSync("ip", ["link", "delete", link])
    }
  }
}

// --- internal ---

const indexes = [0, 1, 2]

const ip = (...words: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync("ip", words, { encoding: "utf8" })
  assert.strictEqual(status, 0, `ip ${words.join(" ")}: ${stderr}`)
}
